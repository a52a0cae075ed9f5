#define _GNU_SOURCE

#include "catalog/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog/files.h"
#include "catalog/lock.h"
#include "catalog/place.h"
#include "catalog/tables.h"
#include "core/error.h"

/* What one call of rbc__catalog_open() works with. */
typedef struct opening {
    const rbc__reader_ops *ops;
    rbc__reader *reader;
    const rbc__schema *schema;
    const rbc_open_params *params;
    const rbc__file_stat *stats;
    rbc__catalog *catalog; /* its path is the place being tried */
} opening;

/* Loads the catalog if it is there and up to date. */
static rbc_status load_current(const opening *o, bool *current, rbc_error *err) {
    *current = false;
    if (access(o->catalog->path, F_OK) != 0) {
        return RBC_OK;
    }
    sqlite3 *db;
    RBC__TRY(rbc__database_open(o->catalog->path, RBC__DATABASE_READ, &db, err));
    /* one transaction: another process may be writing between the statements */
    rbc_status status = rbc__database_exec(db, "BEGIN", "cannot be read", err);
    rbc__catalog_state state = RBC__CATALOG_EMPTY;
    if (status == RBC_OK) {
        status = rbc__tables_state(db, &state, err);
    }
    bool match = false;
    if (status == RBC_OK && state == RBC__CATALOG_CURRENT) {
        status = rbc__tables_match(db, o->ops->format, o->schema, &match, err);
    }
    if (status == RBC_OK && match) {
        status = rbc__files_load(db, o->schema, o->stats, o->catalog, current, err);
    }
    rbc__database_close(&db);
    return status;
}

/* Whether the file at `path` may be removed as a catalog: it is one, however damaged behind its
 * header, or is empty. */
static bool is_ours(const char *path) {
    uint8_t header[100];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const ssize_t bytes = pread(fd, header, sizeof header, 0);
    close(fd);
    const uint8_t application[4] = {
        RBC__CATALOG_APPLICATION >> 24 & 0xFF, RBC__CATALOG_APPLICATION >> 16 & 0xFF,
        RBC__CATALOG_APPLICATION >> 8 & 0xFF, RBC__CATALOG_APPLICATION & 0xFF};
    return bytes == 0 ||
           (bytes == (ssize_t)sizeof header && memcmp(header, "SQLite format 3", 16) == 0 &&
            memcmp(header + 68, application, sizeof application) == 0);
}

/* At a path the user gave there may be anything; the other places are ours, whatever lies there. */
static rbc_status remove_catalog(const char *path, bool is_given, rbc_error *err) {
    if (access(path, F_OK) != 0) {
        return RBC_OK;
    }
    if (is_given && !is_ours(path)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "'%s' is not a catalog and is left as it is; give another catalog path",
                         path);
    }
    char journal[4096];
    const int length = snprintf(journal, sizeof journal, "%s-journal", path);
    /* the catalog before its journal: a catalog without the journal it needs must not be seen */
    if (unlink(path) != 0 || length < 0 || (size_t)length >= sizeof journal ||
        (unlink(journal) != 0 && errno != ENOENT)) {
        return rbc__fail_errno(err, errno, "catalog '%s' cannot be replaced", path);
    }
    return RBC_OK;
}

static rbc_status open_for_writing(const char *path, sqlite3 **out, rbc_error *err) {
    RBC__TRY(rbc__database_open(path, RBC__DATABASE_WRITE, out, err));
    /* A rollback journal, not a log beside the file: read-only folders can be read. */
    const rbc_status status =
        rbc__database_exec(*out,
                           "PRAGMA page_size = 8192; PRAGMA journal_mode = DELETE;"
                           "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536",
                           "cannot be written", err);
    if (status != RBC_OK) {
        rbc__database_close(out);
    }
    return status;
}

/* A connection to a catalog with tables for these streams: the one there, or a new one. */
static rbc_status open_fitting(const opening *o, sqlite3 **out, rbc_error *err) {
    const char *path = o->catalog->path;
    RBC__TRY(open_for_writing(path, out, err));
    rbc__catalog_state state;
    bool match = false;
    rbc_status status = rbc__tables_state(*out, &state, err);
    if (status == RBC_OK && state == RBC__CATALOG_CURRENT) {
        status = rbc__tables_match(*out, o->ops->format, o->schema, &match, err);
    }
    if (status == RBC_OK && state != RBC__CATALOG_EMPTY && !match) {
        rbc__database_close(out);
        RBC__TRY(remove_catalog(path, true, err));
        RBC__TRY(open_for_writing(path, out, err));
        state = RBC__CATALOG_EMPTY;
    }
    if (status == RBC_OK && state == RBC__CATALOG_EMPTY) {
        status = rbc__tables_create(*out, o->ops->format, o->schema, err);
    }
    if (status != RBC_OK) {
        rbc__database_close(out);
    }
    return status;
}

static rbc_status index_files(const opening *o, sqlite3 *db, rbc_error *err) {
    rbc__pending_file *pending;
    rbc__index_job job = {
        .db = db,
        .ops = o->ops,
        .reader = o->reader,
        .num_threads = o->params->num_threads,
        .on_error = o->params->on_error,
        .progress = o->params->progress,
        .progress_user = o->params->progress_user,
    };
    RBC__TRY(rbc__files_sync(db, o->schema, o->stats, &pending, &job.num_pending, &job.done, err));
    job.pending = pending;
    rbc_status status = rbc__index_run(&job, err);
    free(pending);
    if (status == RBC_OK) {
        status = rbc__files_finish(db, err);
    }
    return status;
}

/* Brings the catalog at this place up to date, unless another process has done so meanwhile. */
static rbc_status update(const opening *o, bool *unwritable, rbc_error *err) {
    rbc__catalog_lock lock;
    RBC__TRY(rbc__catalog_lock_acquire(o->catalog->path, o->params->progress,
                                       o->params->progress_user, &lock, unwritable, err));
    bool current = false;
    rbc_status status = RBC_OK;
    if (o->params->rebuild) {
        status = remove_catalog(o->catalog->path, o->params->catalog_path != NULL, err);
    } else {
        status = load_current(o, &current, err);
    }
    sqlite3 *db = NULL;
    if (status == RBC_OK && !current) {
        status = open_fitting(o, &db, err);
        if (status == RBC_OK) {
            status = index_files(o, db, err);
        }
        rbc__database_close(&db);
        if (status == RBC_OK) {
            status = load_current(o, &current, err);
        }
        if (status == RBC_OK && !current) {
            status = rbc__fail(err, RBC_ERROR_IO,
                               "catalog '%s' is out of date as soon as it is written: are the "
                               "dataset's files being changed?",
                               o->catalog->path);
        }
    }
    rbc__catalog_lock_release(&lock);
    return status;
}

/* Without an explicit path: the dataset's folder first, then the user's cache. */
static rbc_status open_somewhere(opening *o, const char *root, rbc_error *err) {
    const bool is_given = o->params->catalog_path != NULL;
    for (int attempt = 0;; ++attempt) {
        free(o->catalog->path);
        o->catalog->path = NULL;
        if (is_given) {
            o->catalog->path = strdup(o->params->catalog_path);
            if (o->catalog->path == NULL) {
                return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
            }
        } else if (attempt == 0) {
            RBC__TRY(rbc__place_in_dataset(root, &o->catalog->path, err));
        } else {
            RBC__TRY(rbc__place_in_cache(root, &o->catalog->path, err));
        }
        bool current = false;
        if (!o->params->rebuild) {
            RBC__TRY(load_current(o, &current, err));
        }
        if (current) {
            return RBC_OK;
        }
        bool unwritable = false;
        const rbc_status status = update(o, &unwritable, err);
        if (status == RBC_OK || !unwritable || is_given || attempt > 0) {
            return status;
        }
    }
}

static rbc_status refuse_skipped(const rbc__catalog *catalog, rbc_error *err) {
    sqlite3 *db;
    RBC__TRY(rbc__database_open(catalog->path, RBC__DATABASE_READ, &db, err));
    sqlite3_stmt *select = NULL;
    rbc_status status =
        rbc__statement_prepare(db, "SELECT message FROM skipped ORDER BY id LIMIT 1", &select, err);
    bool row = false;
    if (status == RBC_OK) {
        status = rbc__statement_step(select, &row, err);
    }
    if (status == RBC_OK && row) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "%s (catalog '%s' was made leaving out %lld damaged records; open with "
                           "on_error skip to use it so, or rebuild once the files are repaired)",
                           (const char *)sqlite3_column_text(select, 0), catalog->path,
                           (long long)catalog->num_skipped);
    }
    rbc__statement_finish(&select);
    rbc__database_close(&db);
    return status;
}

rbc_status rbc__catalog_open(const rbc__reader_ops *ops, rbc__reader *reader, const char *root,
                             const rbc_open_params *params, rbc__catalog **out, rbc_error *err) {
    const rbc__schema *schema = ops->schema(reader);
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    rbc__file_stat *stats = NULL;
    rbc_status status = rbc__files_stat(root, schema, &stats, err);
    if (status == RBC_OK) {
        opening o = {ops, reader, schema, params, stats, *out};
        status = open_somewhere(&o, root, err);
    }
    free(stats);
    if (status == RBC_OK && (*out)->num_skipped > 0 && params->on_error == RBC_ON_ERROR_RAISE) {
        status = refuse_skipped(*out, err);
    }
    if (status != RBC_OK) {
        rbc__catalog_close(out);
    }
    return status;
}

void rbc__catalog_close(rbc__catalog **catalog) {
    if (*catalog != NULL) {
        free((*catalog)->path);
        free((*catalog)->files);
        free(*catalog);
        *catalog = NULL;
    }
}

int64_t rbc__catalog_file_of(const rbc__catalog *catalog, int64_t id) {
    int64_t low = 0;
    int64_t high = catalog->num_files;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (catalog->files[middle].first_id <= id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
