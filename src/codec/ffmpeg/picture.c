/* From a decoded picture to the pixels that are delivered. */
#include <string.h>

#include "codec/ffmpeg/decoder.h"
#include "codec/yuv.h"
#include "core/error.h"

static rbc_status refuse(const AVPixFmtDescriptor *pixels, const rbc__image_shape *shape,
                         rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                     "pictures of pixel format %s cannot be had as %lld channels of %d bits",
                     pixels != NULL && pixels->name != NULL ? pixels->name : "unknown",
                     (long long)shape->channels, (int)shape->bits);
}

/* Planes of whole samples, little-endian where they take two bytes. */
static bool is_planar(const AVPixFmtDescriptor *pixels) {
    const uint64_t others = AV_PIX_FMT_FLAG_BE | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM |
                            AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT;
    if ((pixels->flags & others) != 0 || pixels->nb_components < 1) {
        return false;
    }
    const int bytes = pixels->comp[0].depth > 8 ? 2 : 1;
    for (int i = 0; i < pixels->nb_components; ++i) {
        const AVComponentDescriptor *component = &pixels->comp[i];
        if (component->step != bytes || component->shift != 0 || component->offset != 0 ||
            component->depth != pixels->comp[0].depth) {
            return false;
        }
    }
    return true;
}

static void copy_rows(const AVFrame *frame, const rbc__image_shape *shape, int64_t bytes,
                      uint8_t *dst) {
    for (int64_t row = 0; row < shape->height; ++row) {
        memcpy(dst + row * shape->width * bytes, frame->data[0] + row * frame->linesize[0],
               (size_t)(shape->width * bytes));
    }
}

/* Samples of one channel as they are stored, in 16 bits. */
static void copy_samples(const AVFrame *frame, const rbc__image_shape *shape, int depth,
                         uint8_t *dst) {
    if (depth > 8) {
        copy_rows(frame, shape, 2, dst);
        return;
    }
    uint16_t *out = (uint16_t *)(void *)dst;
    for (int64_t row = 0; row < shape->height; ++row) {
        const uint8_t *from = frame->data[0] + row * frame->linesize[0];
        for (int64_t x = 0; x < shape->width; ++x) {
            *out++ = from[x];
        }
    }
}

/* Grey pictures have all values there are, whatever is said of their range. */
static bool is_full_range(const AVFrame *frame, const AVPixFmtDescriptor *pixels) {
    return frame->color_range == AVCOL_RANGE_JPEG || pixels->nb_components < 3 ||
           frame->format == AV_PIX_FMT_YUVJ420P || frame->format == AV_PIX_FMT_YUVJ422P ||
           frame->format == AV_PIX_FMT_YUVJ444P;
}

static rbc_status write_bytes(const AVFrame *frame, const AVPixFmtDescriptor *pixels,
                              const rbc__image_shape *shape, uint8_t *dst, rbc_error *err) {
    const int depth = pixels->comp[0].depth;
    const bool is_rgb = (pixels->flags & AV_PIX_FMT_FLAG_RGB) != 0;
    const bool is_gray = pixels->nb_components < 3;
    if (depth > 12 || (is_rgb && shape->channels == 1) || pixels->log2_chroma_w > 1 ||
        pixels->log2_chroma_h > 1 || (pixels->log2_chroma_h == 1 && pixels->log2_chroma_w == 0)) {
        return refuse(pixels, shape, err);
    }
    rbc__yuv_picture picture = {.width = frame->width,
                                .height = frame->height,
                                .bits = depth,
                                .halves_x = pixels->log2_chroma_w == 1,
                                .halves_y = pixels->log2_chroma_h == 1};
    for (int i = 0; i < (is_gray ? 1 : 3); ++i) {
        /* Of RGB the components are in that order, the planes are not. */
        const int plane = pixels->comp[i].plane;
        picture.planes[i] = frame->data[plane];
        picture.strides[i] = frame->linesize[plane];
    }
    const bool is_full = is_rgb || is_full_range(frame, pixels);
    const int matrix = is_rgb || is_gray ? AVCOL_SPC_UNSPECIFIED : (int)frame->colorspace;
    if (!rbc__yuv_coefficients_of(matrix, is_full, depth, &picture.coefficients)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "pictures of colour matrix %d (ITU-T H.273) cannot be made RGB", matrix);
    }
    if (is_rgb) {
        rbc__planes_to_rgb(&picture, dst);
    } else if (shape->channels == 1) {
        if (is_gray && depth == 8) {
            copy_rows(frame, shape, 1, dst);
        } else {
            rbc__yuv_to_gray(&picture, dst);
        }
    } else if (is_gray) {
        picture.planes[1] = picture.planes[2] = picture.planes[0];
        picture.strides[1] = picture.strides[2] = picture.strides[0];
        rbc__planes_to_rgb(&picture, dst);
    } else {
        rbc__yuv_to_rgb(&picture, dst);
    }
    return RBC_OK;
}

rbc_status rbc__picture_write(const rbc__ffmpeg *ffmpeg, const AVFrame *frame,
                              const rbc__image_shape *shape, uint8_t *dst, rbc_error *err) {
    const AVPixFmtDescriptor *pixels =
        ffmpeg->av_pix_fmt_desc_get((enum AVPixelFormat)frame->format);
    if (frame->width != shape->width || frame->height != shape->height) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "found a picture of %d x %d pixels, wanted %lld x "
                         "%lld",
                         frame->width, frame->height, (long long)shape->width,
                         (long long)shape->height);
    }
    if (pixels == NULL || !is_planar(pixels) ||
        (shape->channels != 1 && (shape->channels != 3 || shape->bits != 8))) {
        return refuse(pixels, shape, err);
    }
    if (shape->bits == 8) {
        return write_bytes(frame, pixels, shape, dst, err);
    }
    if (shape->bits != 16 || (pixels->flags & AV_PIX_FMT_FLAG_RGB) != 0) {
        return refuse(pixels, shape, err);
    }
    copy_samples(frame, shape, pixels->comp[0].depth, dst);
    return RBC_OK;
}
