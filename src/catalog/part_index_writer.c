#include <stdlib.h>
#include <string.h>

#include "catalog/columns.h"
#include "catalog/key.h"
#include "catalog/metadata.h"
#include "catalog/part_index.h"
#include "catalog/summary.h"
#include "core/error.h"

struct rbc__part_index_writer {
    sqlite3 *db;
    const char *catalog_path, *folder;
    bool in_transaction;
    sqlite3_stmt *find_task, *add_task, *count_task;
    sqlite3_stmt *add_episode, *add_layout, *add_skip, *add_summary, *add_span, *finish_part;
    sqlite3_stmt *add_metadata, *add_object, *add_told;
};

rbc_status rbc__part_index_writer_create(sqlite3 *db, const char *catalog_path, const char *folder,
                                         rbc__part_index_writer **out, rbc_error *err) {
    rbc__part_index_writer *writer = calloc(1, sizeof *writer);
    *out = writer;
    if (writer == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    }
    writer->db = db;
    writer->catalog_path = catalog_path;
    writer->folder = folder;
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } statements[] = {
        {&writer->find_task, "SELECT id FROM tasks WHERE text = ?"},
        {&writer->add_task, "INSERT INTO tasks (text, episodes) VALUES (?, 0)"},
        {&writer->count_task, "UPDATE tasks SET episodes = episodes + 1 WHERE id = ?"},
        {&writer->add_episode, "INSERT INTO episodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)"},
        {&writer->add_layout, "INSERT INTO layouts VALUES (?, ?)"},
        {&writer->add_skip, "INSERT INTO skipped (part, record, message) VALUES (?, ?, ?)"},
        {&writer->add_summary, "INSERT INTO summaries VALUES (?, ?)"},
        {&writer->add_span, "INSERT INTO spans VALUES (?, ?, ?)"},
        {&writer->add_metadata, "INSERT INTO metadata VALUES (?, ?)"},
        {&writer->add_object, "INSERT INTO objects VALUES (?, ?, ?, ?)"},
        {&writer->add_told, "INSERT INTO told VALUES (?, ?)"},
        {&writer->finish_part,
         "UPDATE parts SET indexed = 1, records = ?, episodes = ?, steps = ?,"
         " column_bytes = ?, column_digest = ?, digest = ?, unpacked = ? WHERE id = ?"},
    };
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; ++i) {
        const rbc_status status =
            rbc__statement_prepare(db, statements[i].sql, statements[i].statement, err);
        if (status != RBC_OK) {
            rbc__part_index_writer_destroy(out);
            return status;
        }
    }
    return RBC_OK;
}

void rbc__part_index_writer_destroy(rbc__part_index_writer **writer) {
    if (*writer == NULL) {
        return;
    }
    sqlite3_finalize((*writer)->find_task);
    sqlite3_finalize((*writer)->add_task);
    sqlite3_finalize((*writer)->count_task);
    sqlite3_finalize((*writer)->add_episode);
    sqlite3_finalize((*writer)->add_layout);
    sqlite3_finalize((*writer)->add_skip);
    sqlite3_finalize((*writer)->add_summary);
    sqlite3_finalize((*writer)->add_span);
    sqlite3_finalize((*writer)->add_metadata);
    sqlite3_finalize((*writer)->add_object);
    sqlite3_finalize((*writer)->add_told);
    sqlite3_finalize((*writer)->finish_part);
    free(*writer);
    *writer = NULL;
}

/* Id of the task, made where it is new; its count goes up by one. */
static rbc_status write_task(rbc__part_index_writer *writer, const char *text, int64_t *id,
                             rbc_error *err) {
    sqlite3_bind_text(writer->find_task, 1, text, -1, SQLITE_STATIC);
    bool row;
    const rbc_status found = rbc__statement_step(writer->find_task, &row, err);
    *id = row ? sqlite3_column_int64(writer->find_task, 0) : 0;
    sqlite3_reset(writer->find_task);
    RBC__TRY(found);
    if (!row) {
        sqlite3_bind_text(writer->add_task, 1, text, -1, SQLITE_STATIC);
        RBC__TRY(rbc__statement_run(writer->add_task, err));
        *id = sqlite3_last_insert_rowid(writer->db);
    }
    sqlite3_bind_int64(writer->count_task, 1, *id);
    return rbc__statement_run(writer->count_task, err);
}

static rbc_status write_episode(rbc__part_index_writer *writer, const rbc__part_index *index,
                                int64_t key, const rbc__part_index_episode *episode,
                                rbc_error *err) {
    const rbc__episode_entry *entry = &episode->entry;
    const char *task = (const char *)index->bytes + episode->task_at;
    sqlite3_stmt *add = writer->add_episode;
    if (task[0] != '\0') {
        int64_t task_id;
        RBC__TRY(write_task(writer, task, &task_id, err));
        sqlite3_bind_int64(add, 8, task_id);
    }
    if (entry->end_ns >= entry->start_ns) {
        sqlite3_bind_int64(add, 6, entry->start_ns);
        sqlite3_bind_int64(add, 7, entry->end_ns);
    }
    sqlite3_bind_int64(add, 1, key);
    sqlite3_bind_int64(add, 2, entry->record);
    sqlite3_bind_int64(add, 3, entry->offset);
    sqlite3_bind_int64(add, 4, entry->bytes);
    sqlite3_bind_int64(add, 5, entry->num_steps);
    RBC__TRY(rbc__statement_run(add, err));
    sqlite3_bind_int64(writer->add_layout, 1, key);
    sqlite3_bind_blob64(writer->add_layout, 2, index->bytes + episode->layout_at,
                        entry->layout_bytes, SQLITE_STATIC);
    return rbc__statement_run(writer->add_layout, err);
}

static rbc__summary_entry summary_of(const rbc__part_index_episode *episode) {
    const rbc__episode_entry *entry = &episode->entry;
    const bool stamped = entry->end_ns >= entry->start_ns;
    return (rbc__summary_entry){
        .num_steps = entry->num_steps,
        .start_ns = stamped ? entry->start_ns : 0,
        .end_ns = stamped ? entry->end_ns : -1,
    };
}

static rbc__stamp_span span_of(const rbc__part_index *index, int64_t episode, int32_t number) {
    rbc__stamp_span span;
    memcpy(&span, index->bytes + index->episodes[episode].spans_at + (size_t)number * sizeof span,
           sizeof span);
    return span;
}

/* Packs what is said of each episode, of the episode itself (span -1) or of one of its spans. */
static size_t pack(const rbc__part_index *index, int32_t span, uint8_t *data) {
    size_t bytes = 0;
    int64_t previous_start_ns = 0;
    for (int64_t i = 0; i < index->num_episodes; ++i) {
        rbc__summary_entry entry;
        if (span < 0) {
            entry = summary_of(&index->episodes[i]);
        } else {
            const rbc__stamp_span found = span_of(index, i, span);
            entry = (rbc__summary_entry){found.num_samples, found.first_ns, found.last_ns};
        }
        bytes += rbc__summary_put(data + bytes, &entry, previous_start_ns);
        previous_start_ns = entry.start_ns;
    }
    return bytes;
}

static rbc_status write_summaries(rbc__part_index_writer *writer, int64_t part_id,
                                  const rbc__part_index *index, rbc_error *err) {
    uint8_t *data = malloc((size_t)index->num_episodes * RBC__SUMMARY_MAX_BYTES + 1);
    if (data == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    }
    sqlite3_bind_int64(writer->add_summary, 1, part_id);
    sqlite3_bind_blob64(writer->add_summary, 2, data, pack(index, -1, data), SQLITE_STATIC);
    rbc_status status = rbc__statement_run(writer->add_summary, err);
    const int32_t num_spans = index->num_episodes > 0 ? index->episodes[0].entry.num_spans : 0;
    for (int32_t i = 0; i < num_spans && status == RBC_OK; ++i) {
        sqlite3_bind_int64(writer->add_span, 1, part_id);
        sqlite3_bind_int64(writer->add_span, 2, span_of(index, 0, i).times);
        sqlite3_bind_blob64(writer->add_span, 3, data, pack(index, i, data), SQLITE_STATIC);
        status = rbc__statement_run(writer->add_span, err);
    }
    free(data);
    return status;
}

/* Whether no episode of the sixty-four that `first` is of has any metadata: then there is
 * no group, and where one has some there are groups of all. */
static bool is_silent(const rbc__part_index *index, int64_t first) {
    int64_t i = first - first % RBC__METADATA_GROUP;
    const int64_t last = i + RBC__METADATA_GROUP;
    while (i < index->num_episodes && i < last && !index->episodes[i].has_metadata) {
        ++i;
    }
    return i == last || i == index->num_episodes;
}

static rbc_status write_metadata(rbc__part_index_writer *writer, int64_t part_id,
                                 const rbc__part_index *index, rbc_error *err) {
    rbc__bytes group = {0};
    rbc__bytes packed = {0};
    rbc_status status = RBC_OK;
    int64_t next = 0;
    while (next < index->num_episodes && status == RBC_OK) {
        const int64_t first = next;
        group.size = packed.size = 0;
        do {
            const rbc__part_index_episode *episode = &index->episodes[next++];
            rbc__metadata_put(&group, episode->has_metadata
                                          ? (const char *)index->bytes + episode->metadata_at
                                          : NULL);
        } while (next < index->num_episodes && next % RBC__METADATA_GROUP != 0 &&
                 group.size < RBC__METADATA_BYTES);
        if (is_silent(index, first)) {
            continue;
        }
        status = rbc__metadata_pack(&group, &packed, err);
        if (status == RBC_OK) {
            sqlite3_bind_int64(writer->add_metadata, 1, rbc__episode_key(part_id, first));
            sqlite3_bind_blob64(writer->add_metadata, 2, packed.data, packed.size, SQLITE_STATIC);
            status = rbc__statement_run(writer->add_metadata, err);
        }
    }
    rbc__bytes_free(&group);
    rbc__bytes_free(&packed);
    return status;
}

static rbc_status write_object(rbc__part_index_writer *writer, int64_t part_id, int32_t kind,
                               uint32_t number, const uint8_t *data, size_t bytes, rbc_error *err) {
    sqlite3_bind_int64(writer->add_object, 1, part_id);
    sqlite3_bind_int64(writer->add_object, 2, kind);
    sqlite3_bind_int64(writer->add_object, 3, number);
    sqlite3_bind_blob64(writer->add_object, 4, data, bytes, SQLITE_STATIC);
    return rbc__statement_run(writer->add_object, err);
}

static rbc_status write_objects(rbc__part_index_writer *writer, int64_t part_id,
                                const rbc__part_index *index, rbc_error *err) {
    if (index->blobs.size > 0) {
        RBC__TRY(write_object(writer, part_id, RBC__IN_BLOB, 0, index->blobs.data,
                              index->blobs.size, err));
    }
    for (size_t at = 0; at < index->objects.size;) {
        rbc__part_index_object object;
        memcpy(&object, index->objects.data + at, sizeof object);
        at += sizeof object;
        RBC__TRY(write_object(writer, part_id, object.kind, object.number, index->objects.data + at,
                              object.bytes, err));
        at += object.bytes;
    }
    return RBC_OK;
}

static rbc_status write_all(rbc__part_index_writer *writer, int64_t part_id,
                            const rbc__part_index *index, rbc_error *err) {
    int64_t steps = 0;
    for (int64_t i = 0; i < index->num_episodes; ++i) {
        if (!rbc__add_size(steps, index->episodes[i].entry.num_steps, &steps)) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "part %lld has more than 2^63 steps",
                             (long long)part_id);
        }
        RBC__TRY(
            write_episode(writer, index, rbc__episode_key(part_id, i), &index->episodes[i], err));
    }
    for (int64_t i = 0; i < index->num_skips; ++i) {
        sqlite3_bind_int64(writer->add_skip, 1, part_id);
        sqlite3_bind_int64(writer->add_skip, 2, index->skips[i].record);
        sqlite3_bind_text(writer->add_skip, 3,
                          (const char *)index->bytes + index->skips[i].message_at, -1,
                          SQLITE_STATIC);
        RBC__TRY(rbc__statement_run(writer->add_skip, err));
    }
    RBC__TRY(write_metadata(writer, part_id, index, err));
    RBC__TRY(write_objects(writer, part_id, index, err));
    RBC__TRY(write_summaries(writer, part_id, index, err));
    if (index->told.size > 0) {
        sqlite3_bind_int64(writer->add_told, 1, part_id);
        sqlite3_bind_text64(writer->add_told, 2, (const char *)index->told.data, index->told.size,
                            SQLITE_STATIC, SQLITE_UTF8);
        RBC__TRY(rbc__statement_run(writer->add_told, err));
    }
    rbc__column_file column;
    RBC__TRY(
        rbc__columns_write(writer->catalog_path, writer->folder, &index->column, &column, err));
    sqlite3_bind_int64(writer->finish_part, 1, index->num_episodes + index->num_skips);
    sqlite3_bind_int64(writer->finish_part, 2, index->num_episodes);
    sqlite3_bind_int64(writer->finish_part, 3, steps);
    sqlite3_bind_int64(writer->finish_part, 4, column.bytes);
    sqlite3_bind_int64(writer->finish_part, 5, column.digest);
    sqlite3_bind_int64(writer->finish_part, 6, index->digest);
    sqlite3_bind_text(writer->finish_part, 7, index->unpacked != NULL ? index->unpacked : "", -1,
                      SQLITE_STATIC);
    sqlite3_bind_int64(writer->finish_part, 8, part_id);
    return rbc__statement_run(writer->finish_part, err);
}

static rbc_status settle(rbc__part_index_writer *writer, rbc_status status) {
    if (status != RBC_OK) {
        sqlite3_exec(writer->db, "ROLLBACK", NULL, NULL, NULL);
        writer->in_transaction = false;
    }
    return status;
}

rbc_status rbc__part_index_write(rbc__part_index_writer *writer, int64_t part_id,
                                 const rbc__part_index *index, rbc_error *err) {
    if (!writer->in_transaction) {
        RBC__TRY(rbc__database_exec(writer->db, "BEGIN IMMEDIATE", "cannot be written", err));
        writer->in_transaction = true;
    }
    return settle(writer, write_all(writer, part_id, index, err));
}

rbc_status rbc__part_index_writer_commit(rbc__part_index_writer *writer, rbc_error *err) {
    if (!writer->in_transaction) {
        return RBC_OK;
    }
    writer->in_transaction = false;
    return settle(writer, rbc__database_exec(writer->db, "COMMIT", "cannot be written", err));
}
