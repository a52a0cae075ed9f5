/* What the writer refuses, what it stores beside the episodes, and adding to a dataset. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "declared.h"
#include "helpers.h"

/* A dataset of one scalar and, each on a clock of its own, forces and pictures. */
enum { VALUE, FORCE, FORCE_TIME, CAMERA, CAMERA_TIME, NUM_CLOCKED };

typedef struct clocked {
    float values[3];
    float force[4];
    int64_t force_time[4], force_rows[3], force_time_rows[3], num_force_times;
    const void *camera[3];
    uint64_t camera_bytes[3];
    int64_t camera_time[3];
    int64_t num_steps;
} clocked;

static rbc_stream_info ragged(rbc_stream_info info) {
    info.is_ragged = 1;
    return info;
}

static rbc_status create_clocked(const char *folder, DLDataType times, int32_t append,
                                 double rate_hz, rbc_rlds_writer **writer, rbc_error *err) {
    const rbc_stream_info streams[NUM_CLOCKED] = {
        [VALUE] = stream("value", RBC_STREAM_NUMERIC, f32, 0, 0, 0, 0),
        [FORCE] = ragged(stream("force", RBC_STREAM_NUMERIC, f32, 0, 0, 0, 0)),
        [FORCE_TIME] = ragged(stream("force_time_ns", RBC_STREAM_NUMERIC, times, 0, 0, 0, 0)),
        [CAMERA] = stream("camera", RBC_STREAM_IMAGE, (DLDataType){kDLUInt, 8, 1}, 3, 4, -1, 3),
        [CAMERA_TIME] = stream("camera_time_ns", RBC_STREAM_NUMERIC, i64, 0, 0, 0, 0)};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    params.path = folder;
    params.name = "clocked";
    params.streams = streams;
    params.num_streams = NUM_CLOCKED;
    params.append = append;
    params.control_rate_hz = rate_hz;
    return rbc_rlds_writer_create(&params, writer, err);
}

static rbc_status add_clocked(rbc_rlds_writer *writer, clocked *from, rbc_error *err) {
    int64_t steps[1] = {3};
    int64_t forces[1] = {4};
    DLTensor tensors[NUM_CLOCKED] = {[VALUE] = tensor(from->values, f32, 1, steps),
                                     [FORCE] = tensor(from->force, f32, 1, forces),
                                     [FORCE_TIME] =
                                         tensor(from->force_time, i64, 1, &from->num_force_times),
                                     [CAMERA_TIME] = tensor(from->camera_time, i64, 1, steps)};
    const rbc_rlds_data data[NUM_CLOCKED] = {
        [VALUE] = {.values = &tensors[VALUE]},
        [FORCE] = {.values = &tensors[FORCE], .row_lengths = from->force_rows},
        [FORCE_TIME] = {.values = &tensors[FORCE_TIME], .row_lengths = from->force_time_rows},
        [CAMERA] = {NULL, from->camera, from->camera_bytes, 3, NULL},
        [CAMERA_TIME] = {.values = &tensors[CAMERA_TIME]}};
    return rbc_rlds_writer_add(writer, "train", from->num_steps, data, NULL, err);
}

static void what_a_reader_would_refuse_is_refused(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    rbc_rlds_writer *writer;
    rbc_error err;
    assert_int_equal(create_clocked(folder, f32, 0, 0.0, &writer, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message,
                    "force_time_ns: the stamps of 'force' are int64 nanoseconds, one a "
                    "sample; float32 of shape [] was declared");
    assert_int_equal(create_clocked(folder, i64, 0, -1.0, &writer, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "control_rate_hz is -1");
    assert_int_equal(create_clocked(folder, i64, 0, 0.0, &writer, &err), RBC_OK);
    uint64_t bytes;
    uint64_t tall_bytes;
    void *good = make_png(4, 5, &bytes);
    void *tall = make_png(5, 5, &tall_bytes);
    uint8_t *cut = malloc(bytes);
    memcpy(cut, good, bytes);
    const clocked sound = {.force_time = {5, 5, 9, 12},
                           .force_rows = {2, 0, 2},
                           .force_time_rows = {2, 0, 2},
                           .num_force_times = 4,
                           .camera = {good, NULL, good},
                           .camera_bytes = {bytes, 0, bytes},
                           .camera_time = {-1, 0, 0},
                           .num_steps = 3};
    for (int i = 0; i < 9; ++i) {
        clocked made = sound;
        const char *message;
        switch (i) {
        case 0:
            made.num_steps = 0;
            message = "num_steps is 0; wanted at least 1";
            break;
        case 1:
            made.force_time[3] = 8;
            message = "force_time_ns: step 2, sample 1: stamps go back to 8 after 9";
            break;
        case 2:
            made.camera_time[2] = -2;
            message = "camera_time_ns: sample 2: stamps go back to -2 after 0";
            break;
        case 3:
            made.force_time_rows[2] = 1;
            made.num_force_times = 3;
            message = "force_time_ns: step 2 has 1 stamps, 'force' has 2 samples there";
            break;
        case 4: /* as many in all, but in other steps */
            made.force_time_rows[1] = 1;
            made.force_time_rows[2] = 1;
            message = "force_time_ns: step 1 has 1 stamps, 'force' has 0 samples there";
            break;
        case 5:
            made.camera[2] = tall;
            made.camera_bytes[2] = tall_bytes;
            message = "camera: sample 2: an image of shape [5, 5, 3] and uint8, [4, any, 3] and "
                      "uint8 was declared";
            break;
        case 6:
            made.camera[0] = cut;
            made.camera_bytes[0] = bytes - 20;
            message = "camera: sample 0: ";
            break;
        case 7:
            made.camera[0] = "\xff\xd8\xff\xe0";
            made.camera_bytes[0] = 4;
            message = "camera: sample 0: encoded as jpeg, png was declared";
            break;
        default:
            made.camera[0] = "no image";
            made.camera_bytes[0] = 8;
            message = "camera: sample 0: image of 8 bytes is neither JPEG nor PNG";
        }
        assert_int_equal(add_clocked(writer, &made, &err), RBC_ERROR_INVALID_ARGUMENT);
        assert_contains(err.message, message);
    }
    clocked made = sound;
    assert_int_equal(add_clocked(writer, &made, &err), RBC_OK);
    assert_int_equal(rbc_rlds_writer_close(&writer, &err), RBC_OK);
    dataset read;
    open_dataset(&read, folder);
    assert_int_equal(read.found.num_episodes, 1);
    assert_int_equal(read.found.num_damaged, 0);
    close_dataset(&read);
    free(good);
    free(tall);
    free(cut);
    remove_folder(folder);
}

static void write_clocked(const char *folder, int32_t append, double rate_hz, int episodes) {
    rbc_rlds_writer *writer;
    rbc_error err;
    assert_int_equal(create_clocked(folder, i64, append, rate_hz, &writer, &err), RBC_OK);
    clocked made = {.force_rows = {2, 0, 2},
                    .force_time_rows = {2, 0, 2},
                    .num_force_times = 4,
                    .num_steps = 3};
    for (int i = 0; i < episodes; ++i) {
        assert_int_equal(add_clocked(writer, &made, &err), RBC_OK);
    }
    assert_int_equal(rbc_rlds_writer_close(&writer, &err), RBC_OK);
}

static void the_control_rate_is_stored_and_goes_before_the_table(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_clocked(folder, 0, 12.5, 1);
    dataset read;
    open_dataset(&read, folder);
    assert_float_equal(read.schema->control_rate_hz, 12.5, 0.0);
    close_dataset(&read);
    write_text(folder, "clocked/1.0.0/metadata.json", "[\"anything\"]");
    open_dataset(&read, folder);
    assert_float_equal(read.schema->control_rate_hz, 0.0, 0.0);
    close_dataset(&read);
    remove_folder(folder);
}

static void episodes_are_added_to_a_dataset(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    write_clocked(folder, 1, 10.0, 2); /* there is none yet */
    write_text(folder, "clocked/1.0.0/README.md", "mine");
    write_text(folder, "clocked/1.0.0/notes/a.txt", "mine too");
    write_text(folder, "clocked/1.0.0/.robocache.sqlite", "made anew");
    write_clocked(folder, 1, 0.0, 3);
    (void)snprintf(path, sizeof path, "%s/clocked/1.0.0", folder);
    dataset read;
    open_dataset(&read, path);
    assert_int_equal(read.schema->num_parts, 2);
    assert_string_equal(read.schema->parts[1].path, "clocked-train.tfrecord-00001-of-00002");
    assert_int_equal(read.schema->parts[0].num_records, 2);
    assert_int_equal(read.schema->parts[1].num_records, 3);
    assert_int_equal(read.found.num_episodes, 2);
    assert_float_equal(read.schema->control_rate_hz, 10.0, 0.0);
    close_dataset(&read);
    static const struct {
        const char *name;
        int there;
    } files[] = {{"README.md", 0},
                 {"notes/a.txt", 0},
                 {".robocache.sqlite", -1},
                 {"clocked-train.tfrecord-00000-of-00001", -1}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
        struct stat info;
        (void)snprintf(path, sizeof path, "%s/clocked/1.0.0/%s", folder, files[i].name);
        assert_int_equal(stat(path, &info), files[i].there);
    }
    rbc_rlds_writer *writer;
    rbc_error err;
    assert_int_equal(create_clocked(folder, i64, 1, 20.0, &writer, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "control_rate_hz is 20; the episodes in ");
    remove_folder(folder);
}

static void another_schema_cannot_be_added(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_clocked(folder, 0, 0.0, 1);
    rbc_stream_info streams[2] = {stream("value", RBC_STREAM_NUMERIC, f32, 1, 2, 0, 0),
                                  stream("more", RBC_STREAM_NUMERIC, f32, 0, 0, 0, 0)};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    rbc_error err;
    params.path = folder;
    params.name = "clocked";
    params.append = 1;
    params.streams = streams;
    params.num_streams = 1;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "its feature 'value' is float32 [], float32 [2] was declared");
    streams[0].ndim = 0;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "', which was not declared");
    params.num_streams = 2;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "has no feature 'more', which was declared");
    remove_folder(folder);
}

/* Two that add to one dataset: the second is told, and loses nothing of the first. */
static void a_dataset_that_was_replaced_is_not_replaced_again(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_clocked(folder, 0, 0.0, 1);
    rbc_rlds_writer *writer;
    rbc_error err;
    clocked made = {
        .num_steps = 3, .force_rows = {4}, .force_time_rows = {4}, .num_force_times = 4};
    assert_int_equal(create_clocked(folder, i64, 1, 0.0, &writer, &err), RBC_OK);
    assert_int_equal(add_clocked(writer, &made, &err), RBC_OK);
    write_clocked(folder, 1, 0.0, 5);
    assert_int_equal(rbc_rlds_writer_close(&writer, &err), RBC_ERROR_IO);
    assert_contains(err.message, "was replaced while episodes were added to it");
    dataset read;
    open_dataset(&read, folder);
    assert_int_equal(read.schema->parts[1].num_records, 5);
    close_dataset(&read);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_reader_would_refuse_is_refused),
        cmocka_unit_test(the_control_rate_is_stored_and_goes_before_the_table),
        cmocka_unit_test(episodes_are_added_to_a_dataset),
        cmocka_unit_test(another_schema_cannot_be_added),
        cmocka_unit_test(a_dataset_that_was_replaced_is_not_replaced_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
