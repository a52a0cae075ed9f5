/* What a launch of the kernels for large jobs passes; read by the host and the device compiler. */
#ifndef RBC_CUDA_KERNELS_LARGE_PARAMS_H
#define RBC_CUDA_KERNELS_LARGE_PARAMS_H

#include "resample_params.h"

enum {
    LARGE_THREADS = 128,
    LARGE_BLOCKS = 10, /* on a multiprocessor */
    LARGE_BRACKET_BYTES = 16,
    LARGE_MAX_WINDOW_BYTES = 8 * 1024, /* of stamps in shared memory */
};

typedef struct large_launch {
    resample_launch launch;
    resample_source source;
    uint32_t sample_stride32; /* source.sample_stride */
    uint32_t lanes_log;       /* threads that search for one target */
    float lanes_share;        /* 1 / (lanes + 1) */
    /* The stamps that a tile is likely to need: of its targets' place in the row, and `margin` on
     * either side. */
    float samples_per_target;
    uint32_t margin;
    uint32_t max_window; /* stamps */
} large_launch;

#endif
