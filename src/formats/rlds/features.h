/* What features.json declares: the leaves of the feature tree, and how each is stored in a
 * tf.train.Example. Shared within src/formats/rlds. */
#ifndef RBC_FORMATS_RLDS_FEATURES_H
#define RBC_FORMATS_RLDS_FEATURES_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "formats/rlds/example.h"

/* How the samples of a leaf lie in its list. */
typedef enum rbc__storage {
    RBC__STORED_LIST = 0,   /* one flat list of numbers, or one bytes entry a sample */
    RBC__STORED_BYTES = 1,  /* numbers; one bytes entry a sample with its values, little-endian */
    RBC__STORED_TENSOR = 2, /* one bytes entry: a serialized TensorProto of all samples */
} rbc__storage;

/* One tensor, image or text of the tree. Keys join names by '/'. */
typedef struct rbc__leaf {
    char *key;        /* in the Example: "steps/observation/state" */
    const char *name; /* in `key`, behind "steps/" or "episode_metadata/" */
    bool in_steps;    /* a stream; else it describes the episode */
    rbc_stream_kind kind;
    rbc__dtype dtype;
    rbc__list_kind list; /* that its values are in */
    rbc__storage storage;
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of one sample; -1: any */
    int64_t elements;                   /* numbers a sample, 1 for images and text; -1: any */
    const char *encoding;               /* "", "jpeg", "png" */
    bool is_zlib;                       /* STORED_BYTES, each compressed */
    bool is_sequence; /* inside the steps there is one more sequence: it may be stored ragged */
    int64_t rows;     /* of that sequence; -1: any, and the stream is ragged */
    const char *unsupported; /* why it cannot be read, or NULL */
} rbc__leaf;

/* More are none of a robot's, and each is compared with all. */
enum { RBC__MAX_LEAVES = 4096 };

typedef struct rbc__leaves {
    rbc__leaf *items; /* those in the steps first, each part sorted by key */
    int32_t count;
    int32_t num_streams; /* of them in the steps */
    int32_t capacity;
} rbc__leaves;

/* Parses features.json. `path` is for messages. `out` is empty after a failure. A tree without
 * "steps" is accepted and has no streams. FORMAT, UNSUPPORTED (a layout of another TFDS). */
rbc_status rbc__features_parse(const char *text, size_t bytes, const char *path, rbc__leaves *out,
                               rbc_error *err);

/* Appends a copy of `leaf`, with a copy of its key; sets name, in_steps and elements. */
rbc_status rbc__leaves_add(rbc__leaves *leaves, const rbc__leaf *leaf, rbc_error *err);
/* Sorts, counts the streams, and refuses a key that is there twice, and too many. */
rbc_status rbc__leaves_finish(rbc__leaves *leaves, const char *path, rbc_error *err);
void rbc__leaves_free(rbc__leaves *leaves);

static inline bool rbc__leaf_is_ragged(const rbc__leaf *leaf) {
    return leaf->is_sequence && leaf->rows < 0;
}

#endif
