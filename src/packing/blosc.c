/* Chunks of Blosc 1, read here and not by c-blosc, which crashes where memory cannot be had, and
 * which has not all of its codecs everywhere. The codecs are those that other steps take. */
#include "packing/shuffle.h"
#include "packing/stream.h"
#include "packing/unpacker_state.h"

/* A header, little-endian:
 *
 *     0  1  2      3           4               8            12
 *     2  1  flags  typesize    unpacked bytes  block bytes  packed bytes, the header's among them
 *
 * then a u32 a block, where it begins; all but the last have block_bytes. A block is one stream, or
 * one a byte of an element where it is split, each behind a u32 of its packed size, and lies as it
 * is where that is its unpacked size. Bytes or bits were shuffled within a block. */
enum { HEADER_BYTES = 16, FORMAT = 2 };

enum {
    FLAG_SHUFFLE = 1 << 0,
    FLAG_STORED = 1 << 1, /* the bytes lie behind the header as they are */
    FLAG_BITSHUFFLE = 1 << 2,
    FLAG_NOT_SPLIT = 1 << 4,
    CODEC_SHIFT = 5,
};

/* What is split: whole blocks of elements of few bytes. */
enum { MOST_SPLITS = 16, LEAST_SPLIT_BYTES = 128 };

static const rbc__stream_undo codecs[] = {
    rbc__stream_blosclz, rbc__stream_lz4, rbc__stream_snappy, rbc__stream_zlib, rbc__stream_zstd,
};

enum { NUM_CODECS = sizeof codecs / sizeof *codecs };

typedef struct chunk {
    unsigned flags;
    size_t width; /* of an element */
    size_t block_bytes;
    size_t packed_left; /* which no block has taken: one that two take could grow without end */
    rbc__stream_undo codec;
} chunk;

bool rbc__blosc_declares(const rbc__undoing *undoing, uint64_t *out_bytes) {
    if (undoing->in_bytes < HEADER_BYTES) {
        return false;
    }
    *out_bytes = rbc__little_u32(undoing->in + 4);
    return true;
}

static rbc_status read_header(const rbc__undoing *undoing, chunk *out, rbc_error *err) {
    const uint8_t *in = undoing->in;
    if (undoing->in_bytes < HEADER_BYTES) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes, wanted %d at least", undoing->in_bytes,
                                 HEADER_BYTES);
    }
    const unsigned codec = (unsigned)in[2] >> CODEC_SHIFT;
    if (in[0] != FORMAT || in[1] != 1 || codec >= NUM_CODECS) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "chunk of format %u with codec %u of version %u, wanted format %d "
                                 "as of Blosc 1, codec 0 to %d, version 1",
                                 in[0], codec, in[1], FORMAT, NUM_CODECS - 1);
    }
    const uint32_t packed_bytes = rbc__little_u32(in + 12);
    if (packed_bytes != undoing->in_bytes) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes, wanted the %u that its header names",
                                 undoing->in_bytes, packed_bytes);
    }
    *out = (chunk){
        .flags = in[2],
        .width = in[3],
        .block_bytes = rbc__little_u32(in + 8),
        .codec = codecs[codec],
    };
    const bool is_stored = (out->flags & FLAG_STORED) != 0;
    if (out->width == 0 || (!is_stored && undoing->out_capacity > 0 &&
                            (out->block_bytes == 0 || out->block_bytes > undoing->out_capacity))) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "elements of %zu bytes in blocks of %zu, wanted 1 at least and "
                                 "1 to %zu",
                                 out->width, out->block_bytes, undoing->out_capacity);
    }
    return RBC_OK;
}

/* The streams of the block that begins at byte `at`, one behind the other in `out`. */
static rbc_status undo_streams(rbc__undoing *undoing, chunk *from, size_t at, uint8_t *out,
                               size_t block_bytes, rbc_error *err) {
    const bool is_split = (from->flags & FLAG_NOT_SPLIT) == 0 && from->width <= MOST_SPLITS &&
                          block_bytes == from->block_bytes &&
                          block_bytes / from->width >= LEAST_SPLIT_BYTES;
    const size_t num_streams = is_split ? from->width : 1;
    const size_t begin = at;
    if (block_bytes % num_streams != 0) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "blocks of %zu bytes, wanted whole elements of %zu", block_bytes,
                                 from->width);
    }
    for (size_t i = 0; i < num_streams; ++i) {
        rbc__stream stream = {.out = out, .out_bytes = block_bytes / num_streams};
        if (undoing->in_bytes - at < 4) {
            return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                     "ends at byte %zu, wanted the size of a stream at byte %zu",
                                     undoing->in_bytes, at);
        }
        const size_t packed_bytes = rbc__little_u32(undoing->in + at);
        at += 4;
        RBC__TRY(rbc__stream_find(undoing, packed_bytes, &at, &stream, err));
        if (packed_bytes == stream.out_bytes) {
            memcpy(out, undoing->in + stream.begin, packed_bytes);
        } else {
            RBC__TRY(from->codec(undoing, &stream, err));
        }
        out += stream.out_bytes;
    }
    if (at - begin > from->packed_left) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "the block of bytes %zu to %zu is not its own", begin, at);
    }
    from->packed_left -= at - begin;
    return RBC_OK;
}

static rbc_status undo_block(rbc__undoing *undoing, chunk *from, size_t at, uint8_t *inner,
                             size_t block_bytes, rbc_error *err) {
    uint8_t *out = undoing->out + undoing->out_bytes;
    RBC__TRY(undo_streams(undoing, from, at, inner != NULL ? inner : out, block_bytes, err));
    if (inner == NULL) {
        return RBC_OK;
    }
    if ((from->flags & FLAG_SHUFFLE) != 0) {
        rbc__unshuffle_bytes(inner, out, block_bytes, from->width);
        return RBC_OK;
    }
    /* Blosc leaves blocks alone that are no whole eights of elements. */
    const size_t count = block_bytes / from->width;
    const size_t shuffled = count % 8 == 0 ? count * from->width : 0;
    if (shuffled > 0) {
        rbc__unshuffle_bits(inner, out, count, from->width);
    }
    memcpy(out + shuffled, inner + shuffled, block_bytes - shuffled);
    return RBC_OK;
}

static rbc_status undo_stored(rbc__undoing *undoing, rbc_error *err) {
    if (undoing->in_bytes - HEADER_BYTES != undoing->out_capacity) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes behind its header, wanted %zu",
                                 undoing->in_bytes - HEADER_BYTES, undoing->out_capacity);
    }
    memcpy(undoing->out, undoing->in + HEADER_BYTES, undoing->out_capacity);
    undoing->out_bytes = undoing->out_capacity;
    return RBC_OK;
}

rbc_status rbc__undo_blosc(rbc__undoing *undoing, rbc_error *err) {
    chunk from = {0};
    RBC__TRY(read_header(undoing, &from, err));
    if ((from.flags & FLAG_STORED) != 0) {
        return undo_stored(undoing, err);
    }
    const size_t unpacked_bytes = undoing->out_capacity; /* which is what was declared */
    const size_t num_blocks = unpacked_bytes > 0 ? (unpacked_bytes - 1) / from.block_bytes + 1 : 0;
    if (num_blocks > (undoing->in_bytes - HEADER_BYTES) / 4) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes, wanted the beginnings of %zu blocks",
                                 undoing->in_bytes, num_blocks);
    }
    const size_t least = HEADER_BYTES + 4 * num_blocks;
    from.packed_left = undoing->in_bytes - least;
    uint8_t *inner = NULL;
    if (num_blocks > 0 && (from.flags & (FLAG_SHUFFLE | FLAG_BITSHUFFLE)) != 0) {
        RBC__TRY(rbc__undoing_reserve(undoing, RBC__BUFFER_INNER, from.block_bytes, &inner, err));
    }
    for (size_t i = 0; i < num_blocks; ++i) {
        const size_t left = unpacked_bytes - undoing->out_bytes;
        const size_t block_bytes = left < from.block_bytes ? left : from.block_bytes;
        const size_t at = rbc__little_u32(undoing->in + HEADER_BYTES + 4 * i);
        if (at < least || at > undoing->in_bytes) {
            return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                     "block %zu begins at byte %zu, wanted %zu to %zu", i, at,
                                     least, undoing->in_bytes);
        }
        RBC__TRY(undo_block(undoing, &from, at, inner, block_bytes, err));
        undoing->out_bytes += block_bytes;
    }
    return RBC_OK;
}
