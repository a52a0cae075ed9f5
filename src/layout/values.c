#include "layout/values.h"

#include <string.h>

#include "io/bytes.h"
#include "io/endian.h"

static uint16_t f32_to_bf16(uint32_t bits) {
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t f32_to_f16(uint32_t bits) {
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    }
    if (magnitude >= 0x477ff000) { /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    }
    if (magnitude >= 0x38800000) {
        const uint32_t rebiased = magnitude - 0x38000000;
        return (uint16_t)(sign | (rebiased + 0xfff + (rebiased >> 13 & 1)) >> 13);
    }
    if (magnitude < 0x33000000) { /* below half of the smallest subnormal */
        return sign;
    }
    const uint32_t shift = 126 - (magnitude >> 23);
    const uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
    const uint32_t half = UINT32_C(1) << (shift - 1);
    const uint32_t odd = mantissa >> shift & 1;
    return (uint16_t)(sign | (mantissa + half - 1 + odd) >> shift);
}

double rbc__values_from_f16(uint16_t bits) {
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    const uint32_t exponent = bits >> 10 & 31;
    const uint32_t mantissa = bits & 1023;
    if (exponent == 31) {
        return mantissa ? (double)__builtin_nanf("") : sign * (double)__builtin_inff();
    }
    const double value = exponent ? 1024.0 + mantissa : (double)mantissa;
    return sign * value * (1.0 / 16777216.0) *
           (double)(UINT32_C(1) << (exponent ? exponent - 1 : 0));
}

void rbc__values_from_f32(const uint8_t *src, uint64_t count, rbc__dtype dtype, void *dst) {
    if (dtype == RBC__F32) {
        if (count > 0) {
            memcpy(dst, src, (size_t)count * 4);
        }
        return;
    }
    for (uint64_t i = 0; i < count; ++i) {
        const uint32_t bits = rbc__load_u32(src + 4 * i);
        if (dtype == RBC__F64) {
            float value;
            memcpy(&value, &bits, sizeof value);
            ((double *)dst)[i] = (double)value;
        } else {
            ((uint16_t *)dst)[i] = dtype == RBC__F16 ? f32_to_f16(bits) : f32_to_bf16(bits);
        }
    }
}

#define NARROW(type, low, high)                                                                    \
    do {                                                                                           \
        type *to = dst;                                                                            \
        for (uint64_t i = 0; i < count; ++i) {                                                     \
            if (src[i] < (low) || src[i] > (high)) {                                               \
                *misfit = src[i];                                                                  \
                return false;                                                                      \
            }                                                                                      \
            to[i] = (type)src[i];                                                                  \
        }                                                                                          \
    } while (0)

bool rbc__values_from_ints(const int64_t *src, uint64_t count, rbc__dtype dtype, void *dst,
                           int64_t *misfit) {
    switch (dtype) {
    case RBC__BOOL:
        for (uint64_t i = 0; i < count; ++i) {
            ((uint8_t *)dst)[i] = src[i] != 0;
        }
        return true;
    case RBC__I64:
    case RBC__U64:
        if (count > 0) {
            memcpy(dst, src, (size_t)count * 8);
        }
        return true;
    case RBC__U8:
        NARROW(uint8_t, 0, UINT8_MAX);
        return true;
    case RBC__I8:
        NARROW(int8_t, INT8_MIN, INT8_MAX);
        return true;
    case RBC__U16:
        NARROW(uint16_t, 0, UINT16_MAX);
        return true;
    case RBC__I16:
        NARROW(int16_t, INT16_MIN, INT16_MAX);
        return true;
    case RBC__U32:
        NARROW(uint32_t, 0, UINT32_MAX);
        return true;
    case RBC__I32:
        NARROW(int32_t, INT32_MIN, INT32_MAX);
        return true;
    default:
        *misfit = 0;
        return false;
    }
}

/* Whether every one of `count` varints of `stride` bytes ends where it should. */
static bool read_block(const uint8_t *src, uint64_t end, uint64_t *at, uint64_t count,
                       uint32_t stride, int64_t *block) {
    if (stride == 1) {
        uint8_t all = 0;
        for (uint64_t i = 0; i < count; ++i) {
            all |= src[*at + i];
            block[i] = src[*at + i];
        }
        *at += count;
        return all < 0x80;
    }
    for (uint64_t i = 0; i < count; ++i) {
        uint64_t value;
        const uint64_t start = *at;
        if (!rbc__varint_read(src, end, at, &value) || (stride > 0 && *at - start != stride)) {
            return false;
        }
        block[i] = (int64_t)value;
    }
    return true;
}

bool rbc__values_from_varints(const uint8_t *src, uint64_t bytes, uint64_t count, uint32_t stride,
                              rbc__dtype dtype, void *dst, int64_t *misfit, bool *damaged) {
    enum { BLOCK = 256 };
    int64_t block[BLOCK];
    uint64_t at = 0;
    uint8_t *to = dst;
    const uint64_t size = (uint64_t)rbc__dtype_bytes(dtype);
    *damaged = true;
    *misfit = 0;
    if (stride > 0 && (count > bytes || count * stride != bytes)) {
        return false;
    }
    for (uint64_t done = 0; done < count;) {
        const uint64_t part = count - done < BLOCK ? count - done : BLOCK;
        if (!read_block(src, bytes, &at, part, stride, block)) {
            return false;
        }
        if (!rbc__values_from_ints(block, part, dtype, to + done * size, misfit)) {
            *damaged = false;
            return false;
        }
        done += part;
    }
    *damaged = at != bytes;
    return at == bytes;
}

bool rbc__values_can(rbc__encoding encoding, rbc__dtype stored, rbc__dtype dtype) {
    switch (encoding) {
    case RBC__ENCODING_PLAIN:
    case RBC__ENCODING_PIXELS:
    case RBC__ENCODING_SWAPPED:
    case RBC__ENCODING_NPY:
        return stored == dtype || (stored == RBC__F32 && rbc__dtype_is_float(dtype)) ||
               (stored == RBC__I64 && !rbc__dtype_is_float(dtype));
    case RBC__ENCODING_VARINT:
        return !rbc__dtype_is_float(dtype);
    default:
        return false;
    }
}

bool rbc__values_can_map(rbc__encoding encoding, rbc__dtype stored, rbc__dtype dtype) {
    const bool is_known = encoding == RBC__ENCODING_PLAIN || encoding == RBC__ENCODING_SWAPPED ||
                          encoding == RBC__ENCODING_NPY ||
                          (encoding == RBC__ENCODING_VARINT && !rbc__dtype_is_float(stored));
    return is_known && stored != RBC__BOOL && (dtype == RBC__F32 || dtype == RBC__F64);
}

/* `size` is 1, 2, 4 or 8. */
static void swap_each(const uint8_t *src, uint64_t count, uint64_t size, uint8_t *dst) {
    for (uint64_t i = 0; i < count; ++i) {
        for (uint64_t k = 0; k < size; ++k) {
            dst[i * size + k] = src[i * size + size - 1 - k];
        }
    }
}

static rbc__values_result read_plain(rbc__dtype stored, const uint8_t *src, uint64_t count,
                                     rbc__dtype dtype, void *dst, int64_t *misfit) {
    enum { BLOCK = 256 };
    const uint64_t size = (uint64_t)rbc__dtype_bytes(dtype);
    if (stored == dtype) {
        if (count > 0) {
            memcpy(dst, src, (size_t)(count * size));
        }
        return RBC__VALUES_OK;
    }
    if (stored == RBC__F32) {
        rbc__values_from_f32(src, count, dtype, dst);
        return RBC__VALUES_OK;
    }
    int64_t block[BLOCK]; /* `src` may be of any alignment */
    for (uint64_t done = 0; done < count; done += BLOCK) {
        const uint64_t part = count - done < BLOCK ? count - done : BLOCK;
        memcpy(block, src + 8 * done, (size_t)part * 8);
        if (!rbc__values_from_ints(block, part, dtype, (uint8_t *)dst + done * size, misfit)) {
            return RBC__VALUES_MISFIT;
        }
    }
    return RBC__VALUES_OK;
}

static rbc__values_result read_swapped(rbc__dtype stored, const uint8_t *src, uint64_t count,
                                       rbc__dtype dtype, void *dst, int64_t *misfit) {
    enum { BLOCK = 256 };
    uint64_t block[BLOCK];
    const uint64_t from = (uint64_t)rbc__dtype_bytes(stored);
    const uint64_t to = (uint64_t)rbc__dtype_bytes(dtype);
    for (uint64_t done = 0; done < count; done += BLOCK) {
        const uint64_t part = count - done < BLOCK ? count - done : BLOCK;
        swap_each(src + done * from, part, from, (uint8_t *)block);
        const rbc__values_result result = read_plain(stored, (const uint8_t *)block, part, dtype,
                                                     (uint8_t *)dst + done * to, misfit);
        if (result != RBC__VALUES_OK) {
            return result;
        }
    }
    return RBC__VALUES_OK;
}

rbc__values_result rbc__values_read(rbc__encoding encoding, rbc__dtype stored, const uint8_t *src,
                                    uint64_t bytes, uint64_t count, bool is_even, rbc__dtype dtype,
                                    void *dst, int64_t *misfit) {
    *misfit = 0;
    if (encoding == RBC__ENCODING_VARINT) {
        const uint64_t each = is_even && count > 0 ? bytes / count : 0;
        bool damaged;
        if (rbc__values_from_varints(src, bytes, count, (uint32_t)each, dtype, dst, misfit,
                                     &damaged)) {
            return RBC__VALUES_OK;
        }
        return damaged ? RBC__VALUES_DAMAGED : RBC__VALUES_MISFIT;
    }
    const uint64_t size = (uint64_t)rbc__dtype_bytes(stored);
    if (bytes % size != 0 || bytes / size != count) {
        return RBC__VALUES_DAMAGED;
    }
    return encoding == RBC__ENCODING_SWAPPED ? read_swapped(stored, src, count, dtype, dst, misfit)
                                             : read_plain(stored, src, count, dtype, dst, misfit);
}

/* ---- mapped -------------------------------------------------------------------------------------
 */

#define WIDEN(type)                                                                                \
    do {                                                                                           \
        for (uint64_t i = 0; i < count; ++i) {                                                     \
            type number;                                                                           \
            memcpy(&number, src + i * sizeof number, sizeof number);                               \
            dst[i] = (double)number;                                                               \
        }                                                                                          \
    } while (0)

void rbc__values_widen(const uint8_t *src, uint64_t count, rbc__dtype dtype, double *dst) {
    switch (dtype) {
    case RBC__F64:
        WIDEN(double);
        break;
    case RBC__F32:
        WIDEN(float);
        break;
    case RBC__F16:
        for (uint64_t i = 0; i < count; ++i) {
            dst[i] = rbc__values_from_f16((uint16_t)rbc__load_uint(src + 2 * i, 2));
        }
        break;
    case RBC__BF16:
        for (uint64_t i = 0; i < count; ++i) {
            const uint32_t bits = (uint32_t)rbc__load_uint(src + 2 * i, 2) << 16;
            float value;
            memcpy(&value, &bits, sizeof value);
            dst[i] = (double)value;
        }
        break;
    case RBC__I8:
        WIDEN(int8_t);
        break;
    case RBC__I16:
        WIDEN(int16_t);
        break;
    case RBC__I32:
        WIDEN(int32_t);
        break;
    case RBC__I64:
        WIDEN(int64_t);
        break;
    case RBC__U16:
        WIDEN(uint16_t);
        break;
    case RBC__U32:
        WIDEN(uint32_t);
        break;
    case RBC__U64:
        WIDEN(uint64_t);
        break;
    default:
        WIDEN(uint8_t);
    }
}

static void map_block(const rbc__value_map *map, double *values, uint64_t count, rbc__dtype dtype,
                      void *dst) {
    for (uint64_t i = 0; i < count; ++i) {
        values[i] = map->scale * values[i] + map->offset;
    }
    if (dtype == RBC__F64) {
        memcpy(dst, values, (size_t)count * sizeof(double));
        return;
    }
    for (uint64_t i = 0; i < count; ++i) {
        ((float *)dst)[i] = (float)values[i];
    }
}

rbc__values_result rbc__values_read_mapped(rbc__encoding encoding, rbc__dtype stored,
                                           const uint8_t *src, uint64_t bytes, uint64_t count,
                                           bool is_even, const rbc__value_map *map,
                                           rbc__dtype dtype, void *dst, int64_t *misfit) {
    enum { BLOCK = 256 };
    int64_t varints[BLOCK];
    uint64_t plain[BLOCK]; /* of the stored dtype, where they do not lie so */
    double values[BLOCK];
    const bool is_varint = encoding == RBC__ENCODING_VARINT;
    const uint64_t from = (uint64_t)rbc__dtype_bytes(stored);
    const uint64_t to = (uint64_t)rbc__dtype_bytes(dtype);
    const uint64_t each = is_even && count > 0 ? bytes / count : 0; /* of a varint */
    uint64_t at = 0;
    *misfit = 0;
    if (is_varint ? is_even && each * count != bytes : bytes % from != 0 || bytes / from != count) {
        return RBC__VALUES_DAMAGED;
    }
    for (uint64_t done = 0; done < count; done += BLOCK) {
        const uint64_t part = count - done < BLOCK ? count - done : BLOCK;
        const uint8_t *numbers = (const uint8_t *)plain;
        if (is_varint) {
            if (!read_block(src, bytes, &at, part, (uint32_t)each, varints)) {
                return RBC__VALUES_DAMAGED;
            }
            if (!rbc__values_from_ints(varints, part, stored, plain, misfit)) {
                return RBC__VALUES_MISFIT;
            }
        } else if (encoding == RBC__ENCODING_SWAPPED) {
            swap_each(src + done * from, part, from, (uint8_t *)plain);
        } else {
            numbers = src + done * from;
        }
        rbc__values_widen(numbers, part, stored, values);
        map_block(map, values, part, dtype, (uint8_t *)dst + done * to);
    }
    return is_varint && at != bytes ? RBC__VALUES_DAMAGED : RBC__VALUES_OK;
}
