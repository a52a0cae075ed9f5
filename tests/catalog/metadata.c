/* Metadata of a group of episodes: put, packed, and got back; damaged. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "catalog/metadata.h"

static const char *const texts[] = {
    "{\"id\":1}", NULL, "{\"path\":\"\xc3\xa4/b\"}",
    "{}",         NULL, "{\"list\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]}"};
enum { COUNT = sizeof texts / sizeof texts[0] };

static void pack(rbc__bytes *packed) {
    rbc__bytes group = {0};
    for (int i = 0; i < COUNT; ++i) {
        rbc__metadata_put(&group, texts[i]);
    }
    assert_int_equal(rbc__metadata_pack(&group, packed, NULL), RBC_OK);
    rbc__bytes_free(&group);
}

/* One text of a packed group; malloc'ed, with its NUL. */
static rbc_status get(const uint8_t *packed, size_t packed_bytes, int64_t index, char **json,
                      rbc_error *err) {
    uint8_t *group;
    uint64_t bytes;
    const char *text = NULL;
    size_t length = 0;
    *json = NULL;
    rbc_status status = rbc__metadata_unpack(packed, packed_bytes, &group, &bytes, err);
    if (status == RBC_OK) {
        status = rbc__metadata_find(group, bytes, index, &text, &length, err);
    }
    if (status == RBC_OK) {
        *json = strndup(text, length);
        assert_non_null(*json);
    }
    free(group);
    return status;
}

static void texts_are_got_back(void **state) {
    (void)state;
    rbc__bytes packed = {0};
    rbc_error err;
    char *json;
    pack(&packed);
    for (int64_t i = 0; i < COUNT; ++i) {
        assert_int_equal(get(packed.data, packed.size, i, &json, NULL), RBC_OK);
        assert_string_equal(json, texts[i] != NULL ? texts[i] : "{}");
        free(json);
    }
    assert_int_equal(get(packed.data, packed.size, COUNT, &json, &err), RBC_ERROR_FORMAT);
    assert_null(json);
    assert_non_null(strstr(err.message, "damaged"));
    rbc__bytes_free(&packed);
}

static void damage_is_found(void **state) {
    (void)state;
    rbc__bytes packed = {0};
    char *json;
    pack(&packed);
    for (size_t bytes = 0; bytes < packed.size; ++bytes) {
        uint8_t *cut = malloc(bytes + 1);
        assert_non_null(cut);
        memcpy(cut, packed.data, bytes);
        assert_int_equal(get(cut, bytes, 0, &json, NULL), RBC_ERROR_FORMAT);
        free(cut);
    }
    for (size_t i = 0; i < packed.size * 8; ++i) {
        packed.data[i / 8] ^= (uint8_t)(1 << i % 8);
        if (get(packed.data, packed.size, COUNT - 1, &json, NULL) == RBC_OK) {
            assert_string_equal(json, texts[COUNT - 1]); /* no more than a flag of the header */
            free(json);
        }
        packed.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    rbc__bytes_free(&packed);
}

/* More than would be read back is refused when it is written. */
static void groups_without_end_are_refused(void **state) {
    (void)state;
    const size_t bytes = ((size_t)256 << 20) + 1;
    rbc__bytes group = {.data = malloc(1), .size = bytes, .capacity = bytes};
    rbc__bytes packed = {0};
    rbc_error err;
    assert_non_null(group.data);
    assert_int_equal(rbc__metadata_pack(&group, &packed, &err), RBC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "268435457 bytes"));
    free(group.data);
    rbc__bytes_free(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_got_back),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(groups_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
