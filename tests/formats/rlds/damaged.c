/* Damaged records: each case is an error that names the file and the byte, and what was found there. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard.h"

/* One damaged record among good ones: it is reported, the others are found. */
static void expect_damaged(const char *steps, rbc__bytes *features, const char *part) {
    rbc__bytes file = {0};
    caught found = {0};
    rbc_error err;
    char place[64];
    put_good(&file);
    const size_t offset = put_record(&file, features);
    put_good(&file);
    assert_int_equal(index_bytes(steps, &file, 3, &found, &err), RBC_OK);
    assert_int_equal(found.num_damaged, 1);
    assert_int_equal(found.damaged_records[0], 1);
    assert_int_equal(found.damaged[0].status, RBC_ERROR_FORMAT);
    assert_contains(found.damaged[0].message, part);
    assert_int_equal(found.num_episodes, 2);
    assert_int_equal(found.episodes[1].record, 2);
    const char *message = found.damaged[0].message;
    assert_int_equal(strncmp(message, "shard-7: byte ", 14), 0);
    const unsigned long long byte = strtoull(message + 14, NULL, 10);
    (void)snprintf(place, sizeof place, "byte %llu", byte);
    assert_true(byte >= offset && byte < file.size - 100);
    release(&found);
    /* The same, when the caller wants the first error. */
    found.raise = true;
    assert_int_equal(index_bytes(steps, &file, 3, &found, &err), RBC_ERROR_FORMAT);
    assert_contains(err.message, part);
    assert_int_equal(found.num_episodes, 1);
    release(&found);
    rbc__bytes_free(&file);
}

static void a_missing_feature(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_floats(&features, "steps/x", (const float[]){1, 2}, 2);
    put_ints(&features, "steps/n", (const int64_t[]){1}, 1);
    expect_damaged(STEPS, &features, "no feature 'steps/lang'");
    put_ints(&features, "other", (const int64_t[]){1}, 1);
    expect_damaged(STEPS, &features, "none of the 3 streams");
}

static void a_feature_of_another_kind(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_good_features(&features);
    put_ints(&features, "steps/x", (const int64_t[]){1, 2, 3, 4, 5, 6}, 6);
    expect_damaged(STEPS, &features, "'x' is stored as int64_list, features.json wants float_list");
    put_good_features(&features);
    put_strings(&features, "steps/n", (const char *const[]){"1", "2", "3"}, 3);
    expect_damaged(STEPS, &features, "'n' is stored as bytes_list, features.json wants int64_list");
    put_good_features(&features);
    put_floats(&features, "steps/lang", (const float[]){1, 2, 3}, 3);
    expect_damaged(STEPS, &features, "'lang' is stored as float_list");
}

static void a_feature_of_another_length(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_good_features(&features);
    put_floats(&features, "steps/x", (const float[]){1, 2, 3, 4, 5}, 5);
    expect_damaged(STEPS, &features, "'x' has 5 values, features.json wants 2 a sample");
    put_good_features(&features);
    put_floats(&features, "steps/x", (const float[]){1, 2, 3, 4}, 4);
    expect_damaged(STEPS, &features, "'x' has 2 steps");
    put_good_features(&features);
    put_strings(&features, "steps/lang", (const char *const[]){"a"}, 1);
    expect_damaged(STEPS, &features, "but stream 'lang' has 1");
}

static void a_value_of_a_wrong_wire_type(void **state) {
    (void)state;
    static const struct {
        unsigned kind, tag;
        const char *key, *part;
    } cases[] = {
        {2, 1 << 3 | 0, "steps/x", "float_list has wire type varint"},
        {2, 1 << 3 | 1, "steps/x", "float_list has wire type fixed64"},
        {3, 1 << 3 | 5, "steps/n", "int64_list has wire type fixed32"},
        {1, 1 << 3 | 0, "steps/lang", "bytes_list has wire type varint"},
        {1, 1 << 3 | 3, "steps/lang", "wire type start group"},
        {1, 1 << 3 | 7, "steps/lang", "wire type 7"},
        {2, 0, "steps/x", "no protobuf tag"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        rbc__bytes_byte(&list, (uint8_t)cases[i].tag);
        rbc__bytes_append(&list, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
        put_good_features(&features);
        put_feature(&features, cases[i].key, cases[i].kind, &list);
        expect_damaged(STEPS, &features, cases[i].part);
        rbc__bytes_free(&list);
    }
    rbc__bytes features = {0};
    rbc__bytes_append(&features, "\x0a\x04\x08\x01\x10\x01", 6); /* key and value as varints */
    expect_damaged(STEPS, &features, "the key of a feature has wire type varint");
}

/* Lengths that reach past their message, up to those that wrap around when they are added. */
static void lengths_past_the_end(void **state) {
    (void)state;
    static const uint64_t lengths[] = {1u << 20, UINT32_MAX, INT64_MAX, UINT64_MAX - 20,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; ++i) {
        for (int level = 0; level < 3; ++level) {
            rbc__bytes features = {0};
            rbc__bytes list = {0};
            char part[64];
            (void)snprintf(part, sizeof part, "has %llu bytes, but only",
                           (unsigned long long)lengths[i]);
            put_good_features(&features);
            if (level == 0) { /* an entry of the map */
                rbc__bytes_byte(&features, 1 << 3 | 2);
                rbc__bytes_varint(&features, lengths[i]);
            } else {
                rbc__bytes_byte(&list, 1 << 3 | 2);
                rbc__bytes_varint(&list, lengths[i]);
                rbc__bytes_append(&list, "1234", 4);
                put_feature(&features, level == 1 ? "steps/x" : "steps/lang", level == 1 ? 2 : 1,
                            &list);
            }
            expect_damaged(STEPS, &features, part);
            rbc__bytes_free(&list);
        }
    }
}

static void varints_and_floats_cut_short(void **state) {
    (void)state;
    rbc__bytes features = {0};
    rbc__bytes list = {0};
    put_good_features(&features);
    put_len(&list, 1, "\x01\x02\x80", 3);
    put_feature(&features, "steps/n", 3, &list);
    expect_damaged(STEPS, &features, "a varint is cut short");
    list.size = 0;
    put_good_features(&features);
    put_len(&list, 1, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01\x01", 14);
    put_feature(&features, "steps/n", 3, &list);
    expect_damaged(STEPS, &features, "longer than 10 bytes");
    list.size = 0;
    put_good_features(&features);
    put_len(&list, 1, "1234567", 7);
    put_feature(&features, "steps/x", 2, &list);
    expect_damaged(STEPS, &features, "packed floats have 7 bytes");
    rbc__bytes_free(&list);
}

static void text_that_is_not_utf8(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_good_features(&features);
    put_strings(&features, "steps/language_instruction", (const char *const[]){"pick", "up", "it"},
                3);
    const char *const bad[T] = {"", "pick \xff up", "it"};
    put_strings(&features, "steps/lang", bad, T);
    expect_damaged(STEPS, &features, "the text of 'lang' is not UTF-8");
}

static void rows_that_do_not_add_up(void **state) {
    (void)state;
    const char steps[] = STEPS ", " SEQUENCE(
        "cloud", "\"tensor\": {\"shape\": {\"dimensions\": [\"3\"]}, \"dtype\": \"float32\"}",
        "-1");
    static const struct {
        int64_t rows[T];
        size_t values;
        const char *part;
    } cases[] = {
        {{1, 1, 1}, 6, "have 3 samples together, but 2 are there"},
        {{1, -1, 2}, 6, "row of length -1"},
        {{INT64_MAX, INT64_MAX, 4}, 6, "row of length"},
        {{1, 1, 0}, 7, "has 7 values"},
    };
    const float values[9] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes file = {0};
        rbc__bytes features = {0};
        caught found = {0};
        put_good_features(&features);
        put_floats(&features, "steps/cloud/ragged_flat_values", values, cases[i].values);
        put_ints(&features, "steps/cloud/ragged_row_lengths_0", cases[i].rows, T);
        put_record(&file, &features);
        assert_int_equal(index_bytes(steps, &file, 1, &found, NULL), RBC_OK);
        assert_int_equal(found.num_damaged, 1);
        assert_contains(found.damaged[0].message, "shard-7: byte ");
        assert_contains(found.damaged[0].message, cases[i].part);
        release(&found);
        rbc__bytes_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_feature),
        cmocka_unit_test(a_feature_of_another_kind),
        cmocka_unit_test(a_feature_of_another_length),
        cmocka_unit_test(a_value_of_a_wrong_wire_type),
        cmocka_unit_test(lengths_past_the_end),
        cmocka_unit_test(varints_and_floats_cut_short),
        cmocka_unit_test(text_that_is_not_utf8),
        cmocka_unit_test(rows_that_do_not_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
