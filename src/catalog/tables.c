#include "catalog/tables.h"

#include <stdio.h>
#include <string.h>

#include "catalog/header.h"
#include "core/error.h"

static const char create_tables[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind INTEGER NOT NULL,"
    " dtype TEXT NOT NULL, shape TEXT NOT NULL, encoding TEXT NOT NULL, times INTEGER NOT NULL,"
    " ragged INTEGER NOT NULL, stored TEXT NOT NULL, unit TEXT NOT NULL, scale REAL NOT NULL,"
    " offset REAL NOT NULL);"
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, split TEXT NOT NULL,"
    " position INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
    " digest INTEGER NOT NULL, column_bytes INTEGER NOT NULL, column_digest INTEGER NOT NULL,"
    " indexed INTEGER NOT NULL, records INTEGER NOT NULL, episodes INTEGER NOT NULL,"
    " steps INTEGER NOT NULL, first_id INTEGER NOT NULL, unpacked TEXT NOT NULL);"
    "CREATE TABLE episodes (key INTEGER PRIMARY KEY, record INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, bytes INTEGER NOT NULL, steps INTEGER NOT NULL,"
    " start_ns INTEGER, end_ns INTEGER, task INTEGER);"
    "CREATE TABLE layouts (key INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE metadata (key INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE objects (part INTEGER, kind INTEGER, number INTEGER, data BLOB NOT NULL,"
    " PRIMARY KEY (part, kind, number)) WITHOUT ROWID;"
    "CREATE TABLE told (part INTEGER PRIMARY KEY, data TEXT NOT NULL);"
    "CREATE TABLE summaries (part INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE spans (part INTEGER, times INTEGER, data BLOB NOT NULL,"
    " PRIMARY KEY (part, times)) WITHOUT ROWID;"
    "CREATE TABLE tasks (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE,"
    " episodes INTEGER NOT NULL);"
    "CREATE VIRTUAL TABLE task_words USING fts5 (text, content = 'tasks', content_rowid = 'id',"
    " columnsize = 0);"
    "CREATE TABLE skipped (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, record INTEGER NOT NULL,"
    " message TEXT NOT NULL);"
    /* CROSS JOIN keeps the order: episodes first, the two others by their keys */
    "CREATE VIEW episode (id, split, task, num_steps, bytes, file, record) AS"
    " SELECT p.first_id + (e.key & 4294967295), p.split, coalesce(t.text, ''), e.steps, e.bytes,"
    " p.path, e.record FROM episodes e CROSS JOIN parts p ON p.id = e.key >> 32"
    " LEFT JOIN tasks t ON t.id = e.task;";

static const char select_schema[] =
    "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name LIMIT 100";

static bool same_text(sqlite3_stmt *a, sqlite3_stmt *b, int column) {
    const char *left = (const char *)sqlite3_column_text(a, column);
    const char *right = (const char *)sqlite3_column_text(b, column);
    return left != NULL && right != NULL && strcmp(left, right) == 0;
}

static rbc_status compare_schemas(sqlite3 *db, sqlite3 *ours, bool *same, rbc_error *err) {
    sqlite3_stmt *found = NULL;
    sqlite3_stmt *wanted = NULL;
    rbc_status status = rbc__statement_prepare(db, select_schema, &found, err);
    if (status == RBC_OK) {
        status = rbc__statement_prepare(ours, select_schema, &wanted, err);
    }
    bool left = status == RBC_OK;
    bool right = left;
    *same = true;
    while (status == RBC_OK && *same && left) {
        status = rbc__statement_step(found, &left, err);
        if (status == RBC_OK) {
            status = rbc__statement_step(wanted, &right, err);
        }
        *same = status == RBC_OK && left == right;
        for (int i = 0; *same && left && i < 4; ++i) {
            *same = same_text(found, wanted, i);
        }
    }
    rbc__statement_finish(&found);
    rbc__statement_finish(&wanted);
    return status;
}

/* What is wanted is what this SQLite makes of the same statements. */
rbc_status rbc__tables_check(sqlite3 *db, rbc_error *err) {
    sqlite3 *ours;
    bool same = false;
    RBC__TRY(rbc__database_write(":memory:", NULL, &ours, err));
    rbc_status status =
        rbc__database_exec(ours, create_tables, "tables cannot be made in memory", err);
    if (status == RBC_OK) {
        status = compare_schemas(db, ours, &same, err);
    }
    rbc__database_close(&ours);
    if (status == RBC_OK && !same) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "catalog '%s' has tables other than this library makes, and none of it "
                           "is used; delete the file or open the dataset with rebuild",
                           sqlite3_db_filename(db, "main"));
    }
    return status;
}

static char *shape_text(const rbc__stream_schema *stream, char *buffer, size_t bytes) {
    return rbc__format_shape(buffer, bytes, stream->ndim, stream->shape);
}

/* What layouts rely on: a catalog of other stored streams is made anew. */
static char *stored_text(const rbc__stream_schema *stream, char *buffer, size_t bytes) {
    const rbc__layout_stream *stored = &stream->stored;
    snprintf(buffer, bytes, "%s %s %llu", rbc__encoding_name(stored->encoding),
             rbc__stored_name(stored->encoding, stored->dtype),
             (unsigned long long)stored->sample_bytes);
    const size_t length = strlen(buffer);
    if (stream->fields.count > 0 && length + 2 < bytes) {
        buffer[length] = ' ';
        (void)rbc__fields_text(&stream->fields, buffer + length + 1, bytes - length - 1);
    }
    return buffer;
}

/* The map of a stream as users are told of it. */
static rbc__value_map map_of(const rbc__stream_schema *stream) {
    return stream->has_map ? stream->map : (rbc__value_map){1.0, 0.0};
}

static rbc_status fill_streams(sqlite3 *db, const char *format, const rbc__schema *schema,
                               rbc_error *err) {
    sqlite3_stmt *insert;
    RBC__TRY(rbc__statement_prepare(
        db, "INSERT INTO meta VALUES ('format', ?), ('name', ?), ('version', ?), ('complete', 0)",
        &insert, err));
    sqlite3_bind_text(insert, 1, format, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, schema->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 3, schema->version, -1, SQLITE_STATIC);
    rbc_status status = rbc__statement_run(insert, err);
    rbc__statement_finish(&insert);
    RBC__TRY(status);
    RBC__TRY(rbc__statement_prepare(
        db, "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", &insert, err));
    for (int32_t i = 0; i < schema->num_streams && status == RBC_OK; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        const rbc__value_map map = map_of(stream);
        char shape[256];
        char stored[96 + RBC__FIELDS_TEXT_BYTES];
        sqlite3_bind_int64(insert, 1, i);
        sqlite3_bind_text(insert, 2, stream->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 3, (int64_t)stream->kind);
        sqlite3_bind_text(insert, 4, rbc__dtype_name(stream->dtype), -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 5, shape_text(stream, shape, sizeof shape), -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 6, stream->encoding, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 7, stream->times);
        sqlite3_bind_int64(insert, 8, stream->is_ragged);
        sqlite3_bind_text(insert, 9, stored_text(stream, stored, sizeof stored), -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 10, stream->unit, -1, SQLITE_STATIC);
        sqlite3_bind_double(insert, 11, map.scale);
        sqlite3_bind_double(insert, 12, map.offset);
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

/* Whether meta holds `want` under `key`; what it holds instead goes to `found`. */
static rbc_status meta_is(sqlite3 *db, const char *key, const char *want, bool *match, char *found,
                          size_t found_bytes, rbc_error *err) {
    sqlite3_stmt *select;
    RBC__TRY(rbc__statement_prepare(db, "SELECT value FROM meta WHERE key = ?", &select, err));
    sqlite3_bind_text(select, 1, key, -1, SQLITE_STATIC);
    bool row;
    const rbc_status status = rbc__statement_step(select, &row, err);
    *match = status == RBC_OK && row && text_is(select, 0, want);
    const char *text =
        status == RBC_OK && row ? (const char *)sqlite3_column_text(select, 0) : NULL;
    if (found_bytes > 0) {
        snprintf(found, found_bytes, "%s", text != NULL ? text : "");
    }
    rbc__statement_finish(&select);
    return status;
}

rbc_status rbc__tables_check_dataset(sqlite3 *db, const rbc__schema *schema, rbc_error *err) {
    bool same_name;
    bool same_version;
    char name[128];
    char version[64];
    RBC__TRY(meta_is(db, "name", schema->name, &same_name, name, sizeof name, err));
    RBC__TRY(meta_is(db, "version", schema->version, &same_version, version, sizeof version, err));
    if (same_name && same_version) {
        return RBC_OK;
    }
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "catalog '%s' is that of dataset '%s' %s, wanted is '%s' %s; give another "
                     "catalog path, or rebuild to replace it",
                     sqlite3_db_filename(db, "main"), name, version, schema->name, schema->version);
}

enum { NAME, KIND, DTYPE, SHAPE, ENCODING, TIMES, RAGGED, STORED, UNIT, SCALE, OFFSET };

/* A unit and a map that no format could have declared are damage, not another declaration. */
static rbc_status check_map(sqlite3_stmt *select, rbc_error *err) {
    /* types first: looking at a value may change its type */
    const bool has_unit = sqlite3_column_type(select, UNIT) == SQLITE_TEXT;
    const bool has_numbers = sqlite3_column_type(select, SCALE) == SQLITE_FLOAT &&
                             sqlite3_column_type(select, OFFSET) == SQLITE_FLOAT;
    const char *unit = (const char *)sqlite3_column_text(select, UNIT);
    const rbc__value_map map = {sqlite3_column_double(select, SCALE),
                                sqlite3_column_double(select, OFFSET)};
    const char *wrong = NULL;
    if (!has_unit || unit == NULL ||
        !rbc__unit_check(unit, (size_t)sqlite3_column_bytes(select, UNIT))) {
        wrong = "its unit is not UTF-8 of at most 32 bytes";
    } else if (!has_numbers || !rbc__value_map_check(&map)) {
        wrong = "its scale and offset are not finite numbers, and the scale not 0";
    }
    if (wrong == NULL) {
        return RBC_OK;
    }
    const char *name = (const char *)sqlite3_column_text(select, NAME);
    return rbc__fail(
        err, RBC_ERROR_FORMAT,
        "catalog '%s': stream '%s': %s; delete the file or open the dataset with rebuild",
        sqlite3_db_filename(sqlite3_db_handle(select), "main"), name != NULL ? name : "", wrong);
}

static bool map_is(sqlite3_stmt *select, const rbc__stream_schema *stream) {
    const rbc__value_map map = map_of(stream);
    return text_is(select, UNIT, stream->unit) &&
           sqlite3_column_double(select, SCALE) == map.scale &&
           sqlite3_column_double(select, OFFSET) == map.offset;
}

rbc_status rbc__tables_match(sqlite3 *db, const char *format, const rbc__schema *schema,
                             bool *match, rbc_error *err) {
    bool same_version;
    RBC__TRY(meta_is(db, "format", format, match, NULL, 0, err));
    RBC__TRY(meta_is(db, "version", schema->version, &same_version, NULL, 0, err));
    *match = *match && same_version;
    sqlite3_stmt *select;
    RBC__TRY(rbc__statement_prepare(
        db,
        "SELECT name, kind, dtype, shape, encoding, times, ragged, stored, unit, scale, offset"
        " FROM streams ORDER BY id",
        &select, err));
    rbc_status status = RBC_OK;
    int32_t count = 0;
    while (*match) {
        bool row;
        status = rbc__statement_step(select, &row, err);
        if (status != RBC_OK || !row) {
            break;
        }
        status = check_map(select, err);
        if (status != RBC_OK) {
            break;
        }
        if (count == schema->num_streams) {
            *match = false;
            break;
        }
        const rbc__stream_schema *stream = &schema->streams[count++];
        char shape[256];
        char stored[96 + RBC__FIELDS_TEXT_BYTES];
        *match = text_is(select, NAME, stream->name) &&
                 sqlite3_column_int64(select, KIND) == (int64_t)stream->kind &&
                 text_is(select, DTYPE, rbc__dtype_name(stream->dtype)) &&
                 text_is(select, SHAPE, shape_text(stream, shape, sizeof shape)) &&
                 text_is(select, ENCODING, stream->encoding) &&
                 sqlite3_column_int64(select, TIMES) == stream->times &&
                 (sqlite3_column_int64(select, RAGGED) != 0) == stream->is_ragged &&
                 text_is(select, STORED, stored_text(stream, stored, sizeof stored)) &&
                 map_is(select, stream);
    }
    *match = *match && count == schema->num_streams;
    rbc__statement_finish(&select);
    return status;
}
