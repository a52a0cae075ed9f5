/* One unit of the output: 16 bytes, or one value, of a cell. */
#ifndef RBC_CUDA_KERNELS_UNIT_CUH
#define RBC_CUDA_KERNELS_UNIT_CUH

#include "reduce.cuh"
#include "slab.cuh"

enum {
    AT_ONCE = 4, /* points whose features are loaded together */
};

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

/* Writes a unit of one of the slab's cells. */
INLINE void write_unit(const voxel_reduce_launch *p, const slab *part, int cell, unsigned unit,
                       uint4 chunk, int dtype, int vector) {
    const unsigned long long row = (unsigned long long)(part->out_cell + cell);
    store_unit(p->out + (row * units_of_row(p, vector) + unit) * unit_bytes(dtype, vector), chunk,
               dtype, vector);
}

/* The points order[0..count) of a cell; `lanes` neighbouring threads share the work. */
INLINE void make_unit(const voxel_reduce_launch *p, const slab *part, const unsigned *order,
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
                    load_values(p, part->batch, order[first + i * lanes], unit, dtype, vector);
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
            const values again = load_values(p, part->batch, order[i], unit, dtype, vector);
            add(all, &again, bits, dtype, width);
        }
    }
    if (lanes > 1) {
        join_sums(all, lanes, width, dtype);
    }
}

#endif
