/* The points of a tile sorted by cell in shared memory: each cell has positions for its points, one
 * after the other. */
#ifndef RBC_CUDA_TILE_SORT_CUH
#define RBC_CUDA_TILE_SORT_CUH

#include "cuda/voxelize/cell_tile.cuh"
#include "cuda/voxelize/point_range.cuh"
#include "cuda/voxelize/slice.cuh"

INLINE int cell_of_entry(unsigned entry) {
    return (int)(entry >> VOXEL_INDEX_BITS);
}

enum {
    GROUP_CELLS = 8, /* cells that a thread turns into positions at once */
    TASKS = 2,       /* vectors that a thread loads before it uses the first */
    SLICES_AT_ONCE = 4,
};

/* Where things are in dynamic shared memory. raw: points as they come, and cell << 16 | rank; no
 * longer needed when the features come to the same position. */
typedef struct tile_memory {
    unsigned *cells;           /* counts, then the first of a cell's positions | its count << 16 */
    unsigned *order;           /* the point of each position */
    unsigned short *multiples; /* cells of several points */
    unsigned short *group_lists; /* where those of each group of cells begin; their number */
    uint2 *raw;
    char *rows;
    int groups;
    unsigned row_bytes;
} tile_memory;

INLINE tile_memory memory_of_block(const voxel_reduce_launch *p, unsigned *shared, int dtype,
                                   int vector) {
    const unsigned cells = 1u << p->deal.cut.shift;
    tile_memory memory;
    memory.groups = (int)(cells / GROUP_CELLS);
    memory.cells = shared;
    memory.order = memory.cells + cells;
    memory.multiples = (unsigned short *)(memory.order + p->most_points);
    memory.group_lists = memory.multiples + p->most_points / 2;
    memory.rows = (char *)(memory.group_lists + (memory.groups / 8 + 1) * 8);
    memory.raw = (uint2 *)memory.rows;
    memory.row_bytes = slices_of_row(p, vector) * slice_bytes(dtype, vector);
    return memory;
}

INLINE unsigned first_position(const tile_memory *memory, int cell, unsigned total) {
    return cell < memory->groups * GROUP_CELLS ? memory->cells[cell] & 0xffffu : total;
}

/* Keeps the entries of n vectors, of which the thread has left[k]. Returns whether it did: none of
 * a warp's where the tile has too many. */
INLINE int keep_vec16s(const voxel_reduce_launch *p, const tile_memory *memory, const uint4 *vec16s,
                       const int *left, const unsigned *ranges, int n, unsigned *total) {
    int own[TASKS];
    int mine = 0;
#pragma unroll
    for (int k = 0; k < n; ++k) {
        own[k] = min(max(left[k], 0), 4);
        mine += own[k];
    }
    const int inclusive = (int)warp_scan((unsigned)mine);
    unsigned base = 0;
    if ((threadIdx.x & 31) == 31) {
        base = atomicAdd(total, (unsigned)inclusive);
    }
    base = __shfl_sync(0xffffffffu, base, 31);
    if (base + (unsigned)__shfl_sync(0xffffffffu, inclusive, 31) > p->most_points) {
        return 0;
    }
    unsigned ranks[TASKS][4];
#pragma unroll
    for (int k = 0; k < n; ++k) {
        const unsigned words[4] = {vec16s[k].x, vec16s[k].y, vec16s[k].z, vec16s[k].w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            ranks[k][j] = j < own[k] ? atomicAdd(&memory->cells[cell_of_entry(words[j])], 1u) : 0;
        }
    }
    uint2 *position = memory->raw + base + (unsigned)(inclusive - mine);
#pragma unroll
    for (int k = 0; k < n; ++k) {
        const unsigned words[4] = {vec16s[k].x, vec16s[k].y, vec16s[k].z, vec16s[k].w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            if (j < own[k]) {
                position[j] = make_uint2(ranges[k] * p->deal.cut.range_points +
                                             (words[j] & ((1u << VOXEL_INDEX_BITS) - 1)),
                                         (unsigned)cell_of_entry(words[j]) << 16 | ranks[k][j]);
            }
        }
        position += own[k];
    }
    return 1;
}

/* Keeps the entries of long runs, each of which the whole warp reads; `run` is 0 for threads that
 * have none. Returns as keep_vec16s(). */
INLINE int keep_long_runs(const voxel_reduce_launch *p, const cell_tile *part,
                          const tile_memory *memory, unsigned range, unsigned run,
                          unsigned *total) {
    const int lane = (int)threadIdx.x & 31;
    for (unsigned turns = __ballot_sync(0xffffffffu, run != 0); turns != 0; turns &= turns - 1) {
        const int turn = __ffs((int)turns) - 1;
        const unsigned from = __shfl_sync(0xffffffffu, range, turn);
        const unsigned word = __shfl_sync(0xffffffffu, run, turn);
        const uint4 *vec16s = vec16s_of_range(&p->deal, part, from) + (word & 0xffffu);
        const int count = (int)(word >> 16);
        for (int first = 0; first * 4 < count; first += 32) {
            const int left = count - 4 * (first + lane);
            uint4 vec16;
            if (left > 0) {
                vec16 = __ldg(vec16s + first + lane);
            }
            if (!keep_vec16s(p, memory, &vec16, &left, &from, 1, total)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Reads all entries of the tile; returns their number, which may be more than were kept. */
INLINE unsigned keep_entries(const voxel_reduce_launch *p, const cell_tile *part,
                             const tile_memory *memory) {
    __shared__ unsigned total;
    if (threadIdx.x == 0) {
        total = 0;
    }
    __syncthreads();
    for (unsigned base = 0; base < num_tasks(&p->deal); base += TASKS * blockDim.x) {
        task tasks[TASKS];
        uint4 vec16s[TASKS];
        int left[TASKS];
        unsigned ranges[TASKS], lanes[TASKS];
        int too_long[TASKS];
        int some_long = 0;
        load_tasks(&p->deal, part, base, TASKS, 4, tasks);
        const int step = 4 * (int)p->deal.lanes;
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            ranges[k] = range_of_task(&p->deal, base + k * blockDim.x + threadIdx.x, &lanes[k]);
            vec16s[k] = tasks[k].vec16;
            too_long[k] = is_long(&p->deal, tasks[k].run, 4);
            left[k] = too_long[k] ? 0 : (int)(tasks[k].run >> 16) - 4 * (int)lanes[k];
            some_long |= too_long[k];
        }
        int kept = keep_vec16s(p, memory, vec16s, left, ranges, TASKS, &total);
        if (__any_sync(0xffffffffu, some_long)) {
#pragma unroll
            for (int k = 0; k < TASKS; ++k) {
                const unsigned run = too_long[k] && lanes[k] == 0 ? tasks[k].run : 0;
                kept = kept && keep_long_runs(p, part, memory, ranges[k], run, &total);
            }
        }
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            const uint4 *next =
                vec16s_of_range(&p->deal, part, ranges[k]) + (tasks[k].run & 0xffffu) + lanes[k];
            while (kept && __any_sync(0xffffffffu, left[k] > step)) {
                left[k] -= step;
                next += p->deal.lanes;
                if (left[k] > 0) {
                    vec16s[k] = __ldg(next);
                }
                kept = keep_vec16s(p, memory, vec16s + k, left + k, ranges + k, 1, &total);
            }
        }
    }
    __syncthreads();
    return total;
}

/* Counts become positions; lists the cells of several points. False where a group of cells has more
 * than the stage holds. */
INLINE int number_cells(const voxel_reduce_launch *p, const cell_tile *part,
                        const tile_memory *memory) {
    __shared__ unsigned warp_sums[32];
    const int each = (memory->groups + (int)blockDim.x - 1) / (int)blockDim.x;
    const int begin = min((int)threadIdx.x * each, memory->groups);
    const int end = min(begin + each, memory->groups);
    unsigned sums = 0; /* points | cells of several << 16 */
    int fits = 1;
    for (int group = begin; group < end; ++group) {
        unsigned sum = 0;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const uint4 four = ((const uint4 *)memory->cells)[2 * group + half];
            sum += four.x + four.y + four.z + four.w;
            sums += (unsigned)((four.x > 1) + (four.y > 1) + (four.z > 1) + (four.w > 1)) << 16;
        }
        fits &= sum <= p->staged_rows;
        sums += sum;
    }
    unsigned total;
    unsigned before = block_sum_before(sums, warp_sums, &total);
    for (int group = begin; group < end; ++group) {
        memory->group_lists[group] = (unsigned short)(before >> 16);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            uint4 *at = (uint4 *)memory->cells + 2 * group + half;
            const uint4 four = *at;
            const unsigned counts[4] = {four.x, four.y, four.z, four.w};
            unsigned words[4];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                const int cell = GROUP_CELLS * group + 4 * half + k;
                words[k] = (before & 0xffffu) | counts[k] << 16;
                if (counts[k] > 1) {
                    memory->multiples[before >> 16] = (unsigned short)cell;
                }
                before += counts[k] + (counts[k] > 1 ? 0x10000u : 0u);
                if (p->counts != 0 && cell < part->cells) {
                    p->counts[part->out_cell + cell] = (int)counts[k];
                }
            }
            *at = make_uint4(words[0], words[1], words[2], words[3]);
        }
        if (group == memory->groups - 1) {
            memory->group_lists[memory->groups] = (unsigned short)(before >> 16);
        }
    }
    return __syncthreads_and(fits);
}

INLINE void order_points(const tile_memory *memory, int total) {
    for (int base = (int)threadIdx.x; base < total; base += SLICES_AT_ONCE * (int)blockDim.x) {
        uint2 raw[SLICES_AT_ONCE];
        unsigned positions[SLICES_AT_ONCE];
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            const int i = base + k * (int)blockDim.x;
            raw[k] = i < total ? memory->raw[i] : make_uint2(0, 0);
        }
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            positions[k] = (memory->cells[raw[k].y >> 16] & 0xffffu) + (raw[k].y & 0xffffu);
        }
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            if (base + k * (int)blockDim.x < total) {
                memory->order[positions[k]] = raw[k].x;
            }
        }
    }
    __syncthreads();
}

#endif
