/* Tests of contents that no argument check can see on a device, for operations.c. */
#ifndef RBC_TESTS_CUDA_HOSTILE_H
#define RBC_TESTS_CUDA_HOSTILE_H

void hostile_times_and_lengths_stay_inside(void **unused);
void hostile_clouds_stay_inside(void **unused);

#endif
