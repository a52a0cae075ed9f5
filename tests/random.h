/* Numbers that tests draw: Marsaglia's xorshift, the same on every machine. `state` is not 0. */
#ifndef RBC_TESTS_RANDOM_H
#define RBC_TESTS_RANDOM_H

#include <stdint.h>

static inline uint64_t xorshift(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The same, mixed, so that its lower bits are as good as the others. */
static inline uint64_t xorshift_number(uint64_t *state) {
    return xorshift(state) * UINT64_C(0x2545F4914F6CDD1D);
}

static inline int64_t xorshift_up_to(uint64_t *state, int64_t most) {
    return (int64_t)((xorshift_number(state) >> 16) % ((uint64_t)most + 1));
}

/* From 0 to 1, of 53 bits. */
static inline double xorshift_unit(uint64_t *state) {
    return (double)(xorshift(state) >> 11) * 0x1p-53;
}

#endif
