/* As resample_rows.cu for rows and sources of any alignment: an output vector of sixteen bytes may
 * straddle rows and sources. It is put together from granules, the largest power of two that
 * divides every address, stride and boundary, and still stored at once. */
#include "cuda/resample/rows.cuh"

enum {
    MAX_GRANULES = 16,
};

/* As many low bytes of a word of 64 bits as a granule has. */
typedef unsigned long long granule;

INLINE granule load_granule(const char *address, int bytes) {
    return bytes == 8   ? (granule)__ldg((const long long *)address)
           : bytes == 4 ? __ldg((const unsigned *)address)
           : bytes == 2 ? __ldg((const unsigned short *)address)
                        : __ldg((const unsigned char *)address);
}

INLINE void store_granule(char *address, granule value, int bytes) {
    if (bytes == 8) {
        *(granule *)address = value;
    } else if (bytes == 4) {
        *(unsigned *)address = (unsigned)value;
    } else if (bytes == 2) {
        *(unsigned short *)address = (unsigned short)value;
    } else {
        *(unsigned char *)address = (unsigned char)value;
    }
}

INLINE granule lerp_granule(granule a, granule b, double w, int bytes, int dtype) {
    if (dtype == VALUE_COPY) {
        return a;
    }
    if (dtype == VALUE_F64) {
        return (granule)__double_as_longlong(
            lerp_f64(__longlong_as_double((long long)a), __longlong_as_double((long long)b), w));
    }
    const unsigned low = lerp_word((unsigned)a, (unsigned)b, (float)w, dtype);
    if (bytes == 8) {
        const unsigned high = lerp_word((unsigned)(a >> 32), (unsigned)(b >> 32), (float)w, dtype);
        return (granule)high << 32 | low;
    }
    return bytes == 4 ? low : low & 0xffffu;
}

INLINE void write_packed(const resample_launch *launch, const resample_source *sources,
                         int num_sources, const tile *part, const tile_rows *rows, int dtype,
                         int bytes, int simple) {
    const int per_vec16 = 16 / bytes;
    char *out = launch->out + part->batch * launch->out_batch_stride +
                part->first * launch->out_target_stride;
    const int end = (int)((unsigned)part->count * launch->row_slices);
    /* Vectors of 16 bytes are those of the address space, so the first may begin before the tile.
     */
    const int head = (int)((unsigned long long)out & 15);
    for (int offset = (int)threadIdx.x * 16 - head; offset < end; offset += (int)blockDim.x * 16) {
        granule a[MAX_GRANULES];
        granule b[MAX_GRANULES];
        double w[MAX_GRANULES];
        unsigned blends = 0;
#pragma unroll
        for (int g = 0; g < per_vec16; ++g) {
            const int at = offset + g * bytes;
            a[g] = 0;
            if (at >= 0 && at < end) {
                const unsigned row = row_of((unsigned)at, launch);
                const unsigned column = (unsigned)at - row * launch->row_slices;
                const int k = source_of_column(sources, num_sources, column);
                const unsigned index = (unsigned)k * rows->tile + row;
                const row_pair pair = rows->pairs[index];
                w[g] = row_weight(rows, index, dtype);
                if (!simple && pair.row == 0) {
                    const uint4 fill = fill_vec16(launch, pair.step);
                    a[g] = (granule)fill.y << 32 | fill.x;
                } else {
                    const char *address = pair.row + column;
                    a[g] = load_granule(address, bytes);
                    if (pair.step != 0) {
                        b[g] = load_granule(address + pair.step, bytes);
                        blends |= 1u << g;
                    }
                }
            }
        }
        granule halves[2] = {0, 0};
#pragma unroll
        for (int g = 0; g < per_vec16; ++g) {
            if (blends >> g & 1) {
                a[g] = lerp_granule(a[g], b[g], w[g], bytes, dtype);
            }
            const granule kept = bytes == 8 ? a[g] : a[g] & ((1ull << 8 * bytes % 64) - 1);
            halves[g * bytes / 8] |= kept << 8 * (g * bytes % 8);
        }
        if (offset >= 0 && offset + 16 <= end) {
            store_streaming(out + offset,
                            make_uint4((unsigned)halves[0], (unsigned)(halves[0] >> 32),
                                       (unsigned)halves[1], (unsigned)(halves[1] >> 32)));
        } else {
#pragma unroll
            for (int g = 0; g < per_vec16; ++g) {
                const int at = offset + g * bytes;
                if (at >= 0 && at < end) {
                    store_granule(out + at, a[g], bytes);
                }
            }
        }
    }
}

#define KERNEL(name, dtype, bytes, simple)                                                         \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rbc__##name##_cuda(const __grid_constant__ resample_launch_many p) {                       \
        extern __shared__ __align__(16) char shared[];                                             \
        const int num_sources = (int)p.launch.num_sources;                                         \
        const tile part = tile_of_block(&p.launch);                                                \
        const tile_rows rows = rows_in_shared(&p.launch, num_sources, shared);                     \
        find_rows(&p.launch, p.sources, num_sources, &part, &rows, shared, dtype, simple);         \
        write_packed(&p.launch, p.sources, num_sources, &part, &rows, dtype, bytes, simple);       \
    }

#define KERNELS(suffix, dtype, bytes)                                                              \
    KERNEL(pack_##bytes##_##suffix, dtype, bytes, 1)                                               \
    KERNEL(pack_generic_##bytes##_##suffix, dtype, bytes, 0)

KERNELS(f32, VALUE_F32, 8)
KERNELS(f32, VALUE_F32, 4)
KERNELS(f64, VALUE_F64, 8)
KERNELS(f16, VALUE_F16, 8)
KERNELS(f16, VALUE_F16, 4)
KERNELS(f16, VALUE_F16, 2)
KERNELS(bf16, VALUE_BF16, 8)
KERNELS(bf16, VALUE_BF16, 4)
KERNELS(bf16, VALUE_BF16, 2)
KERNELS(copy, VALUE_COPY, 8)
KERNELS(copy, VALUE_COPY, 4)
KERNELS(copy, VALUE_COPY, 2)
KERNELS(copy, VALUE_COPY, 1)
