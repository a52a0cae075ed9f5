/* Reduction of the feature rows of each cell; see rbc_voxelize() for what the sums are. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "cpu/kernels/voxelize.h"
#include "cpu/kernels/voxelize_features.h"

/* Does `step` for each channel. Of constant length, a short loop is better unrolled, a longer one
 * is vectorised only where it is not unrolled first. */
#ifdef __clang__
#define KEEP_LOOP
#else
#define KEEP_LOOP _Pragma("GCC unroll 1")
#endif
#define EACH_CHANNEL(f, n, step)                                                                   \
    if ((n) < 4) {                                                                                 \
        for (int64_t f = 0; f < (n); ++f) {                                                        \
            step;                                                                                  \
        }                                                                                          \
    } else {                                                                                       \
        KEEP_LOOP for (int64_t f = 0; f < (n); ++f) {                                              \
            step;                                                                                  \
        }                                                                                          \
    }

#define INLINE static inline __attribute__((always_inline))

/* So many rows ahead are on their way from memory. */
#define ROWS_AHEAD 24

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

/* ---- One channel of one row ---- */

INLINE void measure_f32(float value, uint32_t *maximum, uint32_t *any_special) {
    const uint32_t magnitude = rbc__bits_of_f32(value) & INT32_MAX;
    const uint32_t is_special = magnitude >= UINT32_C(0x7f800000);
    const uint32_t finite = is_special ? 0 : magnitude;
    *any_special |= is_special;
    *maximum = finite > *maximum ? finite : *maximum;
}

INLINE void measure_f64(double value, uint64_t *maximum, uint64_t *any_special) {
    const uint64_t magnitude = bits_of(value) & INT64_MAX;
    const uint64_t is_special = magnitude >= UINT64_C(0x7ff0000000000000);
    const uint64_t finite = is_special ? 0 : magnitude;
    *any_special |= is_special;
    *maximum = finite > *maximum ? finite : *maximum;
}

INLINE void add_f64(double value, double scale, double low_scale, uint64_t *high, uint64_t *low) {
    const double scaled = value * scale;
    const double rounded = (scaled + ROUNDING) - ROUNDING;
    *high += integer_of(scaled);
    *low += integer_of((scaled - rounded) * low_scale);
}

/* The high sum is split into what a double holds and the rest, which joins the low sum. Where
 * values were not finite it may be any integer. */
INLINE double join_f64(uint64_t high, uint64_t low, double low_unscale) {
    const double rounded = (double)(int64_t)high;
    const int64_t whole = rounded < 0x1p63 ? (int64_t)rounded : 0;
    const double rest = (double)(int64_t)(high - (uint64_t)whole);
    return rounded + (rest + (double)(int64_t)low * low_unscale);
}

INLINE void raise_i32(int32_t key, int32_t *greatest) {
    *greatest = key > *greatest ? key : *greatest;
}

INLINE void raise_i64(int64_t key, int64_t *greatest) {
    *greatest = key > *greatest ? key : *greatest;
}

/* ---- Channels [first, first + n) of one cell ---- */

/* `order` has the cell's `count` rows, and those of the cells after it up to `last`. */
typedef struct cell {
    const rbc__voxel_rows *rows;
    const uint32_t *order, *last;
    int32_t count;
    char *out;
} cell;

INLINE const void *fetch(const cell *c, int32_t i, int64_t first, int64_t n, bool is_direct,
                         rbc__feature_row *buffer) {
    const rbc__voxel_rows *rows = c->rows;
    if (is_direct) {
        return rows->base + (int64_t)c->order[i] * rows->row_stride_bytes +
               first * (rows->dtype == RBC__F64 ? 8 : 4);
    }
    rbc__load_features(rows->cloud, rows->cloud_index, (int64_t)c->order[i], first, n, buffer);
    return buffer;
}

/* Asks for the row that is ROWS_AHEAD after row i, of this cell or another; it may lie on two
 * lines.
 */
INLINE void expect(const cell *c, int32_t i, int64_t row_bytes) {
    if (c->last - c->order > i + ROWS_AHEAD) {
        const char *row =
            c->rows->base + (int64_t)c->order[i + ROWS_AHEAD] * c->rows->row_stride_bytes;
        __builtin_prefetch(row);
        __builtin_prefetch(row + row_bytes - 1);
    }
}

INLINE bool is_sum(rbc_voxel_reduce reduce) {
    return reduce == RBC_VOXEL_SUM || reduce == RBC_VOXEL_MEAN;
}

INLINE double divisor_of(const cell *c) {
    return c->rows->reduce == RBC_VOXEL_MEAN ? (double)c->count : 1.0;
}

/* A cell of one row is that row, with one NaN and, for sums, one zero. */
INLINE void single_f32(const cell *c, int64_t n, bool sum) {
    const float *row = fetch(c, 0, 0, n, true, NULL);
    expect(c, 0, n * 4);
    float *out = (float *)(void *)c->out;
    const float zero = sum ? 0.0f : -0.0f;
    EACH_CHANNEL(f, n, out[f] = isnan(row[f]) ? NAN : row[f] + zero)
}

INLINE void single_f64(const cell *c, int64_t n, bool sum) {
    const double *row = fetch(c, 0, 0, n, true, NULL);
    expect(c, 0, n * 8);
    double *out = (double *)(void *)c->out;
    const double zero = sum ? 0.0 : -0.0;
    EACH_CHANNEL(f, n, out[f] = isnan(row[f]) ? (double)NAN : row[f] + zero)
}

/* Mends the sums of channels with features that are not finite; rare. */
static void sum_special(const cell *c, int64_t first, int64_t n, bool is_direct) {
    rbc__feature_row buffer;
    for (int64_t f = 0; f < n; ++f) {
        double sum = 0;
        for (int32_t i = 0; i < c->count; ++i) {
            const void *row = fetch(c, i, first + f, 1, is_direct, &buffer);
            const double value =
                c->rows->dtype == RBC__F64 ? *(const double *)row : (double)*(const float *)row;
            sum += isfinite(value) ? 0 : value;
        }
        if (sum != 0) {
            store(c->rows->dtype, c->out, first + f, isnan(sum) ? (double)NAN : sum);
        }
    }
}

INLINE void sum_f32(const cell *c, int64_t first, int64_t n, bool is_direct, rbc__dtype dtype) {
    rbc__feature_row buffer;
    uint32_t maxima[RUN], any_special = 0;
    uint64_t sums[RUN];
    EACH_CHANNEL(f, n, maxima[f] = 0)
    EACH_CHANNEL(f, n, sums[f] = 0)
    for (int32_t i = 0; i < c->count; ++i) {
        const float *row = fetch(c, i, first, n, is_direct, &buffer);
        if (is_direct) {
            expect(c, i, n * 4);
        }
        EACH_CHANNEL(f, n, measure_f32(row[f], &maxima[f], &any_special))
    }
    const int32_t bits = bits_for(c->count);
    for (int32_t i = 0; i < c->count; ++i) {
        const float *row = fetch(c, i, first, n, is_direct, &buffer);
        EACH_CHANNEL(f, n, sums[f] += integer_of((double)row[f] * scale_f32(maxima[f], bits)))
    }
    const double divisor = divisor_of(c);
    EACH_CHANNEL(f, n,
                 store(dtype, c->out, first + f,
                       (double)(int64_t)sums[f] / divisor * unscale_f32(maxima[f], bits)))
    if (any_special != 0) {
        sum_special(c, first, n, is_direct);
    }
}

INLINE void extreme_f32(const cell *c, int64_t first, int64_t n, bool is_direct, rbc__dtype dtype) {
    rbc__feature_row buffer;
    int32_t keys[RUN];
    const int32_t flip = c->rows->reduce == RBC_VOXEL_MIN ? -1 : 0;
    EACH_CHANNEL(f, n, keys[f] = INT32_MIN)
    for (int32_t i = 0; i < c->count; ++i) {
        const float *row = fetch(c, i, first, n, is_direct, &buffer);
        if (is_direct) {
            expect(c, i, n * 4);
        }
        EACH_CHANNEL(f, n, raise_i32(key_of_f32(row[f], flip), &keys[f]))
    }
    EACH_CHANNEL(f, n, store(dtype, c->out, first + f, (double)f32_of_key(keys[f], flip)))
}

INLINE void sum_f64(const cell *c, int64_t first, int64_t n, bool is_direct) {
    rbc__feature_row buffer;
    uint64_t maxima[RUN], high[RUN], low[RUN], any_special = 0;
    EACH_CHANNEL(f, n, maxima[f] = 0)
    EACH_CHANNEL(f, n, high[f] = 0)
    EACH_CHANNEL(f, n, low[f] = 0)
    for (int32_t i = 0; i < c->count; ++i) {
        const double *row = fetch(c, i, first, n, is_direct, &buffer);
        if (is_direct) {
            expect(c, i, n * 8);
        }
        EACH_CHANNEL(f, n, measure_f64(row[f], &maxima[f], &any_special))
    }
    const int32_t bits = bits_for(c->count);
    const double low_scale = power_of_two(bits), low_unscale = power_of_two(-bits);
    double scales[RUN];
    EACH_CHANNEL(f, n, scales[f] = power_of_two(shift_f64(maxima[f], bits)))
    for (int32_t i = 0; i < c->count; ++i) {
        const double *row = fetch(c, i, first, n, is_direct, &buffer);
        EACH_CHANNEL(f, n, add_f64(row[f], scales[f], low_scale, &high[f], &low[f]))
    }
    const double divisor = divisor_of(c);
    EACH_CHANNEL(f, n,
                 store(RBC__F64, c->out, first + f,
                       join_f64(high[f], low[f], low_unscale) / divisor *
                           power_of_two(-shift_f64(maxima[f], bits))))
    if (any_special != 0) {
        sum_special(c, first, n, is_direct);
    }
}

INLINE void extreme_f64(const cell *c, int64_t first, int64_t n, bool is_direct) {
    rbc__feature_row buffer;
    int64_t keys[RUN];
    const int64_t flip = c->rows->reduce == RBC_VOXEL_MIN ? -1 : 0;
    EACH_CHANNEL(f, n, keys[f] = INT64_MIN)
    for (int32_t i = 0; i < c->count; ++i) {
        const double *row = fetch(c, i, first, n, is_direct, &buffer);
        if (is_direct) {
            expect(c, i, n * 8);
        }
        EACH_CHANNEL(f, n, raise_i64(key_of_f64(row[f], flip), &keys[f]))
    }
    EACH_CHANNEL(f, n, store(RBC__F64, c->out, first + f, f64_of_key(keys[f], flip)))
}

/* ---- All cells ---- */

INLINE cell cell_at(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups, int64_t i,
                    int64_t row_bytes) {
    const uint32_t at = groups->cells[i];
    const int32_t count = groups->counts[at];
    return (cell){
        .rows = rows,
        .order = groups->order + (groups->ends[at] - (uint32_t)count),
        .last = groups->order + groups->ends[groups->cells[groups->num_cells - 1]],
        .count = count,
        .out = groups->out + (int64_t)at * row_bytes,
    };
}

/* Rows in memory as they are wanted, of a number of channels that is constant to the caller. */
INLINE void direct(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups, int64_t channels,
                   rbc__dtype dtype, bool sum) {
    const int64_t row_bytes = channels * rbc__float_bytes(dtype);
    if (groups->num_cells == 0) {
        return;
    }
    const cell begin = cell_at(rows, groups, 0, row_bytes);
    for (int64_t i = 0; i < ROWS_AHEAD && i < begin.last - begin.order; ++i) {
        __builtin_prefetch(rows->base + (int64_t)begin.order[i] * rows->row_stride_bytes);
    }
    for (int64_t i = 0; i < groups->num_cells; ++i) {
        const cell c = cell_at(rows, groups, i, row_bytes);
        if (dtype == RBC__F64 && c.count == 1) {
            single_f64(&c, channels, sum);
        } else if (dtype == RBC__F64 && sum) {
            sum_f64(&c, 0, channels, true);
        } else if (dtype == RBC__F64) {
            extreme_f64(&c, 0, channels, true);
        } else if (c.count == 1) {
            single_f32(&c, channels, sum);
        } else if (sum) {
            sum_f32(&c, 0, channels, true, RBC__F32);
        } else {
            extreme_f32(&c, 0, channels, true, RBC__F32);
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

#define DIRECT_CASE(channels, dtype)                                                               \
    case channels:                                                                                 \
        if (sum) {                                                                                 \
            direct(rows, groups, channels, dtype, true);                                           \
        } else {                                                                                   \
            direct(rows, groups, channels, dtype, false);                                          \
        }                                                                                          \
        return;

void rbc__voxel_reduce(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups) {
    const bool sum = is_sum(rows->reduce);
    if (rows->cloud == NULL && rows->dtype == RBC__F32) {
        switch (rows->num_features) {
            DIRECT_CASE(1, RBC__F32)
            DIRECT_CASE(3, RBC__F32)
            DIRECT_CASE(4, RBC__F32)
            DIRECT_CASE(8, RBC__F32)
        default:
            break;
        }
    } else if (rows->cloud == NULL && rows->dtype == RBC__F64) {
        switch (rows->num_features) {
            DIRECT_CASE(1, RBC__F64)
            DIRECT_CASE(3, RBC__F64)
        default:
            break;
        }
    }
    any(rows, groups);
}
