/* What a launch of the strip kernels passes; read by the host and the device compiler.
 * Shared within src/cuda/resample. */
#ifndef RBC_CUDA_STRIP_PARAMS_H
#define RBC_CUDA_STRIP_PARAMS_H

#include "cuda/resample/resample_params.h"

enum {
    STRIP_BRACKET_BYTES = 16, /* shared memory for one target */
};

/* Strides are in bytes. */
typedef struct strip_source {
    const char *values;
    int64_t batch_stride;
    const char *times;
    int64_t times_batch_stride, times_stride;
    int64_t sample_stride;
    uint32_t num_samples;
    uint32_t out_begin; /* first byte of the output row */
    uint32_t width;     /* bytes */
    uint32_t first_strip;
    uint32_t mode;
    uint32_t from_global; /* samples are read where they are needed, none fetched before */
} strip_source;

/* Block (x, y) makes strip x of batch row y, all targets of it. A strip is 1 << lanes_log granules
 * of a source's columns side by side, the source's last one maybe fewer. */
typedef struct strip_launch {
    const char *targets;
    int64_t targets_batch_stride, targets_stride;
    char *out;
    int64_t out_batch_stride, out_target_stride;
    uint32_t num_targets;
    uint32_t num_sources;
    uint32_t lanes_log;
    uint32_t one_each; /* a block has a thread for each granule of its output */
    uint32_t time_type;
    uint32_t stamps_begin, brackets_begin; /* bytes of shared memory */
    uint32_t unused;
    strip_source sources[RESAMPLE_MAX_SOURCES];
} strip_launch;

#endif
