/* Bare codestreams and those in a container. Pixels are libjxl's in the image's own colours, sRGB as
 * a rule, turned as its header says. */
#include "codec/jxl.h"

#include <jxl/decode.h>
#include <stdlib.h>
#include <string.h>

#include "codec/channels.h"
#include "codec/decoder.h"
#include "core/error.h"

static const uint8_t codestream[2] = {0xFF, 0x0A};
static const uint8_t container[12] = {0, 0, 0, 12, 'J', 'X', 'L', ' ', 0x0D, 0x0A, 0x87, 0x0A};

/* Of what an image is made, in the form in which libjxl gives it. */
typedef struct jxl_image {
    JxlDecoder *jxl;
    rbc__image_shape shape;
    bool is_out_of_memory;
} jxl_image;

static bool begins_with(const uint8_t *bytes, uint64_t num_bytes, const void *magic, size_t size) {
    return num_bytes >= size && memcmp(bytes, magic, size) == 0;
}

static bool matches(const uint8_t *bytes, uint64_t num_bytes) {
    return begins_with(bytes, num_bytes, codestream, sizeof codestream) ||
           begins_with(bytes, num_bytes, container, sizeof container);
}

/* libjxl calls it damage where memory could not be had: only its allocator knows. */
static void *allocate(void *user, size_t bytes) {
    void *memory = malloc(bytes);
    *(bool *)user = *(bool *)user || memory == NULL;
    return memory;
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static rbc_status fail(const jxl_image *image, const char *name, JxlDecoderStatus code,
                       rbc_error *err) {
    if (image->is_out_of_memory) {
        return rbc__image_fail(err, RBC_ERROR_OUT_OF_MEMORY, name,
                               "JPEG XL decoder: out of memory");
    }
    return rbc__image_fail(err, RBC_ERROR_FORMAT, name, "damaged JPEG XL: %s",
                           code == JXL_DEC_NEED_MORE_INPUT ? "it is cut off"
                                                           : "libjxl cannot decode it");
}

static rbc_status read_shape(jxl_image *image, const char *name, rbc_error *err) {
    JxlBasicInfo info;
    if (JxlDecoderGetBasicInfo(image->jxl, &info) != JXL_DEC_SUCCESS) {
        return fail(image, name, JXL_DEC_ERROR, err);
    }
    image->shape = (rbc__image_shape){
        .height = info.ysize,
        .width = info.xsize,
        .channels = (int64_t)info.num_color_channels + (info.alpha_bits > 0),
        .bits = info.bits_per_sample <= 8 ? 8 : 16,
    };
    RBC__TRY(rbc__image_check_limits(&image->shape, "JPEG XL", name, err));
    const bool is_wide = info.bits_per_sample > 8 && info.bits_per_sample != 16;
    if (is_wide || info.exponent_bits_per_sample != 0) {
        return rbc__image_fail(err, RBC_ERROR_UNSUPPORTED, name,
                               "JPEG XL of %s of %u bits; whole numbers of up to 8 or of 16 are "
                               "supported",
                               info.exponent_bits_per_sample != 0 ? "floats" : "whole numbers",
                               info.bits_per_sample);
    }
    return RBC_OK;
}

/* `image` outlives the decoder and does not move. On failure nothing is left open. */
static rbc_status image_open(const uint8_t *bytes, uint64_t num_bytes, const char *name,
                             jxl_image *image, rbc_error *err) {
    const JxlMemoryManager memory = {&image->is_out_of_memory, allocate, release};
    *image = (jxl_image){0}; /* before libjxl's first allocation */
    image->jxl = JxlDecoderCreate(&memory);
    if (image->jxl == NULL) {
        return rbc__image_fail(err, RBC_ERROR_OUT_OF_MEMORY, name,
                               "JPEG XL decoder: out of memory");
    }
    JxlDecoderStatus code =
        JxlDecoderSubscribeEvents(image->jxl, JXL_DEC_BASIC_INFO | JXL_DEC_FULL_IMAGE);
    if (code == JXL_DEC_SUCCESS) {
        code = JxlDecoderSetInput(image->jxl, bytes, (size_t)num_bytes);
    }
    if (code == JXL_DEC_SUCCESS) {
        JxlDecoderCloseInput(image->jxl);
        code = JxlDecoderProcessInput(image->jxl);
    }
    const rbc_status status =
        code == JXL_DEC_BASIC_INFO ? read_shape(image, name, err) : fail(image, name, code, err);
    if (status != RBC_OK) {
        JxlDecoderDestroy(image->jxl);
    }
    return status;
}

static size_t frame_bytes(const rbc__image_shape *shape, int64_t channels) {
    return (size_t)(shape->height * shape->width * channels * (shape->bits / 8));
}

/* The next frame into `pixels`, which has room for one; *is_there is false behind the last. With
 * `pixels` NULL it is only told whether there is one. */
static rbc_status next_frame(jxl_image *image, const char *name, int64_t channels, uint8_t *pixels,
                             bool *is_there, rbc_error *err) {
    const JxlPixelFormat format = {
        .num_channels = (uint32_t)channels,
        .data_type = image->shape.bits == 8 ? JXL_TYPE_UINT8 : JXL_TYPE_UINT16,
        .endianness = JXL_NATIVE_ENDIAN,
    };
    const size_t bytes = frame_bytes(&image->shape, channels);
    size_t wanted = 0;
    JxlDecoderStatus code = JxlDecoderProcessInput(image->jxl);
    *is_there = code == JXL_DEC_NEED_IMAGE_OUT_BUFFER;
    if (code == JXL_DEC_SUCCESS || (*is_there && pixels == NULL)) {
        return RBC_OK;
    }
    if (*is_there) {
        code = JxlDecoderImageOutBufferSize(image->jxl, &format, &wanted);
        if (code == JXL_DEC_SUCCESS && wanted == bytes) {
            code = JxlDecoderSetImageOutBuffer(image->jxl, &format, pixels, bytes);
        }
        if (code == JXL_DEC_SUCCESS) {
            code = JxlDecoderProcessInput(image->jxl);
        }
    }
    return code == JXL_DEC_FULL_IMAGE ? RBC_OK : fail(image, name, code, err);
}

/* What libjxl is asked for: the channels that are wanted, or those that rows are converted from.
 * It widens grey and leaves out or adds alpha, but makes no grey of colour. */
static int64_t choose_channels(const rbc__image_shape *shape, int64_t wanted) {
    const bool is_colour = shape->channels >= 3;
    return is_colour && wanted < 3 ? (wanted == 1 ? 3 : 4) : wanted;
}

static rbc_status decode_frame(rbc__decoder *decoder, jxl_image *image, const char *name,
                               const rbc__image_shape *want, uint8_t *dst, int64_t row_stride_bytes,
                               rbc_error *err) {
    const int64_t row_bytes = want->width * want->channels * (want->bits / 8);
    const int64_t channels = choose_channels(&image->shape, want->channels);
    const bool direct = channels == want->channels && row_stride_bytes == row_bytes;
    uint8_t *pixels = dst;
    bool is_there;
    if (!direct) {
        RBC__TRY(rbc__decoder_pixels(decoder, frame_bytes(&image->shape, channels), &pixels, err));
    }
    RBC__TRY(next_frame(image, name, channels, pixels, &is_there, err));
    if (!is_there) {
        return rbc__image_fail(err, RBC_ERROR_FORMAT, name, "damaged JPEG XL: it has no frame");
    }
    for (int64_t y = 0; !direct && y < want->height; ++y) {
        rbc__channels_convert(pixels + y * want->width * channels * (want->bits / 8), (int)channels,
                              dst + y * row_stride_bytes, (int)want->channels, want->width,
                              want->bits);
    }
    RBC__TRY(next_frame(image, name, channels, NULL, &is_there, err));
    return !is_there ? RBC_OK
                     : rbc__image_fail(err, RBC_ERROR_UNSUPPORTED, name,
                                       "JPEG XL of several frames where one image is wanted");
}

static rbc_status probe(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                        const char *name, rbc__image_shape *out, rbc_error *err) {
    (void)decoder;
    jxl_image image;
    RBC__TRY(image_open(bytes, num_bytes, name, &image, err));
    *out = image.shape;
    JxlDecoderDestroy(image.jxl);
    return RBC_OK;
}

static rbc_status decode(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                         const char *name, const rbc__image_shape *want, void *dst,
                         int64_t row_stride_bytes, rbc_error *err) {
    jxl_image image;
    RBC__TRY(image_open(bytes, num_bytes, name, &image, err));
    rbc_status status =
        rbc__image_check_wanted(&image.shape, want, row_stride_bytes, "JPEG XL", name, err);
    if (status == RBC_OK) {
        status = decode_frame(decoder, &image, name, want, dst, row_stride_bytes, err);
    }
    JxlDecoderDestroy(image.jxl);
    return status;
}

rbc_status rbc__jxl_frames(const uint8_t *bytes, uint64_t num_bytes, uint8_t *dst, size_t room,
                           size_t *out_bytes, rbc_error *err) {
    jxl_image image;
    *out_bytes = 0;
    if (!matches(bytes, num_bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "no JPEG XL");
    }
    RBC__TRY(image_open(bytes, num_bytes, NULL, &image, err));
    const size_t each = frame_bytes(&image.shape, image.shape.channels);
    rbc_status status = RBC_OK;
    for (bool is_there = true; is_there && status == RBC_OK;) {
        const bool has_room = each <= room - *out_bytes;
        status = next_frame(&image, NULL, image.shape.channels, has_room ? dst + *out_bytes : NULL,
                            &is_there, err);
        if (status == RBC_OK && is_there) {
            status = has_room ? RBC_OK : RBC_END;
            *out_bytes += has_room ? each : 0;
        }
    }
    JxlDecoderDestroy(image.jxl);
    return status;
}

const rbc__codec rbc__jxl_codec = {
    .name = "jxl",
    .matches = matches,
    .probe = probe,
    .decode = decode,
};
