/* Arrays: where the chunks of an N-dimensional array lie (an HDF5 dataset, a Zarr array or shard, an
 * .npy file), kept once in the catalog however many episodes have rows of it.
 *
 * Rows are what lies along axis 0. Chunks are cut along all axes and have a number, the last axis
 * going fastest; those at the edges are stored whole, and what is past the edge of the array is
 * passed over. An array that is not chunked is one chunk of its own shape. A chunk that is absent
 * holds the fill value.
 *
 * The rows [first, first + count) touch the chunks [begin, end), all of them (rbc__array_cover). Of
 * each they need a piece (rbc__array_piece): rows of the chunk, which lie together in what the chunk
 * holds unpacked. A chunk that is not packed need not be read but for its piece; and where
 * `is_plain` says so the piece is the rows as they are wanted, which can be read where they go.
 *
 * Encoded: u8 version, u8 number of axes | flags, varint bytes of an element, varint packing, of
 * each axis varint extents of the array and of a chunk, [u8 the axes as stored, outermost first],
 * [fill value], table of chunks (int_table.h): blob, offset, stored bytes (0: absent), skipped
 * steps. About six bytes a chunk, none for chunks of one size that follow each other. The table is
 * read where it lies, and an entry is checked when it is looked up: opening an array of a million
 * chunks to gather fifty looks at no more than those. */
#ifndef RBC_LAYOUT_ARRAY_H
#define RBC_LAYOUT_ARRAY_H

#include "io/bytes.h"
#include "layout/int_table.h"

#define RBC__ARRAY_MAX_DIMS 8

typedef struct rbc__array_chunk {
    uint32_t blob;         /* its number in the part */
    uint32_t skipped;      /* bit i: step i of the packing was left out (HDF5's filter mask) */
    int64_t offset, bytes; /* as stored; bytes 0: absent */
} rbc__array_chunk;

typedef struct rbc__array_description {
    int32_t ndim; /* 1 to RBC__ARRAY_MAX_DIMS */
    int64_t shape[RBC__ARRAY_MAX_DIMS];
    int64_t chunk_shape[RBC__ARRAY_MAX_DIMS]; /* each at least 1 */
    const uint8_t *order;                     /* [ndim] axes as stored in a chunk, outermost first;
                                                 NULL: C order */
    int64_t element_bytes;                    /* at least 1 */
    const void *fill;                         /* [element_bytes]; NULL: zeros */
    uint32_t packing;                         /* number of a packing in the caller's list */
    const rbc__array_chunk *chunks;           /* [num_chunks]; NULL: all absent */
    int64_t num_chunks;                       /* as rbc__array_num_chunks() says */
} rbc__array_description;

/* Constant once decoded; may be shared by threads. All sizes and products are within int64. */
typedef struct rbc__array {
    int32_t ndim;
    uint32_t packing;
    uint32_t num_blobs;
    bool is_plain; /* C order, and chunks are cut along axis 0 alone */
    int64_t shape[RBC__ARRAY_MAX_DIMS];
    int64_t chunk_shape[RBC__ARRAY_MAX_DIMS];
    int64_t grid[RBC__ARRAY_MAX_DIMS];         /* chunks along each axis */
    int64_t stride[RBC__ARRAY_MAX_DIMS];       /* bytes between neighbours in C order */
    int64_t chunk_stride[RBC__ARRAY_MAX_DIMS]; /* and in a chunk */
    uint8_t outermost;                         /* axis, in a chunk */
    int64_t element_bytes;
    int64_t row_bytes;
    int64_t chunk_bytes; /* of a chunk, unpacked */
    int64_t num_chunks;
    int64_t chunks_per_row; /* that one row touches: the chunks of a range of rows are so many times
                               as many numbers */
    const uint8_t *fill;    /* [element_bytes] in the encoded bytes; NULL: zeros */
    rbc__int_table chunks;
} rbc__array;

/* What rows of the array need of a chunk. */
typedef struct rbc__array_piece {
    int64_t first, count;  /* rows of the array: those of the rows asked for that the chunk has */
    int64_t offset, bytes; /* where they lie in the unpacked chunk */
} rbc__array_piece;

/* ---- writing ---- */

/* How many chunks an array of that shape has. INVALID_ARGUMENT: axes or extents out of range, or
 * sizes past int64. */
rbc_status rbc__array_num_chunks(const rbc__array_description *array, int64_t *num_chunks,
                                 rbc_error *err);

/* Appends the array to `out`. INVALID_ARGUMENT names what of the description cannot be. */
rbc_status rbc__array_encode(const rbc__array_description *array, rbc__bytes *out, rbc_error *err);

/* ---- reading ---- */

/* Parses an encoded array, which `out` points into and which has to outlive it. Its packing is
 * checked to be below `num_packings`. FORMAT: it is damaged. */
rbc_status rbc__array_decode(const uint8_t *bytes, size_t num_bytes, uint32_t num_packings,
                             uint32_t num_blobs, rbc__array *out, rbc_error *err);

/* Where chunk `index` < num_chunks lies: in a blob below num_blobs, within int64. Bytes 0: it is
 * absent. FORMAT: its entry is damaged. */
rbc_status rbc__array_chunk_at(const rbc__array *array, int64_t index, rbc__array_chunk *out,
                               rbc_error *err);

/* The chunks [*begin, *end) that rows [first, first + count) touch, which are rows of the array;
 * none where it has no elements. */
void rbc__array_cover(const rbc__array *array, int64_t first, int64_t count, int64_t *begin,
                      int64_t *end);

/* What those rows need of chunk `index`, which is one that they touch. */
rbc__array_piece rbc__array_piece_of(const rbc__array *array, int64_t index, int64_t first,
                                     int64_t count);

#endif
