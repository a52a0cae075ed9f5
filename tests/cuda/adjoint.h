/* Tests of the gradient, of many channel groups and of checked times, for operations.c. */
#ifndef RBC_TESTS_CUDA_ADJOINT_H
#define RBC_TESTS_CUDA_ADJOINT_H

void adjoint_gives_the_bits_of_the_cpu(void **unused);
void plain_adjoint_gives_the_bits_of_the_cpu(void **unused);
void many_groups_give_the_bits_of_the_cpu(void **unused);
void checked_times_are_blamed_as_on_the_cpu(void **unused);

#endif
