/* Episodes described by arrays, many a call, made into the entries of a sink: how an indexer that is
 * not written in C says where samples lie.
 *
 * A writer is of one part. Blobs, packings, blocks, arrays and tracks are added first and numbered;
 * episodes then point to them by number. Nothing of it is trusted: whatever cannot be is
 * INVALID_ARGUMENT, and names the stream, the episode of the call, what was found and what was
 * wanted. A call that fails has added no episode. Interface of src/formats. */
#ifndef RBC_FORMATS_BATCH_H
#define RBC_FORMATS_BATCH_H

#include "formats/format.h"
#include "layout/array.h"
#include "layout/object.h"

/* The most bytes that a sample of a column may have: what is heavier stays where it lies. */
#define RBC__COLUMN_SAMPLE_BYTES 4096

typedef struct rbc__batch_writer rbc__batch_writer;

/* `schema` and `sink` outlive the writer. `file_bytes`: of the part's own file, -1 where it is none
 * and has no blob 0. */
rbc_status rbc__batch_writer_create(const rbc__schema *schema, int64_t file_bytes,
                                    const rbc__index_sink *sink, rbc__batch_writer **out,
                                    rbc_error *err);
void rbc__batch_writer_destroy(rbc__batch_writer **writer);

/* ---- what episodes point to ---- */

/* `*first`: number of the first blob of the group. */
rbc_status rbc__batch_add_blobs(rbc__batch_writer *writer, const rbc__blob_group *group,
                                int64_t *first, rbc_error *err);

/* `*number`, at least 1: of the packing; 0 stands for none. */
rbc_status rbc__batch_add_packing(rbc__batch_writer *writer, const rbc__packing *packing,
                                  int64_t *number, rbc_error *err);
/* UNSUPPORTED, INVALID_ARGUMENT; what has been added. */
rbc_status rbc__batch_packing(const rbc__batch_writer *writer, int64_t number,
                              const rbc__packing **out, rbc_error *err);

/* One value for all, or one each; data NULL: not given. */
typedef struct rbc__ints {
    const int64_t *data;
    int64_t length; /* RBC__INTS_ALL: data[0] is that of all */
} rbc__ints;

#define RBC__INTS_ALL (-1)

typedef struct rbc__batch_blocks {
    int64_t count;
    rbc__ints blob, offset, packed_bytes, unpacked_bytes;
    int64_t packing;
} rbc__batch_blocks;

/* `*first`: number of the first of them. */
rbc_status rbc__batch_add_blocks(rbc__batch_writer *writer, const rbc__batch_blocks *blocks,
                                 int64_t *first, rbc_error *err);

/* `object` is the array as the catalog keeps it (layout/object.h). */
rbc_status rbc__batch_add_array(rbc__batch_writer *writer, const rbc__array_description *array,
                                const rbc__bytes *object, int64_t *number, rbc_error *err);
/* Of a packet that is `in_block`, `number` is that of a block of the part. The blocks and packings of
 * `track` are found out here. */
rbc_status rbc__batch_add_track(rbc__batch_writer *writer, const rbc__track_description *track,
                                int64_t *number, rbc_error *err);

/* The texts that streams stored as the number of one point to; once. */
rbc_status rbc__batch_set_strings(rbc__batch_writer *writer, const char *const *texts,
                                  int64_t num_texts, rbc_error *err);

/* ---- episodes ---- */

typedef enum rbc__batch_kind {
    RBC__BATCH_ROWS = 0,   /* samples of one size, evenly apart, in a blob or block */
    RBC__BATCH_PIECES = 1, /* a byte range each */
    RBC__BATCH_ARRAY = 2,  /* rows of an array */
    RBC__BATCH_FRAMES = 3, /* frames of a track */
    RBC__BATCH_COLUMN = 4, /* values, copied into the part's column file */
    RBC__BATCH_NUM_KINDS
} rbc__batch_kind;

/* What the episodes have of one stream; E episodes, N samples of all of them, R runs. Those of a
 * stream follow each other, in the order of samples in each episode. */
typedef struct rbc__batch_source {
    int32_t stream;
    rbc__batch_kind kind;
    rbc__ints
        count; /* [E], or of rows and arrays with `episode` [R]: samples; not given: one a step, or,
                         where the stream is ragged, as many as its row lengths say */
    rbc__ints offset; /* rows [E] or [R]; pieces [N]; arrays, frames [E] or [R]: the first row or
                         frame */
    rbc__ints bytes;  /* pieces [N] */
    rbc__ints blob;   /* rows [E] or [R]; pieces [N]; not given: 0 */
    rbc__ints block;  /* likewise, in place of the blob; -1 or not given: in none */
    rbc__ints stride; /* rows [E] or [R]; not given: the size of a sample */
    rbc__ints
        episode;     /* rows, arrays [R], sorted: whose run it is; not given: one run an episode */
    int64_t number;  /* of the array or track */
    int64_t packing; /* pieces: of each by itself */
    bool has_encoding; /* pieces of images: they are stored so, and not as the stream's are */
    uint8_t encoding, stored;
    const void *values; /* columns: [N] samples of rbc__stream_column_dtype(), C order */
    int64_t num_values; /* N */
} rbc__batch_source;

typedef struct rbc__batch_row_lengths {
    int32_t stream;    /* ragged */
    rbc__ints samples; /* [sum of num_steps] of each step */
} rbc__batch_row_lengths;

/* First and last stamp of a stream of stamps, where they are in no column of the call. */
typedef struct rbc__batch_stamps {
    int32_t stream;
    rbc__ints first_ns, last_ns; /* [E] */
} rbc__batch_stamps;

typedef struct rbc__batch {
    int64_t num_episodes;
    rbc__ints num_steps;             /* [E] */
    rbc__ints record, offset, bytes; /* [E]; not given: numbered on, -1, 0 */
    const char *const *tasks;        /* [E]; NULL: none */
    const char *const *metadata;     /* [E], each a JSON object or NULL; NULL: none */
    const rbc__batch_source *sources;
    int64_t num_sources;
    const rbc__batch_row_lengths *row_lengths;
    int64_t num_row_lengths;
    const rbc__batch_stamps *stamps;
    int64_t num_stamps;
} rbc__batch;

rbc_status rbc__batch_add_episodes(rbc__batch_writer *writer, const rbc__batch *batch,
                                   rbc_error *err);

#endif
