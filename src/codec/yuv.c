#include "codec/yuv.h"

#include <stddef.h>

#include <robocache/robocache.h>

#include "core/cpu.h"

/* a / b to the nearest, b > 0. */
static int64_t divide(int64_t a, int64_t b) {
    return a >= 0 ? (a + b / 2) / b : -((-a + b / 2) / b);
}

bool rbc__yuv_coefficients_of(int32_t matrix, bool is_full_range, int32_t bits,
                              rbc__yuv_coefficients *out) {
    /* Shares of red and blue in luma, in 10,000ths. */
    static const struct {
        int32_t matrix, red, blue;
    } shares[] = {{1, 2126, 722},  {2, 2990, 1140}, {4, 3000, 1100}, {5, 2990, 1140},
                  {6, 2990, 1140}, {7, 2120, 870},  {9, 2627, 593},  {10, 2627, 593}};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; ++i) {
        if (shares[i].matrix != matrix) {
            continue;
        }
        const int64_t one = 10000;
        const int64_t red = shares[i].red;
        const int64_t blue = shares[i].blue;
        const int64_t green = one - red - blue;
        /* What 255 of the output are in samples of 8 bits: of luma, of chroma. */
        const int64_t full_top = ((int64_t)1 << bits) - 1;
        const int64_t full_one = (int64_t)255 << (bits - 8);
        const int64_t luma_top = is_full_range ? full_top : 219;
        const int64_t luma_one = is_full_range ? full_one : 255;
        const int64_t chroma_top = is_full_range ? full_top : 224;
        const int64_t chroma_one = is_full_range ? full_one : 255;
        const int64_t luma = (int64_t)1 << 13;
        const int64_t chroma = (int64_t)1 << 12;
        *out = (rbc__yuv_coefficients){
            .luma = (int16_t)divide(luma_one * luma, luma_top),
            .black = is_full_range ? 0 : 16 << 7,
            .v_to_r = (int16_t)divide(2 * (one - red) * chroma_one * chroma, one * chroma_top),
            .u_to_g = (int16_t)divide(2 * (one - blue) * blue * chroma_one * chroma,
                                      green * one * chroma_top),
            .v_to_g = (int16_t)divide(2 * (one - red) * red * chroma_one * chroma,
                                      green * one * chroma_top),
            .u_to_b = (int16_t)divide(2 * (one - blue) * chroma_one * chroma, one * chroma_top)};
        return true;
    }
    return false;
}

static const rbc__yuv_kernels *kernels(void) {
#ifdef __x86_64__
    const uint64_t features = rbc__cpu_features();
    if ((features & RBC_CPU_AVX512) != 0) {
        return &rbc__yuv_kernels_avx512;
    }
    if ((features & RBC_CPU_AVX2) != 0) {
        return &rbc__yuv_kernels_avx2;
    }
#endif
    return &rbc__yuv_kernels_baseline;
}

void rbc__yuv_to_rgb(const rbc__yuv_picture *picture, uint8_t *dst) {
    kernels()->to_rgb(picture, dst);
}

void rbc__yuv_to_gray(const rbc__yuv_picture *picture, uint8_t *dst) {
    kernels()->to_gray(picture, dst);
}

void rbc__planes_to_rgb(const rbc__yuv_picture *picture, uint8_t *dst) {
    kernels()->planes_to_rgb(picture, dst);
}
