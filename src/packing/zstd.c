#include <zstd.h>
#include <zstd_errors.h>

#include "packing/stream.h"
#include "packing/unpacker_state.h"

static rbc_status get_handle(rbc__undoing *undoing, ZSTD_DCtx **out, rbc_error *err) {
    rbc__unpacker *unpacker = undoing->unpacker;
    if (unpacker->zstd == NULL) {
        unpacker->zstd = ZSTD_createDCtx();
    }
    *out = unpacker->zstd;
    return *out != NULL ? RBC_OK
                        : rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
}

/* Of all frames, unless one of them does not say. */
bool rbc__zstd_declares(const rbc__undoing *undoing, uint64_t *out_bytes) {
    *out_bytes = 0;
    for (size_t at = 0; at < undoing->in_bytes;) {
        const uint8_t *frame = undoing->in + at;
        const unsigned long long unpacked = ZSTD_getFrameContentSize(frame, undoing->in_bytes - at);
        const size_t packed = ZSTD_findFrameCompressedSize(frame, undoing->in_bytes - at);
        if (unpacked == ZSTD_CONTENTSIZE_UNKNOWN || unpacked == ZSTD_CONTENTSIZE_ERROR ||
            ZSTD_isError(packed) || unpacked > UINT64_MAX - *out_bytes) {
            return false;
        }
        *out_bytes += unpacked;
        at += packed;
    }
    return true;
}

rbc_status rbc__undo_zstd(rbc__undoing *undoing, rbc_error *err) {
    if (undoing->in_bytes == 0) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "0 bytes, wanted a frame");
    }
    ZSTD_DCtx *handle = NULL;
    RBC__TRY(get_handle(undoing, &handle, err));
    undoing->out_bytes = ZSTD_decompressDCtx(handle, undoing->out, undoing->out_capacity,
                                             undoing->in, undoing->in_bytes);
    if (!ZSTD_isError(undoing->out_bytes)) {
        return RBC_OK;
    }
    switch (ZSTD_getErrorCode(undoing->out_bytes)) {
    case ZSTD_error_dstSize_tooSmall:
        return RBC_END;
    case ZSTD_error_memory_allocation:
        return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
    default:
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "%zu bytes are damaged: %s",
                                 undoing->in_bytes, ZSTD_getErrorName(undoing->out_bytes));
    }
}

rbc_status rbc__stream_zstd(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err) {
    ZSTD_DCtx *handle = NULL;
    RBC__TRY(get_handle(undoing, &handle, err));
    const size_t found =
        ZSTD_decompressDCtx(handle, stream->out, stream->out_bytes, undoing->in + stream->begin,
                            stream->end - stream->begin);
    if (ZSTD_isError(found) && ZSTD_getErrorCode(found) == ZSTD_error_memory_allocation) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
    }
    return found == stream->out_bytes ? RBC_OK : rbc__stream_fail(undoing, stream, err);
}
