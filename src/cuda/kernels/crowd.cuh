/* The general way to reduce a slab, for one that has many points: as many cells at once as have
 * their points' indices in shared memory, and one at a time those that have more than fit. */
#ifndef RBC_CUDA_KERNELS_CROWD_CUH
#define RBC_CUDA_KERNELS_CROWD_CUH

#include "segment.cuh"
#include "unit.cuh"

enum {
    CROWD_LANES = 8,       /* threads that make a unit together */
    CROWD_CHUNK_LANES = 4, /* that read a run together */
};

/* For every entry of the slab, each by one thread: `cell` and `point`, its index in the cloud. */
#define FOR_EACH_ENTRY(p, part, cell, point, body)                                                 \
    for (unsigned task_ = threadIdx.x; task_ < (p)->deal.cut.num_segments * CROWD_CHUNK_LANES;     \
         task_ += blockDim.x) {                                                                    \
        const unsigned segment_ = task_ / CROWD_CHUNK_LANES;                                       \
        const run run_ = run_of_segment(&(p)->deal, part, segment_);                               \
        for (int chunk_ = (int)(task_ % CROWD_CHUNK_LANES); 4 * chunk_ < run_.count;               \
             chunk_ += CROWD_CHUNK_LANES) {                                                        \
            const uint4 loaded_ = __ldg(run_.chunks + chunk_);                                     \
            const unsigned words_[4] = {loaded_.x, loaded_.y, loaded_.z, loaded_.w};               \
            _Pragma("unroll") for (int word_ = 0; word_ < 4; ++word_) {                            \
                if (4 * chunk_ + word_ < run_.count) {                                             \
                    const int cell = cell_of_entry(words_[word_]);                                 \
                    const unsigned point = point_of_entry(&(p)->deal, segment_, words_[word_]);    \
                    (void)point;                                                                   \
                    body                                                                           \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

/* counts[0..n) become the sums of those before; returns the sum of all. A barrier is passed last.
 */
INLINE unsigned sum_before(unsigned *counts, int n) {
    __shared__ unsigned warp_sums[32];
    __shared__ unsigned total;
    const int each = (n + (int)blockDim.x - 1) / (int)blockDim.x;
    const int begin = min((int)threadIdx.x * each, n);
    const int end = min(begin + each, n);
    unsigned sum = 0;
    for (int i = begin; i < end; ++i) {
        sum += counts[i];
    }
    unsigned before = block_sum_before(sum, warp_sums);
    for (int i = begin; i < end; ++i) {
        const unsigned count = counts[i];
        counts[i] = before;
        before += count;
    }
    if (threadIdx.x == blockDim.x - 1) {
        total = before;
    }
    __syncthreads();
    return total;
}

/* A cell of more points than can be sorted: all threads look at all its points. `joined` has room
 * for what every warp knows. */
INLINE void make_crowded_cell(const voxel_reduce_launch *p, const slab *part, channels *joined,
                              int crowded, int count, int dtype, int vector, int reduce) {
    const int width = width_of(dtype, vector);
    const unsigned units = units_of_row(p, vector);
    const int warp = (int)(threadIdx.x >> 5);
    const int warps = (int)(blockDim.x >> 5);
    for (unsigned unit = 0; unit < units; ++unit) {
        channels all;
        clear_channels(&all, width);
        FOR_EACH_ENTRY(p, part, cell, point, {
            if (cell == crowded) {
                const values loaded = load_values(p, part->batch, point, unit, dtype, vector);
                look(&all, &loaded, dtype, width, reduce);
            }
        })
        __syncwarp();
        join_looks(&all, 32, width, reduce);
        joined[warp] = all;
        __syncthreads();
        for (int w = 0; w < warps; ++w) {
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
            FOR_EACH_ENTRY(p, part, cell, point, {
                if (cell == crowded) {
                    const values loaded = load_values(p, part->batch, point, unit, dtype, vector);
                    add(&all, &loaded, bits, dtype, width);
                }
            })
            __syncwarp();
            join_sums(&all, 32, width, dtype);
            joined[warp] = all;
            __syncthreads();
            for (int w = 0; w < warps; ++w) {
#pragma unroll
                for (int k = 0; k < width; ++k) {
                    all.high[k] += w == warp ? 0 : joined[w].high[k];
                    all.low[k] += w == warp ? 0 : joined[w].low[k];
                }
            }
            __syncthreads();
        }
        if (threadIdx.x == 0) {
            write_unit(p, part, crowded, unit, finish_unit(&all, count, dtype, vector, reduce),
                       dtype, vector);
        }
    }
}

/* Cells [begin, end) of a slab. order: their points; those of cell c end at ends[c] - base. */
INLINE void make_cells(const voxel_reduce_launch *p, const slab *part, const unsigned *ends,
                       const unsigned *order, unsigned base, int begin, int end, int dtype,
                       int vector, int reduce) {
    const unsigned row_units = units_of_row(p, vector);
    const unsigned units = (unsigned)(end - begin) * row_units;
    const int lane = (int)threadIdx.x % CROWD_LANES;
    const unsigned stride = blockDim.x / CROWD_LANES;
    /* All lanes of a warp stay together, for the shuffles. */
    for (unsigned first = 0; first < units; first += stride) {
        const unsigned unit = first + threadIdx.x / CROWD_LANES;
        const int exists = unit < units;
        const unsigned index = exists ? unit / row_units : 0;
        const int cell = begin + (int)index;
        const unsigned from = cell == begin ? base : ends[cell - 1];
        const int count = exists ? (int)(ends[cell] - from) : 0;
        channels all;
        make_unit(p, part, order + (from - base), count, unit - index * row_units, lane,
                  CROWD_LANES, &all, dtype, vector, reduce);
        if (exists && lane == 0) {
            write_unit(p, part, cell, unit - index * row_units,
                       finish_unit(&all, count, dtype, vector, reduce), dtype, vector);
        }
    }
}

INLINE void reduce_crowd(const voxel_reduce_launch *p, unsigned *shared, int dtype, int vector,
                         int reduce) {
    const slab part = slab_of_block(&p->deal.cut);
    const int num_cells = part.cells;
    static_assert(sizeof(channels) == VOXEL_CHANNELS_BYTES, "room for each warp's");
    channels *joined = (channels *)shared;
    unsigned *cells = shared + (blockDim.x >> 5) * (VOXEL_CHANNELS_BYTES / 4);
    unsigned *order = cells + (1u << p->deal.cut.shift);
    const unsigned order_points = (unsigned)(shared + p->shared_words - order);
    for (int i = (int)threadIdx.x; i < num_cells; i += (int)blockDim.x) {
        cells[i] = 0;
    }
    __syncthreads();
    FOR_EACH_ENTRY(p, &part, cell, point, { atomicAdd(&cells[cell], 1u); })
    __syncthreads();
    if (p->counts != 0) {
        for (int i = (int)threadIdx.x; i < num_cells; i += (int)blockDim.x) {
            p->counts[part.out_cell + i] = (int)cells[i];
        }
    }
    __syncthreads();
    const unsigned total = sum_before(cells, num_cells);
    unsigned base = 0;
    for (int begin = 0; begin < num_cells;) {
        /* The cells from `begin` on whose points fit; at least one. */
        int end = num_cells;
        if (total - base > order_points) {
            int low = begin;
            int high = num_cells;
            while (high - low > 1) {
                const int middle = (low + high) / 2;
                if (cells[middle] - base <= order_points) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            end = low > begin ? low : begin + 1;
        }
        const unsigned next = end < num_cells ? cells[end] : total;
        __syncthreads();
        if (next - base > order_points) {
            make_crowded_cell(p, &part, joined, begin, (int)(next - base), dtype, vector, reduce);
        } else {
            FOR_EACH_ENTRY(p, &part, cell, point, {
                if (cell >= begin && cell < end) {
                    order[atomicAdd(&cells[cell], 1u) - base] = point;
                }
            })
            __syncthreads();
            make_cells(p, &part, cells, order, base, begin, end, dtype, vector, reduce);
        }
        __syncthreads();
        base = next;
        begin = end;
    }
}

#endif
