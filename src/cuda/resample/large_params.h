/* What a launch of the kernels for large jobs passes; read by the host and the device compiler.
 * Shared within src/cuda/resample. */
#ifndef RBC_CUDA_LARGE_PARAMS_H
#define RBC_CUDA_LARGE_PARAMS_H

#include "cuda/resample/resample_params.h"

enum {
    LARGE_MAX_THREADS = 256,
    LARGE_BLOCKS = 4,    /* of so many, on a multiprocessor */
    LARGE_IN_FLIGHT = 4, /* targets that a thread makes at a time */
    LARGE_BRACKET_BYTES = 16,
    LARGE_MAX_WINDOW_BYTES = 8 * 1024, /* of stamps in shared memory */
};

/* One simple source, its stamps side by side. Strides are in bytes; the last sample's row lies less
 * than 4 GiB behind the first one's. n / num_tiles == n * tiles_magic >> tiles_shift for n < 2^31;
 * likewise for `columns`. */
typedef struct large_launch {
    const char *times;
    int64_t times_batch_stride;
    const char *targets;
    int64_t targets_batch_stride, targets_stride;
    const char *values;
    int64_t batch_stride;
    char *out;
    int64_t out_batch_stride, out_target_stride;
    uint32_t num_samples, num_targets;
    uint32_t sample_stride;
    uint32_t mode, time_type;
    uint32_t tile, num_tiles; /* targets of a block; blocks of a batch row */
    uint32_t tiles_magic, tiles_shift;
    uint32_t row_slices; /* 16-byte vectors of a row */
    uint32_t columns;    /* threads side by side, a vector each */
    uint32_t columns_magic, columns_shift;
    uint32_t targets_each; /* of a tile, that such a group of threads makes */
    uint32_t num_brackets; /* of all groups */
    /* The stamps that a tile is likely to need: `reach` on either side of the middle of its place
     * in the row; none where reach is 0. Whole rows of stamps are 16-byte vectors, or they are not.
     */
    float samples_per_tile;
    uint32_t reach;
    uint32_t are_vec16s;
    uint32_t brackets_begin; /* bytes of shared memory behind the stamps */
    uint32_t lanes_log;      /* threads that search for one target in all stamps */
    float lanes_share;       /* 1 / (lanes + 1) */
    uint32_t unused;         /* so that equal launches are equal byte by byte */
} large_launch;

#endif
