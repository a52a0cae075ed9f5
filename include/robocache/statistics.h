/* What the values of a stream are like over a selection: counted once, in parallel, in bounded memory
 * whatever their number, and kept beside the catalog for the next time. Nothing that was found
 * depends on the number of threads. */
#ifndef ROBOCACHE_STATISTICS_H
#define ROBOCACHE_STATISTICS_H

#include <robocache/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rbc_statistics rbc_statistics;

/* How far counting is, of what had not been kept: episodes whose numbers are read, images decoded.
 * Called before each round of reading, of a few MB, and at the end, from the thread that called.
 * Return non-zero to end the call with CANCELLED. */
typedef struct rbc_statistics_progress {
    int64_t episodes_done, episodes_total;
    int64_t images_done, images_total; /* of all streams of images together */
} rbc_statistics_progress;
typedef int (*rbc_statistics_progress_fn)(const rbc_statistics_progress *progress, void *user);

typedef struct rbc_statistics_params {
    size_t struct_size;
    const char *const *streams; /* [num_streams] of numbers or images */
    int32_t num_streams;
    int32_t num_threads;   /* 0: all cores */
    int64_t num_images;    /* of each stream of images as many are decoded, evenly spaced over the
                              steps of the selection; 0: such a stream is INVALID_ARGUMENT */
    rbc_on_error on_error; /* RAISE, or SKIP: what cannot be read is left out and counted */
    int32_t keep;          /* non-zero: what was kept is taken, and what is computed is kept, in
                              "<catalog>.statistics" or, where that cannot be written, the user's
                              cache. What has something left out is not kept */
    rbc_statistics_progress_fn progress; /* NULL allowed */
    void *user;
} rbc_statistics_params;

#define RBC_STATISTICS_PARAMS_INIT                                                                 \
    {.struct_size = sizeof(rbc_statistics_params),                                                 \
     .streams = NULL,                                                                              \
     .num_streams = 0,                                                                             \
     .num_threads = 0,                                                                             \
     .num_images = 0,                                                                              \
     .on_error = RBC_ON_ERROR_RAISE,                                                               \
     .keep = 1,                                                                                    \
     .progress = NULL,                                                                             \
     .user = NULL}

/* Into out[num_streams], each to be destroyed; NULL all after a failure. NOT_FOUND, UNSUPPORTED
 * (text, undeclared shapes), INVALID_ARGUMENT, FORMAT and IO of the data, CANCELLED,
 * OUT_OF_MEMORY. */
RBC_API rbc_status rbc_statistics_compute(const rbc_selection *selection,
                                          const rbc_statistics_params *params, rbc_statistics **out,
                                          rbc_error *err);
RBC_API void rbc_statistics_destroy(rbc_statistics **statistics);

typedef struct rbc_statistics_info {
    const char *stream; /* its name */
    DLDataType dtype;
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of the channels, C order: one an element of a sample.
                                           Where a sample has more than 4,096 elements, and for
                                           images, one a position along its last axis */
    int64_t num_channels;
    int64_t num_samples; /* images: those decoded */
    int64_t num_episodes;
    int64_t num_skipped;   /* episodes, or images, left out in whole or part */
    const char *problem;   /* the first of these; NULL: none */
    int32_t has_quantiles; /* non-zero where there are at most 128 channels */
    int32_t is_image;
    double rank_error; /* of a quantile at most, as a share of all values; 0: they are exact */
} rbc_statistics_info;

/* What it points to is the statistics' own. */
RBC_API void rbc_statistics_get_info(const rbc_statistics *statistics, rbc_statistics_info *out);

/* Of the finite values of a channel, which are `count`; NaN where there are none. In float64, to
 * which integers beyond 2^53 are rounded. */
typedef struct rbc_statistics_channel {
    int64_t count;
    int64_t num_nan, num_positive_infinite, num_negative_infinite;
    double mean;
    double std; /* of the population: divided by count; 0 exactly where all are the same */
    double min, max;
} rbc_statistics_channel;

/* NOT_FOUND where there is no such channel. */
RBC_API rbc_status rbc_statistics_channel_get(const rbc_statistics *statistics, int64_t channel,
                                              rbc_statistics_channel *out, rbc_error *err);
/* The value below which a share `q` of the finite values lies, between two neighbours along the line,
 * as numpy.quantile() has it; NaN where there are none, or no quantiles. INVALID_ARGUMENT for a
 * share outside 0 to 1. */
RBC_API rbc_status rbc_statistics_quantile(const rbc_statistics *statistics, int64_t channel,
                                           double q, double *out, rbc_error *err);

/* The statistics of all that `num_parts` of them are of together; rank errors add up in proportion,
 * and 3e-5 more where the parts have more values than are kept. INVALID_ARGUMENT unless all are of
 * one dtype and shape. */
RBC_API rbc_status rbc_statistics_merge(const rbc_statistics *const *parts, int64_t num_parts,
                                        rbc_statistics **out, rbc_error *err);

/* As bytes, for another process; *data is released with free(). */
RBC_API rbc_status rbc_statistics_save(const rbc_statistics *statistics, void **data,
                                       uint64_t *bytes, rbc_error *err);
/* FORMAT where they are none. They may be anybody's. */
RBC_API rbc_status rbc_statistics_load(const void *data, uint64_t bytes, rbc_statistics **out,
                                       rbc_error *err);

#ifdef __cplusplus
}
#endif
#endif
