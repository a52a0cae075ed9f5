/* Packed blocks of other libraries, whole, cut short, with bytes left over and with bytes
 * changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vectors.h"

typedef struct fixture {
    vectors loaded;
    rbc__unpacker *unpacker;
} fixture;

static int setup(void **state) {
    static fixture made;
    rbc_error err;
    made.loaded = vectors_load();
    *state = &made;
    return rbc__unpacker_create(&made.unpacker, &err) != RBC_OK;
}

static int teardown(void **state) {
    fixture *made = *state;
    vectors_free(&made->loaded);
    rbc__unpacker_destroy(&made->unpacker);
    return made->unpacker != NULL;
}

static void whole_blocks_come_back(void **state) {
    const fixture *given = *state;
    for (size_t i = 0; i < given->loaded.count; ++i) {
        const vector *one = &given->loaded.items[i];
        rbc_error err = {0};
        uint8_t *dst = malloc(one->unpacked_bytes);
        rbc__unpacked found = {0};
        assert_int_equal(rbc__packing_check(&one->packing, &err), RBC_OK);
        if (rbc__unpack(given->unpacker, &one->packing, one->packed, one->packed_bytes, dst,
                        one->unpacked_bytes, &err) != RBC_OK) {
            fail_msg("%s of %zu bytes: %s", one->name, one->unpacked_bytes, err.message);
        }
        assert_memory_equal(dst, one->unpacked, one->unpacked_bytes);
        const size_t most[] = {one->unpacked_bytes, one->unpacked_bytes + 1, SIZE_MAX};
        for (size_t k = 0; k < sizeof most / sizeof *most; ++k) {
            if (rbc__unpack_unsized(given->unpacker, &one->packing, one->packed, one->packed_bytes,
                                    most[k], &found, &err) != RBC_OK) {
                fail_msg("%s of %zu bytes: %s", one->name, one->unpacked_bytes, err.message);
            }
            assert_int_equal(found.num_bytes, one->unpacked_bytes);
            assert_memory_equal(found.bytes, one->unpacked, one->unpacked_bytes);
        }
        free(dst);
    }
}

/* FORMAT, and a message that names the step, or both sizes where they alone tell. */
static void expect_damage(const vector *one, rbc_status status, const rbc_error *err) {
    if (status != RBC_ERROR_FORMAT) {
        fail_msg("%s of %zu bytes: status %d", one->name, one->unpacked_bytes, status);
    }
    if (strncmp(err->message, "packing step ", 13) != 0 &&
        strncmp(err->message, "packing of ", 11) != 0) {
        fail_msg("%s of %zu bytes: %s", one->name, one->unpacked_bytes, err->message);
    }
}

static void other_sizes_are_refused(void **state) {
    const fixture *given = *state;
    for (size_t i = 0; i < given->loaded.count; ++i) {
        const vector *one = &given->loaded.items[i];
        const size_t bytes = one->unpacked_bytes;
        const size_t wrong[] = {0, bytes / 2, bytes - 1, bytes + 1, 2 * bytes + 100};
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; ++k) {
            if (wrong[k] == bytes || wrong[k] == SIZE_MAX) {
                continue;
            }
            rbc_error err = {0};
            rbc__unpacked found;
            uint8_t *dst = malloc(wrong[k]);
            expect_damage(one,
                          rbc__unpack(given->unpacker, &one->packing, one->packed,
                                      one->packed_bytes, dst, wrong[k], &err),
                          &err);
            assert_non_null(strstr(err.message, "wanted"));
            if (wrong[k] < bytes) {
                expect_damage(one,
                              rbc__unpack_unsized(given->unpacker, &one->packing, one->packed,
                                                  one->packed_bytes, wrong[k], &found, &err),
                              &err);
                assert_non_null(strstr(err.message, "wanted at most"));
            }
            free(dst);
        }
    }
}

static void cut_blocks_are_refused(void **state) {
    const fixture *given = *state;
    for (size_t i = 0; i < given->loaded.count; ++i) {
        const vector *one = &given->loaded.items[i];
        uint8_t *dst = malloc(one->unpacked_bytes);
        const size_t stride = one->packed_bytes > 500 ? one->packed_bytes / 61 : 1;
        for (size_t bytes = 0; bytes < one->packed_bytes; bytes += stride) {
            if (strcmp(one->name, "gzip_padded") == 0 && bytes >= one->packed_bytes - 20) {
                break;
            }
            rbc_error err = {0};
            uint8_t *cut = malloc(bytes);
            memcpy(cut, one->packed, bytes);
            expect_damage(one,
                          rbc__unpack(given->unpacker, &one->packing, cut, bytes, dst,
                                      one->unpacked_bytes, &err),
                          &err);
            free(cut);
        }
        free(dst);
    }
}

static void bytes_left_over_are_refused(void **state) {
    const fixture *given = *state;
    for (size_t i = 0; i < given->loaded.count; ++i) {
        const vector *one = &given->loaded.items[i];
        uint8_t *dst = malloc(one->unpacked_bytes);
        for (size_t extra = 1; extra < 30; extra += 7) {
            rbc_error err = {0};
            uint8_t *longer = malloc(one->packed_bytes + extra);
            memcpy(longer, one->packed, one->packed_bytes);
            memset(longer + one->packed_bytes, 0x5A, extra);
            expect_damage(one,
                          rbc__unpack(given->unpacker, &one->packing, longer,
                                      one->packed_bytes + extra, dst, one->unpacked_bytes, &err),
                          &err);
            free(longer);
        }
        free(dst);
    }
}

static bool is_checked(const rbc__packing *packing) {
    const char *last = rbc__packing_name(packing->steps[packing->num_steps - 1].kind);
    return strcmp(last, "fletcher32") == 0 || strcmp(last, "crc32c") == 0;
}

/* Whether a changed byte shows depends on the step; checksums always see it. */
static void changed_bytes_do_no_harm(void **state) {
    const fixture *given = *state;
    for (size_t i = 0; i < given->loaded.count; ++i) {
        const vector *one = &given->loaded.items[i];
        uint8_t *dst = malloc(one->unpacked_bytes);
        const size_t stride = one->packed_bytes > 500 ? one->packed_bytes / 61 : 1;
        for (size_t at = 0; at < one->packed_bytes; at += stride) {
            const uint8_t flips[] = {0x01, 0x80, 0xFF};
            for (size_t k = 0; k < sizeof flips; ++k) {
                rbc_error err = {0};
                rbc__unpacked found;
                one->packed[at] ^= flips[k];
                const rbc_status status =
                    rbc__unpack(given->unpacker, &one->packing, one->packed, one->packed_bytes, dst,
                                one->unpacked_bytes, &err);
                rbc__unpack_unsized(given->unpacker, &one->packing, one->packed, one->packed_bytes,
                                    2 * one->unpacked_bytes, &found, &err);
                one->packed[at] ^= flips[k];
                if (status != RBC_OK || is_checked(&one->packing)) {
                    expect_damage(one, status, &err);
                }
            }
        }
        free(dst);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_blocks_come_back),   cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(cut_blocks_are_refused),   cmocka_unit_test(bytes_left_over_are_refused),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
