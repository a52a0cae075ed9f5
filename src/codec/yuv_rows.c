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

/* Of a sum with 5 fractional bits; within 16 bits all the way, so that lanes stay as they are. */
static inline uint16_t clamp16(int16_t sum) {
    const int16_t value = (int16_t)(sum >> 5);
    const int16_t low = value < 0 ? 0 : value;
    return (uint16_t)(low > 255 ? 255 : low);
}

/* What a strip is made of. */
typedef struct strip {
    int16_t y[STRIP], u[STRIP], v[STRIP];
    uint16_t blend[2][STRIP + 2]; /* of two rows of u and of v; one more at either end */
    uint16_t red[STRIP / 2], green[STRIP / 2], blue[STRIP / 2]; /* two pixels each, of a byte */
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

/* 3 near + far of the two rows of chroma next to a row of pixels, for pixels [x, x + n); x is even.
 * Returns where that of the first is, with one more at either end where chroma has half the columns.
 */
static const uint16_t *blend_chroma(const rbc__yuv_picture *p, int32_t plane, int32_t row,
                                    int32_t x, int32_t n, uint16_t *blend) {
    const int32_t rows = p->halves_y ? (p->height + 1) / 2 : p->height;
    const int32_t columns = p->halves_x ? (p->width + 1) / 2 : p->width;
    const int32_t near = p->halves_y ? row / 2 : row;
    int32_t far = p->halves_y ? near + (row % 2 == 0 ? -1 : 1) : near;
    far = far < 0 ? 0 : far >= rows ? rows - 1 : far;
    const uint8_t *near_row = p->planes[plane] + near * p->strides[plane];
    const uint8_t *far_row = p->planes[plane] + far * p->strides[plane];
    if (!p->halves_x) {
        blend_rows(p, near_row, far_row, x, n, blend);
        return blend;
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
    return its;
}

/* Chroma of pixels [x, x + n) of a row; x is even. */
static void take_chroma(const rbc__yuv_picture *p, int32_t plane, int32_t row, int32_t x, int32_t n,
                        uint16_t *blend, int16_t *restrict out) {
    const int shift = 12 - p->bits;
    const uint16_t middle = (uint16_t)(1 << (p->bits + 3));
    const uint16_t *its = blend_chroma(p, plane, row, x, n, blend);
    for (int32_t i = 0; !p->halves_x && i < n; ++i) {
        out[i] = (int16_t)((uint16_t)((uint16_t)(4 * its[i]) - middle) << shift);
    }
    for (int32_t i = 0; p->halves_x && i < (n + 1) / 2; ++i) {
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
    uint8_t *red = (uint8_t *)s->red;
    uint8_t *green = (uint8_t *)s->green;
    uint8_t *blue = (uint8_t *)s->blue;
    for (int32_t i = 0; i < n; ++i) {
        const int16_t y = (int16_t)(mul(s->y[i], luma) + 16);
        const int16_t r = (int16_t)(y + mul(s->v[i], v_to_r));
        const int16_t g = (int16_t)(y - mul(s->u[i], u_to_g) - mul(s->v[i], v_to_g));
        const int16_t b = (int16_t)(y + mul(s->u[i], u_to_b));
        red[i] = clamp(r >> 5);
        green[i] = clamp(g >> 5);
        blue[i] = clamp(b >> 5);
    }
}

/* What mix() does, straight from luma of 8 bits and from chroma of half the columns, two pixels at a
 * time: the left one in the low bytes of 16-bit lanes, the right one in the high bytes. Nothing is
 * interleaved, and nothing kept in between, which takes 0.6 of the time. */
static void mix_pairs(const rbc__yuv_coefficients *c, const uint8_t *luma_row, const uint16_t *u,
                      const uint16_t *v, strip *restrict s, int32_t pairs) {
    const int16_t black = c->black;
    const int16_t luma = c->luma;
    const int16_t v_to_r = c->v_to_r;
    const int16_t u_to_g = c->u_to_g;
    const int16_t v_to_g = c->v_to_g;
    const int16_t u_to_b = c->u_to_b;
    const uint16_t middle = 1 << 11;
    for (int32_t i = 0; i < pairs; ++i) {
        uint16_t both;
        memcpy(&both, luma_row + 2 * (size_t)i, sizeof both);
        const int16_t y0 = (int16_t)(mul((int16_t)(((both & 255) << 7) - black), luma) + 16);
        const int16_t y1 = (int16_t)(mul((int16_t)((both >> 8 << 7) - black), luma) + 16);
        const int16_t u0 = (int16_t)((uint16_t)(3 * u[i] + u[i - 1] - middle) << 4);
        const int16_t u1 = (int16_t)((uint16_t)(3 * u[i] + u[i + 1] - middle) << 4);
        const int16_t v0 = (int16_t)((uint16_t)(3 * v[i] + v[i - 1] - middle) << 4);
        const int16_t v1 = (int16_t)((uint16_t)(3 * v[i] + v[i + 1] - middle) << 4);
        const int16_t r0 = (int16_t)(y0 + mul(v0, v_to_r));
        const int16_t r1 = (int16_t)(y1 + mul(v1, v_to_r));
        const int16_t g0 = (int16_t)(y0 - mul(u0, u_to_g) - mul(v0, v_to_g));
        const int16_t g1 = (int16_t)(y1 - mul(u1, u_to_g) - mul(v1, v_to_g));
        const int16_t b0 = (int16_t)(y0 + mul(u0, u_to_b));
        const int16_t b1 = (int16_t)(y1 + mul(u1, u_to_b));
        s->red[i] = (uint16_t)(clamp16(r0) | clamp16(r1) << 8);
        s->green[i] = (uint16_t)(clamp16(g0) | clamp16(g1) << 8);
        s->blue[i] = (uint16_t)(clamp16(b0) | clamp16(b1) << 8);
    }
}

static void mix_gray(int16_t luma, const int16_t *restrict y, int32_t n, uint8_t *restrict out) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = clamp((mul(y[i], luma) + 16) >> 5);
    }
}

static void weave(const strip *s, int32_t n, uint8_t *restrict dst) {
    const uint8_t *red = (const uint8_t *)s->red;
    const uint8_t *green = (const uint8_t *)s->green;
    const uint8_t *blue = (const uint8_t *)s->blue;
    for (int32_t i = 0; i < n; ++i) {
        dst[3 * i] = red[i];
        dst[3 * i + 1] = green[i];
        dst[3 * i + 2] = blue[i];
    }
}

static void to_rgb(const rbc__yuv_picture *p, uint8_t *dst) {
    strip s = {0};
    for (int32_t row = 0; row < p->height; ++row) {
        for (int32_t x = 0; x < p->width; x += STRIP) {
            const int32_t n = p->width - x < STRIP ? p->width - x : STRIP;
            if (p->bits == 8 && p->halves_x && n % 2 == 0) {
                mix_pairs(&p->coefficients, p->planes[0] + row * p->strides[0] + x,
                          blend_chroma(p, 1, row, x, n, s.blend[0]),
                          blend_chroma(p, 2, row, x, n, s.blend[1]), &s, n / 2);
            } else {
                take_luma(p, 0, row, x, n, s.y);
                take_chroma(p, 1, row, x, n, s.blend[0], s.u);
                take_chroma(p, 2, row, x, n, s.blend[1], s.v);
                mix(&p->coefficients, &s, n);
            }
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
    uint8_t *const out[] = {(uint8_t *)s.red, (uint8_t *)s.green, (uint8_t *)s.blue};
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
