#include "statistics/channel.h"

#include <math.h>
#include <string.h>

#include "core/error.h"
#include "layout/values.h"

/* Values that are looked at in one go: their plain sum loses nothing worth speaking of. */
#define BLOCK 2048

#define TOP_64 (UINT64_C(1) << 63)

/* ---- keys: values as unsigned integers in the same order ---- */

static uint64_t key_of_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & TOP_64) != 0 ? ~bits : bits | TOP_64;
}

static double double_of_key(uint64_t key) {
    const uint64_t bits = (key & TOP_64) != 0 ? key & ~TOP_64 : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t key_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

static double float_of_key(uint64_t key) {
    const uint32_t low = (uint32_t)key;
    const uint32_t bits = (low & 0x80000000u) != 0 ? low & 0x7fffffffu : ~low;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static uint16_t key_of_half(uint16_t bits) {
    return (uint16_t)((bits & 0x8000u) != 0 ? ~(uint32_t)bits : bits | 0x8000u);
}

static uint16_t half_of_key(uint64_t key) {
    return (uint16_t)((key & 0x8000u) != 0 ? key & 0x7fffu : ~key);
}

static double from_bf16(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

static double f16_of_key(uint64_t key) {
    return rbc__values_from_f16(half_of_key(key));
}

static double bf16_of_key(uint64_t key) {
    return from_bf16(half_of_key(key));
}

static double unsigned_of_key(uint64_t key) {
    return (double)key;
}

static double i8_of_key(uint64_t key) {
    return (double)((int64_t)key - 0x80);
}

static double i16_of_key(uint64_t key) {
    return (double)((int64_t)key - 0x8000);
}

static double signed_of_key(uint64_t key) {
    int64_t value;
    key ^= TOP_64;
    memcpy(&value, &key, sizeof value);
    return (double)value;
}

rbc__key_value_fn rbc__channel_value_of(rbc__dtype dtype) {
    switch (dtype) {
    case RBC__F32:
        return float_of_key;
    case RBC__F64:
        return double_of_key;
    case RBC__F16:
        return f16_of_key;
    case RBC__BF16:
        return bf16_of_key;
    case RBC__I8:
        return i8_of_key;
    case RBC__I16:
        return i16_of_key;
    case RBC__I32:
    case RBC__I64:
        return signed_of_key;
    default:
        return unsigned_of_key;
    }
}

static int32_t key_bits(rbc__dtype dtype) {
    return rbc__dtype_bytes(dtype) <= 2 ? 8 * (int32_t)rbc__dtype_bytes(dtype) : 64;
}

/* ---- blocks ---- */

#define READ_ALL(type, value_of, key_of)                                                           \
    for (int64_t i = 0; i < count; ++i, at += stride_bytes) {                                      \
        type x;                                                                                    \
        memcpy(&x, at, sizeof x);                                                                  \
        values[i] = (value_of);                                                                    \
        keys[i] = (key_of);                                                                        \
    }                                                                                              \
    break

/* `count` values and their keys. */
static void read_block(rbc__dtype dtype, const uint8_t *at, int64_t stride_bytes, int64_t count,
                       double *values, uint64_t *keys) {
    switch (dtype) {
    case RBC__F32:
        READ_ALL(float, (double)x, key_of_float(x));
    case RBC__F64:
        READ_ALL(double, x, key_of_double(x));
    case RBC__F16:
        READ_ALL(uint16_t, rbc__values_from_f16(x), key_of_half(x));
    case RBC__BF16:
        READ_ALL(uint16_t, from_bf16(x), key_of_half(x));
    case RBC__U8:
        READ_ALL(uint8_t, (double)x, x);
    case RBC__BOOL:
        READ_ALL(uint8_t, (double)(x != 0), x != 0);
    case RBC__I8:
        READ_ALL(int8_t, (double)x, (uint64_t)(x + 0x80));
    case RBC__I16:
        READ_ALL(int16_t, (double)x, (uint64_t)(x + 0x8000));
    case RBC__U16:
        READ_ALL(uint16_t, (double)x, x);
    case RBC__I32:
        READ_ALL(int32_t, (double)x, (uint64_t)(int64_t)x ^ TOP_64);
    case RBC__U32:
        READ_ALL(uint32_t, (double)x, x);
    case RBC__I64:
        READ_ALL(int64_t, (double)x, (uint64_t)x ^ TOP_64);
    case RBC__U64:
        READ_ALL(uint64_t, (double)x, x);
    default:
        memset(values, 0, (size_t)count * sizeof *values);
        memset(keys, 0, (size_t)count * sizeof *keys);
        break;
    }
}

/* Leaves those that are finite, and counts the others. */
static int64_t leave_finite(double *values, uint64_t *keys, int64_t count, rbc__moments *found) {
    int64_t left = 0;
    for (int64_t i = 0; i < count; ++i) {
        const double value = values[i];
        if (isfinite(value)) {
            values[left] = value;
            keys[left++] = keys[i];
        } else if (isnan(value)) {
            ++found->num_nan;
        } else if (value > 0) {
            ++found->num_positive_infinite;
        } else {
            ++found->num_negative_infinite;
        }
    }
    return left;
}

/* Sums that go on side by side, so that none waits for the last addition. */
#define LANES 8

/* Of finite values, in two goes over them. */
static void measure(const double *values, int64_t count, rbc__moments *found) {
    double sums[LANES] = {0};
    double low[LANES];
    double high[LANES];
    for (int lane = 0; lane < LANES; ++lane) {
        low[lane] = values[0];
        high[lane] = values[0];
    }
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int lane = 0; lane < LANES; ++lane) {
            const double value = values[i + lane];
            sums[lane] += value;
            low[lane] = value < low[lane] ? value : low[lane];
            high[lane] = value > high[lane] ? value : high[lane];
        }
    }
    for (; i < count; ++i) {
        sums[0] += values[i];
        low[0] = values[i] < low[0] ? values[i] : low[0];
        high[0] = values[i] > high[0] ? values[i] : high[0];
    }
    found->min = low[0];
    found->max = high[0];
    double sum = 0;
    for (int lane = 0; lane < LANES; ++lane) {
        sum += sums[lane];
        found->min = low[lane] < found->min ? low[lane] : found->min;
        found->max = high[lane] > found->max ? high[lane] : found->max;
    }
    const double mean = sum / (double)count;
    double squares[LANES] = {0};
    double rests[LANES] = {0}; /* what rounding left of the mean */
    for (i = 0; i + LANES <= count; i += LANES) {
        for (int lane = 0; lane < LANES; ++lane) {
            const double difference = values[i + lane] - mean;
            squares[lane] += difference * difference;
            rests[lane] += difference;
        }
    }
    for (; i < count; ++i) {
        const double difference = values[i] - mean;
        squares[0] += difference * difference;
        rests[0] += difference;
    }
    double rest = 0;
    found->squares = 0;
    for (int lane = 0; lane < LANES; ++lane) {
        found->squares += squares[lane];
        rest += rests[lane];
    }
    found->count = count;
    found->mean = mean + rest / (double)count;
    found->squares -= rest * rest / (double)count;
    found->squares = found->squares > 0 ? found->squares : 0;
}

void rbc__moments_merge(rbc__moments *into, const rbc__moments *other) {
    into->num_nan += other->num_nan;
    into->num_positive_infinite += other->num_positive_infinite;
    into->num_negative_infinite += other->num_negative_infinite;
    if (other->count == 0) {
        return;
    }
    if (into->count == 0) {
        into->count = other->count;
        into->mean = other->mean;
        into->squares = other->squares;
        into->min = other->min;
        into->max = other->max;
        return;
    }
    const double mine = (double)into->count;
    const double theirs = (double)other->count;
    const double difference = other->mean - into->mean;
    into->count += other->count;
    into->mean += difference * (theirs / (mine + theirs));
    into->squares += other->squares + difference * difference * (mine * theirs / (mine + theirs));
    into->min = other->min < into->min ? other->min : into->min;
    into->max = other->max > into->max ? other->max : into->max;
}

/* ---- */

rbc_status rbc__channel_init(rbc__channel *out, rbc__dtype dtype, bool has_ranks, rbc_error *err) {
    *out = (rbc__channel){0};
    return has_ranks ? rbc__ranks_create(key_bits(dtype), &out->ranks, err) : RBC_OK;
}

void rbc__channel_free(rbc__channel *channel) {
    rbc__ranks_destroy(&channel->ranks);
}

rbc_status rbc__channel_add(rbc__channel *channel, rbc__dtype dtype, const uint8_t *at,
                            int64_t stride_bytes, int64_t count, rbc_error *err) {
    double values[BLOCK];
    uint64_t keys[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t size = count - first < BLOCK ? count - first : BLOCK;
        rbc__moments found = {0};
        read_block(dtype, at + first * stride_bytes, stride_bytes, size, values, keys);
        const int64_t left = leave_finite(values, keys, size, &found);
        if (left > 0) {
            measure(values, left, &found);
        }
        rbc__moments_merge(&channel->moments, &found);
        if (channel->ranks != NULL && left > 0) {
            RBC__TRY(rbc__ranks_add(channel->ranks, keys, left, err));
        }
    }
    return RBC_OK;
}
