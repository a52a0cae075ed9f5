/* Resamples whole output rows sixteen bytes at a time: any number of sources, each with one mode out
 * of linear, hold and nearest, contiguous channels and contiguous output rows.
 *
 * A block makes a tile of targets. Brackets are found once per (source, target); the tile's output is
 * then one run of bytes that the block's threads walk in 16-byte chunks, four in flight each. In the
 * `aligned` kernels each chunk lies in one row of one source and all addresses are multiples of 16;
 * in the `packed` ones a chunk may straddle rows and sources and is then assembled in registers. */
#include "chunk.cuh"
#include "stage.cuh"

enum {
    IN_FLIGHT = 4, /* chunks a thread loads before it uses the first */
    FILL_ZERO = 0,
    FILL_NAN = 1,
};

/* What the second stage knows of a (source, target): first byte of the sample row before the target
 * and the way from there to the one after it. No `row`: `step` is a FILL. `step` 0: a copy. */
typedef struct row_pair {
    const char *row;
    long long step;
} row_pair;

typedef struct tile_rows {
    row_pair *pairs;  /* [num_sources][tile] */
    double *weights;  /* likewise */
    unsigned tile;
} tile_rows;

INLINE tile_rows rows_in_shared(const resample_launch *launch, int num_sources, char *shared) {
    tile_rows rows;
    rows.pairs = (row_pair *)(shared + launch->brackets_begin);
    rows.weights = (double *)(rows.pairs + (unsigned)num_sources * launch->tile);
    rows.tile = launch->tile;
    return rows;
}

INLINE void pair_samples(const resample_source *source, const bracket *found, long long batch,
                         stamp time, int type, row_pair *pair, double *weight) {
    *weight = 0.0;
    if (found->first < 0 ||
        (!found->valid && (source->outside == OUTSIDE_NAN || source->outside == OUTSIDE_ZERO))) {
        pair->row = 0;
        pair->step = source->outside == OUTSIDE_NAN ? FILL_NAN : FILL_ZERO;
        return;
    }
    long long first = found->first;
    pair->step = 0;
    if (source->mode == MODE_NEAREST) {
        first = found->nearest;
    } else if (source->mode == MODE_LINEAR && found->second != found->first) {
        *weight = bracket_weight(found, time, type);
        pair->step = *weight != 0.0 ? (found->second - first) * source->sample_stride : 0;
    }
    pair->row = source->values + batch * source->batch_stride + first * source->sample_stride;
}

INLINE void find_rows(const resample_launch *launch, const resample_source *sources,
                      int num_sources, const tile *part, const tile_rows *rows, char *shared,
                      long long (*windows)[2], int type) {
    const int pairs = num_sources * part->count;
    /* The first target of each thread is on its way while the stamps are. */
    stamp time = 0;
    if ((int)threadIdx.x < pairs) {
        time = target_at(launch, part->batch, part->first + (int)threadIdx.x % part->count, type);
    }
    cache_clocks(launch, sources, num_sources, part, shared, windows, type);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < pairs; i += (int)blockDim.x) {
        const int k = num_sources == 1 ? 0 : i / part->count;
        const int index = i - k * part->count;
        const resample_source *source = &sources[k];
        const long long target = part->first + index;
        if (i >= (int)blockDim.x) {
            time = target_at(launch, part->batch, target, type);
        }
        const bracket found =
            find_bracket(launch, source, k, part, index, time, shared, windows, type);
        row_pair pair;
        double weight;
        pair_samples(source, &found, part->batch, time, type, &pair, &weight);
        rows->pairs[(unsigned)k * rows->tile + index] = pair;
        rows->weights[(unsigned)k * rows->tile + index] = weight;
        write_valid(launch, part->batch, target, k, found.valid);
        write_dt(launch, source, &found, part->batch, target, time, type);
    }
    __syncthreads();
}

INLINE int source_of_column(const resample_source *sources, int num_sources, unsigned column) {
    int k = 0;
    while (k + 1 < num_sources && column >= sources[k].out_end) {
        ++k;
    }
    return k;
}

INLINE unsigned divide(unsigned n, const resample_launch *launch) {
    return (unsigned)((unsigned long long)n * launch->row_magic >> launch->row_shift);
}

INLINE uint4 fill_chunk(const resample_launch *launch, long long fill) {
    return fill == FILL_NAN ? make_uint4(launch->nan_words[0], launch->nan_words[1],
                                         launch->nan_words[2], launch->nan_words[3])
                            : make_uint4(0, 0, 0, 0);
}

/* ---- aligned -------------------------------------------------------------------------------- */

INLINE void write_aligned(const resample_launch *launch, const resample_source *sources,
                          int num_sources, const tile *part, const tile_rows *rows, int dtype) {
    char *out = launch->out + part->batch * launch->out_batch_stride +
                part->first * launch->out_target_stride;
    const unsigned chunks = (unsigned)part->count * launch->row_units;
    const unsigned threads = blockDim.x;
    for (unsigned base = threadIdx.x; base < chunks; base += IN_FLIGHT * threads) {
        uint4 a[IN_FLIGHT];
        uint4 b[IN_FLIGHT];
        double w[IN_FLIGHT];
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const unsigned chunk = base + u * threads;
            if (chunk < chunks) {
                const unsigned row = divide(chunk, launch);
                const unsigned column = (chunk - row * launch->row_units) * 16;
                const int k =
                    num_sources == 1 ? 0 : source_of_column(sources, num_sources, column);
                const unsigned at = (unsigned)k * rows->tile + row;
                const row_pair pair = rows->pairs[at];
                w[u] = rows->weights[at];
                if (pair.row == 0) {
                    a[u] = fill_chunk(launch, pair.step);
                } else {
                    const char *address = pair.row + (column - sources[k].out_begin);
                    a[u] = __ldg((const uint4 *)address);
                    if (pair.step != 0) {
                        b[u] = __ldg((const uint4 *)(address + pair.step));
                    }
                }
            }
        }
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const unsigned chunk = base + u * threads;
            if (chunk < chunks) {
                const uint4 result = w[u] != 0.0 ? lerp_chunk(a[u], b[u], w[u], dtype) : a[u];
                store_streaming(out + (unsigned long long)chunk * 16, result);
            }
        }
    }
}

/* ---- packed --------------------------------------------------------------------------------- */

INLINE unsigned long long load_element(const char *address, int bytes) {
    return bytes == 8   ? (unsigned long long)__ldg((const long long *)address)
           : bytes == 4 ? __ldg((const unsigned *)address)
           : bytes == 2 ? __ldg((const unsigned short *)address)
                        : __ldg((const unsigned char *)address);
}

INLINE unsigned long long lerp_element(unsigned long long a, unsigned long long b, double w,
                                       int dtype) {
    if (dtype == VALUE_F64) {
        return (unsigned long long)__double_as_longlong(lerp_f64(
            __longlong_as_double((long long)a), __longlong_as_double((long long)b), w));
    }
    if (dtype == VALUE_COPY) {
        return a;
    }
    return dtype == VALUE_F32 ? lerp_word((unsigned)a, (unsigned)b, (float)w, dtype)
                              : lerp_word((unsigned)a, (unsigned)b, (float)w, dtype) & 0xffffu;
}

/* The element whose first byte is `offset` bytes into the tile. */
INLINE unsigned long long make_element(const resample_launch *launch,
                                       const resample_source *sources, int num_sources,
                                       const tile_rows *rows, unsigned offset, int dtype,
                                       int bytes) {
    const unsigned row = divide(offset, launch);
    const unsigned column = offset - row * launch->row_units;
    const int k = source_of_column(sources, num_sources, column);
    const unsigned at = (unsigned)k * rows->tile + row;
    const row_pair pair = rows->pairs[at];
    if (pair.row == 0) {
        const uint4 fill = fill_chunk(launch, pair.step);
        return bytes == 8 ? (unsigned long long)fill.y << 32 | fill.x : fill.x;
    }
    const char *address = pair.row + (column - sources[k].out_begin);
    const unsigned long long a = load_element(address, bytes);
    return pair.step == 0 ? a
                          : lerp_element(a, load_element(address + pair.step, bytes),
                                         rows->weights[at], dtype);
}

INLINE void store_element(char *address, unsigned long long value, int bytes) {
    if (bytes == 8) {
        *(unsigned long long *)address = value;
    } else if (bytes == 4) {
        *(unsigned *)address = (unsigned)value;
    } else if (bytes == 2) {
        *(unsigned short *)address = (unsigned short)value;
    } else {
        *(unsigned char *)address = (unsigned char)value;
    }
}

/* Makes the chunk at `offset` element by element; only those in [0, end) are the tile's. */
INLINE void assemble(const resample_launch *launch, const resample_source *sources,
                     int num_sources, const tile_rows *rows, char *out, int offset, int end,
                     int dtype, int bytes) {
    unsigned long long halves[2] = {0, 0};
    const int per_half = 8 / bytes;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
        for (int e = 0; e < per_half; ++e) {
            const int at = offset + (h * per_half + e) * bytes;
            if (at >= 0 && at < end) {
                const unsigned long long element = make_element(
                    launch, sources, num_sources, rows, (unsigned)at, dtype, bytes);
                halves[h] |= bytes == 8 ? element : (element & ((1ull << 8 * bytes) - 1))
                                                        << 8 * bytes * e;
            }
        }
    }
    if (offset >= 0 && offset + 16 <= end) {
        store_streaming(out + offset,
                        make_uint4((unsigned)halves[0], (unsigned)(halves[0] >> 32),
                                   (unsigned)halves[1], (unsigned)(halves[1] >> 32)));
        return;
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
        for (int e = 0; e < per_half; ++e) {
            const int at = offset + (h * per_half + e) * bytes;
            if (at >= 0 && at < end) {
                store_element(out + at, halves[h] >> 8 * bytes * e, bytes);
            }
        }
    }
}

INLINE void write_packed(const resample_launch *launch, const resample_source *sources,
                         int num_sources, const tile *part, const tile_rows *rows, int dtype) {
    char *out = launch->out + part->batch * launch->out_batch_stride +
                part->first * launch->out_target_stride;
    const int end = (int)((unsigned)part->count * launch->row_units);
    /* Chunks are those of the address space, so the first may begin before the tile. */
    const int head = (int)((unsigned long long)out & 15);
    for (int offset = (int)threadIdx.x * 16 - head; offset < end;
         offset += (int)blockDim.x * 16) {
        const unsigned inside = offset < 0 ? 0 : (unsigned)offset;
        const unsigned row = divide(inside, launch);
        const unsigned column = inside - row * launch->row_units;
        const int k = source_of_column(sources, num_sources, column);
        if (offset >= 0 && offset + 16 <= end && column + 16 <= sources[k].out_end) {
            const unsigned at = (unsigned)k * rows->tile + row;
            const row_pair pair = rows->pairs[at];
            const double w = rows->weights[at];
            uint4 result;
            if (pair.row == 0) {
                result = fill_chunk(launch, pair.step);
            } else {
                const char *address = pair.row + (column - sources[k].out_begin);
                result = load_unaligned(address);
                if (pair.step != 0) {
                    result = lerp_chunk(result, load_unaligned(address + pair.step), w, dtype);
                }
            }
            store_streaming(out + offset, result);
        } else if (dtype != VALUE_COPY) {
            assemble(launch, sources, num_sources, rows, out, offset, end, dtype,
                     value_bytes(dtype));
        } else if (launch->element_bytes >= 4) {
            assemble(launch, sources, num_sources, rows, out, offset, end, dtype, 4);
        } else {
            assemble(launch, sources, num_sources, rows, out, offset, end, dtype, 1);
        }
    }
}

/* ---- kernels -------------------------------------------------------------------------------- */

INLINE void resample_rows(const resample_launch *launch, const resample_source *sources,
                          int num_sources, int dtype, int aligned) {
    extern __shared__ __align__(16) char shared[];
    __shared__ long long windows[RBC__CUDA_MAX_SOURCES][2];
    launch_await();
    launch_release();
    const tile part = tile_of_block(launch);
    const tile_rows rows = rows_in_shared(launch, num_sources, shared);
    if (launch->time_type == CLOCK_I64) {
        find_rows(launch, sources, num_sources, &part, &rows, shared, windows, CLOCK_I64);
    } else if (launch->time_type == CLOCK_F64) {
        find_rows(launch, sources, num_sources, &part, &rows, shared, windows, CLOCK_F64);
    } else {
        find_rows(launch, sources, num_sources, &part, &rows, shared, windows, CLOCK_F32);
    }
    if (aligned) {
        write_aligned(launch, sources, num_sources, &part, &rows, dtype);
    } else {
        write_packed(launch, sources, num_sources, &part, &rows, dtype);
    }
}

#define KERNELS(suffix, dtype)                                                                     \
    extern "C" __global__ void __launch_bounds__(256) rbc__resample_aligned_##suffix##_cuda(       \
        const __grid_constant__ resample_launch_one p) {                                           \
        resample_rows(&p.launch, p.sources, 1, dtype, 1);                                          \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(256) rbc__fuse_aligned_##suffix##_cuda(           \
        const __grid_constant__ resample_launch_many p) {                                          \
        resample_rows(&p.launch, p.sources, (int)p.launch.num_sources, dtype, 1);                  \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(256) rbc__fuse_packed_##suffix##_cuda(            \
        const __grid_constant__ resample_launch_many p) {                                          \
        resample_rows(&p.launch, p.sources, (int)p.launch.num_sources, dtype, 0);                  \
    }

KERNELS(f32, VALUE_F32)
KERNELS(f64, VALUE_F64)
KERNELS(f16, VALUE_F16)
KERNELS(bf16, VALUE_BF16)
KERNELS(copy, VALUE_COPY)
