/* One episode as a serialized tf.train.Example. */
#ifndef RBC_FORMATS_RLDS_WRITER_EPISODE_H
#define RBC_FORMATS_RLDS_WRITER_EPISODE_H

#include "core/tensor.h"
#include "io/bytes.h"

/* A stream or piece of metadata, as declared. */
typedef struct rbc__writer_feature {
    char *key;        /* "steps/observation/state", "episode_metadata/operator" */
    const char *name; /* in it, behind the first '/' */
    bool in_steps;
    rbc_stream_kind kind;
    rbc__dtype dtype;
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS];
    char *encoding;
    bool is_ragged;
    int32_t stamps; /* index of the stream with this one's stamps, or -1 */
} rbc__writer_feature;

/* Appends the Example of an episode, which rbc__writer_check() has passed, to `out`. On failure
 * `out` is undefined. OUT_OF_MEMORY. */
rbc_status rbc__writer_episode(const rbc__writer_feature *features, int32_t count,
                               int64_t num_steps, const rbc_rlds_data *streams, int32_t num_streams,
                               const rbc_rlds_data *metadata, rbc__bytes *out, rbc_error *err);

#endif
