/* One pass of the inverse DCT over eight values, with the integers of libjpeg-turbo's SIMD code:
 * products and sums of 16 bits wrap, and results are clamped, as there. What an image may hold
 * decodes the same way in its plain C code; what a damaged one holds, only so. */
#ifndef RBC_CUDA_JPEG_IDCT_CUH
#define RBC_CUDA_JPEG_IDCT_CUH

#include "cuda/jpeg/portable.cuh"

enum {
    IDCT_CONST_BITS = 13,
    IDCT_COLUMN_SHIFT = IDCT_CONST_BITS - 2,
    IDCT_ROW_SHIFT = IDCT_CONST_BITS + 2 + 3,
    IDCT_FAST_ROW_SHIFT = 5,

    F_0_298 = 2446,
    F_0_390 = 3196,
    F_0_541 = 4433,
    F_0_765 = 6270,
    F_0_899 = 7373,
    F_1_175 = 9633,
    F_1_501 = 12299,
    F_1_847 = 15137,
    F_1_961 = 16069,
    F_2_053 = 16819,
    F_2_562 = 20995,
    F_3_072 = 25172,

    /* Of the fast one, scaled so that the product's upper 16 bits are used. */
    FAST_1_082 = 277 << 6,
    FAST_1_414 = 362 << 6,
    FAST_1_613 = 413 << 6,
    FAST_1_847 = 473 << 6,
};

INLINE int32_t wrap16(int32_t value) {
    return (int16_t)(uint16_t)(uint32_t)value;
}

INLINE int32_t clamp16(int32_t value) {
    return value < -32768 ? -32768 : value > 32767 ? 32767 : value;
}

/* The sum, which may leave 32 bits, rounded and shifted, as 16 bits. */
INLINE int32_t descale(int32_t a, int32_t b, int shift) {
    const uint32_t sum = (uint32_t)a + (uint32_t)b + (1u << (shift - 1));
    return clamp16((int32_t)sum >> shift);
}

INLINE int32_t difference(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

INLINE void idct_accurate(int32_t v[8], int shift) {
    const int32_t e2 = v[2] * F_0_541 + v[6] * (F_0_541 - F_1_847);
    const int32_t e3 = v[2] * (F_0_541 + F_0_765) + v[6] * F_0_541;
    const int32_t e0 = wrap16(v[0] + v[4]) * (1 << IDCT_CONST_BITS);
    const int32_t e1 = wrap16(v[0] - v[4]) * (1 << IDCT_CONST_BITS);
    const int32_t even[4] = {e0 + e3, e1 + e2, e1 - e2, e0 - e3};

    const int32_t s3 = wrap16(v[7] + v[3]);
    const int32_t s4 = wrap16(v[5] + v[1]);
    const int32_t z3 = s3 * (F_1_175 - F_1_961) + s4 * F_1_175;
    const int32_t z4 = s3 * F_1_175 + s4 * (F_1_175 - F_0_390);
    const int32_t odd[4] = {
        v[7] * -F_0_899 + v[1] * (F_1_501 - F_0_899) + z4,
        v[5] * -F_2_562 + v[3] * (F_3_072 - F_2_562) + z3,
        v[5] * (F_2_053 - F_2_562) + v[3] * -F_2_562 + z4,
        v[7] * (F_0_298 - F_0_899) + v[1] * -F_0_899 + z3,
    };
    UNROLL
    for (int i = 0; i < 4; ++i) {
        v[i] = descale(even[i], odd[i], shift);
        v[7 - i] = descale(even[i], difference(0, odd[i]), shift);
    }
}

INLINE int32_t upper16(int32_t a, int32_t b) {
    return (a * b) >> 16;
}

INLINE void idct_fast(int32_t v[8]) {
    const int32_t t10 = wrap16(v[0] + v[4]);
    const int32_t t11 = wrap16(v[0] - v[4]);
    const int32_t t13 = wrap16(v[2] + v[6]);
    const int32_t t12 = wrap16(upper16(wrap16((v[2] - v[6]) * 4), FAST_1_414) - t13);
    const int32_t e0 = wrap16(t10 + t13), e3 = wrap16(t10 - t13);
    const int32_t e1 = wrap16(t11 + t12), e2 = wrap16(t11 - t12);

    const int32_t z10 = wrap16(v[5] - v[3]), z13 = wrap16(v[5] + v[3]);
    const int32_t z12 = wrap16(v[1] - v[7]), z11 = wrap16(v[1] + v[7]);
    const int32_t z10s = wrap16(z10 * 4), z12s = wrap16(z12 * 4);
    const int32_t o7 = wrap16(z11 + z13);
    const int32_t o11 = upper16(wrap16(wrap16(z11 - z13) * 4), FAST_1_414);
    const int32_t z5 = upper16(wrap16(z10s + z12s), FAST_1_847);
    const int32_t o12 = wrap16(upper16(z10s, -FAST_1_613) - z10 + z5);
    const int32_t o10 = wrap16(upper16(z12s, FAST_1_082) - z5);
    const int32_t o6 = wrap16(o12 - o7);
    const int32_t o5 = wrap16(o11 - o6);
    const int32_t o4 = wrap16(o10 + o5);
    v[0] = wrap16(e0 + o7);
    v[7] = wrap16(e0 - o7);
    v[1] = wrap16(e1 + o6);
    v[6] = wrap16(e1 - o6);
    v[2] = wrap16(e2 + o5);
    v[5] = wrap16(e2 - o5);
    v[4] = wrap16(e3 + o4);
    v[3] = wrap16(e3 - o4);
}

/* A column of coefficients times their quantisation steps. `flat`: of the whole block, rows after
 * the first hold zeros alone; the accurate one then goes a shorter way, which wraps. */
INLINE void idct_column(int32_t v[8], bool is_fast, bool flat) {
    if (is_fast) {
        idct_fast(v);
    } else if (flat) {
        const int32_t value = wrap16(v[0] * 4);
        UNROLL
        for (int i = 0; i < 8; ++i) {
            v[i] = value;
        }
    } else {
        idct_accurate(v, IDCT_COLUMN_SHIFT);
    }
}

INLINE uint32_t sample_of(int32_t value) {
    return (uint32_t)((value < -128 ? -128 : value > 127 ? 127 : value) + 128);
}

/* A row, of which samples come. */
INLINE void idct_row(int32_t v[8], bool is_fast) {
    if (is_fast) {
        idct_fast(v);
        UNROLL
        for (int i = 0; i < 8; ++i) {
            v[i] >>= IDCT_FAST_ROW_SHIFT;
        }
    } else {
        idct_accurate(v, IDCT_ROW_SHIFT);
    }
    UNROLL
    for (int i = 0; i < 8; ++i) {
        v[i] = (int32_t)sample_of(v[i]);
    }
}

/* A quantisation step as coefficients are multiplied by it; `scale` is of IDCT_AAN_SCALES. */
INLINE int32_t quant_step(uint32_t step, uint32_t scale, bool is_fast) {
    return wrap16((int32_t)(is_fast ? (step * scale + 2048) >> 12 : step));
}

#endif
