/* What a catalog holds may be anything, too: damaged, made up, or without end. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "catalog/dataset.h"
#include "fake_reader.h"
#include "scratch.h"

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
    scratch_lay(catalog, "SELECT 1");
    size_t bytes;
    uint8_t *whole = scratch_read(catalog, &bytes);
    uint8_t *copy = malloc(bytes);
    srand(7);
    for (int round = 0; round < 300; ++round) {
        char what[64];
        memcpy(copy, whole, bytes);
        const size_t start = (size_t)rand() % bytes;
        for (size_t i = start; i < bytes && i < start + 1 + (size_t)round % 300; ++i) {
            copy[i] = (uint8_t)rand();
        }
        scratch_write(catalog, copy, round % 10 == 9 ? start : bytes);
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
    scratch_lay(catalog, "SELECT 1");
    size_t bytes;
    uint8_t *whole = scratch_read(catalog, &bytes);
    int written = 0;
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; ++i) {
        for (size_t k = 0; k < sizeof values / sizeof values[0]; ++k) {
            char what[200];
            char sql[220];
            scratch_write(catalog, whole, bytes);
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
        scratch_lay(params.catalog_path, changes[i]);
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
    uint8_t *whole = scratch_read(catalog, &bytes);
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
    scratch_write(catalog, whole, bytes + (LEVELS + 1) * page);
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

    scratch_lay(catalog, "SELECT 1");
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
    scratch_lay(catalog, "SELECT 1");
    make_endless(catalog, "parts");
    asked = 0;
    params.progress = stop_progress_at_third;
    params.progress_user = &asked;
    scratch_refused(data, &params, RBC_ERROR_CANCELLED);

    /* and here it is known how many rows there must be */
    scratch_lay(catalog, "SELECT 1");
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
#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(damaged_bytes_never_crash),
        TEST(wrong_values_never_crash),
        TEST(rows_that_differ_from_the_summary_are_refused),
        TEST(tables_without_end_can_be_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
