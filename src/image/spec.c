#include <math.h>
#include <string.h>

#include "core/error.h"
#include "core/half.h"
#include "core/params.h"
#include "image/image.h"

#define MAX_FACTOR 4.0

/* ---- the parameters alone -----------------------------------------------------------------------
 */

static rbc_status check_choices(const rbc_image_params *p, const char *name, rbc_error *err) {
    const struct {
        const char *name;
        int32_t value, last;
    } choices[] = {
        {"orient", p->orient, RBC_IMAGE_TRANSVERSE},
        {"crop", p->crop, RBC_IMAGE_CROP_BOX},
        {"filter", p->filter, RBC_IMAGE_FILTER_BICUBIC},
        {"share", p->share, RBC_IMAGE_SHARE_FRAME},
    };
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; ++i) {
        if (choices[i].value < 0 || choices[i].value > choices[i].last) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s%s is %d; wanted 0 to %d", name,
                             choices[i].name, choices[i].value, choices[i].last);
        }
    }
    return RBC_OK;
}

static rbc_status check_range(const char *what, const double range[2], double low, double high,
                              const char *name, rbc_error *err) {
    if (!(range[0] >= low && range[0] <= range[1] && range[1] <= high)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s%s is %g to %g; wanted a range within %g to %g", name, what, range[0],
                         range[1], low, high);
    }
    return RBC_OK;
}

static bool is_side(int32_t side) {
    return side >= 1 && side <= RBC__IMAGE_MAX_SIDE;
}

static rbc_status check_extent(const char *what, const int32_t extent[2], const char *name,
                               rbc_error *err) {
    if ((extent[0] != 0 || extent[1] != 0) && (!is_side(extent[0]) || !is_side(extent[1]))) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s%s is %d x %d; wanted a height and a width of 1 to %d", name, what,
                         extent[0], extent[1], RBC__IMAGE_MAX_SIDE);
    }
    return RBC_OK;
}

static rbc_status check_crop(const rbc_image_params *p, const char *name, rbc_error *err) {
    const int32_t *box = p->crop_box;
    RBC__TRY(check_extent("size", p->size, name, err));
    RBC__TRY(check_extent("crop_size", p->crop_size, name, err));
    if (!(p->crop_scale[0] > 0.0)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%scrop_scale begins at %g; wanted more than 0", name, p->crop_scale[0]);
    }
    RBC__TRY(check_range("crop_scale", p->crop_scale, 0.0, 1.0, name, err));
    if (p->crop_aspect[0] != 0.0 || p->crop_aspect[1] != 0.0) {
        RBC__TRY(check_range("crop_aspect", p->crop_aspect, 1e-3, 1e3, name, err));
    }
    if (p->crop == RBC_IMAGE_CROP_BOX &&
        (box[0] < 0 || box[1] < 0 || box[2] <= box[0] || box[3] <= box[1])) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%scrop_box is (%d, %d, %d, %d); wanted left, top, right, bottom of at "
                         "least one pixel",
                         name, box[0], box[1], box[2], box[3]);
    }
    return RBC_OK;
}

static rbc_status check_colour(const rbc_image_params *p, const char *name, rbc_error *err) {
    const double chance[2] = {p->flip, p->flip};
    RBC__TRY(check_range("flip", chance, 0.0, 1.0, name, err));
    RBC__TRY(check_range("brightness", p->brightness, 0.0, MAX_FACTOR, name, err));
    RBC__TRY(check_range("contrast", p->contrast, 0.0, MAX_FACTOR, name, err));
    RBC__TRY(check_range("saturation", p->saturation, 0.0, MAX_FACTOR, name, err));
    RBC__TRY(check_range("hue", p->hue, -0.5, 0.5, name, err));
    if (p->num_mean < 0 || p->num_mean > RBC__IMAGE_MAX_CHANNELS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%snum_mean is %d; wanted 0 to %d", name,
                         p->num_mean, RBC__IMAGE_MAX_CHANNELS);
    }
    for (int32_t i = 0; i < p->num_mean; ++i) {
        if (!isfinite(p->mean[i]) || !isfinite(p->std[i]) || !((float)p->std[i] > 0.0F)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%smean is %g and std %g for channel %d; wanted a number and one "
                             "above 0",
                             name, p->mean[i], p->std[i], i);
        }
    }
    return RBC_OK;
}

/* ---- with images --------------------------------------------------------------------------------
 */

static bool is_range_at(const double range[2], double value) {
    return range[0] == value && range[1] == value;
}

static rbc_status choose_dtype(rbc__image_spec *spec, const char *name, rbc_error *err) {
    const rbc_image_params *p = &spec->params;
    spec->dtype = p->num_mean > 0 ? RBC__F32 : spec->stored;
    if (p->dtype.bits == 0) {
        return RBC_OK;
    }
    if (!rbc__dtype_from_dlpack(p->dtype, &spec->dtype) ||
        (spec->dtype != RBC__U8 && spec->dtype != RBC__F32 && spec->dtype != RBC__F16 &&
         spec->dtype != RBC__BF16 && spec->dtype != spec->stored)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%sdtype of code %d and %d bits; wanted uint8, float32, float16 or "
                         "bfloat16",
                         name, (int)p->dtype.code, (int)p->dtype.bits);
    }
    if (spec->dtype == RBC__U8 && p->num_mean > 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%smean and std with dtype uint8; wanted a float dtype", name);
    }
    return RBC_OK;
}

/* Depth and its like: only what moves pixels. */
static rbc_status check_depth(rbc__image_spec *spec, const char *name, rbc_error *err) {
    const char *what = spec->has_colour              ? "brightness, contrast, saturation and hue"
                       : spec->params.num_mean > 0   ? "mean and std"
                       : spec->dtype != spec->stored ? "another dtype"
                       : spec->filter != RBC_IMAGE_FILTER_NEAREST ? "filter bilinear or bicubic"
                                                                  : NULL;
    if (what != NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "%simages are %s, of which %s cannot be had; they are cropped, turned, "
                         "mirrored and resized by filter nearest",
                         name, rbc__dtype_name(spec->stored), what);
    }
    return RBC_OK;
}

static void fill_table(rbc__image_spec *spec) {
    const rbc_image_params *p = &spec->params;
    for (int32_t c = 0; c < spec->channels; ++c) {
        const int32_t at = p->num_mean > 1 ? c : 0;
        const float mean = p->num_mean > 0 ? (float)p->mean[at] : 0.0F;
        const float deviation = p->num_mean > 0 ? (float)p->std[at] : 1.0F;
        spec->mean[c] = mean;
        spec->deviation[c] = deviation;
        for (int32_t x = 0; x < 256; ++x) {
            const float unit = (float)x / 255.0F;
            const float value = (unit - mean) / deviation;
            if (spec->dtype == RBC__F32) {
                spec->table.f32[c][x] = value;
            } else {
                spec->table.half[c][x] =
                    spec->dtype == RBC__F16 ? rbc__f16_of_f32(value) : rbc__bf16_of_f32(value);
            }
        }
    }
}

static rbc_status fit(rbc__image_spec *spec, const char *name, rbc_error *err) {
    const rbc_image_params *p = &spec->params;
    spec->filter = p->filter != RBC_IMAGE_FILTER_DEFAULT ? (rbc_image_filter)p->filter
                   : spec->stored == RBC__U8             ? RBC_IMAGE_FILTER_BILINEAR
                                                         : RBC_IMAGE_FILTER_NEAREST;
    spec->has_colour = !is_range_at(p->brightness, 1.0) || !is_range_at(p->contrast, 1.0) ||
                       !is_range_at(p->saturation, 1.0) || !is_range_at(p->hue, 0.0);
    spec->is_random = p->crop == RBC_IMAGE_CROP_RANDOM || (p->flip > 0.0 && p->flip < 1.0) ||
                      p->crop_scale[0] != p->crop_scale[1] ||
                      p->crop_aspect[0] != p->crop_aspect[1] ||
                      p->brightness[0] != p->brightness[1] || p->contrast[0] != p->contrast[1] ||
                      p->saturation[0] != p->saturation[1] || p->hue[0] != p->hue[1];
    RBC__TRY(choose_dtype(spec, name, err));
    const bool is_depth = spec->stored == RBC__U16 || spec->stored == RBC__F32;
    if (is_depth && (spec->channels == 1 || spec->channels == -1)) {
        return check_depth(spec, name, err);
    }
    if (spec->stored != RBC__U8) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "%simages are %s of %d channels; wanted uint8, or uint16 or float32 of 1 "
                         "channel",
                         name, rbc__dtype_name(spec->stored), spec->channels);
    }
    if (p->num_mean > 1 && spec->channels != -1 && p->num_mean != spec->channels) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%smean has %d values and images %d channels; wanted as many, or one",
                         name, p->num_mean, spec->channels);
    }
    spec->has_table = spec->dtype != RBC__U8;
    if (spec->has_table) {
        fill_table(spec);
    }
    return RBC_OK;
}

rbc_status rbc__image_spec_init(rbc__image_spec *out, const rbc_image_params *params,
                                rbc__dtype stored, int64_t channels, const char *name,
                                rbc_error *err) {
    memset(out, 0, sizeof *out);
    out->params = (rbc_image_params)RBC_IMAGE_PARAMS_INIT;
    RBC__TRY(rbc__params_read(params, &out->params, sizeof out->params, "image", err));
    RBC__TRY(check_choices(&out->params, name, err));
    RBC__TRY(check_crop(&out->params, name, err));
    RBC__TRY(check_colour(&out->params, name, err));
    if (channels != -1 && (channels < 1 || channels > RBC__IMAGE_MAX_CHANNELS)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%simages have %lld channels; wanted 1 to %d",
                         name, (long long)channels, RBC__IMAGE_MAX_CHANNELS);
    }
    out->stored = stored;
    out->channels = (int32_t)channels;
    return fit(out, name, err);
}

bool rbc__image_spec_keeps_size(const rbc__image_spec *spec) {
    return spec->params.size[0] == 0 && spec->params.crop == RBC_IMAGE_CROP_NONE;
}

/* Whether what is cut out lies in an image of a size, as oriented. */
static rbc_status check_inside(const rbc_image_params *p, int64_t height, int64_t width,
                               const char *name, rbc_error *err) {
    const bool is_box = p->crop == RBC_IMAGE_CROP_BOX;
    const bool is_cut = p->crop == RBC_IMAGE_CROP_CENTER || p->crop == RBC_IMAGE_CROP_RANDOM;
    const int32_t wanted_height = is_box ? p->crop_box[3] : is_cut ? p->crop_size[0] : 0;
    const int32_t wanted_width = is_box ? p->crop_box[2] : is_cut ? p->crop_size[1] : 0;
    if (wanted_height > height || wanted_width > width) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%sa crop that reaches %d x %d pixels does not lie in an image of %lld x "
                         "%lld",
                         name, wanted_height, wanted_width, (long long)height, (long long)width);
    }
    return RBC_OK;
}

rbc_status rbc__image_spec_size(const rbc__image_spec *spec, int64_t height, int64_t width,
                                const char *name, int64_t *out_height, int64_t *out_width,
                                rbc_error *err) {
    const rbc_image_params *p = &spec->params;
    const bool is_known = height >= 0 && width >= 0;
    const bool is_turned = rbc__image_oriented(p->orient, 1, 2).height == 2;
    const int64_t h = is_turned ? width : height;
    const int64_t w = is_turned ? height : width;
    if (is_known &&
        (height < 1 || width < 1 || height > RBC__IMAGE_MAX_SIDE || width > RBC__IMAGE_MAX_SIDE)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%san image of %lld x %lld pixels; wanted sides of 1 to %d", name,
                         (long long)height, (long long)width, RBC__IMAGE_MAX_SIDE);
    }
    if (is_known) {
        RBC__TRY(check_inside(p, h, w, name, err));
    }
    if (p->size[0] > 0) {
        *out_height = p->size[0];
        *out_width = p->size[1];
    } else if (p->crop == RBC_IMAGE_CROP_NONE) {
        *out_height = h;
        *out_width = w;
    } else if (p->crop == RBC_IMAGE_CROP_BOX) {
        *out_height = p->crop_box[3] - p->crop_box[1];
        *out_width = p->crop_box[2] - p->crop_box[0];
    } else if (p->crop_size[0] > 0) {
        *out_height = p->crop_size[0];
        *out_width = p->crop_size[1];
    } else {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%scrop is a share of the area, so that sizes differ: size is to be "
                         "given",
                         name);
    }
    return RBC_OK;
}
