/* Reducing the features of cells of several points: a thread makes a unit of a cell of few, eight
 * threads one of a cell of many; see crowd.cuh for those of more. */
#ifndef RBC_CUDA_KERNELS_SEVERAL_CUH
#define RBC_CUDA_KERNELS_SEVERAL_CUH

#include "cuda/voxelize/crowd.cuh"

enum {
    LANES = 8, /* threads that make a unit of a cell of many points */
};

/* What is known of the values of a unit, which are added in f64. */
typedef struct tally {
    double sums[8];
    int keys[8];
    unsigned largest, least; /* magnitudes; least: of what is not zero, less one */
} tally;

INLINE void clear_tally(tally *all, int width) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        all->sums[k] = 0.0;
        all->keys[k] = (int)0x80000000;
    }
    all->largest = 0;
    all->least = 0xffffffffu;
}

INLINE void tally_values(tally *all, const values *loaded, int dtype, int width, int reduce) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        const item bits = value_bits(loaded, k, dtype);
        if (is_sum(reduce)) {
            const float value = item_f32(bits, dtype);
            const unsigned magnitude = __float_as_uint(value) & 0x7fffffffu;
            all->largest = max(all->largest, magnitude);
            all->least = min(all->least, magnitude - 1);
            all->sums[k] += (double)value;
        } else {
            all->keys[k] = max(all->keys[k], (int)key_of(bits, dtype, reduce));
        }
    }
}

/* Joins what neighbouring lanes know of the same unit. */
INLINE void join_tallies(tally *all, int lanes, int width, int reduce) {
#pragma unroll
    for (int distance = lanes / 2; distance > 0; distance >>= 1) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
            if (is_sum(reduce)) {
                all->sums[k] += __shfl_xor_sync(0xffffffffu, all->sums[k], distance);
            } else {
                all->keys[k] =
                    max(all->keys[k], __shfl_xor_sync(0xffffffffu, all->keys[k], distance));
            }
        }
        if (is_sum(reduce)) {
            all->largest = max(all->largest, __shfl_xor_sync(0xffffffffu, all->largest, distance));
            all->least = min(all->least, __shfl_xor_sync(0xffffffffu, all->least, distance));
        }
    }
}

/* Where no value is infinite or NaN and all lie within 2^20 of each other, f64 has the exact sum of
 * up to 2^8, and so it is the sum of the integers of rbc_voxelize(), whose last bits are lower
 * still. False elsewhere. */
INLINE int finish_tally(const tally *all, int count, uint4 *result, int dtype, int vector,
                        int reduce) {
    if (is_sum(reduce) &&
        (all->largest >= 0x7f800000u || (all->largest >> 23) - ((all->least + 1) >> 23) > 20)) {
        return 0;
    }
    item items[8];
    const double divisor = reduce == REDUCE_MEAN ? (double)count : 1.0;
#pragma unroll
    for (int k = 0; k < width_of(dtype, vector); ++k) {
        items[k] = is_sum(reduce) ? item_of_f64(all->sums[k] / divisor, dtype)
                                  : extreme_of_key(all->keys[k], dtype, reduce);
    }
    *result = pack_items(items, dtype, vector);
    return 1;
}

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
