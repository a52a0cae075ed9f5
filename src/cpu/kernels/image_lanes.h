/* Bytes as vectors of 32-bit integers, for the ISA being compiled: compilers take the conversions
 * apart, element by element, where they are left to them.
 * Shared within src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_IMAGE_LANES_H
#define RBC_CPU_KERNELS_IMAGE_LANES_H

#include <stdint.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* WIDE: bytes of the vectors that bytes are moved in. */
#if defined(__AVX512BW__)
#define WIDE 64
#elif defined(__AVX2__)
#define WIDE 32
#else
#define WIDE 16
#endif

typedef uint8_t wide __attribute__((vector_size(WIDE)));

/* The bytes of the lower, or upper, half of each 16 of `a` and `b` in turn. */
static inline wide wide_low(wide a, wide b) {
#if defined(__AVX512BW__)
    return (wide)_mm512_unpacklo_epi8((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (wide)_mm256_unpacklo_epi8((__m256i)a, (__m256i)b);
#else
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#endif
}

static inline wide wide_high(wide a, wide b) {
#if defined(__AVX512BW__)
    return (wide)_mm512_unpackhi_epi8((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (wide)_mm256_unpackhi_epi8((__m256i)a, (__m256i)b);
#else
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                   31);
#endif
}

/* Bytes of 16 that lie `stride` apart, side by side. */
static inline wide wide_gather(const uint8_t *at, int64_t stride) {
#if defined(__AVX512BW__)
    __m512i all = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)at));
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + stride)), 1);
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + 2 * stride)),
                             2);
    return (wide)_mm512_inserti32x4(
        all, _mm_loadu_si128((const __m128i *)(const void *)(at + 3 * stride)), 3);
#elif defined(__AVX2__)
    const __m256i first =
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)at));
    return (wide)_mm256_inserti128_si256(
        first, _mm_loadu_si128((const __m128i *)(const void *)(at + stride)), 1);
#else
    (void)stride;
    wide bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
#endif
}

/* The way back. */
static inline void wide_scatter(wide bytes, uint8_t *at, int64_t stride) {
#if defined(__AVX512BW__)
    _mm_storeu_si128((__m128i *)(void *)at, _mm512_castsi512_si128((__m512i)bytes));
    _mm_storeu_si128((__m128i *)(void *)(at + stride),
                     _mm512_extracti32x4_epi32((__m512i)bytes, 1));
    _mm_storeu_si128((__m128i *)(void *)(at + 2 * stride),
                     _mm512_extracti32x4_epi32((__m512i)bytes, 2));
    _mm_storeu_si128((__m128i *)(void *)(at + 3 * stride),
                     _mm512_extracti32x4_epi32((__m512i)bytes, 3));
#elif defined(__AVX2__)
    _mm_storeu_si128((__m128i *)(void *)at, _mm256_castsi256_si128((__m256i)bytes));
    _mm_storeu_si128((__m128i *)(void *)(at + stride), _mm256_extracti128_si256((__m256i)bytes, 1));
#else
    (void)stride;
    memcpy(at, &bytes, sizeof bytes);
#endif
}

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef int32_t lanes __attribute__((vector_size(4 * LANES)));

static inline lanes lanes_load(const uint8_t *at) {
#if defined(__AVX512F__)
    return (lanes)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
#elif defined(__AVX2__)
    return (lanes)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at));
#elif defined(__x86_64__)
    int32_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    const __m128i zero = _mm_setzero_si128();
    return (lanes)_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero), zero);
#else
    typedef uint8_t bytes4 __attribute__((vector_size(LANES)));
    bytes4 bytes;
    memcpy(&bytes, at, sizeof bytes);
    return __builtin_convertvector(bytes, lanes);
#endif
}

/* Values within 16 bits, brought within a byte. */
static inline void lanes_store(lanes values, uint8_t *at) {
#if defined(__AVX512F__)
    const __m512i positive = _mm512_max_epi32((__m512i)values, _mm512_setzero_si512());
    _mm_storeu_si128((__m128i *)(void *)at, _mm512_cvtusepi32_epi8(positive));
#elif defined(__AVX2__)
    const __m256i words = _mm256_packs_epi32((__m256i)values, (__m256i)values);
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const __m128i both =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((__m128i *)(void *)at, both);
#elif defined(__x86_64__)
    const __m128i words = _mm_packs_epi32((__m128i)values, (__m128i)values);
    const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    memcpy(at, &bytes, sizeof bytes);
#else
    typedef uint8_t bytes4 __attribute__((vector_size(LANES)));
    values &= ~(values >> 31);
    values |= values > 255;
    const bytes4 bytes = __builtin_convertvector(values, bytes4);
    memcpy(at, &bytes, sizeof bytes);
#endif
}

#endif
