/* Where the byte strings of a parquet column lie: the values in each page, of pages packed or not.
 * Interface of src/formats.
 *
 * A column is a chunk a row group: pages one behind the other, each a header, levels that say which
 * rows have a value, and the values, all of that packed as a whole (version 1), or the values alone
 * (version 2). Values stand one behind the other, each behind its size (PLAIN), or are numbers of
 * those in the chunk's dictionary page. Everything is a stranger's. */
#ifndef RBC_FORMATS_PARQUET_PAGES_H
#define RBC_FORMATS_PARQUET_PAGES_H

#include <stddef.h>

#include <robocache/robocache.h>

#include "io/bytes.h"
#include "packing/packing.h"

/* The most rows that a chunk may have: what says more is damaged. */
#define RBC__PARQUET_MAX_ROWS (INT64_C(1) << 26)

/* What the footer says of a chunk. */
typedef struct rbc__parquet_chunk {
    int64_t offset, bytes; /* in the file, from the first page's header on */
    int64_t num_rows;      /* one value or none each */
    int32_t
        max_definition;   /* the level of a value that is there; lists (repetition) are not read */
    rbc__packing packing; /* of pages; no step: they lie as they are */
} rbc__parquet_chunk;

/* Bytes of the file that are packed as a whole. */
typedef struct rbc__parquet_page {
    int64_t offset, packed_bytes, unpacked_bytes;
} rbc__parquet_page;

typedef struct rbc__parquet_value {
    int64_t page; /* that it lies in once unpacked; -1: in the file itself, as it is */
    int64_t offset;
    int64_t bytes; /* 0: none is there, or it is empty */
} rbc__parquet_value;

/* Finds the values of the chunk at `data`, which holds its `chunk->bytes`. Appends what it found to
 * `pages` (rbc__parquet_page) and `values` (rbc__parquet_value, one a row). FORMAT: damaged, with
 * the byte in the file; UNSUPPORTED: an encoding that is not read, by its number; OUT_OF_MEMORY. */
rbc_status rbc__parquet_find_values(const rbc__parquet_chunk *chunk, const uint8_t *data,
                                    rbc__bytes *pages, rbc__bytes *values, rbc_error *err);

/* The same of a file. IO besides; messages begin with the path. */
rbc_status rbc__parquet_scan(const char *path, const rbc__parquet_chunk *chunk, rbc__bytes *pages,
                             rbc__bytes *values, rbc_error *err);

#endif
