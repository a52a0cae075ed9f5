#include "packing/unpacker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "packing/unpacker_state.h"

rbc_status rbc__unpacker_create(rbc__unpacker **out, rbc_error *err) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? RBC_OK
                        : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "unpacker: out of memory");
}

void rbc__unpacker_destroy(rbc__unpacker **unpacker) {
    if (*unpacker == NULL) {
        return;
    }
    libdeflate_free_decompressor((*unpacker)->deflate);
    LZ4F_freeDecompressionContext((*unpacker)->lz4);
    ZSTD_freeDCtx((*unpacker)->zstd);
    for (int i = 0; i < RBC__NUM_BUFFERS; ++i) {
        free((*unpacker)->buffers[i]);
    }
    free(*unpacker);
    *unpacker = NULL;
}

size_t rbc__unpacker_bytes(const rbc__unpacker *unpacker) {
    size_t bytes = 0;
    for (int i = 0; i < RBC__NUM_BUFFERS; ++i) {
        bytes += unpacker->buffer_bytes[i];
    }
    return bytes;
}

rbc_status rbc__undoing_reserve(const rbc__undoing *undoing, rbc__buffer buffer, size_t bytes,
                                uint8_t **out, rbc_error *err) {
    rbc__unpacker *unpacker = undoing->unpacker;
    bytes += bytes == 0;
    if (unpacker->buffer_bytes[buffer] < bytes) {
        free(unpacker->buffers[buffer]);
        unpacker->buffer_bytes[buffer] = 0;
        unpacker->buffers[buffer] = malloc(bytes);
        if (unpacker->buffers[buffer] == NULL) {
            return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY,
                                     "%zu bytes of memory cannot be had", bytes);
        }
        unpacker->buffer_bytes[buffer] = bytes;
    }
    *out = unpacker->buffers[buffer];
    return RBC_OK;
}

rbc_status(rbc__undoing_fail)(const rbc__undoing *undoing, rbc_error *err, rbc_status status,
                              const char *format, ...) {
    char text[RBC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rbc__fail(err, status, "packing step %u of %u, %s: %s", undoing->index + 1,
                     undoing->packing->num_steps,
                     rbc__packing_name(undoing->packing->steps[undoing->index].kind), text);
}

rbc_status rbc__undoing_check_end(const rbc__undoing *undoing, size_t at, rbc_error *err) {
    return at == undoing->in_bytes
               ? RBC_OK
               : rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                   "ends at byte %zu of %zu, wanted at the last", at,
                                   undoing->in_bytes);
}
