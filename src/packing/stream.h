/* Compressed streams inside of what a step is given. Shared within src/packing. */
#ifndef RBC_PACKING_STREAM_H
#define RBC_PACKING_STREAM_H

#include <string.h>

#include "packing/method.h"

static inline uint32_t rbc__little_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t rbc__big_u32(const uint8_t *at) {
    return __builtin_bswap32(rbc__little_u32(at));
}

static inline uint64_t rbc__big_u64(const uint8_t *at) {
    return (uint64_t)rbc__big_u32(at) << 32 | rbc__big_u32(at + 4);
}

/* Bytes [begin, end) of undoing->in, which give exactly `out_bytes` or are damaged. */
typedef struct rbc__stream {
    size_t begin, end;
    uint8_t *out;
    size_t out_bytes;
} rbc__stream;

typedef rbc_status (*rbc__stream_undo)(rbc__undoing *undoing, const rbc__stream *stream,
                                       rbc_error *err);
rbc_status rbc__stream_lz4(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err);
rbc_status rbc__stream_zlib(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err);
rbc_status rbc__stream_zstd(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err);
rbc_status rbc__stream_snappy(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err);
rbc_status rbc__stream_blosclz(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err);

/* The stream of `bytes` that begins at *at, which moves behind it. FORMAT: it does not end within
 * what there is. */
rbc_status rbc__stream_find(const rbc__undoing *undoing, size_t bytes, size_t *at,
                            rbc__stream *stream, rbc_error *err);

/* The same behind 4 bytes of its size at *at, big-endian. */
rbc_status rbc__stream_find_sized(const rbc__undoing *undoing, size_t *at, rbc__stream *stream,
                                  rbc_error *err);

/* FORMAT: the stream is damaged, or gives another number of bytes. */
rbc_status rbc__stream_fail(const rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err);

#endif
