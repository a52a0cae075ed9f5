/* Sums and means of the features of cells. */
#include "cuda/voxelize/tile_reduce.cuh"

#define SUM_OF(reduce) ((reduce) == REDUCE_MEAN ? REDUCE_MEAN : REDUCE_SUM)
TILE_KERNELS(sum, SUM_OF)
