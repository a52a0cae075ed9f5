#define _GNU_SOURCE

#include "catalog/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/files.h"
#include "catalog/lock.h"
#include "catalog/partial.h"
#include "catalog/place.h"
#include "catalog/tables.h"
#include "core/error.h"

/* What one call of rbc__catalog_open() works with. */
typedef struct opening {
    const rbc__reader_ops *ops;
    rbc__reader *reader;
    const rbc__schema *schema;
    const rbc_open_params *params;
    const rbc__file_identity *found;
    rbc__catalog *catalog; /* its path is the place being tried */
} opening;

static rbc_status load(const opening *o, sqlite3 *db, bool *current, rbc_error *err) {
    rbc__catalog_state state;
    RBC__TRY(rbc__tables_state(db, &state, err));
    bool match = false;
    if (state == RBC__CATALOG_CURRENT) {
        RBC__TRY(rbc__tables_match(db, o->ops->format, o->schema, &match, err));
    }
    return match ? rbc__files_load(db, o->schema, o->found, o->catalog, current, err) : RBC_OK;
}

/* Loads the catalog if it is there and up to date. */
static rbc_status load_current(const opening *o, bool *current, rbc_error *err) {
    *current = false;
    struct stat before;
    struct stat behind;
    if (stat(o->catalog->path, &before) != 0) {
        return RBC_OK;
    }
    sqlite3 *db;
    RBC__TRY(rbc__database_open(o->catalog->path, RBC__DATABASE_READ, &db, err));
    const rbc_status status = load(o, db, current, err);
    rbc__database_close(&db);
    o->catalog->device = before.st_dev;
    o->catalog->inode = before.st_ino;
    /* replaced meanwhile: the caller loads it again, under the lock */
    *current = *current && stat(o->catalog->path, &behind) == 0 && behind.st_dev == before.st_dev &&
               behind.st_ino == before.st_ino;
    return status;
}

rbc_status rbc__catalog_connect(const rbc__catalog *catalog, sqlite3 **out, rbc_error *err) {
    RBC__TRY(rbc__database_open(catalog->path, RBC__DATABASE_READ, out, err));
    struct stat now;
    if (stat(catalog->path, &now) != 0 || now.st_dev != catalog->device ||
        now.st_ino != catalog->inode) {
        rbc__database_close(out);
        return rbc__fail(err, RBC_ERROR_IO,
                         "catalog '%s' has been replaced since the dataset was opened; open it "
                         "again",
                         catalog->path);
    }
    return RBC_OK;
}

/* Whether the file at `path` may be replaced as a catalog: it is one, however damaged behind its
 * header, or is empty, or is not there. */
static bool is_ours(const char *path) {
    uint8_t header[100];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT;
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
    RBC__TRY(rbc__files_sync(db, o->schema, o->found, &pending, &job.num_pending, &job.done, err));
    job.pending = pending;
    rbc_status status = rbc__index_run(&job, err);
    free(pending);
    if (status == RBC_OK) {
        status = rbc__files_finish(db, err);
    }
    return status;
}

/* Makes the catalog of this place in its partial file and puts it into its place. */
static rbc_status make(const opening *o, rbc_error *err) {
    char *partial;
    RBC__TRY(rbc__partial_path(o->catalog->path, &partial, err));
    const char *base = o->params->rebuild ? NULL : o->catalog->path;
    sqlite3 *db;
    rbc_status status = rbc__partial_open(partial, base, o->ops->format, o->schema, &db, err);
    if (status == RBC_OK) {
        status = index_files(o, db, err);
    }
    if (status == RBC_OK) {
        status = rbc__partial_finish(&db, partial, o->catalog->path, err);
    }
    rbc__database_close(&db);
    free(partial);
    return status;
}

/* Brings the catalog at this place up to date, unless another process has done so meanwhile. */
static rbc_status update(const opening *o, bool *unwritable, rbc_error *err) {
    rbc__catalog_lock lock;
    RBC__TRY(rbc__catalog_lock_acquire(o->catalog->path, o->params->progress,
                                       o->params->progress_user, &lock, unwritable, err));
    bool current = false;
    rbc_status status = RBC_OK;
    if (!o->params->rebuild) {
        status = load_current(o, &current, err);
    } else if (o->params->catalog_path != NULL && !is_ours(o->catalog->path)) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "'%s' is not a catalog and is left as it is; give another catalog path",
                           o->catalog->path);
    }
    if (status == RBC_OK && !current) {
        status = make(o, err);
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
        if (!is_given && attempt == 0 && rbc__place_is_read_only(root)) {
            continue;
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
    RBC__TRY(rbc__catalog_connect(catalog, &db, err));
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
    rbc__file_identity *found = NULL;
    rbc_status status = rbc__files_look(root, schema, &found, err);
    if (status == RBC_OK) {
        opening o = {ops, reader, schema, params, found, *out};
        status = open_somewhere(&o, root, err);
    }
    free(found);
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
