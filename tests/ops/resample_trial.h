/* Random resample calls, and their check against the reference. */
#ifndef RBC_TESTS_RESAMPLE_TRIAL_H
#define RBC_TESTS_RESAMPLE_TRIAL_H

#include <stdbool.h>

#include "core/tensor.h"

int64_t random_below(int64_t n);

/* A tensor with memory of its own, packed or with room between its entries. */
typedef struct block {
    DLTensor tensor;
    int64_t shape[3], strides[3];
    rbc__dtype dtype;
    void *memory;
} block;

block new_block(rbc__dtype dtype, int32_t ndim, const int64_t *shape, bool packed);

/* The last indices count: a tensor of two axes is asked with i = 0. */
void *at(const block *b, int64_t i, int64_t j, int64_t k);

/* Points into the block itself, which must not move while the tensor is used. */
const DLTensor *tensor_of(block *b);

typedef struct trial {
    int64_t batch, samples, targets, channels;
    rbc__dtype dtype, times_dtype;
    bool packed, shared_times, shared_targets, ragged, unsorted_targets;
    rbc_resample_source source;
    rbc_channel_group groups[2];
    block values, times, lengths, target_times, out, valid, dt;
} trial;

trial random_trial(rbc_resample_mode mode, rbc_outside outside, rbc__dtype dtype);
void make_trial(trial *t); /* allocates */
void fill_trial(trial *t, bool with_nan);
void free_trial(trial *t);
rbc_status run_trial(trial *t, rbc_context *context, rbc_error *err);
void check_trial(trial *t); /* fails the test where the output is not the reference's */

#endif
