/* One unit of the output: 16 bytes, or one value, of a cell. */
#ifndef RBC_CUDA_KERNELS_UNIT_CUH
#define RBC_CUDA_KERNELS_UNIT_CUH

#include "cuda/voxelize/reduce.cuh"

enum {
    AT_ONCE = 4, /* points whose features are loaded together */
};

/* A unit of a cell; threads walk through those of all cells in equal steps. */
typedef struct unit_at {
    unsigned cell, unit;
} unit_at;

INLINE unit_at find_unit(unsigned units, unsigned row_units) {
    const unsigned cell = units / row_units;
    const unit_at found = {cell, units - cell * row_units};
    return found;
}

INLINE unit_at next_unit(unit_at from, unit_at by, unsigned row_units) {
    unit_at to = {from.cell + by.cell, from.unit + by.unit};
    if (to.unit >= row_units) {
        to.unit -= row_units;
        ++to.cell;
    }
    return to;
}

/* Bytes of a unit. */
INLINE unsigned unit_bytes(int dtype, int vector) {
    return vector ? 16 : (unsigned)item_bytes(dtype);
}

/* Units of a cell. */
INLINE unsigned units_of_row(const voxel_reduce_launch *p, int vector) {
    return vector ? p->row_chunks : p->num_features;
}

INLINE const char *address_of_values(const voxel_reduce_launch *p, long long batch, unsigned point,
                                     unsigned unit, int vector) {
    const char *row = p->features + batch * p->batch_stride;
    return vector ? row + (unsigned long long)point * p->point_stride + unit * 16ull
                  : row + point / p->feature_row * p->row_stride +
                        point % p->feature_row * p->point_stride + unit * p->feature_stride;
}

INLINE values load_values(const voxel_reduce_launch *p, long long batch, unsigned point,
                          unsigned unit, int dtype, int vector) {
    values loaded;
    const char *address = address_of_values(p, batch, point, unit, vector);
    if (vector) {
        loaded.chunk = __ldg((const uint4 *)address);
        return loaded;
    }
    const item bits = item_load(address, dtype);
    loaded.chunk = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
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
INLINE uint4 single_unit(uint4 chunk, int dtype, int vector, int reduce) {
    const values loaded = {chunk};
    item items[8];
    if (vector && dtype == VALUE_F32) {
        /* Adding -0 changes no number. */
        const float zero = is_sum(reduce) ? 0.0f : -0.0f;
        float found[4] = {__uint_as_float(chunk.x) + zero, __uint_as_float(chunk.y) + zero,
                          __uint_as_float(chunk.z) + zero, __uint_as_float(chunk.w) + zero};
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
INLINE uint4 finish_unit(const channels *all, int count, int dtype, int vector, int reduce) {
    item results[8];
#pragma unroll
    for (int k = 0; k < width_of(dtype, vector); ++k) {
        results[k] = count == 0       ? 0
                     : is_sum(reduce) ? finish_sum(all, k, count, reduce, dtype)
                                      : extreme_of_key(all->key[k], dtype, reduce);
    }
    return pack_items(results, dtype, vector);
}

/* Writes a unit to the output. */
INLINE void store_unit(char *address, uint4 chunk, int dtype, int vector) {
    if (vector) {
        store_streaming(address, chunk);
    } else {
        item_store(address, (item)chunk.y << 32 | chunk.x, dtype);
    }
}

/* Writes a unit of a cell of the pass. */
INLINE void write_unit(const voxel_reduce_launch *p, long long batch, unsigned cell, unsigned unit,
                       uint4 chunk, int dtype, int vector) {
    const unsigned long long row = batch * p->deal.cut.cells + p->deal.cut.first + cell;
    store_unit(p->out + (row * units_of_row(p, vector) + unit) * unit_bytes(dtype, vector), chunk,
               dtype, vector);
}

/* The points order[0..count) of a cell; `lanes` neighbouring threads share the work. */
INLINE void make_unit(const voxel_reduce_launch *p, long long batch, const unsigned *order,
                      int count, unsigned unit, int lane, int lanes, channels *all, int dtype,
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
                    load_values(p, batch, __ldg(order + first + i * lanes), unit, dtype, vector);
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
            const values again = load_values(p, batch, __ldg(order + i), unit, dtype, vector);
            add(all, &again, bits, dtype, width);
        }
    }
    if (lanes > 1) {
        join_sums(all, lanes, width, dtype);
    }
}

#endif
