/* What a resample launch passes to its kernel, shared by the host and device compilers. */
#ifndef RBC_CUDA_KERNELS_RESAMPLE_PARAMS_H
#define RBC_CUDA_KERNELS_RESAMPLE_PARAMS_H

#ifdef __CUDACC_RTC__
typedef long long int64_t;
#else
#include <stdint.h>
#endif

enum {
    RBC__CUDA_MAX_SOURCES = 10,
    RBC__CUDA_MAX_RUNS = 32,
    RBC__CUDA_RESAMPLE_THREADS = 256,
};

typedef struct rbc__cuda_source {
    const char *values;
    int64_t batch_stride, sample_stride, channel_stride; /* bytes */
    const char *times;
    int64_t times_batch_stride, times_stride;
    const char *lengths;
    int64_t lengths_stride;
    int64_t num_samples, num_channels, out_channel;
    double max_gap, tolerance;
    int64_t max_gap_ns, tolerance_ns;
    int32_t lengths_are_i64;
    int32_t outside;
    uint32_t flags;
    int32_t mode; /* of the first run */
    int32_t first_run, num_runs;
} rbc__cuda_source;

typedef struct rbc__cuda_run {
    int64_t begin, end;
    int32_t mode;
    int32_t source;
} rbc__cuda_run;

typedef struct rbc__cuda_resample {
    const char *targets;
    int64_t targets_batch_stride, targets_stride;
    char *out;
    int64_t out_batch_stride, out_target_stride, out_channel_stride;
    char *valid;
    int64_t valid_batch_stride, valid_target_stride, valid_source_stride;
    char *dt;
    int64_t dt_batch_stride, dt_target_stride;
    int64_t num_targets; /* T */
    int64_t row_elements; /* sum of the sources' channels */
    int32_t num_sources;
    int32_t tile_targets; /* targets of one block */
    int32_t tiles;        /* blocks along the targets */
    int32_t times_capacity; /* source stamps that fit in shared memory, per source */
    rbc__cuda_source sources[RBC__CUDA_MAX_SOURCES];
    rbc__cuda_run runs[RBC__CUDA_MAX_RUNS];
} rbc__cuda_resample;

#endif
