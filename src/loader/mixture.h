/* Which dataset a sample of a mixture is of, and which of its samples, by arithmetic alone.
 *
 * A cycle of a mixture has as many positions as the weights add up to, `weight` of them of each
 * member. The cycles follow each other from epoch 0 on, across the borders of epochs: position p of
 * epoch e is slot P % cycle of cycle P / cycle, where P = e * num_samples + p. Shuffled, the slots of
 * each cycle are permuted under the seed and the number of the cycle; slot s is the member's in whose
 * share s lies, with the shares side by side:
 *
 *      cycle c    0  1  2  3  4 | 5  6                    weights 5, 2
 *                 member 0      | member 1
 *
 * It is sample k of that member, counted over all epochs: k = c * weight + (s - the share's first
 * slot). A member of n samples is in its own epoch k / n then, at position k % n, which has an order
 * of its own under the member's seed: see sampler.h. So each dataset gives all of its samples once
 * before any of them again, whatever an epoch of the mixture is, but that in the cycle in which it
 * wraps the last of one epoch and the first of the next come among each other.
 *
 * A mixture of one has cycles of one position: it is that dataset, position p of epoch e that of its
 * own, where an epoch has as many samples as the dataset. */
#ifndef RBC_LOADER_MIXTURE_H
#define RBC_LOADER_MIXTURE_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "loader/permutation.h"

typedef struct rbc__mixture {
    int32_t num_members;
    const int64_t *sizes;  /* [num_members] samples of each, at least 1 where there are several */
    const int64_t *begins; /* [num_members + 1] first slot of each share, and the cycle's length */
    int64_t num_samples;   /* of an epoch */
    bool shuffle;
    uint64_t seed;
} rbc__mixture;

/* A sample of a member, before its own order: position in its own epoch. */
typedef struct rbc__mixture_sample {
    int32_t member;
    int64_t epoch, position;
} rbc__mixture_sample;

/* What is kept from one position for its neighbours: the permutation of a cycle. All 0 at first. */
typedef struct rbc__mixture_cursor {
    bool is_set;
    int64_t cycle;
    rbc__permutation permutation;
} rbc__mixture_cursor;

/* Member `index` as this library knows it, whatever struct_size the caller was built with. */
rbc_status rbc__mixture_member_at(const rbc_mixture_member *members, int32_t index,
                                  rbc_mixture_member *out, rbc_error *err);

/* INVALID_ARGUMENT naming what is wrong with the members, weights or the epoch. */
rbc_status rbc__mixture_check(const rbc_mixture_params *params, rbc_error *err);

/* Samples of an epoch: as many whole cycles as the member that ends first has samples for, but one
 * at least, or as it takes for the last to give all of its samples. INVALID_ARGUMENT: more than 2^62.
 */
rbc_status rbc__mixture_first(const rbc__mixture *mixture, int64_t *out, rbc_error *err);
rbc_status rbc__mixture_last(const rbc__mixture *mixture, int64_t *out, rbc_error *err);

/* Epochs that there are: positions are counted from epoch 0 on, below 2^62. */
int64_t rbc__mixture_num_epochs(const rbc__mixture *mixture);

/* What is at `position` of `epoch`; positions past the end of the epoch continue at its beginning. */
void rbc__mixture_find(const rbc__mixture *mixture, rbc__mixture_cursor *cursor, int64_t epoch,
                       int64_t position, rbc__mixture_sample *out);

/* The seed of a member's order, and of what is drawn for its images: the mixture's own for member 0.
 */
uint64_t rbc__mixture_seed(uint64_t seed, int32_t member);

#endif
