/* From pictures in luma and chroma to RGB, in integers that are specified here to the bit, so that
 * other implementations can give the same.
 *
 * Samples have D bits, 8 to 12. `>>` rounds down; mul(a, b) = ((a * b >> 14) + 1) >> 1 of two int16
 * in int32, a product of fractions rounded to the nearest.
 *
 *   luma     y = (Y << (15 - D)) - black                      int16; black: 16 << 7, full range 0
 *   chroma   C is taken to lie in the middle of the luma samples that share it, and each pixel's is
 *            16 times the linear blend of those nearest to it, edges repeated:
 *              over rows      4:2:0: 3 near + far, where far is the row of chroma on the other side
 *                             of the pixel's row; else 4 C
 *              over columns   4:2:0 and 4:2:2: 3 near + far in the same way; else 4 of that
 *            c = (blend - (1 << (D + 3))) << (12 - D)         int16
 *   RGB      R = clamp((mul(y, luma) + mul(v, v_to_r) + 16) >> 5), 0 to 255
 *            G = clamp((mul(y, luma) - mul(u, u_to_g) - mul(v, v_to_g) + 16) >> 5)
 *            B = clamp((mul(y, luma) + mul(u, u_to_b) + 16) >> 5)
 *   grey     the same with c = 0
 *
 * The coefficients are those of the matrix and the range, 13 fractional bits for luma and 12 for
 * chroma, rounded to the nearest (rbc__yuv_coefficients_of). Interface of src/codec. */
#ifndef RBC_CODEC_YUV_H
#define RBC_CODEC_YUV_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rbc__yuv_coefficients {
    int16_t luma, black;
    int16_t v_to_r, u_to_g, v_to_g, u_to_b;
} rbc__yuv_coefficients;

/* By the number of the matrix in ITU-T H.273: BT.709 (1), FCC (4), BT.601 (5, 6, and 2, which says
 * that none is given), SMPTE 240M (7), BT.2020 (9, 10). False for any other. */
bool rbc__yuv_coefficients_of(int32_t matrix, bool is_full_range, int32_t bits,
                              rbc__yuv_coefficients *out);

/* Planes whose rows are `stride` bytes apart, samples of 8 bits in a byte, of more in two. */
typedef struct rbc__yuv_picture {
    const uint8_t *planes[3]; /* luma, u, v; no u and v: grey */
    int64_t strides[3];
    int32_t width, height;
    int32_t bits;
    bool halves_x, halves_y; /* chroma has half the columns, half the rows, rounded up */
    rbc__yuv_coefficients coefficients;
} rbc__yuv_picture;

/* To RGB, 3 bytes a pixel, rows packed. With the best kernels of this processor. */
void rbc__yuv_to_rgb(const rbc__yuv_picture *picture, uint8_t *dst);
/* The luma alone, a byte a pixel. */
void rbc__yuv_to_gray(const rbc__yuv_picture *picture, uint8_t *dst);
/* Planes that are red, green and blue in that order, with the coefficients of grey. */
void rbc__planes_to_rgb(const rbc__yuv_picture *picture, uint8_t *dst);

/* What the three do, compiled for an instruction set. */
typedef struct rbc__yuv_kernels {
    void (*to_rgb)(const rbc__yuv_picture *picture, uint8_t *dst);
    void (*to_gray)(const rbc__yuv_picture *picture, uint8_t *dst);
    void (*planes_to_rgb)(const rbc__yuv_picture *picture, uint8_t *dst);
} rbc__yuv_kernels;
extern const rbc__yuv_kernels rbc__yuv_kernels_baseline;
extern const rbc__yuv_kernels rbc__yuv_kernels_avx2;
extern const rbc__yuv_kernels rbc__yuv_kernels_avx512;

#endif
