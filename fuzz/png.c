/* Fuzzes images that begin as PNGs do, whose checksums are put right after each mutation. */
#include "image.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_image(data, size);
    return 0;
}

static uint32_t crc32_of(const uint8_t *data, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (crc % 2 == 1 ? UINT32_C(0xEDB88320) : 0);
        }
    }
    return ~crc;
}

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Chunks are a length, a kind, so many bytes and the CRC of kind and bytes. */
static void mend_checksums(uint8_t *data, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        const uint32_t length = big_endian(data + at);
        if (length > size - at - 12) {
            return;
        }
        const uint32_t crc = crc32_of(data + at + 4, (size_t)length + 4);
        for (size_t i = 0; i < 4; ++i) {
            data[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        }
        at += (size_t)length + 12;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    const size_t mutated = LLVMFuzzerMutate != NULL ? LLVMFuzzerMutate(data, size, max_size) : size;
    if (seed % 8 != 0) {
        mend_checksums(data, mutated);
    }
    return mutated;
}
