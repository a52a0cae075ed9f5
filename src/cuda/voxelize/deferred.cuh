/* Reducing the cells of several points that overfull slabs left, by their size. One of few points
 * is made by a thread, unit by unit, one of many by eight threads. A crowd has so many that all
 * blocks share it, in parts of CROWD_POINTS; sums need to know the greatest magnitude first, so
 * that its parts are looked at before any is added. Atomics join what parts are, whose order does
 * not matter. */
#ifndef RBC_CUDA_DEFERRED_CUH
#define RBC_CUDA_DEFERRED_CUH

#include "cuda/voxelize/tally.cuh"

enum {
    LANES = 8, /* threads that make a unit of a cell of many points */
};

INLINE voxel_several load_several(const voxel_several *from) {
    const uint4 loaded = __ldg((const uint4 *)from);
    const voxel_several found = {loaded.x, loaded.y, loaded.z, loaded.w};
    return found;
}

/* ---- crowds ---------------------------------------------------------------------------------- */

/* Joins what the threads of a block know of a unit; the first thread gets all. `joined` has room
 * for what each warp knows. */
INLINE void join_block(channels *all, channels *joined, int summing, int dtype, int width,
                       int reduce) {
    const int warp = (int)(threadIdx.x >> 5);
    __syncwarp();
    if (summing) {
        join_sums(all, 32, width, dtype);
    } else {
        join_looks(all, 32, width, reduce);
    }
    if ((threadIdx.x & 31) == 0) {
        joined[warp] = *all;
    }
    __syncthreads();
    for (int w = 1; threadIdx.x == 0 && w < VOXEL_SEVERAL_THREADS / 32; ++w) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
            if (summing) {
                all->high[k] += joined[w].high[k];
                all->low[k] += joined[w].low[k];
            } else {
                const unsigned long long largest = joined[w].largest[k];
                all->largest[k] = largest > all->largest[k] ? largest : all->largest[k];
                all->key[k] = joined[w].key[k] > all->key[k] ? joined[w].key[k] : all->key[k];
            }
        }
        all->seen |= joined[w].seen;
    }
    __syncthreads();
}

/* The states of a unit's channels. */
INLINE voxel_state *states_of_unit(const voxel_reduce_launch *p, unsigned crowd, unsigned unit,
                                   int dtype, int vector) {
    return p->left.states + (unsigned long long)crowd * p->num_features +
           unit * (unsigned)width_of(dtype, vector);
}

/* What the states say; they are looked up in the L2 cache, where atomics change them. */
INLINE void load_states(channels *all, const voxel_state *states, int dtype, int width,
                        int reduce) {
    clear_channels(all, width);
#pragma unroll
    for (int k = 0; k < width; ++k) {
        const unsigned long long *state = (const unsigned long long *)(states + k);
        const unsigned long long largest = __ldcg(state);
        all->largest[k] = is_sum(reduce) ? largest : 0;
        all->key[k] = (long long)(largest ^ 1ull << 63);
        all->high[k] = (long long)__ldcg(state + 1);
        all->low[k] = (long long)__ldcg(state + 2);
        all->seen |= (unsigned)__ldcg(state + 3) << 3 * k;
    }
}

/* A part of a crowd. */
typedef struct part_of_crowd {
    unsigned crowd;
    voxel_several cell;
    const unsigned *points;
    unsigned count;
} part_of_crowd;

INLINE part_of_crowd load_part(const voxel_left *left, unsigned index) {
    const voxel_part part = left->parts[index];
    part_of_crowd found;
    found.crowd = part.crowd;
    found.cell = load_several(left->crowds + part.crowd);
    found.points = left->points + found.cell.first + part.index * CROWD_POINTS;
    found.count = min(found.cell.count - part.index * CROWD_POINTS, (unsigned)CROWD_POINTS);
    return found;
}

INLINE void look_at_part(const voxel_reduce_launch *p, const part_of_crowd *part, channels *joined,
                         int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    for (unsigned unit = 0; unit < units_of_row(p, vector); ++unit) {
        channels all;
        clear_channels(&all, width);
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < part->count; i += VOXEL_SEVERAL_THREADS) {
            const values loaded =
                load_values(p, part->cell.batch, __ldg(part->points + i), unit, dtype, vector);
            look(&all, &loaded, dtype, width, reduce);
        }
        join_block(&all, joined, 0, dtype, width, reduce);
        voxel_state *states = states_of_unit(p, part->crowd, unit, dtype, vector);
#pragma unroll
        for (int k = 0; k < width; ++k) {
            unsigned long long *state = (unsigned long long *)(states + k);
            const unsigned seen = all.seen >> 3 * k & 7;
            if (threadIdx.x == 0) {
                atomicMax(state, is_sum(reduce) ? all.largest[k]
                                                : (unsigned long long)all.key[k] ^ 1ull << 63);
            }
            if (threadIdx.x == 0 && seen != 0) {
                atomicOr(state + 3, (unsigned long long)seen);
            }
        }
    }
}

INLINE void add_part(const voxel_reduce_launch *p, const part_of_crowd *part, channels *joined,
                     int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    const int bits = bits_for((int)part->cell.count);
    for (unsigned unit = 0; unit < units_of_row(p, vector); ++unit) {
        voxel_state *states = states_of_unit(p, part->crowd, unit, dtype, vector);
        channels all;
        load_states(&all, states, dtype, width, reduce);
#pragma unroll
        for (int k = 0; k < width; ++k) {
            all.high[k] = 0;
            all.low[k] = 0;
        }
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < part->count; i += VOXEL_SEVERAL_THREADS) {
            const values loaded =
                load_values(p, part->cell.batch, __ldg(part->points + i), unit, dtype, vector);
            add(&all, &loaded, bits, dtype, width);
        }
        join_block(&all, joined, 1, dtype, width, reduce);
#pragma unroll
        for (int k = 0; k < width; ++k) {
            unsigned long long *state = (unsigned long long *)(states + k);
            if (threadIdx.x == 0) {
                atomicAdd(state + 1, (unsigned long long)all.high[k]);
                atomicAdd(state + 2, (unsigned long long)all.low[k]);
            }
        }
    }
}

INLINE void write_crowd(const voxel_reduce_launch *p, const part_of_crowd *part, int dtype,
                        int vector, int reduce) {
    for (unsigned unit = threadIdx.x; unit < units_of_row(p, vector);
         unit += VOXEL_SEVERAL_THREADS) {
        channels all;
        load_states(&all, states_of_unit(p, part->crowd, unit, dtype, vector), dtype,
                    width_of(dtype, vector), reduce);
        write_unit(p, part->cell.batch, part->cell.cell, unit,
                   finish_unit(&all, (int)part->cell.count, dtype, vector, reduce), dtype, vector);
    }
}

/* Says that the block is done with a part; returns how many parts of the crowd are. */
INLINE unsigned count_part(unsigned *done) {
    __threadfence();
    const unsigned before = atomicAdd(done, 1u);
    __threadfence();
    return before + 1;
}

/* Blocks take parts, first to look at them, then, for sums, to add them. One that adds waits until
 * all parts of its crowd have been looked at: they have been taken before, by blocks that wait for
 * nothing. */
INLINE void reduce_crowds(const voxel_reduce_launch *p, int dtype, int vector, int reduce) {
    __shared__ channels joined[VOXEL_SEVERAL_THREADS / 32];
    __shared__ unsigned taken, done;
    const voxel_left *left = &p->left;
    const unsigned num_parts = left->used[LEFT_PARTS];
    const unsigned end = is_sum(reduce) ? 2 * num_parts : num_parts;
    for (;;) {
        if (threadIdx.x == 0) {
            taken = atomicAdd(&left->used[LEFT_TAKEN], 1u);
        }
        __syncthreads();
        const unsigned task = taken;
        if (task >= end) {
            return;
        }
        const int adding = task >= num_parts;
        const part_of_crowd part = load_part(left, adding ? task - num_parts : task);
        const unsigned parts = (part.cell.count + CROWD_POINTS - 1) / CROWD_POINTS;
        if (!adding) {
            look_at_part(p, &part, joined, dtype, vector, reduce);
        } else {
            if (threadIdx.x == 0) {
                while (*(volatile unsigned *)&left->looked[part.crowd] != parts) {
                }
                __threadfence();
            }
            __syncthreads();
            add_part(p, &part, joined, dtype, vector, reduce);
        }
        if (threadIdx.x == 0) {
            done = count_part((adding ? left->finished : left->looked) + part.crowd);
        }
        __syncthreads();
        if (done == parts && (adding || !is_sum(reduce))) {
            write_crowd(p, &part, dtype, vector, reduce);
        }
        __syncthreads();
    }
}

/* ---- cells of few points and of many --------------------------------------------------------- */

/* A unit as reduce.cuh makes it, for `lanes` neighbouring threads; where there are several, all of
 * the warp are here. The first gets it. */
INLINE uint4 general_unit(const voxel_reduce_launch *p, const voxel_several *cell, int count,
                          unsigned unit, int lanes, int dtype, int vector, int reduce) {
    channels all;
    make_unit(p, cell->batch, p->left.points + cell->first, count, unit, (int)threadIdx.x % lanes,
              lanes, &all, dtype, vector, reduce);
    return finish_unit(&all, count, dtype, vector, reduce);
}

/* general_unit() for the kernel's types, kept out of its registers. */
typedef uint4 (*general_function)(const voxel_reduce_launch *p, const voxel_several *cell,
                                  int count, unsigned unit, int lanes, int reduce);

/* Reduces the cells of a list, from *list on and `direction` apart; `lanes` neighbouring threads
 * make a unit together. */
INLINE void reduce_cells(const voxel_reduce_launch *p, const voxel_several *list, int direction,
                         unsigned num_cells, int lanes, general_function general, int dtype,
                         int vector, int reduce) {
    const int width = width_of(dtype, vector);
    const unsigned row_units = units_of_row(p, vector);
    const int lane = (int)threadIdx.x % lanes;
    const unsigned thread = blockIdx.x * VOXEL_SEVERAL_THREADS + threadIdx.x;
    const unit_at by = find_unit(gridDim.x * VOXEL_SEVERAL_THREADS / (unsigned)lanes, row_units);
    unit_at at = find_unit(thread / (unsigned)lanes, row_units);
    /* All lanes of a warp stay together, for the shuffles. */
    while (__any_sync(0xffffffffu, at.cell < num_cells)) {
        const int exists = at.cell < num_cells;
        const voxel_several cell =
            load_several(list + direction * (long long)(exists ? at.cell : 0));
        const int count = exists ? (int)cell.count : 0;
        const unsigned *points = p->left.points + cell.first;
        tally all;
        clear_tally(&all, width);
        for (int from = lane; dtype != VALUE_F64 && from < count; from += AT_ONCE * lanes) {
            values loaded[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) {
                if (from + i * lanes < count) {
                    loaded[i] = load_values(p, cell.batch, __ldg(points + from + i * lanes),
                                            at.unit, dtype, vector);
                }
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) {
                if (from + i * lanes < count) {
                    tally_values(&all, &loaded[i], dtype, width, reduce);
                }
            }
        }
        __syncwarp();
        join_tallies(&all, lanes, width, reduce);
        uint4 result;
        const int exact =
            dtype != VALUE_F64 && finish_tally(&all, count, &result, dtype, vector, reduce);
        if (__any_sync(0xffffffffu, exists && !exact)) {
            const uint4 made = general(p, &cell, exact ? 0 : count, at.unit, lanes, reduce);
            result = exact ? result : made;
        }
        if (exists && lane == 0) {
            write_unit(p, cell.batch, cell.cell, at.unit, result, dtype, vector);
        }
        __syncwarp();
        at = next_unit(at, by, row_units);
    }
}

/* Kernels rbc__voxel_<name>_several_cuda. What is rarely needed is kept out of their registers. */
#define SEVERAL_KERNEL(name, dtype, vector, reduce_of)                                             \
    static __device__ __noinline__ uint4 general_##name(const voxel_reduce_launch *p,              \
                                                        const voxel_several *cell, int count,      \
                                                        unsigned unit, int lanes, int reduce) {    \
        return general_unit(p, cell, count, unit, lanes, dtype, vector, reduce);                   \
    }                                                                                              \
    static __device__ __noinline__ void crowds_##name(const voxel_reduce_launch *p) {              \
        reduce_crowds(p, dtype, vector, reduce_of(p->reduce));                                     \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(VOXEL_SEVERAL_THREADS, 3)                         \
        rbc__voxel_several_##name##_cuda(const __grid_constant__ voxel_reduce_launch p) {          \
        launch_await();                                                                            \
        launch_release();                                                                          \
        const unsigned parts = __ldg(p.left.used + LEFT_PARTS);                                    \
        const unsigned many = __ldg(p.left.used + LEFT_MANY);                                      \
        const unsigned few = __ldg(p.left.used + LEFT_FEW);                                        \
        if ((parts | many | few) == 0) {                                                           \
            return;                                                                                \
        }                                                                                          \
        if (parts != 0) {                                                                          \
            crowds_##name(&p);                                                                     \
        }                                                                                          \
        reduce_cells(&p, p.left.cells + (p.left.room - 1), -1, many, LANES, general_##name, dtype, \
                     vector, reduce_of(p.reduce));                                                 \
        reduce_cells(&p, p.left.cells, 1, few, 1, general_##name, dtype, vector,                   \
                     reduce_of(p.reduce));                                                         \
    }

#endif
