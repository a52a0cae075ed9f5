/* What a stream and an episode mean: stamps, the task, metadata, and data as dlimp writes it. */
#define _GNU_SOURCE

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helpers.h"

#define SEQUENCE_OF_F32(name) SEQUENCE(name, "\"tensor\": {\"dtype\": \"float32\"}", "-1")
#define SEQUENCE_OF_I64(name) SEQUENCE(name, "\"tensor\": {\"dtype\": \"int64\"}", "-1")

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

static void open_written(dataset *data, const char *steps, const char *others,
                         rbc__bytes *features) {
    rbc__bytes file = {0};
    char *json = features_json(steps, others);
    put_record(&file, features);
    write_dataset(root, json, &file);
    open_dataset(data, root);
    free(json);
    rbc__bytes_free(&file);
}

static void expect_damaged(const char *steps, rbc__bytes *features, const char *part) {
    dataset data;
    open_written(&data, steps, "", features);
    assert_int_equal(data.found.num_damaged, 1);
    assert_contains(data.found.damaged[0].message, "toy-train.tfrecord-00000-of-00001: byte ");
    assert_contains(data.found.damaged[0].message, part);
    close_dataset(&data);
}

/* ---- stamps ------------------------------------------------------------------------------------
 */

static void stamps_lie_beside_their_stream(void **state) {
    (void)state;
    const float x[3] = {1, 2, 3};
    const int64_t stamps[3] = {100, 100, 250};
    const int64_t fast[5] = {90, 120, 150, 180, 260};
    const int64_t rows[3] = {2, 0, 3};
    const float five[5] = {0};
    rbc__bytes features = {0};
    dataset data;
    put_floats(&features, "steps/x", x, 3);
    put_ints(&features, "steps/x_time_ns", stamps, 3);
    put_floats(&features, "steps/imu/ragged_flat_values", five, 5);
    put_ints(&features, "steps/imu/ragged_row_lengths_0", rows, 3);
    put_ints(&features, "steps/imu_time_ns/ragged_flat_values", fast, 5);
    put_ints(&features, "steps/imu_time_ns/ragged_row_lengths_0", rows, 3);
    put_floats(&features, "steps/free", x, 3);
    open_written(
        &data,
        TENSOR("x", "float32", "") ", " TENSOR("x_time_ns", "int64", "") ", " TENSOR(
            "free", "float32", "") ", " SEQUENCE_OF_F32("imu") ", " SEQUENCE_OF_I64("imu_time_ns"),
        "", &features);
    assert_int_equal(data.found.num_damaged, 0);
    const rbc__stream_schema *streams = data.schema->streams;
    assert_int_equal(streams[stream_of(&data, "x")].times, stream_of(&data, "x_time_ns"));
    assert_int_equal(streams[stream_of(&data, "imu")].times, stream_of(&data, "imu_time_ns"));
    assert_int_equal(streams[stream_of(&data, "free")].times, -1);
    assert_int_equal(streams[stream_of(&data, "x_time_ns")].times, -1);
    /* A stream with one sample a step is a reference, one of its own rate is not. */
    assert_true(streams[stream_of(&data, "x")].is_reference);
    assert_false(streams[stream_of(&data, "imu")].is_reference);
    assert_int_equal(data.found.episodes[0].start_ns, 100);
    assert_int_equal(data.found.episodes[0].end_ns, 250);
    close_dataset(&data);
}

/* Without a stream they belong to, of another dtype or not as ragged, they are numbers like others.
 */
static void stamps_are_not_assumed(void **state) {
    (void)state;
    const int64_t stamps[2] = {200, 100};
    const float x[2] = {1, 2};
    rbc__bytes features = {0};
    dataset data;
    put_floats(&features, "steps/x", x, 2);
    put_floats(&features, "steps/x_time_ns", x, 2);
    put_ints(&features, "steps/time_ns", stamps, 2);
    open_written(&data,
                 TENSOR("x", "float32", "") ", " TENSOR("x_time_ns", "float64",
                                                        "") ", " TENSOR("time_ns", "int64", ""),
                 "", &features);
    assert_int_equal(data.found.num_damaged, 0);
    for (int32_t i = 0; i < data.schema->num_streams; ++i) {
        assert_int_equal(data.schema->streams[i].times, -1);
    }
    assert_int_equal(data.found.episodes[0].start_ns, 0);
    assert_int_equal(data.found.episodes[0].end_ns, -1);
    close_dataset(&data);
}

static void stamps_that_go_back_are_damage(void **state) {
    (void)state;
    const char steps[] = TENSOR("x", "float32", "") ", " TENSOR("x_time_ns", "int64", "");
    const float x[3] = {1, 2, 3};
    rbc__bytes features = {0};
    put_floats(&features, "steps/x", x, 3);
    put_ints(&features, "steps/x_time_ns", (const int64_t[]){5, 9, 8}, 3);
    expect_damaged(steps, &features, "'x_time_ns' go back at sample 2: 8 after 9");
    const char ragged[] = SEQUENCE_OF_F32("x") ", " SEQUENCE_OF_I64("x_time_ns");
    put_floats(&features, "steps/x/ragged_flat_values", x, 3);
    put_ints(&features, "steps/x/ragged_row_lengths_0", (const int64_t[]){1, 2}, 2);
    put_ints(&features, "steps/x_time_ns/ragged_flat_values", (const int64_t[]){1, 2}, 2);
    put_ints(&features, "steps/x_time_ns/ragged_row_lengths_0", (const int64_t[]){1, 1}, 2);
    expect_damaged(ragged, &features, "'x_time_ns' has 2 stamps, but 'x' has 3 samples");
}

/* ---- the task and metadata ----------------------------------------------------------------------
 */

static void the_task_is_the_first_instruction_that_is_not_empty(void **state) {
    (void)state;
    const char steps[] =
        TEXT("language_instruction") ", " TEXT("language_instruction_2") ", " TEXT("note");
    static const struct {
        const char *first, *second, *want;
    } cases[] = {{"pick", "place", "pick"}, {"", "place", "place"}, {"", "", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes features = {0};
        dataset data;
        put_strings(&features, "steps/language_instruction",
                    (const char *const[]){"", cases[i].first}, 2);
        put_strings(&features, "steps/language_instruction_2",
                    (const char *const[]){cases[i].second, ""}, 2);
        put_strings(&features, "steps/note", (const char *const[]){"note", "note"}, 2);
        open_written(&data, steps, "", &features);
        assert_string_equal(data.found.episodes[0].task, cases[i].want);
        close_dataset(&data);
    }
}

static void metadata_is_json(void **state) {
    (void)state;
    rbc__bytes features = {0};
    dataset data;
    const float values[6] = {1, 2, 3, 4, INFINITY, 0.5f};
    put_floats(&features, "steps/x", values, 1);
    put_strings(&features, "episode_metadata/path", (const char *const[]){"a/\"b\""}, 1);
    put_strings(&features, "episode_metadata/raw", (const char *const[]){"\xff\xfe"}, 1);
    put_ints(&features, "episode_metadata/success", (const int64_t[]){1}, 1);
    put_ints(&features, "episode_metadata/id", (const int64_t[]){-7}, 1);
    put_floats(&features, "episode_metadata/matrix", values, 6);
    put_strings(&features, "episode_metadata/tags", (const char *const[]){"x", "y"}, 2);
    put_strings(&features, "top", (const char *const[]){"z"}, 1);
    open_written(
        &data, TENSOR("x", "float32", ""),
        "\"episode_metadata\": {\"featuresDict\": {\"features\": {" TEXT("path") ", " TEXT("raw") ", " TENSOR(
            "success", "bool",
            "") ", " TENSOR("id", "int64",
                            "") ", " TENSOR("matrix", "float32",
                                            "\"2\", \"3\"") ", " SEQUENCE("tags", "\"text\": {}",
                                                                          "-1") "}}}, " TEXT("top"),
        &features);
    assert_int_equal(data.found.num_damaged, 0);
    assert_string_equal(data.found.episodes[0].metadata,
                        "{\"id\":-7,\"matrix\":[[1.0,2.0,3.0],[4.0,null,0.5]],\"path\":"
                        "\"a/\\\"b\\\"\",\"raw\":{\"num_bytes\":2},\"success\":true,\"tags\":"
                        "[\"x\",\"y\"],\"top\":\"z\"}");
    close_dataset(&data);
}

/* ---- dlimp --------------------------------------------------------------------------------------
 */

static void put_tensor(rbc__bytes *features, const char *key, unsigned dtype, const int64_t *shape,
                       int ndim, const void *content, size_t bytes) {
    rbc__bytes dims = {0};
    rbc__bytes tensor = {0};
    rbc__bytes list = {0};
    for (int i = 0; i < ndim; ++i) {
        rbc__bytes dim = {0};
        rbc__bytes_byte(&dim, 1 << 3);
        rbc__bytes_varint(&dim, (uint64_t)shape[i]);
        put_len(&dims, 2, dim.data, dim.size);
        rbc__bytes_free(&dim);
    }
    rbc__bytes_byte(&tensor, 1 << 3);
    rbc__bytes_varint(&tensor, dtype);
    put_len(&tensor, 2, dims.data, dims.size);
    if (dtype == 7) {
        rbc__bytes_append(&tensor, content, bytes); /* already string_val fields */
    } else {
        put_len(&tensor, 4, content, bytes);
    }
    put_len(&list, 1, tensor.data, tensor.size);
    put_feature(features, key, 1, &list);
    rbc__bytes_free(&dims);
    rbc__bytes_free(&tensor);
    rbc__bytes_free(&list);
}

static const char *const images[3] = {"\xff\xd8\xff one", "\xff\xd8\xff two!", ""};
static const float states[3][2] = {{1, 2}, {3, 4}, {5, 6}};

static void put_dlimp_features(rbc__bytes *features) {
    const uint8_t dones[3] = {0, 0, 1};
    rbc__bytes strings = {0};
    for (int i = 0; i < 3; ++i) {
        put_len(&strings, 8, images[i], strlen(images[i]));
    }
    put_tensor(features, "obs/images0", 7, (const int64_t[]){3}, 1, strings.data, strings.size);
    put_tensor(features, "obs/state", 1, (const int64_t[]){3, 2}, 2, states, sizeof states);
    put_tensor(features, "terminals", 10, (const int64_t[]){3}, 1, dones, 3);
    strings.size = 0;
    put_len(&strings, 8, "open the drawer", 15);
    put_tensor(features, "lang", 7, NULL, 0, strings.data, strings.size);
    put_strings(features, "source", (const char *const[]){"file.hdf5"}, 1);
    rbc__bytes_free(&strings);
}

static void check_dlimp(const char *path) {
    dataset data;
    open_dataset(&data, path);
    if (data.found.num_damaged > 0) {
        fail_msg("%s", data.found.damaged[0].message);
    }
    assert_int_equal(data.schema->num_streams, 3);
    assert_int_equal(data.found.num_episodes, 2);
    assert_int_equal(data.found.episodes[1].num_steps, 3);
    assert_string_equal(data.found.episodes[1].task, "open the drawer");
    const int32_t image = stream_of(&data, "obs/images0");
    assert_int_equal(data.schema->streams[image].kind, RBC_STREAM_IMAGE);
    assert_string_equal(data.schema->streams[image].encoding, "jpeg");
    parsed_episode *episode = parsed_of(&data, 1);
    float read[2][2];
    uint8_t done;
    assert_int_equal(parsed_read(episode, stream_of(&data, "obs/state"), 1, 2, read, NULL), RBC_OK);
    assert_memory_equal(read, states[1], sizeof read);
    const int32_t terminals = stream_of(&data, "terminals");
    assert_int_equal(data.schema->streams[terminals].dtype, RBC__BOOL);
    assert_int_equal(parsed_read(episode, terminals, 2, 1, &done, NULL), RBC_OK);
    assert_int_equal(done, 1);
    for (int i = 0; i < 3; ++i) {
        rbc__sample found;
        assert_int_equal(parsed_locate(episode, image, i, &found, NULL), RBC_OK);
        assert_int_equal(found.num_bytes, strlen(images[i]));
        if (found.num_bytes > 0) {
            assert_memory_equal(found.bytes, images[i], found.num_bytes);
        }
    }
    assert_string_equal(data.found.episodes[1].metadata,
                        "{\"lang\":\"open the drawer\",\"source\":[\"file.hdf5\"]}");
    parsed_close(&episode);
    close_dataset(&data);
}

static void serialized_tensors_are_read_without_features_json(void **state) {
    (void)state;
    char path[128];
    rbc__bytes file = {0};
    rbc__bytes features = {0};
    for (int i = 0; i < 2; ++i) {
        put_dlimp_features(&features);
        put_record(&file, &features);
    }
    write_file(root, "a/train/out.tfrecord", file.data, file.size);
    write_file(root, "a/val/out.tfrecord", file.data, file.size);
    (void)snprintf(path, sizeof path, "%s/a", root);
    check_dlimp(path);
    dataset data;
    open_dataset(&data, path);
    assert_string_equal(data.schema->name, "a");
    assert_int_equal(data.schema->num_parts, 2);
    assert_string_equal(data.schema->parts[1].split, "val");
    close_dataset(&data);
    write_file(root, "b/bridge-train.tfrecord-00000-of-00001", file.data, file.size);
    write_text(root, "b/features.json", "{\"featuresDict\": {\"features\": {" TEXT("lang") "}}}");
    (void)snprintf(path, sizeof path, "%s/b", root);
    check_dlimp(path);
    rbc__bytes_free(&file);
}

static void tensors_that_differ_from_the_first_record_are_damage(void **state) {
    (void)state;
    static const struct {
        unsigned dtype;
        int64_t shape[2];
        size_t bytes;
        const char *part;
    } cases[] = {
        {1, {3, 1}, 12, "'obs/state' has a tensor of 2 dimensions, float32, 1 elements"},
        {2, {3, 2}, 48, "float64"},
        {1, {3, 2}, 20, "has 20 bytes of content"},
        {1, {2, 2}, 16, "'obs/state' has 2 steps"},
        {1, {INT64_MAX, 2}, 16, "extent"},
        {99, {3, 2}, 24, "dtype is 99"},
    };
    const uint8_t content[48] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes file = {0};
        rbc__bytes features = {0};
        put_dlimp_features(&features);
        put_record(&file, &features);
        put_dlimp_features(&features);
        put_tensor(&features, "obs/state", cases[i].dtype, cases[i].shape, 2, content,
                   cases[i].bytes);
        put_record(&file, &features);
        write_file(root, "out.tfrecord", file.data, file.size);
        dataset data;
        open_dataset(&data, root);
        assert_int_equal(data.found.num_episodes, 1);
        assert_int_equal(data.found.num_damaged, 1);
        assert_contains(data.found.damaged[0].message, "out.tfrecord: byte ");
        assert_contains(data.found.damaged[0].message, cases[i].part);
        close_dataset(&data);
        rbc__bytes_free(&file);
    }
}

static void records_without_tensors_need_features_json(void **state) {
    (void)state;
    rbc__bytes file = {0};
    rbc__bytes features = {0};
    const rbc__format *ops;
    rbc__reader *reader;
    rbc_error err;
    put_floats(&features, "steps/x", states[0], 2);
    put_record(&file, &features);
    write_file(root, "x.tfrecord", file.data, file.size);
    assert_int_equal(rbc__format_find(root, NULL, &ops, NULL), RBC_OK);
    assert_int_equal(ops->open(ops, root, NULL, &reader, &err), RBC_ERROR_FORMAT);
    assert_contains(err.message, "x.tfrecord: byte 12");
    assert_null(reader);
    rbc__bytes_free(&file);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(stamps_lie_beside_their_stream),
        TEST(stamps_are_not_assumed),
        TEST(stamps_that_go_back_are_damage),
        TEST(the_task_is_the_first_instruction_that_is_not_empty),
        TEST(metadata_is_json),
        TEST(serialized_tensors_are_read_without_features_json),
        TEST(tensors_that_differ_from_the_first_record_are_damage),
        TEST(records_without_tensors_need_features_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
