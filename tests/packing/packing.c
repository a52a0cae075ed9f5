/* Names, what a chain may be, and undoing what tests write themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "packing/packing.h"
#include "vectors.h"

static void names_go_both_ways(void **state) {
    (void)state;
    rbc_error err = {0};
    size_t num_known = 0;
    for (uint32_t kind = 0; kind < 1000; ++kind) {
        const char *name = rbc__packing_name(kind);
        rbc__packing_kind found;
        if (name != NULL) {
            assert_int_equal(rbc__packing_find(name, &found, &err), RBC_OK);
            assert_int_equal(found, kind);
            ++num_known;
        }
    }
    assert_in_range(num_known, 17, 100);
    assert_null(rbc__packing_name(0));
    assert_null(rbc__packing_name(UINT32_MAX));
    rbc__packing_kind found;
    assert_int_equal(rbc__packing_find("zfp", &found, &err), RBC_ERROR_UNSUPPORTED);
    assert_non_null(
        strstr(err.message, "packing 'zfp' is not known; wanted one of deflate, zlib, "));
    assert_non_null(strstr(err.message, ", fletcher32, crc32c"));
    assert_int_equal(rbc__packing_find("", &found, &err), RBC_ERROR_UNSUPPORTED);
}

static void chains_are_checked(void **state) {
    (void)state;
    static const struct {
        rbc__packing packing;
        rbc_status status;
        const char *message;
    } cases[] = {
        {{0}, RBC_OK, ""},
        {{1, {{RBC__PACKING_ZLIB, 0}}}, RBC_OK, ""},
        {{2, {{RBC__PACKING_SHUFFLE, UINT32_MAX}, {RBC__PACKING_ZLIB, 0}}}, RBC_OK, ""},
        {{9, {{RBC__PACKING_ZLIB, 0}}}, RBC_ERROR_FORMAT, "packing has 9 steps, wanted at most 8"},
        {{UINT32_MAX, {{0}}}, RBC_ERROR_FORMAT, "packing has 4294967295 steps, wanted at most 8"},
        {{1, {{0, 0}}}, RBC_ERROR_UNSUPPORTED, "packing step 1 of 1: kind 0 is not known"},
        {{2, {{RBC__PACKING_ZLIB, 0}, {1000, 0}}},
         RBC_ERROR_UNSUPPORTED,
         "packing step 2 of 2: kind 1000 is not known"},
        {{1, {{RBC__PACKING_ZLIB, 6}}},
         RBC_ERROR_FORMAT,
         "packing step 1 of 1, zlib: parameter 6 is none that it has"},
        {{1, {{RBC__PACKING_SHUFFLE, 0}}},
         RBC_ERROR_FORMAT,
         "packing step 1 of 1, shuffle: parameter 0 is none that it has"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        rbc_error err = {0};
        assert_int_equal(rbc__packing_check(&cases[i].packing, &err), cases[i].status);
        assert_string_equal(err.message, cases[i].message);
    }
}

static int make_unpacker(void **state) {
    rbc_error err;
    return rbc__unpacker_create((rbc__unpacker **)state, &err) != RBC_OK;
}

static int drop_unpacker(void **state) {
    rbc__unpacker_destroy((rbc__unpacker **)state);
    rbc__unpacker_destroy((rbc__unpacker **)state);
    return 0;
}

static void no_steps_are_a_copy(void **state) {
    const rbc__packing none = {0};
    const uint8_t packed[] = {1, 2, 3};
    uint8_t dst[3] = {0};
    rbc__unpacked found;
    rbc_error err = {0};
    assert_int_equal(rbc__unpack(*state, &none, packed, 3, dst, 3, &err), RBC_OK);
    assert_memory_equal(dst, packed, 3);
    assert_int_equal(rbc__unpack(*state, &none, packed, 3, dst, 2, &err), RBC_ERROR_FORMAT);
    assert_string_equal(err.message, "block that is not packed has 3 bytes, wanted 2");
    assert_int_equal(rbc__unpack(*state, &none, NULL, 0, NULL, 0, &err), RBC_OK);
    assert_int_equal(rbc__unpack_unsized(*state, &none, packed, 3, 3, &found, &err), RBC_OK);
    assert_ptr_equal(found.bytes, packed);
    assert_int_equal(rbc__unpack_unsized(*state, &none, packed, 3, 2, &found, &err),
                     RBC_ERROR_FORMAT);
    assert_int_equal(rbc__unpacker_bytes(*state), 0);
}

/* Each width against the definition; bytes behind the last whole element stay. */
static void shuffles_of_any_width(void **state) {
    enum { MOST = 5000 };
    static const size_t widths[] = {1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 100, 4999, 5000, 5001};
    static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 255, 1000, 1001, 4096, 5000};
    uint8_t plain[MOST];
    fill_noise(plain, sizeof plain);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; ++w) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
            const size_t count = sizes[s] / widths[w];
            uint8_t *packed = malloc(sizes[s]);
            uint8_t *dst = malloc(sizes[s]);
            memcpy(packed, plain, sizes[s]);
            for (size_t i = 0; i < count; ++i) {
                for (size_t j = 0; j < widths[w]; ++j) {
                    packed[j * count + i] = plain[i * widths[w] + j];
                }
            }
            rbc_error err = {0};
            const rbc__packing packing = {1, {{RBC__PACKING_SHUFFLE, (uint32_t)widths[w]}}};
            assert_int_equal(rbc__unpack(*state, &packing, packed, sizes[s], dst, sizes[s], &err),
                             RBC_OK);
            assert_memory_equal(dst, plain, sizes[s]);
            free(packed);
            free(dst);
        }
    }
}

/* HDF5 before 1.6.3 wrote the halves of fletcher32 with their bytes swapped. */
static void early_fletcher32_is_taken(void **state) {
    const rbc__packing packing = {1, {{RBC__PACKING_FLETCHER32, 0}}};
    const uint8_t late[] = {1, 2, 3, 0x02, 0x04, 0x04, 0x05};
    const uint8_t early[] = {1, 2, 3, 0x04, 0x02, 0x05, 0x04};
    const uint8_t neither[] = {1, 2, 3, 0x04, 0x02, 0x04, 0x05};
    uint8_t dst[3];
    rbc_error err = {0};
    assert_int_equal(rbc__unpack(*state, &packing, late, 7, dst, 3, &err), RBC_OK);
    assert_memory_equal(dst, late, 3);
    assert_int_equal(rbc__unpack(*state, &packing, early, 7, dst, 3, &err), RBC_OK);
    assert_int_equal(rbc__unpack(*state, &packing, neither, 7, dst, 3, &err), RBC_ERROR_FORMAT);
    assert_string_equal(err.message,
                        "packing step 1 of 1, fletcher32: the sum of 3 bytes is 05040402, wanted "
                        "05040204 as stored behind them");
}

static void bitshuffle_has_two_numbers(void **state) {
    (void)state;
    assert_int_equal(rbc__packing_bitshuffle(4, 0), 4);
    assert_int_equal(rbc__packing_bitshuffle(65535, 524280), UINT32_MAX);
    static const uint32_t none[][2] = {{0, 0}, {0, 8}, {65536, 0}, {4, 7}, {4, 524288}};
    for (size_t i = 0; i < sizeof none / sizeof *none; ++i) {
        assert_int_equal(rbc__packing_bitshuffle(none[i][0], none[i][1]), 0);
    }
    rbc_error err;
    const rbc__packing packing = {1, {{RBC__PACKING_BITSHUFFLE, 8 << 16}}};
    assert_int_equal(rbc__packing_check(&packing, &err), RBC_ERROR_FORMAT);
}

/* Each width against the definition, in blocks of 16 elements and as many as HDF5 takes. */
static void bitshuffles_of_any_width(void **state) {
    enum { MOST = 20000 };
    static const size_t widths[] = {1, 2, 3, 4, 8, 12, 16, 17, 100, 1000};
    static const size_t sizes[] = {0, 1, 7, 8, 100, 1000, 4099, 20000};
    static uint8_t plain[MOST];
    fill_noise(plain, sizeof plain);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; ++w) {
        for (size_t s = 0; s < 2 * sizeof sizes / sizeof *sizes; ++s) {
            const size_t width = widths[w];
            const size_t bytes = sizes[s / 2];
            const size_t usual = 8192 / width / 8 * 8;
            const size_t block = s % 2 == 1 ? 16 : usual > 128 ? usual : 128;
            uint8_t *packed = malloc(bytes);
            uint8_t *dst = malloc(bytes);
            memcpy(packed, plain, bytes);
            const size_t whole = bytes / width / 8 * 8;
            for (size_t begin = 0; begin < whole; begin += block) {
                const size_t count = whole - begin < block ? whole - begin : block;
                uint8_t *bits = packed + begin * width;
                memset(bits, 0, count * width);
                for (size_t bit = 0; bit < count * width * 8; ++bit) {
                    const size_t element = bit % count;
                    const size_t of_element = bit / count;
                    const uint8_t byte = plain[(begin + element) * width + of_element / 8];
                    bits[bit / 8] |= (uint8_t)((byte >> of_element % 8 & 1) << bit % 8);
                }
            }
            rbc_error err = {0};
            const rbc__packing packing = {
                1,
                {{RBC__PACKING_BITSHUFFLE,
                  rbc__packing_bitshuffle((uint32_t)width, s % 2 == 1 ? 16 : 0)}}};
            assert_int_equal(rbc__unpack(*state, &packing, packed, bytes, dst, bytes, &err),
                             RBC_OK);
            assert_memory_equal(dst, plain, bytes);
            free(packed);
            free(dst);
        }
    }
}

/* Threads of c-blosc put blocks down as they are done. */
static void blocks_of_blosc_lie_in_any_order(void **state) {
    static const uint8_t packed[] = {2, 1, 0x30, 1,   6, 0, 0, 0,  4,   0,   0,   0,  38,
                                     0, 0, 0,    30,  0, 0, 0, 24, 0,   0,   0,   2,  0,
                                     0, 0, 'e',  'f', 4, 0, 0, 0,  'a', 'b', 'c', 'd'};
    const rbc__packing packing = {1, {{RBC__PACKING_BLOSC, 0}}};
    uint8_t dst[6];
    rbc_error err = {0};
    assert_int_equal(rbc__unpack(*state, &packing, packed, sizeof packed, dst, 6, &err), RBC_OK);
    assert_memory_equal(dst, "abcdef", 6);
}

/* A chunk of Blosc in one block: 2 bytes, 9,000 times the second, 5 from 9,002 bytes before, one
 * more. */
static void blosclz_repeats_from_afar(void **state) {
    enum { HEADER = 24, BYTES = 9008, LENGTH = 9000 - 7 - 2 };
    uint8_t packed[HEADER + 100] = {2,          1, 0x10, 1,           BYTES & 255,
                                    BYTES >> 8, 0, 0,    BYTES & 255, BYTES >> 8};
    uint8_t wanted[BYTES];
    uint8_t dst[BYTES];
    memset(wanted, 'y', BYTES);
    wanted[0] = wanted[9002] = 'x';
    wanted[9007] = 'z';
    size_t at = HEADER;
    packed[at++] = 1;
    packed[at++] = 'x';
    packed[at++] = 'y';
    packed[at++] = 7 << 5;
    for (int i = 0; i < LENGTH / 255; ++i) {
        packed[at++] = 255;
    }
    packed[at++] = LENGTH % 255;
    packed[at++] = 0;
    packed[at++] = 3 << 5 | 31;
    packed[at++] = 255;
    packed[at++] = (9002 - 8192) >> 8;
    packed[at++] = (9002 - 8192) & 255;
    packed[at++] = 0;
    packed[at++] = 'z';
    packed[12] = (uint8_t)at;
    packed[16] = HEADER - 4;
    packed[20] = (uint8_t)(at - HEADER);
    const rbc__packing packing = {1, {{RBC__PACKING_BLOSC, 0}}};
    rbc_error err = {0};
    assert_int_equal(rbc__unpack(*state, &packing, packed, at, dst, BYTES, &err), RBC_OK);
    assert_memory_equal(dst, wanted, BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(chains_are_checked),
        cmocka_unit_test_setup_teardown(no_steps_are_a_copy, make_unpacker, drop_unpacker),
        cmocka_unit_test_setup_teardown(shuffles_of_any_width, make_unpacker, drop_unpacker),
        cmocka_unit_test_setup_teardown(blocks_of_blosc_lie_in_any_order, make_unpacker,
                                        drop_unpacker),
        cmocka_unit_test_setup_teardown(blosclz_repeats_from_afar, make_unpacker, drop_unpacker),
        cmocka_unit_test(bitshuffle_has_two_numbers),
        cmocka_unit_test_setup_teardown(bitshuffles_of_any_width, make_unpacker, drop_unpacker),
        cmocka_unit_test_setup_teardown(early_fletcher32_is_taken, make_unpacker, drop_unpacker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
