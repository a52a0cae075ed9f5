/* The markers of a JPEG: where its tables lie, and the pieces of its entropy-coded data.
 *
 * Nothing is decoded. A stream is *plain* when its markers are all in order and it is of the kind
 * that the CUDA kernels decode: sequential Huffman, 8 bits, 1 or 3 components, each in one scan.
 * What is not plain may still be an image; libjpeg-turbo decides. */
#ifndef RBC_CODEC_JPEG_HEADER_H
#define RBC_CODEC_JPEG_HEADER_H

#include <stdbool.h>

#include <robocache/robocache.h>

enum {
    RBC__JPEG_MAX_COMPONENTS = 3,
    RBC__JPEG_MAX_MCU_BLOCKS = 10,
    RBC__JPEG_PIECE_BYTES = 4096, /* of entropy-coded data, at most */
    RBC__JPEG_CHUNK_MARKERS = 31,
};

typedef enum rbc__jpeg_colour {
    RBC__JPEG_GREY = 0,
    RBC__JPEG_YCC = 1,
    RBC__JPEG_RGB = 2,
} rbc__jpeg_colour;

typedef struct rbc__jpeg_component {
    uint8_t id;
    uint8_t h, v;           /* sampling factors */
    uint8_t quant_is_u16;   /* big endian; else bytes */
    uint32_t quant_at;      /* offset of the 64 values, in zigzag order */
    uint32_t width, height; /* in blocks, without those that only fill up MCUs */
} rbc__jpeg_component;

typedef struct rbc__jpeg_scan {
    uint32_t num_components;
    uint32_t component[RBC__JPEG_MAX_COMPONENTS]; /* numbers in the frame header */
    /* Offset of the 16 counts of codes by length of each component's tables; symbols follow. */
    uint32_t dc_at[RBC__JPEG_MAX_COMPONENTS], ac_at[RBC__JPEG_MAX_COMPONENTS];
    uint32_t restart_interval; /* MCUs; 0: none */
    uint32_t mcu_blocks;
    uint32_t mcus_per_row, mcu_rows;
    uint32_t first_segment, num_segments;
} rbc__jpeg_scan;

/* Data between two markers: it is decoded from scratch. */
typedef struct rbc__jpeg_segment {
    uint32_t begin;      /* offset in the stream */
    uint32_t bytes;      /* as they lie */
    uint32_t data_bytes; /* without the zeros stuffed behind 0xFF */
    uint32_t first_piece, num_pieces;
} rbc__jpeg_segment;

/* Bytes [begin, begin + bytes) of the stream, which become those of the segment's data from `at`
 * on. A zero behind 0xFF is no data, also where that is in the piece before. */
typedef struct rbc__jpeg_piece {
    uint32_t begin, bytes, at;
} rbc__jpeg_piece;

typedef struct rbc__jpeg_header {
    bool is_plain;
    bool has_restarts; /* as far as it was read: true of any scan */
    uint32_t height, width;
    uint32_t num_components;
    rbc__jpeg_colour colour;
    uint32_t h_max, v_max; /* of the sampling factors */
    uint32_t end;          /* offset of the marker that ends the image */
    rbc__jpeg_component components[RBC__JPEG_MAX_COMPONENTS];
    uint32_t num_scans;
    rbc__jpeg_scan scans[RBC__JPEG_MAX_COMPONENTS];
    uint32_t num_segments, num_pieces;
    uint32_t segments_room, pieces_room;
    rbc__jpeg_segment *segments; /* owned */
    rbc__jpeg_piece *pieces;     /* owned */
} rbc__jpeg_header;

/* Reads all markers of `bytes`, which is what rbc__jpeg_codec.probe() finds a JPEG of a wanted kind
 * in. `out` is zero-initialised or was read into before. OUT_OF_MEMORY alone is an error. */
rbc_status rbc__jpeg_header_read(const uint8_t *bytes, uint64_t num_bytes, rbc__jpeg_header *out,
                                 rbc_error *err);

/* What is known here of a stream that lies elsewhere, of which chunk c is bytes
 * [c * RBC__JPEG_PIECE_BYTES - skew, ...). */
typedef struct rbc__jpeg_digest {
    const uint8_t *head; /* what it begins with, less than RBC__JPEG_PIECE_BYTES - skew */
    uint32_t head_bytes;
    uint32_t skew;
    uint32_t alike; /* as many bytes as are those that the first stream of the batch begins with */
    /* By chunk: zeros behind 0xFF, also where that is in the chunk before; and, << 16, markers: 0xFF
     * before another byte than zero. */
    const uint32_t *counts;
    /* By chunk, as many as there is room for: place in the chunk << 20 | zeros behind 0xFF before it
     * in the chunk << 8 | the byte behind 0xFF. */
    const uint32_t (*markers)[RBC__JPEG_CHUNK_MARKERS];
} rbc__jpeg_digest;

static inline uint64_t rbc__jpeg_num_chunks(uint64_t num_bytes, uint32_t skew) {
    return (num_bytes + skew + RBC__JPEG_PIECE_BYTES - 1) / RBC__JPEG_PIECE_BYTES;
}

/* What was read of a stream up to its data; zeros: nothing. */
typedef struct rbc__jpeg_start {
    uint32_t bytes;
    _Alignas(16) unsigned char kept[1024];
} rbc__jpeg_start;

/* As rbc__jpeg_header_read(), of a stream of which this is known: where that is not enough, the
 * header is not plain. `start` is that of the batch's first stream, which `keeps`; others that begin
 * alike are read from its end on, which takes a tenth of the time. */
rbc_status rbc__jpeg_header_read_digest(const rbc__jpeg_digest *digest, uint64_t num_bytes,
                                        rbc__jpeg_start *start, bool keeps, rbc__jpeg_header *out,
                                        rbc_error *err);

/* Whether the stream brings all tables that decoding it takes, as far as its first scan shows: it
 * is sequential, of one scan, and they come before. libjpeg-turbo takes tables that are missing
 * from the image decoded before. */
bool rbc__jpeg_has_tables(const uint8_t *bytes, uint64_t num_bytes);

void rbc__jpeg_header_free(rbc__jpeg_header *header);

#endif
