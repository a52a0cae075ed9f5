/* Sizes of launches and of parts of memory, worked out on the host.
 * Interface of src/cuda/common. */
#ifndef RBC_CUDA_ARITHMETIC_H
#define RBC_CUDA_ARITHMETIC_H

#include <stdint.h>

static inline int64_t rbc__max64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t rbc__min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Of numbers that are not negative. */
static inline int64_t rbc__divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* The least multiple of `to` that is not below `value`. */
static inline int64_t rbc__round_up(int64_t value, int64_t to) {
    return rbc__divide_up(value, to) * to;
}

#endif
