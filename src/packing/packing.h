/* Packings: how the bytes of a block were packed when they were written, and undoing that.
 * Interface of src/packing.
 *
 * A packing is a chain of steps in the order in which they were applied: h5py's shuffle and gzip
 * with a checksum is {shuffle 4, zlib, fletcher32}. Undoing begins at the last. Both the chain and
 * the bytes are a stranger's. */
#ifndef RBC_PACKING_PACKING_H
#define RBC_PACKING_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <robocache/robocache.h>

#include "packing/unpacker.h"

/* The numbers are stored in catalogs: none is ever given another meaning. The parameter of a step
 * is 0 but for those that name one. */
typedef enum rbc__packing_kind {
    RBC__PACKING_DEFLATE = 1, /* without a header, as in zip */
    RBC__PACKING_ZLIB = 2,    /* HDF5's filter 1, TFDS */
    RBC__PACKING_GZIP = 3,    /* one member or several; zeros behind the last are padding */
    RBC__PACKING_BZ2 = 4,     /* one stream or several */
    /* Parameter: the bytes before it that give the unpacked size, little-endian: 0, or 4 as
     * numcodecs writes it. */
    RBC__PACKING_LZ4_BLOCK = 5,
    RBC__PACKING_LZ4_FRAME = 6, /* one frame or several */
    RBC__PACKING_LZ4_HDF5 = 7,  /* as HDF5's filter 32004 frames it */
    RBC__PACKING_ZSTD = 8,      /* one frame or several */
    RBC__PACKING_SNAPPY = 9,    /* raw, without framing */
    RBC__PACKING_LZF = 10,      /* HDF5's filter 32000 */
    RBC__PACKING_BLOSC = 11,    /* a chunk as Blosc 1 writes it: HDF5's filter 32001, zarr */
    /* HDF5's filter 2. Parameter: bytes of an element, at least 1. Bytes behind the last whole
     * element are left as they lie. */
    RBC__PACKING_SHUFFLE = 12,
    /* Bits transposed as HDF5's filter 32008 does, without compression. Parameter: see
     * rbc__packing_bitshuffle(). */
    RBC__PACKING_BITSHUFFLE = 13,
    RBC__PACKING_BITSHUFFLE_LZ4 = 14,  /* parameter: bytes of an element, at least 1 */
    RBC__PACKING_BITSHUFFLE_ZSTD = 15, /* parameter: bytes of an element, at least 1 */
    RBC__PACKING_FLETCHER32 = 16,      /* HDF5's filter 3: 4 bytes behind the data */
    RBC__PACKING_CRC32C = 17,          /* zarr version 3: 4 bytes behind the data */
    RBC__PACKING_VARINT = 18,          /* integers as protobuf's varints; gives an int64 each */
    RBC__PACKING_JXL = 19,             /* the frames of a JPEG XL image, one behind the other */
    /* A member of a zip archive, its header included: stored or deflated, and held to the header's
     * CRC, where it has one: archives that were written to a pipe have it behind the data. */
    RBC__PACKING_ZIP = 20,
} rbc__packing_kind;

#define RBC__PACKING_MAX_STEPS 8

typedef struct rbc__packing_step {
    uint32_t kind; /* an rbc__packing_kind, once checked */
    uint32_t parameter;
} rbc__packing_step;

/* No step: the bytes lie as they are. */
typedef struct rbc__packing {
    uint32_t num_steps;
    rbc__packing_step steps[RBC__PACKING_MAX_STEPS];
} rbc__packing;

/* "zlib"; NULL for what is none. */
const char *rbc__packing_name(uint32_t kind);

/* UNSUPPORTED, naming all that are known, when `name` is none of them. */
rbc_status rbc__packing_find(const char *name, rbc__packing_kind *out, rbc_error *err);

/* UNSUPPORTED: a kind that is not known. FORMAT: more than RBC__PACKING_MAX_STEPS steps, or a
 * parameter that the kind does not have. */
rbc_status rbc__packing_check(const rbc__packing *packing, rbc_error *err);

/* FORMAT: so few packed bytes give no more than some multiple of them, whatever they hold, and
 * `unpacked_bytes` is more. To be asked before memory is taken for a block that a stranger's
 * catalog describes. The packing has been checked. */
rbc_status rbc__packing_check_growth(const rbc__packing *packing, size_t packed_bytes,
                                     size_t unpacked_bytes, rbc_error *err);

/* The parameter of BITSHUFFLE: bytes of an element, at least 1, and elements that are transposed
 * together, a multiple of 8 (0: as many as HDF5's filter takes when it is not told). 0, which is no
 * parameter: one of them is none, or beyond 65,535 and 524,280. */
uint32_t rbc__packing_bitshuffle(uint32_t element_bytes, uint32_t block_elements);

/* Undoes a checked packing into `dst`, which lies apart from `packed` and gets exactly
 * `unpacked_bytes`. Scratch is bounded by that whatever the packed bytes declare: what lies between
 * two steps may have a quarter and 64 KiB more. FORMAT: damaged data, fewer or more bytes than
 * wanted, bytes left over; the message begins with the step, but where the sizes alone tell, and
 * nothing is promised of dst. OUT_OF_MEMORY: says nothing of the data. */
rbc_status rbc__unpack(rbc__unpacker *unpacker, const rbc__packing *packing, const void *packed,
                       size_t packed_bytes, void *dst, size_t unpacked_bytes, rbc_error *err);

typedef struct rbc__unpacked {
    const uint8_t *bytes; /* the unpacker's, until its next use, or within the packed bytes */
    size_t num_bytes;
} rbc__unpacked;

/* As rbc__unpack() where the size is not known, but `max_bytes` is: it bounds the scratch, and more
 * than that is FORMAT. */
rbc_status rbc__unpack_unsized(rbc__unpacker *unpacker, const rbc__packing *packing,
                               const void *packed, size_t packed_bytes, size_t max_bytes,
                               rbc__unpacked *out, rbc_error *err);

#endif
