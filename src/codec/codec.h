/* Encoded images to pixels, behind one table. Which codec is told by the magic bytes.
 * Interface of src/codec. */
#ifndef RBC_CODEC_CODEC_H
#define RBC_CODEC_CODEC_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"

typedef struct rbc__image_shape {
    int64_t height, width, channels;
    int32_t bits;  /* a channel: 8, or 16 (native byte order) for 16-bit PNG such as depth */
    bool is_first; /* as the stream's first image has it: its size is not declared */
} rbc__image_shape;

/* The choice asked for, `otherwise` for DEFAULT; INVALID_ARGUMENT when there is no such one. */
rbc_status rbc__jpeg_dct_choose(rbc_jpeg_dct asked, rbc_jpeg_dct otherwise, rbc_jpeg_dct *out,
                                rbc_error *err);

/* State of one thread (decompressor handles); created once, used for any number of images. */
typedef struct rbc__decoder rbc__decoder;
rbc_status rbc__decoder_create(rbc_jpeg_dct jpeg_dct, rbc__decoder **out, rbc_error *err);
void rbc__decoder_destroy(rbc__decoder **decoder);

/* Of libjpeg-turbo, which this library was built against: pixels may differ from one to another. */
const char *rbc__turbojpeg_version(void);

/* "jpeg", "png" or "jxl" by the first bytes, NULL for anything else. */
const char *rbc__image_encoding(const uint8_t *bytes, uint64_t num_bytes);

/* Reads the header only. FORMAT when it is none or absurd. `name` (file, offset, stream) begins
 * every message; NULL: the caller puts it there, so that no text is made for images that decode. */
rbc_status rbc__image_probe(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                            const char *name, rbc__image_shape *out, rbc_error *err);

/* Decodes into `dst`, rows `row_stride_bytes` apart, `want` high, wide and deep: an image of
 * another size is FORMAT, naming both; a grey image asked for as RGB is widened, colour asked for
 * as grey is converted (ITU-R BT.601 luma), alpha that is not wanted is left out. Truncated or
 * damaged data is FORMAT: no half image is delivered silently. Bytes behind the image are allowed.
 * JPEG pixels are those of libjpeg-turbo with smooth upsampling and the decoder's DCT. */
rbc_status rbc__image_decode(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                             const char *name, const rbc__image_shape *want, void *dst,
                             int64_t row_stride_bytes, rbc_error *err);

typedef struct rbc__codec {
    const char *name; /* "jpeg" */
    bool (*matches)(const uint8_t *bytes, uint64_t num_bytes);
    rbc_status (*probe)(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                        const char *name, rbc__image_shape *out, rbc_error *err);
    rbc_status (*decode)(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                         const char *name, const rbc__image_shape *want, void *dst,
                         int64_t row_stride_bytes, rbc_error *err);
} rbc__codec;

extern const rbc__codec rbc__jpeg_codec;
extern const rbc__codec rbc__png_codec;
extern const rbc__codec rbc__jxl_codec;

#endif
