/* Reduction of the feature rows of each cell; see rbc_voxelize() for what the sums are. */
#include <math.h>
#include <string.h>

#include "cpu/kernels/half.h"
#include "cpu/kernels/voxelize_features.h"
#include "cpu/kernels/voxelize_isa.h"

/* Short loops of constant length are vectorised only where they are not unrolled first. */
#ifdef __clang__
#define CHANNELS(f, n) for (int64_t f = 0; f < (n); ++f)
#else
#define CHANNELS(f, n) _Pragma("GCC unroll 1") for (int64_t f = 0; f < (n); ++f)
#endif

#define INLINE static inline __attribute__((always_inline))

/* Rows that far ahead are on their way from memory. */
#define PREFETCH 16

/* Adding this to a double of magnitude up to 2^51 rounds it to the nearest even integer, which then
 * stands in the low bits of the sum. */
#define ROUNDING 0x1.8p52

/* Channels reduced together. */
#define RUN RBC__FEATURE_RUN

INLINE uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE double f64_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE uint64_t integer_of(double value) {
    return bits_of(value + ROUNDING) - bits_of(ROUNDING);
}

/* ---- Scales ----
 * Values of a cell become integers of `bits` bits by a power of two that its greatest magnitude
 * gives; `count` of them do not overflow. With E the biased exponent, f32 magnitudes are below
 * 2^(E - 126), subnormals included. */

INLINE int32_t bits_for(int32_t count) {
    const int32_t log = count > 1 ? 32 - __builtin_clz((uint32_t)count - 1) : 0;
    return 62 - log < 50 ? 62 - log : 50;
}

INLINE double scale_f32(uint32_t maximum, int32_t bits) {
    return f64_of((uint64_t)(1023 + 126 + bits - (int32_t)(maximum >> 23)) << 52);
}

INLINE double unscale_f32(uint32_t maximum, int32_t bits) {
    return f64_of((uint64_t)(1023 - 126 - bits + (int32_t)(maximum >> 23)) << 52);
}

INLINE double power_of_two(int32_t exponent) {
    return f64_of((uint64_t)(1023 + exponent) << 52);
}

/* Kept in the range in which the reciprocal is normal, too. */
INLINE int32_t shift_f64(uint64_t maximum, int32_t bits) {
    const int32_t shift = 1022 + bits - (int32_t)(maximum >> 52);
    return shift < 1022 ? shift : 1022;
}

/* ---- Keys ----
 * Floats are ordered as integers once the magnitude bits of negative ones are flipped. For min the
 * key is complemented, so that both modes look for the greatest. No number's key is the greatest
 * integer: that stands for NaN. */

INLINE int32_t key_of_f32(float value, int32_t flip) {
    const int32_t bits = (int32_t)rbc__bits_of_f32(value);
    const int32_t key = bits ^ ((bits >> 31) & INT32_MAX) ^ flip;
    return (bits & INT32_MAX) > 0x7f800000 ? INT32_MAX : key;
}

INLINE float f32_of_key(int32_t key, int32_t flip) {
    const int32_t bits = key ^ flip;
    return key == INT32_MAX ? NAN : rbc__f32_of_bits((uint32_t)(bits ^ ((bits >> 31) & INT32_MAX)));
}

INLINE int64_t key_of_f64(double value, int64_t flip) {
    const int64_t bits = (int64_t)bits_of(value);
    const int64_t key = bits ^ ((bits >> 63) & INT64_MAX) ^ flip;
    return (bits & INT64_MAX) > INT64_C(0x7ff0000000000000) ? INT64_MAX : key;
}

INLINE double f64_of_key(int64_t key, int64_t flip) {
    const int64_t bits = key ^ flip;
    return key == INT64_MAX ? (double)NAN : f64_of((uint64_t)(bits ^ ((bits >> 63) & INT64_MAX)));
}

/* ---- Storing ---- */

INLINE void store(rbc__dtype dtype, char *row, int64_t f, double value) {
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

/* ---- One cell, channels [first, first + n) ---- */

/* `order` has the cell's `count` rows. */
typedef struct cell {
    const rbc__voxel_rows *rows;
    const uint32_t *order;
    int32_t count;
    char *out;
} cell;

INLINE const void *fetch(const cell *c, int32_t i, int64_t first, int64_t n, bool is_direct,
                         rbc__feature_row *buffer) {
    const rbc__voxel_rows *rows = c->rows;
    if (is_direct) {
        return rows->base + (int64_t)c->order[i] * rows->unit_bytes +
               first * (rows->dtype == RBC__F64 ? 8 : 4);
    }
    rbc__load_features(rows->cloud, rows->cloud_index, (int64_t)c->order[i], first, n, buffer);
    return buffer;
}

INLINE bool is_sum(rbc_voxel_reduce reduce) {
    return reduce == RBC_VOXEL_SUM || reduce == RBC_VOXEL_MEAN;
}

/* A cell of one row is that row, with one NaN and, for sums, one zero. */
INLINE void single_f32(const cell *c, int64_t first, int64_t n, bool is_direct, rbc__dtype dtype,
                       bool sum) {
    rbc__feature_row buffer;
    const float *row = fetch(c, 0, first, n, is_direct, &buffer);
    CHANNELS(f, n) {
        const float value = sum ? row[f] + 0.0f : row[f];
        store(dtype, c->out, first + f, (double)(value == value ? value : NAN));
    }
}

/* Sums with features that are not finite; rare. */
static void sum_special(const cell *c, int64_t first, int64_t n, bool is_direct,
                        const bool *special) {
    rbc__feature_row buffer;
    CHANNELS(f, n) {
        if (!special[f]) {
            continue;
        }
        double sum = 0;
        for (int32_t i = 0; i < c->count; ++i) {
            const void *row = fetch(c, i, first + f, 1, is_direct, &buffer);
            const double value =
                c->rows->dtype == RBC__F64 ? *(const double *)row : (double)*(const float *)row;
            sum += isfinite(value) ? 0 : value;
        }
        store(c->rows->dtype, c->out, first + f, isnan(sum) ? (double)NAN : sum);
    }
}

INLINE void sum_f32(const cell *c, int64_t first, int64_t n, bool is_direct, rbc__dtype dtype) {
    rbc__feature_row buffer;
    uint32_t maxima[RUN];
    uint64_t sums[RUN];
    uint32_t any_special = 0;
    CHANNELS(f, n) {
        maxima[f] = 0;
        sums[f] = 0;
    }
    for (int32_t i = 0; i < c->count; ++i) {
        const float *row = fetch(c, i, first, n, is_direct, &buffer);
        CHANNELS(f, n) {
            const uint32_t magnitude = rbc__bits_of_f32(row[f]) & INT32_MAX;
            const uint32_t is_special = magnitude >= UINT32_C(0x7f800000);
            const uint32_t finite = is_special ? 0 : magnitude;
            any_special |= is_special;
            maxima[f] = finite > maxima[f] ? finite : maxima[f];
        }
    }
    const int32_t bits = bits_for(c->count);
    for (int32_t i = 0; i < c->count; ++i) {
        const float *row = fetch(c, i, first, n, is_direct, &buffer);
        CHANNELS(f, n) {
            sums[f] += integer_of((double)row[f] * scale_f32(maxima[f], bits));
        }
    }
    const double divisor = c->rows->reduce == RBC_VOXEL_MEAN ? (double)c->count : 1.0;
    CHANNELS(f, n) {
        store(dtype, c->out, first + f,
              (double)(int64_t)sums[f] / divisor * unscale_f32(maxima[f], bits));
    }
    if (any_special != 0) {
        bool special[RUN] = {false};
        for (int32_t i = 0; i < c->count; ++i) {
            const float *row = fetch(c, i, first, n, is_direct, &buffer);
            CHANNELS(f, n) {
                special[f] |= !isfinite(row[f]);
            }
        }
        sum_special(c, first, n, is_direct, special);
    }
}

INLINE void extreme_f32(const cell *c, int64_t first, int64_t n, bool is_direct, rbc__dtype dtype) {
    rbc__feature_row buffer;
    int32_t keys[RUN];
    const int32_t flip = c->rows->reduce == RBC_VOXEL_MIN ? -1 : 0;
    CHANNELS(f, n) {
        keys[f] = INT32_MIN;
    }
    for (int32_t i = 0; i < c->count; ++i) {
        const float *row = fetch(c, i, first, n, is_direct, &buffer);
        CHANNELS(f, n) {
            const int32_t key = key_of_f32(row[f], flip);
            keys[f] = key > keys[f] ? key : keys[f];
        }
    }
    CHANNELS(f, n) {
        store(dtype, c->out, first + f, (double)f32_of_key(keys[f], flip));
    }
}

/* The high sum is split into what a double holds and the rest, which joins the low sum. */
static void sum_f64(const cell *c, int64_t first, int64_t n, bool is_direct) {
    rbc__feature_row buffer;
    uint64_t maxima[RUN] = {0}, high[RUN] = {0}, low[RUN] = {0};
    bool special[RUN] = {false};
    for (int32_t i = 0; i < c->count; ++i) {
        const double *row = fetch(c, i, first, n, is_direct, &buffer);
        CHANNELS(f, n) {
            const uint64_t magnitude = bits_of(row[f]) & INT64_MAX;
            const bool is_special = magnitude >= UINT64_C(0x7ff0000000000000);
            const uint64_t finite = is_special ? 0 : magnitude;
            special[f] |= is_special;
            maxima[f] = finite > maxima[f] ? finite : maxima[f];
        }
    }
    const int32_t bits = bits_for(c->count);
    const double low_scale = power_of_two(bits), low_unscale = power_of_two(-bits);
    for (int32_t i = 0; i < c->count; ++i) {
        const double *row = fetch(c, i, first, n, is_direct, &buffer);
        CHANNELS(f, n) {
            const double scaled = row[f] * power_of_two(shift_f64(maxima[f], bits));
            const double rounded = (scaled + ROUNDING) - ROUNDING;
            high[f] += integer_of(scaled);
            low[f] += integer_of((scaled - rounded) * low_scale);
        }
    }
    const double divisor = c->rows->reduce == RBC_VOXEL_MEAN ? (double)c->count : 1.0;
    CHANNELS(f, n) {
        const int64_t high_sum = special[f] ? 0 : (int64_t)high[f];
        const double rounded = (double)high_sum;
        const double rest = (double)(high_sum - (int64_t)rounded);
        const double sum = rounded + (rest + (double)(int64_t)low[f] * low_unscale);
        store(RBC__F64, c->out, first + f,
              sum / divisor * power_of_two(-shift_f64(maxima[f], bits)));
    }
    sum_special(c, first, n, is_direct, special);
}

static void extreme_f64(const cell *c, int64_t first, int64_t n, bool is_direct) {
    rbc__feature_row buffer;
    int64_t keys[RUN];
    const int64_t flip = c->rows->reduce == RBC_VOXEL_MIN ? -1 : 0;
    CHANNELS(f, n) {
        keys[f] = INT64_MIN;
    }
    for (int32_t i = 0; i < c->count; ++i) {
        const double *row = fetch(c, i, first, n, is_direct, &buffer);
        CHANNELS(f, n) {
            const int64_t key = key_of_f64(row[f], flip);
            keys[f] = key > keys[f] ? key : keys[f];
        }
    }
    CHANNELS(f, n) {
        store(RBC__F64, c->out, first + f, f64_of_key(keys[f], flip));
    }
}

/* ---- All cells ---- */

INLINE cell cell_at(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups, int64_t i,
                    int64_t row_bytes) {
    const uint32_t at = groups->cells[i];
    const int32_t count = groups->counts[at];
    return (cell){
        .rows = rows,
        .order = groups->order + (groups->ends[at] - (uint32_t)count),
        .count = count,
        .out = groups->out + (int64_t)at * row_bytes,
    };
}

/* Rows of up to RUN channels that need no loading, with what is constant to the caller. */
INLINE void direct_f32(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups,
                       int64_t channels, rbc__dtype dtype, bool sum) {
    const int64_t row_bytes = channels * rbc__float_bytes(dtype);
    const int64_t last = groups->num_cells - 1;
    for (int64_t i = 0; i <= last; ++i) {
        const int64_t ahead = i + PREFETCH < last ? i + PREFETCH : last;
        const cell next = cell_at(rows, groups, ahead, row_bytes);
        __builtin_prefetch(rows->base + (int64_t)next.order[0] * rows->unit_bytes);
        const cell c = cell_at(rows, groups, i, row_bytes);
        if (c.count == 1) {
            single_f32(&c, 0, channels, true, dtype, sum);
        } else if (sum) {
            sum_f32(&c, 0, channels, true, dtype);
        } else {
            extreme_f32(&c, 0, channels, true, dtype);
        }
    }
}

/* Any dtype, stride and number of channels. */
static void any(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups) {
    const bool sum = is_sum(rows->reduce), is_direct = rows->cloud == NULL;
    const int64_t row_bytes = rows->num_features * rbc__float_bytes(rows->dtype);
    for (int64_t i = 0; i < groups->num_cells; ++i) {
        const cell c = cell_at(rows, groups, i, row_bytes);
        for (int64_t first = 0; first < rows->num_features; first += RUN) {
            const int64_t left = rows->num_features - first;
            const int64_t n = left < RUN ? left : RUN;
            if (rows->dtype == RBC__F64 && sum) {
                sum_f64(&c, first, n, is_direct);
            } else if (rows->dtype == RBC__F64) {
                extreme_f64(&c, first, n, is_direct);
            } else if (sum) {
                sum_f32(&c, first, n, is_direct, rows->dtype);
            } else {
                extreme_f32(&c, first, n, is_direct, rows->dtype);
            }
        }
    }
}

#define DIRECT_CASE(channels)                                                                      \
    case channels:                                                                                 \
        if (sum) {                                                                                 \
            direct_f32(rows, groups, channels, RBC__F32, true);                                    \
        } else {                                                                                   \
            direct_f32(rows, groups, channels, RBC__F32, false);                                   \
        }                                                                                          \
        return;

void RBC__KERNEL(voxel_reduce)(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups) {
    const bool sum = is_sum(rows->reduce);
    if (rows->cloud == NULL && rows->dtype == RBC__F32) {
        switch (rows->num_features) {
            DIRECT_CASE(1)
            DIRECT_CASE(3)
            DIRECT_CASE(4)
            DIRECT_CASE(8)
        default:
            break;
        }
    }
    any(rows, groups);
}
