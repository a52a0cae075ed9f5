/* Resamples whole output rows sixteen bytes at a time: any number of sources, each with one mode
 * out of linear, hold and nearest, contiguous channels, contiguous output rows, and every 16-byte
 * vector of the output in one row of one source, at addresses that are multiples of 16.
 *
 * A block makes a tile of targets. Samples and weights are found once for each source and target;
 * the tile's output is then one run of bytes that the block's threads walk in vectors, IN_FLIGHT
 * each. */
#include "cuda/resample/rows.cuh"

enum {
    IN_FLIGHT = 2,
};

INLINE void write_rows(const resample_launch *launch, const resample_source *sources,
                       int num_sources, const tile *part, const tile_rows *rows, int dtype,
                       int simple) {
    char *out = launch->out + part->batch * launch->out_batch_stride +
                part->first * launch->out_target_stride;
    const unsigned vec16s = (unsigned)part->count * launch->row_slices;
    const unsigned threads = blockDim.x;
    for (unsigned base = threadIdx.x; base < vec16s; base += IN_FLIGHT * threads) {
        uint4 a[IN_FLIGHT];
        uint4 b[IN_FLIGHT];
        double w[IN_FLIGHT];
        int blend[IN_FLIGHT];
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const unsigned vec16 = base + u * threads;
            blend[u] = 0;
            if (vec16 < vec16s) {
                const unsigned row = row_of(vec16, launch);
                const unsigned column = (vec16 - row * launch->row_slices) * 16;
                const int k = num_sources == 1 ? 0 : source_of_column(sources, num_sources, column);
                const unsigned at = (unsigned)k * rows->tile + row;
                const row_pair pair = rows->pairs[at];
                w[u] = row_weight(rows, at, dtype);
                if (!simple && pair.row == 0) {
                    a[u] = fill_vec16(launch, pair.step);
                } else {
                    const char *address = pair.row + column;
                    a[u] = __ldg((const uint4 *)address);
                    if (pair.step != 0) {
                        b[u] = __ldg((const uint4 *)(address + pair.step));
                        blend[u] = 1;
                    }
                }
            }
        }
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const unsigned vec16 = base + u * threads;
            if (vec16 < vec16s) {
                const uint4 result = blend[u] ? lerp_vec16(a[u], b[u], w[u], dtype) : a[u];
                store_streaming(out + (unsigned long long)vec16 * 16, result);
            }
        }
    }
}

#define KERNEL(name, dtype, simple)                                                                \
    extern "C" __global__ void __launch_bounds__(256, 4)                                           \
        rbc__##name##_cuda(const __grid_constant__ resample_launch_many p) {                       \
        extern __shared__ __align__(16) char shared[];                                             \
        const int num_sources = (int)p.launch.num_sources;                                         \
        const tile part = tile_of_block(&p.launch);                                                \
        const tile_rows rows = rows_in_shared(&p.launch, num_sources, shared);                     \
        find_rows(&p.launch, p.sources, num_sources, &part, &rows, shared, dtype, simple);         \
        write_rows(&p.launch, p.sources, num_sources, &part, &rows, dtype, simple);                \
    }

#define KERNELS(suffix, dtype)                                                                     \
    KERNEL(rows_##suffix, dtype, 1)                                                                \
    KERNEL(rows_generic_##suffix, dtype, 0)

KERNELS(f32, VALUE_F32)
KERNELS(f64, VALUE_F64)
KERNELS(f16, VALUE_F16)
KERNELS(bf16, VALUE_BF16)
KERNELS(copy, VALUE_COPY)
