/* The points that all ranges have for one tile; see voxel_params.h. */
#ifndef RBC_CUDA_CELL_TILE_CUH
#define RBC_CUDA_CELL_TILE_CUH

#include "cuda/common/vec16.cuh"
#include "cuda/voxelize/voxel_params.h"

/* value / divisor, where `inverse` is 2^32 / divisor rounded up, 0 for a divisor of 1. */
INLINE unsigned divide_by_inverse(unsigned value, unsigned inverse) {
    return inverse == 0 ? value : __umulhi(value, inverse);
}

typedef struct cell_tile {
    long long batch;
    int index;
    int cells;          /* in it */
    long long out_cell; /* its first cell in the output of all clouds */
} cell_tile;

INLINE cell_tile tile_of_block(const voxel_cut *cut) {
    cell_tile found;
    found.batch = blockIdx.x / cut->num_tiles;
    found.index = (int)(blockIdx.x - (unsigned)found.batch * cut->num_tiles);
    const long long begin = cut->first + ((long long)found.index << cut->shift);
    const long long left = cut->end - begin;
    found.cells = left < 1ll << cut->shift ? (int)left : 1 << cut->shift;
    found.out_cell = found.batch * cut->cells + begin;
    return found;
}

/* Sums what the ranges dropped. The first warp of each cloud's first tile does it. */
INLINE void write_dropped(const voxel_cut *cut, const cell_tile *part, long long *dropped) {
    if (dropped == 0 || part->index != 0 || threadIdx.x >= 32) {
        return;
    }
    const unsigned *missing = cut->missing + part->batch * cut->num_ranges;
    unsigned sum = 0; /* a cloud has fewer than 2^31 points */
    for (unsigned i = threadIdx.x; i < cut->num_ranges; i += 32) {
        sum += missing[i];
    }
    sum = __reduce_add_sync(0xffffffffu, sum);
    if (threadIdx.x == 0) {
        dropped[part->batch] = sum;
    }
}

/* ---- points dealt out ---- */

/* What a thread reads of a range's run: a vector, then every lanes-th one after it. */
typedef struct task {
    uint4 vec16;  /* the first, where the run has that many */
    unsigned run; /* of the range; 0: no such task */
} task;

/* Of task `index`: its range, and the first of its vectors in the run. */
INLINE unsigned range_of_task(const voxel_deal *deal, unsigned index, unsigned *lane) {
    const unsigned range = divide_by_inverse(index, deal->lanes_inverse);
    *lane = index - range * deal->lanes;
    return range;
}

INLINE unsigned long long row_of_range(const voxel_deal *deal, const cell_tile *part,
                                       unsigned range) {
    return (unsigned long long)part->batch * deal->cut.num_ranges + range;
}

INLINE const uint4 *vec16s_of_range(const voxel_deal *deal, const cell_tile *part, unsigned range) {
    return (const uint4 *)deal->entries + row_of_range(deal, part, range) * deal->range_vec16s;
}

INLINE unsigned run_of_range(const voxel_deal *deal, const cell_tile *part, unsigned range) {
    return __ldg(deal->runs + row_of_range(deal, part, range) * deal->cut.num_tiles + part->index);
}

/* Tasks base + threadIdx.x + k * blockDim.x, all loads issued before the first is waited for. A bin
 * is read while the run that says whether it is one is on the way. */
INLINE void load_tasks(const voxel_deal *deal, const cell_tile *part, unsigned base, int n,
                       int vec16_entries, task *tasks) {
    const unsigned bin = (unsigned)part->index * deal->bin_vec16s;
#pragma unroll
    for (int k = 0; k < n; ++k) {
        unsigned lane;
        const unsigned range = range_of_task(deal, base + k * blockDim.x + threadIdx.x, &lane);
        tasks[k].run = 0;
        if (range < deal->cut.num_ranges) {
            tasks[k].run = run_of_range(deal, part, range);
            if (deal->bin_vec16s != 0) {
                tasks[k].vec16 = __ldg(vec16s_of_range(deal, part, range) + bin + lane);
            }
        }
    }
#pragma unroll
    for (int k = 0; k < n; ++k) {
        unsigned lane;
        const unsigned range = range_of_task(deal, base + k * blockDim.x + threadIdx.x, &lane);
        const unsigned begin = tasks[k].run & 0xffffu;
        if (lane * (unsigned)vec16_entries < tasks[k].run >> 16 &&
            (deal->bin_vec16s == 0 || begin != bin)) {
            tasks[k].vec16 = __ldg(vec16s_of_range(deal, part, range) + begin + lane);
        }
    }
}

enum {
    LONG_ROUNDS = 8, /* vectors that a thread reads of a run; longer ones are for whole warps */
};

/* What is done with the first `left` entries of a vector, of those of a range whose first point is
 * `first`. */
typedef void (*use_function)(void *state, unsigned first, uint4 vec16, int left);

INLINE int is_long(const voxel_deal *deal, unsigned run, int vec16_entries) {
    return run >> 16 > LONG_ROUNDS * deal->lanes * (unsigned)vec16_entries;
}

/* The long runs of a warp's tasks: all threads share each. `index` and `run` are of the thread's
 * task, and all of the warp are here. */
INLINE void use_long_runs(const voxel_deal *deal, const cell_tile *part, unsigned index,
                          unsigned run, int vec16_entries, use_function use, void *state) {
    unsigned lane;
    const unsigned own = range_of_task(deal, index, &lane);
    unsigned turns = __ballot_sync(0xffffffffu, lane == 0 && is_long(deal, run, vec16_entries));
    for (; turns != 0; turns &= turns - 1) {
        const int turn = __ffs((int)turns) - 1;
        const unsigned range = __shfl_sync(0xffffffffu, own, turn);
        const unsigned word = __shfl_sync(0xffffffffu, run, turn);
        const uint4 *vec16s = vec16s_of_range(deal, part, range) + (word & 0xffffu);
        const int count = (int)(word >> 16);
#pragma unroll 2
        for (int at = (int)threadIdx.x & 31; at * vec16_entries < count; at += 32) {
            use(state, range * deal->cut.range_points, __ldg(vec16s + at),
                count - at * vec16_entries);
        }
        __syncwarp();
    }
}

/* Uses what the tasks of a round, loaded, are for. */
INLINE void use_tasks(const voxel_deal *deal, const cell_tile *part, const task *tasks,
                      unsigned base, int n, int vec16_entries, use_function use, void *state) {
#pragma unroll
    for (int k = 0; k < n; ++k) {
        unsigned lane;
        const unsigned index = base + k * blockDim.x + threadIdx.x;
        const unsigned range = range_of_task(deal, index, &lane);
        const int too_long = is_long(deal, tasks[k].run, vec16_entries);
        const unsigned first = range * deal->cut.range_points;
        const int step = (int)deal->lanes * vec16_entries;
        int left = too_long ? 0 : (int)(tasks[k].run >> 16) - (int)lane * vec16_entries;
        use(state, first, tasks[k].vec16, left);
        const uint4 *vec16s = vec16s_of_range(deal, part, range) + (tasks[k].run & 0xffffu) + lane;
        while ((left -= step) > 0) {
            vec16s += deal->lanes;
            use(state, first, __ldg(vec16s), left);
        }
        if (__any_sync(0xffffffffu, too_long)) {
            use_long_runs(deal, part, index, tasks[k].run, vec16_entries, use, state);
        }
    }
}

INLINE unsigned num_tasks(const voxel_deal *deal) {
    return deal->cut.num_ranges * deal->lanes;
}

#endif
