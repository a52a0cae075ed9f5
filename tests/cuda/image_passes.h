/* The kernels of images, run on the host thread by thread, with their own arithmetic. */
#ifndef RBC_TESTS_CUDA_IMAGE_PASSES_H
#define RBC_TESTS_CUDA_IMAGE_PASSES_H

#include <stdbool.h>

#include "cuda/image/image_params.h"

/* Runs all blocks of a launch of the kernel of that name, "rbc__image_tile_cuda"; false: there is
 * none. */
bool image_passes_run(const char *kernel, unsigned blocks, const image_launch *launch);

#endif
