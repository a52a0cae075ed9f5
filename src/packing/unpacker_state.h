/* What an unpacker holds. Shared within src/packing. */
#ifndef RBC_PACKING_UNPACKER_STATE_H
#define RBC_PACKING_UNPACKER_STATE_H

#include <libdeflate.h>
#include <lz4frame.h>
#include <zstd.h>

#include "packing/method.h"

typedef enum rbc__buffer {
    RBC__BUFFER_EVEN, /* taken in turns by the steps of a chain */
    RBC__BUFFER_ODD,
    RBC__BUFFER_INNER, /* for what a step makes on its way */
    RBC__NUM_BUFFERS,
} rbc__buffer;

struct rbc__unpacker {
    /* Made when the first of their steps comes. */
    struct libdeflate_decompressor *deflate;
    LZ4F_dctx *lz4;
    ZSTD_DCtx *zstd;
    uint8_t *buffers[RBC__NUM_BUFFERS];
    size_t buffer_bytes[RBC__NUM_BUFFERS];
};

/* At least `bytes` of memory; what was in the buffer is lost. */
rbc_status rbc__undoing_reserve(const rbc__undoing *undoing, rbc__buffer buffer, size_t bytes,
                                uint8_t **out, rbc_error *err);

#endif
