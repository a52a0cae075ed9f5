/* One slice of the output: 16 bytes, or one value, of a cell. */
#ifndef RBC_CUDA_SLICE_CUH
#define RBC_CUDA_SLICE_CUH

#include "cuda/voxelize/reduce.cuh"

enum {
    AT_ONCE = 4, /* points whose features are loaded together */
};

/* A slice of a cell; threads walk through those of all cells in equal steps. */
typedef struct slice_at {
    unsigned cell, slice;
} slice_at;

INLINE slice_at find_slice(unsigned slices, unsigned row_slices) {
    const unsigned cell = slices / row_slices;
    const slice_at found = {cell, slices - cell * row_slices};
    return found;
}

INLINE slice_at next_slice(slice_at from, slice_at by, unsigned row_slices) {
    slice_at to = {from.cell + by.cell, from.slice + by.slice};
    if (to.slice >= row_slices) {
        to.slice -= row_slices;
        ++to.cell;
    }
    return to;
}

/* Bytes of a slice. */
INLINE unsigned slice_bytes(int dtype, int vector) {
    return vector ? 16 : (unsigned)item_bytes(dtype);
}

/* Slices of a cell. */
INLINE unsigned slices_of_row(const voxel_reduce_launch *p, int vector) {
    return vector ? p->row_vec16s : p->num_features;
}

INLINE const char *address_of_values(const voxel_reduce_launch *p, long long batch, unsigned point,
                                     unsigned slice, int vector) {
    const char *row = p->features + batch * p->batch_stride;
    return vector ? row + (unsigned long long)point * p->point_stride + slice * 16ull
                  : row + point / p->feature_row * p->row_stride +
                        point % p->feature_row * p->point_stride + slice * p->feature_stride;
}

INLINE values load_values(const voxel_reduce_launch *p, long long batch, unsigned point,
                          unsigned slice, int dtype, int vector) {
    values loaded;
    const char *address = address_of_values(p, batch, point, slice, vector);
    if (vector) {
        loaded.vec16 = __ldg((const uint4 *)address);
        return loaded;
    }
    const item bits = item_load(address, dtype);
    loaded.vec16 = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    return loaded;
}

/* Values side by side again. */
INLINE uint4 pack_items(const item *items, int dtype, int vector) {
    if (!vector) {
        return make_uint4((unsigned)items[0], (unsigned)(items[0] >> 32), 0, 0);
    }
    if (dtype == VALUE_F32) {
        return make_uint4((unsigned)items[0], (unsigned)items[1], (unsigned)items[2],
                          (unsigned)items[3]);
    }
    return make_uint4((unsigned)(items[0] | items[1] << 16), (unsigned)(items[2] | items[3] << 16),
                      (unsigned)(items[4] | items[5] << 16), (unsigned)(items[6] | items[7] << 16));
}

/* One point: its features, with one NaN and, for sums, one zero. */
INLINE uint4 single_slice(uint4 vec16, int dtype, int vector, int reduce) {
    const values loaded = {vec16};
    item items[8];
    if (vector && dtype == VALUE_F32) {
        /* Adding -0 changes no number. */
        const float zero = is_sum(reduce) ? 0.0f : -0.0f;
        float found[4] = {__uint_as_float(vec16.x) + zero, __uint_as_float(vec16.y) + zero,
                          __uint_as_float(vec16.z) + zero, __uint_as_float(vec16.w) + zero};
        const float sum = (found[0] + found[1]) + (found[2] + found[3]);
        if (sum != sum) {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                found[k] = found[k] == found[k] ? found[k] : __uint_as_float(0x7fc00000u);
            }
        }
        return make_uint4(__float_as_uint(found[0]), __float_as_uint(found[1]),
                          __float_as_uint(found[2]), __float_as_uint(found[3]));
    }
#pragma unroll
    for (int k = 0; k < width_of(dtype, vector); ++k) {
        const item bits = value_bits(&loaded, k, dtype);
        const item sign = 1ull << (8 * item_bytes(dtype) - 1);
        items[k] = item_is_nan(bits, dtype)         ? item_nan(dtype)
                   : is_sum(reduce) && bits == sign ? 0
                                                    : bits;
    }
    return pack_items(items, dtype, vector);
}

/* What a cell of `count` points is, all of them looked at and, for sums, added. */
INLINE uint4 finish_slice(const channels *all, int count, int dtype, int vector, int reduce) {
    item results[8];
#pragma unroll
    for (int k = 0; k < width_of(dtype, vector); ++k) {
        results[k] = count == 0       ? 0
                     : is_sum(reduce) ? finish_sum(all, k, count, reduce, dtype)
                                      : extreme_of_key(all->key[k], dtype, reduce);
    }
    return pack_items(results, dtype, vector);
}

/* Writes a slice to the output. */
INLINE void store_slice(char *address, uint4 vec16, int dtype, int vector) {
    if (vector) {
        store_streaming(address, vec16);
    } else {
        item_store(address, (item)vec16.y << 32 | vec16.x, dtype);
    }
}

/* Writes a slice of a cell of the pass. */
INLINE void write_slice(const voxel_reduce_launch *p, long long batch, unsigned cell,
                        unsigned slice, uint4 vec16, int dtype, int vector) {
    const unsigned long long row = batch * p->deal.cut.cells + p->deal.cut.first + cell;
    store_slice(p->out + (row * slices_of_row(p, vector) + slice) * slice_bytes(dtype, vector),
                vec16, dtype, vector);
}

/* The points order[0..count) of a cell; `lanes` neighbouring threads share the work. */
INLINE void make_slice(const voxel_reduce_launch *p, long long batch, const unsigned *order,
                       int count, unsigned slice, int lane, int lanes, channels *all, int dtype,
                       int vector, int reduce) {
    const int width = width_of(dtype, vector);
    clear_channels(all, width);
    values loaded[AT_ONCE];
    const int bits = bits_for(count);
    for (int first = lane; first < count; first += AT_ONCE * lanes) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (first + i * lanes < count) {
                loaded[i] =
                    load_values(p, batch, __ldg(order + first + i * lanes), slice, dtype, vector);
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
        for (int i = lane; i < count; i += lanes) {
            const values again = load_values(p, batch, __ldg(order + i), slice, dtype, vector);
            add(all, &again, bits, dtype, width);
        }
    }
    if (lanes > 1) {
        join_sums(all, lanes, width, dtype);
    }
}

#endif
