/* What indexing one data file found, kept until its turn to be written into the catalog.
 * Shared within src/catalog. */
#ifndef RBC_CATALOG_FILE_INDEX_H
#define RBC_CATALOG_FILE_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#include "catalog/database.h"
#include "formats/format.h"

/* Offsets are into the index's bytes. */
typedef struct rbc__file_index_episode {
    rbc__episode_entry entry; /* task, layout and spans not set */
    size_t task_at;
    size_t layout_at;
    size_t spans_at;
} rbc__file_index_episode;

typedef struct rbc__file_index_skip {
    int64_t record; /* -1: the rest of the file */
    size_t message_at;
} rbc__file_index_skip;

/* Zero-initialise; release with rbc__file_index_free(). */
typedef struct rbc__file_index {
    rbc__file_index_episode *episodes;
    int64_t num_episodes, episodes_room;
    rbc__file_index_skip *skips;
    int64_t num_skips, skips_room;
    uint8_t *bytes; /* tasks, layouts, spans and messages */
    size_t num_bytes, bytes_room;
} rbc__file_index;

/* Copies what the entry holds; all entries of an index have spans of the same streams. FORMAT for
 * values that no catalog can hold. */
rbc_status rbc__file_index_add_episode(rbc__file_index *index, const rbc__episode_entry *entry,
                                       rbc_error *err);
rbc_status rbc__file_index_add_skip(rbc__file_index *index, int64_t record, const char *message,
                                    rbc_error *err);
void rbc__file_index_free(rbc__file_index *index);

/* Writes indices of files; one connection's prepared statements. */
typedef struct rbc__file_index_writer rbc__file_index_writer;
rbc_status rbc__file_index_writer_create(sqlite3 *db, rbc__file_index_writer **out, rbc_error *err);
void rbc__file_index_writer_destroy(rbc__file_index_writer **writer);

/* Writes everything of file `file_id` and marks it indexed. Begins a transaction where none is
 * open; on failure all since the last commit is undone. */
rbc_status rbc__file_index_write(rbc__file_index_writer *writer, int64_t file_id,
                                 const rbc__file_index *index, rbc_error *err);

/* Makes durable what was written; nothing where nothing was. */
rbc_status rbc__file_index_writer_commit(rbc__file_index_writer *writer, rbc_error *err);

#endif
