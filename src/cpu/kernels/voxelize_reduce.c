/* Reduction of the points of one slab into scratch rows, and from there into the output. */
#include <math.h>
#include <string.h>

#include "cpu/kernels/half.h"
#include "cpu/kernels/voxelize_features.h"
#include "cpu/kernels/voxelize_isa.h"

/* Entries that far ahead have their features on the way from memory. */
#define PREFETCH 24

/* Adding this to a double of magnitude up to 2^51 rounds it to the nearest even integer, which then
 * stands in the low bits of the sum. */
#define ROUNDING 0x1.8p52

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double f64_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t integer_of(double value) {
    return bits_of(value + ROUNDING) - bits_of(ROUNDING);
}

static inline void first_touch(rbc__voxel_slab *slab, uint32_t cell) {
    const int32_t count = slab->counts[cell]++;
    slab->touched[slab->num_touched] = cell;
    slab->num_touched += count == 0;
}

static inline bool is_sum(const rbc__voxel_slab *slab) {
    return slab->reduce == RBC_VOXEL_SUM || slab->reduce == RBC_VOXEL_MEAN;
}

/* ---- Sums ----
 * Values of a cell become integers of `bits` bits by a power of two that its greatest magnitude
 * gives; `count` of them do not overflow. */

static inline int32_t bits_for(int32_t count) {
    const int32_t log = count > 1 ? 32 - __builtin_clz((uint32_t)count - 1) : 0;
    return 62 - log < 50 ? 62 - log : 50;
}

/* With E the biased exponent, magnitudes are below 2^(E - 126), subnormals included. */
static inline double scale_f32(uint32_t maximum, int32_t bits) {
    return f64_of((uint64_t)(1023 + 126 + bits - (int32_t)(maximum >> 23)) << 52);
}

static inline double unscale_f32(uint32_t maximum, int32_t bits) {
    return f64_of((uint64_t)(1023 - 126 - bits + (int32_t)(maximum >> 23)) << 52);
}

/* The power of two is kept in the range in which its reciprocal is normal, too. */
static inline int32_t shift_f64(uint64_t maximum, int32_t bits) {
    const int32_t shift = 1022 + bits - (int32_t)(maximum >> 52);
    return shift < 1022 ? shift : 1022;
}

static inline double power_of_two(int32_t exponent) {
    return f64_of((uint64_t)(1023 + exponent) << 52);
}

static inline uint32_t magnitudes_f32(const float *restrict row, int64_t n,
                                      uint32_t *restrict maxima) {
    uint32_t special = 0;
    for (int64_t f = 0; f < n; ++f) {
        const uint32_t magnitude = rbc__bits_of_f32(row[f]) & INT32_MAX;
        const uint32_t is_special = magnitude >= UINT32_C(0x7f800000);
        const uint32_t finite = is_special ? 0 : magnitude;
        special |= is_special;
        maxima[f] = finite > maxima[f] ? finite : maxima[f];
    }
    return special;
}

static inline uint32_t magnitudes_f64(const double *restrict row, int64_t n,
                                      uint64_t *restrict maxima) {
    uint32_t special = 0;
    for (int64_t f = 0; f < n; ++f) {
        const uint64_t magnitude = bits_of(row[f]) & INT64_MAX;
        const bool is_special = magnitude >= UINT64_C(0x7ff0000000000000);
        const uint64_t finite = is_special ? 0 : magnitude;
        special |= is_special;
        maxima[f] = finite > maxima[f] ? finite : maxima[f];
    }
    return special;
}

static inline void sum_row_f32(const float *restrict row, const uint32_t *restrict maxima,
                               int32_t bits, int64_t n, uint64_t *restrict sums) {
    for (int64_t f = 0; f < n; ++f) {
        sums[f] += integer_of((double)row[f] * scale_f32(maxima[f], bits));
    }
}

static inline void sum_row_f64(const double *restrict row, const uint64_t *restrict maxima,
                               int32_t bits, int64_t n, uint64_t *restrict high,
                               uint64_t *restrict low) {
    const double low_scale = power_of_two(bits);
    for (int64_t f = 0; f < n; ++f) {
        const double scaled = row[f] * power_of_two(shift_f64(maxima[f], bits));
        const double rounded = (scaled + ROUNDING) - ROUNDING;
        high[f] += integer_of(scaled);
        low[f] += integer_of((scaled - rounded) * low_scale);
    }
}

/* ---- Greatest keys ----
 * Floats are ordered as integers once the magnitude bits of negative ones are flipped. For min the
 * key is complemented, so that both modes look for the greatest. No number's key is the greatest
 * integer: that stands for NaN. */

static inline int32_t key_of_f32(float value, int32_t flip) {
    const int32_t bits = (int32_t)rbc__bits_of_f32(value);
    const int32_t key = bits ^ ((bits >> 31) & INT32_MAX) ^ flip;
    return (bits & INT32_MAX) > 0x7f800000 ? INT32_MAX : key;
}

static inline float f32_of_key(int32_t key, int32_t flip) {
    const int32_t bits = key ^ flip;
    return key == INT32_MAX ? NAN : rbc__f32_of_bits((uint32_t)(bits ^ ((bits >> 31) & INT32_MAX)));
}

static inline int64_t key_of_f64(double value, int64_t flip) {
    const int64_t bits = (int64_t)bits_of(value);
    const int64_t key = bits ^ ((bits >> 63) & INT64_MAX) ^ flip;
    return (bits & INT64_MAX) > INT64_C(0x7ff0000000000000) ? INT64_MAX : key;
}

static inline double f64_of_key(int64_t key, int64_t flip) {
    const int64_t bits = key ^ flip;
    return key == INT64_MAX ? (double)NAN : f64_of((uint64_t)(bits ^ ((bits >> 63) & INT64_MAX)));
}

static inline void extreme_row_f32(const float *restrict row, int32_t flip, int64_t n,
                                   int32_t *restrict keys) {
    for (int64_t f = 0; f < n; ++f) {
        const int32_t key = key_of_f32(row[f], flip);
        keys[f] = key > keys[f] ? key : keys[f];
    }
}

static inline void extreme_row_f64(const double *restrict row, int64_t flip, int64_t n,
                                   int64_t *restrict keys) {
    for (int64_t f = 0; f < n; ++f) {
        const int64_t key = key_of_f64(row[f], flip);
        keys[f] = key > keys[f] ? key : keys[f];
    }
}

/* ---- Going through points ---- */

/* Always inlined with constants, so that each use has a plain loop of its own. */
typedef enum pass { MEASURE, ADD, EXTREME } pass;

#define INLINE static inline __attribute__((always_inline))

INLINE void direct_f32(rbc__voxel_slab *slab, const rbc__voxel_entry *entries, int64_t n,
                       int64_t channels, pass what) {
    const rbc__cloud *cloud = slab->cloud;
    const char *base = cloud->features + slab->cloud_index * cloud->features_batch_stride_bytes;
    const int64_t stride = cloud->features_stride_bytes;
    const int32_t flip = slab->reduce == RBC_VOXEL_MIN ? -1 : 0;
    uint32_t special = 0;
    for (int64_t i = 0; i < n; ++i) {
        const float *row =
            (const float *)(const void *)(base + (int64_t)(entries[i] >> 32) * stride);
        const uint32_t cell = (uint32_t)entries[i];
        const int64_t at = (int64_t)cell * channels;
        if (what == ADD) {
            sum_row_f32(row, (const uint32_t *)slab->maxima + at, bits_for(slab->counts[cell]),
                        channels, (uint64_t *)slab->scratch + at);
            continue;
        }
        const int64_t ahead = i + PREFETCH < n ? i + PREFETCH : n - 1;
        __builtin_prefetch(base + (int64_t)(entries[ahead] >> 32) * stride);
        first_touch(slab, cell);
        if (what == MEASURE) {
            special |= magnitudes_f32(row, channels, (uint32_t *)slab->maxima + at);
        } else {
            extreme_row_f32(row, flip, channels, (int32_t *)slab->scratch + at);
        }
    }
    slab->has_special |= special != 0;
}

INLINE void direct(rbc__voxel_slab *slab, const rbc__voxel_entry *entries, int64_t n, pass what) {
    switch (slab->cloud->num_features) {
    case 1:
        direct_f32(slab, entries, n, 1, what);
        break;
    case 3:
        direct_f32(slab, entries, n, 3, what);
        break;
    case 4:
        direct_f32(slab, entries, n, 4, what);
        break;
    case 8:
        direct_f32(slab, entries, n, 8, what);
        break;
    default:
        direct_f32(slab, entries, n, slab->cloud->num_features, what);
        break;
    }
}

static uint32_t run_f32(rbc__voxel_slab *slab, int64_t at, int32_t bits, const float *row,
                        int64_t n, pass what) {
    if (what == MEASURE) {
        return magnitudes_f32(row, n, (uint32_t *)slab->maxima + at);
    }
    if (what == ADD) {
        sum_row_f32(row, (const uint32_t *)slab->maxima + at, bits, n,
                    (uint64_t *)slab->scratch + at);
    } else {
        extreme_row_f32(row, slab->reduce == RBC_VOXEL_MIN ? -1 : 0, n,
                        (int32_t *)slab->scratch + at);
    }
    return 0;
}

/* `row_at` is where the cell's row begins, `c` the channel within it. */
static uint32_t run_f64(rbc__voxel_slab *slab, int64_t row_at, int64_t c, int32_t bits,
                        const double *row, int64_t n, pass what) {
    if (what == MEASURE) {
        return magnitudes_f64(row, n, (uint64_t *)slab->maxima + row_at + c);
    }
    if (what == ADD) {
        uint64_t *high = (uint64_t *)slab->scratch + 2 * row_at + c;
        sum_row_f64(row, (const uint64_t *)slab->maxima + row_at + c, bits, n, high,
                    high + slab->cloud->num_features);
    } else {
        extreme_row_f64(row, slab->reduce == RBC_VOXEL_MIN ? -1 : 0, n,
                        (int64_t *)slab->scratch + row_at + c);
    }
    return 0;
}

static void gathered(rbc__voxel_slab *slab, const rbc__voxel_entry *entries, int64_t n, pass what) {
    const rbc__cloud *cloud = slab->cloud;
    const int64_t channels = cloud->num_features;
    rbc__feature_row buffer;
    uint32_t special = 0;
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t cell = (uint32_t)entries[i];
        const int64_t point = (int64_t)(entries[i] >> 32);
        const int64_t at = (int64_t)cell * channels;
        if (what != ADD) {
            first_touch(slab, cell);
        }
        const int32_t bits = bits_for(slab->counts[cell]);
        for (int64_t c = 0; c < channels; c += RBC__FEATURE_RUN) {
            const int64_t left = channels - c;
            const int64_t run = left < RBC__FEATURE_RUN ? left : RBC__FEATURE_RUN;
            rbc__load_features(cloud, slab->cloud_index, point, c, run, &buffer);
            special |= cloud->feature_dtype == RBC__F64
                           ? run_f64(slab, at, c, bits, buffer.f64, run, what)
                           : run_f32(slab, at + c, bits, buffer.f32, run, what);
        }
    }
    slab->has_special |= special != 0;
}

void RBC__KERNEL(voxel_slab_first)(rbc__voxel_slab *slab, const rbc__voxel_entry *entries,
                                   int64_t n) {
    if (!rbc__features_are_direct(slab->cloud)) {
        gathered(slab, entries, n, is_sum(slab) ? MEASURE : EXTREME);
    } else if (is_sum(slab)) {
        direct(slab, entries, n, MEASURE);
    } else {
        direct(slab, entries, n, EXTREME);
    }
}

void RBC__KERNEL(voxel_slab_add)(rbc__voxel_slab *slab, const rbc__voxel_entry *entries,
                                 int64_t n) {
    if (rbc__features_are_direct(slab->cloud)) {
        direct(slab, entries, n, ADD);
    } else {
        gathered(slab, entries, n, ADD);
    }
}

/* ---- Writing ---- */

static inline void store(rbc__dtype dtype, char *row, int64_t f, double value) {
    switch (dtype) {
    case RBC__F64:
        ((double *)(void *)row)[f] = value;
        break;
    case RBC__F16:
        ((uint16_t *)(void *)row)[f] = rbc__f16_of_f32((float)value);
        break;
    case RBC__BF16:
        ((uint16_t *)(void *)row)[f] = rbc__bf16_of_f32((float)value);
        break;
    default:
        ((float *)(void *)row)[f] = (float)value;
        break;
    }
}

/* `divisor` is the number of points for a mean and 1 for a sum. */
INLINE void finish_sum_f32(uint64_t *restrict sums, uint32_t *restrict maxima, int32_t bits,
                           double divisor, int64_t n, rbc__dtype dtype, char *row) {
    for (int64_t f = 0; f < n; ++f) {
        store(dtype, row, f, (double)(int64_t)sums[f] / divisor * unscale_f32(maxima[f], bits));
        sums[f] = 0;
        maxima[f] = 0;
    }
}

/* The high sum is split into what a double holds and the rest, which joins the low sum. */
static void finish_sum_f64(uint64_t *restrict high, uint64_t *restrict low,
                           uint64_t *restrict maxima, int32_t bits, double divisor, int64_t n,
                           char *row) {
    const double low_unscale = power_of_two(-bits);
    for (int64_t f = 0; f < n; ++f) {
        const double rounded = (double)(int64_t)high[f];
        const double rest = (double)((int64_t)high[f] - (int64_t)rounded);
        const double sum = rounded + (rest + (double)(int64_t)low[f] * low_unscale);
        store(RBC__F64, row, f, sum / divisor * power_of_two(-shift_f64(maxima[f], bits)));
        high[f] = 0;
        low[f] = 0;
        maxima[f] = 0;
    }
}

INLINE void finish_row(rbc__voxel_slab *slab, uint32_t cell, int64_t channels, rbc__dtype dtype) {
    const int64_t at = (int64_t)cell * channels;
    char *row = slab->out + at * rbc__float_bytes(dtype);
    const int32_t count = slab->counts[cell];
    const double divisor = slab->reduce == RBC_VOXEL_MEAN ? (double)count : 1.0;
    const int64_t flip = slab->reduce == RBC_VOXEL_MIN ? -1 : 0;
    if (is_sum(slab) && dtype == RBC__F64) {
        uint64_t *high = (uint64_t *)slab->scratch + 2 * at;
        finish_sum_f64(high, high + channels, (uint64_t *)slab->maxima + at, bits_for(count),
                       divisor, channels, row);
    } else if (is_sum(slab)) {
        finish_sum_f32((uint64_t *)slab->scratch + at, (uint32_t *)slab->maxima + at,
                       bits_for(count), divisor, channels, dtype, row);
    } else if (dtype == RBC__F64) {
        int64_t *keys = (int64_t *)slab->scratch + at;
        for (int64_t f = 0; f < channels; ++f) {
            store(dtype, row, f, f64_of_key(keys[f], flip));
            keys[f] = INT64_MIN;
        }
    } else {
        int32_t *keys = (int32_t *)slab->scratch + at;
        for (int64_t f = 0; f < channels; ++f) {
            store(dtype, row, f, (double)f32_of_key(keys[f], (int32_t)flip));
            keys[f] = INT32_MIN;
        }
    }
}

void RBC__KERNEL(voxel_slab_finish)(rbc__voxel_slab *slab) {
    const int64_t channels = slab->cloud->num_features;
    const rbc__dtype dtype = slab->cloud->feature_dtype;
    if (dtype == RBC__F32 && channels == 8) {
        for (int64_t i = 0; i < slab->num_touched; ++i) {
            finish_row(slab, slab->touched[i], 8, RBC__F32);
        }
        return;
    }
    for (int64_t i = 0; i < slab->num_touched; ++i) {
        finish_row(slab, slab->touched[i], channels, dtype);
    }
}

/* ---- Features that are not finite ----
 * Rare, and so kept out of the loops above, which give such cells some wrong number. The idle
 * scratch rows say which kinds a cell has seen. */
enum { SEEN_PLUS = 1, SEEN_MINUS = 2, SEEN_NAN = 4 };

static uint64_t *marks_of(const rbc__voxel_slab *slab, uint32_t cell) {
    const int64_t sums = slab->cloud->feature_dtype == RBC__F64 ? 2 : 1;
    return (uint64_t *)slab->scratch + (int64_t)cell * sums * slab->cloud->num_features;
}

void RBC__KERNEL(voxel_slab_mark_nonfinite)(rbc__voxel_slab *slab, const rbc__voxel_entry *entries,
                                            int64_t n) {
    const rbc__cloud *cloud = slab->cloud;
    rbc__feature_row buffer;
    for (int64_t i = 0; i < n; ++i) {
        uint64_t *marks = marks_of(slab, (uint32_t)entries[i]);
        for (int64_t c = 0; c < cloud->num_features; ++c) {
            rbc__load_features(cloud, slab->cloud_index, (int64_t)(entries[i] >> 32), c, 1,
                               &buffer);
            const double value =
                cloud->feature_dtype == RBC__F64 ? buffer.f64[0] : (double)buffer.f32[0];
            if (isnan(value)) {
                marks[c] |= SEEN_NAN;
            } else if (isinf(value)) {
                marks[c] |= value > 0 ? SEEN_PLUS : SEEN_MINUS;
            }
        }
    }
}

void RBC__KERNEL(voxel_slab_mend_nonfinite)(rbc__voxel_slab *slab) {
    const int64_t channels = slab->cloud->num_features;
    const rbc__dtype dtype = slab->cloud->feature_dtype;
    for (int64_t i = 0; i < slab->num_touched; ++i) {
        const uint32_t cell = slab->touched[i];
        uint64_t *marks = marks_of(slab, cell);
        char *row = slab->out + (int64_t)cell * channels * rbc__float_bytes(dtype);
        for (int64_t c = 0; c < channels; ++c) {
            if (marks[c] == SEEN_PLUS || marks[c] == SEEN_MINUS) {
                store(dtype, row, c, marks[c] == SEEN_PLUS ? HUGE_VAL : -HUGE_VAL);
            } else if (marks[c] != 0) {
                store(dtype, row, c, (double)NAN);
            }
            marks[c] = 0;
        }
    }
}
