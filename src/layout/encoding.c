#include "layout/encoding.h"

#include <string.h>

#include "core/error.h"

static const char *const names[RBC__NUM_ENCODINGS] = {
    "plain", "swapped", "varint", "npy", "text", "string", "image", "pixels", "frame",
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
        "image, pixels and frame are",
        name);
}
