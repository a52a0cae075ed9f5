/* Sum, mean, max and min of features by cell. The first kernel strings the points of each cell into
 * a list and finds the largest magnitude of each channel; the second walks the lists, sixteen bytes
 * of a cell's output per thread. What is accumulated does not depend on the order of a list:
 * integers for sums, extrema otherwise. */
#include "cloud.cuh"

/* ---- linking -------------------------------------------------------------------------------- */

INLINE unsigned magnitude_bits(unsigned word, int dtype, int high) {
    /* Bits of |x| as f32, 0 where x is not finite. */
    unsigned bits;
    if (dtype == POINT_F32) {
        bits = word & 0x7fffffffu;
    } else if (dtype == POINT_BF16) {
        bits = (high ? word & 0xffff0000u : word << 16) & 0x7fffffffu;
    } else {
        bits = __float_as_uint(f16_widen((unsigned short)(high ? word >> 16 : word))) & 0x7fffffffu;
    }
    return bits < 0x7f800000u ? bits : 0;
}

/* Largest magnitudes of the block's features, four words a thread; each thread keeps to the same
 * channels, so there must be a whole number of points in the words that the block strides over. */
INLINE void find_largest(const voxel_lists *p, long long batch, long long first, long long end,
                         int dtype) {
    const int per_word = dtype == POINT_F32 ? 1 : 2;
    const unsigned row_chunks = (unsigned)p->num_features / (4 * per_word);
    const unsigned threads = VOXEL_THREADS - VOXEL_THREADS % row_chunks;
    const uint4 *chunks = (const uint4 *)(p->features + batch * p->features_batch_stride);
    unsigned largest[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (threadIdx.x < threads) {
#pragma unroll 4
        for (long long i = first * row_chunks + threadIdx.x; i < end * row_chunks; i += threads) {
            const uint4 chunk = __ldg(chunks + i);
            const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                if (per_word == 1) {
                    largest[k] = max(largest[k], magnitude_bits(words[k], dtype, 0));
                } else {
                    largest[2 * k] = max(largest[2 * k], magnitude_bits(words[k], dtype, 0));
                    largest[2 * k + 1] =
                        max(largest[2 * k + 1], magnitude_bits(words[k], dtype, 1));
                }
            }
        }
    }
    __shared__ unsigned by_channel[2 * VOXEL_THREADS * 4];
    const int per_chunk = 4 * per_word;
    const unsigned channel = threadIdx.x % row_chunks * per_chunk;
    for (unsigned i = threadIdx.x; i < p->num_features; i += VOXEL_THREADS) {
        by_channel[i] = 0;
    }
    __syncthreads();
    if (threadIdx.x < threads) {
#pragma unroll
        for (int k = 0; k < per_chunk; ++k) {
            atomicMax(&by_channel[channel + k], largest[k]);
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < p->num_features; i += VOXEL_THREADS) {
        unsigned *word = (unsigned *)&p->largest[batch * p->num_features + i];
        if (by_channel[i] > *(volatile unsigned *)word) {
            atomicMax(word, by_channel[i]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(VOXEL_THREADS)
    rbc__voxel_link_cuda(const __grid_constant__ voxel_lists p) {
    const long long batch = blockIdx.y;
    const long long length = cloud_length(&p.cloud, batch);
    cells_of_thread found;
    find_cells(&p.cloud, batch, length, &found);
    launch_await();
    launch_release();
    int *heads = p.heads + batch * p.cells;
    int *next = p.next + batch * p.cloud.num_points;
    int before[VOXEL_POINTS_PER_THREAD];
#pragma unroll
    for (int i = 0; i < VOXEL_POINTS_PER_THREAD; ++i) {
        before[i] =
            found.cell[i] >= 0 ? atomicExch(&heads[found.cell[i]], (int)found.index[i]) : -1;
    }
    if (p.largest != 0) {
        const long long first = (long long)blockIdx.x * VOXEL_BLOCK_POINTS;
        const long long end =
            first + VOXEL_BLOCK_POINTS < length ? first + VOXEL_BLOCK_POINTS : length;
        if (p.feature_dtype == POINT_F32) {
            find_largest(&p, batch, first, end, POINT_F32);
        } else if (p.feature_dtype == POINT_F16) {
            find_largest(&p, batch, first, end, POINT_F16);
        } else {
            find_largest(&p, batch, first, end, POINT_BF16);
        }
    }
#pragma unroll
    for (int i = 0; i < VOXEL_POINTS_PER_THREAD; ++i) {
        if (found.exists[i]) {
            next[found.index[i]] = before[i];
        }
    }
    add_dropped(p.dropped, batch, &found);
}

/* ---- gathering ------------------------------------------------------------------------------ */

/* Fixed point of one channel: values are multiples of 2^-places. */
INLINE int fixed_places(unsigned long long largest, long long length) {
    /* The least power of two above the magnitude; the exponent of subnormals is that of normals. */
    const int exponent = (int)((unsigned)largest >> 23) - 126;
    const int log = length <= 1 ? 0 : 64 - __clzll(length - 1);
    const int bits = 62 - log < 50 ? 62 - log : 50;
    return bits - exponent;
}

INLINE double power_of_two(int exponent) {
    return __hiloint2double((1023 + exponent) << 20, 0);
}

INLINE float value_at(const uint4 *chunk, int k, int dtype) {
    const unsigned words[4] = {chunk->x, chunk->y, chunk->z, chunk->w};
    if (dtype == POINT_F32) {
        return __uint_as_float(words[k]);
    }
    return dtype == POINT_BF16 ? ((k & 1) ? bf16_high(words[k >> 1]) : bf16_low(words[k >> 1]))
                               : f16_widen((unsigned short)(words[k >> 1] >> 16 * (k & 1)));
}

INLINE uint4 pack_values(const float *values, int dtype) {
    if (dtype == POINT_F32) {
        return make_uint4(__float_as_uint(values[0]), __float_as_uint(values[1]),
                          __float_as_uint(values[2]), __float_as_uint(values[3]));
    }
    if (dtype == POINT_BF16) {
        return make_uint4(bf16_pack(values[0], values[1]), bf16_pack(values[2], values[3]),
                          bf16_pack(values[4], values[5]), bf16_pack(values[6], values[7]));
    }
    return make_uint4(f16_pack(values[0], values[1]), f16_pack(values[2], values[3]),
                      f16_pack(values[4], values[5]), f16_pack(values[6], values[7]));
}

enum {
    SEEN_NAN = 1,
    SEEN_PLUS = 2,
    SEEN_MINUS = 4,
};

INLINE void gather(const voxel_lists *p, int dtype, int sums) {
    const int values_per_chunk = dtype == POINT_F32 ? 4 : 8;
    const long long batch = blockIdx.y;
    const unsigned row_chunks = (unsigned)(p->num_features / values_per_chunk);
    launch_await();
    launch_release();
    const unsigned long long unit = (unsigned long long)blockIdx.x * VOXEL_THREADS + threadIdx.x;
    const unsigned long long cell = row_chunks == 1   ? unit
                                    : row_chunks == 2 ? unit >> 1
                                                      : unit / row_chunks;
    if (cell >= (unsigned long long)p->cells) {
        return;
    }
    const unsigned column = (unsigned)(unit - cell * row_chunks);
    const int *next = p->next + batch * p->cloud.num_points;
    const uint4 *features =
        (const uint4 *)(p->features + batch * p->features_batch_stride) + column;
    long long total[8];
    float extreme[8];
    unsigned seen = 0;
    double scale[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        total[k] = 0;
        extreme[k] = 0.0f;
        scale[k] = 0.0;
    }
    int index = __ldg(&p->heads[batch * p->cells + cell]);
    int count = 0;
    if (sums && index >= 0) {
        const long long length = cloud_length(&p->cloud, batch);
#pragma unroll
        for (int k = 0; k < values_per_chunk; ++k) {
            const unsigned long long largest =
                p->largest[batch * p->num_features + column * values_per_chunk + k];
            scale[k] = power_of_two(fixed_places(largest, length));
        }
    }
    while (index >= 0) {
        const int after = __ldg(&next[index]);
        const uint4 chunk = __ldg(features + (long long)index * row_chunks);
#pragma unroll
        for (int k = 0; k < values_per_chunk; ++k) {
            const float value = value_at(&chunk, k, dtype);
            if (sums) {
                if (fabsf(value) <= 3.402823466e38f) {
                    total[k] += __double2ll_rn(__dmul_rn((double)value, scale[k]));
                } else {
                    seen |= (isnan(value) ? SEEN_NAN : value > 0 ? SEEN_PLUS : SEEN_MINUS) << 3 * k;
                }
            } else {
                const int max = p->reduce == REDUCE_MAX;
                if (isnan(value)) {
                    seen |= SEEN_NAN << 3 * k;
                } else {
                    const int greater =
                        value > extreme[k] || (value == extreme[k] && !signbit(value));
                    extreme[k] = count == 0 || greater == max ? value : extreme[k];
                }
            }
        }
        index = after;
        ++count;
    }
    float result[8];
#pragma unroll
    for (int k = 0; k < values_per_chunk; ++k) {
        if (sums) {
            double sum = count == 0 ? 0.0 : __ddiv_rn((double)total[k], scale[k]);
            if (p->reduce == REDUCE_MEAN && count > 1) {
                sum = __ddiv_rn(sum, (double)count);
            }
            result[k] = (float)sum;
            const unsigned what = seen >> 3 * k & 7;
            if (what != 0) {
                result[k] = what == SEEN_PLUS    ? __uint_as_float(0x7f800000u)
                            : what == SEEN_MINUS ? __uint_as_float(0xff800000u)
                                                 : __uint_as_float(0x7fc00000u);
            }
        } else {
            result[k] = seen >> 3 * k & SEEN_NAN ? __uint_as_float(0x7fc00000u) : extreme[k];
        }
    }
    store_streaming(p->out + ((unsigned long long)batch * p->cells * row_chunks + unit) * 16,
                    pack_values(result, dtype));
    if (column == 0 && p->counts != 0) {
        p->counts[batch * p->cells + cell] = count;
    }
}

#define KERNELS(suffix, dtype)                                                                     \
    extern "C" __global__ void __launch_bounds__(VOXEL_THREADS)                                    \
        rbc__voxel_sum_##suffix##_cuda(const __grid_constant__ voxel_lists p) {                    \
        gather(&p, dtype, 1);                                                                      \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(VOXEL_THREADS)                                    \
        rbc__voxel_extreme_##suffix##_cuda(const __grid_constant__ voxel_lists p) {                \
        gather(&p, dtype, 0);                                                                      \
    }

KERNELS(f32, POINT_F32)
KERNELS(f16, POINT_F16)
KERNELS(bf16, POINT_BF16)
