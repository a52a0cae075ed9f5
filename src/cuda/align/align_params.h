/* Numbers of windows, as the kernel that aligns them is told: items, written by the host in one piece
 * with all that they point to, and copied to the device. Read by the host and the device compiler.
 * Shared within src/cuda/align. */
#ifndef RBC_CUDA_ALIGN_PARAMS_H
#define RBC_CUDA_ALIGN_PARAMS_H

#include <stdint.h>

#include "cuda/resample/resample_params.h"

enum {
    ALIGN_THREADS = 128,
    ALIGN_TILE = 32, /* elements of a window that a block makes */
};

/* One window of one row. Its element e is made at target `first` + e * `step`. */
typedef struct align_item {
    resample_source source; /* of one row; columns and what is cached do not matter */
    const char *targets;    /* int64, side by side */
    int64_t num_targets;
    const uint8_t *nothing; /* [count] 1: there is no value; NULL: all 0 */
    const double *scale;    /* [channels], or NULL */
    const double *offset;   /* likewise */
    const resample_run *runs;
    char *out; /* of the first element; `out_stride` bytes to the next */
    int64_t out_stride;
    uint32_t num_runs;
    uint32_t first, step, count;
    uint32_t channels;
    uint32_t columns; /* the channels, and zeros behind them */
    uint32_t stored;  /* VALUE_ of the samples */
    uint32_t dtype;   /* VALUE_ of the output */
    uint32_t is_nan;  /* NaN stands for no value, else zero */
    uint32_t unused;
} align_item;

/* What a block makes: the elements of an item from `first` on. */
typedef struct align_tile {
    uint32_t item, first;
} align_tile;

typedef struct align_launch {
    const align_item *items;
    const align_tile *tiles; /* one a block */
} align_launch;

#endif
