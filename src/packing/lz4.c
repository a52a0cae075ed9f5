/* LZ4 blocks, bare and as HDF5 frames them, and LZ4 frames. */
#include <limits.h>
#include <lz4.h>
#include <string.h>

#include "packing/stream.h"
#include "packing/unpacker_state.h"

/* ---- blocks ---- */

/* The bytes of a block, or a negative number where it is damaged or gives more than fit. */
static int64_t unpack_block(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes) {
    if (in_bytes > INT_MAX) {
        return -1;
    }
    return LZ4_decompress_safe((const char *)in, (char *)out, (int)in_bytes,
                               out_bytes > INT_MAX ? INT_MAX : (int)out_bytes);
}

rbc_status rbc__stream_lz4(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err) {
    const int64_t found = unpack_block(undoing->in + stream->begin, stream->end - stream->begin,
                                       stream->out, stream->out_bytes);
    return found >= 0 && (uint64_t)found == stream->out_bytes
               ? RBC_OK
               : rbc__stream_fail(undoing, stream, err);
}

bool rbc__lz4_block_declares(const rbc__undoing *undoing, uint64_t *out_bytes) {
    if (undoing->parameter == 0 || undoing->in_bytes < 4) {
        return false;
    }
    *out_bytes = rbc__little_u32(undoing->in);
    return true;
}

rbc_status rbc__undo_lz4_block(rbc__undoing *undoing, rbc_error *err) {
    const size_t begin = undoing->parameter;
    if (undoing->in_bytes <= begin || undoing->in_bytes - begin > INT_MAX) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes, wanted %zu at least and %d at most",
                                 undoing->in_bytes, begin + 1, INT_MAX);
    }
    const uint8_t *in = undoing->in + begin;
    const size_t in_bytes = undoing->in_bytes - begin;
    const int64_t found = unpack_block(in, in_bytes, undoing->out, undoing->out_capacity);
    if (found >= 0) {
        undoing->out_bytes = (size_t)found;
        return RBC_OK;
    }
    /* As far as there is room: what is damaged behind that is no matter. */
    const int most = undoing->out_capacity > INT_MAX ? INT_MAX : (int)undoing->out_capacity;
    if (LZ4_decompress_safe_partial((const char *)in, (char *)undoing->out, (int)in_bytes, most,
                                    most) == most) {
        return RBC_END;
    }
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "the block of %zu bytes is damaged",
                             undoing->in_bytes);
}

/* ---- HDF5 ---- */

/* The unpacked size and that of a block, 8 and 4 bytes; then blocks, each behind the 4 bytes of its
 * packed size. One that did not get smaller lies as it is. All numbers are big-endian. */
enum { HDF5_HEADER_BYTES = 12 };

bool rbc__lz4_hdf5_declares(const rbc__undoing *undoing, uint64_t *out_bytes) {
    if (undoing->in_bytes < HDF5_HEADER_BYTES) {
        return false;
    }
    *out_bytes = rbc__big_u64(undoing->in);
    return true;
}

rbc_status rbc__undo_lz4_hdf5(rbc__undoing *undoing, rbc_error *err) {
    if (undoing->in_bytes < HDF5_HEADER_BYTES) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "has %zu bytes, wanted %d at least", undoing->in_bytes,
                                 HDF5_HEADER_BYTES);
    }
    const size_t block_bytes = rbc__big_u32(undoing->in + 8);
    const size_t unpacked_bytes = undoing->out_capacity; /* which is what was declared */
    if (block_bytes == 0 && unpacked_bytes > 0) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "has blocks of 0 bytes");
    }
    size_t at = HDF5_HEADER_BYTES;
    while (undoing->out_bytes < unpacked_bytes) {
        rbc__stream stream = {.out = undoing->out + undoing->out_bytes,
                              .out_bytes = unpacked_bytes - undoing->out_bytes};
        stream.out_bytes = stream.out_bytes < block_bytes ? stream.out_bytes : block_bytes;
        RBC__TRY(rbc__stream_find_sized(undoing, &at, &stream, err));
        if (stream.end - stream.begin == stream.out_bytes) {
            memcpy(stream.out, undoing->in + stream.begin, stream.out_bytes);
        } else {
            RBC__TRY(rbc__stream_lz4(undoing, &stream, err));
        }
        undoing->out_bytes += stream.out_bytes;
    }
    return rbc__undoing_check_end(undoing, at, err);
}

/* ---- frames ---- */

static rbc_status fail_frame(const rbc__undoing *undoing, size_t begin, size_t code,
                             rbc_error *err) {
    const char *name = LZ4F_getErrorName(code);
    if (strcmp(name, "ERROR_allocation_failed") == 0) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
    }
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                             "the frame at byte %zu of %zu is damaged: %s", begin,
                             undoing->in_bytes, name);
}

/* One frame, which begins at `begin` and ends at *end, behind the out_bytes that are there. */
static rbc_status unpack_frame(rbc__undoing *undoing, size_t begin, size_t *end, rbc_error *err) {
    static const LZ4F_decompressOptions_t options = {.stableDst = 1};
    size_t at = begin;
    for (;;) {
        uint8_t spare = 0; /* where nothing more fits, a byte tells whether nothing more comes */
        const size_t space = undoing->out_capacity - undoing->out_bytes;
        size_t used = undoing->in_bytes - at;
        size_t made = space > 0 ? space : 1;
        const size_t code = LZ4F_decompress(undoing->unpacker->lz4,
                                            space > 0 ? undoing->out + undoing->out_bytes : &spare,
                                            &made, undoing->in + at, &used, &options);
        if (LZ4F_isError(code)) {
            return fail_frame(undoing, begin, code, err);
        }
        if (made > 0 && space == 0) {
            return RBC_END;
        }
        at += used;
        undoing->out_bytes += made;
        if (code == 0) {
            *end = at;
            return RBC_OK;
        }
        if (used == 0 && made == 0) {
            return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                     "the frame at byte %zu of %zu is cut short", begin,
                                     undoing->in_bytes);
        }
    }
}

rbc_status rbc__undo_lz4_frame(rbc__undoing *undoing, rbc_error *err) {
    rbc__unpacker *unpacker = undoing->unpacker;
    if (unpacker->lz4 == NULL &&
        LZ4F_isError(LZ4F_createDecompressionContext(&unpacker->lz4, LZ4F_VERSION))) {
        unpacker->lz4 = NULL;
        return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
    }
    LZ4F_resetDecompressionContext(unpacker->lz4); /* what was left of a damaged frame */
    size_t end = 0;
    do {
        RBC__TRY(unpack_frame(undoing, end, &end, err));
    } while (end < undoing->in_bytes);
    return RBC_OK;
}
