/* Features of the voxels: sum, mean, maximum and minimum over their points. */
#include "cuda/sparse/sparse.cuh"
#include "cuda/voxelize/reduce.cuh"

enum {
    THREADS = SPARSE_THREADS,
    AT_ONCE = 2, /* points whose features are loaded together */
    FEW = 64,    /* points that one thread goes through alone */
    SLICES = 4,  /* of a thread */
    SHARE = SPARSE_REDUCE_SHARE,
};

/* What one thread reduces of a row of features. */
enum {
    ONE = 0,   /* value */
    VEC16 = 1, /* of 16 bytes */
    THREE = 2, /* f32: the whole row */
};

INLINE int width_of_slice(int dtype, int slice) {
    return slice == THREE ? 3 : width_of(dtype, slice == VEC16);
}

INLINE int bytes_of_slice(int dtype, int slice) {
    return slice == VEC16 ? 16 : slice == THREE ? 12 : item_bytes(dtype);
}

INLINE long long units_of_row(const sparse_launch *p, int dtype, int slice) {
    return slice == VEC16   ? p->num_features * item_bytes(dtype) / 16
           : slice == THREE ? 1
                            : p->num_features;
}

INLINE values load_slice(const sparse_launch *p, const char *column, unsigned point, int dtype,
                         int slice) {
    const char *address = column + (long long)point * p->features_stride;
    values loaded;
    if (slice == VEC16) {
        loaded.vec16 = __ldg((const uint4 *)address);
    } else if (slice == THREE) {
        const unsigned *row = (const unsigned *)address;
        loaded.vec16 = make_uint4(row[0], row[1], row[2], 0);
    } else {
        const item bits = item_load(address, dtype);
        loaded.vec16 = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    }
    return loaded;
}

/* Values side by side again. */
INLINE uint4 pack_items(const item *items, int dtype, int slice) {
    if (slice == ONE) {
        return make_uint4((unsigned)items[0], (unsigned)(items[0] >> 32), 0, 0);
    }
    if (dtype == VALUE_F32) {
        return make_uint4((unsigned)items[0], (unsigned)items[1], (unsigned)items[2],
                          slice == THREE ? 0 : (unsigned)items[3]);
    }
    return make_uint4((unsigned)(items[0] | items[1] << 16), (unsigned)(items[2] | items[3] << 16),
                      (unsigned)(items[4] | items[5] << 16), (unsigned)(items[6] | items[7] << 16));
}

INLINE void store_unit(char *address, uint4 vec16, int dtype, int slice) {
    if (slice == VEC16) {
        store_streaming(address, vec16);
    } else if (slice == THREE) {
        unsigned *row = (unsigned *)address;
        row[0] = vec16.x;
        row[1] = vec16.y;
        row[2] = vec16.z;
    } else {
        item_store(address, (item)vec16.y << 32 | vec16.x, dtype);
    }
}

/* One slice over a voxel's points; `lanes` neighbouring threads share the work. */
INLINE void reduce_points(const sparse_launch *p, const char *column, const point_list *list,
                          int lane, int lanes, channels *all, int dtype, int slice, int reduce) {
    values loaded[AT_ONCE];
    const int width = width_of_slice(dtype, slice);
    const int count = list->count;
    const int bits = bits_for(count);
    clear_channels(all, width);
    for (int first = lane; first < count; first += AT_ONCE * lanes) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (first + i * lanes < count) {
                const unsigned point = list->points[(first + i * lanes) * list->stride];
                loaded[i] = load_slice(p, column, point, dtype, slice);
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
                load_slice(p, column, list->points[i * list->stride], dtype, slice);
            add(all, &again, bits, dtype, width);
        }
    }
    if (lanes > 1) {
        join_sums(all, lanes, width, dtype);
    }
}

/* The features of a voxel's one point: with one NaN and, for sums, one zero. Not of f64, whose sums
 * lose the smallest numbers. */
INLINE uint4 one_point(const values *loaded, int dtype, int slice, int reduce) {
    item results[8];
#pragma unroll
    for (int k = 0; k < width_of_slice(dtype, slice); ++k) {
        const item bits = value_bits(loaded, k, dtype);
        const item sign = 1ull << (8 * item_bytes(dtype) - 1);
        results[k] = item_is_nan(bits, dtype)         ? item_nan(dtype)
                     : is_sum(reduce) && bits == sign ? 0
                                                      : bits;
    }
    return pack_items(results, dtype, slice);
}

INLINE uint4 several_points(const channels *all, int count, int dtype, int slice, int reduce) {
    item results[8];
#pragma unroll
    for (int k = 0; k < width_of_slice(dtype, slice); ++k) {
        results[k] = is_sum(reduce) ? finish_sum(all, k, count, reduce, dtype)
                                    : extreme_of_key(all->key[k], dtype, reduce);
    }
    return pack_items(results, dtype, slice);
}

/* A slice of the output and where it comes from. */
typedef struct place_of_unit {
    long long voxel;
    const char *column;
    char *out;
} place_of_unit;

INLINE place_of_unit find_unit(const sparse_launch *p, long long cloud, long long index,
                               long long slices, int dtype, int slice) {
    const long long per_voxel = units_of_row(p, dtype, slice);
    place_of_unit found;
    found.voxel = slices <= 0x7fffffffll ? (int)index / (int)per_voxel : index / per_voxel;
    found.column = p->features + cloud * p->features_batch_stride +
                   (index - found.voxel * per_voxel) * (slice == VEC16 ? 16 : p->feature_stride);
    found.out = p->out_features + (cloud * slices + index) * bytes_of_slice(dtype, slice);
    return found;
}

/* Of the slices that `wanted` says, one a lane: appends them to a list of the block. */
INLINE void append(unsigned *list, unsigned *count, unsigned index, int wanted) {
    const unsigned lanes = __ballot_sync(0xffffffffu, wanted);
    const int lane = (int)threadIdx.x & 31;
    unsigned at = 0;
    if (lanes != 0 && lane == __ffs((int)lanes) - 1) {
        at = atomicAdd(count, (unsigned)__popc(lanes));
    }
    at = __shfl_sync(0xffffffffu, at, lanes != 0 ? __ffs((int)lanes) - 1 : 0);
    if (wanted) {
        list[at + (unsigned)__popc(lanes & ((1u << lane) - 1))] = index;
    }
}

/* Voxels of one point are done at once; the others are listed, so that whole warps have them. */
INLINE void reduce_voxels(const sparse_launch *p, int dtype, int slice, int reduce) {
    __shared__ unsigned few[SHARE];
    __shared__ unsigned many[SHARE];
    __shared__ unsigned num_few, num_many;
    const cloud_block at = cloud_block_of(p);
    const int lane = (int)threadIdx.x & 31;
    const long long slices = p->max_voxels * units_of_row(p, dtype, slice);
    const long long begin = (long long)at.block * SHARE;
    const long long num_voxels = p->states[at.cloud].num_voxels;
    place_of_unit own[SLICES];
    point_list lists[SLICES];
    values loaded[SLICES];
    if (threadIdx.x == 0) {
        num_few = 0;
        num_many = 0;
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < SLICES; ++u) {
        const long long index = begin + u * THREADS + threadIdx.x;
        own[u] = find_unit(p, at.cloud, index < slices ? index : 0, slices, dtype, slice);
        lists[u].count = 0;
        if (index < slices && own[u].voxel < num_voxels) {
            lists[u] = points_of_voxel(p, at.cloud, own[u].voxel);
        }
    }
#pragma unroll
    for (int u = 0; u < SLICES; ++u) {
        if (lists[u].count == 1) {
            loaded[u] = load_slice(p, own[u].column, lists[u].points[0], dtype, slice);
        }
    }
#pragma unroll
    for (int u = 0; u < SLICES; ++u) {
        const unsigned index = u * THREADS + threadIdx.x;
        const int is_one = lists[u].count == 1 && dtype != VALUE_F64;
        if (is_one) {
            store_unit(own[u].out, one_point(&loaded[u], dtype, slice, reduce), dtype, slice);
        } else if (lists[u].count == 0 && begin + index < slices) {
            store_unit(own[u].out, make_uint4(0, 0, 0, 0), dtype, slice);
        }
        append(few, &num_few, index, !is_one && lists[u].count > 0 && lists[u].count <= FEW);
        append(many, &num_many, index, lists[u].count > FEW);
    }
    __syncthreads();
    channels all;
    for (unsigned i = threadIdx.x; i < num_few; i += THREADS) {
        const place_of_unit one = find_unit(p, at.cloud, begin + few[i], slices, dtype, slice);
        const point_list list = points_of_voxel(p, at.cloud, one.voxel);
        reduce_points(p, one.column, &list, 0, 1, &all, dtype, slice, reduce);
        store_unit(one.out, several_points(&all, list.count, dtype, slice, reduce), dtype, slice);
    }
    for (unsigned i = threadIdx.x / 32; i < num_many; i += THREADS / 32) {
        const place_of_unit one = find_unit(p, at.cloud, begin + many[i], slices, dtype, slice);
        const point_list list = points_of_voxel(p, at.cloud, one.voxel);
        reduce_points(p, one.column, &list, lane, 32, &all, dtype, slice, reduce);
        const uint4 result = several_points(&all, list.count, dtype, slice, reduce);
        if (lane == 0) {
            store_unit(one.out, result, dtype, slice);
        }
    }
}

#define KERNEL(name, dtype, slice, reduce, min_blocks)                                             \
    extern "C" __global__ void __launch_bounds__(THREADS, min_blocks)                              \
        rbc__sparse_##name##_cuda(const __grid_constant__ sparse_launch p) {                       \
        launch_await();                                                                            \
        launch_release();                                                                          \
        reduce_voxels(&p, dtype, slice, reduce);                                                   \
    }

#define KERNELS(suffix, dtype, slice, min_blocks)                                                  \
    KERNEL(sum_##suffix, dtype, slice, (p.reduce == REDUCE_MEAN ? REDUCE_MEAN : REDUCE_SUM),       \
           min_blocks)                                                                             \
    KERNEL(extreme_##suffix, dtype, slice, (p.reduce == REDUCE_MIN ? REDUCE_MIN : REDUCE_MAX),     \
           min_blocks)

KERNELS(f32, VALUE_F32, VEC16, 4)
KERNELS(f16, VALUE_F16, VEC16, 2)
KERNELS(bf16, VALUE_BF16, VEC16, 2)
KERNELS(three_f32, VALUE_F32, THREE, 4)
KERNELS(generic_f32, VALUE_F32, ONE, 4)
KERNELS(generic_f64, VALUE_F64, ONE, 4)
KERNELS(generic_f16, VALUE_F16, ONE, 4)
KERNELS(generic_bf16, VALUE_BF16, ONE, 4)
