/* Tests of sparse voxelization and depth images, for operations.c. */
#ifndef RBC_TESTS_CUDA_SPARSE_H
#define RBC_TESTS_CUDA_SPARSE_H

void sparse_gives_the_bits_of_the_cpu(void **unused);
void depth_gives_the_bits_of_the_cpu(void **unused);

#endif
