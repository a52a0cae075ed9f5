/* Sum, mean, maximum and minimum of the features of a tile's cells. Its points are sorted by cell
 * in shared memory; then the features of as many cells as fit are copied there, in that order, all
 * at once and asynchronously; then what cells of several points amount to takes the position of the
 * first one's features; and then whole rows of the output are written, empty cells included. The
 * order of a cell's points does not matter: sums are of integers, as rbc_voxelize() says, by a
 * power of two that the cell's own greatest magnitude gives. */
#ifndef RBC_CUDA_TILE_REDUCE_CUH
#define RBC_CUDA_TILE_REDUCE_CUH

#include "cuda/voxelize/deferred.cuh"
#include "cuda/voxelize/tile_overflow.cuh"

/* ---- cells ---- */

INLINE values load_staged(const char *address, int dtype, int vector) {
    values loaded;
    if (vector) {
        loaded.vec16 = *(const uint4 *)address;
    } else {
        const item bits = item_load(address, dtype);
        loaded.vec16 = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    }
    return loaded;
}

INLINE void store_staged(char *address, uint4 vec16, int dtype, int vector) {
    if (vector) {
        *(uint4 *)address = vec16;
    } else {
        item_store(address, (item)vec16.y << 32 | vec16.x, dtype);
    }
}

/* Copies the features of positions [base, base + rows). */
INLINE void fetch_rows(const voxel_reduce_launch *p, const cell_tile *part,
                       const tile_memory *memory, unsigned base, unsigned rows, int dtype,
                       int vector) {
    const unsigned row_slices = slices_of_row(p, vector);
    const unsigned slices = rows * row_slices;
    for (unsigned from = threadIdx.x; from < slices; from += SLICES_AT_ONCE * blockDim.x) {
        unsigned points[SLICES_AT_ONCE], columns[SLICES_AT_ONCE];
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            const unsigned slice = from + k * blockDim.x;
            const unsigned row = divide_by_inverse(slice, p->row_inverse);
            columns[k] = slice - row * row_slices;
            points[k] = slice < slices ? memory->order[base + row] : 0;
        }
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            const unsigned slice = from + k * blockDim.x;
            char *to = memory->rows + slice * slice_bytes(dtype, vector);
            const char *address = address_of_values(p, part->batch, points[k], columns[k], vector);
            if (slice >= slices) {
                continue;
            }
            if (vector || dtype == VALUE_F32 || dtype == VALUE_F64) {
                copy_async(to, address, (int)slice_bytes(dtype, vector));
            } else {
                *(unsigned short *)to = *(const unsigned short *)address;
            }
        }
    }
    copy_wait();
    __syncthreads();
}

/* single_slice() where `count` is 1, else the vector as it is, whose NaN is that one already. */
INLINE uint4 finish_staged(uint4 vec16, unsigned count, int dtype, int vector, int reduce) {
    if (dtype != VALUE_F32 || !vector) {
        return count == 1 ? single_slice(vec16, dtype, vector, reduce) : vec16;
    }
    /* Adding -0 changes no number. */
    const float zero = is_sum(reduce) && count == 1 ? 0.0f : -0.0f;
    float a = __uint_as_float(vec16.x) + zero;
    float b = __uint_as_float(vec16.y) + zero;
    float c = __uint_as_float(vec16.z) + zero;
    float d = __uint_as_float(vec16.w) + zero;
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
INLINE uint4 multiple_slice(const char *first, unsigned stride, int count, int dtype, int vector,
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
    return finish_slice(&all, count, dtype, vector, reduce);
}

/* Writes the cells of groups [begin, end), whose features are there from position `base` on. */
INLINE void write_groups(const voxel_reduce_launch *p, const cell_tile *part,
                         const tile_memory *memory, int begin, int end, unsigned base, int dtype,
                         int vector, int reduce) {
    const unsigned row_slices = slices_of_row(p, vector);
    const int first = begin * GROUP_CELLS;
    const int last = min(end * GROUP_CELLS, part->cells);
    const int slices = (last - first) * (int)row_slices;
    const unsigned bytes = slice_bytes(dtype, vector);
    char *to = p->out + (unsigned long long)(part->out_cell + first) * row_slices * bytes;
    for (int from = (int)threadIdx.x; from < slices; from += SLICES_AT_ONCE * (int)blockDim.x) {
        unsigned words[SLICES_AT_ONCE], columns[SLICES_AT_ONCE];
        uint4 vec16s[SLICES_AT_ONCE];
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            const unsigned slice = (unsigned)(from + k * (int)blockDim.x);
            const unsigned row = divide_by_inverse(slice, p->row_inverse);
            words[k] = (int)slice < slices ? memory->cells[first + (int)row] : 0;
            columns[k] = slice - row * row_slices;
        }
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            const unsigned position = ((words[k] & 0xffffu) - base) * row_slices + columns[k];
            vec16s[k] = make_uint4(0, 0, 0, 0);
            if (words[k] >= 0x10000u) {
                vec16s[k] = load_staged(memory->rows + position * bytes, dtype, vector).vec16;
            }
        }
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            const unsigned slice = (unsigned)(from + k * (int)blockDim.x);
            vec16s[k] = finish_staged(vec16s[k], words[k] >> 16, dtype, vector, reduce);
            if ((int)slice < slices) {
                store_slice(to + slice * bytes, vec16s[k], dtype, vector);
            }
        }
    }
}

/* ---- a tile ---- */

/* Returns false where the tile is overflowing, with nothing written. `multiple` is
 * multiple_slice() for the kernel's types, kept out of its registers. */
typedef uint4 (*multiple_function)(const char *first, unsigned stride, int count, int reduce);

INLINE int reduce_tile(const voxel_reduce_launch *p, unsigned *shared, multiple_function multiple,
                       int dtype, int vector, int reduce) {
    const cell_tile part = tile_of_block(&p->deal.cut);
    const tile_memory memory = memory_of_block(p, shared, dtype, vector);
    for (int i = (int)threadIdx.x; i < memory.groups * 2; i += (int)blockDim.x) {
        ((uint4 *)memory.cells)[i] = make_uint4(0, 0, 0, 0);
    }
    launch_await();
    launch_release();
    write_dropped(&p->deal.cut, &part, p->dropped);
    const unsigned total = keep_entries(p, &part, &memory);
    if (p->most_points == 0 || total > p->most_points || !number_cells(p, &part, &memory)) {
        return 0;
    }
    order_points(&memory, (int)total);
    const unsigned row_slices = slices_of_row(p, vector);
    const unsigned bytes = slice_bytes(dtype, vector);
    for (int begin = 0; begin < memory.groups;) {
        const unsigned base = first_position(&memory, begin * GROUP_CELLS, total);
        int end = memory.groups;
        if (total - base > p->staged_rows) {
            int low = begin + 1;
            while (end - low > 1) {
                const int middle = (low + end) / 2;
                if (first_position(&memory, middle * GROUP_CELLS, total) - base <= p->staged_rows) {
                    low = middle;
                } else {
                    end = middle;
                }
            }
            end = low;
        }
        fetch_rows(p, &part, &memory, base,
                   first_position(&memory, end * GROUP_CELLS, total) - base, dtype, vector);
        const unsigned list = memory.group_lists[begin];
        const unsigned slices = (memory.group_lists[end] - list) * row_slices;
        for (unsigned slice = threadIdx.x; slice < slices; slice += blockDim.x) {
            const unsigned index = divide_by_inverse(slice, p->row_inverse);
            const unsigned word = memory.cells[memory.multiples[list + index]];
            char *first = memory.rows + ((word & 0xffffu) - base) * memory.row_bytes +
                          (slice - index * row_slices) * bytes;
            const int count = (int)(word >> 16);
            uint4 result;
            if (!is_sum(reduce)) {
                result = multiple_slice(first, memory.row_bytes, count, dtype, vector, reduce);
            } else if (!sum_exactly(first, memory.row_bytes, count, &result, dtype, vector,
                                    reduce)) {
                result = multiple(first, memory.row_bytes, count, reduce);
            }
            store_staged(first, result, dtype, vector);
        }
        __syncthreads();
        write_groups(p, &part, &memory, begin, end, base, dtype, vector, reduce);
        __syncthreads();
        begin = end;
    }
    return 1;
}

/* Kernels rbc__voxel_<name>_cuda; `reduce` is one of two that differ in little. What is rarely
 * needed is kept out of their registers. */
#define TILE_KERNEL(name, dtype, vector, reduce_of)                                                \
    static __device__ __noinline__ uint4 multiple_##name(const char *first, unsigned stride,       \
                                                         int count, int reduce) {                  \
        return multiple_slice(first, stride, count, dtype, vector, reduce);                        \
    }                                                                                              \
    static __device__ __noinline__ void overflow_##name(const voxel_reduce_launch *p,              \
                                                        unsigned *shared) {                        \
        reduce_overflow(p, shared, dtype, vector, reduce_of(p->reduce));                           \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(VOXEL_REDUCE_THREADS, 2)                          \
        rbc__voxel_##name##_cuda(const __grid_constant__ voxel_reduce_launch p) {                  \
        extern __shared__ __align__(16) unsigned shared[];                                         \
        if (!reduce_tile(&p, shared, multiple_##name, dtype, vector, reduce_of(p.reduce))) {       \
            __syncthreads();                                                                       \
            overflow_##name(&p, shared);                                                           \
        }                                                                                          \
    }                                                                                              \
    DEFERRED_KERNEL(name, dtype, vector, reduce_of)

#define TILE_KERNELS(kind, reduce_of)                                                              \
    TILE_KERNEL(kind##_f32, VALUE_F32, 1, reduce_of)                                               \
    TILE_KERNEL(kind##_f16, VALUE_F16, 1, reduce_of)                                               \
    TILE_KERNEL(kind##_bf16, VALUE_BF16, 1, reduce_of)                                             \
    TILE_KERNEL(kind##_generic_f32, VALUE_F32, 0, reduce_of)                                       \
    TILE_KERNEL(kind##_generic_f64, VALUE_F64, 0, reduce_of)                                       \
    TILE_KERNEL(kind##_generic_f16, VALUE_F16, 0, reduce_of)                                       \
    TILE_KERNEL(kind##_generic_bf16, VALUE_BF16, 0, reduce_of)

#endif
