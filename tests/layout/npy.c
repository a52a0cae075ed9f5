/* .npy files: those that NumPy wrote, and headers made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/npy.h"
#include "layout/values.h"

/* ---- NumPy's own ---- */

typedef struct vector {
    char name[32], dtype[16];
    int is_swapped, is_fortran;
    size_t num_bytes;
    int32_t ndim;
    int64_t shape[4];
    uint8_t *bytes; /* of their very size */
} vector;

static bool read_vector(FILE *file, vector *out) {
    char line[256];
    int used = 0;
    if (fgets(line, sizeof line, file) == NULL) {
        return false;
    }
    assert_int_equal(sscanf(line, "%31s %15s %d %d %zu %d%n", out->name, out->dtype,
                            &out->is_swapped, &out->is_fortran, &out->num_bytes, &out->ndim, &used),
                     6);
    char *at = line + used;
    assert_true(out->ndim <= 4);
    for (int32_t i = 0; i < out->ndim; ++i) {
        out->shape[i] = strtoll(at, &at, 10);
    }
    out->bytes = malloc(out->num_bytes);
    assert_non_null(out->bytes);
    assert_int_equal(fread(out->bytes, 1, out->num_bytes, file), out->num_bytes);
    return true;
}

/* Element `i` of what make_npy_vectors.py has put there. */
static double element(const vector *from, const rbc__npy *npy, int64_t i) {
    uint8_t value[8];
    int64_t misfit;
    const size_t size = (size_t)rbc__dtype_bytes(npy->dtype);
    assert_int_equal(rbc__values_read(npy->is_swapped ? RBC__ENCODING_SWAPPED : RBC__ENCODING_PLAIN,
                                      npy->dtype, from->bytes + npy->offset + (size_t)i * size,
                                      size, 1, true, npy->dtype, value, &misfit),
                     RBC__VALUES_OK);
    switch (npy->dtype) {
    case RBC__F16: { /* small whole numbers */
        uint16_t bits;
        memcpy(&bits, value, 2);
        return bits == 0 ? 0
                         : (double)((bits & 0x3ff) | 0x400) / 1024 *
                               (double)(INT64_C(1) << ((bits >> 10) - 15));
    }
    case RBC__F32: {
        float number;
        memcpy(&number, value, 4);
        return (double)number;
    }
    case RBC__F64: {
        double number;
        memcpy(&number, value, 8);
        return number;
    }
    default: { /* none is negative */
        uint64_t number = 0;
        memcpy(&number, value, size);
        return (double)number;
    }
    }
}

static void check_good(const vector *wanted) {
    rbc__npy npy;
    rbc_error err;
    if (rbc__npy_parse(wanted->bytes, wanted->num_bytes, &npy, &err) != RBC_OK) {
        fail_msg("%s: %s", wanted->name, err.message);
    }
    assert_string_equal(rbc__dtype_name(npy.dtype), wanted->dtype);
    assert_int_equal(npy.is_swapped, wanted->is_swapped);
    assert_int_equal(npy.is_fortran, wanted->is_fortran);
    assert_int_equal(npy.ndim, wanted->ndim);
    int64_t elements = 1;
    for (int32_t i = 0; i < npy.ndim; ++i) {
        assert_int_equal(npy.shape[i], wanted->shape[i]);
        elements *= wanted->shape[i];
    }
    assert_int_equal(npy.bytes, elements * rbc__dtype_bytes(npy.dtype));
    assert_int_equal(npy.offset + npy.bytes, wanted->num_bytes);
    for (int64_t i = 0; i < elements; ++i) {
        const int64_t number = i * 7 % 100;
        assert_true(element(wanted, &npy, i) ==
                    (double)(npy.dtype == RBC__BOOL ? number % 2 : number));
    }
    const rbc_status status = rbc__npy_check(&npy, npy.dtype, npy.ndim, wanted->shape, &err);
    assert_int_equal(status, wanted->is_fortran ? RBC_ERROR_FORMAT : RBC_OK);
    assert_true(status == RBC_OK || strstr(err.message, "in Fortran order") != NULL);
    /* cut short anywhere */
    for (size_t bytes = 0; bytes < wanted->num_bytes; ++bytes) {
        uint8_t *cut = malloc(bytes + 1);
        assert_non_null(cut);
        memcpy(cut, wanted->bytes, bytes);
        assert_int_equal(rbc__npy_parse(cut, bytes, &npy, NULL), RBC_ERROR_FORMAT);
        free(cut);
    }
}

static void files_that_numpy_wrote(void **state) {
    (void)state;
    FILE *file = fopen(RBC_SOURCE_DIR "/tests/layout/npy_vectors.bin", "rb");
    vector wanted;
    int good = 0;
    int others = 0;
    assert_non_null(file);
    while (read_vector(file, &wanted)) {
        rbc__npy npy;
        rbc_error err;
        if (wanted.dtype[0] != '-') {
            check_good(&wanted);
            ++good;
        } else {
            assert_int_equal(rbc__npy_parse(wanted.bytes, wanted.num_bytes, &npy, &err),
                             RBC_ERROR_UNSUPPORTED);
            assert_non_null(strstr(err.message, "a .npy array of "));
            ++others;
        }
        free(wanted.bytes);
    }
    fclose(file);
    assert_int_equal(good, 12 * 2 * 7 * 2);
    assert_int_equal(others, 10);
}

/* ---- by hand ---- */

static rbc_status parse_text(int version, const char *text, size_t value_bytes, rbc__npy *out,
                             rbc_error *err) {
    const size_t length = strlen(text);
    const size_t width = version == 1 ? 2 : 4;
    const size_t bytes = 8 + width + length + value_bytes;
    uint8_t *data = calloc(1, bytes);
    assert_non_null(data);
    memcpy(data, "\x93NUMPY", 6);
    data[6] = (uint8_t)version;
    for (size_t i = 0; i < width; ++i) {
        data[8 + i] = (uint8_t)(length >> (8 * i));
    }
    memcpy(data + 8 + width, text, length);
    const rbc_status status = rbc__npy_parse(data, bytes, out, err);
    free(data);
    return status;
}

static void headers_by_hand(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t value_bytes;
        rbc_status status;
        const char *part;
    } cases[] = {
        /* as others write them */
        {"{'descr':'<f4','fortran_order':False,'shape':(2,)}", 8, RBC_OK, NULL},
        {"{\"shape\": (2, 3L), \"fortran_order\": False, \"descr\": \"=i2\"}\n", 12, RBC_OK, NULL},
        {"{'descr': 'f4', 'fortran_order': False, 'shape': (2), }", 8, RBC_OK, NULL},
        {"{'descr': '|b1', 'fortran_order': True, 'shape': (), }", 1, RBC_OK, NULL},
        {"{'descr': '>u1', 'fortran_order': False, 'shape': (3,), }   \n", 9, RBC_OK, NULL},
        /* cut short, or more than memory has */
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, RBC_ERROR_FORMAT,
         "cut off: 7 bytes, wanted 8"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,), }", 8,
         RBC_ERROR_FORMAT, "larger than"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 8,
         RBC_ERROR_FORMAT, "larger than"},
        /* damaged */
        {"", 0, RBC_ERROR_FORMAT, "damaged"},
        {"{}", 0, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False}", 0, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'shape': ()}", 4, RBC_ERROR_FORMAT, "damaged"},
        {"{'fortran_order': False, 'shape': ()}", 4, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '', 'fortran_order': False, 'shape': ()}", 4, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': None, 'shape': ()}", 4, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, RBC_ERROR_FORMAT,
         "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", 8, RBC_ERROR_FORMAT,
         "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", 8, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 8,
         RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}", 8,
         RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}", 8, RBC_ERROR_FORMAT,
         "damaged"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}", 8, RBC_ERROR_FORMAT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", 8, RBC_ERROR_FORMAT, "damaged"},
        /* of no dtype of ours */
        {"{'descr': '<V2', 'fortran_order': False, 'shape': (1,), }", 2, RBC_ERROR_UNSUPPORTED,
         "dtype '<V2'"},
        {"{'descr': 'f16', 'fortran_order': False, 'shape': (1,), }", 16, RBC_ERROR_UNSUPPORTED,
         "dtype 'f16'"},
        {"{'descr': '<', 'fortran_order': False, 'shape': (1,), }", 16, RBC_ERROR_UNSUPPORTED,
         "dtype '<'"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4,
         RBC_ERROR_UNSUPPORTED, "records"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        for (int version = 1; version <= 3; ++version) {
            rbc__npy npy;
            rbc_error err = {0};
            const rbc_status status =
                parse_text(version, cases[i].text, cases[i].value_bytes, &npy, &err);
            if (status != cases[i].status ||
                (status != RBC_OK && strstr(err.message, cases[i].part) == NULL)) {
                fail_msg("%s: status %d, %s", cases[i].text, (int)status, err.message);
            }
        }
    }
    rbc__npy npy;
    assert_int_equal(parse_text(1, cases[4].text, 9, &npy, NULL), RBC_OK);
    assert_false(npy.is_swapped); /* a byte has no order */
}

static void shapes_of_many_axes(void **state) {
    (void)state;
    char text[256] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    rbc__npy npy;
    rbc_error err;
    const size_t begin = strlen(text);
    for (int ndim = 1; ndim <= RBC__NPY_MAX_DIMS + 1; ++ndim) {
        memcpy(text + begin + 2 * (size_t)(ndim - 1), "1,", 3);
        char whole[300];
        (void)snprintf(whole, sizeof whole, "%s)}", text);
        const bool is_good = ndim <= RBC__NPY_MAX_DIMS;
        assert_int_equal(parse_text(1, whole, 4, &npy, &err), is_good ? RBC_OK : RBC_ERROR_FORMAT);
        assert_true(!is_good || npy.ndim == ndim);
    }
}

static void what_is_no_npy_file(void **state) {
    (void)state;
    static const char *const cases[] = {"", "\x93NUMPY", "\x93NUMPX\x01\x00\x02\x00{}",
                                        "\x93NUMPY\x04\x00\x02\x00\x00\x00{}",
                                        "PK\x03\x04 a zip file"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__npy npy;
        rbc_error err;
        assert_int_equal(rbc__npy_parse((const uint8_t *)cases[i], strlen(cases[i]), &npy, &err),
                         RBC_ERROR_FORMAT);
        assert_ptr_equal(strstr(err.message, "no .npy array"), err.message);
    }
    rbc__npy npy;
    rbc_error err;
    assert_int_equal(
        rbc__npy_parse((const uint8_t *)"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14, &npy, &err),
        RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "cut off: 4294967295 bytes of 14"));
}

static void samples_are_held_to_their_stream(void **state) {
    (void)state;
    rbc__npy npy;
    rbc_error err;
    const int64_t shape[2] = {2, 3};
    const int64_t turned[2] = {3, 2};
    const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    assert_int_equal(parse_text(1, text, 24, &npy, NULL), RBC_OK);
    assert_int_equal(rbc__npy_check(&npy, RBC__F32, 2, shape, NULL), RBC_OK);
    assert_int_equal(rbc__npy_check(&npy, RBC__F32, 2, turned, &err), RBC_ERROR_FORMAT);
    assert_string_equal(err.message, "a .npy array of float32 [2, 3], wanted is float32 [3, 2]");
    assert_int_equal(rbc__npy_check(&npy, RBC__F64, 2, shape, &err), RBC_ERROR_FORMAT);
    assert_int_equal(rbc__npy_check(&npy, RBC__F32, 1, shape, &err), RBC_ERROR_FORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_numpy_wrote),
        cmocka_unit_test(headers_by_hand),
        cmocka_unit_test(shapes_of_many_axes),
        cmocka_unit_test(what_is_no_npy_file),
        cmocka_unit_test(samples_are_held_to_their_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
