#include <bzlib.h>

#include "packing/method.h"

/* What bzip2 counts in is 32 bits wide. */
static unsigned cut(size_t bytes) {
    return bytes > (1U << 30) ? 1U << 30 : (unsigned)bytes;
}

static rbc_status fail(const rbc__undoing *undoing, size_t begin, int code, rbc_error *err) {
    if (code == BZ_MEM_ERROR) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
    }
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "the stream at byte %zu of %zu is %s",
                             begin, undoing->in_bytes, code == BZ_OK ? "cut short" : "damaged");
}

/* One stream, which begins at `begin` and ends at *end, behind the out_bytes that are there. */
static rbc_status unpack_one(rbc__undoing *undoing, bz_stream *stream, size_t begin, size_t *end,
                             rbc_error *err) {
    size_t at = begin;
    for (;;) {
        /* Where nothing more fits, a byte tells whether nothing more comes. */
        char spare = 0;
        const size_t space = undoing->out_capacity - undoing->out_bytes;
        const unsigned in_part = cut(undoing->in_bytes - at);
        const unsigned out_part = space > 0 ? cut(space) : 1;
        stream->next_in = (char *)(uintptr_t)(undoing->in + at);
        stream->avail_in = in_part;
        stream->next_out = space > 0 ? (char *)undoing->out + undoing->out_bytes : &spare;
        stream->avail_out = out_part;
        const int code = BZ2_bzDecompress(stream);
        const size_t used = in_part - stream->avail_in;
        const size_t made = out_part - stream->avail_out;
        if (made > 0 && space == 0) {
            return RBC_END;
        }
        at += used;
        undoing->out_bytes += made;
        if (code == BZ_STREAM_END) {
            *end = at;
            return RBC_OK;
        }
        if (code != BZ_OK || (used == 0 && made == 0)) {
            return fail(undoing, begin, code, err);
        }
    }
}

rbc_status rbc__undo_bz2(rbc__undoing *undoing, rbc_error *err) {
    size_t end = 0;
    do {
        bz_stream stream = {0};
        const int code = BZ2_bzDecompressInit(&stream, 0, 0);
        if (code != BZ_OK) {
            return fail(undoing, end, code, err);
        }
        const rbc_status status = unpack_one(undoing, &stream, end, &end, err);
        BZ2_bzDecompressEnd(&stream);
        RBC__TRY(status);
    } while (end < undoing->in_bytes);
    return RBC_OK;
}
