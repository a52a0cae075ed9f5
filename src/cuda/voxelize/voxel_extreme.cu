/* Maxima and minima of the features of cells. */
#include "cuda/voxelize/staged.cuh"

#define EXTREME_OF(reduce) ((reduce) == REDUCE_MIN ? REDUCE_MIN : REDUCE_MAX)
STAGED_KERNELS(extreme, EXTREME_OF)
