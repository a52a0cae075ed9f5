/* Indexing: what is found, in which order, and what is done again when files change. */
#define _GNU_SOURCE

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/dataset.h"
#include "fake_reader.h"
#include "scratch.h"

#define FILES 12
#define LINES 20

static int setup(void **state) {
    char *folder = scratch_make();
    fake_dataset_make(folder, FILES, LINES);
    fake_slow_first = 0;
    fake_line_delay_ns = 0;
    fake_open_errno = 0;
    *state = folder;
    return 0;
}

static int teardown(void **state) {
    scratch_remove((char **)state);
    return 0;
}

static void ids_follow_the_order_of_files(void **state) {
    fake_slow_first = 1; /* later files are read before earlier ones */
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.num_threads = 4;
    rbc_dataset *dataset = scratch_open(*state, &params);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, FILES * LINES);
    assert_int_equal(info.num_files, FILES);
    assert_int_equal(info.num_tasks, 4);
    assert_int_equal(info.num_splits, 2);
    rbc_error err;
    for (int64_t id = 0; id < FILES * LINES; ++id) {
        rbc_episode *episode;
        rbc_episode_info found;
        char file[32];
        assert_int_equal(rbc_episode_open(dataset, id, &episode, &err), RBC_OK);
        rbc_episode_get_info(episode, &found);
        snprintf(file, sizeof file, "data-%05d", (int)(id / LINES));
        assert_string_equal(found.file, file);
        assert_int_equal(found.record, id % LINES);
        assert_int_equal(found.num_steps, 1 + id % 50);
        rbc_episode_close(&episode);
    }
    rbc_dataset_close(&dataset);
}

static void the_same_whatever_the_threads(void **state) {
    static const char *const names[] = {"one.sqlite", "seven.sqlite"};
    for (int i = 0; i < 2; ++i) {
        fake_slow_first = i;
        rbc_open_params params = RBC_OPEN_PARAMS_INIT;
        params.catalog_path = scratch_path(*state, names[i]);
        params.num_threads = i == 0 ? 1 : 7;
        rbc_dataset *dataset = scratch_open(*state, &params);
        rbc_dataset_close(&dataset);
    }
    scratch_same_bytes(scratch_path(*state, names[0]), scratch_path(*state, names[1]));
}

static int count_calls(const rbc_progress *progress, void *user) {
    rbc_progress *last = user;
    assert_true(progress->files_done >= last->files_done);
    assert_true(progress->episodes >= last->episodes);
    *last = *progress;
    return 0;
}

static void progress_ends_complete_and_a_second_open_reads_nothing(void **state) {
    rbc_progress last = {0};
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.progress = count_calls;
    params.progress_user = &last;
    rbc_dataset *dataset = scratch_open(*state, &params);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(last.files_done, FILES);
    assert_int_equal(last.files_total, FILES);
    assert_int_equal(last.bytes_done, last.bytes_total);
    assert_int_equal(last.bytes_total, info.num_bytes);
    assert_int_equal(last.episodes, FILES * LINES);
    rbc_dataset_close(&dataset);

    last = (rbc_progress){0};
    dataset = scratch_open(*state, &params);
    assert_int_equal(last.files_total, 0);
    rbc_dataset_close(&dataset);
}

static void a_changed_file_alone_is_read_again(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_dataset_close(&dataset);
    fake_file_write(*state, 1, "7 0 -1 polish the mirror\n");
    rbc_progress last = {0};
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.progress = count_calls;
    params.progress_user = &last;
    dataset = scratch_open(*state, &params);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, (FILES - 1) * LINES + 1);
    rbc_error err;
    rbc_episode *episode;
    rbc_episode_info found;
    assert_int_equal(rbc_episode_open(dataset, LINES, &episode, &err), RBC_OK);
    rbc_episode_get_info(episode, &found);
    assert_string_equal(found.task, "polish the mirror");
    rbc_episode_close(&episode);
    assert_int_equal(rbc_episode_open(dataset, LINES + 1, &episode, &err), RBC_OK);
    rbc_episode_get_info(episode, &found);
    assert_string_equal(found.file, "data-00002");
    assert_int_equal(found.record, 0);
    rbc_episode_close(&episode);
    rbc_selection *selection;
    assert_int_equal(
        rbc_selection_create(dataset, NULL, "task MATCH 'mirror'", NULL, NULL, &selection, &err),
        RBC_OK);
    assert_int_equal(rbc_selection_size(selection), 1);
    rbc_selection_destroy(&selection);
    rbc_dataset_close(&dataset);
}

/* Opens, and says what the format was told before and how many parts tell something. */
static void open_told(const char *path, const rbc_open_params *params, const char *told,
                      int64_t count) {
    rbc_error err;
    const char *json;
    int64_t part = -1;
    fake_told[0] = '\0';
    rbc_dataset *dataset = scratch_open(path, params);
    assert_string_equal(fake_told, told);
    for (int64_t i = 0; i < count; ++i) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "{\"part\": %lld}", (long long)i);
        assert_int_equal(rbc__dataset_told(dataset, i, &json, &part, &err), RBC_OK);
        assert_string_equal(json, wanted);
        assert_int_equal(part, i);
    }
    assert_int_equal(rbc__dataset_told(dataset, count, &json, &part, &err), RBC_OK);
    assert_null(json);
    rbc_dataset_close(&dataset);
}

static void what_the_first_part_told_is_given_back_until_it_changes(void **state) {
    rbc_open_params given = RBC_OPEN_PARAMS_INIT;
    given.catalog_path = scratch_path(*state, "given.sqlite");
    open_told(*state, NULL, "", FILES);
    open_told(*state, NULL, "{\"part\": 0}", FILES);
    open_told(*state, &given, "", FILES);
    open_told(*state, &given, "{\"part\": 0}", FILES);
    given.rebuild = 1;
    open_told(*state, &given, "", FILES);
    fake_file_write(*state, 1, "7 0 -1 polish the mirror\n");
    open_told(*state, NULL, "{\"part\": 0}", FILES);
    fake_file_write(*state, 0, "7 0 -1 polish the mirror\n");
    open_told(*state, NULL, "", FILES);
    fake_files_list(*state, FILES - 2);
    open_told(*state, NULL, "{\"part\": 0}", FILES - 2);
}

static void a_removed_file_is_dropped_with_its_tasks(void **state) {
    fake_file_write(*state, FILES - 1, "7 0 -1 polish the mirror\n");
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_tasks, 5);
    rbc_dataset_close(&dataset);

    fake_files_list(*state, FILES - 1);
    dataset = scratch_open(*state, NULL);
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, (FILES - 1) * LINES);
    assert_int_equal(info.num_files, FILES - 1);
    assert_int_equal(info.num_tasks, 4);
    int64_t total = 0;
    for (int64_t i = 0; i < info.num_tasks; ++i) {
        const char *text;
        int64_t count;
        assert_int_equal(rbc_dataset_task(dataset, i, &text, &count, NULL), RBC_OK);
        assert_null(strstr(text, "mirror"));
        total += count;
    }
    assert_int_equal(total, (FILES - 1) * LINES * 4 / 5);
    const char *catalog = scratch_path(*state, ".robocache.sqlite");
    assert_int_equal(scratch_integer(catalog, "SELECT count(*) FROM episodes"),
                     (FILES - 1) * LINES);
    assert_int_equal(scratch_integer(catalog, "SELECT count(*) FROM layouts"), (FILES - 1) * LINES);
    rbc_dataset_close(&dataset);

    /* and it comes back */
    fake_files_list(*state, FILES);
    dataset = scratch_open(*state, NULL);
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, (FILES - 1) * LINES + 1);
    rbc_dataset_close(&dataset);
}

static void damage_raises_with_its_own_words(void **state) {
    fake_file_write(*state, 3, "5 0 -1 a\n!\n6 0 -1 b\n");
    fake_file_write(*state, 5, "!\n");
    fake_slow_first = 1;
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.num_threads = 4;
    const char *message = scratch_refused(*state, &params, RBC_ERROR_FORMAT);
    assert_non_null(strstr(message, "data-00003': offset 9: damaged line"));
    /* the files before the damaged one stay, for the next call */
    const char *partial = scratch_path(*state, ".robocache.sqlite.partial/catalog.sqlite");
    assert_int_equal(scratch_integer(partial, "SELECT count(*) FROM parts WHERE indexed"), 3);
}

static void a_failed_update_leaves_the_catalog_there_was(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    const char *catalog = scratch_path(*state, ".robocache.sqlite");
    char *before = scratch_dump(catalog);
    fake_file_write(*state, 3, "5 0 -1 a\n!\n6 0 -1 b\n");
    scratch_refused(*state, NULL, RBC_ERROR_FORMAT);
    char *behind = scratch_dump(catalog);
    assert_string_equal(before, behind);
    rbc_selection *selection;
    rbc_error err;
    assert_int_equal(
        rbc_selection_create(dataset, NULL, "num_steps > 7", NULL, NULL, &selection, &err), RBC_OK);
    const int64_t found = rbc_selection_size(selection);
    rbc_selection_destroy(&selection);

    /* once it succeeds, who has the old one open goes on with that */
    fake_file_write(*state, 3, "5 0 -1 a\n99 0 -1 a\n");
    rbc_dataset *newer = scratch_open(*state, NULL);
    rbc_dataset *const either[] = {dataset, newer};
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(
            rbc_selection_create(either[i], NULL, "num_steps > 7", NULL, NULL, &selection, &err),
            RBC_OK);
        assert_int_equal(rbc_selection_size(selection) == found, i == 0);
        rbc_selection_destroy(&selection);
    }
    assert_int_not_equal(access(scratch_path(*state, ".robocache.sqlite.partial"), F_OK), 0);
    rbc_dataset_close(&newer);
    rbc_dataset_close(&dataset);
    free(before);
    free(behind);
}

static void damage_is_skipped_counted_and_listed(void **state) {
    fake_file_write(*state, 3, "5 0 -1 a\n!\n6 0 -1 b\n");
    assert_int_equal(remove(scratch_path(*state, "data-00005")), 0);
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.on_error = RBC_ON_ERROR_SKIP;
    for (int round = 0; round < 2; ++round) {
        rbc_dataset *dataset = scratch_open(*state, &params);
        rbc_dataset_info info;
        rbc_dataset_get_info(dataset, &info);
        assert_int_equal(info.num_episodes, (FILES - 2) * LINES + 2);
        assert_int_equal(info.num_skipped, 2);
        const char *text;
        rbc_error err;
        assert_int_equal(rbc_dataset_skipped(dataset, 0, &text, &err), RBC_OK);
        assert_non_null(strstr(text, "data-00003': offset 9: damaged line"));
        assert_int_equal(rbc_dataset_skipped(dataset, 1, &text, &err), RBC_OK);
        assert_non_null(strstr(text, "data-00005' cannot be opened"));
        assert_int_equal(rbc_dataset_skipped(dataset, 2, &text, &err), RBC_ERROR_NOT_FOUND);
        rbc_dataset_close(&dataset);
    }
    /* whoever does not ask for that is told */
    const char *message = scratch_refused(*state, NULL, RBC_ERROR_FORMAT);
    assert_non_null(strstr(message, "damaged line"));
    assert_non_null(strstr(message, "leaving out 2"));
}

static void expect_all_sound(const char *folder) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.on_error = RBC_ON_ERROR_SKIP;
    rbc_dataset *dataset = scratch_open(folder, &params);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_skipped, 0);
    assert_int_equal(info.num_episodes, FILES * LINES);
    rbc_dataset_close(&dataset);
}

/* What the machine is short of says nothing of the files: it is an error, and none is recorded. */
static void shortage_is_no_damage(void **state) {
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR, EAGAIN, EACCES, ESTALE};
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.on_error = RBC_ON_ERROR_SKIP;
    for (size_t i = 0; i < sizeof shortages / sizeof shortages[0]; ++i) {
        fake_open_errno = shortages[i];
        const char *message = scratch_refused(*state, &params, RBC_ERROR_IO);
        assert_non_null(strstr(message, "data-00000' cannot be opened"));
        fake_open_errno = 0;
        assert_int_not_equal(access(scratch_path(*state, ".robocache.sqlite"), F_OK), 0);
    }
    expect_all_sound(*state);
}

/* Opens with few descriptors left, however few: the dataset, or an error that says so. */
static void few_descriptors_are_an_error_or_enough(void **state) {
    int opened = 0;
    for (rlim_t limit = 3; limit < 16; ++limit) {
        const pid_t child = fork();
        if (child == 0) {
            const struct rlimit few = {limit, limit};
            setrlimit(RLIMIT_NOFILE, &few);
            rbc_open_params params = RBC_OPEN_PARAMS_INIT;
            params.on_error = RBC_ON_ERROR_SKIP;
            rbc_dataset *dataset;
            rbc_error err;
            const rbc_status status =
                rbc__dataset_open_with(&fake_reader, *state, &params, &dataset, &err);
            rbc_dataset_info info = {0};
            if (status == RBC_OK) {
                rbc_dataset_get_info(dataset, &info);
            }
            _exit(status == RBC_OK ? info.num_skipped > 0 ? 2 : 0
                  : strstr(err.message, "Too many open files") == NULL ? 3
                                                                       : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        opened += WEXITSTATUS(status) == 0;
    }
    assert_in_range(opened, 1, 12);
    expect_all_sound(*state);
}

static int cancel_soon(const rbc_progress *progress, void *user) {
    (void)progress;
    return ++*(int *)user >= 2;
}

static void cancelling_keeps_what_is_done(void **state) {
    fake_line_delay_ns = 1000000;
    int calls = 0;
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.progress = cancel_soon;
    params.progress_user = &calls;
    params.num_threads = 1;
    const char *message = scratch_refused(*state, &params, RBC_ERROR_CANCELLED);
    assert_non_null(strstr(message, "of 12 files"));
    fake_line_delay_ns = 0;
    params.progress = NULL;
    rbc_dataset *dataset = scratch_open(*state, &params);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, FILES * LINES);
    rbc_dataset_close(&dataset);
}

static void rebuild_forgets(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_dataset_close(&dataset);
    const char *catalog = scratch_path(*state, ".robocache.sqlite");
    scratch_exec(catalog, "UPDATE episodes SET bytes = 0");
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.rebuild = 1;
    dataset = scratch_open(*state, &params);
    rbc_dataset_close(&dataset);
    assert_int_equal(scratch_integer(catalog, "SELECT count(*) FROM episodes WHERE bytes = 0"), 0);
}

static void empty_files_and_datasets_are_fine(void **state) {
    fake_file_write(*state, 0, "");
    fake_file_write(*state, FILES - 1, "");
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, (FILES - 2) * LINES);
    rbc_episode *episode;
    rbc_episode_info found;
    assert_int_equal(rbc_episode_open(dataset, 0, &episode, NULL), RBC_OK);
    rbc_episode_get_info(episode, &found);
    assert_string_equal(found.file, "data-00001");
    rbc_episode_close(&episode);
    assert_int_equal(rbc_episode_open(dataset, info.num_episodes - 1, &episode, NULL), RBC_OK);
    rbc_episode_close(&episode);
    rbc_error err;
    assert_int_equal(rbc_episode_open(dataset, info.num_episodes, &episode, &err),
                     RBC_ERROR_NOT_FOUND);
    assert_null(episode);
    rbc_dataset_close(&dataset);

    fake_files_list(*state, 0);
    dataset = scratch_open(*state, NULL);
    rbc_selection *selection;
    assert_int_equal(rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &selection, &err),
                     RBC_OK);
    assert_int_equal(rbc_selection_size(selection), 0);
    rbc_selection_destroy(&selection);
    assert_int_equal(
        rbc_selection_create(dataset, NULL, "num_steps > 1", NULL, NULL, &selection, &err), RBC_OK);
    rbc_selection_destroy(&selection);
    rbc_dataset_close(&dataset);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(ids_follow_the_order_of_files),
        TEST(the_same_whatever_the_threads),
        TEST(progress_ends_complete_and_a_second_open_reads_nothing),
        TEST(a_changed_file_alone_is_read_again),
        TEST(what_the_first_part_told_is_given_back_until_it_changes),
        TEST(a_removed_file_is_dropped_with_its_tasks),
        TEST(damage_raises_with_its_own_words),
        TEST(a_failed_update_leaves_the_catalog_there_was),
        TEST(damage_is_skipped_counted_and_listed),
        TEST(shortage_is_no_damage),
        TEST(few_descriptors_are_an_error_or_enough),
        TEST(cancelling_keeps_what_is_done),
        TEST(rebuild_forgets),
        TEST(empty_files_and_datasets_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
