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

#else

#include <stdbool.h>

#define INLINE static inline
#define UNROLL
#define CONSTANT static const

INLINE uint32_t load_word(const uint32_t *word) {
    return *word;
}

INLINE uint32_t join_words(uint32_t high, uint32_t low, uint32_t shift) {
    return shift == 0 ? high : high << shift | low >> (32 - shift);
}

#endif

#endif
