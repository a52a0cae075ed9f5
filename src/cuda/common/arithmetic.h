/* Sizes of launches and of parts of memory, worked out on the host. None may be negative. */
#ifndef RBC_CUDA_ARITHMETIC_H
#define RBC_CUDA_ARITHMETIC_H

#include <stdint.h>

static inline int64_t rbc__at_least(int64_t value, int64_t least) {
    return value < least ? least : value;
}

static inline int64_t rbc__at_most(int64_t value, int64_t most) {
    return value > most ? most : value;
}

static inline int64_t rbc__divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* The least multiple of `to` that is not below `value`. */
static inline int64_t rbc__round_up(int64_t value, int64_t to) {
    return rbc__divide_up(value, to) * to;
}

#endif
