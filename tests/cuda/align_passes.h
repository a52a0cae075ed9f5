/* The kernel that aligns numbers, run on the host thread by thread, with its own arithmetic. */
#ifndef RBC_TESTS_CUDA_ALIGN_PASSES_H
#define RBC_TESTS_CUDA_ALIGN_PASSES_H

#include <stdbool.h>

#include "cuda/align/align_params.h"

/* Runs all blocks of a launch, if it is of that kernel. */
bool align_passes_run(const char *kernel, unsigned blocks, const align_launch *launch);

#endif
