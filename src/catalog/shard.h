/* What indexing one data file found, kept until its turn to be written into the catalog. */
#ifndef RBC_CATALOG_SHARD_H
#define RBC_CATALOG_SHARD_H

#include <stdbool.h>
#include <stddef.h>

#include "catalog/database.h"
#include "io/reader.h"

/* Offsets are into the shard's bytes. */
typedef struct rbc__shard_episode {
    rbc__episode_record record; /* task, layout and spans not set */
    size_t task_at;
    size_t layout_at;
    size_t spans_at;
} rbc__shard_episode;

typedef struct rbc__shard_skip {
    int64_t record; /* -1: the rest of the file */
    size_t message_at;
} rbc__shard_skip;

/* Zero-initialise; release with rbc__shard_free(). */
typedef struct rbc__shard {
    rbc__shard_episode *episodes;
    int64_t num_episodes, episodes_room;
    rbc__shard_skip *skips;
    int64_t num_skips, skips_room;
    uint8_t *bytes; /* tasks, layouts, spans and messages */
    size_t num_bytes, bytes_room;
} rbc__shard;

/* Copies what the record holds; all records of a shard have spans of the same streams. FORMAT for
 * values that no catalog can hold. */
rbc_status rbc__shard_add_episode(rbc__shard *shard, const rbc__episode_record *record,
                                  rbc_error *err);
rbc_status rbc__shard_add_skip(rbc__shard *shard, int64_t record, const char *message,
                               rbc_error *err);
void rbc__shard_free(rbc__shard *shard);

/* Writes shards; one connection's prepared statements. */
typedef struct rbc__shard_writer rbc__shard_writer;
rbc_status rbc__shard_writer_create(sqlite3 *db, rbc__shard_writer **out, rbc_error *err);
void rbc__shard_writer_destroy(rbc__shard_writer **writer);

/* Writes everything of file `file_id` and marks it indexed. Begins a transaction where none is
 * open; on failure all since the last commit is undone. */
rbc_status rbc__shard_write(rbc__shard_writer *writer, int64_t file_id, const rbc__shard *shard,
                            rbc_error *err);

/* Makes durable what was written; nothing where nothing was. */
rbc_status rbc__shard_writer_commit(rbc__shard_writer *writer, rbc_error *err);

#endif
