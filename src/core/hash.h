/* Bits that look like chance. Orders, draws and names of files are made of them, and must stay the same.
 * Interface of src/core. */
#ifndef RBC_CORE_HASH_H
#define RBC_CORE_HASH_H

#include <stdint.h>

/* 2^64 over the golden ratio: its multiples lie far from each other. */
#define RBC__GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/* splitmix64's finalizer: each bit hangs on all of `x`. */
static inline uint64_t rbc__mix64(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* FNV-1a of what `hash` is of, RBC__HASH_EMPTY of nothing, and the text behind it. */
#define RBC__HASH_EMPTY UINT64_C(0xcbf29ce484222325)

static inline uint64_t rbc__hash_text(uint64_t hash, const char *text) {
    for (; *text != '\0'; ++text) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}

#endif
