/* Loaders over datasets on disk: batches equal what the episodes hold, and files that are damaged
 * or shrink while a loader reads them are errors. */
#define _XOPEN_SOURCE 700

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <robocache/robocache.h>

#include "fields.h"
#include "written.h"

static const DLDataType f32 = {kDLFloat, 32, 1};
static const DLDataType i64 = {kDLInt, 64, 1};
static const DLDataType u8 = {kDLUInt, 8, 1};

static const int32_t pair[] = {-1, 0};
static const int32_t chunk[] = {0, 1, 2, 3};
static const int64_t recent[] = {-90000000, -45000000, 0};

static int32_t make_windows(rbc_window *windows) {
    const rbc_window defaults = RBC_WINDOW_INIT;
    for (int32_t i = 0; i < 5; ++i) {
        windows[i] = defaults;
    }
    windows[0].stream = "observation/state";
    windows[0].name = "state";
    windows[0].ticks = chunk;
    windows[0].count = 4;
    windows[0].mode = RBC_RESAMPLE_LINEAR;
    windows[1].stream = "observation/imu";
    windows[1].name = "imu";
    windows[1].offsets_ns = recent;
    windows[1].count = 3;
    windows[1].mode = RBC_RESAMPLE_LINEAR;
    windows[1].max_gap_ns = 60e6;
    windows[2].stream = "observation/image";
    windows[2].name = "image";
    windows[2].ticks = pair;
    windows[2].count = 2;
    windows[3].stream = "observation/cloud";
    windows[3].name = "cloud";
    windows[3].ticks = pair;
    windows[3].count = 2;
    windows[3].mode = RBC_RESAMPLE_NEAREST;
    windows[3].max_points = MAX_POINTS;
    windows[4].stream = "language_instruction";
    windows[4].name = "text";
    windows[4].ticks = pair + 1;
    windows[4].count = 1;
    return 5;
}

static rbc_selection *open_selection(const char *path, const char *catalog) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.control_rate_hz = 10.0;
    params.catalog_path = catalog;
    rbc_dataset *dataset = NULL;
    rbc_selection *selection = NULL;
    rbc_error error;
    expect_ok(rbc_dataset_open(path, &params, &dataset, &error), &error);
    expect_ok(rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &selection, &error), &error);
    rbc_dataset_close(&dataset);
    return selection;
}

static int64_t number_at(const rbc_batch *batch, const char *name, int64_t row) {
    return ((const int64_t *)field_of(batch, name)->tensor.data)[row];
}

static int32_t stream_named(rbc_dataset *dataset, const char *name) {
    int32_t index = -1;
    rbc_error error;
    expect_ok(rbc_dataset_find_stream(dataset, name, &index, &error), &error);
    return index;
}

/* Whole numeric stream [count, width] of an episode, and its stamps: malloc'ed. */
static void read_stream(rbc_episode *episode, int32_t stream, int64_t width, float **values,
                        int64_t **times, int64_t *count) {
    rbc_error error;
    expect_ok(rbc_episode_count(episode, stream, count, NULL, &error), &error);
    *values = malloc((size_t)(*count * width) * sizeof **values + 1);
    *times = malloc((size_t)*count * sizeof **times + 1);
    expect_ok(rbc_episode_read(episode, stream, 0, *count, *values,
                               (uint64_t)(*count * width) * sizeof **values, &error),
              &error);
    expect_ok(rbc_episode_times(episode, stream, 0, *count, *times, &error), &error);
}

static void check_numeric(rbc_context *context, rbc_episode *episode, int32_t stream,
                          const rbc_batch *batch, const rbc_window *window, int64_t width,
                          int64_t row, double rate_hz) {
    float *values = NULL;
    int64_t *times = NULL;
    int64_t count = 0;
    read_stream(episode, stream, width, &values, &times, &count);
    int64_t targets[8];
    float expected[8 * 7];
    uint8_t valid[8];
    for (int32_t i = 0; i < window->count; ++i) {
        const int64_t now = number_at(batch, "time_ns", row);
        targets[i] = now + (window->ticks != NULL ? (int64_t)(window->ticks[i] * 1e9 / rate_hz)
                                                  : window->offsets_ns[i]);
    }
    int64_t values_shape[] = {count, width};
    int64_t out_shape[] = {1, window->count, width};
    const DLDevice cpu = {kDLCPU, 0};
    const DLTensor values_tensor = {
        .data = values, .device = cpu, .ndim = 2, .dtype = f32, .shape = values_shape};
    const DLTensor times_tensor = {
        .data = times, .device = cpu, .ndim = 1, .dtype = i64, .shape = values_shape};
    const DLTensor targets_tensor = {
        .data = targets, .device = cpu, .ndim = 2, .dtype = i64, .shape = out_shape};
    const DLTensor out_tensor = {
        .data = expected, .device = cpu, .ndim = 3, .dtype = f32, .shape = out_shape};
    const DLTensor valid_tensor = {
        .data = valid, .device = cpu, .ndim = 2, .dtype = u8, .shape = out_shape};
    rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
    source.values = &values_tensor;
    source.times = &times_tensor;
    source.mode = window->mode;
    source.max_gap = window->max_gap_ns;
    rbc_error error;
    expect_ok(rbc_resample(context, &source, &targets_tensor, &out_tensor, &valid_tensor, NULL,
                           NULL, &error),
              &error);
    const size_t row_bytes = (size_t)(window->count * width) * sizeof(float);
    assert_memory_equal((const char *)field_of(batch, window->name)->tensor.data +
                            (size_t)row * row_bytes,
                        expected, row_bytes);
    char name[64];
    snprintf(name, sizeof name, "%s_valid", window->name);
    assert_memory_equal((const char *)field_of(batch, name)->tensor.data + row * window->count,
                        valid, (size_t)window->count);
    free(values);
    free(times);
}

static int64_t clamped(int64_t step, int64_t count) {
    return step < 0 ? 0 : step >= count ? count - 1 : step;
}

static void check_samples(rbc_episode *episode, const int32_t *streams, const rbc_batch *batch,
                          int64_t row) {
    rbc_error error;
    int64_t steps = 0;
    int64_t lengths[64];
    int64_t num_points = 0;
    expect_ok(rbc_episode_count(episode, streams[IMAGE], &steps, NULL, &error), &error);
    expect_ok(rbc_episode_count(episode, streams[CLOUD], &num_points, lengths, &error), &error);
    const int64_t tick = number_at(batch, "step_index", row);
    for (int64_t i = 0; i < 2; ++i) {
        const int64_t step = clamped(tick + pair[i], steps);
        uint8_t pixels[PIXEL_BYTES];
        expect_ok(rbc_episode_read(episode, streams[IMAGE], step, 1, pixels, sizeof pixels, &error),
                  &error);
        assert_memory_equal((const uint8_t *)field_of(batch, "image")->tensor.data +
                                (row * 2 + i) * PIXEL_BYTES,
                            pixels, PIXEL_BYTES);
        int64_t first = 0;
        for (int64_t s = 0; s < step; ++s) {
            first += lengths[s];
        }
        float expected[MAX_POINTS * 3] = {0};
        expect_ok(rbc_episode_read(episode, streams[CLOUD], first, lengths[step], expected,
                                   (uint64_t)lengths[step] * 3 * sizeof(float), &error),
                  &error);
        assert_memory_equal((const char *)field_of(batch, "cloud")->tensor.data +
                                (size_t)(row * 2 + i) * sizeof expected,
                            expected, sizeof expected);
        assert_int_equal(number_at(batch, "cloud_lengths", row * 2 + i), lengths[step]);
    }
    rbc_episode_info info;
    rbc_episode_get_info(episode, &info);
    const int32_t fields = rbc_batch_num_fields(batch);
    assert_string_equal(rbc_batch_text(batch, fields - 1, row, NULL), info.task);
    for (int32_t f = 0; f < fields; ++f) {
        if (strcmp(rbc_batch_field(batch, f)->name, "text") == 0) {
            assert_string_equal(rbc_batch_text(batch, f, row, NULL), info.task);
        }
    }
}

static void batches_equal_the_episodes(void **state) {
    (void)state;
    char root[64];
    char path[128];
    write_dataset(root, path);
    rbc_selection *selection = open_selection(path, NULL);
    rbc_dataset *dataset = rbc_selection_dataset(selection);
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    const char *const names[NUM_STREAMS] = {"observation/state",       "observation/imu",
                                            "observation/imu_time_ns", "observation/image",
                                            "observation/cloud",       "language_instruction"};
    int32_t streams[NUM_STREAMS];
    for (int32_t i = 0; i < NUM_STREAMS; ++i) {
        streams[i] = stream_named(dataset, names[i]);
    }
    rbc_window windows[5];
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = make_windows(windows);
    params.batch_size = 7;
    params.shuffle = 1;
    params.num_threads = 2;
    rbc_loader *loader = NULL;
    rbc_error error;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    int64_t rows = 0;
    rbc_batch *batch = NULL;
    rbc_status status;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        for (int64_t row = 0; row < field_of(batch, "time_ns")->tensor.shape[0]; row++, rows++) {
            rbc_episode *episode = NULL;
            expect_ok(
                rbc_episode_open(dataset, number_at(batch, "episode_id", row), &episode, &error),
                &error);
            check_numeric(context, episode, streams[STATE], batch, &windows[0], 7, row, 10.0);
            check_numeric(context, episode, streams[IMU], batch, &windows[1], 3, row, 10.0);
            check_samples(episode, streams, batch, row);
            rbc_episode_close(&episode);
        }
        rbc_batch_release(&batch);
    }
    assert_int_equal(status, RBC_END);
    assert_int_equal(rows, rbc_loader_num_samples(loader));
    assert_true(rows > 60);
    rbc_loader_destroy(&loader);
    rbc_selection_destroy(&selection);
    rbc_context_destroy(&context);
    remove_dataset(root);
}

/* The shard's path, and its content: malloc'ed. */
static uint8_t *read_shard(const char *folder, char path[256], size_t *bytes) {
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    path[0] = '\0';
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (strstr(entry->d_name, "tfrecord") != NULL) {
            snprintf(path, 256, "%s/%.100s", folder, entry->d_name);
        }
    }
    closedir(entries);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *content = malloc(1U << 20);
    *bytes = fread(content, 1, 1U << 20, file);
    fclose(file);
    return content;
}

/* Ruins the compressed pixels of image `index` in the shard as a failing disk does, in place and
 * without a trace in the file's time; where it begins. */
static int64_t damage_image(const char *folder, int index) {
    char path[256];
    size_t bytes = 0;
    uint8_t *content = read_shard(folder, path, &bytes);
    int64_t found = -1;
    for (size_t i = 0; i + 64 < bytes && index >= 0; ++i) {
        if (memcmp(content + i, "\x89PNG\r\n\x1a\n", 8) == 0 && index-- == 0) {
            found = (int64_t)i;
        }
    }
    assert_true(found >= 0);
    const int file = open(path, O_WRONLY);
    const uint8_t zeros[24] = {0};
    struct stat before;
    assert_int_equal(fstat(file, &before), 0);
    assert_int_equal(pwrite(file, zeros, sizeof zeros, found + 44), sizeof zeros);
    assert_int_equal(futimens(file, (struct timespec[2]){before.st_mtim, before.st_mtim}), 0);
    close(file);
    free(content);
    return found;
}

static void a_damaged_image_is_an_error_or_left_out(void **state) {
    (void)state;
    char root[64];
    char path[128];
    write_dataset(root, path);
    rbc_selection *selection = open_selection(path, NULL);
    const int64_t offset = damage_image(path, 17);
    char at_byte[64];
    snprintf(at_byte, sizeof at_byte, "byte %lld", (long long)offset);
    rbc_window windows[5];
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    make_windows(windows);
    params.windows = windows + 2;
    params.num_windows = 1;
    params.batch_size = 7;
    rbc_loader *loader = NULL;
    rbc_error error;
    rbc_batch *batch = NULL;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    int64_t failed = 0;
    int64_t delivered = 0;
    for (rbc_status status = RBC_OK; status != RBC_END;) {
        status = rbc_loader_next(loader, -1, &batch, &error);
        delivered += status == RBC_OK;
        rbc_batch_release(&batch);
        if (status == RBC_ERROR_FORMAT) {
            ++failed;
            assert_non_null(strstr(error.message, at_byte));
            assert_non_null(strstr(error.message, "tfrecord"));
            assert_non_null(strstr(error.message, "observation/image"));
        }
    }
    assert_true(failed >= 1 && failed <= 2);
    assert_int_equal(failed + delivered, rbc_loader_num_batches(loader));
    rbc_loader_destroy(&loader);
    params.on_error = RBC_ON_ERROR_SKIP;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    while (rbc_loader_next(loader, -1, &batch, &error) == RBC_OK) {
        rbc_batch_release(&batch);
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_in_range(stats.samples_skipped, 1, 2); /* in view of one sample, or of two */
    assert_int_equal(stats.samples_delivered + stats.samples_skipped,
                     rbc_loader_num_samples(loader));
    char message[RBC_ERROR_MESSAGE_BYTES];
    expect_ok(rbc_loader_skipped(loader, 0, message, sizeof message, &error), &error);
    assert_non_null(strstr(message, at_byte));
    rbc_loader_destroy(&loader);
    rbc_selection_destroy(&selection);
    remove_dataset(root);
}

static void a_file_that_shrinks_is_an_error(void **state) {
    (void)state;
    char root[64];
    char path[128];
    write_dataset(root, path);
    rbc_selection *selection = open_selection(path, NULL);
    rbc_window windows[5];
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = make_windows(windows);
    params.batch_size = 5;
    params.num_threads = 1;
    params.num_slots = 1;
    rbc_loader *loader = NULL;
    rbc_error error;
    rbc_batch *batch = NULL;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    expect_ok(rbc_loader_next(loader, -1, &batch, &error), &error);
    rbc_batch_release(&batch);
    char shard[256];
    size_t bytes = 0;
    free(read_shard(path, shard, &bytes));
    assert_int_equal(truncate(shard, (off_t)(bytes / 2)), 0);
    rbc_status status;
    int64_t failed = 0;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) != RBC_END) {
        if (status != RBC_OK) {
            assert_int_equal(status, RBC_ERROR_IO);
            assert_non_null(strstr(error.message, "tfrecord"));
            ++failed;
        }
        rbc_batch_release(&batch);
    }
    assert_true(failed > 0);
    rbc_loader_destroy(&loader);
    rbc_selection_destroy(&selection);
    remove_dataset(root);
}

static uint64_t digest_epoch(const rbc_selection *selection, rbc_loader_params *params,
                             int32_t num_threads) {
    rbc_loader *loader = NULL;
    rbc_batch *batch = NULL;
    rbc_error error;
    params->num_threads = num_threads;
    expect_ok(rbc_loader_create(selection, params, &loader, &error), &error);
    uint64_t digest = 0;
    rbc_status status;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
            const DLTensor *tensor = &rbc_batch_field(batch, f)->tensor;
            int64_t bytes = tensor->dtype.bits / 8;
            for (int32_t d = 0; d < tensor->ndim; ++d) {
                bytes *= tensor->shape[d];
            }
            for (int64_t i = 0; tensor->data != NULL && i < bytes; ++i) {
                digest = (digest ^ ((const uint8_t *)tensor->data)[i]) * UINT64_C(0x100000001b3);
            }
        }
        rbc_batch_release(&batch);
    }
    assert_int_equal(status, RBC_END);
    rbc_loader_destroy(&loader);
    return digest;
}

static void real_episodes_come_alike_for_any_number_of_threads(void **state) {
    (void)state;
    const char *data = getenv("ROBOCACHE_TEST_DATA");
    char path[512];
    snprintf(path, sizeof path, "%s/rlds_bridge/bridge_dataset/1.0.0", data != NULL ? data : "");
    if (data == NULL || access(path, R_OK) != 0) {
        print_message("ROBOCACHE_TEST_DATA is unset or holds no rlds_bridge\n");
        skip();
    }
    char catalog[] = "/tmp/robocache_loader_XXXXXX";
    close(mkstemp(catalog));
    unlink(catalog);
    rbc_open_params open_params = RBC_OPEN_PARAMS_INIT;
    open_params.catalog_path = catalog;
    open_params.on_error = RBC_ON_ERROR_SKIP;
    rbc_dataset *dataset = NULL;
    rbc_selection *selection = NULL;
    rbc_error error;
    expect_ok(rbc_dataset_open(path, &open_params, &dataset, &error), &error);
    expect_ok(rbc_selection_create(dataset, "train", NULL, NULL, NULL, &selection, &error), &error);
    rbc_dataset_close(&dataset);
    const char *const names[] = {"observation/state", "action", "observation/image_0"};
    rbc_window windows[3];
    for (int32_t i = 0; i < 3; ++i) {
        const rbc_window defaults = RBC_WINDOW_INIT;
        windows[i] = defaults;
        windows[i].stream = names[i];
        windows[i].ticks = i == 1 ? chunk : pair;
        windows[i].count = i == 1 ? 4 : 2;
    }
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = 3;
    params.batch_size = 32;
    params.shuffle = 1;
    const uint64_t digest = digest_epoch(selection, &params, 1);
    assert_int_equal(digest_epoch(selection, &params, 2), digest);
    assert_int_equal(digest_epoch(selection, &params, 7), digest);
    params.seed = 1;
    assert_true(digest_epoch(selection, &params, 2) != digest);
    rbc_selection_destroy(&selection);
    unlink(catalog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_equal_the_episodes),
        cmocka_unit_test(a_damaged_image_is_an_error_or_left_out),
        cmocka_unit_test(a_file_that_shrinks_is_an_error),
        cmocka_unit_test(real_episodes_come_alike_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
