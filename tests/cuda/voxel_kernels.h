/* The kernels that count few points straight in the grid, and those that make points of depth images,
 * run on the host one after the other, by the definitions of the public header. */
#ifndef RBC_TESTS_CUDA_VOXEL_KERNELS_H
#define RBC_TESTS_CUDA_VOXEL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* Of a launch of the kernel of that name; 0: there is none. */
size_t voxel_kernels_bytes(const char *kernel);

/* Runs a whole launch of the kernel of that name; false: there is none. */
bool voxel_kernels_run(const char *kernel, const void *launch);

#endif
