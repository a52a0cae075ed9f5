#define _GNU_SOURCE

#include "catalog/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog/header.h"
#include "catalog/key.h"
#include "catalog/location.h"
#include "catalog/lock.h"
#include "catalog/partial.h"
#include "catalog/parts.h"
#include "catalog/tables.h"
#include "catalog/unpack.h"
#include "core/error.h"

/* What one call of rbc__catalog_open() works with. */
typedef struct opening {
    const rbc__format *ops;
    rbc__reader *reader;
    const rbc__schema *schema;
    const char *root;
    const char *file;
    const rbc_open_params *params;
    rbc__file_identity *found; /* the files as they lie on the disk */
    rbc__catalog *catalog;     /* its path is the location being tried */
    bool rebuild;              /* whatever is there is to be made anew */
    rbc_progress progress;
    rbc__watch watch;
} opening;

/* Where a catalog is looked for, and what may be done there. */
typedef enum location {
    BESIDE_DATA, /* what is not ours, or damaged, is left alone: there is another location */
    IN_CACHE,    /* what is ours and damaged is made anew */
    GIVEN,       /* what is not ours, damaged or of another dataset is an error */
} location;

static int ask_progress(void *user) {
    opening *o = user;
    return o->params->progress(&o->progress, o->params->progress_user);
}

static rbc_status load_tables(opening *o, location where, sqlite3 *db, bool *current,
                              rbc_error *err) {
    bool match = false;
    RBC__TRY(rbc__tables_check(db, err));
    RBC__TRY(rbc__tables_match(db, o->ops->format, o->schema, &match, err));
    if (match) {
        RBC__TRY(rbc__parts_load(db, o->root, o->schema, o->found, o->params->unpack_folder != NULL,
                                 o->catalog, current, err));
    }
    return !*current && where == GIVEN ? rbc__tables_check_dataset(db, o->schema, err) : RBC_OK;
}

static rbc_status load_file(opening *o, location where, int fd, bool *current, rbc_error *err) {
    sqlite3 *db;
    RBC__TRY(rbc__database_read(fd, o->catalog->path, &o->watch, &db, err));
    const rbc_status status = load_tables(o, where, db, current, err);
    rbc__database_close(&db);
    *current = *current && status == RBC_OK;
    return status;
}

/* Why the catalog in the dataset's folder is not used: never without a word. */
static rbc_status keep_reason(opening *o, const rbc_error *why, rbc_error *err) {
    free(o->catalog->passed_over);
    o->catalog->passed_over = strdup(why->message);
    return o->catalog->passed_over != NULL
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s; out of memory", why->message);
}

/* Loads the catalog if it is there and up to date. An error with `refused` true where what is there
 * cannot be used, whatever the data. */
static rbc_status load_current(opening *o, location where, bool *current, bool *refused,
                               rbc_error *err) {
    rbc__catalog_header header;
    rbc_error why;
    int fd;
    *current = *refused = false;
    if (rbc__header_read(o->catalog->path, &header, &fd, &why) != RBC_OK) {
        return rbc__pass_on(&why, err);
    }
    if (header.kind == RBC__CATALOG_FOREIGN || (header.kind == RBC__CATALOG_LATER && !o->rebuild)) {
        *refused = true;
        return rbc__pass_on(&why, err);
    }
    if (header.kind == RBC__CATALOG_OLDER && !o->rebuild && o->catalog->passed_over == NULL) {
        RBC__TRY(keep_reason(o, &why, err)); /* no descriptor is given of such a one */
    }
    if (fd < 0) {
        return RBC_OK;
    }
    rbc_status status = RBC_OK;
    if (!o->rebuild) {
        status = load_file(o, where, fd, current, err);
    }
    if (*current) {
        o->catalog->fd = fd;
    } else {
        close(fd);
    }
    if (status == RBC_ERROR_FORMAT && where == IN_CACHE) {
        o->rebuild = true;
        return RBC_OK;
    }
    *refused = status == RBC_ERROR_FORMAT;
    return status;
}

rbc_status rbc__catalog_connect(const rbc__catalog *catalog, rbc__watch *watch, sqlite3 **out,
                                rbc_error *err) {
    return rbc__database_read(catalog->fd, catalog->path, watch, out, err);
}

static rbc_status index_files(opening *o, sqlite3 *db, const char *folder, rbc_error *err) {
    rbc__pending_part *pending;
    rbc__index_job job = {
        .db = db,
        .ops = o->ops,
        .reader = o->reader,
        .root = o->root,
        .catalog_path = o->catalog->path,
        .folder = folder,
        .num_threads = o->params->num_threads,
        .on_error = o->params->on_error,
        .watch = &o->watch,
        .progress = &o->progress,
    };
    RBC__TRY(rbc__parts_sync(db, o->root, o->schema, o->found, &o->watch, &pending,
                             &job.num_pending, &job.done, err));
    job.pending = pending;
    rbc__unpack_folder *folder_to_unpack;
    rbc_status status = rbc__unpack_plan(&job, o->params, &folder_to_unpack, err);
    job.unpack_folder = folder_to_unpack;
    if (status == RBC_OK) {
        status = rbc__index_run(&job, err);
    }
    rbc__unpack_folder_close(&folder_to_unpack);
    free(pending);
    if (status == RBC_OK) {
        status = rbc__parts_finish(db, o->schema, err);
    }
    return status;
}

/* Makes the catalog of this location in its partial folder and puts it into its place. */
static rbc_status make(opening *o, bool *blocked, rbc_error *err) {
    rbc__partial partial;
    RBC__TRY(rbc__partial_create(o->catalog->path, &partial, blocked, err));
    const char *base = o->rebuild ? NULL : o->catalog->path;
    sqlite3 *db;
    rbc_status status =
        rbc__partial_open(&partial, base, o->ops->format, o->schema, &o->watch, &db, err);
    if (status == RBC_OK) {
        status = index_files(o, db, partial.folder, err);
    }
    if (status == RBC_OK) {
        status = rbc__partial_finish(&partial, &db, o->catalog->path, err);
    }
    rbc__database_close(&db);
    rbc__partial_free(&partial);
    return status;
}

/* Brings the catalog at this location up to date, unless another process has done so meanwhile. */
static rbc_status update(opening *o, location where, bool *refused, bool *blocked, rbc_error *err) {
    rbc__catalog_lock lock;
    bool current = false;
    RBC__TRY(rbc__catalog_lock_acquire(o->catalog->path, &o->watch, &lock, blocked, err));
    rbc_status status = load_current(o, where, &current, refused, err);
    if (status == RBC_OK && !current) {
        status = make(o, blocked, err);
        o->rebuild = false;
        if (status == RBC_OK) {
            status = load_current(o, where, &current, refused, err);
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

/* `passed` true: nothing can be done here, as `err` says. */
static rbc_status open_at(opening *o, location where, bool *passed, rbc_error *err) {
    bool current = false;
    bool refused = false;
    bool blocked = false;
    rbc_status status = load_current(o, where, &current, &refused, err);
    if (status == RBC_OK && !current) {
        status = update(o, where, &refused, &blocked, err);
    }
    *passed = refused || blocked;
    return status;
}

/* The dataset's folder. Where it is not to be written, what is up to date there is used all the
 * same; a link that lies there belongs to somebody's store and is not replaced by a file. */
static rbc_status open_beside(opening *o, const char *root, bool *passed, rbc_error *err) {
    rbc__catalog_header header;
    RBC__TRY(rbc__location_in_dataset(root, o->file, &o->catalog->path, err));
    RBC__TRY(rbc__header_read(o->catalog->path, &header, NULL, err));
    if (!header.is_link && !rbc__location_is_read_only(root)) {
        return open_at(o, BESIDE_DATA, passed, err);
    }
    bool current = false;
    const rbc_status status = load_current(o, BESIDE_DATA, &current, passed, err);
    if (status == RBC_OK && !current) {
        *passed = true;
        return rbc__fail_errno(err, EACCES, "catalog '%s' is not to be written", o->catalog->path);
    }
    return status;
}

static rbc_status open_somewhere(opening *o, const char *root, rbc_error *err) {
    bool passed = false;
    if (o->params->catalog_path != NULL) {
        RBC__TRY(rbc__location_given(o->params->catalog_path, &o->catalog->path, err));
        return open_at(o, GIVEN, &passed, err);
    }
    rbc_error why;
    rbc_status status = open_beside(o, root, &passed, &why);
    if (!passed) {
        return status == RBC_OK ? RBC_OK : rbc__pass_on(&why, err);
    }
    free(o->catalog->path);
    o->catalog->path = NULL;
    if (why.device_code == 0) { /* a folder that cannot be written is nothing to be told of */
        RBC__TRY(keep_reason(o, &why, err));
    }
    status = rbc__location_in_cache(root, o->file, &o->catalog->path, err);
    if (status == RBC_OK) {
        status = open_at(o, IN_CACHE, &passed, err);
    }
    return status == RBC_OK || !passed ? status
                                       : rbc__fail_within(err, status, "%s; instead", why.message);
}

static rbc_status refuse_skipped(const rbc__catalog *catalog, rbc_error *err) {
    sqlite3 *db;
    RBC__TRY(rbc__catalog_connect(catalog, NULL, &db, err));
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

rbc_status rbc__catalog_open(const rbc__format *ops, rbc__reader *reader, const char *root,
                             const char *file, const rbc_open_params *params, rbc__catalog **out,
                             rbc_error *err) {
    const rbc__schema *schema = ops->schema(reader);
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    (*out)->fd = -1;
    opening o = {
        .ops = ops,
        .reader = reader,
        .schema = schema,
        .root = root,
        .file = file,
        .params = params,
        .catalog = *out,
        .rebuild = params->rebuild != 0,
    };
    o.watch = (rbc__watch){.ask = params->progress != NULL ? ask_progress : NULL, .user = &o};
    rbc_status status = rbc__parts_look(root, schema, &o.watch, &o.found, err);
    if (status == RBC_OK) {
        status = open_somewhere(&o, root, err);
    }
    free(o.found);
    if (status == RBC_OK && (*out)->num_skipped > 0 && params->on_error == RBC_ON_ERROR_RAISE) {
        status = refuse_skipped(*out, err);
    }
    if (status != RBC_OK) {
        rbc__catalog_close(out);
    }
    return status;
}

/* `*is_there` true where a catalog of this version was found, whatever it tells. What is wrong with
 * it is said when it is opened. */
static rbc_status told_at(opening *o, const char *path, bool *is_there, char **told,
                          rbc_error *err) {
    rbc__catalog_header header;
    *is_there = false;
    int fd;
    if (rbc__header_read(path, &header, &fd, NULL) != RBC_OK || fd < 0) {
        return RBC_OK;
    }
    sqlite3 *db;
    rbc_error why;
    *is_there = true;
    rbc_status status = rbc__database_read(fd, path, &o->watch, &db, &why);
    if (status == RBC_OK) {
        status = rbc__tables_check(db, &why);
    }
    if (status == RBC_OK) {
        status = rbc__parts_told(db, o->ops->format, o->root, told, &why);
    }
    rbc__database_close(&db);
    close(fd);
    return status == RBC_ERROR_OUT_OF_MEMORY || status == RBC_ERROR_CANCELLED
               ? rbc__pass_on(&why, err)
               : RBC_OK;
}

static rbc_status told_somewhere(opening *o, char **told, rbc_error *err) {
    char *path = NULL;
    bool is_there = false;
    const bool is_given = o->params->catalog_path != NULL;
    rbc_status status = is_given ? rbc__location_given(o->params->catalog_path, &path, NULL)
                                 : rbc__location_in_dataset(o->root, o->file, &path, err);
    if (status == RBC_OK) {
        status = told_at(o, path, &is_there, told, err);
    }
    free(path);
    path = NULL;
    if (status != RBC_OK || is_there || is_given) {
        return is_given && status != RBC_ERROR_CANCELLED ? RBC_OK : status;
    }
    if (rbc__location_in_cache(o->root, o->file, &path, NULL) == RBC_OK) {
        status = told_at(o, path, &is_there, told, err);
    }
    free(path);
    return status;
}

rbc_status rbc__catalog_told(const rbc__format *ops, const char *root, const char *file,
                             const rbc_open_params *params, char **told, rbc_error *err) {
    opening o = {.ops = ops, .root = root, .file = file, .params = params};
    o.watch = (rbc__watch){.ask = params->progress != NULL ? ask_progress : NULL, .user = &o};
    *told = NULL;
    return params->rebuild != 0 ? RBC_OK : told_somewhere(&o, told, err);
}

void rbc__catalog_close(rbc__catalog **catalog) {
    if (*catalog != NULL) {
        free((*catalog)->path);
        free((*catalog)->passed_over);
        if ((*catalog)->fd >= 0) {
            close((*catalog)->fd);
        }
        rbc__parts_free(*catalog);
        free(*catalog);
        *catalog = NULL;
    }
}

int64_t rbc__catalog_part_of(const rbc__catalog *catalog, int64_t id) {
    int64_t low = 0;
    int64_t high = catalog->num_parts;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (catalog->parts[middle].first_id <= id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t rbc__catalog_key_of(const rbc__catalog *catalog, int64_t id) {
    const rbc__catalog_part *part = &catalog->parts[rbc__catalog_part_of(catalog, id)];
    return rbc__episode_key(part->id, id - part->first_id);
}
