/* Rows of pixels out of luma and chroma, as yuv.h specifies. Compiled for each instruction set. */
#include <string.h>

#include "codec/yuv.h"

enum { STRIP = 512 }; /* pixels that are worked on at a time: what they need stays in cache */

#define JOIN(a, b) a##b
#define NAMED(isa) JOIN(rbc__yuv_kernels_, isa)

static inline int16_t mul(int16_t a, int16_t b) {
    return (int16_t)((((int32_t)a * b >> 14) + 1) >> 1);
}

static inline uint8_t clamp(int32_t value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* What a strip is made of. */
typedef struct strip {
    int16_t y[STRIP], u[STRIP], v[STRIP];
    uint16_t blend[STRIP + 2]; /* of two rows; one more at either end */
    uint8_t red[STRIP], green[STRIP], blue[STRIP];
} strip;

static void take_luma(const rbc__yuv_picture *p, int32_t plane, int32_t row, int32_t x, int32_t n,
                      int16_t *restrict out) {
    const int shift = 15 - p->bits;
    const int16_t black = p->coefficients.black;
    const uint8_t *src = p->planes[plane] + row * p->strides[plane];
    if (p->bits == 8) {
        const uint8_t *restrict from = src + x;
        for (int32_t i = 0; i < n; ++i) {
            out[i] = (int16_t)((from[i] << 7) - black);
        }
        return;
    }
    const uint16_t *restrict from = (const uint16_t *)(const void *)src + x;
    const uint16_t mask = (uint16_t)((1 << p->bits) - 1);
    for (int32_t i = 0; i < n; ++i) {
        out[i] = (int16_t)((uint16_t)((from[i] & mask) << shift) - black);
    }
}

/* 3 near + far of columns [x, x + n) of two rows. */
static void blend_rows(const rbc__yuv_picture *p, const uint8_t *near, const uint8_t *far,
                       int32_t x, int32_t n, uint16_t *restrict out) {
    if (p->bits == 8) {
        const uint8_t *restrict a = near + x;
        const uint8_t *restrict b = far + x;
        for (int32_t i = 0; i < n; ++i) {
            out[i] = (uint16_t)(3 * a[i] + b[i]);
        }
        return;
    }
    const uint16_t *restrict a = (const uint16_t *)(const void *)near + x;
    const uint16_t *restrict b = (const uint16_t *)(const void *)far + x;
    const uint16_t mask = (uint16_t)((1 << p->bits) - 1);
    for (int32_t i = 0; i < n; ++i) {
        out[i] = (uint16_t)(3 * (a[i] & mask) + (b[i] & mask));
    }
}

/* Chroma of pixels [x, x + n) of a row; x is even. */
static void take_chroma(const rbc__yuv_picture *p, int32_t plane, int32_t row, int32_t x, int32_t n,
                        uint16_t *restrict blend, int16_t *restrict out) {
    const int shift = 12 - p->bits;
    const uint16_t middle = (uint16_t)(1 << (p->bits + 3));
    const int32_t rows = p->halves_y ? (p->height + 1) / 2 : p->height;
    const int32_t columns = p->halves_x ? (p->width + 1) / 2 : p->width;
    const int32_t near = p->halves_y ? row / 2 : row;
    int32_t far = p->halves_y ? near + (row % 2 == 0 ? -1 : 1) : near;
    far = far < 0 ? 0 : far >= rows ? rows - 1 : far;
    const uint8_t *near_row = p->planes[plane] + near * p->strides[plane];
    const uint8_t *far_row = p->planes[plane] + far * p->strides[plane];
    if (!p->halves_x) {
        blend_rows(p, near_row, far_row, x, n, blend);
        for (int32_t i = 0; i < n; ++i) {
            out[i] = (int16_t)((uint16_t)((uint16_t)(4 * blend[i]) - middle) << shift);
        }
        return;
    }
    const int32_t begin = x / 2;
    const int32_t count = (n + 1) / 2;
    const int32_t first = begin > 0 ? begin - 1 : begin;
    const int32_t end = begin + count < columns ? begin + count + 1 : columns;
    uint16_t *its = blend + 1; /* its[i]: of column begin + i */
    blend_rows(p, near_row, far_row, first, end - first, its - (begin - first));
    if (first == begin) {
        its[-1] = its[0];
    }
    if (end == begin + count) {
        its[count] = its[count - 1];
    }
    for (int32_t i = 0; i < count; ++i) {
        const uint16_t left = (uint16_t)(3 * its[i] + its[i - 1]);
        const uint16_t right = (uint16_t)(3 * its[i] + its[i + 1]);
        out[2 * i] = (int16_t)((uint16_t)(left - middle) << shift);
        out[2 * i + 1] = (int16_t)((uint16_t)(right - middle) << shift);
    }
}

static void mix(const rbc__yuv_coefficients *c, strip *restrict s, int32_t n) {
    const int16_t luma = c->luma;
    const int16_t v_to_r = c->v_to_r;
    const int16_t u_to_g = c->u_to_g;
    const int16_t v_to_g = c->v_to_g;
    const int16_t u_to_b = c->u_to_b;
    for (int32_t i = 0; i < n; ++i) {
        const int16_t y = (int16_t)(mul(s->y[i], luma) + 16);
        const int16_t r = (int16_t)(y + mul(s->v[i], v_to_r));
        const int16_t g = (int16_t)(y - mul(s->u[i], u_to_g) - mul(s->v[i], v_to_g));
        const int16_t b = (int16_t)(y + mul(s->u[i], u_to_b));
        s->red[i] = clamp(r >> 5);
        s->green[i] = clamp(g >> 5);
        s->blue[i] = clamp(b >> 5);
    }
}

static void mix_gray(int16_t luma, const int16_t *restrict y, int32_t n, uint8_t *restrict out) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = clamp((mul(y[i], luma) + 16) >> 5);
    }
}

static void weave(const strip *restrict s, int32_t n, uint8_t *restrict dst) {
    for (int32_t i = 0; i < n; ++i) {
        dst[3 * i] = s->red[i];
        dst[3 * i + 1] = s->green[i];
        dst[3 * i + 2] = s->blue[i];
    }
}

static void to_rgb(const rbc__yuv_picture *p, uint8_t *dst) {
    strip s;
    for (int32_t row = 0; row < p->height; ++row) {
        for (int32_t x = 0; x < p->width; x += STRIP) {
            const int32_t n = p->width - x < STRIP ? p->width - x : STRIP;
            take_luma(p, 0, row, x, n, s.y);
            take_chroma(p, 1, row, x, n, s.blend, s.u);
            take_chroma(p, 2, row, x, n, s.blend, s.v);
            mix(&p->coefficients, &s, n);
            weave(&s, n, dst);
            dst += 3 * (int64_t)n;
        }
    }
}

static void to_gray(const rbc__yuv_picture *p, uint8_t *dst) {
    strip s;
    for (int32_t row = 0; row < p->height; ++row) {
        for (int32_t x = 0; x < p->width; x += STRIP) {
            const int32_t n = p->width - x < STRIP ? p->width - x : STRIP;
            take_luma(p, 0, row, x, n, s.y);
            mix_gray(p->coefficients.luma, s.y, n, dst);
            dst += n;
        }
    }
}

static void planes_to_rgb(const rbc__yuv_picture *p, uint8_t *dst) {
    strip s;
    uint8_t *const out[] = {s.red, s.green, s.blue};
    for (int32_t row = 0; row < p->height; ++row) {
        for (int32_t x = 0; x < p->width; x += STRIP) {
            const int32_t n = p->width - x < STRIP ? p->width - x : STRIP;
            for (int32_t plane = 0; plane < 3; ++plane) {
                take_luma(p, plane, row, x, n, s.y);
                mix_gray(p->coefficients.luma, s.y, n, out[plane]);
            }
            weave(&s, n, dst);
            dst += 3 * (int64_t)n;
        }
    }
}

const rbc__yuv_kernels NAMED(RBC__ISA) = {to_rgb, to_gray, planes_to_rgb};
