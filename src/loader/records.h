/* The episodes that one worker has at hand: catalog row, parsed record, stamps and small numeric
 * streams, least recently used out first, bounded in number and bytes.
 *
 * Used by one thread at a time, without locks. */
#ifndef RBC_LOADER_RECORDS_H
#define RBC_LOADER_RECORDS_H

#include <robocache/robocache.h>

#include "catalog/catalog.h"
#include "catalog/dataset.h"
#include "io/reader.h"
#include "loader/batch_spec.h"

/* What is at hand of one stream of the spec. */
typedef struct rbc__held_stream {
    bool is_counted;
    int64_t num_samples; /* steps, in a cloud */
    int64_t *times;      /* [num_samples], of a stream with stamps; non-decreasing */
    int64_t *row_begins; /* [num_steps + 1], of a cloud: first point of each step */
    uint8_t *values;     /* all of a numeric stream, or NULL: read what is needed */
} rbc__held_stream;

typedef struct rbc__held_record rbc__held_record;
struct rbc__held_record {
    int64_t episode; /* position in the selection */
    int64_t id;
    int64_t file;
    int64_t num_steps;
    char *task;
    uint64_t task_bytes;
    rbc__source *source;
    rbc__parsed_episode *parsed;
    int64_t bytes;                   /* held in memory */
    rbc__held_record *newer, *older; /* by last use */
    rbc__held_record *chain;         /* in the same bucket */
    rbc__held_stream streams[];      /* [spec->num_used] */
};

typedef struct rbc__records rbc__records;

/* `max_records` at least 1. Borrows the spec and the selection. */
rbc_status rbc__records_create(const rbc__batch_spec *spec, const rbc_selection *selection,
                               int64_t max_records, int64_t max_bytes, rbc__records **out,
                               rbc_error *err);
void rbc__records_destroy(rbc__records **handle);

/* The record of the episode at `position` of the selection, from memory or opened. Borrowed until
 * the next call. Errors of the catalog, the file and the reader. */
rbc_status rbc__records_get(rbc__records *records, int64_t position, rbc__held_record **out,
                            rbc_error *err);

/* Fills in counts, stamps and row starts of stream `stream_at` of the spec, and its values where
 * the stream is small. FORMAT when its stamps decrease or are not as many as its samples. */
rbc_status rbc__records_prepare(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                                rbc_error *err);

/* Points `out` at samples [first, first + count) of a numeric stream, where they are held or after
 * a read into scratch; valid until the next call. */
rbc_status rbc__records_values(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                               int64_t first, int64_t count, const uint8_t **out, rbc_error *err);
/* Copies them to `dst`. */
rbc_status rbc__records_read(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                             int64_t first, int64_t count, void *dst, rbc_error *err);

/* Where a run of bytes lies in a record's file. */
typedef struct rbc__span {
    uint64_t offset;
    uint64_t bytes; /* 0: there is none */
} rbc__span;

/* The bytes of an image or text sample. */
rbc_status rbc__records_locate(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                               int64_t sample, rbc__span *out, rbc_error *err);
/* Points `out` at the bytes of `span`, NULL where there are none; valid until the next call. */
rbc_status rbc__records_view(rbc__records *records, rbc__held_record *record, const rbc__span *span,
                             const uint8_t **out, rbc_error *err);

/* Id of the episode at `position` of the selection. */
int64_t rbc__records_id(const rbc__records *records, int64_t position);

/* Path of the record's file, for messages. */
const char *rbc__records_path(const rbc__held_record *record);

typedef struct rbc__records_stats {
    int64_t bytes_read; /* of samples, as they lie in the files or in memory */
    int64_t read_ns;
} rbc__records_stats;

/* Counted since the last call. */
rbc__records_stats rbc__records_take_stats(rbc__records *records);

#endif
