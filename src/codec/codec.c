#include "codec/codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/decoder.h"
#include "core/error.h"

static const rbc__codec *const codecs[] = {&rbc__jpeg_codec, &rbc__png_codec, &rbc__jxl_codec};

rbc_status rbc__jpeg_dct_choose(rbc_jpeg_dct asked, rbc_jpeg_dct otherwise, rbc_jpeg_dct *out,
                                rbc_error *err) {
    if (asked != RBC_JPEG_DCT_DEFAULT && asked != RBC_JPEG_DCT_ACCURATE &&
        asked != RBC_JPEG_DCT_FAST) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "jpeg_dct is %d; wanted default, accurate or fast", (int)asked);
    }
    *out = asked == RBC_JPEG_DCT_DEFAULT ? otherwise : asked;
    return RBC_OK;
}

rbc_status rbc__decoder_create(rbc_jpeg_dct jpeg_dct, rbc__decoder **out, rbc_error *err) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "image decoder: out of memory");
    }
    (*out)->jpeg_dct = jpeg_dct;
    return RBC_OK;
}

void rbc__decoder_destroy(rbc__decoder **decoder) {
    if (*decoder == NULL) {
        return;
    }
    if ((*decoder)->jpeg != NULL) {
        tjDestroy((*decoder)->jpeg);
    }
    free((*decoder)->pixels);
    free(*decoder);
    *decoder = NULL;
}

rbc_status rbc__decoder_pixels(rbc__decoder *decoder, size_t bytes, uint8_t **out, rbc_error *err) {
    if (decoder->pixels_bytes < bytes) {
        uint8_t *grown = realloc(decoder->pixels, bytes);
        if (grown == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                             "image decoder: %zu bytes for one image cannot be had", bytes);
        }
        decoder->pixels = grown;
        decoder->pixels_bytes = bytes;
    }
    *out = decoder->pixels;
    return RBC_OK;
}

rbc_status(rbc__image_fail)(rbc_error *err, rbc_status status, const char *name, const char *format,
                            ...) {
    char text[RBC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (name == NULL || name[0] == '\0') {
        return rbc__fail(err, status, "%s", text);
    }
    return rbc__fail(err, status, "%s: %s", name, text);
}

rbc_status rbc__image_check_wanted(const rbc__image_shape *found, const rbc__image_shape *want,
                                   int64_t row_stride_bytes, const char *codec, const char *name,
                                   rbc_error *err) {
    const int64_t row_bytes = want->width * want->channels * (want->bits / 8);
    const bool channels_fit = want->channels == found->channels || want->channels == 1 ||
                              want->channels == 3 || (want->channels == 4 && found->channels == 2);
    const bool is_other_size = found->height != want->height || found->width != want->width;
    if (is_other_size && want->is_first) {
        return rbc__image_fail(
            err, RBC_ERROR_FORMAT, name,
            "%s of %lld x %lld pixels where the first image has %lld x %lld: no size is declared, "
            "and an array or a batch holds images of one size; give the window an image of one "
            "size, read them one at a time, or leave the stream out",
            codec, (long long)found->height, (long long)found->width, (long long)want->height,
            (long long)want->width);
    }
    if (is_other_size || found->bits != want->bits || !channels_fit) {
        return rbc__image_fail(
            err, RBC_ERROR_FORMAT, name,
            "%s of [%lld, %lld, %lld] with %d bits a channel where [%lld, %lld, %lld] with %d bits "
            "is wanted",
            codec, (long long)found->height, (long long)found->width, (long long)found->channels,
            (int)found->bits, (long long)want->height, (long long)want->width,
            (long long)want->channels, (int)want->bits);
    }
    if (row_stride_bytes < row_bytes) {
        return rbc__image_fail(err, RBC_ERROR_INVALID_ARGUMENT, name,
                               "row stride of %lld bytes for rows of %lld",
                               (long long)row_stride_bytes, (long long)row_bytes);
    }
    return RBC_OK;
}

static const rbc__codec *match_codec(const uint8_t *bytes, uint64_t num_bytes) {
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; ++i) {
        if (codecs[i]->matches(bytes, num_bytes)) {
            return codecs[i];
        }
    }
    return NULL;
}

const char *rbc__image_encoding(const uint8_t *bytes, uint64_t num_bytes) {
    const rbc__codec *codec = match_codec(bytes, num_bytes);
    return codec == NULL ? NULL : codec->name;
}

static rbc_status find_codec(const uint8_t *bytes, uint64_t num_bytes, const char *name,
                             const rbc__codec **out, rbc_error *err) {
    *out = match_codec(bytes, num_bytes);
    if (*out != NULL) {
        return RBC_OK;
    }
    char magic[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < num_bytes; ++i) {
        snprintf(magic + 3 * i, sizeof magic - 3 * i, " %02x", bytes[i]);
    }
    return rbc__image_fail(
        err, RBC_ERROR_FORMAT, name,
        "image of %llu bytes is neither JPEG nor PNG nor JPEG XL, it begins with%s",
        (unsigned long long)num_bytes, num_bytes == 0 ? " nothing" : magic);
}

rbc_status rbc__image_probe(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                            const char *name, rbc__image_shape *out, rbc_error *err) {
    const rbc__codec *codec;
    RBC__TRY(find_codec(bytes, num_bytes, name, &codec, err));
    return codec->probe(decoder, bytes, num_bytes, name, out, err);
}

rbc_status rbc__image_decode(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                             const char *name, const rbc__image_shape *want, void *dst,
                             int64_t row_stride_bytes, rbc_error *err) {
    const rbc__codec *codec;
    RBC__TRY(find_codec(bytes, num_bytes, name, &codec, err));
    return codec->decode(decoder, bytes, num_bytes, name, want, dst, row_stride_bytes, err);
}
