/* What the writer writes, the reader reads. With ROBOCACHE_KEEP set to a folder the dataset is left
 * there, for other programs to look at. */
#define _GNU_SOURCE

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "declared.h"
#include "helpers.h"

enum { STEPS = 40, FAST = 97, NUM_STREAMS = 17 };

/* Every dtype, with its smallest and largest value. */
typedef struct numeric {
    const char *name;
    DLDataType dtype;
    int64_t width;
} numeric;

static const numeric numerics[] = {
    {"action", {kDLFloat, 32, 1}, 7},   {"pose/f64", {kDLFloat, 64, 1}, 3},
    {"pose/f16", {kDLFloat, 16, 1}, 2}, {"pose/bf16", {kDLBfloat, 16, 1}, 2},
    {"is_first", {kDLBool, 8, 1}, 1},   {"pixels", {kDLUInt, 8, 1}, 300},
    {"small/i8", {kDLInt, 8, 1}, 3},    {"small/i16", {kDLInt, 16, 1}, 2},
    {"small/i32", {kDLInt, 32, 1}, 2},  {"small/i64", {kDLInt, 64, 1}, 1},
    {"small/u16", {kDLUInt, 16, 1}, 2}, {"small/u32", {kDLUInt, 32, 1}, 2},
    {"small/u64", {kDLUInt, 64, 1}, 1},
};
enum { NUMERICS = sizeof numerics / sizeof numerics[0] };

/* Values whose bytes survive the file: floats are small dyadic fractions, bool is 0 or 1. */
static void fill_values(const numeric *kind, uint8_t *data, int64_t count, int episode) {
    for (int64_t i = 0; i < count; ++i) {
        const int64_t k = (i * 7 + episode) % 64;
        const uint64_t integer = i % 5 == 0 ? 0 : UINT64_MAX >> (i % 61);
        const float f = (float)k / 8.0f - 2.0f;
        const double d = f;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        const uint16_t bf = (uint16_t)(bits >> 16);
        const uint16_t half = (uint16_t)(k == 0 ? 0xc000 : 0x3c00 + k);
        const size_t size = kind->dtype.bits / 8;
        uint8_t *at = data + (size_t)i * size;
        if (kind->dtype.code == kDLFloat) {
            memcpy(at, size == 4 ? (const void *)&f : size == 8 ? (const void *)&d : &half, size);
        } else if (kind->dtype.code == kDLBfloat) {
            memcpy(at, &bf, 2);
        } else if (kind->dtype.code == kDLBool) {
            *at = i % 3 == 0;
        } else {
            memcpy(at, &integer, size);
        }
    }
}

typedef struct episode {
    uint8_t *values[NUMERICS];
    void *encoded[STEPS];
    const void *images[STEPS], *texts[STEPS];
    uint64_t image_bytes[STEPS], text_bytes[STEPS];
    char storage[STEPS][64];
    float joints[FAST][2];
    int64_t stamps[FAST];
    int64_t rows[STEPS];
} episode;

static episode *make_episode(int number) {
    episode *made = calloc(1, sizeof *made);
    assert_non_null(made);
    for (int i = 0; i < NUMERICS; ++i) {
        const int64_t count = numerics[i].width * STEPS;
        made->values[i] = malloc((size_t)count * 8);
        assert_non_null(made->values[i]);
        fill_values(&numerics[i], made->values[i], count, number);
    }
    for (int i = 0; i < STEPS; ++i) {
        (void)snprintf(made->storage[i], 64, "text %d of %d%*s", i, number, i % 9, "");
        made->encoded[i] =
            i % 6 == 5 ? NULL : make_png(4, 1 + (uint32_t)(i + number) % 9, &made->image_bytes[i]);
        made->images[i] = made->encoded[i];
        made->texts[i] = number == 0 ? "put the cup down" : made->storage[i];
        made->text_bytes[i] = strlen(made->texts[i]);
        made->rows[i] = i % 4 == 0 ? 0 : 3;
    }
    made->rows[STEPS - 1] += FAST - 90;
    for (int i = 0; i < FAST; ++i) {
        made->joints[i][0] = (float)i;
        made->joints[i][1] = (float)number;
        made->stamps[i] = INT64_C(1700000000000000000) + i * 4999999 + number;
    }
    return made;
}

static void free_episode(episode *made) {
    for (int i = 0; i < NUMERICS; ++i) {
        free(made->values[i]);
    }
    for (int i = 0; i < STEPS; ++i) {
        free(made->encoded[i]);
    }
    free(made);
}

static void declare(rbc_stream_info streams[NUM_STREAMS]) {
    int n = 0;
    for (; n < NUMERICS; ++n) {
        streams[n] = stream(numerics[n].name, RBC_STREAM_NUMERIC, numerics[n].dtype,
                            numerics[n].width > 1, numerics[n].width, 0, 0);
    }
    streams[n++] =
        stream("observation/image", RBC_STREAM_IMAGE, (DLDataType){kDLUInt, 8, 1}, 3, 4, -1, 3);
    streams[n++] = stream("language_instruction", RBC_STREAM_TEXT, f32, 0, 0, 0, 0);
    streams[n] = stream("observation/joints", RBC_STREAM_NUMERIC, f32, 1, 2, 0, 0);
    streams[n++].is_ragged = 1;
    streams[n] = stream("observation/joints_time_ns", RBC_STREAM_NUMERIC, i64, 0, 0, 0, 0);
    streams[n++].is_ragged = 1;
    assert_int_equal(n, NUM_STREAMS);
}

static rbc_status add_episode(rbc_rlds_writer *writer, const char *split, episode *made, int number,
                              rbc_error *err) {
    rbc_rlds_data data[NUM_STREAMS] = {0};
    DLTensor tensors[NUM_STREAMS];
    int64_t shapes[NUM_STREAMS][2];
    int n = 0;
    for (; n < NUMERICS; ++n) {
        shapes[n][0] = STEPS;
        shapes[n][1] = numerics[n].width;
        tensors[n] =
            tensor(made->values[n], numerics[n].dtype, 1 + (numerics[n].width > 1), shapes[n]);
        data[n].values = &tensors[n];
    }
    data[n++] = (rbc_rlds_data){NULL, made->images, made->image_bytes, STEPS, NULL};
    data[n++] = (rbc_rlds_data){NULL, made->texts, made->text_bytes, STEPS, NULL};
    int64_t joints_shape[2] = {FAST, 2};
    int64_t stamps_shape[1] = {FAST};
    DLTensor joints = tensor(made->joints, f32, 2, joints_shape);
    DLTensor stamps = tensor(made->stamps, i64, 1, stamps_shape);
    data[n++] = (rbc_rlds_data){.values = &joints, .row_lengths = made->rows};
    data[n++] = (rbc_rlds_data){.values = &stamps, .row_lengths = made->rows};
    int64_t id = number;
    DLTensor id_tensor = tensor(&id, i64, 0, NULL);
    const void *operator_name = "An\xc3\xa4";
    const uint64_t operator_bytes = 4;
    const rbc_rlds_data metadata[2] = {{.values = &id_tensor},
                                       {NULL, &operator_name, &operator_bytes, 1, NULL}};
    return rbc_rlds_writer_add(writer, split, STEPS, data, metadata, err);
}

static rbc_rlds_writer *create(const char *folder, uint64_t shard_bytes) {
    rbc_stream_info streams[NUM_STREAMS];
    rbc_stream_info metadata[2] = {stream("episode_id", RBC_STREAM_NUMERIC, i64, 0, 0, 0, 0),
                                   stream("operator", RBC_STREAM_TEXT, f32, 0, 0, 0, 0)};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    rbc_error err;
    declare(streams);
    params.path = folder;
    params.name = "every_kind";
    params.description = "Every kind of stream.";
    params.streams = streams;
    params.num_streams = NUM_STREAMS;
    params.metadata = metadata;
    params.num_metadata = 2;
    params.shard_bytes = shard_bytes;
    if (rbc_rlds_writer_create(&params, &writer, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    return writer;
}

static void write_all(const char *folder, uint64_t shard_bytes, int episodes) {
    rbc_rlds_writer *writer = create(folder, shard_bytes);
    rbc_error err;
    for (int i = 0; i < episodes; ++i) {
        episode *made = make_episode(i);
        if (add_episode(writer, i % 3 == 2 ? "val" : "train", made, i, &err) != RBC_OK) {
            fail_msg("%s", err.message);
        }
        free_episode(made);
    }
    if (rbc_rlds_writer_close(&writer, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    assert_null(writer);
}

static void check_episode(dataset *data, int index, int number) {
    rbc_error err;
    episode *made = make_episode(number);
    parsed_episode *parsed = parsed_of(data, index);
    int64_t count;
    for (int i = 0; i < NUMERICS; ++i) {
        const int32_t at = stream_of(data, numerics[i].name);
        const size_t bytes = (size_t)numerics[i].width * numerics[i].dtype.bits / 8;
        uint8_t *read = malloc(bytes * STEPS);
        assert_int_equal(parsed_count(parsed, at, &count, NULL, &err), RBC_OK);
        assert_int_equal(count, STEPS);
        assert_int_equal(parsed_read(parsed, at, 0, STEPS, read, &err), RBC_OK);
        assert_memory_equal(read, made->values[i], bytes * STEPS);
        assert_int_equal(parsed_read(parsed, at, 17, 2, read, &err), RBC_OK);
        assert_memory_equal(read, made->values[i] + 17 * bytes, 2 * bytes);
        free(read);
    }
    for (int i = 0; i < 2; ++i) {
        const int32_t at = stream_of(data, i ? "language_instruction" : "observation/image");
        for (int j = 0; j < STEPS; ++j) {
            rbc__sample found;
            const uint64_t bytes = i ? made->text_bytes[j] : made->image_bytes[j];
            assert_int_equal(parsed_locate(parsed, at, j, &found, &err), RBC_OK);
            assert_int_equal(found.num_bytes, bytes);
            if (bytes > 0) {
                assert_memory_equal(found.bytes, i ? made->texts[j] : made->images[j], bytes);
            }
        }
    }
    int64_t rows[STEPS];
    float joints[FAST][2];
    const int32_t at = stream_of(data, "observation/joints");
    assert_int_equal(parsed_count(parsed, at, &count, rows, &err), RBC_OK);
    assert_int_equal(count, FAST);
    assert_memory_equal(rows, made->rows, sizeof rows);
    assert_int_equal(parsed_read(parsed, at, 0, FAST, joints, &err), RBC_OK);
    assert_memory_equal(joints, made->joints, sizeof joints);
    assert_int_equal(data->schema->streams[at].times,
                     stream_of(data, "observation/joints_time_ns"));
    assert_true(data->schema->streams[at].is_ragged);
    assert_int_equal(data->found.episodes[index].start_ns, made->stamps[0]);
    assert_int_equal(data->found.episodes[index].end_ns, made->stamps[FAST - 1]);
    char want[64];
    (void)snprintf(want, sizeof want, "{\"episode_id\":%d,\"operator\":\"An\xc3\xa4\"}", number);
    assert_string_equal(data->found.episodes[index].metadata, want);
    parsed_close(&parsed);
    free_episode(made);
}

static void reader_reads_what_was_written(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    const char *keep = getenv("ROBOCACHE_KEEP");
    write_all(keep ? keep : folder, 0, 5);
    (void)snprintf(path, sizeof path, "%s/every_kind", keep ? keep : folder);
    dataset data;
    open_dataset(&data, path);
    assert_string_equal(data.schema->name, "every_kind");
    assert_string_equal(data.schema->version, "1.0.0");
    assert_int_equal(data.schema->num_parts, 2);
    assert_int_equal(data.schema->parts[0].num_records, 4);
    assert_int_equal(data.found.num_damaged, 0);
    assert_int_equal(data.found.num_episodes, 4);
    static const int numbers[] = {0, 1, 3, 4};
    for (int i = 0; i < 4; ++i) {
        check_episode(&data, i, numbers[i]);
    }
    assert_string_equal(data.found.episodes[0].task, "put the cup down");
    close_dataset(&data);
    remove_folder(folder);
}

static void shards_are_cut_by_size(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    write_all(folder, 1, 4);
    (void)snprintf(path, sizeof path, "%s/every_kind/1.0.0", folder);
    dataset data;
    open_dataset(&data, path);
    assert_int_equal(data.schema->num_parts, 4);
    assert_string_equal(data.schema->parts[1].path, "every_kind-train.tfrecord-00001-of-00003");
    assert_string_equal(data.schema->parts[3].split, "val");
    assert_int_equal(data.found.num_episodes, 1);
    close_dataset(&data);
    remove_folder(folder);
}

typedef struct worker {
    rbc__reader *reader;
    int64_t file;
    caught found;
    rbc_status status;
} worker;

static void *index_one(void *argument) {
    worker *self = argument;
    const rbc__index_sink sink = catch_all(&self->found);
    self->status = rbc__rlds_format.index_part(self->reader, self->file, &sink, NULL);
    return NULL;
}

static void files_are_indexed_by_several_threads(void **state) {
    char folder[64];
    rbc__reader *reader;
    worker workers[4];
    pthread_t threads[4];
    (void)state;
    make_folder(folder);
    write_all(folder, 1, 4);
    assert_int_equal(rbc__rlds_format.open(&rbc__rlds_format, folder, NULL, &reader, NULL), RBC_OK);
    for (int i = 0; i < 4; ++i) {
        workers[i] = (worker){.reader = reader, .file = i};
        assert_int_equal(pthread_create(&threads[i], NULL, index_one, &workers[i]), 0);
    }
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].status, RBC_OK);
        assert_int_equal(workers[i].found.num_episodes, 1);
        release(&workers[i].found);
    }
    rbc__rlds_format.close(&reader);
    remove_folder(folder);
}

static void a_dataset_is_not_there_before_it_is_closed(void **state) {
    char folder[64];
    char path[128];
    struct stat info;
    (void)state;
    make_folder(folder);
    (void)snprintf(path, sizeof path, "%s/every_kind/1.0.0", folder);
    rbc_rlds_writer *writer = create(folder, 0);
    episode *made = make_episode(0);
    assert_int_equal(add_episode(writer, "train", made, 0, NULL), RBC_OK);
    assert_int_not_equal(stat(path, &info), 0);
    rbc_rlds_writer_destroy(&writer);
    (void)snprintf(path, sizeof path, "%s/every_kind", folder);
    assert_int_equal(remove(path), 0); /* empty: nothing was left behind */
    free_episode(made);
    remove_folder(folder);
}

static void an_existing_dataset_is_not_overwritten(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_all(folder, 0, 1);
    rbc_stream_info one = stream("x", RBC_STREAM_NUMERIC, f32, 0, 0, 0, 0);
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    rbc_error err;
    params.path = folder;
    params.name = "every_kind";
    params.streams = &one;
    params.num_streams = 1;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "/every_kind/1.0.0: is there already");
    remove_folder(folder);
}

static void mistakes_are_named(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    rbc_stream_info streams[2] = {stream("state", RBC_STREAM_NUMERIC, f32, 1, 7, 0, 0),
                                  stream("task", RBC_STREAM_TEXT, f32, 0, 0, 0, 0)};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    rbc_error err;
    params.path = folder;
    params.name = "toy";
    params.streams = streams;
    params.num_streams = 2;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_OK);
    float values[3][6] = {{0}};
    int64_t shape[2] = {3, 6};
    DLTensor state_tensor = tensor(values, f32, 2, shape);
    const void *texts[3] = {"a", "b", "\xff"};
    const uint64_t sizes[3] = {1, 1, 1};
    rbc_rlds_data data[2] = {{.values = &state_tensor}, {NULL, texts, sizes, 3, NULL}};
    assert_int_equal(rbc_rlds_writer_add(writer, "train", 3, data, NULL, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "state");
    assert_contains(err.message, "[3, 6]");
    shape[1] = 7;
    float wide[3][7] = {{0}};
    state_tensor.data = wide;
    assert_int_equal(rbc_rlds_writer_add(writer, "train", 3, data, NULL, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "task: sample 2: not UTF-8");
    texts[2] = "c";
    assert_int_equal(rbc_rlds_writer_add(writer, "no/good", 3, data, NULL, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "no/good");
    assert_int_equal(rbc_rlds_writer_close(&writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "no episode");
    assert_null(writer);
    streams[1].name = "state/left";
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "steps/state/left");
    assert_null(writer);
    params.struct_size = 0;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    remove_folder(folder);
}

static void fields_beyond_struct_size_are_not_read(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    rbc_stream_info one = stream("state", RBC_STREAM_NUMERIC, f32, 1, 7, 0, 0);
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    rbc_error err;
    params.path = folder;
    params.name = "toy";
    params.streams = &one;
    params.num_streams = 1;
    params.control_rate_hz = -5.0;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "control_rate_hz is -5");
    params.struct_size = offsetof(rbc_rlds_writer_params, control_rate_hz);
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_OK);
    rbc_rlds_writer_destroy(&writer);
    remove_folder(folder);
}

/* As on a full disk: what was added before is whole, and can be kept. */
static void a_failed_write_leaves_the_episodes_before_it(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    rbc_stream_info one = stream("state", RBC_STREAM_NUMERIC, f32, 1, 4096, 0, 0);
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    rbc_error err;
    params.path = folder;
    params.name = "toy";
    params.streams = &one;
    params.num_streams = 1;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, &err), RBC_OK);
    static float values[4][4096];
    int64_t shape[2] = {1, 4096};
    DLTensor rows = tensor(values, f32, 2, shape);
    const rbc_rlds_data data = {.values = &rows};
    assert_int_equal(rbc_rlds_writer_add(writer, "train", 1, &data, NULL, &err), RBC_OK);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {40000, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    shape[0] = 4;
    const rbc_status first = rbc_rlds_writer_add(writer, "train", 4, &data, NULL, &err);
    const rbc_status second = rbc_rlds_writer_add(writer, "val", 4, &data, NULL, NULL);
    shape[0] = 1;
    const rbc_status third = rbc_rlds_writer_add(writer, "train", 1, &data, NULL, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(first, RBC_ERROR_IO);
    assert_contains(err.message, "cannot be written");
    assert_int_equal(second, RBC_ERROR_IO);
    assert_int_equal(third, RBC_OK);
    assert_int_equal(rbc_rlds_writer_close(&writer, &err), RBC_OK);
    dataset read;
    open_dataset(&read, folder);
    assert_int_equal(read.schema->num_parts, 1); /* split "val" has no episode */
    assert_int_equal(read.schema->parts[0].num_records, 2);
    assert_int_equal(read.found.num_episodes, 2);
    assert_int_equal(read.found.num_damaged, 0);
    close_dataset(&read);
    remove_folder(folder);
}

static void strided_tensors_are_read_by_their_strides(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    rbc_stream_info one = stream("state", RBC_STREAM_NUMERIC, f32, 1, 2, 0, 0);
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    rbc_rlds_writer *writer;
    params.path = folder;
    params.name = "toy";
    params.version = "2.0.1";
    params.streams = &one;
    params.num_streams = 1;
    assert_int_equal(rbc_rlds_writer_create(&params, &writer, NULL), RBC_OK);
    float values[2][3] = {{1, 2, 3}, {4, 5, 6}};
    int64_t shape[2] = {3, 2};
    int64_t strides[2] = {1, 3};
    DLTensor transposed = tensor(values, f32, 2, shape);
    transposed.strides = strides;
    const rbc_rlds_data data = {.values = &transposed};
    assert_int_equal(rbc_rlds_writer_add(writer, "all", 3, &data, NULL, NULL), RBC_OK);
    assert_int_equal(rbc_rlds_writer_close(&writer, NULL), RBC_OK);
    (void)snprintf(path, sizeof path, "%s/toy", folder);
    dataset read;
    open_dataset(&read, path);
    assert_string_equal(read.schema->version, "2.0.1");
    parsed_episode *parsed = parsed_of(&read, 0);
    float back[3][2];
    assert_int_equal(parsed_read(parsed, 0, 0, 3, back, NULL), RBC_OK);
    const float want[3][2] = {{1, 4}, {2, 5}, {3, 6}};
    assert_memory_equal(back, want, sizeof want);
    parsed_close(&parsed);
    close_dataset(&read);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_reads_what_was_written),
        cmocka_unit_test(shards_are_cut_by_size),
        cmocka_unit_test(files_are_indexed_by_several_threads),
        cmocka_unit_test(a_dataset_is_not_there_before_it_is_closed),
        cmocka_unit_test(an_existing_dataset_is_not_overwritten),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(fields_beyond_struct_size_are_not_read),
        cmocka_unit_test(a_failed_write_leaves_the_episodes_before_it),
        cmocka_unit_test(strided_tensors_are_read_by_their_strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
