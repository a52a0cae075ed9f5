/* Every way in which an Example may store the same samples. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/rlds/rlds.h"
#include "helpers.h"

enum { T = 6 };

static char root[64];

static int make_root(void **state) {
    (void)state;
    make_folder(root);
    return 0;
}

static int remove_root(void **state) {
    (void)state;
    remove_folder(root);
    return 0;
}

static void open_written(dataset *data, const char *steps, rbc__bytes *features) {
    rbc__bytes file = {0};
    char *json = features_json(steps, "");
    put_record(&file, features);
    write_dataset(root, json, &file);
    open_dataset(data, root);
    if (data->found.num_damaged > 0) {
        fail_msg("%s", data->found.damaged[0].message);
    }
    assert_int_equal(data->found.num_episodes, 1);
    free(json);
    rbc__bytes_free(&file);
}

/* All samples of stream 0 in one read, one by one, and in the middle. */
static void assert_stream_holds(dataset *data, const void *want, size_t sample_bytes) {
    rbc_error err;
    uint8_t read[4096];
    parsed_episode *episode = parsed_of(data, 0);
    int64_t count;
    assert_int_equal(parsed_count(episode, 0, &count, NULL, &err), RBC_OK);
    assert_int_equal(count, T);
    if (parsed_read(episode, 0, 0, T, read, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    assert_memory_equal(read, want, T * sample_bytes);
    for (int64_t i = 0; i < T; ++i) {
        assert_int_equal(parsed_read(episode, 0, i, 1, read, &err), RBC_OK);
        assert_memory_equal(read, (const uint8_t *)want + (size_t)i * sample_bytes, sample_bytes);
    }
    assert_int_equal(parsed_read(episode, 0, 2, 3, read, &err), RBC_OK);
    assert_memory_equal(read, (const uint8_t *)want + 2 * sample_bytes, 3 * sample_bytes);
    assert_int_equal(parsed_read(episode, 0, T, 0, read, &err), RBC_OK);
    parsed_close(&episode);
    assert_null(episode);
}

static const float floats[2 * T] = {0, 1.5f, -2, 3, 4e30f, 5, 6, -0.0f, 8, 9, 10, 11};

static void floats_may_be_packed_unpacked_or_in_pieces(void **state) {
    (void)state;
    for (int form = 0; form < 4; ++form) {
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        dataset data;
        if (form == 0) {
            put_len(&list, 1, floats, sizeof floats);
        } else if (form == 1) {
            for (int i = 0; i < 2 * T; ++i) {
                rbc__bytes_byte(&list, 1 << 3 | 5);
                rbc__bytes_append(&list, &floats[i], 4);
            }
        } else if (form == 2) {
            put_len(&list, 1, floats, 20);
            put_len(&list, 1, floats + 5, 0);
            put_len(&list, 1, floats + 5, 4 * (2 * T - 5));
        } else {
            put_len(&list, 1, floats, 40);
            rbc__bytes_varint(&list, 7 << 3); /* an unknown field between the values */
            rbc__bytes_varint(&list, 1234567);
            rbc__bytes_byte(&list, 1 << 3 | 5);
            rbc__bytes_append(&list, &floats[10], 4);
            put_len(&list, 1, floats + 11, 4);
        }
        put_feature(&features, "steps/x", 2, &list);
        open_written(&data, TENSOR("x", "float32", "\"2\""), &features);
        assert_stream_holds(&data, floats, 8);
        close_dataset(&data);
        rbc__bytes_free(&list);
    }
}

static void floats_become_the_declared_dtype(void **state) {
    (void)state;
    double wide[2 * T];
    rbc__bytes features = {0};
    dataset data;
    for (int i = 0; i < 2 * T; ++i) {
        wide[i] = (double)floats[i];
    }
    put_floats(&features, "steps/x", floats, 2 * T);
    open_written(&data, TENSOR("x", "float64", "\"2\""), &features);
    assert_int_equal(data.schema->streams[0].dtype, RBC__F64);
    assert_stream_holds(&data, wide, 16);
    close_dataset(&data);
}

/* Numbers whose varints have one length, or several, or are padded, packed or not. */
static void integers_may_be_varints_of_any_form(void **state) {
    (void)state;
    static const int64_t values[4][T] = {
        {0, 1, 2, 127, 5, 6},
        {1700000000000000000, 1700000000000000001, 1700000000100000000, 1700000000200000000,
         1700000000300000000, 1700000000400000000},
        {0, -1, INT64_MIN, INT64_MAX, 300, 7},
        {5, 5, 5, 5, 5, 5},
    };
    for (int set = 0; set < 4; ++set) {
        for (int form = 0; form < 4; ++form) {
            rbc__bytes features = {0};
            rbc__bytes list = {0};
            rbc__bytes packed = {0};
            dataset data;
            for (int i = 0; i < T; ++i) {
                if (form == 1 || (form == 2 && i < 2)) {
                    rbc__bytes_byte(&list, 1 << 3);
                    rbc__bytes_varint(&list, (uint64_t)values[set][i]);
                } else if (form == 3 && set == 3) {
                    static const uint8_t padded[10] = {0x85, 0x80, 0x80, 0x80, 0x80,
                                                       0x80, 0x80, 0x80, 0x80, 0x00};
                    rbc__bytes_append(&packed, padded, 10);
                } else {
                    rbc__bytes_varint(&packed, (uint64_t)values[set][i]);
                }
            }
            if (packed.size > 0) {
                put_len(&list, 1, packed.data, packed.size);
            }
            put_feature(&features, "steps/x", 3, &list);
            open_written(&data, TENSOR("x", "int64", ""), &features);
            assert_stream_holds(&data, values[set], 8);
            close_dataset(&data);
            rbc__bytes_free(&list);
            rbc__bytes_free(&packed);
        }
    }
}

static void large_integer_samples_are_indexed(void **state) {
    (void)state;
    enum { WIDTH = 200 };
    int64_t values[T * WIDTH];
    uint8_t want[T * WIDTH];
    rbc__bytes features = {0};
    dataset data;
    for (int i = 0; i < T * WIDTH; ++i) {
        want[i] = (uint8_t)(i * 37);
        values[i] = want[i];
    }
    put_ints(&features, "steps/x", values, T * WIDTH);
    open_written(&data, TENSOR("x", "uint8", "\"10\", \"20\""), &features);
    assert_stream_holds(&data, want, WIDTH);
    close_dataset(&data);
}

static void tensors_may_be_bytes_entries(void **state) {
    (void)state;
    static const double values[T][2] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}};
    for (int spread = 0; spread < 2; ++spread) {
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        dataset data;
        for (int i = 0; i < T; ++i) {
            put_len(&list, 1, values[i], sizeof values[i]);
            if (spread && i == 2) {
                rbc__bytes_varint(&list, 9 << 3);
                rbc__bytes_varint(&list, 1);
            }
        }
        put_feature(&features, "steps/x", 1, &list);
        open_written(&data,
                     "\"x\": {\"tensor\": {\"shape\": {\"dimensions\": [\"2\"]}, \"dtype\": "
                     "\"float64\", \"encoding\": \"bytes\"}}",
                     &features);
        assert_stream_holds(&data, values, sizeof values[0]);
        close_dataset(&data);
        rbc__bytes_free(&list);
    }
}

/* Each entry is packed by itself, into as many bytes as it takes. */
static void tensors_may_be_packed_with_zlib(void **state) {
    (void)state;
    static int16_t values[T][100];
    for (int i = 0; i < T; ++i) {
        for (int j = 0; j < 100; ++j) {
            values[i][j] = (int16_t)(i * j * (i > 2 ? 331 : 1));
        }
    }
    for (int spread = 0; spread < 3; ++spread) {
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        dataset data;
        for (int i = 0; i < T; ++i) {
            if (spread == 2) { /* all alike, so in one run */
                memset(values[i], i, sizeof values[i]);
            }
            put_zlib(&list, values[i], sizeof values[i]);
            if (spread == 1 && i == 2) {
                rbc__bytes_varint(&list, 9 << 3);
                rbc__bytes_varint(&list, 1);
            }
        }
        put_feature(&features, "steps/x", 1, &list);
        open_written(&data, ZLIB_TENSOR("x", "int16", "\"4\", \"25\""), &features);
        assert_null(data.schema->streams[0].unsupported);
        assert_stream_holds(&data, values, sizeof values[0]);
        close_dataset(&data);
        rbc__bytes_free(&list);
    }
}

/* Samples without elements take no bytes; there is one for each step all the same. */
static void samples_may_have_no_elements(void **state) {
    (void)state;
    static const char *const steps[] = {
        TENSOR("x", "float32", "\"0\"") ", " TENSOR("y", "int64", ""),
        "\"x\": {\"tensor\": {\"shape\": {\"dimensions\": [\"0\"]}, \"dtype\": \"float32\", "
        "\"encoding\": \"bytes\"}}, " TENSOR("y", "int64", ""),
        ZLIB_TENSOR("x", "float32", "\"3\", \"0\"") ", " TENSOR("y", "int64", ""),
    };
    for (int form = 0; form < 3; ++form) {
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        dataset data;
        for (int i = 0; i < T && form > 0; ++i) {
            if (form == 1) {
                put_len(&list, 1, "", 0);
            } else {
                put_zlib(&list, "", 0);
            }
        }
        put_feature(&features, "steps/x", form > 0 ? 1 : 2, &list);
        put_ints(&features, "steps/y", (const int64_t[T]){1, 2, 3, 4, 5, 6}, T);
        open_written(&data, steps[form], &features);
        assert_stream_holds(&data, "", 0);
        close_dataset(&data);
        rbc__bytes_free(&list);
    }
}

/* Entries alike, of several sizes, empty, with padded lengths, with fields between, in two lists.
 */
static void entries_are_found_however_they_lie(void **state) {
    (void)state;
    static const char *const alike[T] = {"abc", "def", "ghi", "jkl", "mno", "pqr"};
    static const char *const several[T] = {"", "a", "bc", "", "a longer one, of 35 bytes in all!!!",
                                           "z"};
    for (int form = 0; form < 10; ++form) {
        const char *const *want = form % 5 == 0 ? alike : several;
        const bool is_image = form >= 5;
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        rbc__bytes feature = {0};
        dataset data;
        for (int i = 0; i < T; ++i) {
            if (form % 5 == 2 && i == 3) {
                rbc__bytes_append(&list, "\x0a\x80\x80\x00", 4); /* length 0 in three bytes */
                continue;
            }
            put_len(&list, 1, want[i], strlen(want[i]));
            if (form % 5 == 3 && i == 3) {
                put_len(&list, 15, "unknown", 7);
            }
            if (form % 5 == 4 && i == 1) {
                put_len(&feature, 1, list.data, list.size);
                list.size = 0;
            }
        }
        put_len(&feature, 1, list.data, list.size);
        rbc__bytes entry = {0};
        put_len(&entry, 1, "steps/x", 7);
        put_len(&entry, 2, feature.data, feature.size);
        put_len(&features, 1, entry.data, entry.size);
        open_written(&data, is_image ? IMAGE("x") : TEXT("x"), &features);
        parsed_episode *episode = parsed_of(&data, 0);
        for (int round = 0; round < 2; ++round) {
            for (int i = T - 1; i >= 0; --i) {
                rbc__sample found;
                rbc_error err;
                if (parsed_locate(episode, 0, i, &found, &err) != RBC_OK) {
                    fail_msg("%s", err.message);
                }
                assert_int_equal(found.num_bytes, strlen(want[i]));
                if (found.num_bytes > 0) {
                    assert_memory_equal(found.bytes, want[i], found.num_bytes);
                }
            }
        }
        parsed_close(&episode);
        close_dataset(&data);
        rbc__bytes_free(&list);
        rbc__bytes_free(&feature);
        rbc__bytes_free(&entry);
    }
}

static void of_two_features_of_one_name_the_later_counts(void **state) {
    (void)state;
    const float other[T] = {9, 9, 9, 9, 9, 9};
    rbc__bytes features = {0};
    dataset data;
    put_floats(&features, "steps/x", other, T);
    put_ints(&features, "steps/undeclared", (const int64_t[]){1}, 1);
    put_floats(&features, "steps/x", floats, T);
    open_written(&data, TENSOR("x", "float32", ""), &features);
    assert_stream_holds(&data, floats, 4);
    close_dataset(&data);
}

static void of_two_lists_in_one_feature_the_later_kind_counts(void **state) {
    (void)state;
    rbc__bytes features = {0};
    rbc__bytes feature = {0};
    rbc__bytes list = {0};
    rbc__bytes entry = {0};
    dataset data;
    put_len(&list, 1, "text", 4);
    put_len(&feature, 1, list.data, list.size);
    list.size = 0;
    put_len(&list, 1, floats, 4 * T);
    put_len(&feature, 2, list.data, list.size);
    put_len(&entry, 1, "steps/x", 7);
    put_len(&entry, 2, feature.data, feature.size);
    put_len(&features, 1, entry.data, entry.size);
    open_written(&data, TENSOR("x", "float32", ""), &features);
    assert_stream_holds(&data, floats, 4);
    close_dataset(&data);
    rbc__bytes_free(&list);
    rbc__bytes_free(&feature);
    rbc__bytes_free(&entry);
}

static void ragged_streams_have_rows(void **state) {
    (void)state;
    const int64_t rows[4] = {0, 2, 0, 1};
    const float points[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    rbc__bytes features = {0};
    dataset data;
    put_floats(&features, "steps/cloud/ragged_flat_values", points, 9);
    put_ints(&features, "steps/cloud/ragged_row_lengths_0", rows, 4);
    open_written(&data,
                 SEQUENCE("cloud",
                          "\"tensor\": {\"shape\": {\"dimensions\": [\"3\"]}, \"dtype\": "
                          "\"float32\"}",
                          "-1"),
                 &features);
    parsed_episode *episode = parsed_of(&data, 0);
    int64_t count;
    int64_t lengths[4];
    float read[6];
    assert_true(data.schema->streams[0].is_ragged);
    assert_int_equal(data.found.episodes[0].num_steps, 4);
    assert_int_equal(parsed_count(episode, 0, &count, lengths, NULL), RBC_OK);
    assert_int_equal(count, 3);
    assert_memory_equal(lengths, rows, sizeof rows);
    assert_int_equal(parsed_read(episode, 0, 1, 2, read, NULL), RBC_OK);
    assert_memory_equal(read, points + 3, sizeof read);
    rbc_error err;
    assert_int_equal(parsed_read(episode, 0, 2, 2, read, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "'cloud': it has 3");
    parsed_close(&episode);
    close_dataset(&data);
}

static void sequences_of_fixed_length_are_an_axis(void **state) {
    (void)state;
    const char steps[] = SEQUENCE("x", "\"tensor\": {\"shape\": {}, \"dtype\": \"float32\"}", "2");
    const int64_t rows[T] = {2, 2, 2, 2, 2, 2};
    for (int ragged = 0; ragged < 2; ++ragged) {
        rbc__bytes features = {0};
        dataset data;
        if (ragged) {
            put_floats(&features, "steps/x/ragged_flat_values", floats, 2 * T);
            put_ints(&features, "steps/x/ragged_row_lengths_0", rows, T);
        } else {
            put_floats(&features, "steps/x", floats, 2 * T);
        }
        open_written(&data, steps, &features);
        assert_false(data.schema->streams[0].is_ragged);
        assert_int_equal(data.schema->streams[0].shape[0], 2);
        assert_stream_holds(&data, floats, 8);
        close_dataset(&data);
    }
}

static void an_episode_may_have_no_steps(void **state) {
    (void)state;
    rbc__bytes features = {0};
    rbc__bytes empty = {0};
    rbc__bytes file = {0};
    dataset data;
    char *json = features_json(TENSOR("x", "float32", "\"2\"") ", " TEXT("lang"), "");
    put_floats(&features, "steps/x", NULL, 0);
    put_feature(&features, "steps/lang", 1, &empty);
    put_record(&file, &features);
    write_dataset(root, json, &file);
    open_dataset(&data, root);
    assert_int_equal(data.found.num_episodes, 1);
    assert_int_equal(data.found.episodes[0].num_steps, 0);
    parsed_episode *episode = parsed_of(&data, 0);
    int64_t count;
    assert_int_equal(parsed_count(episode, 1, &count, NULL, NULL), RBC_OK);
    assert_int_equal(count, 0);
    parsed_close(&episode);
    close_dataset(&data);
    free(json);
    rbc__bytes_free(&file);
}

static void wrong_requests_are_refused(void **state) {
    (void)state;
    rbc__bytes features = {0};
    dataset data;
    rbc_error err;
    rbc__sample found;
    float value;
    put_strings(&features, "steps/lang", (const char *const[]){"a", "b"}, 2);
    put_floats(&features, "steps/x", floats, 2);
    put_ints(&features, "steps/deep/ragged_flat_values", (const int64_t[]){1}, 1);
    open_written(
        &data,
        TENSOR("x", "float32", "") ", " TEXT("lang") ", " SEQUENCE(
            "deep", "\"sequence\": {\"feature\": {\"tensor\": {\"dtype\": \"int64\"}}}", "-1"),
        &features);
    parsed_episode *episode = parsed_of(&data, 0);
    const int32_t x = stream_of(&data, "x");
    const int32_t lang = stream_of(&data, "lang");
    const int32_t deep = stream_of(&data, "deep");
    assert_int_equal(parsed_read(episode, x, -1, 1, &value, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(parsed_read(episode, x, 1, INT64_MAX, &value, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(parsed_read(episode, 99, 0, 1, &value, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(parsed_read(episode, lang, 0, 1, &value, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "'lang'");
    assert_int_equal(parsed_locate(episode, x, 0, &found, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(parsed_locate(episode, lang, 2, &found, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(data.schema->streams[deep].unsupported);
    assert_int_equal(parsed_read(episode, deep, 0, 1, &value, &err), RBC_ERROR_UNSUPPORTED);
    assert_contains(err.message, "'deep'");
    assert_contains(err.message, "nested");
    parsed_close(&episode);
    close_dataset(&data);
}

/* The layout of an episode with many streams stays within its budget. */
static void layouts_are_small(void **state) {
    (void)state;
    enum { STEPS = 100, NUMERICS = 17, IMAGES = 4 };
    rbc__bytes features = {0};
    rbc__bytes file = {0};
    rbc__bytes steps = {0};
    float values[STEPS] = {0};
    static uint8_t image[40000];
    for (int i = 0; i < NUMERICS + IMAGES; ++i) {
        char name[32];
        char key[48];
        char json[160];
        (void)snprintf(name, sizeof name, "stream_%02d", i);
        (void)snprintf(key, sizeof key, "steps/%s", name);
        (void)snprintf(json, sizeof json,
                       i < NUMERICS ? "%s\"%s\": {\"tensor\": {\"dtype\": \"float32\"}}"
                                    : "%s\"%s\": {\"image\": {\"encodingFormat\": \"jpeg\"}}",
                       i ? ", " : "", name);
        rbc__bytes_append(&steps, json, strlen(json));
        if (i < NUMERICS) {
            put_floats(&features, key, values, STEPS);
            continue;
        }
        rbc__bytes list = {0};
        for (size_t j = 0; j < STEPS; ++j) {
            put_len(&list, 1, image, 30000 + (j * 7919) % 10000);
        }
        put_feature(&features, key, 1, &list);
        rbc__bytes_free(&list);
    }
    rbc__bytes_byte(&steps, '\0');
    char *json = features_json((const char *)steps.data, "");
    put_record(&file, &features);
    write_dataset(root, json, &file);
    dataset data;
    open_dataset(&data, root);
    assert_int_equal(data.found.num_episodes, 1);
    assert_true(data.found.episodes[0].layout_bytes <= 200 + 8 * IMAGES * STEPS);
    assert_true(data.found.episodes[0].layout_bytes <= 120 + 3 * IMAGES * STEPS);
    close_dataset(&data);
    free(json);
    rbc__bytes_free(&steps);
    rbc__bytes_free(&file);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(floats_may_be_packed_unpacked_or_in_pieces),
        TEST(floats_become_the_declared_dtype),
        TEST(integers_may_be_varints_of_any_form),
        TEST(large_integer_samples_are_indexed),
        TEST(tensors_may_be_bytes_entries),
        TEST(tensors_may_be_packed_with_zlib),
        TEST(samples_may_have_no_elements),
        TEST(entries_are_found_however_they_lie),
        TEST(of_two_features_of_one_name_the_later_counts),
        TEST(of_two_lists_in_one_feature_the_later_kind_counts),
        TEST(ragged_streams_have_rows),
        TEST(sequences_of_fixed_length_are_an_axis),
        TEST(an_episode_may_have_no_steps),
        TEST(wrong_requests_are_refused),
        TEST(layouts_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
