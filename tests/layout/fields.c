/* Fields of records, as a table: where they lie, what is stored, which values it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "layout/fields.h"

enum { MAX_POINTS = 600 };

typedef struct field_case {
    rbc__fields fields;
    uint64_t stride;
    uint8_t record[32]; /* the same each time */
    double values[4];
} field_case;

static const field_case cases[] = {
    /* x, y, z as most drivers have them */
    {{3, {{0, RBC__F32, false}, {4, RBC__F32, false}, {8, RBC__F32, false}}},
     12,
     {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0x40, 0x40},
     {1, -2, 3}},
    /* with room behind, in another order, one twice */
    {{3, {{8, RBC__F32, false}, {0, RBC__F32, false}, {0, RBC__F32, false}}},
     32,
     {0, 0, 0x80, 0x3f, 9, 9, 9, 9, 0, 0, 0x40, 0x40},
     {3, 1, 1}},
    /* big-endian, unaligned, of every width */
    {{4, {{1, RBC__U16, true}, {3, RBC__I8, true}, {4, RBC__I32, true}, {9, RBC__F64, true}}},
     17,
     {7, 1, 2, 0xff, 0xff, 0xff, 0xff, 0xfe, 7, 0x40, 0x08, 0, 0, 0, 0, 0, 0},
     {258, -1, -2, 3}},
    {{4, {{0, RBC__U8, false}, {1, RBC__U16, false}, {3, RBC__I16, false}, {5, RBC__U32, false}}},
     9,
     {200, 1, 2, 0xff, 0xff, 0, 0, 0, 0x80},
     {200, 513, -1, 2147483648.0}},
    {{2, {{0, RBC__I64, false}, {8, RBC__F16, false}}},
     10,
     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x3c},
     {-1, 1}},
};

static void values_are_those_stored(void **state) {
    static const uint64_t counts[] = {0, 1, 2, 255, 256, 257, MAX_POINTS};
    static const rbc__value_map half = {0.5, 10};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const field_case *c = &cases[i];
        const uint64_t extent = rbc__fields_extent(&c->fields);
        assert_int_equal(rbc__fields_check(&c->fields, NULL), RBC_OK);
        assert_true(extent <= c->stride);
        for (size_t k = 0; k < sizeof counts / sizeof *counts; ++k) {
            const uint64_t count = counts[k];
            /* the last record ends with its last field */
            const size_t size = count > 0 ? (size_t)(c->stride * (count - 1) + extent) : 1;
            uint8_t *bytes = calloc(1, size);
            static float floats[MAX_POINTS * 4];
            static double doubles[MAX_POINTS * 4];
            assert_non_null(bytes);
            for (uint64_t p = 0; p < count; ++p) {
                memcpy(bytes + p * c->stride, c->record,
                       (size_t)(p + 1 < count ? c->stride : extent));
            }
            rbc__fields_read(&c->fields, bytes, c->stride, count, NULL, RBC__F32, floats);
            rbc__fields_read(&c->fields, bytes, c->stride, count, &half, RBC__F64, doubles);
            for (uint64_t v = 0; v < count * c->fields.count; ++v) {
                const double value = c->values[v % c->fields.count];
                assert_true((double)floats[v] == value);
                assert_true(doubles[v] == 0.5 * value + 10);
            }
            free(bytes);
        }
    }
}

/* Points that no one has seen are NaN, and stay so to the bit. */
static void nan_is_kept(void **state) {
    (void)state;
    const rbc__fields fields = {2, {{0, RBC__F32, false}, {4, RBC__F32, true}}};
    const uint8_t bytes[] = {1, 0, 0xa0, 0x7f, 0x7f, 0xc0, 0, 2};
    uint32_t out[2];
    double wide[2];
    rbc__fields_read(&fields, bytes, 8, 1, NULL, RBC__F32, out);
    assert_int_equal(out[0], 0x7fa00001);
    assert_int_equal(out[1], 0x7fc00002);
    rbc__fields_read(&fields, bytes, 8, 1, NULL, RBC__F64, wide);
    assert_true(isnan(wide[0]) && isnan(wide[1]));
}

static void what_cannot_be_is_an_error(void **state) {
    static const struct {
        rbc__fields fields;
        const char *message;
    } wrong[] = {
        {{0, {{0, 0, false}}}, "found 0 of them"},
        {{RBC__MAX_FIELDS + 1, {{0, 0, false}}}, "found 33 of them"},
        {{2, {{0, RBC__F32, false}, {0, RBC__BOOL, false}}},
         "field 1: found bool that begins at 0"},
        {{1, {{0, RBC__NUM_DTYPES, false}}}, "field 0: found no dtype"},
        {{1, {{RBC__MAX_FIELD_BYTES - 3, RBC__F32, false}}}, "begins at 65533"},
        {{1, {{UINT32_MAX, RBC__F64, false}}}, "begins at 4294967295"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        rbc_error err;
        assert_int_equal(rbc__fields_check(&wrong[i].fields, &err), RBC_ERROR_INVALID_ARGUMENT);
        if (strstr(err.message, wrong[i].message) == NULL) {
            fail_msg("case %zu: %s", i, err.message);
        }
    }
}

static void the_text_tells_fields_apart(void **state) {
    (void)state;
    char text[RBC__FIELDS_TEXT_BYTES];
    rbc__fields fields = {2, {{0, RBC__F32, false}, {4, RBC__U16, true}}};
    assert_string_equal(rbc__fields_text(&fields, text, sizeof text), "0 float32, 4 >uint16");
    fields.count = RBC__MAX_FIELDS;
    for (uint32_t i = 0; i < RBC__MAX_FIELDS; ++i) {
        fields.items[i] = (rbc__field){65000 + i, RBC__F16, true};
    }
    rbc__fields_text(&fields, text, sizeof text);
    assert_non_null(strstr(text, "65031 >float16")); /* the longest there is room for */
    assert_string_equal(rbc__fields_text(&fields, text, 9), "65000 >f");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_stored),
        cmocka_unit_test(nan_is_kept),
        cmocka_unit_test(what_cannot_be_is_an_error),
        cmocka_unit_test(the_text_tells_fields_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
