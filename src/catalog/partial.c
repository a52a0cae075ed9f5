#define _GNU_SOURCE

#include "catalog/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/tables.h"
#include "core/error.h"

#define COPY_BYTES 65536

static rbc_status suffixed(const char *path, const char *suffix, char **out, rbc_error *err) {
    if (asprintf(out, "%s%s", path, suffix) < 0) {
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory", path);
    }
    return RBC_OK;
}

rbc_status rbc__partial_path(const char *path, char **out, rbc_error *err) {
    return suffixed(path, ".partial", out, err);
}

static rbc_status remove_database(const char *path, rbc_error *err) {
    char *journal;
    RBC__TRY(suffixed(path, "-journal", &journal, err));
    /* the journal last: a database without the journal that it needs must not be found */
    const bool failed =
        (unlink(path) != 0 && errno != ENOENT) || (unlink(journal) != 0 && errno != ENOENT);
    const int error = errno;
    free(journal);
    return failed ? rbc__fail_errno(err, error, "catalog '%s' cannot be removed", path) : RBC_OK;
}

static bool write_all(int to, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        const ssize_t put = write(to, bytes, count);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        bytes += put > 0 ? put : 0;
        count -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

static bool copy_bytes(int from, int to) {
    uint8_t buffer[COPY_BYTES];
    for (;;) {
        const ssize_t got = read(from, buffer, sizeof buffer);
        if (got == 0) {
            return true;
        }
        if ((got < 0 && errno != EINTR) || (got > 0 && !write_all(to, buffer, (size_t)got))) {
            return false;
        }
    }
}

/* Under another name first, so that a copy that is cut off is not taken for one. */
static rbc_status copy_database(const char *base, const char *partial, rbc_error *err) {
    char *copy;
    RBC__TRY(suffixed(partial, ".copy", &copy, err));
    const int from = open(base, O_RDONLY | O_CLOEXEC);
    const int to = from >= 0 ? open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    const bool done = to >= 0 && copy_bytes(from, to);
    const int failed = errno;
    if (from >= 0) {
        close(from);
    }
    if (to >= 0) {
        close(to);
    }
    rbc_status status = RBC_OK;
    if (!done || rename(copy, partial) != 0) {
        status = rbc__fail_errno(err, done ? errno : failed, "catalog '%s' cannot be copied", base);
        unlink(copy);
    }
    free(copy);
    return status;
}

/* Whether the catalog at `path` can be brought up to date instead of being made anew. */
static bool is_usable(const char *path, const char *format, const rbc__schema *schema,
                      rbc__database_mode mode) {
    sqlite3 *db;
    rbc__catalog_state state;
    bool match = false;
    if (access(path, F_OK) != 0 || rbc__database_open(path, mode, &db, NULL) != RBC_OK) {
        return false;
    }
    if (rbc__tables_state(db, &state, NULL) != RBC_OK || state != RBC__CATALOG_CURRENT ||
        rbc__tables_match(db, format, schema, &match, NULL) != RBC_OK) {
        match = false;
    }
    rbc__database_close(&db);
    return match;
}

rbc_status rbc__partial_open(const char *partial, const char *base, const char *format,
                             const rbc__schema *schema, sqlite3 **out, rbc_error *err) {
    *out = NULL;
    bool usable = base != NULL && is_usable(partial, format, schema, RBC__DATABASE_WRITE);
    if (!usable) {
        RBC__TRY(remove_database(partial, err));
        usable = base != NULL && is_usable(base, format, schema, RBC__DATABASE_READ);
        if (usable) {
            RBC__TRY(copy_database(base, partial, err));
        }
    }
    RBC__TRY(rbc__database_open(partial, RBC__DATABASE_WRITE, out, err));
    rbc_status status = rbc__database_exec(
        *out,
        "PRAGMA page_size = 8192; PRAGMA journal_mode = DELETE; PRAGMA synchronous = NORMAL;"
        "PRAGMA cache_size = -65536",
        "cannot be written", err);
    if (status == RBC_OK && !usable) {
        status = rbc__tables_create(*out, format, schema, err);
    }
    if (status != RBC_OK) {
        rbc__database_close(out);
    }
    return status;
}

static rbc_status write_out(sqlite3 *db, const char *path, rbc_error *err) {
    if (unlink(path) != 0 && errno != ENOENT) {
        return rbc__fail_errno(err, errno, "file '%s' cannot be removed", path);
    }
    sqlite3_stmt *vacuum;
    RBC__TRY(rbc__statement_prepare(db, "VACUUM INTO ?", &vacuum, err));
    sqlite3_bind_text(vacuum, 1, path, -1, SQLITE_STATIC);
    const rbc_status status = rbc__statement_run(vacuum, err);
    rbc__statement_finish(&vacuum);
    RBC__TRY(status);
    /* on the disk before it is found under its name */
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    const int failed = errno;
    if (fd >= 0) {
        close(fd);
    }
    return synced ? RBC_OK : rbc__fail_errno(err, failed, "catalog '%s' cannot be written", path);
}

rbc_status rbc__partial_finish(sqlite3 **db, const char *partial, const char *path,
                               rbc_error *err) {
    char *whole = NULL;
    rbc_status status = suffixed(partial, ".whole", &whole, err);
    if (status == RBC_OK) {
        status = write_out(*db, whole, err);
    }
    rbc__database_close(db);
    if (status == RBC_OK && rename(whole, path) != 0) {
        status = rbc__fail_errno(err, errno, "catalog '%s' cannot be put into its place", path);
    }
    if (status == RBC_OK) {
        status = remove_database(partial, err);
    } else if (whole != NULL) {
        unlink(whole);
    }
    free(whole);
    return status;
}
