#include "catalog/tables.h"

#include <stdio.h>
#include <string.h>

#include "core/error.h"

static const char create_tables[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind INTEGER NOT NULL,"
    " dtype TEXT NOT NULL, shape TEXT NOT NULL, encoding TEXT NOT NULL, times INTEGER NOT NULL,"
    " ragged INTEGER NOT NULL);"
    "CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, split TEXT NOT NULL,"
    " position INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
    " indexed INTEGER NOT NULL, records INTEGER NOT NULL, episodes INTEGER NOT NULL,"
    " steps INTEGER NOT NULL, first_id INTEGER NOT NULL);"
    "CREATE TABLE episodes (key INTEGER PRIMARY KEY, record INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, bytes INTEGER NOT NULL, steps INTEGER NOT NULL,"
    " start_ns INTEGER, end_ns INTEGER, task INTEGER);"
    "CREATE TABLE layouts (key INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE summaries (file INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE tasks (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE,"
    " episodes INTEGER NOT NULL);"
    "CREATE VIRTUAL TABLE task_words USING fts5 (text, content = 'tasks', content_rowid = 'id',"
    " columnsize = 0);"
    "CREATE TABLE skipped (id INTEGER PRIMARY KEY, file INTEGER NOT NULL, record INTEGER NOT NULL,"
    " message TEXT NOT NULL);"
    /* CROSS JOIN keeps the order: episodes first, the two others by their keys */
    "CREATE VIEW episode (id, split, task, num_steps, bytes, file, record) AS"
    " SELECT f.first_id + (e.key & 4294967295), f.split, coalesce(t.text, ''), e.steps, e.bytes,"
    " f.path, e.record FROM episodes e CROSS JOIN files f ON f.id = e.key >> 32"
    " LEFT JOIN tasks t ON t.id = e.task;";

rbc_status rbc__tables_state(sqlite3 *db, rbc__catalog_state *out, rbc_error *err) {
    int64_t application;
    int64_t version;
    int64_t tables;
    RBC__TRY(rbc__database_integer(db, "PRAGMA application_id", &application, err));
    RBC__TRY(rbc__database_integer(db, "PRAGMA user_version", &version, err));
    RBC__TRY(rbc__database_integer(db, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (tables == 0) {
        *out = RBC__CATALOG_EMPTY;
        return RBC_OK;
    }
    const char *path = sqlite3_db_filename(db, "main");
    if (application != RBC__CATALOG_APPLICATION) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "'%s' is an SQLite file of another program, not a catalog; give another "
                         "catalog path",
                         path);
    }
    if (version > RBC__CATALOG_VERSION) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "catalog '%s' has version %lld, this library knows versions up to %d; use "
                         "a newer library, another catalog path, or rebuild",
                         path, (long long)version, RBC__CATALOG_VERSION);
    }
    *out = version == RBC__CATALOG_VERSION ? RBC__CATALOG_CURRENT : RBC__CATALOG_OLDER;
    return RBC_OK;
}

static char *shape_text(const rbc__stream_schema *stream, char *buffer, size_t bytes) {
    return rbc__format_shape(buffer, bytes, stream->ndim, stream->shape);
}

static rbc_status fill_streams(sqlite3 *db, const char *format, const rbc__schema *schema,
                               rbc_error *err) {
    sqlite3_stmt *insert;
    RBC__TRY(rbc__statement_prepare(db, "INSERT INTO meta VALUES ('format', ?), ('complete', 0)",
                                    &insert, err));
    sqlite3_bind_text(insert, 1, format, -1, SQLITE_STATIC);
    rbc_status status = rbc__statement_run(insert, err);
    rbc__statement_finish(&insert);
    RBC__TRY(status);
    RBC__TRY(rbc__statement_prepare(db, "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                                    &insert, err));
    for (int32_t i = 0; i < schema->num_streams && status == RBC_OK; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        char shape[256];
        sqlite3_bind_int64(insert, 1, i);
        sqlite3_bind_text(insert, 2, stream->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 3, (int64_t)stream->kind);
        sqlite3_bind_text(insert, 4, rbc__dtype_name(stream->dtype), -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 5, shape_text(stream, shape, sizeof shape), -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(insert, 6, stream->encoding, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 7, stream->times);
        sqlite3_bind_int64(insert, 8, stream->is_ragged);
        status = rbc__statement_run(insert, err);
    }
    rbc__statement_finish(&insert);
    return status;
}

rbc_status rbc__tables_create(sqlite3 *db, const char *format, const rbc__schema *schema,
                              rbc_error *err) {
    static const char doing[] = "tables cannot be made";
    char versions[128];
    snprintf(versions, sizeof versions, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             RBC__CATALOG_APPLICATION, RBC__CATALOG_VERSION);
    RBC__TRY(rbc__database_exec(db, "BEGIN IMMEDIATE", doing, err));
    rbc_status status = rbc__database_exec(db, versions, doing, err);
    if (status == RBC_OK) {
        status = rbc__database_exec(db, create_tables, doing, err);
    }
    if (status == RBC_OK) {
        status = fill_streams(db, format, schema, err);
    }
    if (status == RBC_OK) {
        status = rbc__database_exec(db, "COMMIT", doing, err);
    }
    if (status != RBC_OK) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

static bool text_is(sqlite3_stmt *statement, int column, const char *want) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL && strcmp(text, want) == 0;
}

static rbc_status format_matches(sqlite3 *db, const char *format, bool *match, rbc_error *err) {
    sqlite3_stmt *select;
    RBC__TRY(
        rbc__statement_prepare(db, "SELECT value FROM meta WHERE key = 'format'", &select, err));
    bool row;
    const rbc_status status = rbc__statement_step(select, &row, err);
    *match = status == RBC_OK && row && text_is(select, 0, format);
    rbc__statement_finish(&select);
    return status;
}

rbc_status rbc__tables_match(sqlite3 *db, const char *format, const rbc__schema *schema,
                             bool *match, rbc_error *err) {
    RBC__TRY(format_matches(db, format, match, err));
    sqlite3_stmt *select;
    RBC__TRY(rbc__statement_prepare(
        db, "SELECT name, kind, dtype, shape, encoding, times, ragged FROM streams ORDER BY id",
        &select, err));
    rbc_status status = RBC_OK;
    int32_t count = 0;
    while (*match) {
        bool row;
        status = rbc__statement_step(select, &row, err);
        if (status != RBC_OK || !row) {
            break;
        }
        if (count == schema->num_streams) {
            *match = false;
            break;
        }
        const rbc__stream_schema *stream = &schema->streams[count++];
        char shape[256];
        *match = text_is(select, 0, stream->name) &&
                 sqlite3_column_int64(select, 1) == (int64_t)stream->kind &&
                 text_is(select, 2, rbc__dtype_name(stream->dtype)) &&
                 text_is(select, 3, shape_text(stream, shape, sizeof shape)) &&
                 text_is(select, 4, stream->encoding) &&
                 sqlite3_column_int64(select, 5) == stream->times &&
                 (sqlite3_column_int64(select, 6) != 0) == stream->is_ragged;
    }
    *match = *match && count == schema->num_streams;
    rbc__statement_finish(&select);
    return status;
}
