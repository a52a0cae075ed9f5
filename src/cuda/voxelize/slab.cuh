/* The points that all segments have for one slab; see voxel_params.h. */
#ifndef RBC_CUDA_KERNELS_SLAB_CUH
#define RBC_CUDA_KERNELS_SLAB_CUH

#include "cuda/common/chunk.cuh"
#include "cuda/voxelize/voxel_params.h"

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

/* ---- points dealt out ----------------------------------------------------------------------- */

/* What a thread reads of a segment's run: a chunk, then every lanes-th one after it. */
typedef struct task {
    uint4 chunk;  /* the first, where the run has that many */
    unsigned run; /* of the segment; 0: no such task */
} task;

/* Of task `index`: its segment, and the first of its chunks in the run. */
INLINE unsigned segment_of_task(const voxel_deal *deal, unsigned index, unsigned *lane) {
    const unsigned segment = divide_by_inverse(index, deal->lanes_inverse);
    *lane = index - segment * deal->lanes;
    return segment;
}

INLINE unsigned long long row_of_segment(const voxel_deal *deal, const slab *part,
                                         unsigned segment) {
    return (unsigned long long)part->batch * deal->cut.num_segments + segment;
}

INLINE const uint4 *chunks_of_segment(const voxel_deal *deal, const slab *part, unsigned segment) {
    return (const uint4 *)deal->entries +
           row_of_segment(deal, part, segment) * deal->segment_chunks;
}

INLINE unsigned run_of_segment(const voxel_deal *deal, const slab *part, unsigned segment) {
    return __ldg(deal->runs + row_of_segment(deal, part, segment) * deal->cut.num_slabs +
                 part->index);
}

/* Tasks base + threadIdx.x + k * blockDim.x, all loads issued before the first is waited for. A bin
 * is read while the run that says whether it is one is on the way. */
INLINE void load_tasks(const voxel_deal *deal, const slab *part, unsigned base, int n,
                       int chunk_entries, task *tasks) {
    const unsigned bin = (unsigned)part->index * deal->bin_chunks;
#pragma unroll
    for (int k = 0; k < n; ++k) {
        unsigned lane;
        const unsigned segment = segment_of_task(deal, base + k * blockDim.x + threadIdx.x, &lane);
        tasks[k].run = 0;
        if (segment < deal->cut.num_segments) {
            tasks[k].run = run_of_segment(deal, part, segment);
            if (deal->bin_chunks != 0) {
                tasks[k].chunk = __ldg(chunks_of_segment(deal, part, segment) + bin + lane);
            }
        }
    }
#pragma unroll
    for (int k = 0; k < n; ++k) {
        unsigned lane;
        const unsigned segment = segment_of_task(deal, base + k * blockDim.x + threadIdx.x, &lane);
        const unsigned begin = tasks[k].run & 0xffffu;
        if (lane * (unsigned)chunk_entries < tasks[k].run >> 16 &&
            (deal->bin_chunks == 0 || begin != bin)) {
            tasks[k].chunk = __ldg(chunks_of_segment(deal, part, segment) + begin + lane);
        }
    }
}

enum {
    LONG_ROUNDS = 8, /* chunks that a thread reads of a run; longer ones are for whole warps */
};

/* What is done with the first `left` entries of a chunk, of those of a segment whose first point is
 * `first`. */
typedef void (*use_function)(void *made, unsigned first, uint4 chunk, int left);

INLINE int is_long(const voxel_deal *deal, unsigned run, int chunk_entries) {
    return run >> 16 > LONG_ROUNDS * deal->lanes * (unsigned)chunk_entries;
}

/* The long runs of a warp's tasks: all threads share each. `index` and `run` are of the thread's
 * task, and all of the warp are here. */
INLINE void use_long_runs(const voxel_deal *deal, const slab *part, unsigned index, unsigned run,
                          int chunk_entries, use_function use, void *made) {
    unsigned lane;
    const unsigned own = segment_of_task(deal, index, &lane);
    unsigned turns = __ballot_sync(0xffffffffu, lane == 0 && is_long(deal, run, chunk_entries));
    for (; turns != 0; turns &= turns - 1) {
        const int turn = __ffs((int)turns) - 1;
        const unsigned segment = __shfl_sync(0xffffffffu, own, turn);
        const unsigned word = __shfl_sync(0xffffffffu, run, turn);
        const uint4 *chunks = chunks_of_segment(deal, part, segment) + (word & 0xffffu);
        const int count = (int)(word >> 16);
#pragma unroll 2
        for (int at = (int)threadIdx.x & 31; at * chunk_entries < count; at += 32) {
            use(made, segment * deal->cut.segment_points, __ldg(chunks + at),
                count - at * chunk_entries);
        }
        __syncwarp();
    }
}

/* Uses what the tasks of a round, loaded, are for. */
INLINE void use_tasks(const voxel_deal *deal, const slab *part, const task *tasks, unsigned base,
                      int n, int chunk_entries, use_function use, void *made) {
#pragma unroll
    for (int k = 0; k < n; ++k) {
        unsigned lane;
        const unsigned index = base + k * blockDim.x + threadIdx.x;
        const unsigned segment = segment_of_task(deal, index, &lane);
        const int too_long = is_long(deal, tasks[k].run, chunk_entries);
        const unsigned first = segment * deal->cut.segment_points;
        const int step = (int)deal->lanes * chunk_entries;
        int left = too_long ? 0 : (int)(tasks[k].run >> 16) - (int)lane * chunk_entries;
        use(made, first, tasks[k].chunk, left);
        const uint4 *chunks =
            chunks_of_segment(deal, part, segment) + (tasks[k].run & 0xffffu) + lane;
        while ((left -= step) > 0) {
            chunks += deal->lanes;
            use(made, first, __ldg(chunks), left);
        }
        if (__any_sync(0xffffffffu, too_long)) {
            use_long_runs(deal, part, index, tasks[k].run, chunk_entries, use, made);
        }
    }
}

INLINE unsigned num_tasks(const voxel_deal *deal) {
    return deal->cut.num_segments * deal->lanes;
}

#endif
