/* A growing buffer of bytes, for building what is written or stored, and varints. */
#ifndef RBC_IO_BYTES_H
#define RBC_IO_BYTES_H

#include <stdbool.h>

#include <robocache/robocache.h>

/* Zero-initialise; release with rbc__bytes_free(). After a failed append `failed` stays set and
 * further appends do nothing, so that a run of them is checked once, by rbc__bytes_check(). */
typedef struct rbc__bytes {
    uint8_t *data;
    size_t size, capacity;
    int failed;
} rbc__bytes;

void rbc__bytes_free(rbc__bytes *bytes);
void rbc__bytes_append(rbc__bytes *bytes, const void *data, size_t size);
void rbc__bytes_byte(rbc__bytes *bytes, uint8_t value);
void rbc__bytes_varint(rbc__bytes *bytes, uint64_t value);
/* The `width` low bytes of `value`, little-endian. */
void rbc__bytes_fixed(rbc__bytes *bytes, uint64_t value, unsigned width);
rbc_status rbc__bytes_check(const rbc__bytes *bytes, rbc_error *err);

/* Bytes that `value` takes as a varint of the shortest form, 1 to 10. */
unsigned rbc__varint_size(uint64_t value);

/* A varint of any legal length (1 to 10 bytes) at *pos < end; false when it is longer or cut short.
 * Bits past the 64th are dropped, as protobuf does. */
static inline bool rbc__varint_read(const uint8_t *data, uint64_t end, uint64_t *pos,
                                    uint64_t *out) {
    uint64_t at = *pos;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && at < end; shift += 7) {
        const uint8_t byte = data[at++];
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *pos = at;
            *out = value;
            return true;
        }
    }
    return false;
}

#endif
