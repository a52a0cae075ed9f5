/* Sums and means of the features of cells. */
#include "cuda/voxelize/staged.cuh"

#define SUM_OF(reduce) ((reduce) == REDUCE_MEAN ? REDUCE_MEAN : REDUCE_SUM)
STAGED_KERNELS(sum, SUM_OF)
