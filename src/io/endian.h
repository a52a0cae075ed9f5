/* Little-endian numbers at any address. Interface of src/io. */
#ifndef RBC_IO_ENDIAN_H
#define RBC_IO_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file formats are little-endian and are read as they lie"
#endif

static inline uint16_t rbc__load_u16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t rbc__load_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t rbc__load_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The `width` bytes at `at`, 1 to 8. */
static inline uint64_t rbc__load_uint(const uint8_t *at, unsigned width) {
    uint64_t value = 0;
    memcpy(&value, at, width);
    return value;
}

static inline void rbc__store_u32(uint8_t *at, uint32_t value) {
    memcpy(at, &value, sizeof value);
}

static inline void rbc__store_u64(uint8_t *at, uint64_t value) {
    memcpy(at, &value, sizeof value);
}

#endif
