#include "packing/stream.h"

rbc_status rbc__stream_find(const rbc__undoing *undoing, size_t bytes, size_t *at,
                            rbc__stream *stream, rbc_error *err) {
    if (bytes > undoing->in_bytes - *at) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "the stream at byte %zu has %zu bytes, wanted at most the %zu "
                                 "that are there",
                                 *at, bytes, undoing->in_bytes - *at);
    }
    stream->begin = *at;
    stream->end = *at + bytes;
    *at = stream->end;
    return RBC_OK;
}

rbc_status rbc__stream_find_sized(const rbc__undoing *undoing, size_t *at, rbc__stream *stream,
                                  rbc_error *err) {
    if (undoing->in_bytes - *at < 4) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                 "ends at byte %zu, wanted the size of a stream at byte %zu",
                                 undoing->in_bytes, *at);
    }
    const size_t bytes = rbc__big_u32(undoing->in + *at);
    *at += 4;
    return rbc__stream_find(undoing, bytes, at, stream, err);
}

rbc_status rbc__stream_fail(const rbc__undoing *undoing, const rbc__stream *stream,
                            rbc_error *err) {
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                             "bytes %zu to %zu of %zu are damaged or give another number of bytes "
                             "than the %zu wanted",
                             stream->begin, stream->end, undoing->in_bytes, stream->out_bytes);
}
