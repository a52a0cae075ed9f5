/* The points that all segments have for one slab; see voxel_params.h. */
#ifndef RBC_CUDA_KERNELS_SLAB_CUH
#define RBC_CUDA_KERNELS_SLAB_CUH

#include "chunk.cuh"
#include "voxel_params.h"

/* value / divisor, where `inverse` is 2^32 / divisor rounded up, 0 for a divisor of 1. */
INLINE unsigned divide_by_inverse(unsigned value, unsigned inverse) {
    return inverse == 0 ? value : __umulhi(value, inverse);
}

typedef struct slab {
    long long batch;
    int index;
    int cells;          /* in it */
    long long out_cell; /* its first cell in the output of all clouds */
} slab;

INLINE slab slab_of_block(const voxel_cut *cut) {
    slab found;
    found.batch = blockIdx.x / cut->num_slabs;
    found.index = (int)(blockIdx.x - (unsigned)found.batch * cut->num_slabs);
    const long long begin = cut->first + ((long long)found.index << cut->shift);
    const long long left = cut->end - begin;
    found.cells = left < 1ll << cut->shift ? (int)left : 1 << cut->shift;
    found.out_cell = found.batch * cut->cells + begin;
    return found;
}

/* Sums what the segments dropped. The first warp of each cloud's first slab does it. */
INLINE void write_dropped(const voxel_cut *cut, const slab *part, long long *dropped) {
    if (dropped == 0 || part->index != 0 || threadIdx.x >= 32) {
        return;
    }
    const unsigned *missing = cut->missing + part->batch * cut->num_segments;
    unsigned sum = 0; /* a cloud has fewer than 2^31 points */
    for (unsigned i = threadIdx.x; i < cut->num_segments; i += 32) {
        sum += missing[i];
    }
    sum = __reduce_add_sync(0xffffffffu, sum);
    if (threadIdx.x == 0) {
        dropped[part->batch] = sum;
    }
}

/* A run of entries, whole chunks of four. */
typedef struct run {
    const uint4 *chunks;
    int count; /* entries */
} run;

INLINE unsigned long long row_of_segment(const voxel_deal *deal, const slab *part,
                                         unsigned segment) {
    return (unsigned long long)part->batch * deal->cut.num_segments + segment;
}

INLINE unsigned run_word(const voxel_deal *deal, const slab *part, unsigned segment) {
    return __ldg(deal->runs + row_of_segment(deal, part, segment) * deal->cut.num_slabs +
                 part->index);
}

INLINE run run_of_word(const voxel_deal *deal, const slab *part, unsigned segment, unsigned word) {
    run found;
    found.chunks = (const uint4 *)(deal->entries +
                                   row_of_segment(deal, part, segment) * deal->segment_entries) +
                   (word & 0xffffu);
    found.count = (int)(word >> 16);
    return found;
}

INLINE run run_of_segment(const voxel_deal *deal, const slab *part, unsigned segment) {
    return run_of_word(deal, part, segment, run_word(deal, part, segment));
}

INLINE int cell_of_entry(unsigned entry) {
    return (int)(entry >> VOXEL_INDEX_BITS);
}

INLINE unsigned point_of_entry(const voxel_deal *deal, unsigned segment, unsigned entry) {
    return segment * deal->cut.segment_points + (entry & ((1u << VOXEL_INDEX_BITS) - 1));
}

#endif
