#include "io/bytes.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

void rbc__bytes_free(rbc__bytes *bytes) {
    free(bytes->data);
    *bytes = (rbc__bytes){0};
}

static uint8_t *grow(rbc__bytes *bytes, size_t size) {
    if (bytes->failed) {
        return NULL;
    }
    if (size > bytes->capacity - bytes->size) {
        size_t capacity = bytes->capacity < 128 ? 256 : bytes->capacity * 2;
        if (size > SIZE_MAX / 4 - bytes->size) {
            bytes->failed = 1;
            return NULL;
        }
        if (capacity < bytes->size + size) {
            capacity = bytes->size + size;
        }
        uint8_t *data = realloc(bytes->data, capacity);
        if (data == NULL) {
            bytes->failed = 1;
            return NULL;
        }
        bytes->data = data;
        bytes->capacity = capacity;
    }
    uint8_t *at = bytes->data + bytes->size;
    bytes->size += size;
    return at;
}

void rbc__bytes_append(rbc__bytes *bytes, const void *data, size_t size) {
    if (size == 0) { /* data may be NULL then, of both */
        return;
    }
    uint8_t *at = grow(bytes, size);
    if (at && size > 0) {
        memcpy(at, data, size);
    }
}

void rbc__bytes_byte(rbc__bytes *bytes, uint8_t value) {
    uint8_t *at = grow(bytes, 1);
    if (at) {
        *at = value;
    }
}

void rbc__bytes_varint(rbc__bytes *bytes, uint64_t value) {
    uint8_t *at = grow(bytes, rbc__varint_size(value));
    if (at == NULL) {
        return;
    }
    for (; value >= 0x80; value >>= 7) {
        *at++ = (uint8_t)(value | 0x80);
    }
    *at = (uint8_t)value;
}

void rbc__bytes_fixed(rbc__bytes *bytes, uint64_t value, unsigned width) {
    uint8_t *at = grow(bytes, width);
    for (unsigned i = 0; at && i < width; ++i) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

rbc_status rbc__bytes_check(const rbc__bytes *bytes, rbc_error *err) {
    if (bytes->failed) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a buffer of more than %zu bytes",
                         bytes->capacity);
    }
    return RBC_OK;
}

unsigned rbc__varint_size(uint64_t value) {
    unsigned size = 1;
    for (; value >= 0x80; value >>= 7) {
        ++size;
    }
    return size;
}
