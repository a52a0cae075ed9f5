#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog/database.h"
#include "catalog/dataset_state.h"
#include "catalog/key.h"
#include "catalog/metadata_reader.h"
#include "core/error.h"
#include "core/fork.h"

struct rbc__cursor {
    rbc__cursor_slot *slot;
    const rbc__catalog *catalog;
    const int64_t *steps; /* the dataset's, see rbc_dataset; NULL: not loaded yet */
    pid_t pid;            /* a connection must not be used by a forked child */
    sqlite3 *db;
    sqlite3_stmt *episode, *task;
    uint8_t *buffer; /* of the layout or text last returned */
    size_t buffer_bytes;
    rbc__metadata_reader metadata;
};

static rbc_status connect(rbc__cursor *cursor, rbc_error *err) {
    static const char select_episode[] =
        "SELECT e.record, e.offset, e.bytes, e.steps, coalesce(e.start_ns, 0),"
        " coalesce(e.end_ns, -1), coalesce(e.task, -1), l.data"
        " FROM episodes e JOIN layouts l ON l.key = e.key WHERE e.key = ?";
    cursor->pid = getpid();
    RBC__TRY(rbc__catalog_connect(cursor->catalog, NULL, &cursor->db, err));
    RBC__TRY(rbc__statement_prepare(cursor->db, select_episode, &cursor->episode, err));
    return rbc__statement_prepare(cursor->db, "SELECT text FROM tasks WHERE id = ?", &cursor->task,
                                  err);
}

static void disconnect(rbc__cursor *cursor) {
    rbc__statement_finish(&cursor->episode);
    rbc__statement_finish(&cursor->task);
    rbc__database_close(&cursor->db);
}

static rbc_status open_cursor(rbc_dataset *dataset, rbc__cursor_slot *slot, rbc_error *err) {
    slot->cursor = calloc(1, sizeof *slot->cursor);
    if (slot->cursor == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory",
                         dataset->catalog->path);
    }
    slot->cursor->slot = slot;
    slot->cursor->catalog = dataset->catalog;
    const rbc_status status = connect(slot->cursor, err);
    if (status != RBC_OK) {
        rbc__cursor_close(&slot->cursor);
    }
    return status;
}

/* The first that is free, so that few are opened where few are used. */
static rbc__cursor_slot *lock_slot(rbc_dataset *dataset) {
    for (int32_t i = 0; i < RBC__DATASET_CURSORS; ++i) {
        if (pthread_mutex_trylock(&dataset->cursors[i].lock) == 0) {
            return &dataset->cursors[i];
        }
    }
    const unsigned turn = atomic_fetch_add_explicit(&dataset->next_cursor, 1, memory_order_relaxed);
    rbc__cursor_slot *slot = &dataset->cursors[turn % RBC__DATASET_CURSORS];
    pthread_mutex_lock(&slot->lock);
    return slot;
}

rbc_status rbc__cursor_take(rbc_dataset *dataset, rbc__cursor **out, rbc_error *err) {
    *out = NULL;
    rbc__forks_hold(); /* until it is given back */
    rbc__cursor_slot *slot = lock_slot(dataset);
    rbc_status status = RBC_OK;
    if (slot->cursor == NULL) {
        status = open_cursor(dataset, slot, err);
    }
    if (status != RBC_OK) {
        pthread_mutex_unlock(&slot->lock);
        rbc__forks_release(NULL);
        return status;
    }
    if (slot->cursor->steps == NULL) {
        pthread_mutex_lock(&dataset->lock);
        slot->cursor->steps = dataset->steps;
        pthread_mutex_unlock(&dataset->lock);
    }
    *out = slot->cursor;
    return RBC_OK;
}

void rbc__cursor_give(rbc__cursor **cursor) {
    if (*cursor != NULL) {
        pthread_mutex_unlock(&(*cursor)->slot->lock);
        rbc__forks_release(NULL);
        *cursor = NULL;
    }
}

void rbc__cursor_close(rbc__cursor **cursor) {
    RBC__HOLD_FORKS();
    if (*cursor == NULL) {
        return;
    }
    if ((*cursor)->pid == getpid()) {
        disconnect(*cursor);
    }
    rbc__metadata_forget(&(*cursor)->metadata);
    free((*cursor)->buffer);
    free(*cursor);
    *cursor = NULL;
}

/* In a forked child the parent's connection is left alone: closing it would touch its locks. */
static rbc_status check_process(rbc__cursor *cursor, rbc_error *err) {
    if (cursor->db != NULL && cursor->pid == getpid()) {
        return RBC_OK;
    }
    cursor->db = NULL;
    cursor->episode = cursor->task = NULL;
    const rbc_status status = connect(cursor, err);
    if (status != RBC_OK) {
        disconnect(cursor);
    }
    return status;
}

static rbc_status keep(rbc__cursor *cursor, const void *data, size_t bytes, rbc_error *err) {
    if (cursor->buffer_bytes < bytes + 1) {
        uint8_t *grown = realloc(cursor->buffer, bytes + 1);
        if (grown == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory",
                             cursor->catalog->path);
        }
        cursor->buffer = grown;
        cursor->buffer_bytes = bytes + 1;
    }
    if (bytes > 0) {
        memcpy(cursor->buffer, data, bytes);
    }
    cursor->buffer[bytes] = '\0';
    return RBC_OK;
}

static rbc_status is_missing(const rbc__cursor *cursor, const char *what, int64_t id,
                             rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "catalog '%s' is damaged: no row of %s %lld; open the dataset with rebuild",
                     cursor->catalog->path, what, (long long)id);
}

/* Samples are counted by the summary and read by the row: both must tell the same. */
static bool agrees_with_summary(const rbc__cursor *cursor, const rbc__episode_row *row) {
    const int64_t count = cursor->catalog->num_episodes;
    const int64_t *of_episode = cursor->steps != NULL ? cursor->steps + row->id : NULL;
    return of_episode == NULL ||
           (of_episode[0] == row->entry.num_steps && of_episode[count] == row->entry.start_ns &&
            of_episode[2 * count] == row->entry.end_ns);
}

static rbc_status take_episode(rbc__cursor *cursor, rbc__episode_row *out, rbc_error *err) {
    sqlite3_stmt *select = cursor->episode;
    bool row;
    RBC__TRY(rbc__statement_step(select, &row, err));
    if (!row) {
        return is_missing(cursor, "episode", out->id, err);
    }
    const int64_t offset = sqlite3_column_int64(select, 1);
    const int64_t bytes = sqlite3_column_int64(select, 2);
    out->task = sqlite3_column_int64(select, 6);
    out->entry = (rbc__episode_entry){
        .record = sqlite3_column_int64(select, 0),
        .offset = offset,
        .bytes = bytes,
        .num_steps = sqlite3_column_int64(select, 3),
        .start_ns = sqlite3_column_int64(select, 4),
        .end_ns = sqlite3_column_int64(select, 5),
        .task = "",
        .layout_bytes = (size_t)sqlite3_column_bytes(select, 7),
    };
    if (offset < -1 || bytes < 0 || out->entry.num_steps < 0 || !agrees_with_summary(cursor, out)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "catalog '%s': row of episode %lld makes no sense; open the dataset with "
                         "rebuild",
                         cursor->catalog->path, (long long)out->id);
    }
    RBC__TRY(keep(cursor, sqlite3_column_blob(select, 7), out->entry.layout_bytes, err));
    out->entry.layout = cursor->buffer;
    return RBC_OK;
}

rbc_status rbc__cursor_episode(rbc__cursor *cursor, int64_t id, rbc__episode_row *out,
                               rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__catalog *catalog = cursor->catalog;
    if (id < 0 || id >= catalog->num_episodes) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no episode %lld: the dataset has %lld",
                         (long long)id, (long long)catalog->num_episodes);
    }
    RBC__TRY(check_process(cursor, err));
    out->id = id;
    out->part = rbc__catalog_part_of(catalog, id);
    sqlite3_bind_int64(cursor->episode, 1, rbc__catalog_key_of(catalog, id));
    const rbc_status status = take_episode(cursor, out, err);
    sqlite3_reset(cursor->episode);
    return status;
}

/* The value that `sql` selects; malloc'ed, NULL where there is none. */
static rbc_status copy_value(rbc__cursor *cursor, const char *sql, const int64_t *keys,
                             int num_keys, uint8_t **data, size_t *bytes, rbc_error *err) {
    sqlite3_stmt *select;
    bool row = false;
    *data = NULL;
    *bytes = 0;
    RBC__TRY(check_process(cursor, err));
    RBC__TRY(rbc__statement_prepare(cursor->db, sql, &select, err));
    for (int i = 0; i < num_keys; ++i) {
        sqlite3_bind_int64(select, i + 1, keys[i]);
    }
    rbc_status status = rbc__statement_step(select, &row, err);
    if (status == RBC_OK && row) {
        const void *value = sqlite3_column_blob(select, 0);
        *bytes = (size_t)sqlite3_column_bytes(select, 0);
        *data = malloc(*bytes + 1);
        if (*data == NULL) {
            status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory",
                               cursor->catalog->path);
        } else if (*bytes > 0) {
            memcpy(*data, value, *bytes);
        }
    }
    rbc__statement_finish(&select);
    return status;
}

rbc_status rbc__cursor_metadata(rbc__cursor *cursor, int64_t id, char **json, rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__catalog *catalog = cursor->catalog;
    const char *text = NULL;
    size_t bytes = 0;
    *json = NULL;
    RBC__TRY(check_process(cursor, err));
    const rbc_status status = rbc__metadata_read(
        &cursor->metadata, cursor->db, rbc__catalog_key_of(catalog, id), &text, &bytes, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "catalog '%s': episode %lld", catalog->path,
                                (long long)id);
    }
    *json = strndup(text, bytes);
    return *json != NULL ? RBC_OK
                         : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory",
                                     catalog->path);
}

static rbc_status copy_object(rbc__cursor *cursor, int64_t part, rbc__container kind,
                              uint32_t number, uint8_t **data, size_t *bytes, rbc_error *err) {
    const int64_t keys[] = {cursor->catalog->parts[part].id, (int64_t)kind, number};
    return copy_value(cursor, "SELECT data FROM objects WHERE part = ? AND kind = ? AND number = ?",
                      keys, 3, data, bytes, err);
}

rbc_status rbc__cursor_blobs(rbc__cursor *cursor, int64_t part, uint8_t **data, size_t *bytes,
                             rbc_error *err) {
    RBC__HOLD_FORKS();
    return copy_object(cursor, part, RBC__IN_BLOB, 0, data, bytes, err);
}

rbc_status rbc__cursor_object(rbc__cursor *cursor, int64_t part, rbc__container kind,
                              uint32_t number, uint8_t **data, size_t *bytes, rbc_error *err) {
    RBC__HOLD_FORKS();
    RBC__TRY(copy_object(cursor, part, kind, number, data, bytes, err));
    return *data != NULL
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_FORMAT,
                           "catalog '%s' is damaged: part %lld has no %s %u; open the dataset with "
                           "rebuild",
                           cursor->catalog->path, (long long)part,
                           kind == RBC__IN_ARRAY   ? "array"
                           : kind == RBC__IN_TRACK ? "track"
                                                   : "list of texts",
                           number);
}

rbc_status rbc__cursor_task(rbc__cursor *cursor, int64_t task, const char **text, rbc_error *err) {
    RBC__HOLD_FORKS();
    *text = "";
    if (task < 0) {
        return RBC_OK;
    }
    RBC__TRY(check_process(cursor, err));
    sqlite3_bind_int64(cursor->task, 1, task);
    bool row;
    rbc_status status = rbc__statement_step(cursor->task, &row, err);
    if (status == RBC_OK && !row) {
        status = is_missing(cursor, "task", task, err);
    }
    if (status == RBC_OK) {
        const unsigned char *words = sqlite3_column_text(cursor->task, 0);
        status = keep(cursor, words, (size_t)sqlite3_column_bytes(cursor->task, 0), err);
        *text = (const char *)cursor->buffer;
    }
    sqlite3_reset(cursor->task);
    return status;
}
