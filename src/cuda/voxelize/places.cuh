/* The points of a slab sorted by cell in shared memory: each cell has places for its points, one
 * after the other. */
#ifndef RBC_CUDA_KERNELS_PLACES_CUH
#define RBC_CUDA_KERNELS_PLACES_CUH

#include "cuda/voxelize/segment.cuh"
#include "cuda/voxelize/slab.cuh"
#include "cuda/voxelize/unit.cuh"

INLINE int cell_of_entry(unsigned entry) {
    return (int)(entry >> VOXEL_INDEX_BITS);
}

enum {
    GROUP_CELLS = 8, /* cells that a thread turns into places at once */
    TASKS = 2,       /* chunks that a thread loads before it uses the first */
    UNITS_AT_ONCE = 4,
};

/* Where things are in dynamic shared memory. raw: points as they come, and cell << 16 | rank; no
 * longer needed when the features come to the same place. */
typedef struct stage {
    unsigned *cells;             /* counts, then the first of a cell's places | its count << 16 */
    unsigned *order;             /* the point of each place */
    unsigned short *multiples;   /* cells of several points */
    unsigned short *group_lists; /* where those of each group of cells begin; their number */
    uint2 *raw;
    char *rows;
    int groups;
    unsigned row_bytes;
} stage;

INLINE stage stage_of_block(const voxel_reduce_launch *p, unsigned *shared, int dtype, int vector) {
    const unsigned cells = 1u << p->deal.cut.shift;
    stage made;
    made.groups = (int)(cells / GROUP_CELLS);
    made.cells = shared;
    made.order = made.cells + cells;
    made.multiples = (unsigned short *)(made.order + p->most_points);
    made.group_lists = made.multiples + p->most_points / 2;
    made.rows = (char *)(made.group_lists + (made.groups / 8 + 1) * 8);
    made.raw = (uint2 *)made.rows;
    made.row_bytes = units_of_row(p, vector) * unit_bytes(dtype, vector);
    return made;
}

INLINE unsigned first_place(const stage *made, int cell, unsigned total) {
    return cell < made->groups * GROUP_CELLS ? made->cells[cell] & 0xffffu : total;
}

/* Keeps the entries of n chunks, of which the thread has left[k]. Returns whether it did: none of a
 * warp's where the slab has too many. */
INLINE int keep_chunks(const voxel_reduce_launch *p, const stage *made, const uint4 *chunks,
                       const int *left, const unsigned *segments, int n, unsigned *total) {
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
        const unsigned words[4] = {chunks[k].x, chunks[k].y, chunks[k].z, chunks[k].w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            ranks[k][j] = j < own[k] ? atomicAdd(&made->cells[cell_of_entry(words[j])], 1u) : 0;
        }
    }
    uint2 *place = made->raw + base + (unsigned)(inclusive - mine);
#pragma unroll
    for (int k = 0; k < n; ++k) {
        const unsigned words[4] = {chunks[k].x, chunks[k].y, chunks[k].z, chunks[k].w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            if (j < own[k]) {
                place[j] = make_uint2(segments[k] * p->deal.cut.segment_points +
                                          (words[j] & ((1u << VOXEL_INDEX_BITS) - 1)),
                                      (unsigned)cell_of_entry(words[j]) << 16 | ranks[k][j]);
            }
        }
        place += own[k];
    }
    return 1;
}

/* Keeps the entries of long runs, each of which the whole warp reads; `run` is 0 for threads that
 * have none. Returns as keep_chunks(). */
INLINE int keep_long_runs(const voxel_reduce_launch *p, const slab *part, const stage *made,
                          unsigned segment, unsigned run, unsigned *total) {
    const int lane = (int)threadIdx.x & 31;
    for (unsigned turns = __ballot_sync(0xffffffffu, run != 0); turns != 0; turns &= turns - 1) {
        const int turn = __ffs((int)turns) - 1;
        const unsigned from = __shfl_sync(0xffffffffu, segment, turn);
        const unsigned word = __shfl_sync(0xffffffffu, run, turn);
        const uint4 *chunks = chunks_of_segment(&p->deal, part, from) + (word & 0xffffu);
        const int count = (int)(word >> 16);
        for (int first = 0; first * 4 < count; first += 32) {
            const int left = count - 4 * (first + lane);
            uint4 chunk;
            if (left > 0) {
                chunk = __ldg(chunks + first + lane);
            }
            if (!keep_chunks(p, made, &chunk, &left, &from, 1, total)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Reads all entries of the slab; returns their number, which may be more than were kept. */
INLINE unsigned keep_entries(const voxel_reduce_launch *p, const slab *part, const stage *made) {
    __shared__ unsigned total;
    if (threadIdx.x == 0) {
        total = 0;
    }
    __syncthreads();
    for (unsigned base = 0; base < num_tasks(&p->deal); base += TASKS * blockDim.x) {
        task tasks[TASKS];
        uint4 chunks[TASKS];
        int left[TASKS];
        unsigned segments[TASKS], lanes[TASKS];
        int too_long[TASKS];
        int some_long = 0;
        load_tasks(&p->deal, part, base, TASKS, 4, tasks);
        const int step = 4 * (int)p->deal.lanes;
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            segments[k] = segment_of_task(&p->deal, base + k * blockDim.x + threadIdx.x, &lanes[k]);
            chunks[k] = tasks[k].chunk;
            too_long[k] = is_long(&p->deal, tasks[k].run, 4);
            left[k] = too_long[k] ? 0 : (int)(tasks[k].run >> 16) - 4 * (int)lanes[k];
            some_long |= too_long[k];
        }
        int kept = keep_chunks(p, made, chunks, left, segments, TASKS, &total);
        if (__any_sync(0xffffffffu, some_long)) {
#pragma unroll
            for (int k = 0; k < TASKS; ++k) {
                const unsigned run = too_long[k] && lanes[k] == 0 ? tasks[k].run : 0;
                kept = kept && keep_long_runs(p, part, made, segments[k], run, &total);
            }
        }
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            const uint4 *next = chunks_of_segment(&p->deal, part, segments[k]) +
                                (tasks[k].run & 0xffffu) + lanes[k];
            while (kept && __any_sync(0xffffffffu, left[k] > step)) {
                left[k] -= step;
                next += p->deal.lanes;
                if (left[k] > 0) {
                    chunks[k] = __ldg(next);
                }
                kept = keep_chunks(p, made, chunks + k, left + k, segments + k, 1, &total);
            }
        }
    }
    __syncthreads();
    return total;
}

/* Counts become places; lists the cells of several points. False where a group of cells has more
 * than the stage holds. */
INLINE int place_cells(const voxel_reduce_launch *p, const slab *part, const stage *made) {
    __shared__ unsigned warp_sums[32];
    const int each = (made->groups + (int)blockDim.x - 1) / (int)blockDim.x;
    const int begin = min((int)threadIdx.x * each, made->groups);
    const int end = min(begin + each, made->groups);
    unsigned sums = 0; /* points | cells of several << 16 */
    int fits = 1;
    for (int group = begin; group < end; ++group) {
        unsigned sum = 0;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const uint4 four = ((const uint4 *)made->cells)[2 * group + half];
            sum += four.x + four.y + four.z + four.w;
            sums += (unsigned)((four.x > 1) + (four.y > 1) + (four.z > 1) + (four.w > 1)) << 16;
        }
        fits &= sum <= p->stage_rows;
        sums += sum;
    }
    unsigned total;
    unsigned before = block_sum_before(sums, warp_sums, &total);
    for (int group = begin; group < end; ++group) {
        made->group_lists[group] = (unsigned short)(before >> 16);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            uint4 *at = (uint4 *)made->cells + 2 * group + half;
            const uint4 four = *at;
            const unsigned counts[4] = {four.x, four.y, four.z, four.w};
            unsigned words[4];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                const int cell = GROUP_CELLS * group + 4 * half + k;
                words[k] = (before & 0xffffu) | counts[k] << 16;
                if (counts[k] > 1) {
                    made->multiples[before >> 16] = (unsigned short)cell;
                }
                before += counts[k] + (counts[k] > 1 ? 0x10000u : 0u);
                if (p->counts != 0 && cell < part->cells) {
                    p->counts[part->out_cell + cell] = (int)counts[k];
                }
            }
            *at = make_uint4(words[0], words[1], words[2], words[3]);
        }
        if (group == made->groups - 1) {
            made->group_lists[made->groups] = (unsigned short)(before >> 16);
        }
    }
    return __syncthreads_and(fits);
}

INLINE void order_points(const stage *made, int total) {
    for (int base = (int)threadIdx.x; base < total; base += UNITS_AT_ONCE * (int)blockDim.x) {
        uint2 raw[UNITS_AT_ONCE];
        unsigned places[UNITS_AT_ONCE];
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            const int i = base + k * (int)blockDim.x;
            raw[k] = i < total ? made->raw[i] : make_uint2(0, 0);
        }
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            places[k] = (made->cells[raw[k].y >> 16] & 0xffffu) + (raw[k].y & 0xffffu);
        }
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            if (base + k * (int)blockDim.x < total) {
                made->order[places[k]] = raw[k].x;
            }
        }
    }
    __syncthreads();
}

#endif
