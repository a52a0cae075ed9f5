/* Which samples are in batch k of a rank.
 *
 * The samples of an epoch are put in one global order, the same for every world size: position p
 * holds sample p, or, shuffled, the image of p under rbc__permutation. Positions are dealt out in
 * blocks of `batch_size`, from a position `base` on, 0 unless an epoch is gone on with: row i of
 * batch k of rank r is at position
 *
 *     p = base + (k * world_size + r) * batch_size + i
 *
 * so that batch g of a run with one rank is batch g / W of rank g % W of a run with W ranks, and so
 * that whoever begins where others stopped takes the positions that are left, whatever the world
 * and batch size of either. A part takes batches part, part + num_parts, ... of its rank, in the
 * same way. With n samples from base on, of N, there are G batches: ceil(n / batch_size), or floor
 * with drop_last. Where G is not a multiple of W:
 *
 *   UNEVEN  ranks r < G % W have one batch more; the very last batch may be smaller.
 *   DROP    with drop_last: the G % W batches left over are left out. Else: the samples of the last
 *           round, R = n - W * batch_size * (full rounds), are dealt out evenly, floor(R / W) to
 *           each rank, as rows p = (start of the round) + r * floor(R / W) + i; R % W samples, fewer
 *           than W, are left out. No batch where that is 0 rows.
 *   REPEAT  with drop_last: the round is filled up with full batches. Else: each rank gets
 *           ceil(R / W) rows as above. Positions p >= N continue at the beginning: p mod N.
 *
 * The last round without drop_last is dealt out evenly whenever it is not full, so that with DROP
 * and REPEAT the ranks have equally many batches of equally many rows. */
#ifndef RBC_LOADER_SAMPLER_H
#define RBC_LOADER_SAMPLER_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "loader/permutation.h"

typedef struct rbc__sampler {
    int64_t num_samples, base;
    int64_t batch_size;
    rbc_remainder remainder;
    bool drop_last;
    int64_t rank, world_size;
    int64_t part, num_parts;
    int64_t num_batches;   /* of this part */
    int64_t num_rounds;    /* batches of the part that has most: part 0 of rank 0 */
    int64_t rank_batches;  /* of this rank */
    int64_t last_rows;     /* of batch rank_batches - 1 of the rank */
    int64_t last_position; /* of its first row */
} rbc__sampler;

/* Order of one epoch of a dataset.
 *
 * Shuffled by blocks, with L = segment_samples and K = group_segments: the samples are S = floor(N /
 * L) segments of L each that follow each other, and a rest. The segments are permuted; K of them in
 * that order, the last time fewer, are a group, whose samples are permuted among each other. The
 * rest, fewer than L, comes last, permuted as well. Which segments and samples these are is found by
 * arithmetic from the position alone, as for a global shuffle. */
typedef struct rbc__order {
    int64_t num_samples;
    bool shuffle;
    int64_t segment_samples, group_segments; /* 1 and 1: a global shuffle */
    uint64_t seed, epoch;
    rbc__permutation permutation; /* of samples, or of segments */
} rbc__order;

/* INVALID_ARGUMENT naming batch_size, rank, world_size, remainder or part when out of range. */
rbc_status rbc__sampler_init(rbc__sampler *out, int64_t num_samples,
                             const rbc_loader_params *params, rbc_error *err);

/* Deals out the positions from `base` in [0, num_samples] on. */
void rbc__sampler_begin(rbc__sampler *sampler, int64_t base);

/* Where a round of the part begins: the position of its batch `index` on rank 0, of part 0; the
 * epoch's end, num_samples, where there is no such round. */
int64_t rbc__sampler_round(const rbc__sampler *sampler, int64_t index);

/* First position and number of rows of batch `index` in [0, num_batches). */
void rbc__sampler_batch(const rbc__sampler *sampler, int64_t index, int64_t *position,
                        int64_t *rows);

/* The order of another epoch; all but epoch and permutation is set. */
void rbc__order_begin(rbc__order *order, int64_t epoch);

/* Sample at `position` of the epoch; positions past the end continue at the beginning. */
int64_t rbc__order_sample(const rbc__order *order, int64_t position);

#endif
