#include "catalog/database.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/descriptor_vfs.h"
#include "core/error.h"

/* Somebody looking into a catalog that is being made, with SQLite's own shell for instance. */
#define BUSY_TIMEOUT_MS 60000

/* Progress is looked at after so many of SQLite's steps, a fraction of a millisecond. */
#define WATCH_STEPS 500

static rbc_status status_of(int code) {
    switch (code & 0xFF) {
    case SQLITE_NOMEM:
        return RBC_ERROR_OUT_OF_MEMORY;
    case SQLITE_INTERRUPT:
        return RBC_ERROR_CANCELLED;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_NOLFS:
        return RBC_ERROR_IO;
    case SQLITE_MISUSE:
    case SQLITE_INTERNAL:
    case SQLITE_RANGE:
        return RBC_ERROR_INTERNAL;
    default: /* statements are right: the file is not what they were written for */
        return RBC_ERROR_FORMAT;
    }
}

/* SQLite calls a page damaged that the disk did not give. 0: it gave all. */
static int errno_of_damage(sqlite3 *db, int code) {
    int last = 0;
    const bool is_damaged = (code & 0xFF) == SQLITE_CORRUPT || (code & 0xFF) == SQLITE_NOTADB;
    const int asked = is_damaged ? sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &last)
                                 : SQLITE_ERROR;
    return asked == SQLITE_OK ? last : 0;
}

static rbc_status fail_at(sqlite3 *db, const char *path, rbc_error *err, const char *doing) {
    const int code = sqlite3_extended_errcode(db);
    const int unread = errno_of_damage(db, code);
    const rbc_status status = status_of(code);
    const int system_error = sqlite3_system_errno(db);
    if (unread != 0) {
        return rbc__fail_errno(err, unread, "catalog '%s': %s", path, doing);
    }
    const char *words = sqlite3_errmsg(db);
    if (status == RBC_ERROR_FORMAT) {
        return rbc__fail(err, status,
                         "catalog '%s': %s: %s; delete the file or open the dataset with rebuild",
                         path, doing, words);
    }
    if (status == RBC_ERROR_IO && system_error != 0 && (code & 0xFF) != SQLITE_BUSY) {
        return rbc__fail_errno(err, system_error, "catalog '%s': %s: %s", path, doing, words);
    }
    rbc__fail(err, status, "catalog '%s': %s: %s", path, doing, words);
    if (status == RBC_ERROR_IO && err != NULL) {
        err->device_code = EIO; /* the catalog's trouble, never that of the episode looked up */
    }
    return status;
}

rbc_status rbc__database_fail(sqlite3 *db, rbc_error *err, const char *doing) {
    const char *path = sqlite3_db_filename(db, "main");
    return fail_at(db, path != NULL ? path : "", err, doing);
}

/* "file:" and the path, with what URIs give a meaning to escaped. NULL: out of memory. */
static char *uri_of(const char *path, const char *options) {
    char *uri = malloc(3 * strlen(path) + strlen(options) + 6);
    if (uri == NULL) {
        return NULL;
    }
    char *to = uri + sprintf(uri, "file:");
    for (; *path != '\0'; ++path) {
        if (*path == '%' || *path == '?' || *path == '#') {
            to += sprintf(to, "%%%02X", (unsigned)*path);
        } else {
            *to++ = *path;
        }
    }
    memcpy(to, options, strlen(options) + 1);
    return uri;
}

static int look_at_watch(void *watch) {
    return rbc__watch_stop(watch);
}

/* In force before the first byte of the file is read. */
static void restrain(sqlite3 *db, bool reading, rbc__watch *watch) {
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    /* "x" is the column x or an error, never the string 'x' */
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, RBC__DATABASE_MAX_SCHEMA);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, RBC__DATABASE_MAX_SCHEMA);
    sqlite3_limit(db, SQLITE_LIMIT_COLUMN, 64);
    sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
    if (reading) {
        sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    }
    if (watch != NULL) {
        sqlite3_progress_handler(db, WATCH_STEPS, look_at_watch, watch);
    }
}

static rbc_status connect(const char *uri, int flags, const char *vfs, const char *path,
                          rbc__watch *watch, sqlite3 **out, rbc_error *err) {
    int code = SQLITE_NOMEM;
    if (uri != NULL) {
        code = sqlite3_open_v2(uri, out, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, vfs);
    }
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory", path);
    }
    if (code == SQLITE_OK) {
        restrain(*out, (flags & SQLITE_OPEN_READONLY) != 0, watch);
        /* the first read: opening alone looks at nothing */
        code = sqlite3_exec(*out,
                            "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
                            "PRAGMA schema_version; SELECT 1 FROM sqlite_schema LIMIT 1",
                            NULL, NULL, NULL);
    }
    if (code != SQLITE_OK) {
        return fail_at(*out, path, err, "cannot be opened");
    }
    sqlite3_limit(*out, SQLITE_LIMIT_LENGTH, RBC__DATABASE_MAX_VALUE);
    return RBC_OK;
}

rbc_status rbc__database_read(int fd, const char *path, rbc__watch *watch, sqlite3 **out,
                              rbc_error *err) {
    char options[40];
    snprintf(options, sizeof options, "?immutable=1&fd=%d", fd);
    char *uri = uri_of(path, options);
    *out = NULL;
    const rbc_status status =
        connect(uri, SQLITE_OPEN_READONLY, rbc__descriptor_vfs(), path, watch, out, err);
    free(uri);
    if (status != RBC_OK) {
        rbc__database_close(out);
    }
    return status;
}

rbc_status rbc__database_write(const char *path, rbc__watch *watch, sqlite3 **out, rbc_error *err) {
    char *uri = uri_of(path, "");
    *out = NULL;
    const rbc_status status =
        connect(uri, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL, path,
                watch, out, err);
    free(uri);
    if (status != RBC_OK) {
        rbc__database_close(out);
    }
    return status;
}

void rbc__database_close(sqlite3 **db) {
    if (*db != NULL) {
        sqlite3_close_v2(*db);
        *db = NULL;
    }
}

rbc_status rbc__database_exec(sqlite3 *db, const char *sql, const char *doing, rbc_error *err) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return rbc__database_fail(db, err, doing);
    }
    return RBC_OK;
}

rbc_status rbc__database_integer(sqlite3 *db, const char *sql, int64_t *out, rbc_error *err) {
    sqlite3_stmt *statement;
    RBC__TRY(rbc__statement_prepare(db, sql, &statement, err));
    bool row;
    const rbc_status status = rbc__statement_step(statement, &row, err);
    *out = status == RBC_OK && row ? sqlite3_column_int64(statement, 0) : 0;
    rbc__statement_finish(&statement);
    return status;
}

rbc_status rbc__statement_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out,
                                  rbc_error *err) {
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK) {
        return rbc__database_fail(db, err, "cannot be read");
    }
    return RBC_OK;
}

rbc_status rbc__statement_step(sqlite3_stmt *statement, bool *row, rbc_error *err) {
    const int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return rbc__database_fail(sqlite3_db_handle(statement), err, "cannot be read");
    }
    return RBC_OK;
}

rbc_status rbc__statement_run(sqlite3_stmt *statement, rbc_error *err) {
    const int code = sqlite3_step(statement);
    rbc_status status = RBC_OK;
    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        status = rbc__database_fail(sqlite3_db_handle(statement), err, "cannot be written");
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

void rbc__statement_finish(sqlite3_stmt **statement) {
    sqlite3_finalize(*statement);
    *statement = NULL;
}
