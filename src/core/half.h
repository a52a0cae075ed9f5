/* Conversions of f16 and bf16, written so that the compiler vectorises them.
 * Interface of src/core. */
#ifndef RBC_CORE_HALF_H
#define RBC_CORE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float rbc__f32_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t rbc__bits_of_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float rbc__f32_of_bf16(uint16_t half) {
    return rbc__f32_of_bits((uint32_t)half << 16);
}

/* The f16 mantissa and exponent read as an f32 are the value over 2^112, subnormals included. */
static inline float rbc__f32_of_f16(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    const uint32_t finite = rbc__bits_of_f32(rbc__f32_of_bits(magnitude << 13) * 0x1p112f);
    const uint32_t special = (magnitude << 13) | 0x7f800000u;
    return rbc__f32_of_bits(sign | (magnitude >= 0x7c00u ? special : finite));
}

/* To nearest even; every NaN becomes the quiet one with its sign. */
static inline uint16_t rbc__bf16_of_f32(float value) {
    const uint32_t bits = rbc__bits_of_f32(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)((bits >> 16 & 0x8000u) | 0x7fc0u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* To nearest even; every NaN becomes the quiet one with its sign. For f16 subnormals the addition
 * of one half, whose last place is 2^-24, does the rounding. */
static inline uint16_t rbc__f16_of_f32(float value) {
    const uint32_t bits = rbc__bits_of_f32(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (magnitude >= 0x477ff000u) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { /* below 2^-14 */
        const float shifted = rbc__f32_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (rbc__bits_of_f32(shifted) - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

#endif
