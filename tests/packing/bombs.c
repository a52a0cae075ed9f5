/* Few bytes that say they are many are refused before memory is taken for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "packing/packing.h"
#include "vectors.h"

#define MAX_BYTES 1000000

typedef struct bomb {
    rbc__packing_step step;
    uint64_t declared;
    size_t packed_bytes;
    uint8_t packed[40];
} bomb;

static const bomb bombs[] = {
    {{RBC__PACKING_LZ4_BLOCK, 4}, 4294967295, 6, {0xFF, 0xFF, 0xFF, 0xFF, 0x10, 0x41}},
    {{RBC__PACKING_LZ4_HDF5, 0}, UINT64_C(1) << 63, 17, {0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
    {{RBC__PACKING_LZ4_HDF5, 0},
     UINT64_MAX,
     12,
     "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"},
    /* One segment, 8 bytes of its size, one run of 131,072 zeros. */
    {{RBC__PACKING_ZSTD, 0},
     UINT64_C(1) << 62,
     17,
     {0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x03, 0x00, 0x10, 0}},
    {{RBC__PACKING_SNAPPY, 0}, 4294967295, 7, {0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x00, 0x41}},
    {{RBC__PACKING_BLOSC, 0}, 4294967295, 28, {2,    1,    0x31, 4,    0xFF, 0xFF, 0xFF,
                                               0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 28,   0,
                                               0,    0,    20,   0,    0,    0}},
    {{RBC__PACKING_BITSHUFFLE_LZ4, 4},
     UINT64_C(1) << 40,
     20,
     {0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 4}},
    {{RBC__PACKING_BITSHUFFLE_ZSTD, 1},
     UINT64_C(1) << 40,
     20,
     {0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 4}},
};

static void expect(rbc_status status, const rbc_error *err, const char *format, uint64_t number) {
    char text[96];
    snprintf(text, sizeof text, format, (unsigned long long)number);
    if (status != RBC_ERROR_FORMAT || strstr(err->message, text) == NULL) {
        fail_msg("status %d: %s; wanted %s", status, err->message, text);
    }
}

static void declared_sizes_are_compared_first(void **state) {
    (void)state;
    static uint8_t dst[1000];
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; ++i) {
        const bomb *one = &bombs[i];
        const rbc__packing packing = {1, {one->step}};
        rbc__unpacker *unpacker;
        rbc__unpacked found;
        rbc_error err = {0};
        assert_int_equal(rbc__packing_check(&packing, &err), RBC_OK);
        assert_int_equal(rbc__unpacker_create(&unpacker, &err), RBC_OK);
        const size_t most[] = {MAX_BYTES, SIZE_MAX};
        for (size_t k = 0; k < 2; ++k) {
            const rbc_status status = rbc__unpack_unsized(unpacker, &packing, one->packed,
                                                          one->packed_bytes, most[k], &found, &err);
            expect(status, &err, "declares %llu bytes", one->declared);
            expect(status, &err, k == 0 ? "wanted at most 1000000" : "wanted at most ", 0);
        }
        const rbc_status status =
            rbc__unpack(unpacker, &packing, one->packed, one->packed_bytes, dst, 100, &err);
        expect(status, &err, "declares %llu bytes, wanted 100", one->declared);
        expect(rbc__packing_check_growth(&packing, one->packed_bytes, (size_t)one->declared, &err),
               &err, "wanted %llu", one->declared);
        assert_int_equal(rbc__unpacker_bytes(unpacker), 0);
        rbc__unpacker_destroy(&unpacker);
    }
}

/* Of no kind do 100 bytes give 4 GB: that is told before anything is written. */
static void no_kind_grows_without_bound(void **state) {
    (void)state;
    static const uint8_t packed[100];
    rbc__unpacker *unpacker;
    rbc_error err = {0};
    assert_int_equal(rbc__unpacker_create(&unpacker, &err), RBC_OK);
    for (uint32_t kind = 0; kind < 1000; ++kind) {
        if (rbc__packing_name(kind) == NULL) {
            continue;
        }
        rbc__packing packing = {1, {{kind, 0}}};
        packing.steps[0].parameter = rbc__packing_check(&packing, &err) == RBC_OK ? 0 : 1;
        assert_int_equal(rbc__packing_check(&packing, &err), RBC_OK);
        assert_int_equal(rbc__packing_check_growth(&packing, 100, 100, &err), RBC_OK);
        expect(rbc__unpack(unpacker, &packing, packed, 100, NULL, (size_t)1 << 32, &err), &err,
               "packing of 100 bytes gives ", 0);
        expect(rbc__packing_check_growth(&packing, 0, 1, &err), &err,
               "packing of 0 bytes gives 0 at most, whatever they are; wanted 1", 0);
    }
    rbc__unpacker_destroy(&unpacker);
}

/* What does not say how much it gives is unpacked as far as it may. */
static void no_more_is_taken_than_allowed(void **state) {
    (void)state;
    vectors loaded = vectors_load();
    for (size_t i = 0; i < loaded.count; ++i) {
        const vector *one = &loaded.items[i];
        if (one->unpacked_bytes < 100000) {
            continue;
        }
        rbc__unpacker *unpacker;
        rbc__unpacked found;
        rbc_error err = {0};
        assert_int_equal(rbc__unpacker_create(&unpacker, &err), RBC_OK);
        expect(rbc__unpack_unsized(unpacker, &one->packing, one->packed, one->packed_bytes, 99999,
                                   &found, &err),
               &err, "wanted at most %llu", 99999);
        assert_in_range(rbc__unpacker_bytes(unpacker), 0, 99999);
        rbc__unpacker_destroy(&unpacker);
    }
    vectors_free(&loaded);
}

/* Whatever the sizes between steps may become, scratch stays near what is wanted. */
static void scratch_between_steps_is_bounded(void **state) {
    (void)state;
    vectors loaded = vectors_load();
    for (size_t i = 0; i < loaded.count; ++i) {
        const vector *one = &loaded.items[i];
        rbc__unpacker *unpacker;
        rbc_error err = {0};
        uint8_t dst[1];
        assert_int_equal(rbc__unpacker_create(&unpacker, &err), RBC_OK);
        const rbc_status status =
            rbc__unpack(unpacker, &one->packing, one->packed, one->packed_bytes, dst, 1, &err);
        assert_true(one->unpacked_bytes == 1 || status == RBC_ERROR_FORMAT);
        assert_in_range(rbc__unpacker_bytes(unpacker), 0, 1500000);
        rbc__unpacker_destroy(&unpacker);
    }
    vectors_free(&loaded);
}

/* A chunk of nothing, in blocks of 4 GB. */
static void empty_chunks_take_no_memory(void **state) {
    (void)state;
    static const uint8_t packed[] = {2,    1,    0x31, 4,    0,  0, 0, 0,
                                     0xF0, 0xFF, 0xFF, 0xFF, 16, 0, 0, 0};
    const rbc__packing packing = {1, {{RBC__PACKING_BLOSC, 0}}};
    rbc__unpacker *unpacker;
    rbc_error err = {0};
    assert_int_equal(rbc__unpacker_create(&unpacker, &err), RBC_OK);
    assert_int_equal(rbc__unpack(unpacker, &packing, packed, sizeof packed, NULL, 0, &err), RBC_OK);
    assert_int_equal(rbc__unpacker_bytes(unpacker), 0);
    rbc__unpacker_destroy(&unpacker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declared_sizes_are_compared_first),
        cmocka_unit_test(no_kind_grows_without_bound),
        cmocka_unit_test(no_more_is_taken_than_allowed),
        cmocka_unit_test(scratch_between_steps_is_bounded),
        cmocka_unit_test(empty_chunks_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
