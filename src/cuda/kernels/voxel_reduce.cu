/* Sum, mean, maximum and minimum of the features of a slab's cells. The slab's points are sorted by
 * cell in shared memory, as many cells at once as fit; then threads make the rows of the output,
 * empty cells included. The order of a cell's points does not matter: sums are of integers, as
 * rbc_voxelize() says, by a power of two that the cell's own greatest magnitude gives. */
#include "reduce.cuh"
#include "slab.cuh"

enum {
    THREADS = VOXEL_REDUCE_THREADS,
    WARPS = THREADS / 32,
    AT_ONCE = 4, /* points whose features are loaded together */
};

INLINE values load_values(const voxel_reduce_launch *p, long long batch, unsigned point,
                          unsigned unit, int dtype, int vector) {
    values loaded;
    const char *row = p->features + batch * p->batch_stride;
    if (vector) {
        loaded.chunk =
            __ldg((const uint4 *)(row + (unsigned long long)point * p->point_stride) + unit);
        return loaded;
    }
    const char *address = row + point / p->feature_row * p->row_stride +
                          point % p->feature_row * p->point_stride + unit * p->feature_stride;
    const item bits = item_load(address, dtype);
    loaded.chunk = make_uint4((unsigned)bits, (unsigned)(bits >> 32), 0, 0);
    return loaded;
}

/* ---- one unit of output: 16 bytes, or one value, of a cell ---------------------------------- */

INLINE void write_unit(const voxel_reduce_launch *p, const channels *all, int count,
                       unsigned long long unit_of_out, int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    item results[8];
#pragma unroll
    for (int k = 0; k < width; ++k) {
        results[k] = count == 0       ? 0
                     : is_sum(reduce) ? finish_sum(all, k, count, reduce, dtype)
                                      : extreme_of_key(all->key[k], dtype, reduce);
    }
    if (!vector) {
        item_store(p->out + unit_of_out * (unsigned)item_bytes(dtype), results[0], dtype);
    } else if (dtype == VALUE_F32) {
        store_streaming(p->out + unit_of_out * 16,
                        make_uint4((unsigned)results[0], (unsigned)results[1], (unsigned)results[2],
                                   (unsigned)results[3]));
    } else {
        store_streaming(p->out + unit_of_out * 16,
                        make_uint4((unsigned)(results[0] | results[1] << 16),
                                   (unsigned)(results[2] | results[3] << 16),
                                   (unsigned)(results[4] | results[5] << 16),
                                   (unsigned)(results[6] | results[7] << 16)));
    }
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

/* ---- a slab --------------------------------------------------------------------------------- */

/* Exclusive sums of counts[0..n), in place. */
INLINE void scan(unsigned *counts, int n) {
    __shared__ unsigned warp_sums[WARPS];
    const int thread = (int)threadIdx.x;
    const int per_thread = (n + THREADS - 1) / THREADS;
    const int begin = thread * per_thread < n ? thread * per_thread : n;
    const int end = begin + per_thread < n ? begin + per_thread : n;
    unsigned sum = 0;
    for (int i = begin; i < end; ++i) {
        sum += counts[i];
    }
    unsigned inclusive = sum;
    for (int distance = 1; distance < 32; distance <<= 1) {
        const unsigned other = __shfl_up_sync(0xffffffffu, inclusive, distance);
        inclusive += (thread & 31) >= distance ? other : 0;
    }
    if ((thread & 31) == 31) {
        warp_sums[thread >> 5] = inclusive;
    }
    __syncthreads();
    unsigned before = inclusive - sum;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) {
        before += w < thread >> 5 ? warp_sums[w] : 0;
    }
    for (int i = begin; i < end; ++i) {
        const unsigned count = counts[i];
        counts[i] = before;
        before += count;
    }
    __syncthreads();
}

/* A cell of more points than can be sorted: all threads look at all its points. */
INLINE void make_crowded_cell(const voxel_reduce_launch *p, const slab *part,
                              const run_reader *reader, int crowded, int count, int dtype,
                              int vector, int reduce) {
    __shared__ channels joined[WARPS];
    const int width = width_of(dtype, vector);
    const unsigned units = vector ? p->row_chunks : p->num_features;
    const int warp = (int)(threadIdx.x >> 5);
    for (unsigned unit = 0; unit < units; ++unit) {
        channels all;
        clear_channels(&all, width);
        FOR_EACH_ENTRY(reader, cell, point, {
            if (cell == crowded) {
                const values loaded = load_values(p, part->batch, point, unit, dtype, vector);
                look(&all, &loaded, dtype, width, reduce);
            }
        })
        __syncwarp();
        join_looks(&all, 32, width, reduce);
        joined[warp] = all;
        __syncthreads();
        for (int w = 0; w < WARPS; ++w) {
#pragma unroll
            for (int k = 0; k < width; ++k) {
                const unsigned long long largest = joined[w].largest[k];
                all.largest[k] = largest > all.largest[k] ? largest : all.largest[k];
                all.key[k] = joined[w].key[k] > all.key[k] ? joined[w].key[k] : all.key[k];
            }
            all.seen |= joined[w].seen;
        }
        __syncthreads();
        if (is_sum(reduce)) {
            const int bits = bits_for(count);
            FOR_EACH_ENTRY(reader, cell, point, {
                if (cell == crowded) {
                    const values loaded = load_values(p, part->batch, point, unit, dtype, vector);
                    add(&all, &loaded, bits, dtype, width);
                }
            })
            __syncwarp();
            join_sums(&all, 32, width, dtype);
            joined[warp] = all;
            __syncthreads();
            for (int w = 0; w < WARPS; ++w) {
#pragma unroll
                for (int k = 0; k < width; ++k) {
                    all.high[k] += w == warp ? 0 : joined[w].high[k];
                    all.low[k] += w == warp ? 0 : joined[w].low[k];
                }
            }
            __syncthreads();
        }
        if (threadIdx.x == 0) {
            write_unit(p, &all, count,
                       (unsigned long long)(part->out_cell + crowded) * units + unit, dtype, vector,
                       reduce);
        }
    }
}

/* Cells [begin, end) of a slab with their points in order; those of cell c end at ends[c] - base.
 */
typedef struct cell_range {
    const unsigned *ends;
    const unsigned *order;
    unsigned base;
    int begin, end;
} cell_range;

INLINE unsigned first_point(const cell_range *range, int cell) {
    return (cell == range->begin ? range->base : range->ends[cell - 1]) - range->base;
}

INLINE int count_of_cell(const cell_range *range, int cell) {
    return (int)(range->ends[cell] - range->base - first_point(range, cell));
}

INLINE int cell_of_unit(const voxel_reduce_launch *p, int unit, int row_units) {
    return p->row_shift < 32 ? unit >> p->row_shift : unit / row_units;
}

/* Writes zeros for empty cells and lists the others: those of one point from the front of `list`,
 * those of more from its end. Returns how many there are of each. */
INLINE int2 sort_cells(const voxel_reduce_launch *p, const slab *part, const cell_range *range,
                       unsigned short *list, int capacity, int row_units, int dtype, int vector) {
    __shared__ int singles;
    __shared__ int multiples;
    if (threadIdx.x == 0) {
        singles = 0;
        multiples = 0;
    }
    __syncthreads();
    const int lane = (int)threadIdx.x & 31;
    const unsigned below = (1u << lane) - 1;
    for (int base = range->begin; base < range->end; base += THREADS) {
        const int cell = base + (int)threadIdx.x;
        const int count = cell < range->end ? count_of_cell(range, cell) : 0;
        const unsigned one = __ballot_sync(0xffffffffu, count == 1);
        const unsigned more = __ballot_sync(0xffffffffu, count > 1);
        int place = 0;
        if (lane == 0) {
            place = atomicAdd(&singles, __popc(one));
        } else if (lane == 1) {
            place = atomicAdd(&multiples, __popc(more));
        }
        const int front = __shfl_sync(0xffffffffu, place, 0);
        const int back = __shfl_sync(0xffffffffu, place, 1);
        if (count == 1) {
            list[front + __popc(one & below)] = (unsigned short)cell;
        } else if (count > 1) {
            list[capacity - 1 - back - __popc(more & below)] = (unsigned short)cell;
        }
    }
    const int units = (range->end - range->begin) * row_units;
    const unsigned long long out = (unsigned long long)(part->out_cell + range->begin) * row_units;
    for (int unit = (int)threadIdx.x; unit < units; unit += THREADS) {
        const int cell = range->begin + cell_of_unit(p, unit, row_units);
        if (count_of_cell(range, cell) == 0) {
            if (vector) {
                store_streaming(p->out + (out + unit) * 16, make_uint4(0, 0, 0, 0));
            } else {
                item_store(p->out + (out + unit) * item_bytes(dtype), 0, dtype);
            }
        }
    }
    __syncthreads();
    return make_int2(singles, multiples);
}

/* A cell of one point: its features, with one NaN and, for sums, one zero. */
INLINE void write_single(const voxel_reduce_launch *p, const values *loaded,
                         unsigned long long unit_of_out, int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    values result = *loaded;
    int plain = 1;
#pragma unroll
    for (int k = 0; k < width; ++k) {
        const item bits = value_bits(loaded, k, dtype);
        plain &= !item_is_nan(bits, dtype);
    }
    if (is_sum(reduce)) {
        /* Adding zero makes -0 the one zero. */
        if (dtype == VALUE_F32) {
            result.chunk.x = __float_as_uint(__uint_as_float(loaded->chunk.x) + 0.0f);
            result.chunk.y = __float_as_uint(__uint_as_float(loaded->chunk.y) + 0.0f);
            result.chunk.z = __float_as_uint(__uint_as_float(loaded->chunk.z) + 0.0f);
            result.chunk.w = __float_as_uint(__uint_as_float(loaded->chunk.w) + 0.0f);
        } else {
            plain = 0;
        }
    }
    if (vector && plain) {
        store_streaming(p->out + unit_of_out * 16, result.chunk);
        return;
    }
    channels all;
    clear_channels(&all, width);
    look(&all, loaded, dtype, width, reduce);
    if (is_sum(reduce)) {
        add(&all, loaded, bits_for(1), dtype, width);
    }
    write_unit(p, &all, 1, unit_of_out, dtype, vector, reduce);
}

INLINE void make_singles(const voxel_reduce_launch *p, const slab *part, const cell_range *range,
                         const unsigned short *list, int count, int row_units, int dtype,
                         int vector, int reduce) {
    const int units = count * row_units;
    for (int base = (int)threadIdx.x; base < units; base += AT_ONCE * THREADS) {
        values loaded[AT_ONCE];
        unsigned long long outs[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            const int unit = base + i * THREADS;
            if (unit < units) {
                const int index = cell_of_unit(p, unit, row_units);
                const int cell = list[index];
                const unsigned column = (unsigned)(unit - index * row_units);
                outs[i] = (unsigned long long)(part->out_cell + cell) * row_units + column;
                loaded[i] = load_values(p, part->batch, range->order[first_point(range, cell)],
                                        column, dtype, vector);
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (base + i * THREADS < units) {
                write_single(p, &loaded[i], outs[i], dtype, vector, reduce);
            }
        }
    }
}

INLINE void make_multiples(const voxel_reduce_launch *p, const slab *part, const cell_range *range,
                           const unsigned short *list, int count, int row_units, int dtype,
                           int vector, int reduce) {
    const unsigned units = (unsigned)(count * row_units);
    int lanes = 1;
    while (lanes < 32 && units * (unsigned)lanes * 2 <= THREADS) {
        lanes *= 2;
    }
    const int lane = (int)threadIdx.x & (lanes - 1);
    const unsigned stride = THREADS / (unsigned)lanes;
    /* All lanes of a warp stay together, for the shuffles. */
    for (unsigned first = 0; first < units; first += stride) {
        const unsigned unit = first + threadIdx.x / (unsigned)lanes;
        const int exists = unit < units;
        const int index = cell_of_unit(p, (int)unit, row_units);
        const int cell = exists ? list[-index] : range->begin;
        const unsigned column = unit - (unsigned)(index * row_units);
        const int points = exists ? count_of_cell(range, cell) : 0;
        channels all;
        make_unit(p, part, range->order + first_point(range, cell), points, column, lane, lanes,
                  &all, dtype, vector, reduce);
        if (exists && lane == 0) {
            write_unit(p, &all, points,
                       (unsigned long long)(part->out_cell + cell) * row_units + column, dtype,
                       vector, reduce);
        }
    }
}

INLINE void make_cells(const voxel_reduce_launch *p, const slab *part, const cell_range *range,
                       unsigned short *list, int dtype, int vector, int reduce) {
    const int row_units = (int)(vector ? p->row_chunks : p->num_features);
    const int capacity = (int)p->order_points;
    const int2 counts = sort_cells(p, part, range, list, capacity, row_units, dtype, vector);
    make_singles(p, part, range, list, counts.x, row_units, dtype, vector, reduce);
    make_multiples(p, part, range, list + capacity - 1, counts.y, row_units, dtype, vector, reduce);
}

INLINE void reduce_slab(const voxel_reduce_launch *p, int dtype, int vector, int reduce) {
    extern __shared__ __align__(16) unsigned shared[];
    unsigned *cells = shared; /* counts, then where cells begin, then where they end */
    unsigned *order = shared + (1u << p->deal.shift);
    unsigned short *list = (unsigned short *)(order + p->order_points);
    const slab part = slab_of_block(&p->deal);
    for (int i = (int)threadIdx.x; i < part.cells; i += THREADS) {
        cells[i] = 0;
    }
    launch_await();
    write_dropped(&p->deal, &part, p->dropped);
    __syncthreads();
    const run_reader reader = read_runs(&p->deal, &part, p->lanes);
    FOR_EACH_ENTRY(&reader, cell, point, { atomicAdd(&cells[cell], 1u); })
    __syncthreads();
    if (p->counts != 0) {
        for (int i = (int)threadIdx.x; i < part.cells; i += THREADS) {
            p->counts[part.out_cell + i] = (int)cells[i];
        }
    }
    /* The number of points, before their counts become places. */
    const unsigned last = cells[part.cells - 1];
    __syncthreads();
    scan(cells, part.cells);
    const unsigned total = cells[part.cells - 1] + last;
    __syncthreads();
    unsigned base = 0;
    for (int begin = 0; begin < part.cells;) {
        /* The cells from `begin` on whose points fit; at least one. */
        int end = part.cells;
        if (total - base > p->order_points) {
            int low = begin;
            int high = part.cells;
            while (high - low > 1) {
                const int middle = (low + high) / 2;
                if (cells[middle] - base <= p->order_points) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            end = low > begin ? low : begin + 1;
        }
        const unsigned next = end < part.cells ? cells[end] : total;
        __syncthreads();
        if (next - base > p->order_points) {
            make_crowded_cell(p, &part, &reader, begin, (int)(next - base), dtype, vector, reduce);
        } else {
            FOR_EACH_ENTRY(&reader, cell, point, {
                if (cell >= begin && cell < end) {
                    order[atomicAdd(&cells[cell], 1u) - base] = point;
                }
            })
            __syncthreads();
            const cell_range range = {cells, order, base, begin, end};
            make_cells(p, &part, &range, list, dtype, vector, reduce);
        }
        __syncthreads();
        base = next;
        begin = end;
    }
    launch_release();
}

#define KERNEL(name, dtype, vector, reduce, min_blocks)                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, min_blocks)                              \
        rbc__voxel_##name##_cuda(const __grid_constant__ voxel_reduce_launch p) {                  \
        reduce_slab(&p, dtype, vector, reduce);                                                    \
    }

/* Sum and mean, maximum and minimum differ in little: one kernel each. */
#define KERNELS(suffix, dtype, vector, min_blocks)                                                 \
    KERNEL(sum_##suffix, dtype, vector, (p.reduce == REDUCE_MEAN ? REDUCE_MEAN : REDUCE_SUM),      \
           min_blocks)                                                                             \
    KERNEL(extreme_##suffix, dtype, vector, (p.reduce == REDUCE_MIN ? REDUCE_MIN : REDUCE_MAX),    \
           min_blocks)

KERNELS(f32, VALUE_F32, 1, 3)
KERNELS(f16, VALUE_F16, 1, 2)
KERNELS(bf16, VALUE_BF16, 1, 2)
KERNELS(any_f32, VALUE_F32, 0, 4)
KERNELS(any_f64, VALUE_F64, 0, 4)
KERNELS(any_f16, VALUE_F16, 0, 4)
KERNELS(any_bf16, VALUE_BF16, 0, 4)
