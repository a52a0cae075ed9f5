/* What an image may ask for, in the whole process. */
#include <stdatomic.h>
#include <string.h>

#include "codec/decoder.h"
#include "core/error.h"
#include "core/params.h"

/* libjpeg-turbo's own limit, which holds besides. */
enum { MOST_SCANS = 500 };

static const rbc_image_limits defaults = RBC_IMAGE_LIMITS_INIT;
/* 0: the default. */
static _Atomic int64_t set_pixels, set_scans, set_scan_pixels;

static int64_t value(_Atomic int64_t *limit, int64_t otherwise) {
    const int64_t found = atomic_load_explicit(limit, memory_order_relaxed);
    return found > 0 ? found : otherwise;
}

static rbc_status check(const char *limit, int64_t found, int64_t most, rbc_error *err) {
    return found >= 1 && found <= most
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is %lld; wanted 1 to %lld", limit,
                           (long long)found, (long long)most);
}

rbc_status rbc_image_limits_set(const rbc_image_limits *limits, rbc_error *err) {
    rbc_image_limits known = defaults;
    RBC__TRY(rbc__params_read(limits, &known, sizeof known, "limits", err));
    RBC__TRY(check("max_pixels", known.max_pixels, INT64_MAX, err));
    RBC__TRY(check("max_scans", known.max_scans, MOST_SCANS, err));
    RBC__TRY(check("max_scan_pixels", known.max_scan_pixels, INT64_MAX, err));
    atomic_store_explicit(&set_pixels, known.max_pixels, memory_order_relaxed);
    atomic_store_explicit(&set_scans, known.max_scans, memory_order_relaxed);
    atomic_store_explicit(&set_scan_pixels, known.max_scan_pixels, memory_order_relaxed);
    return RBC_OK;
}

void rbc_image_limits_get(rbc_image_limits *out) {
    *out = (rbc_image_limits){
        .struct_size = sizeof *out,
        .max_pixels = value(&set_pixels, defaults.max_pixels),
        .max_scans = value(&set_scans, defaults.max_scans),
        .max_scan_pixels = value(&set_scan_pixels, defaults.max_scan_pixels),
    };
}

rbc_status rbc__image_check_limits(const rbc__image_shape *shape, const char *codec,
                                   const char *name, rbc_error *err) {
    const int64_t max_pixels = value(&set_pixels, defaults.max_pixels);
    if (shape->height < 1 || shape->width < 1 || shape->height > RBC__IMAGE_MAX_SIDE ||
        shape->width > RBC__IMAGE_MAX_SIDE || shape->height * shape->width > max_pixels) {
        return rbc__image_fail(
            err, RBC_ERROR_FORMAT, name,
            "%s header claims %lld x %lld pixels; sides must be within 1 and %d, "
            "their product at most %lld (the image limit max_pixels)",
            codec, (long long)shape->height, (long long)shape->width, RBC__IMAGE_MAX_SIDE,
            (long long)max_pixels);
    }
    return RBC_OK;
}

rbc_status rbc__image_check_scans(const rbc__image_shape *shape, int64_t num_scans,
                                  const char *name, rbc_error *err) {
    const int64_t max_scans = value(&set_scans, defaults.max_scans);
    const int64_t max_scan_pixels = value(&set_scan_pixels, defaults.max_scan_pixels);
    if (num_scans > max_scans || shape->height * shape->width > max_scan_pixels / num_scans) {
        return rbc__image_fail(
            err, RBC_ERROR_FORMAT, name,
            "JPEG of %lld scans over %lld x %lld pixels; wanted at most %lld scans and %lld pixels "
            "times scans (the image limits max_scans and max_scan_pixels)",
            (long long)num_scans, (long long)shape->height, (long long)shape->width,
            (long long)max_scans, (long long)max_scan_pixels);
    }
    return RBC_OK;
}
