#define _GNU_SOURCE

#include "scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "catalog/dataset.h"
#include "fake_reader.h"

char *scratch_make(void) {
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    assert_true(asprintf(&folder, "%s/rbc-catalog-XXXXXX", base != NULL ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void scratch_remove(char **folder) {
    nftw(*folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*folder);
    *folder = NULL;
}

const char *scratch_path(const char *folder, const char *name) {
    static char paths[8][600];
    static int next = 0;
    char *path = paths[next++ % 8];
    const int length = snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    assert_in_range(length, 1, sizeof paths[0] - 1);
    return path;
}

static sqlite3 *open_database(const char *path) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                     SQLITE_OK);
    return db;
}

static void dump_table(sqlite3 *db, const char *sql, FILE *out) {
    sqlite3_stmt *select = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &select, NULL), SQLITE_OK);
    fprintf(out, "%s\n", sql);
    while (sqlite3_step(select) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(select); ++i) {
            if (sqlite3_column_type(select, i) == SQLITE_BLOB) {
                const uint8_t *bytes = sqlite3_column_blob(select, i);
                for (int k = 0; k < sqlite3_column_bytes(select, i); ++k) {
                    fprintf(out, "%02x", bytes[k]);
                }
                fputc('|', out);
            } else {
                const char *text = (const char *)sqlite3_column_text(select, i);
                fprintf(out, "%s|", text != NULL ? text : "NULL");
            }
        }
        fputc('\n', out);
    }
    assert_int_equal(sqlite3_finalize(select), SQLITE_OK);
}

char *scratch_dump(const char *catalog_path) {
    static const char *const tables[] = {
        "SELECT * FROM meta ORDER BY key",
        "SELECT * FROM streams ORDER BY id",
        ("SELECT id, path, split, position, size, indexed, records, episodes, steps, first_id"
         " FROM parts ORDER BY id"),
        "SELECT * FROM episodes ORDER BY key",
        "SELECT * FROM layouts ORDER BY key",
        "SELECT * FROM metadata ORDER BY key",
        "SELECT * FROM objects ORDER BY part, kind, number",
        "SELECT * FROM told ORDER BY part",
        "SELECT * FROM summaries ORDER BY part",
        "SELECT * FROM spans ORDER BY part, times",
        "SELECT * FROM tasks ORDER BY id",
        "SELECT rowid FROM task_words WHERE task_words MATCH 'drawer' ORDER BY rowid",
        "SELECT part, record, message FROM skipped ORDER BY id",
        "PRAGMA integrity_check",
    };
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    sqlite3 *db = open_database(catalog_path);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; ++i) {
        dump_table(db, tables[i], out);
    }
    sqlite3_close(db);
    fclose(out);
    return text;
}

void scratch_same_bytes(const char *path, const char *other) {
    FILE *first = fopen(path, "rb");
    FILE *second = fopen(other, "rb");
    assert_non_null(first);
    assert_non_null(second);
    for (long at = 0;; ++at) {
        const int a = getc(first);
        const int b = getc(second);
        if (a != b) {
            fail_msg("'%s' and '%s' differ at byte %ld", path, other, at);
        }
        if (a == EOF) {
            break;
        }
    }
    fclose(first);
    fclose(second);
}

int64_t scratch_integer(const char *catalog_path, const char *sql) {
    sqlite3 *db = open_database(catalog_path);
    sqlite3_stmt *select = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &select, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(select), SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    sqlite3_close(db);
    return value;
}

void scratch_exec(const char *catalog_path, const char *sql) {
    sqlite3 *db = open_database(catalog_path);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

rbc_dataset *scratch_open(const char *path, const rbc_open_params *params) {
    rbc_dataset *dataset;
    rbc_error err;
    if (rbc__dataset_open_with(&fake_reader, path, params, &dataset, &err) != RBC_OK) {
        fail_msg("open: %s", err.message);
    }
    return dataset;
}

const char *scratch_refused(const char *path, const rbc_open_params *params, rbc_status status) {
    static rbc_error err;
    rbc_dataset *dataset = NULL;
    const rbc_status got = rbc__dataset_open_with(&fake_reader, path, params, &dataset, &err);
    if (got != status) {
        fail_msg("open gave %s, wanted %s: %s", rbc_status_name(got), rbc_status_name(status),
                 got == RBC_OK ? "" : err.message);
    }
    assert_null(dataset);
    assert_int_equal(err.status, status);
    return err.message;
}

int scratch_setup(void **state) {
    char *folder = scratch_make();
    fake_dataset_make(scratch_path(folder, "data"), SCRATCH_FILES, SCRATCH_LINES);
    setenv("ROBOCACHE_CACHE", scratch_path(folder, "cache"), 1);
    *state = folder;
    return 0;
}

int scratch_teardown(void **state) {
    unsetenv("ROBOCACHE_CACHE");
    scratch_remove((char **)state);
    return 0;
}

void scratch_lay(const char *path, const char *sql) {
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

void scratch_write(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

uint8_t *scratch_read(const char *path, size_t *bytes) {
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
