/* What a launch of the adjoint for whole rows passes; read by the host and the device compiler.
 * Shared within src/cuda/resample. */
#ifndef RBC_CUDA_BACKWARD_PARAMS_H
#define RBC_CUDA_BACKWARD_PARAMS_H

#include "cuda/resample/resample_params.h"

enum {
    BACKWARD_THREADS = 256,
    BACKWARD_SHARES = 256, /* targets whose shares are in shared memory at a time */
    BACKWARD_SHARE_BYTES = 24,
    BACKWARD_RANGE_BYTES = 8,
    BACKWARD_MAX_TILE = 2048, /* samples of a block */
};

/* source.values is the gradient of the values, `grad` that of the output. Block i makes samples
 * [first, first + tile) of a batch row, all channels. Strides are in bytes. */
typedef struct backward_launch {
    const char *targets;
    int64_t targets_batch_stride, targets_stride;
    const char *grad;
    int64_t grad_batch_stride, grad_target_stride;
    uint32_t num_targets;
    uint32_t tile, num_tiles; /* samples of a block; blocks of a batch row */
    uint32_t row_slices;      /* 16-byte vectors of a row */
    uint32_t row_magic;       /* n / row_slices == n * row_magic >> row_shift for n < 2^31 */
    uint32_t row_shift;
    uint32_t time_type;
    /* Bytes of shared memory: the targets (none where they do not fit), after the block's stamps;
     * shares; the first and the last share of each sample. */
    uint32_t targets_begin, targets_capacity, shares_begin, ranges_begin;
    uint32_t unused; /* so that equal launches are equal byte by byte */
    resample_source source;
} backward_launch;

#endif
