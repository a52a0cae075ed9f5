/* What decoding JPEGs passes to its kernels: a description of the batch, written by the host in one
 * piece and copied to the device with the streams. Read by the host and the device compiler.
 * Shared within src/cuda/jpeg. */
#ifndef RBC_CUDA_JPEG_PARAMS_H
#define RBC_CUDA_JPEG_PARAMS_H

#include <stdint.h>

#ifndef RBC_JPEG_STRAND_WORDS
#define RBC_JPEG_STRAND_WORDS 32
#endif

enum {
    JPEG_COMPONENTS = 3,
    JPEG_MCU_BLOCKS = 10,
    JPEG_SCAN_TABLES = 2 * JPEG_COMPONENTS,
    JPEG_BLOCK = 64, /* coefficients */
    JPEG_LOOK = 640,

    /* A segment's data is cut into strands, each decoded by one thread. */
    JPEG_STRAND_WORDS = RBC_JPEG_STRAND_WORDS,
    JPEG_STRAND_BITS = 32 * JPEG_STRAND_WORDS,
    JPEG_BUNDLE_STRANDS = 256, /* decoded together by one block, at most */
    JPEG_LEAD_STRANDS = 8,     /* of these, before a bundle that begins within a segment */
    JPEG_JOINED_STRANDS = JPEG_BUNDLE_STRANDS - JPEG_LEAD_STRANDS, /* of each of its bundles */
    JPEG_READ_AHEAD = 4,   /* words behind a strand that are looked at */
    JPEG_SLACK_WORDS = 16, /* behind the last strand, read ahead into */

    JPEG_PREPARE_THREADS = 256,
    JPEG_PIECE_BYTES = 16 * JPEG_PREPARE_THREADS,
    JPEG_CHUNK_MARKERS = 31,
    JPEG_HEAD_BYTES = 1040,
    JPEG_ALIKE_BYTES = JPEG_HEAD_BYTES - 16, /* compared, at most */
    JPEG_OFFSET_THREADS = 128,
    JPEG_OFFSET_STRANDS = 8, /* of a thread at once */
    JPEG_DC_THREADS = 512,
    JPEG_JOIN_THREADS = 256,
    JPEG_IDCT_THREADS = 256,
    JPEG_IDCT_BLOCKS = 64, /* of a tile: eight threads do one at a time */
    JPEG_COLOUR_THREADS = 256,
    JPEG_COLOUR_PIXELS = 8,    /* of a thread at once, in a row */
    JPEG_COLOUR_GROUPS = 1024, /* of those, of a tile */
    JPEG_VERDICT_THREADS = 128,
};

/* Words of shared memory that those of strands take, so that 16 bytes can lie behind them. */
#define JPEG_BUNDLE_WORDS(strands)                                                                 \
    (((strands) * (JPEG_STRAND_WORDS + 1) + JPEG_READ_AHEAD + 1 + 3) / 4 * 4)

/* A Huffman table. Symbols are looked up by the next 16 bits, in steps of 256 while codes have up
 * to 8 bits, of 16 up to 12 bits, and singly from there. What has no room, as may be of odd tables,
 * is found by length. An entry is advance << 16 | all << 8 | symbol, `all` being the bits of the
 * code and of the value behind it and `advance` how far in the block it leads; 0: look by length.
 */
typedef struct jpeg_table {
    uint32_t look[JPEG_LOOK + 1]; /* the last is 0 */
    uint32_t steps;               /* first code of more than 8 bits | first of more than 12 << 16 */
    uint32_t is_dc;
    uint32_t reserved;
    uint16_t limit[8];  /* by length - 9: codes below this, 16 bits from the left, are not longer */
    uint16_t offset[8]; /* by length - 9: place of a code in `symbols` minus the code, wrapped */
    uint8_t symbols[256];
} jpeg_table;

/* Of the places of tables: it is one of DC differences. */
#define JPEG_SOURCE_IS_DC (UINT64_C(1) << 63)

typedef struct jpeg_component {
    uint32_t h, v;           /* how often a sample is repeated, or interpolated */
    uint32_t width, height;  /* samples that count */
    uint32_t blocks_per_row; /* of the plane */
    uint32_t num_blocks;
    uint32_t quant_at, quant_is_u16; /* in the stream */
    uint64_t plane;                  /* its first byte among the planes */
    uint64_t first_block;            /* of its scan among the coefficients */
    /* The block in column x and row y is number
     * (y / mcu_v * mcus_per_row + x / mcu_h) * mcu_blocks + mcu_first + y % mcu_v * mcu_h + x %
     * mcu_h of its scan. */
    uint32_t mcu_h, mcu_v, mcu_blocks, mcu_first, mcus_per_row;
    uint32_t first_tile; /* of the transform */
} jpeg_component;

typedef struct jpeg_image {
    uint64_t stream;    /* offset among the streams */
    uint32_t num_bytes; /* of the stream */
    uint32_t end;       /* offset of its last marker in the stream */
    uint32_t width, height;
    uint32_t num_components, colour; /* RBC__JPEG_* */
    uint32_t first_tile;             /* of the colour conversion */
    uint32_t number;                 /* in the batch */
    uint32_t first_scan, num_scans;
    uint32_t num_segments;
    uint32_t channels; /* of the output: 1 or 3 */
    uint8_t *out;      /* rows without gaps */
    jpeg_component components[JPEG_COMPONENTS];
} jpeg_image;

typedef struct jpeg_scan {
    uint32_t image;
    uint32_t begin; /* of its data in the stream */
    uint32_t mcu_blocks;
    uint32_t num_mcus;
    uint32_t restart_interval;
    uint32_t num_tables;
    uint32_t first_table;
    uint32_t is_followed; /* another scan's header comes right behind it */
    uint64_t first_block; /* among the coefficients */
    /* Of the blocks of an MCU, from the lowest bits on: tables, from first_table on, of DC and of
     * AC, three bits each, and components within the scan, two bits each. */
    uint64_t block_tables;
    uint32_t block_components;
    uint32_t reserved;
} jpeg_scan;

typedef struct jpeg_segment {
    uint32_t scan;
    uint32_t num_bits;
    uint32_t first_strand, num_strands;
    uint32_t first_block, num_blocks; /* of the scan */
    uint32_t first_bundle, num_bundles;
} jpeg_segment;

/* Strands [first, first + count) are of one scan. Where they begin within a segment, `lead` strands
 * before them are decoded with them, so that they are most likely entered right. */
typedef struct jpeg_bundle {
    uint32_t first, count;
    uint32_t scan;
    uint32_t lead;
} jpeg_bundle;

/* Bytes of a stream that become data of a segment, from byte `at` of it on. */
typedef struct jpeg_piece {
    uint64_t from; /* among the streams */
    uint32_t bytes, at;
    uint32_t segment;
    uint32_t flags; /* JPEG_PIECE_* */
} jpeg_piece;

enum {
    JPEG_PIECE_FIRST = 1, /* of its segment */
    JPEG_PIECE_LAST = 2,
    JPEG_PIECE_VERY_LAST = 4, /* of the batch */
};

/* Where the decoder stands: bits of the segment done, and 64 times the block's number in its MCU
 * plus the coefficient that is next. */
typedef struct jpeg_state {
    uint32_t bit, place;
} jpeg_state;

/* What the write pass finds of an image. */
enum {
    JPEG_OVERRUN = 1,  /* a segment ended within a block */
    JPEG_BAD_CODE = 2, /* bits that are no code of the table */
    JPEG_REST = 4,     /* whole bytes were left of a segment */
};

typedef struct jpeg_found {
    uint32_t flags;
    uint32_t segments; /* whose blocks were all found */
} jpeg_found;

/* A stream of which headers are wanted. */
typedef struct jpeg_surveyed {
    uint64_t begin;
    uint32_t num_bytes;
    uint32_t first_chunk;
} jpeg_surveyed;

/* What streams in device memory show to the host, as rbc__jpeg_digest of codec/jpeg_header.h. All but
 * `streams` is in its memory. */
typedef struct jpeg_survey {
    const uint8_t *streams; /* at a multiple of 16 */
    uint64_t first, end;    /* bytes of them that may be read */
    const jpeg_surveyed *surveyed;
    uint8_t *heads; /* JPEG_HEAD_BYTES of each, from the multiple of 16 before its beginning on */
    uint32_t *alike;
    uint32_t *counts;  /* by chunk */
    uint32_t *markers; /* by chunk, JPEG_CHUNK_MARKERS of each */
} jpeg_survey;

typedef struct jpeg_launch {
    const jpeg_image *images;
    const jpeg_scan *scans;
    const jpeg_segment *segments;
    const jpeg_bundle *bundles;
    const jpeg_piece *pieces;
    const uint64_t *table_sources; /* where the counts of each table lie among the streams */
    const uint32_t *joined;        /* segments of several bundles */
    const uint32_t *idct_tiles;    /* 4 * image + component of each */
    const uint32_t *colour_tiles;  /* image of each */
    const uint8_t *streams;        /* at a multiple of 16 */
    uint64_t streams_end;          /* bytes of them that may be read */
    uint32_t num_images, num_segments, num_tables, num_joined;
    uint32_t num_pieces, is_fast;
    uint32_t keeps_rows; /* the write pass stores rows of coefficients, not one at a time */
    uint32_t reserved;
    jpeg_table *tables;
    uint32_t
        *words; /* the data, 32 bits at a time from the highest on, JPEG_STRAND_WORDS a strand */
    uint32_t *owners;    /* the segment of each strand */
    jpeg_state *states;  /* at the end of each strand */
    jpeg_state *entered; /* by bundle that has a lead: the state its strands were decoded from */
    uint32_t *counts; /* blocks that each strand completes, then those before it in the segment */
    int16_t *coefficients;
    uint64_t num_blocks;
    jpeg_found *found;
    uint8_t *planes;
    uint32_t *verdicts; /* by image: whether it is whole */
    uint8_t *valid;     /* the same by the number of an image in the batch; or NULL */
} jpeg_launch;

#endif
