/* Reducing the cells of several points that overflowing tiles left, by their size. One of few
 * points is made by a thread, slice by slice, one of many by eight threads. A huge cell has so many
 * that all blocks share it, in parts of PART_POINTS; sums need to know the greatest magnitude
 * first, so that its parts are looked at before any is added. Atomics join what parts are, whose
 * order does not matter. */
#ifndef RBC_CUDA_DEFERRED_CUH
#define RBC_CUDA_DEFERRED_CUH

#include "cuda/voxelize/tally.cuh"

enum {
    LANES = 8, /* threads that make a slice of a cell of many points */
};

INLINE voxel_deferred_cell load_deferred_cell(const voxel_deferred_cell *from) {
    const uint4 loaded = __ldg((const uint4 *)from);
    const voxel_deferred_cell found = {loaded.x, loaded.y, loaded.z, loaded.w};
    return found;
}

/* ---- huge cells ---- */

/* Joins what the threads of a block know of a slice; the first thread gets all. `joined` has room
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
    for (int w = 1; threadIdx.x == 0 && w < VOXEL_DEFERRED_THREADS / 32; ++w) {
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

/* The states of a slice's channels. */
INLINE voxel_state *states_of_slice(const voxel_reduce_launch *p, unsigned huge, unsigned slice,
                                    int dtype, int vector) {
    return p->deferred.states + (unsigned long long)huge * p->num_features +
           slice * (unsigned)width_of(dtype, vector);
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

/* A part of a huge cell. */
typedef struct part_of_huge {
    unsigned huge;
    voxel_deferred_cell cell;
    const unsigned *points;
    unsigned count;
} part_of_huge;

INLINE part_of_huge load_part(const voxel_deferred *deferred, unsigned index) {
    const voxel_part part = deferred->parts[index];
    part_of_huge found;
    found.huge = part.huge;
    found.cell = load_deferred_cell(deferred->huge + part.huge);
    found.points = deferred->points + found.cell.first + part.index * PART_POINTS;
    found.count = min(found.cell.count - part.index * PART_POINTS, (unsigned)PART_POINTS);
    return found;
}

INLINE void look_at_part(const voxel_reduce_launch *p, const part_of_huge *part, channels *joined,
                         int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    for (unsigned slice = 0; slice < slices_of_row(p, vector); ++slice) {
        channels all;
        clear_channels(&all, width);
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < part->count; i += VOXEL_DEFERRED_THREADS) {
            const values loaded =
                load_values(p, part->cell.batch, __ldg(part->points + i), slice, dtype, vector);
            look(&all, &loaded, dtype, width, reduce);
        }
        join_block(&all, joined, 0, dtype, width, reduce);
        voxel_state *states = states_of_slice(p, part->huge, slice, dtype, vector);
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

INLINE void add_part(const voxel_reduce_launch *p, const part_of_huge *part, channels *joined,
                     int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    const int bits = bits_for((int)part->cell.count);
    for (unsigned slice = 0; slice < slices_of_row(p, vector); ++slice) {
        voxel_state *states = states_of_slice(p, part->huge, slice, dtype, vector);
        channels all;
        load_states(&all, states, dtype, width, reduce);
#pragma unroll
        for (int k = 0; k < width; ++k) {
            all.high[k] = 0;
            all.low[k] = 0;
        }
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < part->count; i += VOXEL_DEFERRED_THREADS) {
            const values loaded =
                load_values(p, part->cell.batch, __ldg(part->points + i), slice, dtype, vector);
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

INLINE void write_huge(const voxel_reduce_launch *p, const part_of_huge *part, int dtype,
                       int vector, int reduce) {
    for (unsigned slice = threadIdx.x; slice < slices_of_row(p, vector);
         slice += VOXEL_DEFERRED_THREADS) {
        channels all;
        load_states(&all, states_of_slice(p, part->huge, slice, dtype, vector), dtype,
                    width_of(dtype, vector), reduce);
        write_slice(p, part->cell.batch, part->cell.cell, slice,
                    finish_slice(&all, (int)part->cell.count, dtype, vector, reduce), dtype,
                    vector);
    }
}

/* Says that the block is done with a part; returns how many parts of the huge cell are. */
INLINE unsigned count_part(unsigned *done) {
    __threadfence();
    const unsigned before = atomicAdd(done, 1u);
    __threadfence();
    return before + 1;
}

/* Blocks take parts, first to look at them, then, for sums, to add them. One that adds waits until
 * all parts of its huge cell have been looked at: they have been taken before, by blocks that wait
 * for nothing. */
INLINE void reduce_huge(const voxel_reduce_launch *p, int dtype, int vector, int reduce) {
    __shared__ channels joined[VOXEL_DEFERRED_THREADS / 32];
    __shared__ unsigned taken, done;
    const voxel_deferred *deferred = &p->deferred;
    const unsigned num_parts = deferred->used[DEFERRED_PARTS];
    const unsigned end = is_sum(reduce) ? 2 * num_parts : num_parts;
    for (;;) {
        if (threadIdx.x == 0) {
            taken = atomicAdd(&deferred->used[DEFERRED_TAKEN], 1u);
        }
        __syncthreads();
        const unsigned task = taken;
        if (task >= end) {
            return;
        }
        const int adding = task >= num_parts;
        const part_of_huge part = load_part(deferred, adding ? task - num_parts : task);
        const unsigned parts = (part.cell.count + PART_POINTS - 1) / PART_POINTS;
        if (!adding) {
            look_at_part(p, &part, joined, dtype, vector, reduce);
        } else {
            if (threadIdx.x == 0) {
                while (*(volatile unsigned *)&deferred->looked[part.huge] != parts) {
                }
                __threadfence();
            }
            __syncthreads();
            add_part(p, &part, joined, dtype, vector, reduce);
        }
        if (threadIdx.x == 0) {
            done = count_part((adding ? deferred->finished : deferred->looked) + part.huge);
        }
        __syncthreads();
        if (done == parts && (adding || !is_sum(reduce))) {
            write_huge(p, &part, dtype, vector, reduce);
        }
        __syncthreads();
    }
}

/* ---- cells of few points and of many ---- */

/* A slice as reduce.cuh makes it, for `lanes` neighbouring threads; where there are several, all of
 * the warp are here. The first gets it. */
INLINE uint4 general_slice(const voxel_reduce_launch *p, const voxel_deferred_cell *cell, int count,
                           unsigned slice, int lanes, int dtype, int vector, int reduce) {
    channels all;
    make_slice(p, cell->batch, p->deferred.points + cell->first, count, slice,
               (int)threadIdx.x % lanes, lanes, &all, dtype, vector, reduce);
    return finish_slice(&all, count, dtype, vector, reduce);
}

/* general_slice() for the kernel's types, kept out of its registers. */
typedef uint4 (*general_function)(const voxel_reduce_launch *p, const voxel_deferred_cell *cell,
                                  int count, unsigned slice, int lanes, int reduce);

/* Reduces the cells of a list, from *list on and `direction` apart; `lanes` neighbouring threads
 * make a slice together. */
INLINE void reduce_cells(const voxel_reduce_launch *p, const voxel_deferred_cell *list,
                         int direction, unsigned num_cells, int lanes, general_function general,
                         int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    const unsigned row_slices = slices_of_row(p, vector);
    const int lane = (int)threadIdx.x % lanes;
    const unsigned thread = blockIdx.x * VOXEL_DEFERRED_THREADS + threadIdx.x;
    const slice_at by =
        find_slice(gridDim.x * VOXEL_DEFERRED_THREADS / (unsigned)lanes, row_slices);
    slice_at at = find_slice(thread / (unsigned)lanes, row_slices);
    /* All lanes of a warp stay together, for the shuffles. */
    while (__any_sync(0xffffffffu, at.cell < num_cells)) {
        const int exists = at.cell < num_cells;
        const voxel_deferred_cell cell =
            load_deferred_cell(list + direction * (long long)(exists ? at.cell : 0));
        const int count = exists ? (int)cell.count : 0;
        const unsigned *points = p->deferred.points + cell.first;
        tally all;
        clear_tally(&all, width);
        for (int from = lane; dtype != VALUE_F64 && from < count; from += AT_ONCE * lanes) {
            values loaded[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) {
                if (from + i * lanes < count) {
                    loaded[i] = load_values(p, cell.batch, __ldg(points + from + i * lanes),
                                            at.slice, dtype, vector);
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
            const uint4 made = general(p, &cell, exact ? 0 : count, at.slice, lanes, reduce);
            result = exact ? result : made;
        }
        if (exists && lane == 0) {
            write_slice(p, cell.batch, cell.cell, at.slice, result, dtype, vector);
        }
        __syncwarp();
        at = next_slice(at, by, row_slices);
    }
}

/* Kernels rbc__voxel_<name>_several_cuda. What is rarely needed is kept out of their registers. */
#define DEFERRED_KERNEL(name, dtype, vector, reduce_of)                                            \
    static __device__ __noinline__ uint4 general_##name(                                           \
        const voxel_reduce_launch *p, const voxel_deferred_cell *cell, int count, unsigned slice,  \
        int lanes, int reduce) {                                                                   \
        return general_slice(p, cell, count, slice, lanes, dtype, vector, reduce);                 \
    }                                                                                              \
    static __device__ __noinline__ void huge_##name(const voxel_reduce_launch *p) {                \
        reduce_huge(p, dtype, vector, reduce_of(p->reduce));                                       \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(VOXEL_DEFERRED_THREADS, 3)                        \
        rbc__voxel_deferred_##name##_cuda(const __grid_constant__ voxel_reduce_launch p) {         \
        launch_await();                                                                            \
        launch_release();                                                                          \
        const unsigned parts = __ldg(p.deferred.used + DEFERRED_PARTS);                            \
        const unsigned many = __ldg(p.deferred.used + DEFERRED_MANY);                              \
        const unsigned few = __ldg(p.deferred.used + DEFERRED_FEW);                                \
        if ((parts | many | few) == 0) {                                                           \
            return;                                                                                \
        }                                                                                          \
        if (parts != 0) {                                                                          \
            huge_##name(&p);                                                                       \
        }                                                                                          \
        reduce_cells(&p, p.deferred.cells + (p.deferred.room - 1), -1, many, LANES,                \
                     general_##name, dtype, vector, reduce_of(p.reduce));                          \
        reduce_cells(&p, p.deferred.cells, 1, few, 1, general_##name, dtype, vector,               \
                     reduce_of(p.reduce));                                                         \
    }

#endif
