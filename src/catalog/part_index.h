/* What indexing one part found, kept until its turn to be written into the catalog.
 * Shared within src/catalog. */
#ifndef RBC_CATALOG_PART_INDEX_H
#define RBC_CATALOG_PART_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#include "catalog/database.h"
#include "formats/format.h"
#include "io/bytes.h"

/* Offsets are into the index's bytes. */
typedef struct rbc__part_index_episode {
    rbc__episode_entry entry; /* task, layout, metadata and spans not set */
    bool has_metadata;
    size_t task_at;
    size_t metadata_at;
    size_t layout_at;
    size_t spans_at;
} rbc__part_index_episode;

typedef struct rbc__part_index_skip {
    int64_t record; /* -1: the rest of the part */
    size_t message_at;
} rbc__part_index_skip;

/* Zero-initialise; release with rbc__part_index_free(). */
typedef struct rbc__part_index {
    rbc__part_index_episode *episodes;
    int64_t num_episodes, episodes_room;
    rbc__part_index_skip *skips;
    int64_t num_skips, skips_room;
    uint8_t *bytes; /* tasks, metadata, layouts, spans and messages */
    size_t num_bytes, bytes_room;
    rbc__bytes blobs;   /* encoded groups of names */
    rbc__bytes objects; /* of rbc__part_index_object, each with its bytes behind it */
    uint32_t num_arrays, num_tracks, num_strings;
    rbc__bytes column;
    rbc__bytes told; /* JSON, none: empty */
    int64_t digest;  /* of the part's file: catalog/identity.h */
    char *unpacked;  /* where it lies unpacked, NULL: it is not compressed as a whole */
} rbc__part_index;

typedef struct rbc__part_index_object {
    int32_t kind; /* rbc__container */
    uint32_t number;
    size_t bytes;
} rbc__part_index_object;

/* Copies what the entry holds; all entries of an index have spans of the same streams. FORMAT for
 * values that no catalog can hold. */
rbc_status rbc__part_index_add_episode(rbc__part_index *index, const rbc__episode_entry *entry,
                                       rbc_error *err);
rbc_status rbc__part_index_add_skip(rbc__part_index *index, int64_t record, const char *message,
                                    rbc_error *err);
/* As in rbc__index_sink. */
rbc_status rbc__part_index_add_blobs(rbc__part_index *index, const rbc__blob_group *group,
                                     rbc_error *err);
rbc_status rbc__part_index_add_object(rbc__part_index *index, rbc__container kind,
                                      const uint8_t *data, size_t bytes, rbc_error *err);
rbc_status rbc__part_index_add_column(rbc__part_index *index, const void *data, size_t bytes,
                                      uint64_t *offset, rbc_error *err);
rbc_status rbc__part_index_set_told(rbc__part_index *index, const char *json, rbc_error *err);
void rbc__part_index_free(rbc__part_index *index);

/* Writes indices of parts; one connection's prepared statements. */
typedef struct rbc__part_index_writer rbc__part_index_writer;
/* `catalog_path` and `folder` are where column files go (catalog/columns.h); borrowed. */
rbc_status rbc__part_index_writer_create(sqlite3 *db, const char *catalog_path, const char *folder,
                                         rbc__part_index_writer **out, rbc_error *err);
void rbc__part_index_writer_destroy(rbc__part_index_writer **writer);

/* Writes everything of part `part_id` and marks it indexed. Begins a transaction where none is
 * open; on failure all since the last commit is undone. */
rbc_status rbc__part_index_write(rbc__part_index_writer *writer, int64_t part_id,
                                 const rbc__part_index *index, rbc_error *err);

/* Makes durable what was written; nothing where nothing was. */
rbc_status rbc__part_index_writer_commit(rbc__part_index_writer *writer, rbc_error *err);

#endif
