/* What kills, full disks, other processes and read-only folders do to a catalog. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/dataset.h"
#include "fake_reader.h"
#include "scratch.h"

#define FILES 16
#define LINES 40

static int setup(void **state) {
    char *folder = scratch_make();
    fake_dataset_make(folder, FILES, LINES);
    fake_slow_first = 0;
    fake_line_delay_ns = 0;
    *state = folder;
    return 0;
}

static int teardown(void **state) {
    chmod(*state, 0777);
    scratch_remove((char **)state);
    return 0;
}

static void wait_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* A child that opens the dataset and ends with the status. */
static pid_t open_in_child(const char *folder, const rbc_open_params *params) {
    const pid_t child = fork();
    if (child == 0) {
        rbc_dataset *dataset;
        rbc_error err;
        const rbc_status status =
            rbc__dataset_open_with(&fake_reader, folder, params, &dataset, &err);
        rbc_dataset_close(&dataset);
        _exit((int)status);
    }
    assert_true(child > 0);
    return child;
}

static int exit_status(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void killed_and_continued_is_the_same_as_in_one_go(void **state) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.num_threads = 3;
    params.catalog_path = scratch_path(*state, "whole.sqlite");
    rbc_dataset *dataset = scratch_open(*state, &params);
    rbc_dataset_close(&dataset);
    params.catalog_path = scratch_path(*state, "killed.sqlite");
    fake_line_delay_ns = 200000;
    int killed = 0;
    srand(20261121);
    for (int round = 0; round < 10; ++round) {
        const pid_t child = open_in_child(*state, &params);
        wait_ms(rand() % 60);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status) != 0;
    }
    assert_true(killed > 0);
    fake_line_delay_ns = 0;
    dataset = scratch_open(*state, &params);
    rbc_dataset_close(&dataset);
    scratch_same_bytes(scratch_path(*state, "killed.sqlite"), scratch_path(*state, "whole.sqlite"));
    assert_int_equal(scratch_integer(params.catalog_path, "SELECT count(*) FROM episodes"),
                     FILES * LINES);
}

static void several_processes_index_once(void **state) {
    fake_line_delay_ns = 100000;
    pid_t children[4];
    for (int i = 0; i < 4; ++i) {
        children[i] = open_in_child(*state, NULL);
    }
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(exit_status(children[i]), RBC_OK);
    }
    const char *catalog = scratch_path(*state, ".robocache.sqlite");
    assert_int_equal(scratch_integer(catalog, "SELECT count(*) FROM episodes"), FILES * LINES);
    assert_int_equal(scratch_integer(catalog, "SELECT max(id) FROM parts"), FILES);
    assert_int_not_equal(access(scratch_path(*state, ".robocache.sqlite.lock"), F_OK), 0);
}

static int cancel_at_once(const rbc_progress *progress, void *user) {
    (void)progress;
    (void)user;
    return 1;
}

/* Until another process holds the lock of this file. */
static void wait_until_locked(const char *path) {
    bool is_free = true;
    while (is_free) {
        wait_ms(1);
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        is_free = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (fd >= 0) {
            close(fd);
        }
    }
}

static void waiting_for_another_process_can_be_cancelled(void **state) {
    fake_line_delay_ns = 50000000; /* it is killed long before it is done */
    const pid_t child = open_in_child(*state, NULL);
    wait_until_locked(scratch_path(*state, ".robocache.sqlite.lock"));
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.progress = cancel_at_once;
    const char *message = scratch_refused(*state, &params, RBC_ERROR_CANCELLED);
    assert_non_null(strstr(message, "another process"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_full_disk_names_the_catalog_and_leaves_it_whole(void **state) {
    enum { MANY = 400 };
    fake_dataset_make(*state, FILES, MANY);
    fake_line_delay_ns = 50000;
    signal(SIGXFSZ, SIG_IGN);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {250000, 250000};
        setrlimit(RLIMIT_FSIZE, &limit);
        rbc_dataset *dataset;
        rbc_error err;
        const rbc_status status =
            rbc__dataset_open_with(&fake_reader, *state, NULL, &dataset, &err);
        const int named = strstr(err.message, ".robocache.sqlite") != NULL;
        _exit(status == RBC_ERROR_IO && named ? 0 : 1);
    }
    assert_int_equal(exit_status(child), 0);
    fake_line_delay_ns = 0;
    const char *catalog = scratch_path(*state, ".robocache.sqlite.partial/catalog.sqlite");
    const int64_t indexed = scratch_integer(catalog, "SELECT count(*) FROM parts WHERE indexed");
    assert_true(indexed < FILES);
    assert_int_equal(scratch_integer(catalog, "SELECT count(*) FROM episodes"), indexed * MANY);
    rbc_dataset *dataset = scratch_open(*state, NULL); /* there is room again */
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, FILES * MANY);
    rbc_dataset_close(&dataset);
}

/* Runs in a child without root's right to write everywhere. */
static int open_unprivileged(const char *folder) {
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0)) {
        return 2;
    }
    rbc_dataset *dataset;
    rbc_error err;
    if (rbc__dataset_open_with(&fake_reader, folder, NULL, &dataset, &err) != RBC_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    const int in_cache = strstr(info.catalog_path, "/cache/here/") != NULL;
    const int64_t episodes = info.num_episodes;
    rbc_dataset_close(&dataset);
    return episodes != FILES * LINES ? 1 : in_cache ? 0 : 3;
}

static int open_in_unprivileged_child(const char *folder) {
    const pid_t child = fork();
    if (child == 0) {
        _exit(open_unprivileged(folder));
    }
    return exit_status(child);
}

static void an_unwritable_folder_has_its_catalog_in_the_cache(void **state) {
    char *cache = scratch_make();
    assert_int_equal(chmod(cache, 0777), 0);
    setenv("ROBOCACHE_CACHE", scratch_path(cache, "cache/here"), 1);
    /* somebody else's folder, then one that nobody may write to */
    const mode_t modes[] = {geteuid() == 0 ? 0755 : 0555, 0555};
    for (int round = 0; round < 2; ++round) {
        assert_int_equal(chmod(*state, modes[round]), 0);
        assert_int_equal(open_in_unprivileged_child(*state), 0);
        assert_int_not_equal(access(scratch_path(*state, ".robocache.sqlite"), F_OK), 0);
    }
    /* not even by who may write anywhere */
    rbc_dataset *left_alone = scratch_open(*state, NULL);
    rbc_dataset_close(&left_alone);
    assert_int_not_equal(access(scratch_path(*state, ".robocache.sqlite"), F_OK), 0);
    /* one that lies in the folder and is up to date is used though nothing can be written there */
    assert_int_equal(chmod(*state, 0777), 0);
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_dataset_close(&dataset);
    assert_int_equal(chmod(*state, 0555), 0);
    assert_int_equal(open_in_unprivileged_child(*state), 3);
    /* but not one that may not be read */
    if (geteuid() == 0) {
        assert_int_equal(chmod(*state, 0777), 0);
        assert_int_equal(chmod(scratch_path(*state, ".robocache.sqlite"), 0600), 0);
        assert_int_equal(open_in_unprivileged_child(*state), 0);
    }
    unsetenv("ROBOCACHE_CACHE");
    scratch_remove(&cache);
}

/* Neither location will do: both are named. */
static void where_nothing_can_be_written_both_locations_are_named(void **state) {
    char *blocked = scratch_make();
    const char *file = scratch_path(blocked, "file");
    FILE *made = fopen(file, "w");
    assert_non_null(made);
    fclose(made);
    setenv("ROBOCACHE_CACHE", scratch_path(blocked, "file/cache"), 1);
    assert_int_equal(chmod(*state, 0555), 0);
    const char *message = scratch_refused(*state, NULL, RBC_ERROR_IO);
    assert_non_null(strstr(message, scratch_path(*state, ".robocache.sqlite")));
    assert_non_null(strstr(message, "file/cache"));
    assert_non_null(strstr(message, "is not to be written: Permission denied"));
    unsetenv("ROBOCACHE_CACHE");
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = scratch_path(blocked, "missing/catalog");
    message = scratch_refused(*state, &params, RBC_ERROR_IO);
    assert_non_null(strstr(message, "missing/catalog"));
    scratch_remove(&blocked);
}

static void an_open_dataset_lives_on_in_a_forked_child(void **state) {
    rbc_dataset *dataset = scratch_open(*state, NULL);
    rbc_episode *episode;
    assert_int_equal(rbc_episode_open(dataset, 1, &episode, NULL), RBC_OK);
    rbc_episode_close(&episode);
    const pid_t child = fork();
    if (child == 0) {
        rbc_episode_info info = {0};
        const rbc_status status = rbc_episode_open(dataset, 2, &episode, NULL);
        if (status == RBC_OK) {
            rbc_episode_get_info(episode, &info);
        }
        _exit(status == RBC_OK && info.num_steps == 3 ? 0 : 1);
    }
    assert_int_equal(exit_status(child), 0);
    assert_int_equal(rbc_episode_open(dataset, 3, &episode, NULL), RBC_OK);
    rbc_episode_close(&episode);
    rbc_dataset_close(&dataset);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(killed_and_continued_is_the_same_as_in_one_go),
        TEST(several_processes_index_once),
        TEST(waiting_for_another_process_can_be_cancelled),
        TEST(a_full_disk_names_the_catalog_and_leaves_it_whole),
        TEST(an_unwritable_folder_has_its_catalog_in_the_cache),
        TEST(where_nothing_can_be_written_both_locations_are_named),
        TEST(an_open_dataset_lives_on_in_a_forked_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
