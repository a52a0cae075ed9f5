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
#include <sqlite3.h>

#include "catalog/dataset.h"
#include "fake_reader.h"
#include "scratch.h"

#define FILES 6
#define LINES 20

/* As a file system without modes has it: every folder is open to all. */
static bool has_no_modes;

int fstat(int fd, struct stat *info) {
    const int status = fstatat(fd, "", info, AT_EMPTY_PATH);
    if (status == 0 && has_no_modes && S_ISDIR(info->st_mode)) {
        info->st_mode |= 0777;
    }
    return status;
}

/* A folder with the dataset, the cache and whatever else a test makes. */
static int setup(void **state) {
    char *folder = scratch_make();
    fake_dataset_make(scratch_path(folder, "data"), FILES, LINES);
    setenv("ROBOCACHE_CACHE", scratch_path(folder, "cache"), 1);
    *state = folder;
    return 0;
}

static int teardown(void **state) {
    unsetenv("ROBOCACHE_CACHE");
    scratch_remove((char **)state);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

static uint8_t *read_file(const char *path, size_t *bytes) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    *bytes = (size_t)info.st_size;
    uint8_t *content = malloc(*bytes + 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(content, 1, *bytes, file), *bytes);
    fclose(file);
    return content;
}

/* ---- what may lie there ---- */

static void lay_nothing_in(const char *path) {
    write_file(path, "", 0);
}

static void lay_photo(const char *path) {
    static char photo[5000];
    memset(photo, 'x', sizeof photo);
    write_file(path, photo, sizeof photo);
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

/* The catalog of this very dataset, with one thing changed. */
static void lay_ours(const char *path, const char *sql) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    char folder[600];
    snprintf(folder, sizeof folder, "%s", getenv("ROBOCACHE_CACHE"));
    strrchr(folder, '/')[0] = '\0';
    params.catalog_path = scratch_path(folder, "made");
    rbc_dataset *dataset = scratch_open(scratch_path(folder, "data"), &params);
    rbc_dataset_close(&dataset);
    scratch_exec(params.catalog_path, sql);
    assert_int_equal(rename(params.catalog_path, path), 0);
}

static void lay_trigger(const char *path) {
    lay_ours(path, "CREATE TRIGGER t AFTER UPDATE ON parts BEGIN DELETE FROM tasks; END");
}

static void lay_table(const char *path) {
    lay_ours(path, "CREATE TABLE t (x)");
}

static void lay_index(const char *path) {
    lay_ours(path, "CREATE INDEX t ON episodes (steps)");
}

static void lay_endless_view(const char *path) {
    lay_ours(path,
             "DROP TABLE streams; CREATE VIEW streams AS WITH RECURSIVE n(id) AS (SELECT 1"
             " UNION ALL SELECT id + 1 FROM n) SELECT id, 'a' AS name, 0 AS kind, '' AS dtype,"
             " '' AS shape, '' AS encoding, -1 AS times, 0 AS ragged FROM n");
}

static void lay_endless_table(const char *path) {
    lay_ours(path, "DROP TABLE meta; CREATE VIEW meta AS WITH RECURSIVE n(id) AS (SELECT 1"
                   " UNION ALL SELECT id + 1 FROM n) SELECT id AS key, 1 AS value FROM n");
}

static void lay_another_view(const char *path) {
    lay_ours(path,
             "DROP VIEW episode; CREATE VIEW episode (id, split, task, num_steps, bytes, file,"
             " record) AS SELECT 1, 2, 3, 4, 5, 6, load_extension('x')");
}

static void lay_later_version(const char *path) {
    lay_ours(path, "PRAGMA user_version = 99");
}

static void lay_wrong_rows(const char *path) {
    lay_ours(path, "UPDATE parts SET first_id = 7 WHERE position = 1");
}

static void lay_damage(const char *path) {
    lay_ours(path, "SELECT 1");
    size_t bytes;
    uint8_t *content = read_file(path, &bytes);
    memset(content + 100, 0x55, bytes - 100);
    write_file(path, content, bytes);
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
            assert_int_equal(num_episodes(dataset), FILES * LINES);
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
            assert_int_equal(info.num_episodes, FILES * LINES);
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
            assert_int_equal(num_episodes(dataset), FILES * LINES);
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
    lay_ours(stored, "SELECT 1");
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
    assert_int_equal(info.num_episodes, (FILES - 1) * LINES + 1);
    rbc_dataset_close(&dataset);
    assert_true(is_untouched(stored, &before));
    assert_int_equal(lstat(link, &before), 0);
    assert_true(S_ISLNK(before.st_mode));
}

static void an_earlier_version_is_made_anew(void **state) {
    const char *data = scratch_path(*state, "data");
    const char *path = scratch_path(*state, "data/.robocache.sqlite");
    lay_ours(path, "PRAGMA user_version = 1; UPDATE episodes SET bytes = 0; CREATE TABLE t (x)");
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
    lay_ours(path, "PRAGMA journal_mode = WAL");
    fake_file_write(data, 1, "7 0 -1 polish the mirror\n");
    rbc_dataset *dataset = scratch_open(data, NULL);
    assert_int_equal(num_episodes(dataset), (FILES - 1) * LINES + 1);
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
        write_file(victim, "precious", 8);
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
        uint8_t *content = read_file(victim, &bytes);
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
    fake_dataset_make(other, FILES + 1, LINES);
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
    assert_int_equal(num_episodes(dataset), FILES * LINES);
    rbc_dataset_close(&dataset);
    fake_name = "fake";
    free(before);
    free(behind);
}

/* ---- what may be in it ---- */

/* Opens, selects and reads all: any answer will do but a crash, or one that blames the library. */
static void use(const char *data, const char *catalog, const char *what) {
    rbc_dataset *dataset;
    rbc_error err = {0};
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = catalog;
    rbc_status status = rbc__dataset_open_with(&fake_reader, data, &params, &dataset, &err);
    if (status != RBC_OK) {
        assert_int_not_equal(status, RBC_ERROR_INTERNAL);
        return;
    }
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    static const char *const wheres[] = {NULL, "task MATCH 'drawer' OR num_steps > 3",
                                         "split < file || task AND bytes > record"};
    for (size_t i = 0; i < sizeof wheres / sizeof wheres[0]; ++i) {
        rbc_selection *selection;
        status = rbc_selection_create(dataset, NULL, wheres[i], NULL, NULL, &selection, &err);
        if (status == RBC_ERROR_INTERNAL || status == RBC_ERROR_INVALID_ARGUMENT) {
            fail_msg("%s: where '%s': %s", what, wheres[i], err.message);
        }
        rbc_selection_destroy(&selection);
    }
    for (int64_t id = 0; id < info.num_episodes && id < 1000; id += 7) {
        rbc_episode *episode;
        status = rbc_episode_open(dataset, id, &episode, &err);
        assert_int_not_equal(status, RBC_ERROR_INTERNAL);
        rbc_episode_close(&episode);
    }
    const char *text;
    int64_t count;
    assert_int_not_equal(rbc_dataset_task(dataset, 0, &text, &count, &err), RBC_ERROR_INTERNAL);
    assert_int_not_equal(rbc_dataset_skipped(dataset, 0, &text, &err), RBC_ERROR_INTERNAL);
    rbc_dataset_close(&dataset);
}

static void damaged_bytes_never_crash(void **state) {
    const char *data = scratch_path(*state, "data");
    const char *catalog = scratch_path(*state, "catalog");
    lay_ours(catalog, "SELECT 1");
    size_t bytes;
    uint8_t *whole = read_file(catalog, &bytes);
    uint8_t *copy = malloc(bytes);
    srand(7);
    for (int round = 0; round < 300; ++round) {
        char what[64];
        memcpy(copy, whole, bytes);
        const size_t start = (size_t)rand() % bytes;
        for (size_t i = start; i < bytes && i < start + 1 + (size_t)round % 300; ++i) {
            copy[i] = (uint8_t)rand();
        }
        write_file(catalog, copy, round % 10 == 9 ? start : bytes);
        snprintf(what, sizeof what, "round %d, byte %zu", round, start);
        use(data, catalog, what);
    }
    free(copy);
    free(whole);
}

static void wrong_values_never_crash(void **state) {
    static const char *const cells[] = {
        "meta SET value = %s WHERE key = 'tasks'",
        "meta SET value = %s WHERE key = 'skipped'",
        "meta SET value = %s WHERE key = 'complete'",
        "meta SET value = %s WHERE key = 'format'",
        "parts SET id = id + %s",
        "parts SET path = %s WHERE position = 2",
        "parts SET split = %s",
        "parts SET position = %s WHERE position = 2",
        "parts SET episodes = %s WHERE position = 2",
        "parts SET steps = %s WHERE position = 2",
        "parts SET first_id = %s WHERE position = 2",
        "episodes SET key = key + %s",
        "episodes SET key = %s WHERE record = 2",
        "episodes SET record = %s",
        "episodes SET offset = %s",
        "episodes SET bytes = %s",
        "episodes SET steps = %s",
        "episodes SET start_ns = %s",
        "episodes SET end_ns = %s",
        "episodes SET task = %s",
        "layouts SET data = %s",
        "metadata SET key = %s",
        "metadata SET data = %s",
        "parts SET column_bytes = %s",
        "parts SET digest = %s",
        "streams SET stored = %s",
        "summaries SET data = %s",
        "summaries SET part = %s WHERE part = 3",
        "spans SET data = %s",
        "spans SET times = %s",
        "tasks SET text = id || %s",
        "tasks SET episodes = %s",
        "streams SET name = %s",
        "task_words_data SET block = %s",
        "task_words_config SET v = %s",
    };
    static const char *const values[] = {"-1",
                                         "0",
                                         "1",
                                         "9223372036854775807",
                                         "-9223372036854775807",
                                         "4294967296",
                                         "1e300",
                                         "''",
                                         "'x'",
                                         "x'00'",
                                         "zeroblob(15000)",
                                         "x'ffffffffffffffffff7f'"};
    const char *data = scratch_path(*state, "data");
    const char *catalog = scratch_path(*state, "catalog");
    lay_ours(catalog, "SELECT 1");
    size_t bytes;
    uint8_t *whole = read_file(catalog, &bytes);
    int written = 0;
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; ++i) {
        for (size_t k = 0; k < sizeof values / sizeof values[0]; ++k) {
            char what[200];
            char sql[220];
            write_file(catalog, whole, bytes);
            snprintf(what, sizeof what, cells[i], values[k]);
            snprintf(sql, sizeof sql, "UPDATE OR REPLACE %s", what);
            sqlite3 *db = NULL;
            assert_int_equal(sqlite3_open(catalog, &db), SQLITE_OK);
            sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
            written += sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
            sqlite3_close(db);
            use(data, catalog, what);
        }
    }
    assert_true(written > 250);
    free(whole);
}

/* The loader counts samples by the summary and reads them by the row. */
static void rows_that_differ_from_the_summary_are_refused(void **state) {
    static const char *const changes[] = {
        "UPDATE episodes SET steps = steps + 1 WHERE record = 2",
        "UPDATE episodes SET start_ns = 5, end_ns = 6 WHERE record = 2",
    };
    const char *data = scratch_path(*state, "data");
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = scratch_path(*state, "catalog");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; ++i) {
        lay_ours(params.catalog_path, changes[i]);
        rbc_dataset *dataset = scratch_open(data, &params);
        rbc_selection *all;
        rbc_episode *episode;
        rbc_error err;
        assert_int_equal(rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &all, &err), RBC_OK);
        assert_int_equal(rbc_episode_open(dataset, 1, &episode, &err), RBC_OK);
        rbc_episode_close(&episode);
        assert_int_equal(rbc_episode_open(dataset, 2, &episode, &err), RBC_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "row of episode 2 makes no sense"));
        rbc_selection_destroy(&all);
        rbc_dataset_close(&dataset);
    }
}

static void put_big(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; ++i) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* Pages of a tree that name the next one again and again: more rows than anybody can wait for, in a
 * few kilobytes. */
static void make_endless(const char *catalog, const char *table) {
    enum { LEVELS = 8, CELLS = 500 };
    char sql[120];
    snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", table);
    const uint32_t root = (uint32_t)scratch_integer(catalog, sql);
    const size_t page = (size_t)scratch_integer(catalog, "PRAGMA page_size");
    size_t bytes;
    uint8_t *whole = read_file(catalog, &bytes);
    const uint32_t pages = (uint32_t)(bytes / page);
    whole = realloc(whole, bytes + (LEVELS + 1) * page);
    memcpy(whole + bytes + LEVELS * page, whole + (root - 1) * page, page); /* the leaf, last */
    for (uint32_t level = 0; level <= LEVELS - 1; ++level) {
        uint8_t *at = level == 0 ? whole + (root - 1) * page : whole + bytes + level * page;
        const uint32_t child = pages + level + 2; /* pages count from 1 */
        memset(at, 0, page);
        at[0] = 0x05; /* an inner page of a table */
        at[3] = CELLS >> 8;
        at[4] = CELLS & 0xFF;
        const size_t content = page - CELLS * 5;
        at[5] = (uint8_t)(content >> 8);
        at[6] = (uint8_t)content;
        put_big(at + 8, child);
        for (size_t i = 0; i < CELLS; ++i) {
            at[12 + 2 * i] = (uint8_t)((content + 5 * i) >> 8);
            at[13 + 2 * i] = (uint8_t)(content + 5 * i);
            put_big(at + content + 5 * i, child);
            at[content + 5 * i + 4] = 1; /* the key */
        }
    }
    memset(whole + bytes, 0, page); /* page `pages` + 1 is used by nobody */
    put_big(whole + 28, pages + LEVELS + 1);
    memcpy(whole + 92, whole + 24, 4);
    write_file(catalog, whole, bytes + (LEVELS + 1) * page);
    free(whole);
}

static int stop_at_third(void *user) {
    return ++*(int *)user >= 3;
}

static int stop_progress_at_third(const rbc_progress *progress, void *user) {
    (void)progress;
    return stop_at_third(user);
}

static void tables_without_end_can_be_left(void **state) {
    const char *data = scratch_path(*state, "data");
    const char *catalog = scratch_path(*state, "catalog");
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    rbc_error err;
    params.catalog_path = catalog;

    lay_ours(catalog, "SELECT 1");
    make_endless(catalog, "episodes");
    rbc_dataset *dataset = scratch_open(data, &params);
    rbc_selection *selection;
    int asked = 0;
    assert_int_equal(rbc_selection_create(dataset, NULL, "num_steps < 0", stop_at_third, &asked,
                                          &selection, &err),
                     RBC_ERROR_CANCELLED);
    assert_int_equal(asked, 3);
    assert_null(selection);
    rbc_dataset_close(&dataset);

    /* opening has to go through this one to bring it up to date */
    lay_ours(catalog, "SELECT 1");
    make_endless(catalog, "parts");
    asked = 0;
    params.progress = stop_progress_at_third;
    params.progress_user = &asked;
    scratch_refused(data, &params, RBC_ERROR_CANCELLED);

    /* and here it is known how many rows there must be */
    lay_ours(catalog, "SELECT 1");
    make_endless(catalog, "tasks");
    params.progress = NULL;
    dataset = scratch_open(data, &params);
    const char *text;
    int64_t count;
    assert_int_equal(rbc_dataset_task(dataset, 0, &text, &count, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "at least"));
    rbc_dataset_close(&dataset);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
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
        TEST(damaged_bytes_never_crash),
        TEST(wrong_values_never_crash),
        TEST(rows_that_differ_from_the_summary_are_refused),
        TEST(tables_without_end_can_be_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
