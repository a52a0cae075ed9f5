#include "layout/encoding.h"

#include <string.h>

#include "codec/ros_image.h"
#include "core/error.h"
#include "core/tensor.h"

static const char *const names[RBC__NUM_ENCODINGS] = {
    "plain", "swapped", "varint", "npy",       "text",  "string",
    "image", "pixels",  "frame",  "ros_image", "cloud",
};

const char *rbc__encoding_name(uint32_t encoding) {
    return encoding < RBC__NUM_ENCODINGS ? names[encoding] : NULL;
}

rbc_status rbc__encoding_find(const char *name, rbc__encoding *out, rbc_error *err) {
    for (uint32_t i = 0; i < RBC__NUM_ENCODINGS; ++i) {
        if (strcmp(name, names[i]) == 0) {
            *out = (rbc__encoding)i;
            return RBC_OK;
        }
    }
    return rbc__fail(
        err, RBC_ERROR_UNSUPPORTED,
        "sample encoding '%s' is not known: plain, swapped, varint, npy, text, string, "
        "image, pixels, frame, ros_image and cloud are",
        name);
}

bool rbc__encoding_has(uint32_t encoding, uint32_t stored) {
    return encoding < RBC__NUM_ENCODINGS &&
           (encoding == RBC__ENCODING_ROS ? rbc__ros_pixels_name(stored) != NULL
                                          : stored < RBC__NUM_DTYPES);
}

const char *rbc__stored_name(uint32_t encoding, uint32_t stored) {
    return encoding == RBC__ENCODING_ROS ? rbc__ros_pixels_name(stored)
                                         : rbc__dtype_name((rbc__dtype)stored);
}

rbc_status rbc__stored_find(rbc__encoding encoding, const char *name, uint8_t *out,
                            rbc_error *err) {
    if (encoding == RBC__ENCODING_ROS) {
        return rbc__ros_pixels_find(name, out, err);
    }
    for (uint32_t i = 0; i < RBC__NUM_DTYPES; ++i) {
        if (strcmp(name, rbc__dtype_name((rbc__dtype)i)) == 0) {
            *out = (uint8_t)i;
            return RBC_OK;
        }
    }
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "dtype: found '%s', which is none of robocache's", name);
}
