#include <snappy-c.h>

#include "packing/stream.h"

bool rbc__snappy_declares(const rbc__undoing *undoing, uint64_t *out_bytes) {
    size_t found;
    if (snappy_uncompressed_length((const char *)undoing->in, undoing->in_bytes, &found) !=
        SNAPPY_OK) {
        return false;
    }
    *out_bytes = found;
    return true;
}

rbc_status rbc__stream_snappy(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err) {
    size_t found = stream->out_bytes;
    const snappy_status status =
        snappy_uncompress((const char *)undoing->in + stream->begin, stream->end - stream->begin,
                          (char *)stream->out, &found);
    return status == SNAPPY_OK && found == stream->out_bytes
               ? RBC_OK
               : rbc__stream_fail(undoing, stream, err);
}

/* Damaged where it declares nothing, so that what fits is known. */
rbc_status rbc__undo_snappy(rbc__undoing *undoing, rbc_error *err) {
    const rbc__stream all = {0, undoing->in_bytes, undoing->out, undoing->out_capacity};
    undoing->out_bytes = undoing->out_capacity;
    return rbc__stream_snappy(undoing, &all, err);
}
