/* What the sources of fake.h share. */
#ifndef RBC_TESTS_LOADER_FAKE_DATASET_H
#define RBC_TESTS_LOADER_FAKE_DATASET_H

#include <pthread.h>

#include "fake.h"

struct rbc_dataset {
    fake_params params;
    rbc__schema schema;
    rbc__stream_schema streams[FAKE_NUM_STREAMS];
    rbc__layout_stream stored[FAKE_NUM_STREAMS];
    rbc__store store;
    rbc__block_cache *blocks;
    rbc__objects objects;
    pthread_mutex_t lock;
    struct fake_file *files; /* [num_episodes]; made when they are first asked for */
};

struct rbc_selection {
    atomic_int references;
    rbc_dataset dataset;
    int64_t *ids, *steps, *start_ns, *end_ns;
};

struct rbc__cursor {
    rbc_dataset *dataset;
    char task[32];
};

/* One file an episode: its streams behind each other, FAKE_STATE first. */
typedef struct fake_file {
    rbc__bytes data, layout;
} fake_file;

/* Bits that look like chance. */
uint64_t fake_hash(int64_t episode, int64_t stream, int64_t sample, int64_t element);
rbc__dtype fake_dtype(int32_t stream);

/* The file of an episode, made when it is first asked for. */
const fake_file *fake_file_of(rbc_dataset *dataset, int64_t episode);
/* Reads of those files, which fail and take their time as the dataset's params say. */
extern const rbc__store_ops fake_store_ops;

#endif
