/* Reducing the features of crowds: cells of so many points that all blocks share them, in parts of
 * CROWD_POINTS. Sums need to know the greatest magnitude first, so that parts are looked at before
 * any is added; atomics join what parts are, whose order does not matter. */
#ifndef RBC_CUDA_KERNELS_CROWD_CUH
#define RBC_CUDA_KERNELS_CROWD_CUH

#include "cuda/voxelize/unit.cuh"

INLINE voxel_several load_several(const voxel_several *from) {
    const uint4 loaded = __ldg((const uint4 *)from);
    const voxel_several found = {loaded.x, loaded.y, loaded.z, loaded.w};
    return found;
}

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

#endif
