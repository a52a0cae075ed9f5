#include <math.h>

#include "image/image.h"

int64_t rbc__image_axis_taps(rbc_image_filter filter, int32_t span, int32_t count) {
    const rbc__image_scale scale =
        rbc__image_scale_of(filter == RBC_IMAGE_FILTER_BICUBIC, 0, span, span, count);
    return (int64_t)ceil(scale.reach) * 2 + 1;
}

void rbc__image_axis_init(rbc__image_axis *axis, rbc_image_filter filter, int32_t begin,
                          int32_t end, int32_t size, int32_t count, bool reverse) {
    const rbc__image_scale scale =
        rbc__image_scale_of(filter == RBC_IMAGE_FILTER_BICUBIC, begin, end, size, count);
    axis->count = count;
    axis->max_taps = (int32_t)rbc__image_axis_taps(filter, end - begin, count);
    for (int32_t i = 0; i < count; ++i) {
        const rbc__image_taps taps = rbc__image_taps_of(&scale, i);
        const double sum = rbc__image_weights_sum(&scale, &taps);
        const int32_t at = reverse ? count - 1 - i : i;
        int32_t *weights = axis->weights + (int64_t)at * axis->max_taps;
        axis->first[at] = taps.first;
        axis->taps[at] = taps.count;
        for (int32_t j = 0; j < taps.count; ++j) {
            weights[j] = rbc__image_whole_weight(rbc__image_weight(&scale, &taps, j), sum);
        }
        for (int32_t j = taps.count; j < axis->max_taps; ++j) {
            weights[j] = 0;
        }
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
