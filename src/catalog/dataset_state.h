/* What a dataset is made of. Shared within src/catalog. */
#ifndef RBC_CATALOG_DATASET_STATE_H
#define RBC_CATALOG_DATASET_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "catalog/answers.h"
#include "catalog/blob_names.h"
#include "catalog/catalog.h"
#include "codec/video_pool.h"
#include "core/rate.h"
#include "formats/format.h"
#include "store/objects.h"

typedef struct rbc__dataset_split {
    const char *name; /* the schema's */
    int64_t num_episodes, num_steps;
} rbc__dataset_split;

/* Texts read from the catalog once, when first asked for. */
typedef struct rbc__listing {
    bool is_loaded;
    char **texts;
    int64_t *counts;
    int64_t count;
} rbc__listing;

/* Connections to the catalog that all threads share: each takes a descriptor. */
#define RBC__DATASET_CURSORS 8

typedef struct rbc__cursor_slot {
    pthread_mutex_t lock; /* held by who has taken the cursor */
    rbc__cursor *cursor;  /* NULL: not opened yet */
} rbc__cursor_slot;

struct rbc_dataset {
    atomic_int refs;
    const rbc__format *ops;
    rbc__reader *reader;
    const rbc__schema *schema;
    char *root; /* absolute */
    double control_rate_hz;
    rbc__rate control_rate; /* set where control_rate_hz is not 0 */
    rbc_jpeg_dct jpeg_dct;  /* never DEFAULT */
    rbc__catalog *catalog;
    rbc__blob_names *names;
    rbc__store *store;
    rbc__video_pool *videos;  /* decoders of its episodes; likewise */
    rbc__block_cache *blocks; /* of its episodes; a loader has its own */
    rbc__objects objects;
    rbc__dataset_split *splits;
    int32_t num_splits;
    rbc__layout_stream *stored; /* [num_streams] */

    rbc__cursor_slot cursors[RBC__DATASET_CURSORS];
    atomic_uint next_cursor; /* to wait for where none is free */

    pthread_mutex_t lock; /* of all below */
    int64_t *steps;       /* [3 * num_episodes]: steps, start_ns, end_ns; NULL until first needed */
    double *stream_rates; /* [num_streams]; negative: not measured yet */
    rbc__listing tasks, skipped, told;
    rbc__answers answers;
};

/* Steps and stamps of every episode of the dataset, loaded the first time. */
rbc_status rbc__dataset_steps(rbc_dataset *dataset, const int64_t **steps, const int64_t **start_ns,
                              const int64_t **end_ns, rbc_error *err);

void rbc__listing_free(rbc__listing *listing);

#endif
