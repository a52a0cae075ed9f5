/* What the arithmetic of JPEG is written in, for nvcc and, in tests, for a C compiler. */
#ifndef RBC_CUDA_JPEG_PORTABLE_CUH
#define RBC_CUDA_JPEG_PORTABLE_CUH

#include "cuda/jpeg/jpeg_params.h"

#ifdef __CUDACC__

#include "cuda/common/launch.cuh"

#define UNROLL   _Pragma("unroll")
#define CONSTANT static __constant__

INLINE uint32_t load_word(const uint32_t *word) {
    return __ldg(word);
}

/* 32 bits of high and low from bit `shift` of high on. */
INLINE uint32_t join_words(uint32_t high, uint32_t low, uint32_t shift) {
    return __funnelshift_l(low, high, shift);
}

/* Eight values at a multiple of 16 bytes. */
typedef uint4 eight_values;

INLINE eight_values load_eight(const int16_t *from) {
    return *(const eight_values *)from;
}

INLINE void store_eight(int16_t *to, eight_values values) {
    *(eight_values *)to = values;
}

INLINE void clear_eight(int16_t *at) {
    *(eight_values *)at = make_uint4(0, 0, 0, 0);
}

#else

#include <stdbool.h>
#include <string.h>

#define INLINE static inline
#define UNROLL
#define CONSTANT static const

INLINE uint32_t load_word(const uint32_t *word) {
    return *word;
}

INLINE uint32_t join_words(uint32_t high, uint32_t low, uint32_t shift) {
    return shift == 0 ? high : high << shift | low >> (32 - shift);
}

typedef struct eight_values {
    int16_t values[8];
} eight_values;

INLINE eight_values load_eight(const int16_t *from) {
    eight_values values;
    memcpy(values.values, from, sizeof values);
    return values;
}

INLINE void store_eight(int16_t *to, eight_values values) {
    memcpy(to, values.values, sizeof values);
}

INLINE void clear_eight(int16_t *at) {
    memset(at, 0, sizeof(eight_values));
}

#endif

#endif
