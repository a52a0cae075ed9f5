/* Features of the voxels: sum, mean, maximum and minimum over their points. */
#include "reduce.cuh"
#include "sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    AT_ONCE = 4, /* points whose features are loaded together */
    FEW = 64,    /* points that one thread goes through alone */
};

INLINE values load_feature(const sparse_launch *p, const char *column, unsigned point, int dtype) {
    const item bits = item_load(column + (long long)point * p->features_stride, dtype);
    values loaded;
    loaded.chunk = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    return loaded;
}

/* One channel over order[0..count); `lanes` neighbouring threads share the work. */
INLINE item reduce_points(const sparse_launch *p, const char *column, const uint2 *order, int count,
                          int lane, int lanes, int dtype, int reduce) {
    channels all;
    values loaded[AT_ONCE];
    const int bits = bits_for(count);
    clear_channels(&all, 1);
    for (int first = lane; first < count; first += AT_ONCE * lanes) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (first + i * lanes < count) {
                loaded[i] = load_feature(p, column, order[first + i * lanes].y, dtype);
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (first + i * lanes < count) {
                look(&all, &loaded[i], dtype, 1, reduce);
            }
        }
    }
    if (lanes > 1) {
        join_looks(&all, lanes, 1, reduce);
    }
    if (!is_sum(reduce)) {
        return extreme_of_key(all.key[0], dtype, reduce);
    }
    if (count <= AT_ONCE * lanes) {
        /* They are still here. */
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (lane + i * lanes < count) {
                add(&all, &loaded[i], bits, dtype, 1);
            }
        }
    } else {
#pragma unroll 4
        for (int i = lane; i < count; i += lanes) {
            const values again = load_feature(p, column, order[i].y, dtype);
            add(&all, &again, bits, dtype, 1);
        }
    }
    if (lanes > 1) {
        join_sums(&all, lanes, 1, dtype);
    }
    return finish_sum(&all, 0, count, reduce, dtype);
}

INLINE void reduce_voxels(const sparse_launch *p, int dtype, int reduce) {
    const place at = place_of_block(p);
    const sparse_state *state = p->states + at.cloud;
    const int lane = (int)threadIdx.x & 31;
    const long long unit = (long long)at.block * THREADS + threadIdx.x;
    const long long units = p->max_voxels * p->num_features;
    const long long voxel =
        units <= 0x7fffffffll ? (int)unit / (int)p->num_features : unit / p->num_features;
    const int exists = unit < units && voxel < state->num_voxels;
    const char *features = p->features + at.cloud * p->features_batch_stride;
    const char *column = features + (unit - voxel * p->num_features) * p->feature_stride;
    unsigned begin = 0;
    int count = 0;
    if (exists) {
        const unsigned *starts = p->starts + at.cloud * p->max_starts;
        begin = starts[voxel];
        count = (int)(starts[voxel + 1] - begin);
        count = count < p->max_points ? count : (int)p->max_points;
    }
    const uint2 *order = points_in_order(p, at.cloud);
    item result = 0;
    if (count > 0 && count <= FEW) {
        result = reduce_points(p, column, order + begin, count, 0, 1, dtype, reduce);
    }
    for (unsigned left = __ballot_sync(0xffffffffu, count > FEW); left != 0; left &= left - 1) {
        const int source = __ffs((int)left) - 1;
        const unsigned their_begin = __shfl_sync(0xffffffffu, begin, source);
        const int their_count = __shfl_sync(0xffffffffu, count, source);
        const char *their_column =
            (const char *)__shfl_sync(0xffffffffu, (unsigned long long)column, source);
        const item joined = reduce_points(p, their_column, order + their_begin, their_count, lane,
                                          32, dtype, reduce);
        result = lane == source ? joined : result;
    }
    if (unit < units) {
        const long long bytes = item_bytes(dtype);
        item_store(p->out_features + (at.cloud * units + unit) * bytes, result, dtype);
    }
}

#define KERNEL(name, dtype, reduce)                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        rbc__sparse_##name##_cuda(const __grid_constant__ sparse_launch p) {                       \
        launch_await();                                                                            \
        launch_release();                                                                          \
        reduce_voxels(&p, dtype, reduce);                                                          \
    }

#define KERNELS(suffix, dtype)                                                                     \
    KERNEL(sum_##suffix, dtype, (p.reduce == REDUCE_MEAN ? REDUCE_MEAN : REDUCE_SUM))              \
    KERNEL(extreme_##suffix, dtype, (p.reduce == REDUCE_MIN ? REDUCE_MIN : REDUCE_MAX))

KERNELS(f32, VALUE_F32)
KERNELS(f64, VALUE_F64)
KERNELS(f16, VALUE_F16)
KERNELS(bf16, VALUE_BF16)
