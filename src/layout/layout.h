/* Where the samples of an episode lie, in few bytes and one encoding for all formats.
 * Interface of src/layout.
 *
 * A layout has a list of runs for each id: ids 0 to num_streams - 1 are the streams, id num_streams
 * + i has the row lengths of stream i where that is ragged, an int64 a step. A run is samples that
 * follow each other in the stream and lie alike, in one container:
 *
 *   blob     a file of the episode's part, by its number there
 *   block    a byte range of a blob that is packed; offsets are into what it holds unpacked
 *   array    a chunked array of the part: rows of it
 *   track    a video track of the part: frames of it
 *   layout   the bytes stand in the layout itself
 *
 * in one form:
 *
 *   EVEN     samples of one size, `stride` apart
 *   ENDS     one behind the other: a table says where each ends
 *   FRAMED   the same, with a tag of one byte and its size as a varint before each
 *   SPANS    anyhow: a table says offset and size of each
 *
 * so that any sample is found by arithmetic on the layout alone. Each sample may be packed by itself
 * besides (`packing`), which makes it a block of its own.
 *
 * Encoded, all numbers varints, those in brackets only where the flags say so:
 *
 *   u8 version, steps, [number of packings, of blocks], number of runs
 *   a packing: number of steps, of each its kind and parameter
 *   a block:   blob, u8 packing, offset (signed, from the end of the block before), packed bytes,
 *              unpacked bytes
 *   a run:     id, u8 flags, [u8 more flags], [container's number, signed, from that of the run
 *              before], [count, else: one a step], offset (signed, from the end of the run before
 *              where that is in the same container, else from the episode's own offset in its first
 *              blob, else from 0), [encoding, dtype], [packing], [sample bytes, else the stream's],
 *              [bytes between samples, else 0], [width and table], [the bytes themselves] */
#ifndef RBC_LAYOUT_LAYOUT_H
#define RBC_LAYOUT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "io/bytes.h"
#include "layout/encoding.h"
#include "packing/packing.h"

/* A block is unpacked whole: what is larger is no block. */
#define RBC__LAYOUT_MAX_BLOCK_BYTES (UINT64_C(1) << 34)

typedef enum rbc__container {
    RBC__IN_BLOB = 0,
    RBC__IN_BLOCK = 1,
    RBC__IN_ARRAY = 2,
    RBC__IN_TRACK = 3,
    RBC__IN_LAYOUT = 4,
    RBC__NUM_CONTAINERS
} rbc__container;

typedef enum rbc__form {
    RBC__FORM_EVEN = 0,
    RBC__FORM_ENDS = 1,
    RBC__FORM_FRAMED = 2,
    RBC__FORM_SPANS = 3,
    RBC__NUM_FORMS
} rbc__form;

typedef struct rbc__run {
    uint32_t id;
    uint8_t container;     /* rbc__container */
    uint8_t form;          /* rbc__form; EVEN in arrays, tracks and the layout */
    uint8_t width;         /* of a number of the table in bytes, 1 to 8; 0: EVEN */
    uint8_t encoding;      /* rbc__encoding */
    uint8_t dtype;         /* rbc__dtype as stored, for PLAIN, SWAPPED and PIXELS */
    uint8_t packing;       /* 1 + number in the layout's packings; 0: samples are not packed */
    uint32_t number;       /* of the blob, array or track in the part, of the block in the layout */
    uint64_t first, count; /* samples of the stream */
    uint64_t offset;       /* in the container; arrays, tracks: the first row or frame */
    uint64_t bytes;        /* from `offset` to the end of the last sample */
    uint64_t sample_bytes, stride; /* EVEN */
    const uint8_t *table;          /* not EVEN; in the layout: the bytes */
} rbc__run;

typedef struct rbc__block {
    uint32_t blob;
    uint8_t packing; /* number in the layout's packings */
    uint64_t offset, packed_bytes, unpacked_bytes;
} rbc__block;

/* Constant; may be shared by threads. */
typedef struct rbc__layout {
    uint64_t num_steps;
    uint32_t num_streams;
    uint32_t num_runs, num_blocks, num_packings;
    const rbc__run *runs;      /* [num_runs], those of an id together, in the order of samples */
    const uint32_t *first_run; /* [2 * num_streams + 1], by id */
    const rbc__block *blocks;
    const rbc__packing *packings;
    size_t bytes; /* of memory that it takes */
} rbc__layout;

/* What is the same of a stream in all layouts of a dataset. */
typedef struct rbc__layout_stream {
    uint64_t sample_bytes; /* of one sample as stored where all are alike, else 0 */
    uint8_t encoding;      /* rbc__encoding */
    uint8_t dtype;         /* rbc__dtype as stored */
} rbc__layout_stream;

/* ---- writing ---- */

/* Builds one layout after another. Zero-initialise; release with rbc__layout_writer_free(). */
typedef struct rbc__layout_writer {
    const rbc__layout_stream *streams; /* [num_streams], set by the caller */
    uint32_t num_streams;
    uint64_t num_steps, origin, end;
    uint8_t container;
    uint32_t number;
    uint64_t block_end;
    uint32_t num_packings, num_blocks, num_runs;
    rbc__bytes packings, blocks, runs;
} rbc__layout_writer;

/* `origin`: the episode's own offset in its first blob, or 0. */
void rbc__layout_begin(rbc__layout_writer *writer, uint64_t num_steps, uint64_t origin);
/* Its number. */
uint8_t rbc__layout_add_packing(rbc__layout_writer *writer, const rbc__packing *packing);
uint32_t rbc__layout_add_block(rbc__layout_writer *writer, const rbc__block *block);
/* `first` and `bytes` need not be set, nor `stride` where it is `sample_bytes`: 0. A table has at
 * least one sample. Runs of a stream are added in the order of its samples. */
void rbc__layout_add_run(rbc__layout_writer *writer, const rbc__run *run);
/* Appends the layout to `out`. */
rbc_status rbc__layout_end(const rbc__layout_writer *writer, rbc__bytes *out, rbc_error *err);
void rbc__layout_writer_free(rbc__layout_writer *writer);

/* The width that a number up to `value` needs in a table. */
unsigned rbc__layout_width(uint64_t value);

/* ---- reading ---- */

/* Parses and checks a layout; `out` holds a copy and is released with free(). `name` begins
 * messages. FORMAT; OUT_OF_MEMORY. */
rbc_status rbc__layout_parse(const rbc__layout_stream *streams, uint32_t num_streams,
                             const uint8_t *encoded, size_t encoded_bytes, uint64_t origin,
                             const char *name, rbc__layout **out, rbc_error *err);

uint64_t rbc__layout_num_samples(const rbc__layout *layout, uint32_t id);

/* The run that has `sample`, which is below the number of samples. */
const rbc__run *rbc__layout_find(const rbc__layout *layout, uint32_t id, uint64_t sample);

/* Where the sample with number `sample` in the stream lies in the container of `run`, which has it.
 * False where the table is damaged. */
bool rbc__run_sample(const rbc__run *run, uint64_t sample, uint64_t *offset, uint64_t *bytes);

#endif
