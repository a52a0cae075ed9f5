#include <math.h>

#include "core/error.h"
#include "core/hash.h"
#include "image/image.h"

/* Halvings of an exponent that is drawn. */
#define ASPECT_BITS 24

uint64_t rbc_image_key(uint64_t seed, int64_t epoch, int64_t episode, int64_t tick,
                       rbc_image_share share, const char *name, int64_t frame) {
    const uint64_t parts[] = {
        seed,
        (uint64_t)epoch,
        (uint64_t)episode,
        (uint64_t)tick,
        share == RBC_IMAGE_SHARE_SAMPLE || name == NULL ? 0 : rbc__hash_text(RBC__HASH_EMPTY, name),
        share == RBC_IMAGE_SHARE_FRAME ? (uint64_t)frame : 0,
    };
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
        key = rbc__mix64((key ^ parts[i]) + RBC__GOLDEN);
    }
    return key;
}

double rbc__image_uniform(uint64_t key, int32_t counter) {
    return (double)(rbc__mix64(key + RBC__GOLDEN * ((uint64_t)counter + 1)) >> 11) * 0x1p-53;
}

static double between(const double range[2], uint64_t key, int32_t counter) {
    return range[0] + rbc__image_uniform(key, counter) * (range[1] - range[0]);
}

/* low * (high / low)^u by square roots, which are rounded alike everywhere, as pow() is not. */
static double between_logs(const double range[2], uint64_t key, int32_t counter) {
    const double u = rbc__image_uniform(key, counter);
    uint32_t bits = (uint32_t)(u * (double)(1U << ASPECT_BITS));
    double value = range[0];
    double power = range[1] / range[0];
    for (uint32_t bit = 1U << (ASPECT_BITS - 1); bit != 0 && power != 1.0; bit >>= 1) {
        power = sqrt(power);
        value *= (bits & bit) != 0 ? power : 1.0;
    }
    return value;
}

static int32_t in_units(double value, int32_t bits) {
    return (int32_t)floor(value * (double)(INT32_C(1) << bits) + 0.5);
}

static int32_t whole(double extent, int32_t most) {
    const int32_t rounded = (int32_t)floor(extent + 0.5);
    return rounded < 1 ? 1 : rounded > most ? most : rounded;
}

/* A share of the area, in the aspect drawn. */
static void draw_extent(const rbc_image_params *params, uint64_t key, int32_t height, int32_t width,
                        int32_t *out_height, int32_t *out_width) {
    const double scale = between(params->crop_scale, key, RBC__IMAGE_DRAWS_SCALE);
    double h = height * sqrt(scale);
    double w = width * sqrt(scale);
    if (params->crop_aspect[0] > 0.0) {
        const double area = scale * height * width;
        const double aspect = between_logs(params->crop_aspect, key, RBC__IMAGE_DRAWS_ASPECT);
        w = sqrt(area * aspect);
        h = sqrt(area / aspect);
        if (w > width) {
            h = h * width / w;
            w = width;
        }
        if (h > height) {
            w = w * height / h;
            h = height;
        }
    }
    *out_height = whole(h, height);
    *out_width = whole(w, width);
}

static int32_t draw_begin(bool is_random, uint64_t key, int32_t counter, int32_t room) {
    return is_random ? (int32_t)(rbc__image_uniform(key, counter) * (room + 1)) : room / 2;
}

static void draw_box(const rbc_image_params *params, uint64_t key, int32_t height, int32_t width,
                     rbc__image_draw *out) {
    if (params->crop == RBC_IMAGE_CROP_NONE || params->crop == RBC_IMAGE_CROP_BOX) {
        const bool is_box = params->crop == RBC_IMAGE_CROP_BOX;
        out->left = is_box ? params->crop_box[0] : 0;
        out->top = is_box ? params->crop_box[1] : 0;
        out->right = is_box ? params->crop_box[2] : width;
        out->bottom = is_box ? params->crop_box[3] : height;
        return;
    }
    const bool is_random = params->crop == RBC_IMAGE_CROP_RANDOM;
    int32_t h = params->crop_size[0];
    int32_t w = params->crop_size[1];
    if (h == 0) {
        draw_extent(params, key, height, width, &h, &w);
    }
    out->left = draw_begin(is_random, key, RBC__IMAGE_DRAWS_LEFT, width - w);
    out->top = draw_begin(is_random, key, RBC__IMAGE_DRAWS_TOP, height - h);
    out->right = out->left + w;
    out->bottom = out->top + h;
}

rbc_status rbc__image_draw_for(const rbc__image_spec *spec, uint64_t key, int64_t height,
                               int64_t width, const char *name, rbc__image_draw *out,
                               rbc_error *err) {
    const rbc_image_params *params = &spec->params;
    int64_t out_height;
    int64_t out_width;
    RBC__TRY(rbc__image_spec_size(spec, height, width, name, &out_height, &out_width, err));
    const rbc__image_orientation oriented =
        rbc__image_oriented(params->orient, (int32_t)height, (int32_t)width);
    *out = (rbc__image_draw){.height = (int32_t)out_height, .width = (int32_t)out_width};
    draw_box(params, key, oriented.height, oriented.width, out);
    out->is_flipped = rbc__image_uniform(key, RBC__IMAGE_DRAWS_FLIP) < params->flip;
    out->brightness = in_units(between(params->brightness, key, RBC__IMAGE_DRAWS_BRIGHTNESS),
                               RBC__IMAGE_FACTOR_BITS);
    out->contrast =
        in_units(between(params->contrast, key, RBC__IMAGE_DRAWS_CONTRAST), RBC__IMAGE_FACTOR_BITS);
    out->saturation = in_units(between(params->saturation, key, RBC__IMAGE_DRAWS_SATURATION),
                               RBC__IMAGE_FACTOR_BITS);
    const int32_t circle = 6 << RBC__IMAGE_HUE_BITS;
    const int32_t hue =
        in_units(6.0 * between(params->hue, key, RBC__IMAGE_DRAWS_HUE), RBC__IMAGE_HUE_BITS);
    out->hue = hue < 0 ? hue + circle : hue;
    return RBC_OK;
}
