/* Bits transposed as the filter bitshuffle of HDF5 does it: block after block of elements, each
 * compressed on its own where they are. The last block is shorter by whole eights of elements;
 * fewer than 8 behind it lie as they are. */
#include "packing/shuffle.h"
#include "packing/stream.h"
#include "packing/unpacker_state.h"

/* How many elements the filter takes when it is not told: 8 KiB or 128 elements. */
static size_t default_block(size_t width) {
    const size_t count = 8192 / width / 8 * 8;
    return count > 128 ? count : 128;
}

rbc_status rbc__undo_bitshuffle(rbc__undoing *undoing, rbc_error *err) {
    (void)err;
    const size_t width = undoing->parameter & UINT16_MAX;
    const size_t told = (size_t)(undoing->parameter >> 16) * 8;
    const size_t block = told > 0 ? told : default_block(width);
    size_t left = undoing->in_bytes / width / 8 * 8;
    size_t at = 0;
    while (left > 0) {
        const size_t count = left < block ? left : block;
        rbc__unshuffle_bits(undoing->in + at, undoing->out + at, count, width);
        at += count * width;
        left -= count;
    }
    memcpy(undoing->out + at, undoing->in + at, undoing->in_bytes - at);
    undoing->out_bytes = undoing->in_bytes;
    return RBC_OK;
}

/* Before compressed blocks lie the unpacked size and that of a block, 8 and 4 bytes, big-endian. */
enum { HEADER_BYTES = 12 };

bool rbc__bitshuffle_declares(const rbc__undoing *undoing, uint64_t *out_bytes) {
    if (undoing->in_bytes < HEADER_BYTES) {
        return false;
    }
    *out_bytes = rbc__big_u64(undoing->in);
    return true;
}

static rbc_status undo_blocks(rbc__undoing *undoing, rbc__stream_undo undo, rbc_error *err) {
    if (undoing->in_bytes < HEADER_BYTES) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes, wanted %d at least", undoing->in_bytes,
                                 HEADER_BYTES);
    }
    const size_t width = undoing->parameter;
    const size_t block_bytes = rbc__big_u32(undoing->in + 8);
    const size_t unpacked_bytes = undoing->out_capacity; /* which is what was declared */
    size_t left = unpacked_bytes / width / 8 * 8;
    if (left > 0 && (block_bytes == 0 || block_bytes % (8 * width) != 0)) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has blocks of %zu bytes, wanted whole eights of %zu", block_bytes,
                                 width);
    }
    const size_t block = block_bytes / width;
    const size_t most = left < block ? left : block;
    uint8_t *bits = NULL;
    RBC__TRY(rbc__undoing_reserve(undoing, RBC__BUFFER_INNER, most * width, &bits, err));
    size_t at = HEADER_BYTES;
    while (left > 0) {
        const size_t count = left < block ? left : block;
        rbc__stream stream = {.out = bits, .out_bytes = count * width};
        RBC__TRY(rbc__stream_find_sized(undoing, &at, &stream, err));
        RBC__TRY(undo(undoing, &stream, err));
        rbc__unshuffle_bits(bits, undoing->out + undoing->out_bytes, count, width);
        undoing->out_bytes += count * width;
        left -= count;
    }
    rbc__stream rest = {0};
    RBC__TRY(rbc__stream_find(undoing, unpacked_bytes - undoing->out_bytes, &at, &rest, err));
    memcpy(undoing->out + undoing->out_bytes, undoing->in + rest.begin, rest.end - rest.begin);
    undoing->out_bytes = unpacked_bytes;
    return rbc__undoing_check_end(undoing, at, err);
}

rbc_status rbc__undo_bitshuffle_lz4(rbc__undoing *undoing, rbc_error *err) {
    return undo_blocks(undoing, rbc__stream_lz4, err);
}

rbc_status rbc__undo_bitshuffle_zstd(rbc__undoing *undoing, rbc_error *err) {
    return undo_blocks(undoing, rbc__stream_zstd, err);
}
