/* The kernels of JPEGs, run on the host one after the other, with their own arithmetic. */
#ifndef RBC_TESTS_CUDA_JPEG_KERNELS_H
#define RBC_TESTS_CUDA_JPEG_KERNELS_H

#include <stdbool.h>

#include "cuda/jpeg/jpeg_params.h"

/* Runs all blocks of a launch of the kernel of that name, "rbc__jpeg_strand_cuda"; false: there is
 * none. */
bool jpeg_kernels_run(const char *kernel, unsigned blocks, const jpeg_launch *launch);

#endif
