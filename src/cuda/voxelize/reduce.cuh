/* Reducing values channel by channel, in any order with the same result; see rbc_voxelize() for
 * what the sums are. Each value is looked at once for an extreme; for a sum, once for the greatest
 * magnitude and once more to be added as an integer. */
#ifndef RBC_CUDA_REDUCE_CUH
#define RBC_CUDA_REDUCE_CUH

#include "cuda/common/value.cuh"
#include "cuda/common/vec16.cuh"
#include "cuda/voxelize/voxel_params.h"

enum {
    SEEN_NAN = 1,
    SEEN_PLUS = 2,
    SEEN_MINUS = 4,
};

/* What is known of up to eight channels of a cell; in f64 there is one. */
typedef struct channels {
    unsigned long long largest[8]; /* bits of the greatest finite magnitude */
    long long high[8], low[8];     /* sums; low of f64 alone */
    long long key[8];              /* of the extreme */
    unsigned seen;                 /* SEEN_ bits, three a channel */
} channels;

/* Values of 16 bytes, or one. */
typedef struct values {
    uint4 vec16;
} values;

INLINE int width_of(int dtype, int vector) {
    return !vector ? 1 : dtype == VALUE_F32 ? 4 : 8;
}

INLINE item value_bits(const values *loaded, int k, int dtype) {
    const unsigned words[4] = {loaded->vec16.x, loaded->vec16.y, loaded->vec16.z, loaded->vec16.w};
    if (dtype == VALUE_F64) {
        return (item)loaded->vec16.y << 32 | loaded->vec16.x;
    }
    return dtype == VALUE_F32 ? words[k] : words[k >> 1] >> 16 * (k & 1) & 0xffffu;
}

INLINE int is_sum(int reduce) {
    return reduce == REDUCE_SUM || reduce == REDUCE_MEAN;
}

/* ---- looking at values ---- */

/* Floats are ordered as integers once the magnitude bits of negative ones are flipped; for min the
 * key is complemented, so that the greatest is looked for. NaN has the greatest of all. */
INLINE long long key_of(item bits, int dtype, int reduce) {
    if (dtype == VALUE_F64) {
        const long long word = (long long)bits;
        const long long key = word ^ ((word >> 63) & 0x7fffffffffffffffll);
        return item_is_nan(bits, dtype) ? 0x7fffffffffffffffll
                                        : key ^ (reduce == REDUCE_MIN ? -1ll : 0ll);
    }
    const int word = (int)__float_as_uint(item_f32(bits, dtype));
    const int key = word ^ ((word >> 31) & 0x7fffffff);
    return item_is_nan(bits, dtype) ? 0x7fffffffll
                                    : (long long)(key ^ (reduce == REDUCE_MIN ? -1 : 0));
}

INLINE item extreme_of_key(long long key, int dtype, int reduce) {
    if (dtype == VALUE_F64) {
        const long long word = key ^ (reduce == REDUCE_MIN ? -1ll : 0ll);
        return key == 0x7fffffffffffffffll ? item_nan(dtype)
                                           : (item)(word ^ ((word >> 63) & 0x7fffffffffffffffll));
    }
    const int word = (int)key ^ (reduce == REDUCE_MIN ? -1 : 0);
    const int bits = word ^ ((word >> 31) & 0x7fffffff);
    return key == 0x7fffffffll ? item_nan(dtype)
                               : item_of_f32(__uint_as_float((unsigned)bits), dtype);
}

INLINE void clear_channels(channels *all, int width) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        all->largest[k] = 0;
        all->high[k] = 0;
        all->low[k] = 0;
        all->key[k] = (long long)(1ull << 63);
    }
    all->seen = 0;
}

/* First look: extremes, or greatest magnitudes and what is not finite. */
INLINE void look(channels *all, const values *loaded, int dtype, int width, int reduce) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        const item bits = value_bits(loaded, k, dtype);
        if (!is_sum(reduce)) {
            const long long key = key_of(bits, dtype, reduce);
            all->key[k] = key > all->key[k] ? key : all->key[k];
        } else if (dtype == VALUE_F64) {
            const unsigned long long magnitude = bits & 0x7fffffffffffffffull;
            const int finite = magnitude < 0x7ff0000000000000ull;
            all->largest[k] = finite && magnitude > all->largest[k] ? magnitude : all->largest[k];
            all->seen |= finite                              ? 0
                         : magnitude > 0x7ff0000000000000ull ? SEEN_NAN
                         : (bits >> 63) != 0                 ? SEEN_MINUS
                                                             : SEEN_PLUS;
        } else {
            const unsigned word = __float_as_uint(item_f32(bits, dtype));
            const unsigned magnitude = word & 0x7fffffffu;
            const int finite = magnitude < 0x7f800000u;
            all->largest[k] =
                finite && magnitude > (unsigned)all->largest[k] ? magnitude : all->largest[k];
            all->seen |= (finite                    ? 0u
                          : magnitude > 0x7f800000u ? (unsigned)SEEN_NAN
                          : (word >> 31) != 0       ? (unsigned)SEEN_MINUS
                                                    : (unsigned)SEEN_PLUS)
                         << 3 * k;
        }
    }
}

/* ---- sums ---- */

INLINE int bits_for(int count) {
    const int log = count > 1 ? 32 - __clz(count - 1) : 0;
    return 62 - log < 50 ? 62 - log : 50;
}

INLINE double power_of_two(int exponent) {
    return __hiloint2double((1023 + exponent) << 20, 0);
}

INLINE int shift_f64(unsigned long long largest, int bits) {
    const int shift = 1022 + bits - (int)(largest >> 52);
    return shift < 1022 ? shift : 1022;
}

INLINE int shift_f32(unsigned long long largest, int bits) {
    return 126 + bits - (int)((unsigned)largest >> 23);
}

/* Second look: finite values join the sums. */
INLINE void add(channels *all, const values *loaded, int bits, int dtype, int width) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        const item word = value_bits(loaded, k, dtype);
        const double value = item_f64(word, dtype);
        if (dtype == VALUE_F64) {
            if (fabs(value) <= 1.7976931348623157e308) {
                const double scaled = value * power_of_two(shift_f64(all->largest[k], bits));
                const long long high = __double2ll_rn(scaled);
                all->high[k] += high;
                all->low[k] += __double2ll_rn((scaled - (double)high) * power_of_two(bits));
            }
        } else if (fabs(value) <= 3.4028234663852886e38) {
            all->high[k] += __double2ll_rn(value * power_of_two(shift_f32(all->largest[k], bits)));
        }
    }
}

INLINE item finish_sum(const channels *all, int k, int count, int reduce, int dtype) {
    const unsigned seen = all->seen >> 3 * k & 7;
    if (seen != 0) {
        const double infinity = __longlong_as_double(0x7ff0000000000000ll);
        return seen == SEEN_PLUS    ? item_of_f64(infinity, dtype)
               : seen == SEEN_MINUS ? item_of_f64(-infinity, dtype)
                                    : item_nan(dtype);
    }
    const int bits = bits_for(count);
    const double divisor = reduce == REDUCE_MEAN ? (double)count : 1.0;
    if (dtype == VALUE_F64) {
        const double rounded = (double)all->high[k];
        const double rest = (double)(all->high[k] - (long long)rounded);
        const double sum = rounded + (rest + (double)all->low[k] * power_of_two(-bits));
        return item_of_f64(sum / divisor * power_of_two(-shift_f64(all->largest[k], bits)), dtype);
    }
    return item_of_f64(
        (double)all->high[k] / divisor * power_of_two(-shift_f32(all->largest[k], bits)), dtype);
}

/* ---- over lanes ---- */

/* Joins what neighbouring lanes know of the same slice. */
INLINE void join_looks(channels *all, int lanes, int width, int reduce) {
    for (int distance = lanes / 2; distance > 0; distance >>= 1) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
            if (is_sum(reduce)) {
                const unsigned long long other =
                    __shfl_xor_sync(0xffffffffu, all->largest[k], distance);
                all->largest[k] = other > all->largest[k] ? other : all->largest[k];
            } else {
                const long long other = __shfl_xor_sync(0xffffffffu, all->key[k], distance);
                all->key[k] = other > all->key[k] ? other : all->key[k];
            }
        }
        all->seen |= __shfl_xor_sync(0xffffffffu, all->seen, distance);
    }
}

INLINE void join_sums(channels *all, int lanes, int width, int dtype) {
    for (int distance = lanes / 2; distance > 0; distance >>= 1) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
            all->high[k] += __shfl_xor_sync(0xffffffffu, all->high[k], distance);
            if (dtype == VALUE_F64) {
                all->low[k] += __shfl_xor_sync(0xffffffffu, all->low[k], distance);
            }
        }
    }
}

#endif
