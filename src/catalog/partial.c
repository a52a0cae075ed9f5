#define _GNU_SOURCE

#include "catalog/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/header.h"
#include "catalog/tables.h"
#include "core/error.h"
#include "io/write.h"

#define COPY_BYTES 65536
#define DATABASE   "catalog.sqlite"

static rbc_status suffixed(const char *path, const char *suffix, char **out, rbc_error *err) {
    if (asprintf(out, "%s%s", path, suffix) < 0) {
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory", path);
    }
    return RBC_OK;
}

static bool is_closed(const struct stat *info) {
    return (info->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Opening does not follow a link, and looks at the folder that is there then. */
static bool look_at_folder(const char *folder, struct stat *info) {
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const bool found = fd >= 0 && fstat(fd, info) == 0;
    const int failed = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = failed;
    return found;
}

/* File systems without modes, as network shares of other systems are, show every folder as open to
 * all: what a fresh one shows there is no sign that anybody has changed it. */
static bool keeps_modes(const char *folder) {
    char *fresh;
    struct stat info;
    if (suffixed(folder, ".XXXXXX", &fresh, NULL) != RBC_OK) {
        return true;
    }
    const bool made = mkdtemp(fresh) != NULL;
    const bool keeps = !made || !look_at_folder(fresh, &info) || is_closed(&info);
    if (made) {
        rmdir(fresh);
    }
    free(fresh);
    return keeps;
}

static rbc_status check_folder(const char *folder, bool *blocked, rbc_error *err) {
    struct stat info;
    const bool found = look_at_folder(folder, &info);
    const int failed = errno;
    if (found && info.st_uid == geteuid() && (is_closed(&info) || !keeps_modes(folder))) {
        return RBC_OK;
    }
    *blocked = found || failed == ELOOP || failed == ENOTDIR || failed == EACCES;
    return *blocked ? rbc__fail(err, RBC_ERROR_IO,
                                "'%s' is in the way of the folder in which the catalog is made, "
                                "wanted one of this user's own, closed to others; remove it",
                                folder)
                    : rbc__fail_errno(err, failed, "folder '%s' cannot be opened", folder);
}

rbc_status rbc__partial_create(const char *path, rbc__partial *out, bool *blocked, rbc_error *err) {
    *out = (rbc__partial){0};
    *blocked = false;
    rbc_status status = suffixed(path, ".partial", &out->folder, err);
    if (status == RBC_OK) {
        status = suffixed(out->folder, "/" DATABASE, &out->database, err);
    }
    if (status == RBC_OK) {
        status = suffixed(out->folder, "/copy.sqlite", &out->copy, err);
    }
    if (status == RBC_OK) {
        status = suffixed(out->folder, "/whole.sqlite", &out->whole, err);
    }
    if (status == RBC_OK && mkdir(out->folder, S_IRWXU) != 0 && errno != EEXIST) {
        *blocked = errno == EACCES || errno == EPERM || errno == EROFS;
        status = rbc__fail_errno(err, errno, "folder '%s' cannot be made", out->folder);
    }
    if (status == RBC_OK) {
        status = check_folder(out->folder, blocked, err);
    }
    if (status != RBC_OK) {
        rbc__partial_free(out);
    }
    return status;
}

void rbc__partial_free(rbc__partial *partial) {
    free(partial->folder);
    free(partial->database);
    free(partial->copy);
    free(partial->whole);
    *partial = (rbc__partial){0};
}

static rbc_status remove_file(const char *path, rbc_error *err) {
    return unlink(path) == 0 || errno == ENOENT
               ? RBC_OK
               : rbc__fail_errno(err, errno, "'%s' cannot be removed", path);
}

static rbc_status open_folder(const rbc__partial *partial, int *out, rbc_error *err) {
    *out = open(partial->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *out >= 0 ? RBC_OK
                     : rbc__fail_errno(err, errno, "folder '%s' cannot be opened", partial->folder);
}

/* What SQLite keeps beside it goes last: a database without the journal that it needs must not be
 * found. */
static rbc_status remove_database(const rbc__partial *partial, int folder, rbc_error *err) {
    static const char *const names[] = {DATABASE, DATABASE "-journal", DATABASE "-wal",
                                        DATABASE "-shm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        if (unlinkat(folder, names[i], 0) != 0 && errno != ENOENT) {
            return rbc__fail_errno(err, errno, "'%s/%s' cannot be removed", partial->folder,
                                   names[i]);
        }
    }
    return RBC_OK;
}

static bool copy_bytes(int from, int to, rbc__watch *watch) {
    uint8_t buffer[COPY_BYTES];
    for (;;) {
        const ssize_t got = read(from, buffer, sizeof buffer);
        if (got == 0) {
            return true;
        }
        if ((got < 0 && errno != EINTR) || (got > 0 && !rbc__write_all(to, buffer, (size_t)got))) {
            return false;
        }
        if (rbc__watch_stop(watch)) {
            errno = ECANCELED;
            return false;
        }
    }
}

/* Under another name first, so that a copy that is cut off is not taken for one. */
static rbc_status copy_database(const rbc__partial *partial, const char *base, rbc__watch *watch,
                                rbc_error *err) {
    RBC__TRY(remove_file(partial->copy, err));
    const int from = open(base, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const int to =
        from >= 0 ? open(partial->copy, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666)
                  : -1;
    const bool done = to >= 0 && copy_bytes(from, to, watch);
    const int failed = errno;
    if (from >= 0) {
        close(from);
    }
    if (to >= 0) {
        close(to);
    }
    if (!done && failed == ECANCELED) {
        return rbc__fail(err, RBC_ERROR_CANCELLED, "catalog '%s': copying was cancelled", base);
    }
    if (!done || rename(partial->copy, partial->database) != 0) {
        return rbc__fail_errno(err, done ? errno : failed, "catalog '%s' cannot be copied", base);
    }
    return RBC_OK;
}

/* Whether the catalog at `path` can be brought up to date instead of being made anew. Damage means
 * that it cannot; what would stop making it anew as well is an error. A `partial` one may have been
 * cut off while it was written, which SQLite mends. */
static rbc_status check_usable(const char *path, bool partial, const char *format,
                               const rbc__schema *schema, rbc__watch *watch, bool *usable,
                               rbc_error *err) {
    rbc__catalog_header header;
    int fd = -1;
    *usable = false;
    RBC__TRY(rbc__header_read(path, &header, partial ? NULL : &fd, err));
    if (header.kind != RBC__CATALOG_CURRENT) {
        return RBC_OK;
    }
    sqlite3 *db;
    rbc_status status = partial ? rbc__database_write(path, watch, &db, err)
                                : rbc__database_read(fd, path, watch, &db, err);
    if (status == RBC_OK) {
        status = rbc__tables_check(db, err);
    }
    if (status == RBC_OK) {
        status = rbc__tables_match(db, format, schema, usable, err);
    }
    rbc__database_close(&db);
    if (fd >= 0) {
        close(fd);
    }
    *usable = *usable && status == RBC_OK;
    return status == RBC_ERROR_FORMAT ? RBC_OK : status;
}

rbc_status rbc__partial_open(const rbc__partial *partial, const char *base, const char *format,
                             const rbc__schema *schema, rbc__watch *watch, sqlite3 **out,
                             rbc_error *err) {
    *out = NULL;
    bool usable = false;
    if (base != NULL) {
        RBC__TRY(check_usable(partial->database, true, format, schema, watch, &usable, err));
    }
    if (!usable) {
        int folder;
        RBC__TRY(open_folder(partial, &folder, err));
        const rbc_status removed = remove_database(partial, folder, err);
        close(folder);
        RBC__TRY(removed);
        if (base != NULL) {
            RBC__TRY(check_usable(base, false, format, schema, watch, &usable, err));
        }
        if (usable) {
            RBC__TRY(copy_database(partial, base, watch, err));
        }
    }
    RBC__TRY(rbc__database_write(partial->database, watch, out, err));
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
    RBC__TRY(remove_file(path, err));
    sqlite3_stmt *vacuum;
    RBC__TRY(rbc__statement_prepare(db, "VACUUM INTO ?", &vacuum, err));
    sqlite3_bind_text(vacuum, 1, path, -1, SQLITE_STATIC);
    rbc_status status = rbc__statement_run(vacuum, err);
    rbc__statement_finish(&vacuum);
    if (status == RBC_ERROR_FORMAT) { /* of the file that it writes, not of the one that it reads */
        status = rbc__fail_errno(err, EIO, "catalog '%s' cannot be written", path);
    }
    RBC__TRY(status);
    /* on the disk before it is found under its name */
    const int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    const int failed = errno;
    if (fd >= 0) {
        close(fd);
    }
    return synced ? RBC_OK : rbc__fail_errno(err, failed, "catalog '%s' cannot be written", path);
}

/* With nothing that could run short: the catalog is in its place by then. */
static rbc_status clear_folder(const rbc__partial *partial, int folder, rbc_error *err) {
    RBC__TRY(remove_database(partial, folder, err));
    RBC__TRY(remove_file(partial->copy, err));
    return rmdir(partial->folder) == 0 || errno == ENOENT
               ? RBC_OK
               : rbc__fail_errno(err, errno, "folder '%s' cannot be removed", partial->folder);
}

rbc_status rbc__partial_finish(const rbc__partial *partial, sqlite3 **db, const char *path,
                               rbc_error *err) {
    int folder;
    rbc_status status = write_out(*db, partial->whole, err);
    rbc__database_close(db);
    if (status == RBC_OK) {
        status = open_folder(partial, &folder, err);
    }
    if (status == RBC_OK && rename(partial->whole, path) != 0) {
        status = rbc__fail_errno(err, errno, "catalog '%s' cannot be put into its place", path);
        close(folder);
    }
    if (status != RBC_OK) {
        unlink(partial->whole);
        return status;
    }
    status = clear_folder(partial, folder, err);
    close(folder);
    return status;
}
