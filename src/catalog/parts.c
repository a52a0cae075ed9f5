#define _GNU_SOURCE

#include "catalog/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/files.h"
#include "catalog/identity.h"
#include "catalog/key.h"
#include "core/error.h"
#include "io/unpacked.h"

/* A page of a catalog has 8 KiB, a row of an episode four bytes at least. */
#define MOST_ROWS_A_PAGE 2048

static const char doing_write[] = "cannot be written";

static rbc_status look_at(int folder, const char *root, const rbc__part_schema *part,
                          rbc__file_identity *out, rbc_error *err) {
    struct stat info;
    const char *path = part->path;
    if (part->is_virtual) {
        *out = (rbc__file_identity){.mtime_ns = part->stamp};
        return RBC_OK;
    }
    if (fstatat(folder, path, &info, 0) == 0) {
        *out = rbc__file_identity_of(&info);
        return RBC_OK;
    }
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
        *out = (rbc__file_identity){.bytes = -1};
        return RBC_OK;
    }
    return rbc__fail_errno(err, errno, "'%s/%s' cannot be looked at", root, path);
}

rbc_status rbc__parts_look(const char *root, const rbc__schema *schema, rbc__watch *watch,
                           rbc__file_identity **out, rbc_error *err) {
    *out = calloc((size_t)schema->num_parts + 1, sizeof **out);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    const int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rbc_status status =
        folder >= 0 ? RBC_OK : rbc__fail_errno(err, errno, "'%s' cannot be opened", root);
    for (int64_t i = 0; i < schema->num_parts && status == RBC_OK; ++i) {
        status = look_at(folder, root, &schema->parts[i], &(*out)[i], err);
        if (status == RBC_OK && rbc__watch_stop(watch)) {
            status = rbc__fail(err, RBC_ERROR_CANCELLED,
                               "'%s': cancelled after looking at %lld of %lld files", root,
                               (long long)i + 1, (long long)schema->num_parts);
        }
    }
    if (folder >= 0) {
        close(folder);
    }
    if (status != RBC_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static bool text_is(sqlite3_stmt *statement, int column, const char *want) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL && strcmp(text, want) == 0;
}

static rbc_status row_is_wrong(sqlite3_stmt *select, const char *path, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "catalog '%s': row of file '%s' makes no sense; open the dataset with rebuild",
                     sqlite3_db_filename(sqlite3_db_handle(select), "main"), path);
}

/* What the disk holds, and how it is compared with what the catalog was made of. */
typedef struct comparison {
    const char *root;
    const rbc__schema *schema;
    const rbc__file_identity *found;
    bool may_unpack; /* anew what is not there any more */
    bool is_home;    /* the catalog was made of this very folder: times of change tell */
} comparison;

static rbc_status find_home(sqlite3 *db, const char *root, bool *is_home, rbc_error *err) {
    int64_t origin = 0;
    RBC__TRY(
        rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'origin'", &origin, err));
    *is_home = origin == rbc__identity_of_folder(root);
    return RBC_OK;
}

/* Whether a file of that size is still the one that was indexed. */
static bool is_unchanged(const comparison *c, int64_t at, int64_t mtime_ns, int64_t stored_digest) {
    const rbc__part_schema *part = &c->schema->parts[at];
    int64_t digest;
    if (c->is_home || part->is_virtual || c->found[at].bytes < 0) {
        return mtime_ns == c->found[at].mtime_ns;
    }
    return rbc__identity_digest(c->root, part->path, &digest, NULL) == RBC_OK &&
           digest == stored_digest;
}

/* Whether what was unpacked of a part lies where the catalog says: OK without `*holds` where it
 * does not but may be unpacked again. */
static rbc_status look_unpacked(const comparison *c, int64_t at, const char *path, bool *holds,
                                rbc__file_identity *out, rbc_error *err) {
    rbc_error why;
    *holds = rbc__unpacked_look(path, &c->found[at], !c->is_home, out, &why) == RBC_OK;
    if (!*holds && rbc__is_shortage(&why)) {
        return rbc__pass_on(&why, err);
    }
    return *holds || c->may_unpack
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_NOT_FOUND,
                           "'%s/%s' is compressed as a whole, and %s; name a folder to unpack it "
                           "into again (unpack= in Python, 'robocache index --unpack FOLDER')",
                           c->root, c->schema->parts[at].path, why.message);
}

/* Reads the row under way; false where the part is not the one that the schema and the disk
 * have at its position. */
static bool take_row(sqlite3_stmt *select, const comparison *c, rbc__catalog_part *parts) {
    const rbc__schema *schema = c->schema;
    const rbc__file_identity *found = c->found;
    const int64_t at = sqlite3_column_int64(select, 9);
    if (at < 0 || at >= schema->num_parts || parts[at].id != 0 ||
        !text_is(select, 1, schema->parts[at].path) ||
        !text_is(select, 2, schema->parts[at].split) ||
        sqlite3_column_int64(select, 3) != found[at].bytes ||
        sqlite3_column_int64(select, 5) == 0 ||
        !is_unchanged(c, at, sqlite3_column_int64(select, 4), sqlite3_column_int64(select, 12))) {
        return false;
    }
    parts[at] = (rbc__catalog_part){
        .id = sqlite3_column_int64(select, 0),
        .bytes = found[at].bytes > 0 ? found[at].bytes : 0,
        .identity = found[at],
        .num_episodes = sqlite3_column_int64(select, 6),
        .num_steps = sqlite3_column_int64(select, 7),
        .first_id = sqlite3_column_int64(select, 8),
        .column_bytes = sqlite3_column_int64(select, 10),
        .column_digest = sqlite3_column_int64(select, 11),
    };
    return true;
}

static rbc_status take_unpacked(sqlite3_stmt *select, const comparison *c, rbc__catalog *catalog,
                                bool *holds, rbc_error *err) {
    const int64_t at = sqlite3_column_int64(select, 9);
    const char *path = (const char *)sqlite3_column_text(select, 13);
    rbc__catalog_part *part = &catalog->parts[at];
    part->unpacked = path != NULL ? strdup(path) : NULL;
    if (part->unpacked == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory",
                         catalog->path);
    }
    return look_unpacked(c, at, path, holds, &part->unpacked_identity, err);
}

static int64_t bytes_to_read(const rbc__catalog_part *part) {
    return part->unpacked != NULL ? part->unpacked_identity.bytes : part->bytes;
}

/* Sorted here and not by SQLite: a made-up table may have rows without end. */
static rbc_status load_rows(sqlite3_stmt *select, const comparison *c, rbc__catalog *catalog,
                            bool *current, rbc_error *err) {
    const rbc__schema *schema = c->schema;
    int64_t count = 0;
    int64_t most_rows = 0;
    bool row = true;
    RBC__TRY(
        rbc__database_integer(sqlite3_db_handle(select), "PRAGMA page_count", &most_rows, err));
    most_rows *= MOST_ROWS_A_PAGE;
    while (row) {
        RBC__TRY(rbc__statement_step(select, &row, err));
        if (row && !take_row(select, c, catalog->parts)) {
            return RBC_OK;
        }
        if (row && !text_is(select, 13, "")) {
            bool holds;
            RBC__TRY(take_unpacked(select, c, catalog, &holds, err));
            if (!holds) {
                return RBC_OK;
            }
        }
        count += row;
    }
    for (int64_t at = 0; count == schema->num_parts && at < count; ++at) {
        const rbc__catalog_part *part = &catalog->parts[at];
        /* an episode takes a byte of its file at the least, which bounds what is allocated for it;
           those of a part that is no file are bounded by what the catalog itself has room for */
        if (part->id <= 0 || part->id > INT32_MAX || part->num_episodes < 0 ||
            part->num_episodes > (schema->parts[at].is_virtual ? most_rows : bytes_to_read(part)) ||
            part->num_episodes > RBC__MAX_PART_EPISODES || part->num_steps < 0 ||
            part->first_id != catalog->num_episodes ||
            !rbc__add_size(catalog->num_steps, part->num_steps, &catalog->num_steps) ||
            !rbc__add_size(catalog->num_episodes, part->num_episodes, &catalog->num_episodes) ||
            !rbc__add_size(catalog->num_bytes, part->bytes, &catalog->num_bytes)) {
            return row_is_wrong(select, schema->parts[at].path, err);
        }
    }
    *current = count == schema->num_parts;
    return RBC_OK;
}

static rbc_status load_counts(sqlite3 *db, rbc__catalog *catalog, rbc_error *err) {
    RBC__TRY(rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'skipped'",
                                   &catalog->num_skipped, err));
    RBC__TRY(rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'tasks'",
                                   &catalog->num_tasks, err));
    RBC__TRY(rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'told'",
                                   &catalog->num_told, err));
    RBC__TRY(rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'files'",
                                   &catalog->num_files, err));
    RBC__TRY(rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'bytes'",
                                   &catalog->file_bytes, err));
    int64_t most; /* a record that was left out takes a byte, is a whole file, or a row at least */
    RBC__TRY(rbc__database_integer(db, "PRAGMA page_count", &most, err));
    most *= MOST_ROWS_A_PAGE;
    if (catalog->num_tasks < 0 || catalog->num_tasks > catalog->num_episodes ||
        catalog->num_told < 0 || catalog->num_told > catalog->num_parts || catalog->num_files < 0 ||
        catalog->file_bytes < 0 || catalog->num_skipped < 0 ||
        !rbc__add_size(most, catalog->num_bytes, &most) ||
        !rbc__add_size(most, catalog->num_parts, &most) || catalog->num_skipped > most) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "catalog '%s': %lld tasks, %lld records left out, %lld parts that tell of "
                         "themselves and %lld files of %lld bytes make no sense; open the dataset "
                         "with rebuild",
                         catalog->path, (long long)catalog->num_tasks,
                         (long long)catalog->num_skipped, (long long)catalog->num_told,
                         (long long)catalog->num_files, (long long)catalog->file_bytes);
    }
    return RBC_OK;
}

void rbc__parts_free(rbc__catalog *catalog) {
    for (int64_t i = 0; catalog->parts != NULL && i < catalog->num_parts; ++i) {
        free(catalog->parts[i].unpacked);
    }
    free(catalog->parts);
    catalog->parts = NULL;
}

rbc_status rbc__parts_load(sqlite3 *db, const char *root, const rbc__schema *schema,
                           const rbc__file_identity *found, bool may_unpack, rbc__catalog *catalog,
                           bool *current, rbc_error *err) {
    *current = false;
    int64_t complete;
    RBC__TRY(
        rbc__database_integer(db, "SELECT value FROM meta WHERE key = 'complete'", &complete, err));
    if (complete == 0) {
        return RBC_OK;
    }
    comparison c = {root, schema, found, may_unpack, false};
    RBC__TRY(find_home(db, root, &c.is_home, err));
    rbc__parts_free(catalog);
    catalog->parts = calloc((size_t)schema->num_parts + 1, sizeof *catalog->parts);
    if (catalog->parts == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory",
                         catalog->path);
    }
    catalog->num_parts = schema->num_parts;
    catalog->num_episodes = catalog->num_steps = catalog->num_bytes = 0;
    sqlite3_stmt *select;
    RBC__TRY(rbc__statement_prepare(db,
                                    "SELECT id, path, split, size, mtime_ns, indexed, episodes,"
                                    " steps, first_id, position, column_bytes, column_digest,"
                                    " digest, unpacked FROM parts",
                                    &select, err));
    const rbc_status status = load_rows(select, &c, catalog, current, err);
    rbc__statement_finish(&select);
    return status == RBC_OK && *current ? load_counts(db, catalog, err) : status;
}

/* The part is looked at by its path alone: its schema is not known yet. */
static rbc_status told_of_row(sqlite3_stmt *select, const char *root, bool is_home, char **told,
                              rbc_error *err) {
    rbc__part_schema part = {.path = (char *)(uintptr_t)sqlite3_column_text(select, 0)};
    const char *text = (const char *)sqlite3_column_text(select, 4);
    rbc__file_identity found = {.bytes = -1};
    if (part.path == NULL || text == NULL) {
        return RBC_OK;
    }
    rbc__schema schema = {.parts = &part, .num_parts = 1};
    const comparison c = {root, &schema, &found, false, is_home};
    const int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool looked =
        folder >= 0 && look_at(folder, root, &part, &found, NULL) == RBC_OK && found.bytes >= 0;
    if (folder >= 0) {
        close(folder);
    }
    if (looked && found.bytes == sqlite3_column_int64(select, 1) &&
        is_unchanged(&c, 0, sqlite3_column_int64(select, 2), sqlite3_column_int64(select, 3))) {
        *told = strdup(text);
        return *told != NULL ? RBC_OK
                             : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    return RBC_OK;
}

rbc_status rbc__parts_told(sqlite3 *db, const char *format, const char *root, char **told,
                           rbc_error *err) {
    *told = NULL;
    bool is_home;
    RBC__TRY(find_home(db, root, &is_home, err));
    sqlite3_stmt *select;
    RBC__TRY(rbc__statement_prepare(db,
                                    "SELECT p.path, p.size, p.mtime_ns, p.digest, t.data"
                                    " FROM parts p CROSS JOIN told t ON t.part = p.id"
                                    " WHERE p.position = 0 AND p.indexed AND"
                                    " (SELECT value FROM meta WHERE key = 'format') = ? LIMIT 1",
                                    &select, err));
    sqlite3_bind_text(select, 1, format, -1, SQLITE_STATIC);
    bool row;
    rbc_status status = rbc__statement_step(select, &row, err);
    if (status == RBC_OK && row) {
        status = told_of_row(select, root, is_home, told, err);
    }
    rbc__statement_finish(&select);
    return status;
}

typedef struct known_part {
    int64_t id, bytes, mtime_ns, digest, episodes;
    char *unpacked; /* NULL: it was not; or there was no memory to say */
    bool indexed, found;
} known_part;

static rbc_status run_for(sqlite3 *db, const char *sql, int64_t first, int64_t second,
                          rbc_error *err) {
    sqlite3_stmt *statement;
    RBC__TRY(rbc__statement_prepare(db, sql, &statement, err));
    sqlite3_bind_int64(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1) {
        sqlite3_bind_int64(statement, 2, second);
    }
    const rbc_status status = rbc__statement_run(statement, err);
    rbc__statement_finish(&statement);
    return status;
}

/* Forgets what a part held; its row stays. */
static rbc_status drop_content(sqlite3 *db, int64_t id, rbc_error *err) {
    const int64_t first = rbc__episode_key(id, 0);
    const int64_t last = rbc__episode_key(id + 1, 0) - 1;
    RBC__TRY(run_for(db,
                     "UPDATE tasks SET episodes = episodes - had.n FROM"
                     " (SELECT task AS id, count(*) AS n FROM episodes"
                     "  WHERE key BETWEEN ? AND ? AND task IS NOT NULL GROUP BY task) AS had"
                     " WHERE tasks.id = had.id",
                     first, last, err));
    RBC__TRY(run_for(db, "DELETE FROM episodes WHERE key BETWEEN ? AND ?", first, last, err));
    RBC__TRY(run_for(db, "DELETE FROM layouts WHERE key BETWEEN ? AND ?", first, last, err));
    RBC__TRY(run_for(db, "DELETE FROM metadata WHERE key BETWEEN ? AND ?", first, last, err));
    RBC__TRY(run_for(db, "DELETE FROM objects WHERE part = ?", id, 0, err));
    RBC__TRY(run_for(db, "DELETE FROM told WHERE part = ?", id, 0, err));
    RBC__TRY(run_for(db, "DELETE FROM summaries WHERE part = ?", id, 0, err));
    RBC__TRY(run_for(db, "DELETE FROM spans WHERE part = ?", id, 0, err));
    return run_for(db, "DELETE FROM skipped WHERE part = ?", id, 0, err);
}

static rbc_status find_known(sqlite3 *db, const char *path, known_part *out, rbc_error *err) {
    *out = (known_part){.found = false};
    sqlite3_stmt *select;
    RBC__TRY(rbc__statement_prepare(
        db,
        "SELECT id, size, mtime_ns, indexed, episodes, digest, unpacked FROM parts"
        " WHERE path = ?",
        &select, err));
    sqlite3_bind_text(select, 1, path, -1, SQLITE_STATIC);
    const rbc_status status = rbc__statement_step(select, &out->found, err);
    if (status == RBC_OK && out->found) {
        out->id = sqlite3_column_int64(select, 0);
        out->bytes = sqlite3_column_int64(select, 1);
        out->mtime_ns = sqlite3_column_int64(select, 2);
        out->indexed = sqlite3_column_int64(select, 3) != 0;
        out->episodes = sqlite3_column_int64(select, 4);
        out->digest = sqlite3_column_int64(select, 5);
        if (!text_is(select, 6, "")) {
            const char *unpacked = (const char *)sqlite3_column_text(select, 6);
            out->unpacked = unpacked != NULL ? strdup(unpacked) : NULL;
            out->indexed = out->indexed && out->unpacked != NULL;
        }
    }
    rbc__statement_finish(&select);
    return status;
}

/* The row of one part as the schema and the disk have it; `indexed` only where nothing changed. */
static rbc_status put_row(sqlite3 *db, const known_part *known, const rbc__part_schema *part,
                          int64_t position, const rbc__file_identity *on_disk, bool indexed,
                          int64_t *id, rbc_error *err) {
    sqlite3_stmt *put;
    RBC__TRY(rbc__statement_prepare(
        db,
        known->found
            ? "UPDATE parts SET path = ?1, split = ?2, position = ?3, size = ?4,"
              " mtime_ns = ?5, indexed = ?6 WHERE id = ?7"
            : "INSERT INTO parts VALUES (NULL, ?1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6, 0, 0, 0, 0, '')",
        &put, err));
    sqlite3_bind_text(put, 1, part->path, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 2, part->split, -1, SQLITE_STATIC);
    sqlite3_bind_int64(put, 3, position);
    sqlite3_bind_int64(put, 4, on_disk->bytes);
    sqlite3_bind_int64(put, 5, on_disk->mtime_ns);
    sqlite3_bind_int64(put, 6, indexed);
    if (known->found) {
        sqlite3_bind_int64(put, 7, known->id);
    }
    const rbc_status status = rbc__statement_run(put, err);
    *id = known->found ? known->id : sqlite3_last_insert_rowid(db);
    rbc__statement_finish(&put);
    return status;
}

/* Parts that the schema no longer has are left at position -1. */
static rbc_status drop_gone(sqlite3 *db, rbc_error *err) {
    for (;;) {
        int64_t id;
        RBC__TRY(rbc__database_integer(
            db, "SELECT coalesce(max(id), -1) FROM parts WHERE position < 0", &id, err));
        if (id < 0) {
            return RBC_OK;
        }
        RBC__TRY(drop_content(db, id, err));
        RBC__TRY(run_for(db, "DELETE FROM parts WHERE id = ?", id, 0, err));
    }
}

static rbc_status sync_parts(sqlite3 *db, const char *root, const rbc__schema *schema,
                             const rbc__file_identity *found, rbc__watch *watch,
                             rbc__pending_part *pending, int64_t *num_pending, rbc_progress *done,
                             rbc_error *err) {
    comparison c = {root, schema, found, true, false};
    RBC__TRY(find_home(db, root, &c.is_home, err));
    RBC__TRY(run_for(db, "INSERT OR REPLACE INTO meta VALUES ('origin', ?)",
                     rbc__identity_of_folder(root), 0, err));
    RBC__TRY(rbc__database_exec(db,
                                "UPDATE meta SET value = 0 WHERE key = 'complete';"
                                "UPDATE parts SET position = -1",
                                doing_write, err));
    done->files_total = schema->num_parts;
    for (int64_t i = 0; i < schema->num_parts; ++i) {
        if (rbc__watch_stop(watch)) { /* statements this short ask nobody */
            return rbc__fail(err, RBC_ERROR_CANCELLED, "indexing was interrupted");
        }
        known_part known;
        RBC__TRY(find_known(db, schema->parts[i].path, &known, err));
        bool same = known.found && known.indexed && known.bytes == found[i].bytes &&
                    is_unchanged(&c, i, known.mtime_ns, known.digest);
        if (same && known.unpacked != NULL) {
            rbc__file_identity made;
            (void)look_unpacked(&c, i, known.unpacked, &same, &made, NULL);
        }
        free(known.unpacked);
        if (known.found && !same) {
            RBC__TRY(drop_content(db, known.id, err));
        }
        int64_t id;
        RBC__TRY(put_row(db, &known, &schema->parts[i], i, &found[i], same, &id, err));
        const int64_t bytes = found[i].bytes > 0 ? found[i].bytes : 0;
        done->bytes_total += bytes;
        if (same) {
            ++done->files_done;
            done->bytes_done += bytes;
            done->episodes += known.episodes;
        } else {
            pending[(*num_pending)++] = (rbc__pending_part){i, id};
        }
    }
    return drop_gone(db, err);
}

rbc_status rbc__parts_sync(sqlite3 *db, const char *root, const rbc__schema *schema,
                           const rbc__file_identity *found, rbc__watch *watch,
                           rbc__pending_part **pending, int64_t *num_pending, rbc_progress *done,
                           rbc_error *err) {
    *done = (rbc_progress){0};
    *num_pending = 0;
    *pending = calloc((size_t)schema->num_parts + 1, sizeof **pending);
    if (*pending == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    }
    rbc_status status = rbc__database_exec(db, "BEGIN IMMEDIATE", doing_write, err);
    if (status == RBC_OK) {
        status = sync_parts(db, root, schema, found, watch, *pending, num_pending, done, err);
    }
    if (status == RBC_OK) {
        status = rbc__database_exec(db, "COMMIT", doing_write, err);
    }
    if (status != RBC_OK) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        free(*pending);
        *pending = NULL;
    }
    return status;
}

static rbc_status put_count(sqlite3 *db, const char *key, int64_t value, rbc_error *err) {
    sqlite3_stmt *put;
    RBC__TRY(rbc__statement_prepare(db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", &put, err));
    sqlite3_bind_text(put, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(put, 2, value);
    const rbc_status status = rbc__statement_run(put, err);
    rbc__statement_finish(&put);
    return status;
}

rbc_status rbc__parts_finish(sqlite3 *db, const rbc__schema *schema, rbc_error *err) {
    static const char finish[] =
        "UPDATE parts SET first_id = numbered.before FROM (SELECT id,"
        "  coalesce(sum(episodes) OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING"
        "  AND 1 PRECEDING), 0) AS before FROM parts) AS numbered WHERE parts.id = numbered.id;"
        "DELETE FROM tasks WHERE episodes = 0;"
        "INSERT INTO task_words (task_words) VALUES ('rebuild');"
        "INSERT OR REPLACE INTO meta VALUES ('tasks', (SELECT count(*) FROM tasks)),"
        "  ('skipped', (SELECT count(*) FROM skipped)), ('told', (SELECT count(*) FROM told));"
        "UPDATE meta SET value = 1 WHERE key = 'complete';"
        "COMMIT;";
    int64_t num_files = 0;
    int64_t num_bytes = 0;
    RBC__TRY(rbc__database_exec(db, "BEGIN IMMEDIATE", doing_write, err));
    rbc_status status = rbc__files_count(db, schema, &num_files, &num_bytes, err);
    if (status == RBC_OK) {
        status = put_count(db, "files", num_files, err);
    }
    if (status == RBC_OK) {
        status = put_count(db, "bytes", num_bytes, err);
    }
    if (status == RBC_OK) {
        status = rbc__database_exec(db, finish, doing_write, err);
    }
    if (status != RBC_OK) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}
