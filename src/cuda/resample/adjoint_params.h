/* What a launch of the adjoint passes to its kernel; read by the host and the device compiler.
 * Shared within src/cuda/resample. */
#ifndef RBC_CUDA_ADJOINT_PARAMS_H
#define RBC_CUDA_ADJOINT_PARAMS_H

#include "cuda/resample/resample_params.h"

enum {
    ADJOINT_TILE = 64, /* targets whose brackets are in shared memory at a time */
};

/* launch.out is the gradient of the output, source.values that of the values. A block serves
 * `width` channels of one batch row and `groups` stretches of `stretch` samples each; a thread owns
 * one channel of one stretch. */
typedef struct adjoint_launch {
    resample_launch launch;
    resample_source source;
    resample_run runs[RESAMPLE_MAX_RUNS];
    int64_t num_channels;
    int64_t stretch;
    uint32_t width, groups;
    uint32_t channel_blocks, stretch_blocks;
} adjoint_launch;

#endif
