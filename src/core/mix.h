/* Bits that look like chance: splitmix64's finalizer, each bit of which hangs on all of `x`. Orders and
 * draws are made of it, and must stay the same. Interface of src/core. */
#ifndef RBC_CORE_MIX_H
#define RBC_CORE_MIX_H

#include <stdint.h>

/* 2^64 over the golden ratio: its multiples lie far from each other. */
#define RBC__GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t rbc__mix64(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
