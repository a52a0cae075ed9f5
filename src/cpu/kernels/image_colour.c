/* Colours of images, on planes of a tile, in 32 bits. */
#include <string.h>

#include "core/half.h"
#include "cpu/kernels/image_isa.h"
#include "cpu/kernels/image_lanes.h"

#define TILE RBC__IMAGE_TILE
#define ONE  RBC__IMAGE_ONE_FACTOR

/* Pixels whose sums fit 32 bits. */
#define SUMMED (INT64_C(1) << 20)

/* Each lane of the inner loop keeps to one channel. */
#define SUM_LANES 48

static void sum_some(const uint8_t *pixels, int64_t bytes, int32_t channels, int32_t brightness,
                     int64_t *sums) {
    uint32_t parts[SUM_LANES] = {0};
    int64_t at = 0;
    for (; at + SUM_LANES <= bytes; at += SUM_LANES) {
        for (int32_t i = 0; i < SUM_LANES; ++i) {
            parts[i] += (uint32_t)rbc__image_blend(pixels[at + i], 0, brightness);
        }
    }
    for (int32_t i = 0; i < SUM_LANES; ++i) {
        sums[i % channels] += parts[i];
    }
    for (; at < bytes; ++at) {
        sums[at % channels] += rbc__image_blend(pixels[at], 0, brightness);
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
        values[i] = (uint8_t)rbc__image_blend(values[i], centre, factor);
    }
}

static void saturate(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b,
                     int32_t factor) {
    for (int32_t i = 0; i < TILE; ++i) {
        int32_t red = r[i];
        int32_t green = g[i];
        int32_t blue = b[i];
        rbc__image_saturate(&red, &green, &blue, factor);
        r[i] = (uint8_t)red;
        g[i] = (uint8_t)green;
        b[i] = (uint8_t)blue;
    }
}

static void turn_hue(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, int32_t turn) {
    for (int32_t i = 0; i < TILE; ++i) {
        int32_t red = r[i];
        int32_t green = g[i];
        int32_t blue = b[i];
        rbc__image_turn_hue(&red, &green, &blue, turn);
        r[i] = (uint8_t)red;
        g[i] = (uint8_t)green;
        b[i] = (uint8_t)blue;
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

#if LANES > 4
static void image_normalise(const uint8_t *values, int32_t count, float mean, float deviation,
                            rbc__dtype dtype, void *out) {
    float block[TILE];
    float *restrict floats = dtype == RBC__F32 ? out : block;
    uint16_t *restrict halves = out;
    for (int32_t i = 0; i < count; ++i) {
        floats[i] = ((float)values[i] / 255.0F - mean) / deviation;
    }
    for (int32_t i = 0; dtype == RBC__F16 && i < count; ++i) {
        halves[i] = rbc__f16_of_f32(block[i]);
    }
    for (int32_t i = 0; dtype == RBC__BF16 && i < count; ++i) {
        halves[i] = rbc__bf16_of_f32(block[i]);
    }
}
#else
#define image_normalise NULL
#endif

const rbc__image_kernels RBC__KERNEL(image_kernels) = {
    .across = RBC__KERNEL(image_across),
    .down = RBC__KERNEL(image_down),
    .sums = image_sums,
    .colour = image_colour,
    .look_up = image_look_up,
    .normalise = image_normalise,
};
