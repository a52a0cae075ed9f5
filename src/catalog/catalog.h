/* The SQLite file that says which episodes a dataset has and where their samples lie.
 * Interface of src/catalog. */
#ifndef RBC_CATALOG_CATALOG_H
#define RBC_CATALOG_CATALOG_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "catalog/watch.h"
#include "formats/format.h"
#include "io/source.h"

struct sqlite3;

/* What the catalog says of one part; the same index as in the schema's parts. */
typedef struct rbc__catalog_part {
    int64_t id;                  /* its row, and the upper half of its episodes' keys */
    int64_t bytes;               /* size; 0 where there is no such file */
    rbc__file_identity identity; /* as it was found when the catalog was opened */
    char *unpacked;              /* where it lies unpacked; NULL: it is not packed as a whole */
    rbc__file_identity unpacked_identity;
    int64_t first_id; /* of its first episode */
    int64_t num_episodes;
    int64_t num_steps;
    int64_t column_bytes, column_digest; /* of its column file; 0: it has none */
} rbc__catalog_part;

/* Constant after open; episodes are numbered in the order of the files. */
typedef struct rbc__catalog {
    char *path;
    int fd; /* its file, whatever lies at the path by now: made anew for data that came since, say */
    char *passed_over; /* why the catalog in the dataset's folder was not used; NULL: it was, or
                          there is none */
    rbc__catalog_part *parts;
    int64_t num_parts;
    int64_t num_episodes, num_steps, num_skipped, num_tasks, num_told;
    int64_t num_bytes;             /* of the parts that are files */
    int64_t num_files, file_bytes; /* of those and the files that parts point to */
} rbc__catalog;

/* Finds the catalog of the dataset at `root`, or in its `file` (NULL: it is the folder), brings it up to date where files are new or changed,
 * and loads what is known of the files. Looks at every file's size and mtime and at no episode.
 *
 * A catalog may be anybody's: it is read only where its header and its schema are, to the letter,
 * this library's, and only what has our header is ever replaced. Without `params->catalog_path` it
 * is the one in the dataset's folder, and where that is neither up to date nor can be written, or
 * is not ours, damaged or of a later version, the one in the user's cache (catalog/location.h),
 * where what is damaged is made anew. One given by path that is not ours, damaged or of a later
 * version is FORMAT; that of another dataset is INVALID_ARGUMENT. With `params->rebuild` these too
 * are made anew, what is not ours excepted. A catalog of an earlier version or of other streams
 * always is. Another process that is indexing is waited for.
 *
 * A catalog is made in the folder "<path>.partial" (catalog/partial.h), which a call that is cut
 * off leaves for the next one to go on with; when it is complete its content is put to "<path>" in
 * one step. What is found there is whole and never written again, so that it is read without locks,
 * and whoever has the old one open keeps it. With on_error RAISE a catalog that was made skipping
 * damaged records is FORMAT as well. */
rbc_status rbc__catalog_open(const rbc__format *ops, rbc__reader *reader, const char *root,
                             const char *file, const rbc_open_params *params, rbc__catalog **out,
                             rbc_error *err);

/* What the first part of the dataset in the folder `root`, or in its `file`, told the catalog that
 * rbc__catalog_open() would look at first and that is there, of this version and of the format;
 * malloc'ed. NULL where there is none, or it cannot be read, or the part's file has changed. */
rbc_status rbc__catalog_told(const rbc__format *ops, const char *root, const char *file,
                             const rbc_open_params *params, char **told, rbc_error *err);

void rbc__catalog_close(rbc__catalog **catalog);

/* A connection for reading, for one thread at a time. `watch` (NULL allowed) outlives it. */
rbc_status rbc__catalog_connect(const rbc__catalog *catalog, rbc__watch *watch,
                                struct sqlite3 **out, rbc_error *err);

/* Index of the file that has episode `id`, which must exist. */
int64_t rbc__catalog_part_of(const rbc__catalog *catalog, int64_t id);
/* Its key in the tables, rbc__episode_key(). */
int64_t rbc__catalog_key_of(const rbc__catalog *catalog, int64_t id);

/* Steps and stamps of all episodes, as in rbc__episode_entry, into arrays of num_episodes. */
rbc_status rbc__catalog_load_steps(const rbc__catalog *catalog, int64_t *steps, int64_t *start_ns,
                                   int64_t *end_ns, rbc_error *err);

/* Samples, first and last stamp in stream `times` of all episodes, likewise; 0, -1: none. */
rbc_status rbc__catalog_load_spans(const rbc__catalog *catalog, int32_t times, int64_t *num_samples,
                                   int64_t *first_ns, int64_t *last_ns, rbc_error *err);

/* Sets marks[id] to 1 for every episode for which the SQL expression `where` holds; `marks` has
 * num_episodes bytes. INVALID_ARGUMENT with SQLite's words when it is not one expression over the
 * columns of the view `episode` (catalog/tables.h) and metadata.KEY, or no episode has a KEY that was
 * looked at; CANCELLED when `watch` says so. */
rbc_status rbc__catalog_where(const rbc__catalog *catalog, const char *where, rbc__watch *watch,
                              uint8_t *marks, rbc_error *err);

/* One row of `episodes`. `entry.layout` is borrowed until the next call on the same cursor;
 * `entry.task` is "", see rbc__cursor_task(). */
typedef struct rbc__episode_row {
    int64_t id;
    int64_t part; /* index into the schema's parts */
    int64_t task; /* -1: none */
    rbc__episode_entry entry;
} rbc__episode_row;

/* A connection for looking episodes up by id. A dataset has a few, which all threads share: take
 * one for as long as its answers are used, with the dataset's lock not held, and give it back.
 * Waits where all are taken. After fork() the child's first call opens a connection of its own. */
typedef struct rbc__cursor rbc__cursor;
rbc_status rbc__cursor_take(rbc_dataset *dataset, rbc__cursor **out, rbc_error *err);
/* Sets it to NULL; NULL is allowed. */
void rbc__cursor_give(rbc__cursor **cursor);
/* For the dataset that has it. */
void rbc__cursor_close(rbc__cursor **cursor);

/* NOT_FOUND when there is no such episode. */
rbc_status rbc__cursor_episode(rbc__cursor *cursor, int64_t id, rbc__episode_row *out,
                               rbc_error *err);
/* The metadata of an episode, a JSON object; malloc'ed. */
rbc_status rbc__cursor_metadata(rbc__cursor *cursor, int64_t id, char **json, rbc_error *err);
/* The names of a part's blobs, encoded; malloc'ed, none: NULL and 0. */
rbc_status rbc__cursor_blobs(rbc__cursor *cursor, int64_t part, uint8_t **data, size_t *bytes,
                             rbc_error *err);
/* An array or track of a part, encoded; malloc'ed. FORMAT when there is none. */
rbc_status rbc__cursor_object(rbc__cursor *cursor, int64_t part, rbc__container kind,
                              uint32_t number, uint8_t **data, size_t *bytes, rbc_error *err);
/* Text of a task; borrowed until the next call on the same cursor. "" for -1. */
rbc_status rbc__cursor_task(rbc__cursor *cursor, int64_t task, const char **text, rbc_error *err);

#endif
