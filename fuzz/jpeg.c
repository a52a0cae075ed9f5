/* Fuzzes JPEG: images that begin as JPEGs do, and the arithmetic of the CUDA kernels, which must
 * make of every stream what libjpeg-turbo makes of it. */
#include <string.h>

#include "codec/codec.h"
#include "image.h"
#include "jpeg_passes.h"

enum { MOST_PIXELS = 1 << 16 };

static void fuzz_passes(const uint8_t *data, size_t size) {
    static uint8_t wanted[3 * MOST_PIXELS], found[3 * MOST_PIXELS];
    const rbc_image_limits limits = RBC_IMAGE_LIMITS_INIT;
    rbc__image_shape shape;
    fuzz_require(rbc_image_limits_set(&limits, NULL) == RBC_OK);
    if (!rbc__jpeg_codec.matches(data, size) ||
        rbc__jpeg_codec.probe(NULL, data, size, NULL, &shape, NULL) != RBC_OK ||
        shape.height * shape.width > MOST_PIXELS) {
        return;
    }
    rbc__decoder *decoder;
    fuzz_require(rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, &decoder, NULL) == RBC_OK);
    const bool is_whole = rbc__image_decode(decoder, data, size, NULL, &shape, wanted,
                                            shape.width * shape.channels, NULL) == RBC_OK;
    rbc__decoder_destroy(&decoder);
    const jpeg_passes_result result =
        jpeg_passes_decode(data, size, (uint32_t)shape.channels, false, found);
    fuzz_require(result == JPEG_PASSES_OTHER || (result == JPEG_PASSES_WHOLE) == is_whole);
    fuzz_require(result != JPEG_PASSES_WHOLE ||
                 memcmp(found, wanted, (size_t)(shape.height * shape.width * shape.channels)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_image(data, size);
    fuzz_passes(data, size);
    return 0;
}
