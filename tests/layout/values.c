/* Numbers as they are stored to those of a stream: every encoding and dtype, against arithmetic. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "io/bytes.h"
#include "layout/values.h"

static uint64_t seed = 1;

static uint64_t any_number(void) {
    return xorshift_number(&seed);
}

/* ---- floats ---- */

/* Of a float of `mantissa` bits and an exponent of `exponent` bits, by the rules of IEEE 754. */
static double value_of(uint32_t bits, int mantissa, int exponent) {
    const uint32_t fraction = bits & ((UINT32_C(1) << mantissa) - 1);
    const int field = (int)(bits >> mantissa & ((UINT32_C(1) << exponent) - 1));
    const int bias = (1 << (exponent - 1)) - 1;
    const double sign = bits >> (mantissa + exponent) & 1 ? -1 : 1;
    if (field == (1 << exponent) - 1) {
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    }
    return field == 0
               ? sign * ldexp(fraction, 1 - bias - mantissa)
               : sign * ldexp((double)fraction + ldexp(1, mantissa), field - bias - mantissa);
}

/* Is `bits` the nearest to `value`, the even one of two? */
static void check_rounded(float value, uint16_t bits, int mantissa, int exponent) {
    const double found = value_of(bits, mantissa, exponent);
    if (isnan(value)) {
        assert_true(isnan(found));
        return;
    }
    assert_int_equal(signbit(value) != 0, bits >> 15);
    const uint16_t magnitude = bits & 0x7fff;
    const uint32_t infinity = ((UINT32_C(1) << exponent) - 1) << mantissa;
    const double exact = fabs((double)value);
    if (isinf(value)) {
        assert_int_equal(magnitude, infinity);
        return;
    }
    /* halves between it and its neighbours; infinity stands where the next number would */
    const double largest = value_of(infinity - 1, mantissa, exponent);
    const double step = largest - value_of(infinity - 2, mantissa, exponent);
    const double own = magnitude == infinity ? largest + step : fabs(found);
    const double below = magnitude > 0 ? value_of(magnitude - 1u, mantissa, exponent) : 0;
    const double above =
        magnitude >= infinity - 1 ? own + step : value_of(magnitude + 1u, mantissa, exponent);
    const bool is_even = magnitude % 2 == 0;
    const double low = (below + own) / 2;
    const double high = (own + above) / 2;
    assert_true(magnitude == 0 || (is_even ? exact >= low : exact > low));
    assert_true(magnitude == infinity || (is_even ? exact <= high : exact < high));
}

static void check_floats(const float *values, uint64_t count) {
    uint8_t unaligned[4 * 64 + 1];
    uint16_t halves[64];
    uint16_t brains[64];
    double doubles[64];
    float floats[64];
    memcpy(unaligned + 1, values, 4 * count);
    rbc__values_from_f32(unaligned + 1, count, RBC__F16, halves);
    rbc__values_from_f32(unaligned + 1, count, RBC__BF16, brains);
    rbc__values_from_f32(unaligned + 1, count, RBC__F64, doubles);
    rbc__values_from_f32(unaligned + 1, count, RBC__F32, floats);
    assert_memory_equal(floats, values, 4 * count);
    for (uint64_t i = 0; i < count; ++i) {
        check_rounded(values[i], halves[i], 10, 5);
        check_rounded(values[i], brains[i], 7, 8);
        assert_true(isnan(values[i]) ? isnan(doubles[i]) : doubles[i] == (double)values[i]);
    }
}

static void floats_are_rounded_to_nearest(void **state) {
    (void)state;
    static const float cases[] = {
        0.0f,          -0.0f,         1.0f,       65504.0f,   65519.0f,      65520.0f,
        65536.0f,      -65519.99f,    5.96e-8f,   2.98e-8f,   2.9802322e-8f, 2.9802326e-8f,
        6.0975552e-5f, 6.1035156e-5f, 1.0004883f, 1.0014648f, 3.4028235e38f, 3.39e38f,
        1e-45f,        INFINITY,      -INFINITY,  NAN,        -NAN};
    check_floats(cases, sizeof cases / sizeof cases[0]);
    for (uint32_t bits = 0; bits < 0x8000; ++bits) { /* each half, and what lies beside it */
        const float half = (float)value_of(bits, 10, 5);
        const float next = (float)value_of(bits + 1, 10, 5);
        const float middle = isfinite(half) && isfinite(next) ? (half + next) / 2 : half;
        const float around[] = {half,   nextafterf(half, INFINITY),   nextafterf(half, 0),
                                middle, nextafterf(middle, INFINITY), nextafterf(middle, 0)};
        check_floats(around, sizeof around / sizeof around[0]);
    }
    for (int i = 0; i < 20000; ++i) {
        uint32_t bits[8];
        float values[8];
        for (int k = 0; k < 8; ++k) {
            bits[k] = (uint32_t)(any_number() >> 32);
        }
        memcpy(values, bits, sizeof values);
        check_floats(values, 8);
    }
}

/* ---- integers ---- */

static const struct {
    rbc__dtype dtype;
    int64_t low, high;
} integers[] = {
    {RBC__U8, 0, UINT8_MAX},          {RBC__I8, INT8_MIN, INT8_MAX},
    {RBC__U16, 0, UINT16_MAX},        {RBC__I16, INT16_MIN, INT16_MAX},
    {RBC__U32, 0, UINT32_MAX},        {RBC__I32, INT32_MIN, INT32_MAX},
    {RBC__I64, INT64_MIN, INT64_MAX},
};

static int64_t stored_integer(rbc__dtype dtype, const void *at) {
    int64_t value = 0;
    memcpy(&value, at, (size_t)rbc__dtype_bytes(dtype));
    switch (dtype) {
    case RBC__I8:
        return (int8_t)value;
    case RBC__I16:
        return (int16_t)value;
    case RBC__I32:
        return (int32_t)value;
    default:
        return value;
    }
}

static void integers_have_the_range_of_their_dtype(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; ++i) {
        const int64_t low = integers[i].low;
        const int64_t high = integers[i].high;
        const int64_t good[] = {low, high, 0, high / 2, low / 2};
        uint64_t out[6];
        int64_t misfit = 77;
        const size_t size = (size_t)rbc__dtype_bytes(integers[i].dtype);
        assert_true(rbc__values_from_ints(good, 5, integers[i].dtype, out, &misfit));
        for (size_t k = 0; k < 5; ++k) {
            assert_int_equal(stored_integer(integers[i].dtype, (uint8_t *)out + k * size), good[k]);
        }
        for (int side = 0; side < 2 && integers[i].dtype != RBC__I64; ++side) {
            const int64_t bad[] = {1, side ? high + 1 : low - 1, side ? INT64_MAX : INT64_MIN};
            assert_false(rbc__values_from_ints(bad, 3, integers[i].dtype, out, &misfit));
            assert_int_equal(misfit, bad[1]);
        }
    }
    const int64_t any[] = {0, 1, -1, INT64_MIN, 256};
    uint64_t bits[5];
    uint8_t bools[5];
    int64_t misfit;
    assert_true(rbc__values_from_ints(any, 5, RBC__U64, bits, &misfit));
    assert_memory_equal(bits, any, sizeof any);
    assert_true(rbc__values_from_ints(any, 5, RBC__BOOL, bools, &misfit));
    assert_memory_equal(bools, ((const uint8_t[]){0, 1, 1, 1, 1}), 5);
    assert_false(rbc__values_from_ints(any, 5, RBC__F32, bits, &misfit));
}

/* ---- varints ---- */

static void varints_of_any_size(void **state) {
    (void)state;
    enum { MOST = 700 };
    static int64_t values[MOST];
    static int64_t read[MOST];
    for (int round = 0; round < 300; ++round) {
        const uint64_t count = any_number() % MOST;
        rbc__bytes varints = {0};
        int64_t misfit;
        bool damaged;
        for (uint64_t i = 0; i < count; ++i) {
            values[i] = (int64_t)(any_number() >> any_number() % 64);
            rbc__bytes_varint(&varints, (uint64_t)values[i]);
        }
        uint8_t *exact = malloc(varints.size + 1);
        assert_non_null(exact);
        if (varints.size > 0) {
            memcpy(exact, varints.data, varints.size);
        }
        exact[varints.size] = 1;
        assert_true(rbc__values_from_varints(exact, varints.size, count, 0, RBC__I64, read, &misfit,
                                             &damaged));
        assert_memory_equal(read, values, count * sizeof *values);
        /* fewer or more than there are, and cut short */
        assert_false(rbc__values_from_varints(exact, varints.size + 1, count, 0, RBC__I64, read,
                                              &misfit, &damaged));
        assert_true(damaged);
        if (count > 0) {
            assert_false(rbc__values_from_varints(exact, varints.size - 1, count, 0, RBC__I64, read,
                                                  &misfit, &damaged));
            assert_true(damaged);
            assert_false(rbc__values_from_varints(exact, varints.size, count - 1, 0, RBC__I64, read,
                                                  &misfit, &damaged));
            assert_true(damaged);
        }
        free(exact);
        rbc__bytes_free(&varints);
    }
}

/* Of one size, padded where they are smaller. */
static void even_varints(void **state) {
    (void)state;
    enum { COUNT = 300 };
    for (uint32_t stride = 1; stride <= 10; ++stride) {
        static uint8_t varints[COUNT * 10];
        static int64_t read[COUNT];
        int64_t misfit;
        bool damaged;
        for (uint32_t i = 0; i < COUNT; ++i) {
            for (uint32_t k = 0; k < stride; ++k) {
                varints[i * stride + k] =
                    (uint8_t)((k == 0 ? i % 128 : 0) | (k + 1 < stride ? 0x80 : 0));
            }
        }
        assert_true(rbc__values_from_varints(varints, COUNT * stride, COUNT, stride, RBC__I64, read,
                                             &misfit, &damaged));
        for (int64_t i = 0; i < COUNT; ++i) {
            assert_int_equal(read[i], i % 128);
        }
        assert_false(rbc__values_from_varints(varints, COUNT * stride - 1, COUNT, stride, RBC__I64,
                                              read, &misfit, &damaged));
        assert_true(damaged);
        varints[(COUNT - 1) * stride + stride - 1] ^= 0x80; /* ends elsewhere */
        assert_false(rbc__values_from_varints(varints, COUNT * stride, COUNT, stride, RBC__I64,
                                              read, &misfit, &damaged));
        assert_true(damaged);
        varints[(COUNT - 1) * stride + stride - 1] ^= 0x80;
        if (stride > 1) {
            varints[stride] = 0xff;
            varints[stride + 1] |= 0x02;
            assert_false(rbc__values_from_varints(varints, COUNT * stride, COUNT, stride, RBC__I8,
                                                  read, &misfit, &damaged));
            assert_false(damaged);
            assert_int_equal(misfit, 0x17f);
        }
    }
}

/* ---- by encoding ---- */

/* A number of a dtype, small enough for all, as it lies in memory. */
static void put_number(rbc__dtype dtype, int number, bool is_swapped, uint8_t *out) {
    const size_t size = (size_t)rbc__dtype_bytes(dtype);
    const float f32 = (float)number;
    const double f64 = number;
    const int64_t i64 = number;
    uint8_t plain[8];
    if (dtype == RBC__F32) {
        memcpy(plain, &f32, 4);
    } else if (dtype == RBC__F64) {
        memcpy(plain, &f64, 8);
    } else if (dtype == RBC__F16 || dtype == RBC__BF16) {
        rbc__values_from_f32((const uint8_t *)&f32, 1, dtype, plain);
    } else {
        memcpy(plain, &i64, 8);
    }
    for (size_t i = 0; i < size; ++i) {
        out[i] = plain[is_swapped ? size - 1 - i : i];
    }
}

static void every_encoding_and_dtype(void **state) {
    (void)state;
    enum { COUNT = 600 }; /* more than are converted in one go */
    static uint8_t stored[COUNT * 8 + 1];
    static uint8_t wanted[COUNT * 8];
    static uint8_t read[COUNT * 8];
    int possible = 0;
    for (int encoding = 0; encoding < RBC__NUM_ENCODINGS; ++encoding) {
        for (int from = 0; from < RBC__NUM_DTYPES; ++from) {
            for (int to = 0; to < RBC__NUM_DTYPES; ++to) {
                const bool to_float = rbc__dtype_is_float((rbc__dtype)to);
                const bool is_plain =
                    encoding == RBC__ENCODING_PLAIN || encoding == RBC__ENCODING_SWAPPED ||
                    encoding == RBC__ENCODING_NPY || encoding == RBC__ENCODING_PIXELS;
                const bool can = is_plain ? from == to || (from == RBC__F32 && to_float) ||
                                                (from == RBC__I64 && !to_float)
                                          : encoding == RBC__ENCODING_VARINT && !to_float;
                assert_int_equal(
                    rbc__values_can((rbc__encoding)encoding, (rbc__dtype)from, (rbc__dtype)to),
                    can);
                if (!can || !is_plain) {
                    continue;
                }
                ++possible;
                const size_t size = (size_t)rbc__dtype_bytes((rbc__dtype)from);
                const size_t to_size = (size_t)rbc__dtype_bytes((rbc__dtype)to);
                int64_t misfit;
                for (int i = 0; i < COUNT; ++i) {
                    const int number = to == RBC__BOOL || from == RBC__BOOL ? i % 2 : i % 100;
                    put_number((rbc__dtype)from, number, encoding == RBC__ENCODING_SWAPPED,
                               stored + 1 + (size_t)i * size);
                    put_number((rbc__dtype)to, number, false, wanted + (size_t)i * to_size);
                }
                assert_int_equal(rbc__values_read((rbc__encoding)encoding, (rbc__dtype)from,
                                                  stored + 1, COUNT * size, COUNT, true,
                                                  (rbc__dtype)to, read, &misfit),
                                 RBC__VALUES_OK);
                assert_memory_equal(read, wanted, COUNT * to_size);
                /* more or fewer bytes than they make up */
                for (int off = -1; off <= 1; off += 2) {
                    assert_int_equal(rbc__values_read((rbc__encoding)encoding, (rbc__dtype)from,
                                                      stored + 1, COUNT * size + (size_t)off, COUNT,
                                                      true, (rbc__dtype)to, read, &misfit),
                                     RBC__VALUES_DAMAGED);
                }
                assert_int_equal(rbc__values_read((rbc__encoding)encoding, (rbc__dtype)from,
                                                  stored + 1, 0, 0, true, (rbc__dtype)to, read,
                                                  &misfit),
                                 RBC__VALUES_OK);
            }
        }
    }
    assert_int_equal(possible, 4 * (RBC__NUM_DTYPES + 3 + 8));
}

/* ---- mapped ---- */

static int small_number(int i) {
    return i % 100;
}

/* Whether all that was read is scale * number + offset, rounded once. */
static void check_mapped(const void *read, rbc__dtype dtype, const rbc__value_map *map, int count) {
    for (int i = 0; i < count; ++i) {
        const double value = map->scale * small_number(i) + map->offset;
        const float f32 = (float)value;
        const size_t size = (size_t)rbc__dtype_bytes(dtype);
        assert_memory_equal((const uint8_t *)read + (size_t)i * size,
                            dtype == RBC__F32 ? (const void *)&f32 : (const void *)&value, size);
    }
}

static void every_number_is_mapped(void **state) {
    (void)state;
    enum { COUNT = 600 };
    static uint8_t stored[COUNT * 8 + 1];
    static double read[COUNT];
    const rbc__value_map map = {0.001, -0.3};
    int possible = 0;
    int64_t misfit;
    for (int encoding = 0; encoding < RBC__NUM_ENCODINGS; ++encoding) {
        for (int from = 0; from < RBC__NUM_DTYPES; ++from) {
            for (int to = 0; to < RBC__NUM_DTYPES; ++to) {
                const bool is_varint = encoding == RBC__ENCODING_VARINT;
                const bool can =
                    (encoding == RBC__ENCODING_PLAIN || encoding == RBC__ENCODING_SWAPPED ||
                     encoding == RBC__ENCODING_NPY ||
                     (is_varint && !rbc__dtype_is_float((rbc__dtype)from))) &&
                    from != RBC__BOOL && (to == RBC__F32 || to == RBC__F64);
                assert_int_equal(
                    rbc__values_can_map((rbc__encoding)encoding, (rbc__dtype)from, (rbc__dtype)to),
                    can);
                if (!can) {
                    continue;
                }
                ++possible;
                const size_t size = is_varint ? 1 : (size_t)rbc__dtype_bytes((rbc__dtype)from);
                for (int i = 0; i < COUNT; ++i) {
                    put_number(is_varint ? RBC__U8 : (rbc__dtype)from, small_number(i),
                               encoding == RBC__ENCODING_SWAPPED, stored + 1 + (size_t)i * size);
                }
                for (int is_even = 0; is_even < 2; ++is_even) {
                    memset(read, 0, sizeof read);
                    assert_int_equal(rbc__values_read_mapped((rbc__encoding)encoding,
                                                             (rbc__dtype)from, stored + 1,
                                                             COUNT * size, COUNT, is_even, &map,
                                                             (rbc__dtype)to, read, &misfit),
                                     RBC__VALUES_OK);
                    check_mapped(read, (rbc__dtype)to, &map, COUNT);
                    for (int off = -1; off <= 1; off += 2) {
                        assert_int_equal(
                            rbc__values_read_mapped((rbc__encoding)encoding, (rbc__dtype)from,
                                                    stored + 1, COUNT * size + (size_t)off, COUNT,
                                                    is_even, &map, (rbc__dtype)to, read, &misfit),
                            RBC__VALUES_DAMAGED);
                    }
                    assert_int_equal(rbc__values_read_mapped(
                                         (rbc__encoding)encoding, (rbc__dtype)from, stored + 1, 0,
                                         0, is_even, &map, (rbc__dtype)to, read, &misfit),
                                     RBC__VALUES_OK);
                }
            }
        }
    }
    assert_int_equal(possible, 2 * (3 * (RBC__NUM_DTYPES - 1) + 8));
}

static void varints_are_mapped_as_their_dtype(void **state) {
    (void)state;
    const rbc__value_map map = {2.0, 1.0};
    const uint8_t largest[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    const uint8_t two[] = {0x05, 0x80, 0x02};
    double read[2];
    int64_t misfit;
    assert_int_equal(rbc__values_read_mapped(RBC__ENCODING_VARINT, RBC__I64, largest, 10, 1, true,
                                             &map, RBC__F64, read, &misfit),
                     RBC__VALUES_OK);
    assert_true(read[0] == -1.0);
    assert_int_equal(rbc__values_read_mapped(RBC__ENCODING_VARINT, RBC__U64, largest, 10, 1, false,
                                             &map, RBC__F64, read, &misfit),
                     RBC__VALUES_OK);
    assert_true(read[0] == 36893488147419103233.0);
    assert_int_equal(rbc__values_read_mapped(RBC__ENCODING_VARINT, RBC__U8, two, 3, 2, false, &map,
                                             RBC__F64, read, &misfit),
                     RBC__VALUES_MISFIT);
    assert_int_equal(misfit, 256);
    /* fewer bytes than numbers, and one byte each where they are not */
    assert_int_equal(rbc__values_read_mapped(RBC__ENCODING_VARINT, RBC__I64, two, 0, 2, true, &map,
                                             RBC__F64, read, &misfit),
                     RBC__VALUES_DAMAGED);
    assert_int_equal(rbc__values_read_mapped(RBC__ENCODING_VARINT, RBC__I64, two + 1, 2, 2, true,
                                             &map, RBC__F64, read, &misfit),
                     RBC__VALUES_DAMAGED);
}

static void misfits_are_told_from_damage(void **state) {
    (void)state;
    const int64_t plain[] = {1, -200, 3};
    const uint8_t swapped[] = {0, 0, 0, 0, 0, 0, 1, 0};
    const uint8_t varints[] = {5, 0x80, 0x02, 0x05};
    int8_t read[4];
    int64_t misfit;
    assert_int_equal(rbc__values_read(RBC__ENCODING_PLAIN, RBC__I64, (const uint8_t *)plain, 24, 3,
                                      true, RBC__I8, read, &misfit),
                     RBC__VALUES_MISFIT);
    assert_int_equal(misfit, -200);
    assert_int_equal(rbc__values_read(RBC__ENCODING_SWAPPED, RBC__I64, swapped, 8, 1, true, RBC__I8,
                                      read, &misfit),
                     RBC__VALUES_MISFIT);
    assert_int_equal(misfit, 256);
    assert_int_equal(rbc__values_read(RBC__ENCODING_VARINT, RBC__I64, varints, 4, 3, false, RBC__I8,
                                      read, &misfit),
                     RBC__VALUES_MISFIT);
    assert_int_equal(misfit, 256);
    assert_int_equal(rbc__values_read(RBC__ENCODING_VARINT, RBC__I64, varints, 4, 4, false, RBC__I8,
                                      read, &misfit),
                     RBC__VALUES_DAMAGED);
    assert_int_equal(rbc__values_read(RBC__ENCODING_VARINT, RBC__I64, varints, 2, 2, true, RBC__I8,
                                      read, &misfit),
                     RBC__VALUES_DAMAGED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_rounded_to_nearest),
        cmocka_unit_test(integers_have_the_range_of_their_dtype),
        cmocka_unit_test(varints_of_any_size),
        cmocka_unit_test(even_varints),
        cmocka_unit_test(every_encoding_and_dtype),
        cmocka_unit_test(misfits_are_told_from_damage),
        cmocka_unit_test(every_number_is_mapped),
        cmocka_unit_test(varints_are_mapped_as_their_dtype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
