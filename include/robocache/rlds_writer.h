/* Writing RLDS datasets.
 *
 * Episodes into TFRecord shards with the features.json and dataset_info.json that TFDS writes, so
 * that TFDS and RoboCache read them alike. */
#ifndef ROBOCACHE_RLDS_WRITER_H
#define ROBOCACHE_RLDS_WRITER_H

#include <robocache/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rbc_rlds_writer rbc_rlds_writer;

/* Streams are described as rbc_dataset_stream() does: name ("observation/state", without "steps/"),
 * kind, dtype, ndim, shape, is_ragged and, for images, encoding ("jpeg" or "png"); the others are
 * not looked at: the stamps of stream "x" are an int64 stream "x_time_ns", scalar,
 * and ragged where "x" is. Extents must be declared; of images they may be -1. Floats of any width
 * are stored as float32, as TFDS does. */
typedef struct rbc_rlds_writer_params {
    size_t struct_size;
    const char *path; /* folder for datasets: files go to <path>/<name>/<version>/, made anew */
    const char *name;
    const char *version;            /* "1.0.0"; NULL means that */
    const char *description;        /* or NULL */
    const rbc_stream_info *streams; /* of the steps */
    int32_t num_streams;
    const rbc_stream_info *metadata; /* of the episode: numeric or text, one sample each */
    int32_t num_metadata;
    uint64_t shard_bytes;   /* a shard that has reached this is followed by another; 0: 256 MiB */
    double control_rate_hz; /* steps a second, stored for readers; 0: nothing is said of it */
    int32_t append;         /* non-zero: a dataset that is there is added to */
} rbc_rlds_writer_params;

#define RBC_RLDS_WRITER_PARAMS_INIT                                                                \
    {.struct_size = sizeof(rbc_rlds_writer_params),                                                \
     .path = NULL,                                                                                 \
     .name = NULL,                                                                                 \
     .version = NULL,                                                                              \
     .description = NULL,                                                                          \
     .streams = NULL,                                                                              \
     .num_streams = 0,                                                                             \
     .metadata = NULL,                                                                             \
     .num_metadata = 0,                                                                            \
     .shard_bytes = 0,                                                                             \
     .control_rate_hz = 0.0,                                                                       \
     .append = 0}

/* The samples of one stream in one episode, or one piece of metadata. Borrowed for the call.
 *  numeric       `values` [n, shape...] on the CPU, of the stream's dtype, any strides; metadata
 *                without the n
 *  image, text   bytes[i] of num_bytes[i], i < num_samples; text must be UTF-8; images must be of
 *                the declared encoding, shape and dtype and are decoded once; one may be empty:
 *                there is none at this step
 * Stamps must not go back, and of a ragged stream there are as many in a step as samples.
 * n is the number of steps, or, for a ragged stream, the sum of row_lengths [num_steps]. */
typedef struct rbc_rlds_data {
    const DLTensor *values;
    const void *const *bytes;
    const uint64_t *num_bytes;
    int64_t num_samples;
    const int64_t *row_lengths; /* NULL unless ragged */
} rbc_rlds_data;

/* Begins a dataset in a folder beside its final place. With `append` a dataset may be there: it
 * must have the same features, its shards are taken over as links, and closing puts the whole in
 * its place, in one step. INVALID_ARGUMENT, IO, OUT_OF_MEMORY. */
RBC_API rbc_status rbc_rlds_writer_create(const rbc_rlds_writer_params *params,
                                          rbc_rlds_writer **out, rbc_error *err);

/* Appends an episode of at least one step to `split`. `streams` [num_streams] and `metadata`
 * [num_metadata] are in the order declared; num_metadata 0 allows NULL. INVALID_ARGUMENT, naming
 * stream and sample, for what a reader would refuse or misread; IO. After any error the episode is
 * not in the dataset, those before it are, and the writer goes on. */
RBC_API rbc_status rbc_rlds_writer_add(rbc_rlds_writer *writer, const char *split,
                                       int64_t num_steps, const rbc_rlds_data *streams,
                                       const rbc_rlds_data *metadata, rbc_error *err);

/* Writes the metadata files, flushes everything to disk and moves the dataset to its place in one
 * step. Destroys the writer, also on failure, and then leaves nothing behind. */
RBC_API rbc_status rbc_rlds_writer_close(rbc_rlds_writer **writer, rbc_error *err);

/* Gives up: removes what has been written. */
RBC_API void rbc_rlds_writer_destroy(rbc_rlds_writer **writer);

#ifdef __cplusplus
}
#endif
#endif
