/* Maxima and minima of the features of cells. */
#include "cuda/voxelize/tile_reduce.cuh"

#define EXTREME_OF(reduce) ((reduce) == REDUCE_MIN ? REDUCE_MIN : REDUCE_MAX)
TILE_KERNELS(extreme, EXTREME_OF)
