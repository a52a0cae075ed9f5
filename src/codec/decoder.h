/* What a decoder keeps from one image to the next, shared by the codecs.
 * Shared within src/codec. */
#ifndef RBC_CODEC_DECODER_H
#define RBC_CODEC_DECODER_H

#include <turbojpeg.h>

#include "codec/codec.h"

/* Headers that claim more are refused as absurd before anything is allocated for them. */
#define RBC__IMAGE_MAX_SIDE 65535

struct rbc__decoder {
    rbc_jpeg_dct jpeg_dct;
    tjhandle jpeg; /* made when the first JPEG comes */
    uint8_t *pixels;
    size_t pixels_bytes;
};

/* At least `bytes` of memory that the decoder owns, valid until the next call. */
rbc_status rbc__decoder_pixels(rbc__decoder *decoder, size_t bytes, uint8_t **out, rbc_error *err);

/* As rbc__fail, the message beginning with `name` and a colon where there is one. */
rbc_status rbc__image_fail(rbc_error *err, rbc_status status, const char *name, const char *format,
                           ...) __attribute__((format(printf, 4, 5)));
#ifdef __clang_analyzer__
#define rbc__image_fail(err, status, ...)                                                          \
    ((void)rbc__image_fail(err, status, __VA_ARGS__), (status))
#endif

/* FORMAT when the extents are not within RBC__IMAGE_MAX_SIDE and rbc_image_limits. */
rbc_status rbc__image_check_limits(const rbc__image_shape *shape, const char *codec,
                                   const char *name, rbc_error *err);

/* FORMAT when so many scans over such an image are more than rbc_image_limits. */
rbc_status rbc__image_check_scans(const rbc__image_shape *shape, int64_t num_scans,
                                  const char *name, rbc_error *err);

/* FORMAT, naming both, unless the extents and bits are equal and the channels can be converted;
 * INVALID_ARGUMENT where a row of what is wanted does not fit the stride. */
rbc_status rbc__image_check_wanted(const rbc__image_shape *found, const rbc__image_shape *want,
                                   int64_t row_stride_bytes, const char *codec, const char *name,
                                   rbc_error *err);

#endif
