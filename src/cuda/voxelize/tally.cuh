/* The short way to a slice of few values: extremes as keys of 32 bits, and sums in f64 wherever
 * they are exact there. f64 values take the long way, that of reduce.cuh. */
#ifndef RBC_CUDA_TALLY_CUH
#define RBC_CUDA_TALLY_CUH

#include "cuda/voxelize/slice.cuh"

/* What is known of the values of a slice. */
typedef struct tally {
    double sums[8];
    int keys[8];
    unsigned largest, least; /* magnitudes; least: of what is not zero, less one */
} tally;

INLINE void clear_tally(tally *all, int width) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        all->sums[k] = 0.0;
        all->keys[k] = (int)0x80000000;
    }
    all->largest = 0;
    all->least = 0xffffffffu;
}

INLINE void tally_values(tally *all, const values *loaded, int dtype, int width, int reduce) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
        const item bits = value_bits(loaded, k, dtype);
        if (is_sum(reduce)) {
            const float value = item_f32(bits, dtype);
            const unsigned magnitude = __float_as_uint(value) & 0x7fffffffu;
            all->largest = max(all->largest, magnitude);
            all->least = min(all->least, magnitude - 1);
            all->sums[k] += (double)value;
        } else {
            all->keys[k] = max(all->keys[k], (int)key_of(bits, dtype, reduce));
        }
    }
}

/* Joins what neighbouring lanes know of the same slice. */
INLINE void join_tallies(tally *all, int lanes, int width, int reduce) {
#pragma unroll
    for (int distance = lanes / 2; distance > 0; distance >>= 1) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
            if (is_sum(reduce)) {
                all->sums[k] += __shfl_xor_sync(0xffffffffu, all->sums[k], distance);
            } else {
                all->keys[k] =
                    max(all->keys[k], __shfl_xor_sync(0xffffffffu, all->keys[k], distance));
            }
        }
        if (is_sum(reduce)) {
            all->largest = max(all->largest, __shfl_xor_sync(0xffffffffu, all->largest, distance));
            all->least = min(all->least, __shfl_xor_sync(0xffffffffu, all->least, distance));
        }
    }
}

/* Whether f64 has the exact sum: of up to FEW_OF_CELL values that lie within 2^25 of each other, or
 * of up to MANY_OF_CELL within 2^20, none infinite or NaN. It is then the sum of the integers of
 * rbc_voxelize(), whose last bits are lower still. */
INLINE int is_exact(const tally *all, int count) {
    const unsigned spread = (all->largest >> 23) - ((all->least + 1) >> 23);
    return all->largest < 0x7f800000u && spread <= (count > FEW_OF_CELL ? 20u : 24u);
}

/* sum / count, rounded once. For few points the product with the reciprocal is corrected to what
 * division rounds to, which is quicker. */
INLINE double mean_of(double sum, int count) {
    const double divisor = (double)count;
    if (count > FEW_OF_CELL) {
        return sum / divisor;
    }
    const double inverse = 1.0 / divisor;
    const double quotient = __dmul_rn(sum, inverse);
    return __fma_rn(__fma_rn(-quotient, divisor, sum), inverse, quotient);
}

/* The slice of a cell of `count` values. False where the sum may not be exact. */
INLINE int finish_tally(const tally *all, int count, uint4 *result, int dtype, int vector,
                        int reduce) {
    if (is_sum(reduce) && !is_exact(all, count)) {
        return 0;
    }
    item items[8];
#pragma unroll
    for (int k = 0; k < width_of(dtype, vector); ++k) {
        items[k] = !is_sum(reduce)         ? extreme_of_key(all->keys[k], dtype, reduce)
                   : reduce == REDUCE_MEAN ? item_of_f64(mean_of(all->sums[k], count), dtype)
                                           : item_of_f64(all->sums[k], dtype);
    }
    *result = pack_items(items, dtype, vector);
    return 1;
}

#endif
