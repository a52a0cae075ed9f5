/* Datasets, selections and episodes through the public interface, from several threads too. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/dataset.h"
#include "fake_reader.h"
#include "io/descriptor.h"
#include "scratch.h"

#define FILES 9
#define LINES 30

static int setup(void **state) {
    *state = scratch_make();
    fake_dataset_make(*state, FILES, LINES);
    return 0;
}

static int teardown(void **state) {
    scratch_remove((char **)state);
    return 0;
}

static void info_names_everything(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_string_equal(info.name, "fake");
    assert_string_equal(info.format, "fake");
    assert_int_equal(info.path[0], '/');
    assert_non_null(strstr(info.catalog_path, "/.robocache.sqlite"));
    assert_float_equal(info.control_rate_hz, 5.0, 0.0);
    assert_int_equal(info.num_streams, 4);
    int64_t steps = 0;
    for (int id = 0; id < FILES * LINES; ++id) {
        steps += 1 + id % 50;
    }
    assert_int_equal(info.num_steps, steps);
    rbc_split_info split;
    rbc_error err;
    assert_int_equal(rbc_dataset_split(dataset, 0, &split, &err), RBC_OK);
    assert_string_equal(split.name, "train");
    assert_int_equal(split.num_episodes, 6 * LINES);
    assert_int_equal(rbc_dataset_split(dataset, 1, &split, &err), RBC_OK);
    assert_string_equal(split.name, "val");
    assert_int_equal(rbc_dataset_split(dataset, 2, &split, &err), RBC_ERROR_NOT_FOUND);
    rbc_dataset_close(&dataset);
    assert_null(dataset);
    rbc_dataset_close(&dataset);
}

static void streams_are_found_by_name(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_error err;
    int32_t index = -1;
    assert_int_equal(rbc_dataset_find_stream(dataset, "clocked", &index, &err), RBC_OK);
    rbc_stream_info stream;
    assert_int_equal(rbc_dataset_stream(dataset, index, &stream, &err), RBC_OK);
    assert_string_equal(stream.times, "clocked_time_ns");
    assert_int_equal(stream.ndim, 1);
    assert_int_equal(stream.shape[0], 2);
    assert_int_equal(rbc_dataset_stream(dataset, 0, &stream, &err), RBC_OK);
    assert_float_equal(stream.rate_hz, 5.0, 0.0);
    assert_int_equal(rbc_dataset_find_stream(dataset, "missing", &index, &err),
                     RBC_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "value, clocked, clocked_time_ns, text"));
    assert_int_equal(rbc_dataset_stream(dataset, 4, &stream, &err), RBC_ERROR_NOT_FOUND);
    rbc_dataset_close(&dataset);
}

static void the_rate_of_stamped_streams_is_measured(void **state) {
    fake_file_write(*state, 0, "11 1700000000000000000 1700000000000000010 a\n");
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_stream_info stream;
    rbc_error err;
    assert_int_equal(rbc_dataset_stream(dataset, 1, &stream, &err), RBC_OK);
    assert_float_equal(stream.rate_hz, 1e9, 1.0); /* the fake's stamps are 1 ns apart */
    rbc_dataset_close(&dataset);
}

static void an_episode_gives_values_and_times(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_episode *episode;
    rbc_episode_info info;
    rbc_error err;
    const int64_t id = 2 * LINES + 21; /* odd: stamped; 1 + 81 % 50 = 32 steps */
    assert_int_equal(rbc_episode_open(dataset, id, &episode, &err), RBC_OK);
    rbc_dataset_close(&dataset); /* the episode keeps it */
    rbc_episode_get_info(episode, &info);
    assert_int_equal(info.id, id);
    assert_int_equal(info.num_steps, 32);
    assert_int_equal(info.duration_ns, 31);
    assert_string_equal(info.split, "val");
    assert_string_equal(info.task, "close the drawer");
    assert_string_equal(info.metadata, "{\"line\": 21}");
    int64_t samples;
    assert_int_equal(rbc_episode_count(episode, 0, &samples, NULL, &err), RBC_OK);
    assert_int_equal(samples, 32);
    float values[6];
    assert_int_equal(rbc_episode_read(episode, 0, 4, 3, values, sizeof values, &err), RBC_OK);
    assert_float_equal(values[0], 21.0F, 0.0F);
    assert_float_equal(values[5], 6.0F, 0.0F);
    int64_t times[3];
    assert_int_equal(rbc_episode_times(episode, 1, 4, 3, times, &err), RBC_OK);
    const int64_t start_ns = INT64_C(1700000000000000000) + id * 1000000007;
    assert_int_equal(times[2], start_ns + 6);
    assert_int_equal(rbc_episode_times(episode, 0, 4, 3, times, &err), RBC_OK);
    assert_int_equal(times[2], start_ns + 1200000000);
    const void *text;
    uint64_t bytes;
    assert_int_equal(rbc_episode_bytes(episode, 3, 0, &text, &bytes, &err), RBC_OK);
    assert_int_equal(bytes, strlen("close the drawer"));
    assert_memory_equal(text, "close the drawer", bytes);

    assert_int_equal(rbc_episode_read(episode, 0, 30, 3, values, sizeof values, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "has 32 samples"));
    assert_int_equal(rbc_episode_read(episode, 0, 0, 3, values, 23, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_episode_read(episode, 0, INT64_MAX, 1, values, 8, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_episode_read(episode, 0, -1, 1, values, 8, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_episode_read(episode, 3, 0, 1, values, 8, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_episode_bytes(episode, 0, 0, &text, &bytes, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_episode_read(episode, 4, 0, 1, values, 8, &err), RBC_ERROR_NOT_FOUND);
    rbc_episode_close(&episode);
    assert_null(episode);
}

static void the_control_rate_can_be_given(void **state) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.control_rate_hz = 3.0;
    rbc_dataset *dataset = scratch_open(*state, &params);
    rbc_episode *episode;
    rbc_error err;
    assert_int_equal(rbc_episode_open(dataset, 40, &episode, &err), RBC_OK);
    int64_t times[3];
    assert_int_equal(rbc_episode_times(episode, 0, 0, 3, times, &err), RBC_OK);
    assert_int_equal(times[0], 0);
    assert_int_equal(times[1], 333333333);
    assert_int_equal(times[2], 666666667);
    rbc_episode_info info;
    rbc_episode_get_info(episode, &info);
    assert_int_equal(info.duration_ns, 13333333333); /* 40 periods of a third */
    rbc_episode_close(&episode);
    rbc_dataset_close(&dataset);
    params.control_rate_hz = -3.0;
    assert_non_null(strstr(scratch_refused(*state, &params, RBC_ERROR_INVALID_ARGUMENT), "-3"));
}

static void text_that_is_not_utf8_names_its_place(void **state) {
    fake_file_write(*state, 0, "3 0 -1 caf\xe9\n");
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_episode *episode;
    rbc_error err;
    const void *text;
    uint64_t bytes;
    assert_int_equal(rbc_episode_open(dataset, 0, &episode, &err), RBC_OK);
    assert_int_equal(rbc_episode_bytes(episode, 3, 2, &text, &bytes, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "data-00000': offset 7: stream 'text', sample 2"));
    rbc_episode_close(&episode);
    rbc_dataset_close(&dataset);
}

static void selections_refine_and_keep_their_order(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_error err;
    rbc_selection *all;
    rbc_selection *val;
    rbc_selection *some;
    rbc_selection *left;
    assert_int_equal(rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &all, &err), RBC_OK);
    assert_int_equal(rbc_selection_size(all), FILES * LINES);
    assert_int_equal(rbc_selection_create(dataset, "val", NULL, NULL, NULL, &val, &err), RBC_OK);
    assert_int_equal(rbc_selection_size(val), 3 * LINES);
    assert_int_equal(rbc_selection_id(val, 0), 2 * LINES);
    assert_int_equal(rbc_selection_create(dataset, "test", NULL, NULL, NULL, &some, &err),
                     RBC_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "train, val"));

    static const int64_t ids[] = {70, 3, 61, 3, 200};
    assert_int_equal(rbc_selection_from_ids(dataset, ids, 5, &some, &err), RBC_OK);
    assert_int_equal(rbc_selection_num_steps(some), 21 + 4 + 12 + 4 + 1);
    assert_int_equal(rbc_selection_refine(some, NULL, "id != 61", NULL, NULL, &left, &err), RBC_OK);
    assert_int_equal(rbc_selection_size(left), 4);
    assert_int_equal(rbc_selection_id(left, 0), 70);
    assert_int_equal(rbc_selection_id(left, 2), 3);
    assert_int_equal(rbc__selection_steps(left)[0], 21);
    assert_int_equal(rbc__selection_start_ns(left)[0], 0);
    assert_int_equal(rbc__selection_end_ns(left)[0], -1);
    assert_int_equal(rbc__selection_start_ns(left)[1], INT64_C(1700000003000000021));
    assert_int_equal(rbc__selection_end_ns(left)[1], INT64_C(1700000003000000024));
    int64_t first_ns[4];
    int64_t last_ns[4];
    if (rbc__selection_load_spans(left, 2, first_ns, last_ns, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    assert_memory_equal(first_ns, rbc__selection_start_ns(left), sizeof first_ns);
    assert_memory_equal(last_ns, rbc__selection_end_ns(left), sizeof last_ns);
    assert_int_equal(rbc__selection_load_spans(left, 0, first_ns, last_ns, &err), RBC_ERROR_FORMAT);
    rbc_selection_destroy(&left);
    assert_int_equal(rbc_selection_refine(some, "val", NULL, NULL, NULL, &left, &err), RBC_OK);
    assert_int_equal(rbc_selection_size(left), 2);
    assert_int_equal(rbc_selection_id(left, 1), 61);
    assert_ptr_equal(rbc_selection_dataset(left), dataset);

    static const int64_t wrong[] = {0, FILES * LINES};
    rbc_selection *none;
    assert_int_equal(rbc_selection_from_ids(dataset, wrong, 2, &none, &err), RBC_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "ids[1]: no episode 270"));
    rbc_dataset_close(&dataset); /* the selections keep it */
    rbc_selection_destroy(&left);
    rbc_selection_destroy(&some);
    rbc_selection_destroy(&val);
    rbc_selection_destroy(&all);
    assert_null(all);
}

static void fingerprints_tell_selections_apart(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    static const int64_t ids[][3] = {{1, 2, 3}, {1, 3, 2}, {1, 2, 4}, {1, 2, 3}};
    rbc_selection *selections[4];
    rbc_selection *shorter;
    rbc_error err;
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(rbc_selection_from_ids(dataset, ids[i], 3, &selections[i], &err), RBC_OK);
    }
    assert_int_equal(rbc_selection_from_ids(dataset, ids[0], 2, &shorter, &err), RBC_OK);
    const uint64_t first = rbc__selection_fingerprint(selections[0]);
    assert_true(first != rbc__selection_fingerprint(selections[1]));
    assert_true(first != rbc__selection_fingerprint(selections[2]));
    assert_true(first == rbc__selection_fingerprint(selections[3]));
    assert_true(first != rbc__selection_fingerprint(shorter));
    for (int i = 0; i < 4; ++i) {
        rbc_selection_destroy(&selections[i]);
    }
    rbc_selection_destroy(&shorter);
    rbc_dataset_close(&dataset);
}

/* Under a limit of descriptors that few of the files fit in, and then under a lower one. */
static void few_files_stay_open(void **state) {
    enum { MANY = 200, READERS = 20 };
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    fake_dataset_make(*state, MANY, 1);
    rbc_dataset *dataset = scratch_open(*state, NULL);
    const int64_t open_before = rbc__descriptor_num_open();
    const rlim_t limits[] = {256, 80};
    for (int round = 0; round < 4; ++round) {
        const struct rlimit limit = {limits[round / 2], before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        const int64_t bound = rbc__descriptor_limit();
        assert_int_equal(bound, limits[round / 2] / 4);
        rbc_episode *held[READERS] = {NULL};
        for (int64_t file = 0; file < MANY; ++file) {
            rbc_episode_close(&held[file % READERS]);
            rbc_error err;
            if (rbc_episode_open(dataset, file, &held[file % READERS], &err) != RBC_OK) {
                fail_msg("%s", err.message);
            }
            const void *text;
            uint64_t bytes;
            assert_int_equal(rbc_episode_bytes(held[file % READERS], 3, 0, &text, &bytes, &err),
                             RBC_OK);
            assert_true(rbc__descriptor_num_open() <= bound);
        }
        for (int i = 0; i < READERS; ++i) {
            rbc_episode_close(&held[i]);
        }
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    rbc_dataset_close(&dataset);
    assert_true(rbc__descriptor_num_open() <= open_before);
}

static void a_file_of_another_size_is_an_error(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    fake_file_write(*state, 1, "shorter\n");
    rbc_episode *episode;
    rbc_error err;
    assert_int_equal(rbc_episode_open(dataset, LINES, &episode, &err), RBC_ERROR_IO);
    assert_null(episode);
    assert_non_null(strstr(err.message, "data-00001' has been written to or replaced"));
    assert_int_equal(remove(scratch_path(*state, "data-00002")), 0);
    assert_int_equal(rbc_episode_open(dataset, 2 * LINES, &episode, &err), RBC_ERROR_IO);
    assert_non_null(strstr(err.message, "data-00002"));
    rbc_dataset_close(&dataset);
}

typedef struct worker {
    rbc_dataset *dataset;
    int seed, failures;
} worker;

static void *use_dataset(void *user) {
    worker *self = user;
    uint64_t key = (uint64_t)self->seed;
    rbc_error err;
    for (int i = 0; i < 200; ++i) {
        key = key * UINT64_C(6364136223846793005) + 1442695040888963407U;
        const int64_t id = (int64_t)((key >> 33) % (FILES * LINES));
        rbc_episode *episode;
        float values[2];
        if (rbc_episode_open(self->dataset, id, &episode, &err) != RBC_OK) {
            ++self->failures;
            continue;
        }
        self->failures +=
            rbc_episode_read(episode, 0, 0, 1, values, sizeof values, &err) != RBC_OK ||
            values[0] != (float)(id % LINES);
        rbc_episode_close(&episode);
        if (i % 20 == 0) {
            rbc_selection *selection;
            rbc_stream_info stream;
            const char *text;
            int64_t count;
            self->failures += rbc_selection_create(self->dataset, "train", "task MATCH 'cup'", NULL,
                                                   NULL, &selection, &err) != RBC_OK;
            rbc_selection_destroy(&selection);
            self->failures += rbc_dataset_stream(self->dataset, 1, &stream, &err) != RBC_OK;
            self->failures += rbc_dataset_task(self->dataset, 1, &text, &count, &err) != RBC_OK;
        }
    }
    return NULL;
}

static void several_threads_share_a_dataset(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    worker workers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) {
        workers[i] = (worker){dataset, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, use_dataset, &workers[i]), 0);
    }
    for (int i = 0; i < 4; ++i) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    rbc_dataset_close(&dataset);
}

static void parameters_are_checked(void **state) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.struct_size = 0;
    scratch_refused(*state, &params, RBC_ERROR_INVALID_ARGUMENT);
    params.struct_size = sizeof params + 8;
    scratch_refused(*state, &params, RBC_ERROR_INVALID_ARGUMENT);
    params = (rbc_open_params)RBC_OPEN_PARAMS_INIT;
    params.num_threads = -1;
    scratch_refused(*state, &params, RBC_ERROR_INVALID_ARGUMENT);
    rbc_dataset *dataset;
    rbc_error err;
    assert_int_equal(rbc_dataset_open(NULL, NULL, &dataset, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_dataset_open(scratch_path(*state, "nowhere"), NULL, &dataset, &err),
                     RBC_ERROR_NOT_FOUND);
    assert_null(dataset);
}

/* Both have the size and the records that were indexed: only the file itself tells. */
static void a_file_that_changes_behind_an_open_dataset_is_an_error(void **state) {
    const char *path = scratch_path(*state, "data-00002");
    const char *other = scratch_path(*state, "other");
    const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}};
    for (int is_replaced = 0; is_replaced < 2; ++is_replaced) {
        assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
        rbc_dataset *dataset = scratch_open(*state, NULL);
        FILE *file = fopen(path, "r+");
        char text[200] = {0};
        assert_true(fread(text, 1, sizeof text - 1, file) > 0);
        if (is_replaced) {
            /* the same in size and time, but another file */
            FILE *copy = fopen(other, "w");
            rewind(file);
            for (int byte = getc(file); byte != EOF; byte = getc(file)) {
                putc(byte, copy);
            }
            fclose(copy);
            assert_int_equal(utimensat(AT_FDCWD, other, long_ago, 0), 0);
            assert_int_equal(rename(other, path), 0);
        } else {
            rewind(file);
            putc(text[0], file);
        }
        fclose(file);
        rbc_episode *episode;
        rbc_error err;
        assert_int_equal(rbc_episode_open(dataset, 2 * LINES, &episode, &err), RBC_ERROR_IO);
        assert_non_null(strstr(err.message, "data-00002' has been written to or replaced"));
        assert_int_equal(rbc_episode_open(dataset, 3 * LINES, &episode, &err), RBC_OK);
        rbc_episode_close(&episode);
        rbc_dataset_close(&dataset);
    }
}

/* As a store of files by content has them. What the link leads to is what counts. */
static void data_files_may_be_links(void **state) {
    const char *path = scratch_path(*state, "data-00002");
    const char *stored = scratch_path(*state, "stored");
    const char *other = scratch_path(*state, "other");
    assert_int_equal(rename(path, stored), 0);
    assert_int_equal(symlink(stored, path), 0);
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_episode *episode;
    rbc_error err;
    assert_int_equal(rbc_episode_open(dataset, 2 * LINES, &episode, &err), RBC_OK);
    rbc_episode_close(&episode);
    rbc_dataset_close(&dataset);

    dataset = scratch_open(*state, NULL); /* nothing has changed; then the link leads elsewhere */
    FILE *file = fopen(other, "w");
    fputs("7 0 -1 polish the mirror\n", file);
    fclose(file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(rbc_episode_open(dataset, 2 * LINES, &episode, &err), RBC_ERROR_IO);
    assert_non_null(strstr(err.message, "data-00002' has been written to or replaced"));
    rbc_dataset_close(&dataset);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(info_names_everything),
        TEST(streams_are_found_by_name),
        TEST(the_rate_of_stamped_streams_is_measured),
        TEST(an_episode_gives_values_and_times),
        TEST(the_control_rate_can_be_given),
        TEST(text_that_is_not_utf8_names_its_place),
        TEST(selections_refine_and_keep_their_order),
        TEST(fingerprints_tell_selections_apart),
        TEST(few_files_stay_open),
        TEST(a_file_of_another_size_is_an_error),
        TEST(several_threads_share_a_dataset),
        TEST(parameters_are_checked),
        TEST(data_files_may_be_links),
        TEST(a_file_that_changes_behind_an_open_dataset_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
