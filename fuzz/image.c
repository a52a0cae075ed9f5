#include "image.h"

#include <string.h>

#include "codec/codec.h"

static void check_name(const rbc_error *err) {
    fuzz_require(strncmp(err->message, "cam: ", 5) == 0);
}

/* Twice, into memory of another content: what is delivered is all of the image's making. */
static void decode(rbc__decoder *decoder, const uint8_t *data, size_t size,
                   const rbc__image_shape *want, bool may_fail) {
    rbc_error err;
    const size_t row = (size_t)(want->width * want->channels * (want->bits / 8));
    const size_t bytes = row * (size_t)want->height;
    uint8_t *pixels = malloc(bytes);
    uint8_t *again = malloc(bytes);
    fuzz_require(pixels != NULL && again != NULL);
    memset(pixels, 0x00, bytes);
    memset(again, 0xFF, bytes);
    const rbc_status status =
        rbc__image_decode(decoder, data, size, "cam", want, pixels, (int64_t)row, &err);
    if (status != RBC_OK) {
        fuzz_require(may_fail);
        check_name(&err);
    }
    fuzz_require(rbc__image_decode(decoder, data, size, "cam", want, again, (int64_t)row, &err) ==
                 status);
    if (status == RBC_OK) {
        fuzz_require(memcmp(pixels, again, bytes) == 0);
    }
    free(pixels);
    free(again);
}

void fuzz_image(const uint8_t *data, size_t size) {
    rbc_image_limits limits = RBC_IMAGE_LIMITS_INIT;
    limits.max_pixels = 1 << 16;
    limits.max_scan_pixels = 1 << 19;
    rbc_error err;
    rbc__decoder *decoder;
    fuzz_require(rbc_image_limits_set(&limits, &err) == RBC_OK);
    fuzz_require(rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, &decoder, &err) == RBC_OK);
    rbc__image_shape shape;
    if (rbc__image_probe(decoder, data, size, "cam", &shape, &err) != RBC_OK) {
        check_name(&err);
    } else {
        fuzz_require(shape.height >= 1 && shape.width >= 1 && shape.channels >= 1 &&
                     shape.channels <= 4 && (shape.bits == 8 || shape.bits == 16) &&
                     shape.height * shape.width <= limits.max_pixels);
        const int64_t channels[] = {shape.channels, 1, 3, 4};
        for (size_t i = 0; i < sizeof channels / sizeof *channels; ++i) {
            rbc__image_shape want = shape;
            want.channels = channels[i];
            decode(decoder, data, size, &want, true);
        }
    }
    rbc__decoder_destroy(&decoder);
}
