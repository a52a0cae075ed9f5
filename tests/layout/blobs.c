/* Names of blobs: patterns, sizes, paths that lead out of the folder, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/blobs.h"

static rbc__blobs *parse(const rbc__bytes *encoded) {
    rbc__blobs *blobs = NULL;
    rbc_error err;
    /* of the very size, so that the sanitizers see its end; and gone once it is parsed */
    uint8_t *copy = malloc(encoded->size + 1);
    assert_non_null(copy);
    memcpy(copy, encoded->data, encoded->size);
    if (rbc__blobs_parse(copy, encoded->size, "part 3", &blobs, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    memset(copy, 0xEE, encoded->size);
    free(copy);
    return blobs;
}

static void assert_path(const rbc__blobs *blobs, uint32_t number, const char *wanted,
                        int64_t wanted_size) {
    char *path;
    int64_t size;
    assert_int_equal(rbc__blobs_path(blobs, number, &path, &size, NULL), RBC_OK);
    assert_string_equal(path, wanted);
    assert_int_equal(size, wanted_size);
    free(path);
}

static void names_are_made_of_patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        int64_t first, count;
        uint32_t number;
        const char *path;
    } cases[] = {
        {"video.mp4", 0, 1, 1, "video.mp4"},
        {"video.mp4", 999, 1, 1, "video.mp4"},
        {"{}", 0, 3, 3, "2"},
        {"a/{}/b", 98, 5, 3, "a/100/b"},
        {"data/episode_{:06}.parquet", 7, 10, 1, "data/episode_000007.parquet"},
        {"{:03}", 998, 5, 4, "1001"},
        {"{:020}", 1, 1, 1, "00000000000000000001"},
        {"{{{}}}", 4, 2, 2, "{5}"},
        {"a{{}}b", 4, 1, 1, "a{}b"},
        {"{}-{:02}-{}", 3, 1, 1, "3-03-3"},
        {"..a/.b/c..", 0, 1, 1, "..a/.b/c.."},
        {"\xc3\xa4 b", 0, 1, 1, "\xc3\xa4 b"},
        {"{}", 0, INT32_MAX - 1, INT32_MAX - 1, "2147483645"},
        {"{}", INT64_MAX - 3, 3, 3, "9223372036854775806"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const rbc__blob_group group = {cases[i].pattern, cases[i].first, cases[i].count, NULL};
        rbc__bytes encoded = {0};
        rbc_error err;
        if (rbc__blob_group_check(&group, &err) != RBC_OK) {
            fail_msg("%s", err.message);
        }
        rbc__blob_group_encode(&group, &encoded);
        rbc__blobs *blobs = parse(&encoded);
        assert_int_equal(rbc__blobs_count(blobs), cases[i].count);
        assert_path(blobs, cases[i].number, cases[i].path, -1);
        free(blobs);
        rbc__bytes_free(&encoded);
    }
}

/* Refused when they are added, and when a catalog has them. */
static void patterns_that_are_none(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        int64_t first, count;
    } cases[] = {
        {"", 0, 1},
        {"/etc/passwd", 0, 1},
        {"..", 0, 1},
        {"a/..", 0, 1},
        {"../a", 0, 1},
        {"a/../../b", 0, 1},
        {"a//b", 0, 1},
        {"a/", 0, 1},
        {".", 0, 1},
        {"./a", 0, 1},
        {"a/./b", 0, 1},
        {"{", 0, 1},
        {"}", 0, 1},
        {"{x}", 0, 1},
        {"{:7}", 0, 1},
        {"{:0}", 0, 1},
        {"{:00}", 0, 1},
        {"{:021}", 0, 1},
        {"{:0999999999999}", 0, 1},
        {"{:06", 0, 1},
        {"{} {", 0, 1},
        {"a", 0, 2},
        {"a{{}}", 0, 2},
        {"{}", -1, 1},
        {"{}", 0, -1},
        {"{}", 0, INT32_MAX},
        {"{}", INT64_MAX, 1},
        {NULL, 0, 1},
        {NULL, 0, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const rbc__blob_group group = {cases[i].pattern, cases[i].first, cases[i].count, NULL};
        rbc_error err;
        assert_int_equal(rbc__blob_group_check(&group, &err), RBC_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "wanted"));
        if (cases[i].pattern == NULL) {
            continue;
        }
        rbc__bytes encoded = {0};
        rbc__blobs *blobs;
        rbc__blob_group_encode(&group, &encoded);
        assert_int_equal(rbc__blobs_parse(encoded.data, encoded.size, "part 3", &blobs, &err),
                         RBC_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "part 3: byte "));
        assert_null(blobs);
        rbc__bytes_free(&encoded);
    }
}

/* A pattern whose longest name has no room is none, rather than one without some names. */
static void names_that_are_too_long(void **state) {
    (void)state;
    char pattern[4001] = "";
    rbc_error err;
    for (int i = 0; i < 2000; ++i) {
        memcpy(pattern + 2 * i, "{}", 2);
    }
    rbc__blob_group group = {pattern, 0, 1, NULL};
    assert_int_equal(rbc__blob_group_check(&group, &err), RBC_OK);
    group.count = 1000000;
    assert_int_equal(rbc__blob_group_check(&group, &err), RBC_ERROR_FORMAT);
    char *endless = malloc(5000);
    assert_non_null(endless);
    memset(endless, 'a', 4999);
    endless[4999] = '\0';
    group = (rbc__blob_group){endless, 0, 1, NULL};
    assert_int_equal(rbc__blob_group_check(&group, &err), RBC_ERROR_FORMAT);
    free(endless);
}

static void groups_follow_each_other(void **state) {
    (void)state;
    const int64_t sizes[3] = {0, 70000, INT64_MAX};
    const int64_t small[2] = {7, 8};
    const rbc__blob_group groups[] = {{"first", 0, 1, NULL},
                                      {"a/{}", 5, 3, sizes},
                                      {"none/{}", 0, 0, NULL},
                                      {"b/{:02}", 0, 2, small},
                                      {"last", 0, 0, NULL}};
    rbc__bytes encoded = {0};
    rbc_error err;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; ++i) {
        assert_int_equal(rbc__blob_group_check(&groups[i], NULL), RBC_OK);
        rbc__blob_group_encode(&groups[i], &encoded);
    }
    rbc__blobs *blobs = parse(&encoded);
    assert_int_equal(rbc__blobs_count(blobs), 6);
    assert_path(blobs, 1, "first", -1);
    assert_path(blobs, 2, "a/5", 0);
    assert_path(blobs, 3, "a/6", 70000);
    assert_path(blobs, 4, "a/7", INT64_MAX);
    assert_path(blobs, 5, "b/00", 7);
    assert_path(blobs, 6, "b/01", 8);
    static const uint32_t none[] = {0, 7, RBC__COLUMN_BLOB, UINT32_MAX};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; ++i) {
        char *path;
        int64_t size;
        assert_int_equal(rbc__blobs_path(blobs, none[i], &path, &size, &err), RBC_ERROR_FORMAT);
        assert_null(path);
        assert_non_null(strstr(err.message, "the part has 6"));
    }
    free(blobs);
    const int64_t negative = -1;
    const rbc__blob_group bad = {"x", 0, 1, &negative};
    assert_int_equal(rbc__blob_group_check(&bad, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "-1 bytes"));
    rbc__bytes_free(&encoded);
}

static void a_part_without_names(void **state) {
    (void)state;
    rbc__blobs *blobs;
    char *path;
    int64_t size;
    assert_int_equal(rbc__blobs_parse((const uint8_t *)"", 0, "x", &blobs, NULL), RBC_OK);
    assert_int_equal(rbc__blobs_count(blobs), 0);
    assert_int_equal(rbc__blobs_path(blobs, 1, &path, &size, NULL), RBC_ERROR_FORMAT);
    free(blobs);
}

/* Every cut and every byte changed: refused, or names that stay inside. */
static void damaged_names(void **state) {
    (void)state;
    const int64_t sizes[3] = {1, 2, 300};
    const rbc__blob_group groups[] = {{"ab/{:03}", 5, 3, sizes}, {"c", 0, 1, NULL}};
    rbc__bytes encoded = {0};
    rbc__blob_group_encode(&groups[0], &encoded);
    const size_t first = encoded.size;
    rbc__blob_group_encode(&groups[1], &encoded);
    for (size_t bytes = 1; bytes < encoded.size; ++bytes) {
        rbc__blobs *blobs;
        uint8_t *copy = malloc(bytes);
        assert_non_null(copy);
        memcpy(copy, encoded.data, bytes);
        const rbc_status status = rbc__blobs_parse(copy, bytes, "x", &blobs, NULL);
        assert_int_equal(status, bytes == first ? RBC_OK : RBC_ERROR_FORMAT);
        free(blobs);
        free(copy);
    }
    int parsed = 0;
    for (size_t i = 0; i < encoded.size * 256; ++i) {
        rbc__blobs *blobs;
        const uint8_t kept = encoded.data[i / 256];
        encoded.data[i / 256] = (uint8_t)i;
        if (rbc__blobs_parse(encoded.data, encoded.size, "x", &blobs, NULL) == RBC_OK) {
            ++parsed;
            for (uint32_t number = 1; number <= rbc__blobs_count(blobs) && number < 10; ++number) {
                char *path;
                int64_t size;
                assert_int_equal(rbc__blobs_path(blobs, number, &path, &size, NULL), RBC_OK);
                assert_true(path[0] != '/' && path[0] != '\0' && size >= -1);
                assert_null(strstr(path, "/../"));
                free(path);
            }
        }
        free(blobs);
        encoded.data[i / 256] = kept;
    }
    assert_true(parsed > 256);
    rbc__bytes_free(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_made_of_patterns), cmocka_unit_test(patterns_that_are_none),
        cmocka_unit_test(names_that_are_too_long),    cmocka_unit_test(groups_follow_each_other),
        cmocka_unit_test(a_part_without_names),       cmocka_unit_test(damaged_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
