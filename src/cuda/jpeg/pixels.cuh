/* From planes of samples to pixels, with libjpeg-turbo's integers: smooth upsampling of components
 * at half the resolution, repetition for others, and colour. */
#ifndef RBC_CUDA_JPEG_PIXELS_CUH
#define RBC_CUDA_JPEG_PIXELS_CUH

#include "cuda/jpeg/portable.cuh"

/* a / b, of sampling factors. */
INLINE uint32_t divide_small(uint32_t a, uint32_t b) {
    return b == 1 ? a : b == 2 ? a >> 1 : b == 4 ? a >> 2 : a / b;
}

/* The number in its scan of the block in column x and row y of a component. */
INLINE uint32_t block_in_scan(const jpeg_component *c, uint32_t x, uint32_t y) {
    const uint32_t mcu_x = divide_small(x, c->mcu_h), mcu_y = divide_small(y, c->mcu_v);
    const uint32_t own = (y - mcu_y * c->mcu_v) * c->mcu_h + x - mcu_x * c->mcu_h;
    return (mcu_y * c->mcus_per_row + mcu_x) * c->mcu_blocks + c->mcu_first + own;
}

/* As rbc__jpeg_colour of codec/jpeg_header.h. */
enum { COLOUR_GREY = 0, COLOUR_YCC = 1, COLOUR_RGB = 2 };

enum { UPSAMPLE_NONE, UPSAMPLE_H2, UPSAMPLE_V2, UPSAMPLE_H2V2, UPSAMPLE_REPEAT };

INLINE uint32_t upsampling_of(const jpeg_component *c) {
    if (c->h == 1 && c->v == 1) {
        return UPSAMPLE_NONE;
    }
    if (c->h == 1 && c->v == 2) {
        return UPSAMPLE_V2;
    }
    if (c->h == 2 && c->v <= 2 && c->width > 2) {
        return c->v == 1 ? UPSAMPLE_H2 : UPSAMPLE_H2V2;
    }
    return UPSAMPLE_REPEAT;
}

/* The row beside row y / 2 that lends to output row y: the one above for even, below for odd y. */
INLINE uint32_t lending_row(uint32_t y, uint32_t rows) {
    const uint32_t row = y / 2;
    return y % 2 == 0 ? (row == 0 ? 0 : row - 1) : row + 1 < rows ? row + 1 : row;
}

INLINE uint32_t lending_column(uint32_t x, uint32_t columns) {
    return lending_row(x, columns);
}

INLINE uint32_t blend_h2(uint32_t own, uint32_t lent, uint32_t x) {
    return (3 * own + lent + 1 + x % 2) >> 2;
}

INLINE uint32_t blend_v2(uint32_t own, uint32_t lent, uint32_t y) {
    return (3 * own + lent + 1 + y % 2) >> 2;
}

/* Of columns that are sums of three times the own row and the lending one. */
INLINE uint32_t blend_h2v2(uint32_t own, uint32_t lent, uint32_t x) {
    return (3 * own + lent + 8 - x % 2) >> 4;
}

/* The component's value at pixel (x, y). */
INLINE uint32_t upsampled(const jpeg_component *c, const uint8_t *plane, uint32_t x, uint32_t y) {
    const uint64_t stride = 8 * (uint64_t)c->blocks_per_row;
    const uint32_t kind = upsampling_of(c);
    if (kind == UPSAMPLE_NONE) {
        return plane[y * stride + x];
    }
    if (kind == UPSAMPLE_REPEAT) {
        return plane[y / c->v * stride + x / c->h];
    }
    if (kind == UPSAMPLE_V2) {
        return blend_v2(plane[y / 2 * stride + x], plane[lending_row(y, c->height) * stride + x],
                        y);
    }
    const uint32_t beside = lending_column(x, c->width);
    if (kind == UPSAMPLE_H2) {
        return blend_h2(plane[y * stride + x / 2], plane[y * stride + beside], x);
    }
    const uint8_t *own = plane + y / 2 * stride;
    const uint8_t *lent = plane + lending_row(y, c->height) * stride;
    return blend_h2v2(3u * own[x / 2] + lent[x / 2], 3u * own[beside] + lent[beside], x);
}

INLINE uint32_t clamp8(int32_t value) {
    return (uint32_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Red, green and blue in the lower 24 bits, red lowest. */
INLINE uint32_t ycc_to_rgb(uint32_t y, uint32_t cb, uint32_t cr) {
    const int32_t b = (int32_t)cb - 128, r = (int32_t)cr - 128, l = (int32_t)y;
    const uint32_t red = clamp8(l + ((91881 * r + 32768) >> 16));
    const uint32_t green = clamp8(l + ((-22554 * b + 32768 - 46802 * r) >> 16));
    const uint32_t blue = clamp8(l + ((116130 * b + 32768) >> 16));
    return red | green << 8 | blue << 16;
}

INLINE uint32_t rgb_to_grey(uint32_t r, uint32_t g, uint32_t b) {
    return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
}

/* The pixel of component values a, b and c; of one channel in the lowest 8 bits. */
INLINE uint32_t pixel_of(uint32_t colour, uint32_t channels, uint32_t a, uint32_t b, uint32_t c) {
    if (channels == 1) {
        return colour == COLOUR_RGB ? rgb_to_grey(a, b, c) : a;
    }
    if (colour == COLOUR_YCC) {
        return ycc_to_rgb(a, b, c);
    }
    return colour == COLOUR_RGB ? a | b << 8 | c << 16 : a | a << 8 | a << 16;
}

/* Whether pixels depend on the first component alone. */
INLINE bool is_one_plane(const jpeg_image *image) {
    return image->colour == COLOUR_GREY || (image->colour == COLOUR_YCC && image->channels == 1);
}

#endif
