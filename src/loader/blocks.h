/* How a selection is packed: how many samples a block serves, and what shuffling makes of that.
 *
 * A global shuffle wants a block anew for nearly each sample that it serves. Shuffled by blocks,
 * samples that follow each other are cut into segments of several blocks each, the segments are
 * permuted, and the samples of a few segments, a group, among each other, all by arithmetic: see
 * rbc__order. A group's blocks are unpacked once, but for those at the borders of its segments. */
#ifndef RBC_LOADER_BLOCKS_H
#define RBC_LOADER_BLOCKS_H

#include "loader/rows.h"

/* Unpacked bytes that the segments of a group take together, about, where nobody says. */
#define RBC__GROUP_BYTES (INT64_C(64) << 20)

typedef struct rbc__packed {
    double block_samples;    /* that a block serves, of the stream whose blocks serve most; 0: no
                                stream is packed */
    double bytes_per_sample; /* that are unpacked, of all streams */
} rbc__packed;

/* Looks at the first episodes of the selection; damaged ones are passed over, always the same. A
 * shortage is an error: what it makes of the order may not depend on one. */
rbc_status rbc__packed_measure(rbc__rows *rows, rbc__maker *maker, rbc__packed *out,
                               rbc_error *err);

/* Samples of a segment, and segments of a group, that fit `group_bytes`. 1 and 1 where nothing is
 * packed: a global shuffle. Depends on the selection and the windows alone. */
void rbc__packed_divide(const rbc__packed *packed, int64_t group_bytes, int64_t *segment_samples,
                        int64_t *group_segments);

/* How often a block is unpacked in an epoch, to be expected with a cache of so many bytes: by a
 * global shuffle, and by blocks. 0: nothing is packed. */
double rbc__packed_factor_global(const rbc__packed *packed, int64_t num_samples,
                                 int64_t cache_bytes);
double rbc__packed_factor_blocks(const rbc__packed *packed, int64_t num_samples,
                                 int64_t segment_samples, int64_t group_segments,
                                 int64_t cache_bytes);

#endif
