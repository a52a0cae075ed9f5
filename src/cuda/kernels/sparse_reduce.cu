/* Features of the voxels: sum, mean, maximum and minimum over their points. */
#include "reduce.cuh"
#include "sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    AT_ONCE = 2, /* points whose features are loaded together */
    FEW = 64,    /* points that one thread goes through alone */
};

/* A unit of a row of features: 16 bytes, or one value. */
INLINE values load_unit(const sparse_launch *p, const char *column, unsigned point, int dtype,
                        int vector) {
    const char *address = column + (long long)point * p->features_stride;
    values loaded;
    if (vector) {
        loaded.chunk = __ldg((const uint4 *)address);
    } else {
        const item bits = item_load(address, dtype);
        loaded.chunk = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    }
    return loaded;
}

/* One unit over a voxel's points; `lanes` neighbouring threads share the work. */
INLINE void reduce_points(const sparse_launch *p, const char *column, const point_list *list,
                          int lane, int lanes, channels *all, int dtype, int vector, int reduce) {
    values loaded[AT_ONCE];
    const int width = width_of(dtype, vector);
    const int count = list->count;
    const int bits = bits_for(count);
    clear_channels(all, width);
    for (int first = lane; first < count; first += AT_ONCE * lanes) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (first + i * lanes < count) {
                const unsigned point = list->points[(first + i * lanes) * list->stride];
                loaded[i] = load_unit(p, column, point, dtype, vector);
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (first + i * lanes < count) {
                look(all, &loaded[i], dtype, width, reduce);
            }
        }
    }
    if (lanes > 1) {
        join_looks(all, lanes, width, reduce);
    }
    if (!is_sum(reduce)) {
        return;
    }
    if (count <= AT_ONCE * lanes) {
        /* They are still here. */
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (lane + i * lanes < count) {
                add(all, &loaded[i], bits, dtype, width);
            }
        }
    } else {
#pragma unroll 2
        for (int i = lane; i < count; i += lanes) {
            const values again =
                load_unit(p, column, list->points[i * list->stride], dtype, vector);
            add(all, &again, bits, dtype, width);
        }
    }
    if (lanes > 1) {
        join_sums(all, lanes, width, dtype);
    }
}

/* A voxel of one point: its features, with one NaN and, for sums, one zero. Of f32 alone. */
INLINE int is_plain(const values *loaded) {
    return !item_is_nan(loaded->chunk.x, VALUE_F32) && !item_is_nan(loaded->chunk.y, VALUE_F32) &&
           !item_is_nan(loaded->chunk.z, VALUE_F32) && !item_is_nan(loaded->chunk.w, VALUE_F32);
}

INLINE unsigned one_zero(unsigned bits, int reduce) {
    return is_sum(reduce) ? __float_as_uint(__fadd_rn(__uint_as_float(bits), 0.0f)) : bits;
}

INLINE void write_values(const sparse_launch *p, const channels *all, int count, char *out,
                         int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    item results[8];
#pragma unroll
    for (int k = 0; k < width; ++k) {
        results[k] = is_sum(reduce) ? finish_sum(all, k, count, reduce, dtype)
                                    : extreme_of_key(all->key[k], dtype, reduce);
    }
    if (!vector) {
        item_store(out, results[0], dtype);
    } else if (dtype == VALUE_F32) {
        store_streaming(out, make_uint4((unsigned)results[0], (unsigned)results[1],
                                        (unsigned)results[2], (unsigned)results[3]));
    } else {
        store_streaming(out, make_uint4((unsigned)(results[0] | results[1] << 16),
                                        (unsigned)(results[2] | results[3] << 16),
                                        (unsigned)(results[4] | results[5] << 16),
                                        (unsigned)(results[6] | results[7] << 16)));
    }
}

INLINE void write_padding(char *out, int dtype, int vector) {
    if (vector) {
        store_streaming(out, make_uint4(0, 0, 0, 0));
    } else {
        item_store(out, 0, dtype);
    }
}

INLINE void reduce_voxels(const sparse_launch *p, int dtype, int vector, int reduce) {
    const place at = place_of_block(p);
    const int lane = (int)threadIdx.x & 31;
    const int unit_bytes = vector ? 16 : item_bytes(dtype);
    const long long per_voxel = vector ? p->num_features * item_bytes(dtype) / 16 : p->num_features;
    const long long units = p->max_voxels * per_voxel;
    const long long unit = (long long)at.block * THREADS + threadIdx.x;
    const long long voxel = units <= 0x7fffffffll ? (int)unit / (int)per_voxel : unit / per_voxel;
    const int exists = unit < units && voxel < p->states[at.cloud].num_voxels;
    const char *column = p->features + at.cloud * p->features_batch_stride +
                         (unit - voxel * per_voxel) * (vector ? 16 : p->feature_stride);
    char *out = p->out_features + (at.cloud * units + unit) * unit_bytes;
    point_list list = {0, 0, 0};
    channels all;
    if (exists) {
        list = points_of_voxel(p, at.cloud, voxel);
    } else if (unit < units) {
        write_padding(out, dtype, vector);
    }
    int is_done = !exists;
    if (vector && dtype == VALUE_F32 && list.count == 1) {
        const values loaded = load_unit(p, column, list.points[0], dtype, vector);
        if (is_plain(&loaded)) {
            store_streaming(out, make_uint4(one_zero(loaded.chunk.x, reduce),
                                            one_zero(loaded.chunk.y, reduce),
                                            one_zero(loaded.chunk.z, reduce),
                                            one_zero(loaded.chunk.w, reduce)));
            is_done = 1;
        }
    }
    if (!is_done && list.count <= FEW) {
        reduce_points(p, column, &list, 0, 1, &all, dtype, vector, reduce);
        write_values(p, &all, list.count, out, dtype, vector, reduce);
    }
    for (unsigned left = __ballot_sync(0xffffffffu, list.count > FEW); left != 0;
         left &= left - 1) {
        const int source = __ffs((int)left) - 1;
        point_list theirs;
        theirs.points =
            (const unsigned *)__shfl_sync(0xffffffffu, (unsigned long long)list.points, source);
        theirs.stride = __shfl_sync(0xffffffffu, list.stride, source);
        theirs.count = __shfl_sync(0xffffffffu, list.count, source);
        const char *their_column =
            (const char *)__shfl_sync(0xffffffffu, (unsigned long long)column, source);
        reduce_points(p, their_column, &theirs, lane, 32, &all, dtype, vector, reduce);
        if (lane == source) {
            write_values(p, &all, list.count, out, dtype, vector, reduce);
        }
    }
}

#define KERNEL(name, dtype, vector, reduce, min_blocks)                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, min_blocks)                              \
        rbc__sparse_##name##_cuda(const __grid_constant__ sparse_launch p) {                       \
        launch_await();                                                                            \
        launch_release();                                                                          \
        reduce_voxels(&p, dtype, vector, reduce);                                                  \
    }

#define KERNELS(suffix, dtype, vector, min_blocks)                                                 \
    KERNEL(sum_##suffix, dtype, vector, (p.reduce == REDUCE_MEAN ? REDUCE_MEAN : REDUCE_SUM),      \
           min_blocks)                                                                             \
    KERNEL(extreme_##suffix, dtype, vector, (p.reduce == REDUCE_MIN ? REDUCE_MIN : REDUCE_MAX),    \
           min_blocks)

KERNELS(f32, VALUE_F32, 1, 4)
KERNELS(f16, VALUE_F16, 1, 2)
KERNELS(bf16, VALUE_BF16, 1, 2)
KERNELS(any_f32, VALUE_F32, 0, 4)
KERNELS(any_f64, VALUE_F64, 0, 4)
KERNELS(any_f16, VALUE_F16, 0, 4)
KERNELS(any_bf16, VALUE_BF16, 0, 4)
