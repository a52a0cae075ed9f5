/* Floats of every width: converting, interpolating. For nvcc and, in tests, for a C compiler. */
#ifndef RBC_CUDA_FLOAT_CUH
#define RBC_CUDA_FLOAT_CUH

#include "cuda/common/dtypes.h"
#include "cuda/common/launch.cuh"
#ifndef __CUDACC__
#include "core/half.h"
#endif

#ifdef __CUDACC__

INLINE float bf16_low(unsigned word) {
    return __uint_as_float(word << 16);
}

INLINE float bf16_high(unsigned word) {
    return __uint_as_float(word & 0xffff0000u);
}

INLINE unsigned bf16_pack(float low, float high) {
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

INLINE float f16_widen(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

INLINE unsigned f16_pack(float low, float high) {
    unsigned word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

#else

INLINE float bf16_low(unsigned word) {
    return rbc__f32_of_bf16((unsigned short)word);
}

INLINE unsigned bf16_pack(float low, float high) {
    return (unsigned)rbc__bf16_of_f32(high) << 16 | rbc__bf16_of_f32(low);
}

INLINE float f16_widen(unsigned short bits) {
    return rbc__f32_of_f16(bits);
}

INLINE unsigned f16_pack(float low, float high) {
    return (unsigned)rbc__f16_of_f32(high) << 16 | rbc__f16_of_f32(low);
}

#endif

/* a + w * (b - a), every operation rounded. */
INLINE float lerp_f32(float a, float b, float w) {
    return __fadd_rn(a, __fmul_rn(w, __fsub_rn(b, a)));
}

INLINE double lerp_f64(double a, double b, double w) {
    return __dadd_rn(a, __dmul_rn(w, __dsub_rn(b, a)));
}

#endif
