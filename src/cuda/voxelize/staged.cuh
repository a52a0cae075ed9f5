/* Sum, mean, maximum and minimum of the features of a slab's cells. Its points are sorted by cell
 * in shared memory; then the features of as many cells as fit are copied there, in that order, all
 * at once and asynchronously; then what cells of several points amount to takes the place of the
 * first one's features; and then whole rows of the output are written, empty cells included. The
 * order of a cell's points does not matter: sums are of integers, as rbc_voxelize() says, by a
 * power of two that the cell's own greatest magnitude gives. */
#ifndef RBC_CUDA_KERNELS_STAGED_CUH
#define RBC_CUDA_KERNELS_STAGED_CUH

#include "cuda/voxelize/deferred.cuh"
#include "cuda/voxelize/overfull.cuh"

/* ---- cells ---------------------------------------------------------------------------------- */

INLINE values load_staged(const char *address, int dtype, int vector) {
    values loaded;
    if (vector) {
        loaded.chunk = *(const uint4 *)address;
    } else {
        const item bits = item_load(address, dtype);
        loaded.chunk = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    }
    return loaded;
}

INLINE void store_staged(char *address, uint4 chunk, int dtype, int vector) {
    if (vector) {
        *(uint4 *)address = chunk;
    } else {
        item_store(address, (item)chunk.y << 32 | chunk.x, dtype);
    }
}

/* Copies the features of places [base, base + rows). */
INLINE void fetch_rows(const voxel_reduce_launch *p, const slab *part, const stage *made,
                       unsigned base, unsigned rows, int dtype, int vector) {
    const unsigned row_units = units_of_row(p, vector);
    const unsigned units = rows * row_units;
    for (unsigned from = threadIdx.x; from < units; from += UNITS_AT_ONCE * blockDim.x) {
        unsigned points[UNITS_AT_ONCE], columns[UNITS_AT_ONCE];
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            const unsigned unit = from + k * blockDim.x;
            const unsigned row = divide_by_inverse(unit, p->row_inverse);
            columns[k] = unit - row * row_units;
            points[k] = unit < units ? made->order[base + row] : 0;
        }
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            const unsigned unit = from + k * blockDim.x;
            char *to = made->rows + unit * unit_bytes(dtype, vector);
            const char *address = address_of_values(p, part->batch, points[k], columns[k], vector);
            if (unit >= units) {
                continue;
            }
            if (vector || dtype == VALUE_F32 || dtype == VALUE_F64) {
                copy_async(to, address, (int)unit_bytes(dtype, vector));
            } else {
                *(unsigned short *)to = *(const unsigned short *)address;
            }
        }
    }
    copy_wait();
    __syncthreads();
}

/* single_unit() where `count` is 1, else the chunk as it is, whose NaN is that one already. */
INLINE uint4 finish_staged(uint4 chunk, unsigned count, int dtype, int vector, int reduce) {
    if (dtype != VALUE_F32 || !vector) {
        return count == 1 ? single_unit(chunk, dtype, vector, reduce) : chunk;
    }
    /* Adding -0 changes no number. */
    const float zero = is_sum(reduce) && count == 1 ? 0.0f : -0.0f;
    float a = __uint_as_float(chunk.x) + zero;
    float b = __uint_as_float(chunk.y) + zero;
    float c = __uint_as_float(chunk.z) + zero;
    float d = __uint_as_float(chunk.w) + zero;
    const float sum = (a + b) + (c + d);
    if (sum != sum) {
        const float nan = __uint_as_float(0x7fc00000u);
        a = a == a ? a : nan;
        b = b == b ? b : nan;
        c = c == c ? c : nan;
        d = d == d ? d : nan;
    }
    return make_uint4(__float_as_uint(a), __float_as_uint(b), __float_as_uint(c),
                      __float_as_uint(d));
}

/* The sum of up to MANY_OF_CELL points, `stride` bytes apart, where f64 has it exactly; else false.
 */
INLINE int sum_exactly(const char *first, unsigned stride, int count, uint4 *result, int dtype,
                       int vector, int reduce) {
    const int width = width_of(dtype, vector);
    tally all;
    clear_tally(&all, width);
    if (dtype == VALUE_F64 || count > MANY_OF_CELL) {
        return 0;
    }
    for (int i = 0; i < count; ++i) {
        const values loaded = load_staged(first + i * stride, dtype, vector);
        tally_values(&all, &loaded, dtype, width, reduce);
    }
    return finish_tally(&all, count, result, dtype, vector, reduce);
}

/* Several points, `stride` bytes apart. */
INLINE uint4 multiple_unit(const char *first, unsigned stride, int count, int dtype, int vector,
                           int reduce) {
    const int width = width_of(dtype, vector);
    channels all;
    clear_channels(&all, width);
    for (int i = 0; i < count; ++i) {
        const values loaded = load_staged(first + i * stride, dtype, vector);
        look(&all, &loaded, dtype, width, reduce);
    }
    if (is_sum(reduce)) {
        const int bits = bits_for(count);
        for (int i = 0; i < count; ++i) {
            const values loaded = load_staged(first + i * stride, dtype, vector);
            add(&all, &loaded, bits, dtype, width);
        }
    }
    return finish_unit(&all, count, dtype, vector, reduce);
}

/* Writes the cells of groups [begin, end), whose features are there from place `base` on. */
INLINE void write_groups(const voxel_reduce_launch *p, const slab *part, const stage *made,
                         int begin, int end, unsigned base, int dtype, int vector, int reduce) {
    const unsigned row_units = units_of_row(p, vector);
    const int first = begin * GROUP_CELLS;
    const int last = min(end * GROUP_CELLS, part->cells);
    const int units = (last - first) * (int)row_units;
    const unsigned bytes = unit_bytes(dtype, vector);
    char *to = p->out + (unsigned long long)(part->out_cell + first) * row_units * bytes;
    for (int from = (int)threadIdx.x; from < units; from += UNITS_AT_ONCE * (int)blockDim.x) {
        unsigned words[UNITS_AT_ONCE], columns[UNITS_AT_ONCE];
        uint4 chunks[UNITS_AT_ONCE];
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            const unsigned unit = (unsigned)(from + k * (int)blockDim.x);
            const unsigned row = divide_by_inverse(unit, p->row_inverse);
            words[k] = (int)unit < units ? made->cells[first + (int)row] : 0;
            columns[k] = unit - row * row_units;
        }
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            const unsigned place = ((words[k] & 0xffffu) - base) * row_units + columns[k];
            chunks[k] = make_uint4(0, 0, 0, 0);
            if (words[k] >= 0x10000u) {
                chunks[k] = load_staged(made->rows + place * bytes, dtype, vector).chunk;
            }
        }
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            const unsigned unit = (unsigned)(from + k * (int)blockDim.x);
            chunks[k] = finish_staged(chunks[k], words[k] >> 16, dtype, vector, reduce);
            if ((int)unit < units) {
                store_unit(to + unit * bytes, chunks[k], dtype, vector);
            }
        }
    }
}

/* ---- a slab --------------------------------------------------------------------------------- */

/* Returns false where the slab is overfull, with nothing written. `multiple` is
 * multiple_unit() for the kernel's types, kept out of its registers. */
typedef uint4 (*multiple_function)(const char *first, unsigned stride, int count, int reduce);

INLINE int reduce_staged(const voxel_reduce_launch *p, unsigned *shared, multiple_function multiple,
                         int dtype, int vector, int reduce) {
    const slab part = slab_of_block(&p->deal.cut);
    const stage made = stage_of_block(p, shared, dtype, vector);
    for (int i = (int)threadIdx.x; i < made.groups * 2; i += (int)blockDim.x) {
        ((uint4 *)made.cells)[i] = make_uint4(0, 0, 0, 0);
    }
    launch_await();
    launch_release();
    write_dropped(&p->deal.cut, &part, p->dropped);
    const unsigned total = keep_entries(p, &part, &made);
    if (p->most_points == 0 || total > p->most_points || !place_cells(p, &part, &made)) {
        return 0;
    }
    order_points(&made, (int)total);
    const unsigned row_units = units_of_row(p, vector);
    const unsigned bytes = unit_bytes(dtype, vector);
    for (int begin = 0; begin < made.groups;) {
        const unsigned base = first_place(&made, begin * GROUP_CELLS, total);
        int end = made.groups;
        if (total - base > p->stage_rows) {
            int low = begin + 1;
            while (end - low > 1) {
                const int middle = (low + end) / 2;
                if (first_place(&made, middle * GROUP_CELLS, total) - base <= p->stage_rows) {
                    low = middle;
                } else {
                    end = middle;
                }
            }
            end = low;
        }
        fetch_rows(p, &part, &made, base, first_place(&made, end * GROUP_CELLS, total) - base,
                   dtype, vector);
        const unsigned list = made.group_lists[begin];
        const unsigned units = (made.group_lists[end] - list) * row_units;
        for (unsigned unit = threadIdx.x; unit < units; unit += blockDim.x) {
            const unsigned index = divide_by_inverse(unit, p->row_inverse);
            const unsigned word = made.cells[made.multiples[list + index]];
            char *first = made.rows + ((word & 0xffffu) - base) * made.row_bytes +
                          (unit - index * row_units) * bytes;
            const int count = (int)(word >> 16);
            uint4 result;
            if (!is_sum(reduce)) {
                result = multiple_unit(first, made.row_bytes, count, dtype, vector, reduce);
            } else if (!sum_exactly(first, made.row_bytes, count, &result, dtype, vector, reduce)) {
                result = multiple(first, made.row_bytes, count, reduce);
            }
            store_staged(first, result, dtype, vector);
        }
        __syncthreads();
        write_groups(p, &part, &made, begin, end, base, dtype, vector, reduce);
        __syncthreads();
        begin = end;
    }
    return 1;
}

/* Kernels rbc__voxel_<name>_cuda; `reduce` is one of two that differ in little. What is rarely
 * needed is kept out of their registers. */
#define STAGED_KERNEL(name, dtype, vector, reduce_of)                                              \
    static __device__ __noinline__ uint4 multiple_##name(const char *first, unsigned stride,       \
                                                         int count, int reduce) {                  \
        return multiple_unit(first, stride, count, dtype, vector, reduce);                         \
    }                                                                                              \
    static __device__ __noinline__ void overfull_##name(const voxel_reduce_launch *p,              \
                                                        unsigned *shared) {                        \
        reduce_overfull(p, shared, dtype, vector, reduce_of(p->reduce));                           \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(VOXEL_REDUCE_THREADS, 2)                          \
        rbc__voxel_##name##_cuda(const __grid_constant__ voxel_reduce_launch p) {                  \
        extern __shared__ __align__(16) unsigned shared[];                                         \
        if (!reduce_staged(&p, shared, multiple_##name, dtype, vector, reduce_of(p.reduce))) {     \
            __syncthreads();                                                                       \
            overfull_##name(&p, shared);                                                           \
        }                                                                                          \
    }                                                                                              \
    SEVERAL_KERNEL(name, dtype, vector, reduce_of)

#define STAGED_KERNELS(kind, reduce_of)                                                            \
    STAGED_KERNEL(kind##_f32, VALUE_F32, 1, reduce_of)                                             \
    STAGED_KERNEL(kind##_f16, VALUE_F16, 1, reduce_of)                                             \
    STAGED_KERNEL(kind##_bf16, VALUE_BF16, 1, reduce_of)                                           \
    STAGED_KERNEL(kind##_any_f32, VALUE_F32, 0, reduce_of)                                         \
    STAGED_KERNEL(kind##_any_f64, VALUE_F64, 0, reduce_of)                                         \
    STAGED_KERNEL(kind##_any_f16, VALUE_F16, 0, reduce_of)                                         \
    STAGED_KERNEL(kind##_any_bf16, VALUE_BF16, 0, reduce_of)

#endif
