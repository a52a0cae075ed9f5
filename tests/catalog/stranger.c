/* What lies at the location of a catalog may be anything, put there by anybody. */
#define _GNU_SOURCE

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

#include "catalog/dataset.h"
#include "fake_reader.h"
#include "scratch.h"

/* As a file system without modes has it: every folder is open to all. */
static bool has_no_modes;

int fstat(int fd, struct stat *info) {
    const int status = fstatat(fd, "", info, AT_EMPTY_PATH);
    if (status == 0 && has_no_modes && S_ISDIR(info->st_mode)) {
        info->st_mode |= 0777;
    }
    return status;
}

/* ---- what may lie there ---- */

static void lay_nothing_in(const char *path) {
    scratch_write(path, "", 0);
}

static void lay_photo(const char *path) {
    static char photo[5000];
    memset(photo, 'x', sizeof photo);
    scratch_write(path, photo, sizeof photo);
}

static void lay_other_database(const char *path) {
    scratch_exec(path, "CREATE TABLE savings (sum)");
}

static void lay_pipe(const char *path) {
    assert_int_equal(mkfifo(path, 0666), 0);
}

static void lay_folder(const char *path) {
    assert_int_equal(mkdir(path, 0777), 0);
}

static void lay_loose_link(const char *path) {
    assert_int_equal(symlink("nowhere", path), 0);
}

static void lay_device(const char *path) {
    assert_int_equal(symlink("/dev/zero", path), 0);
}

static void lay_trigger(const char *path) {
    scratch_lay(path, "CREATE TRIGGER t AFTER UPDATE ON parts BEGIN DELETE FROM tasks; END");
}

static void lay_table(const char *path) {
    scratch_lay(path, "CREATE TABLE t (x)");
}

static void lay_index(const char *path) {
    scratch_lay(path, "CREATE INDEX t ON episodes (steps)");
}

static void lay_endless_view(const char *path) {
    scratch_lay(path,
                "DROP TABLE streams; CREATE VIEW streams AS WITH RECURSIVE n(id) AS (SELECT 1"
                " UNION ALL SELECT id + 1 FROM n) SELECT id, 'a' AS name, 0 AS kind, '' AS dtype,"
                " '' AS shape, '' AS encoding, -1 AS times, 0 AS ragged FROM n");
}

static void lay_endless_table(const char *path) {
    scratch_lay(path, "DROP TABLE meta; CREATE VIEW meta AS WITH RECURSIVE n(id) AS (SELECT 1"
                      " UNION ALL SELECT id + 1 FROM n) SELECT id AS key, 1 AS value FROM n");
}

static void lay_another_view(const char *path) {
    scratch_lay(path,
                "DROP VIEW episode; CREATE VIEW episode (id, split, task, num_steps, bytes, file,"
                " record) AS SELECT 1, 2, 3, 4, 5, 6, load_extension('x')");
}

static void lay_later_version(const char *path) {
    scratch_lay(path, "PRAGMA user_version = 99");
}

static void lay_wrong_rows(const char *path) {
    scratch_lay(path, "UPDATE parts SET first_id = 7 WHERE position = 1");
}

static void lay_damage(const char *path) {
    scratch_lay(path, "SELECT 1");
    size_t bytes;
    uint8_t *content = scratch_read(path, &bytes);
    memset(content + 100, 0x55, bytes - 100);
    scratch_write(path, content, bytes);
    free(content);
}

static const struct thing {
    const char *name;
    void (*lay)(const char *path);
    bool has_our_header; /* rebuild replaces it */
    bool is_remade;      /* in the cache, without being asked */
} things[] = {
    {"an empty file", lay_nothing_in, false, false},
    {"no SQLite file", lay_photo, false, false},
    {"another program", lay_other_database, false, false},
    {"a pipe", lay_pipe, false, false},
    {"a folder", lay_folder, false, false},
    {"a link that leads nowhere", lay_loose_link, false, false},
    {"a device", lay_device, false, false},
    {"tables other than", lay_trigger, true, true},
    {"tables other than", lay_table, true, true},
    {"tables other than", lay_index, true, true},
    {"tables other than", lay_endless_view, true, true},
    {"tables other than", lay_endless_table, true, true},
    {"tables other than", lay_another_view, true, true},
    {"version 99", lay_later_version, true, false},
    {"makes no sense", lay_wrong_rows, true, true},
    {"malformed", lay_damage, true, true},
};
#define NUM_THINGS (sizeof things / sizeof things[0])

static bool is_untouched(const char *path, const struct stat *before) {
    struct stat now;
    return lstat(path, &now) == 0 && now.st_ino == before->st_ino &&
           now.st_size == before->st_size && now.st_mode == before->st_mode &&
           now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

static int64_t num_episodes(const rbc_dataset *dataset) {
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    return info.num_episodes;
}

static void one_given_by_path_is_an_error(void **state) {
    const char *data = scratch_path(*state, "data");
    for (size_t i = 0; i < NUM_THINGS; ++i) {
        char path[600];
        snprintf(path, sizeof path, "%s/thing-%d", (char *)*state, (int)i);
        things[i].lay(path);
        struct stat before;
        assert_int_equal(lstat(path, &before), 0);
        rbc_open_params params = RBC_OPEN_PARAMS_INIT;
        params.catalog_path = path;
        const char *message = scratch_refused(data, &params, RBC_ERROR_FORMAT);
        if (strstr(message, things[i].name) == NULL ||
            strstr(message, i == 6 ? "/dev/zero" : path) == NULL) {
            fail_msg("%s: %s", things[i].name, message);
        }
        assert_true(is_untouched(path, &before));
        params.rebuild = 1;
        if (things[i].has_our_header) {
            rbc_dataset *dataset = scratch_open(data, &params);
            assert_int_equal(num_episodes(dataset), SCRATCH_FILES * SCRATCH_LINES);
            rbc_dataset_close(&dataset);
        } else {
            scratch_refused(data, &params, RBC_ERROR_FORMAT);
            assert_true(is_untouched(path, &before));
        }
    }
}

static void one_beside_the_data_is_left_alone(void **state) {
    const char *data = scratch_path(*state, "data");
    for (size_t i = 0; i < NUM_THINGS; ++i) {
        char path[600];
        snprintf(path, sizeof path, "%s/data/.robocache.sqlite", (char *)*state);
        things[i].lay(path);
        struct stat before;
        assert_int_equal(lstat(path, &before), 0);
        for (int round = 0; round < 2; ++round) { /* made, and found again */
            rbc_dataset *dataset = scratch_open(data, NULL);
            rbc_dataset_info info;
            rbc_dataset_get_info(dataset, &info);
            assert_int_equal(info.num_episodes, SCRATCH_FILES * SCRATCH_LINES);
            assert_non_null(strstr(info.catalog_path, "/cache/"));
            if (info.catalog_passed_over == NULL ||
                strstr(info.catalog_passed_over, things[i].name) == NULL) {
                fail_msg("%s: %s", things[i].name, info.catalog_passed_over);
            }
            rbc_dataset_close(&dataset);
            assert_true(is_untouched(path, &before));
        }
        assert_int_equal(remove(path), 0);
    }
    rbc_dataset *dataset = scratch_open(data, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_null(info.catalog_passed_over);
    rbc_dataset_close(&dataset);
}

static void one_in_the_cache_is_made_anew_where_it_is_ours(void **state) {
    const char *data = scratch_path(*state, "data");
    assert_int_equal(chmod(data, 0555), 0);
    rbc_dataset *dataset = scratch_open(data, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    char path[600];
    snprintf(path, sizeof path, "%s", info.catalog_path);
    assert_non_null(strstr(path, "/cache/"));
    assert_null(info.catalog_passed_over); /* that a folder cannot be written is nothing unusual */
    rbc_dataset_close(&dataset);
    for (size_t i = 0; i < NUM_THINGS; ++i) {
        assert_int_equal(remove(path), 0);
        things[i].lay(path);
        struct stat before;
        assert_int_equal(lstat(path, &before), 0);
        if (things[i].is_remade) {
            dataset = scratch_open(data, NULL);
            assert_int_equal(num_episodes(dataset), SCRATCH_FILES * SCRATCH_LINES);
            rbc_dataset_close(&dataset);
        } else {
            scratch_refused(data, NULL, RBC_ERROR_FORMAT);
            assert_true(is_untouched(path, &before));
        }
    }
    assert_int_equal(chmod(data, 0777), 0);
}

/* As a store of files by content has it, with links to them in the dataset's folder. */
static void a_link_to_a_catalog_is_read_and_never_replaced(void **state) {
    const char *data = scratch_path(*state, "data");
    const char *stored = scratch_path(*state, "stored");
    const char *link = scratch_path(*state, "data/.robocache.sqlite");
    scratch_lay(stored, "SELECT 1");
    assert_int_equal(symlink(stored, link), 0);
    struct stat before;
    assert_int_equal(stat(stored, &before), 0);
    rbc_dataset *dataset = scratch_open(data, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_string_equal(strrchr(info.catalog_path, '/'), "/.robocache.sqlite");
    rbc_dataset_close(&dataset);
    fake_file_write(data, 1, "7 0 -1 polish the mirror\n");
    dataset = scratch_open(data, NULL);
    rbc_dataset_get_info(dataset, &info);
    assert_non_null(strstr(info.catalog_path, "/cache/"));
    assert_int_equal(info.num_episodes, (SCRATCH_FILES - 1) * SCRATCH_LINES + 1);
    rbc_dataset_close(&dataset);
    assert_true(is_untouched(stored, &before));
    assert_int_equal(lstat(link, &before), 0);
    assert_true(S_ISLNK(before.st_mode));
}

static void an_earlier_version_is_made_anew(void **state) {
    const char *data = scratch_path(*state, "data");
    const char *path = scratch_path(*state, "data/.robocache.sqlite");
    scratch_lay(path, "PRAGMA user_version = 1; UPDATE episodes SET bytes = 0; CREATE TABLE t (x)");
    rbc_dataset *dataset = scratch_open(data, NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_string_equal(info.catalog_path, path);
    assert_non_null(info.catalog_passed_over);
    assert_non_null(strstr(info.catalog_passed_over, "of version 1"));
    assert_non_null(strstr(info.catalog_passed_over, "made anew"));
    rbc_dataset_close(&dataset);
    dataset = scratch_open(data, NULL);
    rbc_dataset_get_info(dataset, &info);
    assert_null(info.catalog_passed_over);
    rbc_dataset_close(&dataset);
    assert_int_equal(scratch_integer(path, "SELECT count(*) FROM episodes WHERE bytes = 0"), 0);
}

/* SQLite then keeps other files beside the copy that is brought up to date. */
static void one_with_a_log_is_brought_up_to_date(void **state) {
    const char *data = scratch_path(*state, "data");
    const char *path = scratch_path(*state, "data/.robocache.sqlite");
    scratch_lay(path, "PRAGMA journal_mode = WAL");
    fake_file_write(data, 1, "7 0 -1 polish the mirror\n");
    rbc_dataset *dataset = scratch_open(data, NULL);
    assert_int_equal(num_episodes(dataset), (SCRATCH_FILES - 1) * SCRATCH_LINES + 1);
    rbc_dataset_close(&dataset);
    assert_int_not_equal(access(scratch_path(*state, "data/.robocache.sqlite.partial"), F_OK), 0);
}

/* ---- what may lie where files are written ---- */

static void what_lies_in_the_way_is_not_written_to(void **state) {
    static const struct {
        const char *suffix;
        mode_t folder; /* 0: a link */
    } ways[] = {{".lock", 0}, {".partial", 0}, {".partial", 0777}, {".lock", 0700}};
    const char *data = scratch_path(*state, "data");
    for (size_t i = 0; i < 2 * sizeof ways / sizeof ways[0]; ++i) {
        const bool is_given = i % 2 == 1;
        char victim[600];
        char path[600];
        char way[620];
        rbc_open_params params = RBC_OPEN_PARAMS_INIT;
        snprintf(victim, sizeof victim, "%s/victim", (char *)*state);
        snprintf(path, sizeof path, "%s/%s", (char *)*state,
                 is_given ? "given" : "data/.robocache.sqlite");
        snprintf(way, sizeof way, "%s%s", path, ways[i / 2].suffix);
        scratch_write(victim, "precious", 8);
        if (ways[i / 2].folder == 0) {
            assert_int_equal(symlink(victim, way), 0);
        } else {
            assert_int_equal(mkdir(way, 0700), 0);
            assert_int_equal(chmod(way, ways[i / 2].folder), 0);
        }
        params.catalog_path = is_given ? path : NULL;
        if (is_given) {
            const char *message = scratch_refused(data, &params, RBC_ERROR_IO);
            assert_non_null(strstr(message, way));
            assert_non_null(strstr(message, "in the way"));
        } else {
            rbc_dataset *dataset = scratch_open(data, &params);
            rbc_dataset_info info;
            rbc_dataset_get_info(dataset, &info);
            assert_non_null(strstr(info.catalog_path, "/cache/"));
            assert_non_null(info.catalog_passed_over);
            assert_non_null(strstr(info.catalog_passed_over, way));
            rbc_dataset_close(&dataset);
        }
        size_t bytes;
        uint8_t *content = scratch_read(victim, &bytes);
        assert_int_equal(bytes, 8);
        assert_memory_equal(content, "precious", 8);
        free(content);
        assert_int_equal(remove(way), 0);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void a_file_system_without_modes_will_do(void **state) {
    has_no_modes = true;
    rbc_dataset *dataset = scratch_open(scratch_path(*state, "data"), NULL);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_null(info.catalog_passed_over);
    assert_string_equal(strrchr(info.catalog_path, '/'), "/.robocache.sqlite");
    rbc_dataset_close(&dataset);
    has_no_modes = false;
}

static void what_is_written_is_closed_to_others_while_it_is_made(void **state) {
    fake_file_write(scratch_path(*state, "data"), 2, "5 0 -1 a\n!\n");
    scratch_refused(scratch_path(*state, "data"), NULL, RBC_ERROR_FORMAT);
    struct stat info;
    assert_int_equal(stat(scratch_path(*state, "data/.robocache.sqlite.partial"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void the_catalog_of_another_dataset_is_refused(void **state) {
    const char *other = scratch_path(*state, "other");
    fake_dataset_make(other, SCRATCH_FILES + 1, SCRATCH_LINES);
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = scratch_path(*state, "catalog");
    fake_name = "droid";
    rbc_dataset *dataset = scratch_open(other, &params);
    rbc_dataset_close(&dataset);
    char *before = scratch_dump(params.catalog_path);
    fake_name = "bridge";
    const char *data = scratch_path(*state, "data");
    const char *message = scratch_refused(data, &params, RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(message, "'droid'"));
    assert_non_null(strstr(message, "'bridge'"));
    char *behind = scratch_dump(params.catalog_path);
    assert_string_equal(before, behind);
    /* its own files under another name are its own */
    dataset = scratch_open(other, &params);
    rbc_dataset_close(&dataset);
    params.rebuild = 1;
    dataset = scratch_open(data, &params);
    assert_int_equal(num_episodes(dataset), SCRATCH_FILES * SCRATCH_LINES);
    rbc_dataset_close(&dataset);
    fake_name = "fake";
    free(before);
    free(behind);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_given_by_path_is_an_error),
        TEST(one_beside_the_data_is_left_alone),
        TEST(one_in_the_cache_is_made_anew_where_it_is_ours),
        TEST(a_link_to_a_catalog_is_read_and_never_replaced),
        TEST(an_earlier_version_is_made_anew),
        TEST(one_with_a_log_is_brought_up_to_date),
        TEST(what_lies_in_the_way_is_not_written_to),
        TEST(a_file_system_without_modes_will_do),
        TEST(what_is_written_is_closed_to_others_while_it_is_made),
        TEST(the_catalog_of_another_dataset_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
