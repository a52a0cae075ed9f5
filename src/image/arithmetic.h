/* The arithmetic of image/image.h, value by value, for host and device compilers.
 * Interface of src/image. */
#ifndef RBC_IMAGE_ARITHMETIC_H
#define RBC_IMAGE_ARITHMETIC_H

#include <stdint.h>

#ifdef __CUDACC__
#define RBC__IMAGE_VALUE static __device__ __forceinline__
#else
#include <math.h>
#define RBC__IMAGE_VALUE static inline
#endif

#define RBC__IMAGE_WEIGHT_BITS 22 /* behind the point of a weight */
#define RBC__IMAGE_FACTOR_BITS 13 /* behind the point of a factor of colours */
#define RBC__IMAGE_HUE_BITS    16

#define RBC__IMAGE_HALF_WEIGHT (INT32_C(1) << (RBC__IMAGE_WEIGHT_BITS - 1))
#define RBC__IMAGE_ONE_FACTOR  (INT32_C(1) << RBC__IMAGE_FACTOR_BITS)

RBC__IMAGE_VALUE int32_t rbc__image_lesser(int32_t a, int32_t b) {
    return a < b ? a : b;
}

RBC__IMAGE_VALUE int32_t rbc__image_greater(int32_t a, int32_t b) {
    return a > b ? a : b;
}

RBC__IMAGE_VALUE int32_t rbc__image_within_byte(int32_t value) {
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* ---- weights ------------------------------------------------------------------------------------
 */

/* Along one axis of a bilinear or a bicubic resize. */
typedef struct rbc__image_scale {
    double scale, reach, inverse;
    int32_t is_cubic, begin, size;
} rbc__image_scale;

RBC__IMAGE_VALUE rbc__image_scale rbc__image_scale_of(int32_t is_cubic, int32_t begin, int32_t end,
                                                      int32_t size, int32_t count) {
    const double scale = (double)(end - begin) / count;
    const double wide = scale < 1.0 ? 1.0 : scale;
    rbc__image_scale made;
    made.scale = scale;
    made.reach = wide * (is_cubic ? 2.0 : 1.0);
    made.inverse = 1.0 / wide;
    made.is_cubic = is_cubic;
    made.begin = begin;
    made.size = size;
    return made;
}

/* Where pixel i of the result comes from. */
typedef struct rbc__image_taps {
    double centre;
    int32_t first, count;
} rbc__image_taps;

RBC__IMAGE_VALUE rbc__image_taps rbc__image_taps_of(const rbc__image_scale *s, int32_t i) {
    rbc__image_taps taps;
    taps.centre = s->begin + (i + 0.5) * s->scale;
    const int32_t low = (int32_t)(taps.centre - s->reach + 0.5);
    const int32_t high = (int32_t)(taps.centre + s->reach + 0.5);
    taps.first = low < 0 ? 0 : low;
    taps.count = (high > s->size ? s->size : high) - taps.first;
    return taps;
}

/* Of tap j, before the sum of a pixel's weights is made one. */
RBC__IMAGE_VALUE double rbc__image_weight(const rbc__image_scale *s, const rbc__image_taps *taps,
                                          int32_t j) {
    const double t = fabs((j + taps->first - taps->centre + 0.5) * s->inverse);
    if (!s->is_cubic) {
        return t < 1.0 ? 1.0 - t : 0.0;
    }
    const double a = -0.5;
    if (t < 1.0) {
        return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    }
    return t < 2.0 ? (((t - 5.0) * t + 8.0) * t - 4.0) * a : 0.0;
}

RBC__IMAGE_VALUE double rbc__image_weights_sum(const rbc__image_scale *s,
                                               const rbc__image_taps *taps) {
    double sum = 0.0;
    for (int32_t j = 0; j < taps->count; ++j) {
        sum += rbc__image_weight(s, taps, j);
    }
    return sum;
}

/* A weight of those whose sum that is, in whole 2^-22. */
RBC__IMAGE_VALUE int32_t rbc__image_whole_weight(double weight, double sum) {
    const double one = (double)(INT32_C(1) << RBC__IMAGE_WEIGHT_BITS);
    const double share = sum != 0.0 ? weight / sum : weight;
    return (int32_t)(share < 0.0 ? -0.5 + share * one : 0.5 + share * one);
}

/* A pixel from the sum of RBC__IMAGE_HALF_WEIGHT and pixels times weights. */
RBC__IMAGE_VALUE int32_t rbc__image_of_sum(int32_t sum) {
    return rbc__image_within_byte(sum >> RBC__IMAGE_WEIGHT_BITS);
}

/* ---- alpha --------------------------------------------------------------------------------------
 */

RBC__IMAGE_VALUE uint32_t rbc__image_times_alpha(uint32_t colour, uint32_t alpha) {
    const uint32_t t = colour * alpha + 128;
    return ((t >> 8) + t) >> 8;
}

RBC__IMAGE_VALUE uint32_t rbc__image_by_alpha(uint32_t colour, uint32_t alpha) {
    if (alpha == 0 || alpha == 255) {
        return colour;
    }
    const uint32_t divided = 255 * colour / alpha;
    return divided > 255 ? 255 : divided;
}

/* ---- colours ------------------------------------------------------------------------------------
 */

RBC__IMAGE_VALUE int32_t rbc__image_blend(int32_t value, int32_t centre, int32_t factor) {
    const int32_t sum = factor * (256 * value - centre) + RBC__IMAGE_ONE_FACTOR * centre +
                        128 * RBC__IMAGE_ONE_FACTOR;
    return rbc__image_within_byte(sum >> (RBC__IMAGE_FACTOR_BITS + 8));
}

RBC__IMAGE_VALUE int32_t rbc__image_grey(int32_t red, int32_t green, int32_t blue) {
    return 19595 * red + 38470 * green + 7471 * blue;
}

/* The centre of contrast from the sum of grey over `count` pixels. */
RBC__IMAGE_VALUE int32_t rbc__image_centre(int64_t grey, int64_t count) {
    return (int32_t)((grey / count + 128) >> 8);
}

RBC__IMAGE_VALUE void rbc__image_saturate(int32_t *red, int32_t *green, int32_t *blue,
                                          int32_t factor) {
    const int32_t centre = (rbc__image_grey(*red, *green, *blue) + 128) >> 8;
    *red = rbc__image_blend(*red, centre, factor);
    *green = rbc__image_blend(*green, centre, factor);
    *blue = rbc__image_blend(*blue, centre, factor);
}

RBC__IMAGE_VALUE int32_t rbc__image_hued(int32_t v, int32_t h, int32_t m, int32_t k) {
    const int32_t full = m << RBC__IMAGE_HUE_BITS;
    int32_t t = h + k * full;
    t = t >= 6 * full ? t - 6 * full : t;
    t = t >= 6 * full ? t - 6 * full : t;
    const int32_t lost =
        rbc__image_greater(rbc__image_lesser(rbc__image_lesser(t, 4 * full - t), full), 0);
    return v - ((lost + (1 << (RBC__IMAGE_HUE_BITS - 1))) >> RBC__IMAGE_HUE_BITS);
}

RBC__IMAGE_VALUE void rbc__image_turn_hue(int32_t *red, int32_t *green, int32_t *blue,
                                          int32_t turn) {
    const int32_t v = rbc__image_greater(rbc__image_greater(*red, *green), *blue);
    const int32_t m = v - rbc__image_lesser(rbc__image_lesser(*red, *green), *blue);
    const int32_t of_blue = 4 * m + *red - *green;
    const int32_t of_green = 2 * m + *blue - *red;
    const int32_t sixths = v == *red ? *green - *blue : v == *green ? of_green : of_blue;
    int32_t h = sixths * (1 << RBC__IMAGE_HUE_BITS) + m * turn;
    h = h < 0 ? h + 6 * (m << RBC__IMAGE_HUE_BITS) : h;
    *red = rbc__image_hued(v, h, m, 5);
    *green = rbc__image_hued(v, h, m, 3);
    *blue = rbc__image_hued(v, h, m, 1);
}

#endif
