#include <math.h>

#include "image/image.h"

static double weigh(rbc_image_filter filter, double at) {
    const double t = fabs(at);
    if (filter == RBC_IMAGE_FILTER_BILINEAR) {
        return t < 1.0 ? 1.0 - t : 0.0;
    }
    const double a = -0.5;
    if (t < 1.0) {
        return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    }
    return t < 2.0 ? (((t - 5.0) * t + 8.0) * t - 4.0) * a : 0.0;
}

static double reach_of(rbc_image_filter filter, double scale) {
    return (scale < 1.0 ? 1.0 : scale) * (filter == RBC_IMAGE_FILTER_BICUBIC ? 2.0 : 1.0);
}

int64_t rbc__image_axis_taps(rbc_image_filter filter, int32_t span, int32_t count) {
    return (int64_t)ceil(reach_of(filter, (double)span / count)) * 2 + 1;
}

/* The weights, which add up to one, in whole 2^-22. */
static void weigh_pixels(rbc_image_filter filter, double centre, double inverse, int32_t first,
                         int32_t taps, int32_t max_taps, int32_t *weights) {
    const double one = (double)(INT32_C(1) << RBC__IMAGE_WEIGHT_BITS);
    double sum = 0.0;
    for (int32_t j = 0; j < taps; ++j) {
        sum += weigh(filter, (j + first - centre + 0.5) * inverse);
    }
    for (int32_t j = 0; j < taps; ++j) {
        double weight = weigh(filter, (j + first - centre + 0.5) * inverse);
        weight = sum != 0.0 ? weight / sum : weight;
        weights[j] = (int32_t)(weight < 0.0 ? -0.5 + weight * one : 0.5 + weight * one);
    }
    for (int32_t j = taps; j < max_taps; ++j) {
        weights[j] = 0;
    }
}

void rbc__image_axis_init(rbc__image_axis *axis, rbc_image_filter filter, int32_t begin,
                          int32_t end, int32_t size, int32_t count, bool reverse) {
    const double scale = (double)(end - begin) / count;
    const double reach = reach_of(filter, scale);
    const double inverse = 1.0 / (scale < 1.0 ? 1.0 : scale);
    axis->count = count;
    axis->max_taps = (int32_t)rbc__image_axis_taps(filter, end - begin, count);
    for (int32_t i = 0; i < count; ++i) {
        const double centre = begin + (i + 0.5) * scale;
        const int32_t at = reverse ? count - 1 - i : i;
        const int32_t low = (int32_t)(centre - reach + 0.5);
        const int32_t high = (int32_t)(centre + reach + 0.5);
        const int32_t first = low < 0 ? 0 : low;
        const int32_t taps = (high > size ? size : high) - first;
        axis->first[at] = first;
        axis->taps[at] = taps;
        weigh_pixels(filter, centre, inverse, first, taps, axis->max_taps,
                     axis->weights + (int64_t)at * axis->max_taps);
    }
}

void rbc__image_axis_nearest(rbc__image_axis *axis, rbc__dtype stored, int32_t begin, int32_t end,
                             int32_t count, bool reverse) {
    const double scale = (double)(end - begin) / count;
    double sum = begin + scale * 0.5;
    axis->count = count;
    axis->max_taps = 1;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t pixel = (int32_t)(stored == RBC__U16 ? scale * (i + 0.5) + begin : sum);
        axis->first[reverse ? count - 1 - i : i] = pixel < end ? pixel : end - 1;
        sum += scale;
    }
}

rbc__image_orientation rbc__image_oriented(int32_t orient, int32_t height, int32_t width) {
    const int32_t bottom = height - 1;
    const int32_t right = width - 1;
    switch ((rbc_image_orient)orient) {
    case RBC_IMAGE_ROTATE_90:
        return (rbc__image_orientation){width, height, 0, 0, 1, right, -1, 0};
    case RBC_IMAGE_ROTATE_180:
        return (rbc__image_orientation){height, width, bottom, -1, 0, right, 0, -1};
    case RBC_IMAGE_ROTATE_270:
        return (rbc__image_orientation){width, height, bottom, 0, -1, 0, 1, 0};
    case RBC_IMAGE_FLIP_HORIZONTAL:
        return (rbc__image_orientation){height, width, 0, 1, 0, right, 0, -1};
    case RBC_IMAGE_FLIP_VERTICAL:
        return (rbc__image_orientation){height, width, bottom, -1, 0, 0, 0, 1};
    case RBC_IMAGE_TRANSPOSE:
        return (rbc__image_orientation){width, height, 0, 0, 1, 0, 1, 0};
    case RBC_IMAGE_TRANSVERSE:
        return (rbc__image_orientation){width, height, bottom, 0, -1, right, -1, 0};
    case RBC_IMAGE_AS_STORED:
        break;
    }
    return (rbc__image_orientation){height, width, 0, 1, 0, 0, 0, 1};
}
