/* What the sources of a batch writer share. Shared within src/formats. */
#ifndef RBC_FORMATS_BATCH_STATE_H
#define RBC_FORMATS_BATCH_STATE_H

#include "formats/batch.h"

typedef struct rbc__batch_block {
    rbc__block block; /* its packing is one of the part */
    uint64_t episode; /* whose layout has it */
    uint32_t number;  /* there */
} rbc__batch_block;

typedef struct rbc__batch_used_packing {
    rbc__packing packing;
    uint64_t episode; /* as above */
    uint8_t number;
} rbc__batch_used_packing;

typedef struct rbc__batch_array {
    int64_t num_rows, row_bytes;
    uint32_t number;    /* of the object, where it is one */
    bool is_contiguous; /* not packed and in one chunk: its rows are read where they lie */
    uint32_t blob;      /* then */
    int64_t offset;
} rbc__batch_array;

struct rbc__batch_writer {
    const rbc__schema *schema;
    const rbc__index_sink *sink;
    rbc__layout_stream *stored; /* [num_streams] */
    int64_t file_bytes;         /* of blob 0; -1: none */
    int64_t num_blobs;          /* blob 0 left out */
    rbc__bytes blob_sizes;      /* int64 each, -1: not known; fewer than blobs: the rest are not */
    rbc__bytes packings;        /* rbc__batch_used_packing; number 0 is that of no step */
    rbc__bytes blocks;          /* rbc__batch_block */
    rbc__bytes arrays;          /* rbc__batch_array */
    rbc__bytes frames;          /* int64: frames of each track */
    uint32_t num_objects[RBC__NUM_CONTAINERS];
    int64_t num_strings;               /* -1: not set */
    int64_t num_episodes, next_record; /* added so far */

    /* of the layout under way */
    uint64_t episode; /* counts up, never 0 */
    rbc__layout_writer layout;
    bool has_run;
    rbc__run run;        /* may still be added to */
    rbc__bytes table;    /* scratch: of a run */
    rbc__bytes layouts;  /* of the call */
    rbc__bytes entries;  /* of the call: rbc__batch_entry */
    rbc__bytes spans;    /* of the call: rbc__stamp_span */
    rbc__bytes progress; /* of the call: rbc__batch_progress, of each source */
};

/* How far the episodes before have gone in the arrays of a source. */
typedef struct rbc__batch_progress {
    int64_t samples, runs;
} rbc__batch_progress;

/* What the call gives of each stream. */
typedef struct rbc__batch_stream {
    int64_t num_sources, first_source;
    bool is_late; /* a column alone: its runs come last, one behind the other */
    const rbc__batch_row_lengths *row_lengths;
    const rbc__batch_stamps *stamps;
    bool is_times;                      /* of another stream */
    int64_t steps;                      /* rows of the row lengths gone through */
    int64_t samples, first_ns, last_ns; /* of the episode under way */
} rbc__batch_stream;

/* One call of rbc__batch_add_episodes(). */
typedef struct rbc__batch_call {
    rbc__batch_writer *writer;
    const rbc__batch *batch;
    rbc__batch_stream *streams; /* [num_streams] */
    int64_t total_steps;
} rbc__batch_call;

static inline bool rbc__ints_given(const rbc__ints *ints) {
    return ints->data != NULL;
}

static inline int64_t rbc__ints_at(const rbc__ints *ints, int64_t i, int64_t otherwise) {
    return ints->data == NULL ? otherwise : ints->data[ints->length == RBC__INTS_ALL ? 0 : i];
}

/* Room for one element more, zeros; NULL: out of memory, which rbc__bytes_check() says. */
void *rbc__batch_more(rbc__bytes *list, size_t element_bytes);

/* Bytes of blob `number`, INT64_MAX where they are not known. INVALID_ARGUMENT where there is none;
 * `what` begins the message. */
rbc_status rbc__batch_blob_bytes(const rbc__batch_writer *writer, int64_t number, int64_t *bytes,
                                 const char *what, rbc_error *err);
/* Whether a range of a blob, or of a block of `limit` bytes, is one. */
rbc_status rbc__batch_check_range(int64_t offset, int64_t bytes, int64_t limit, const char *what,
                                  rbc_error *err);

/* Numbers in the layout under way. */
rbc_status rbc__batch_layout_packing(rbc__batch_writer *writer, int64_t packing, uint8_t *number,
                                     rbc_error *err);
rbc_status rbc__batch_layout_block(rbc__batch_writer *writer, int64_t block, uint32_t *number,
                                   rbc_error *err);

/* Numbers of the episodes themselves; sums their steps. */
rbc_status rbc__batch_check_episodes(rbc__batch_call *call, rbc_error *err);
/* Finds what the call gives of each stream, and checks that it fits the stream and the episodes. */
rbc_status rbc__batch_check_streams(rbc__batch_call *call, rbc_error *err);
/* Puts the stream, and episode `e` from 0 on, before the message. */
rbc_status rbc__batch_fail_stream(const rbc__batch_call *call, int32_t stream, int64_t e,
                                  rbc_status status, rbc_error *err);

/* How many pieces the arrays of a source tell of; RBC__INTS_ALL: none of them is one. */
int64_t rbc__batch_num_pieces(const rbc__batch_source *source);

/* Adds the runs that a source has in episode `e` of the call, of `num_steps` steps, to the layout
 * under way. `*samples` is how many samples they have. */
rbc_status rbc__batch_add_runs(rbc__batch_writer *writer, const rbc__batch_source *source,
                               rbc__batch_progress *progress, int64_t e, int64_t wanted,
                               int64_t *samples, rbc_error *err);
/* Adds values to the column file and a run of them. */
rbc_status rbc__batch_add_column(rbc__batch_writer *writer, uint32_t id, rbc__dtype dtype,
                                 uint64_t sample_bytes, const void *values, int64_t count,
                                 rbc_error *err);
/* Ends the run under way. */
void rbc__batch_flush(rbc__batch_writer *writer);

/* Bytes of one sample of a column; 0: none, or its shape is not declared. */
uint64_t rbc__batch_sample_bytes(const rbc__stream_schema *stream);

#endif
