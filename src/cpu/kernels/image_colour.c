/* Colours of images, on planes of a tile, in 32 bits. */
#include <string.h>

#include "cpu/kernels/image_isa.h"

#define TILE RBC__IMAGE_TILE
#define ONE  (INT32_C(1) << RBC__IMAGE_FACTOR_BITS)

static inline int32_t blend(int32_t value, int32_t centre, int32_t factor) {
    const int32_t sum = factor * (256 * value - centre) + ONE * centre + 128 * ONE;
    const int32_t blended = sum >> (RBC__IMAGE_FACTOR_BITS + 8);
    return blended < 0 ? 0 : blended > 255 ? 255 : blended;
}

/* Pixels whose sums fit 32 bits. */
#define SUMMED (INT64_C(1) << 20)

/* Each lane of the inner loop keeps to one channel. */
#define SUM_LANES 48

static void sum_some(const uint8_t *pixels, int64_t bytes, int32_t channels, int32_t brightness,
                     int64_t *sums) {
    uint32_t lanes[SUM_LANES] = {0};
    int64_t at = 0;
    for (; at + SUM_LANES <= bytes; at += SUM_LANES) {
        for (int32_t i = 0; i < SUM_LANES; ++i) {
            lanes[i] += (uint32_t)blend(pixels[at + i], 0, brightness);
        }
    }
    for (int32_t i = 0; i < SUM_LANES; ++i) {
        sums[i % channels] += lanes[i];
    }
    for (; at < bytes; ++at) {
        sums[at % channels] += blend(pixels[at], 0, brightness);
    }
}

static void image_sums(const uint8_t *pixels, int64_t count, int32_t channels, int32_t brightness,
                       int64_t *sums) {
    for (int64_t at = 0; at < count; at += SUMMED) {
        const int64_t some = count - at < SUMMED ? count - at : SUMMED;
        sum_some(pixels + at * channels, some * channels, channels, brightness, sums);
    }
}

static void take_apart(const uint8_t *restrict pixels, int32_t count, int32_t channels,
                       uint8_t planes[RBC__IMAGE_MAX_CHANNELS][TILE]) {
    if (channels == 3) {
        uint8_t *restrict r = planes[0];
        uint8_t *restrict g = planes[1];
        uint8_t *restrict b = planes[2];
        for (int32_t i = 0; i < count; ++i) {
            r[i] = pixels[3 * i];
            g[i] = pixels[3 * i + 1];
            b[i] = pixels[3 * i + 2];
        }
        return;
    }
    for (int32_t c = 0; c < channels; ++c) {
        for (int32_t i = 0; i < count; ++i) {
            planes[c][i] = pixels[i * channels + c];
        }
    }
}

static void blend_all(uint8_t *restrict values, int32_t centre, int32_t factor) {
    for (int32_t i = 0; i < TILE; ++i) {
        values[i] = (uint8_t)blend(values[i], centre, factor);
    }
}

static void saturate(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b,
                     int32_t factor) {
    for (int32_t i = 0; i < TILE; ++i) {
        const int32_t grey = 19595 * r[i] + 38470 * g[i] + 7471 * b[i];
        const int32_t centre = (grey + 128) >> 8;
        r[i] = (uint8_t)blend(r[i], centre, factor);
        g[i] = (uint8_t)blend(g[i], centre, factor);
        b[i] = (uint8_t)blend(b[i], centre, factor);
    }
}

static inline int32_t lesser(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t greater(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int32_t hued(int32_t v, int32_t h, int32_t m, int32_t k) {
    const int32_t full = m << RBC__IMAGE_HUE_BITS;
    int32_t t = h + k * full;
    t = t >= 6 * full ? t - 6 * full : t;
    t = t >= 6 * full ? t - 6 * full : t;
    const int32_t lost = greater(lesser(lesser(t, 4 * full - t), full), 0);
    return v - ((lost + (1 << (RBC__IMAGE_HUE_BITS - 1))) >> RBC__IMAGE_HUE_BITS);
}

static void turn_hue(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, int32_t turn) {
    for (int32_t i = 0; i < TILE; ++i) {
        const int32_t red = r[i];
        const int32_t green = g[i];
        const int32_t blue = b[i];
        const int32_t v = greater(greater(red, green), blue);
        const int32_t m = v - lesser(lesser(red, green), blue);
        const int32_t of_blue = 4 * m + red - green;
        const int32_t of_green = 2 * m + blue - red;
        const int32_t sixths = v == red ? green - blue : v == green ? of_green : of_blue;
        int32_t h = sixths * (1 << RBC__IMAGE_HUE_BITS) + m * turn;
        h = h < 0 ? h + 6 * (m << RBC__IMAGE_HUE_BITS) : h;
        r[i] = (uint8_t)hued(v, h, m, 5);
        g[i] = (uint8_t)hued(v, h, m, 3);
        b[i] = (uint8_t)hued(v, h, m, 1);
    }
}

static void image_colour(const uint8_t *pixels, int32_t count, int32_t channels,
                         const rbc__image_colours *colours,
                         uint8_t planes[RBC__IMAGE_MAX_CHANNELS][TILE]) {
    take_apart(pixels, count, channels, planes);
    if (colours == NULL) {
        return;
    }
    const int32_t num_colours = channels < 3 ? 1 : 3;
    for (int32_t c = 0; c < channels; ++c) {
        memset(planes[c] + count, 0, (size_t)(TILE - count));
    }
    for (int32_t c = 0; c < num_colours && colours->brightness != ONE; ++c) {
        blend_all(planes[c], 0, colours->brightness);
    }
    for (int32_t c = 0; c < num_colours && colours->contrast != ONE; ++c) {
        blend_all(planes[c], colours->centre, colours->contrast);
    }
    if (num_colours == 3 && colours->saturation != ONE) {
        saturate(planes[0], planes[1], planes[2], colours->saturation);
    }
    if (num_colours == 3 && colours->hue != 0) {
        turn_hue(planes[0], planes[1], planes[2], colours->hue);
    }
}

static void image_look_up(const uint8_t *values, int32_t count, const void *table,
                          int32_t element_bytes, void *out, int64_t step) {
    if (element_bytes == 4) {
        const float *restrict from = table;
        float *restrict to = out;
        for (int32_t i = 0; i < count; ++i) {
            to[i * step] = from[values[i]];
        }
        return;
    }
    const uint16_t *restrict from = table;
    uint16_t *restrict to = out;
    for (int32_t i = 0; i < count; ++i) {
        to[i * step] = from[values[i]];
    }
}

const rbc__image_kernels RBC__KERNEL(image_kernels) = {
    .across = RBC__KERNEL(image_across),
    .down = RBC__KERNEL(image_down),
    .sums = image_sums,
    .colour = image_colour,
    .look_up = image_look_up,
};
