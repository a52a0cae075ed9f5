/* What is made of images.
 *
 * What training wants of images, in this order: oriented, cropped, resized, mirrored, their colours
 * changed, normalised, as one operation. docs/images.md says what each step means; src/image/image.h
 * the arithmetic, to the bit.
 *
 * uint8 images of 1 channel (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) go through all steps;
 * uint16 and float32 images of 1 channel, depth say, through those that move pixels, and are
 * resized to the nearest pixel alone. */
#ifndef ROBOCACHE_IMAGE_H
#define ROBOCACHE_IMAGE_H

#include <robocache/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rbc_image_orient {
    RBC_IMAGE_AS_STORED = 0,
    RBC_IMAGE_ROTATE_90 = 1, /* counter-clockwise, as numpy.rot90 and Pillow's ROTATE_90 */
    RBC_IMAGE_ROTATE_180 = 2,
    RBC_IMAGE_ROTATE_270 = 3,
    RBC_IMAGE_FLIP_HORIZONTAL = 4, /* left becomes right */
    RBC_IMAGE_FLIP_VERTICAL = 5,   /* top becomes bottom */
    RBC_IMAGE_TRANSPOSE = 6,       /* rows become columns */
    RBC_IMAGE_TRANSVERSE = 7,      /* the same along the other diagonal */
} rbc_image_orient;

typedef enum rbc_image_crop {
    RBC_IMAGE_CROP_NONE = 0,
    RBC_IMAGE_CROP_CENTER = 1, /* of crop_size pixels, or else of a share of the area */
    RBC_IMAGE_CROP_RANDOM = 2, /* the same at a position that is drawn */
    RBC_IMAGE_CROP_BOX = 3,    /* crop_box */
} rbc_image_crop;

typedef enum rbc_image_filter {
    RBC_IMAGE_FILTER_DEFAULT = 0,  /* bilinear, nearest for depth */
    RBC_IMAGE_FILTER_NEAREST = 1,  /* the three are Pillow's, bit for bit */
    RBC_IMAGE_FILTER_BILINEAR = 2, /* antialiased */
    RBC_IMAGE_FILTER_BICUBIC = 3,  /* antialiased */
} rbc_image_filter;

/* Which images of a loader have what is drawn in common. */
typedef enum rbc_image_share {
    RBC_IMAGE_SHARE_WINDOW = 0, /* those of one window of a sample */
    RBC_IMAGE_SHARE_SAMPLE = 1, /* those of all windows of a sample that share so */
    RBC_IMAGE_SHARE_FRAME = 2,  /* none */
} rbc_image_share;

/* Ranges {low, high} are drawn from uniformly; equal ends are that number. */
typedef struct rbc_image_params {
    size_t struct_size;
    int32_t orient;        /* an rbc_image_orient; what follows is of the oriented image */
    int32_t crop;          /* an rbc_image_crop */
    double crop_scale[2];  /* share of the area, in (0, 1] */
    double crop_aspect[2]; /* width over height, drawn log-uniformly; 0, 0: the image's own. A crop
                              that would not fit is made smaller, with its aspect */
    int32_t crop_size[2];  /* height, width in pixels; 0, 0: crop_scale and crop_aspect */
    int32_t crop_box[4];   /* left, top, right, bottom in pixels; right and bottom are outside */
    int32_t size[2];       /* height, width of the result; 0, 0: that of the crop, which must be
                              fixed */
    int32_t filter;        /* an rbc_image_filter */
    double flip;           /* how likely the image is mirrored, left to right */
    double brightness[2], contrast[2], saturation[2]; /* factors in [0, 4]; 1: as it is */
    double hue[2];          /* turns of the colour circle, in [-0.5, 0.5] */
    int32_t num_mean;       /* 0: not normalised; 1: for all channels, or as many as channels */
    double mean[4], std[4]; /* of values in [0, 1]: (value / 255 - mean) / std */
    DLDataType dtype; /* uint8, float32, float16, bfloat16; bits 0: as the image, float32 where
                              there is a mean. Floats without a mean are value / 255 */
    int32_t channels_first; /* [C, H, W] instead of [H, W, C] */
    int32_t share;          /* an rbc_image_share */
} rbc_image_params;

#define RBC_IMAGE_PARAMS_INIT                                                                      \
    {.struct_size = sizeof(rbc_image_params),                                                      \
     .orient = RBC_IMAGE_AS_STORED,                                                                \
     .crop = RBC_IMAGE_CROP_NONE,                                                                  \
     .crop_scale = {1.0, 1.0},                                                                     \
     .crop_aspect = {0.0, 0.0},                                                                    \
     .crop_size = {0, 0},                                                                          \
     .crop_box = {0, 0, 0, 0},                                                                     \
     .size = {0, 0},                                                                               \
     .filter = RBC_IMAGE_FILTER_DEFAULT,                                                           \
     .flip = 0.0,                                                                                  \
     .brightness = {1.0, 1.0},                                                                     \
     .contrast = {1.0, 1.0},                                                                       \
     .saturation = {1.0, 1.0},                                                                     \
     .hue = {0.0, 0.0},                                                                            \
     .num_mean = 0,                                                                                \
     .mean = {0.0, 0.0, 0.0, 0.0},                                                                 \
     .std = {1.0, 1.0, 1.0, 1.0},                                                                  \
     .dtype = {0, 0, 0},                                                                           \
     .channels_first = 0,                                                                          \
     .share = RBC_IMAGE_SHARE_WINDOW}

/* The key of what is drawn for a frame of a loader: frame number `frame` of the window named `name`
 * of the sample at tick `tick` of episode `episode` (its id), in epoch `epoch` of a loader with seed
 * `seed`. `share` says which of these count: WINDOW leaves out `frame`, SAMPLE `name` as well. */
RBC_API uint64_t rbc_image_key(uint64_t seed, int64_t epoch, int64_t episode, int64_t tick,
                               rbc_image_share share, const char *name, int64_t frame);

/* What rbc_image_apply() makes of images of `dtype` and [height, width, channels]: shape[3] and
 * dtype of one. INVALID_ARGUMENT, UNSUPPORTED: what does not go together, named. */
RBC_API rbc_status rbc_image_output(const rbc_image_params *params, DLDataType dtype,
                                    int64_t height, int64_t width, int64_t channels, int64_t *shape,
                                    DLDataType *out_dtype, rbc_error *err);

/* `images` [B, H, W, C], whose pixels follow each other in a row; `out` [B, h, w, C] or
 * [B, C, h, w], contiguous; keys[i], on the host, decides what is drawn for image i; `workspace` u8
 * of at least rbc_image_workspace() bytes, 16-byte aligned, same device, may be NULL where that is 0.
 * On CUDA the work is queued on `stream`. Errors as above; OUT_OF_MEMORY, DEVICE. */
RBC_API rbc_status rbc_image_apply(rbc_context *context, const rbc_image_params *params,
                                   const DLTensor *images, const uint64_t *keys,
                                   const DLTensor *out, const DLTensor *workspace, void *stream,
                                   rbc_error *err);

/* Bytes of scratch memory that the same call of rbc_image_apply() needs. */
RBC_API rbc_status rbc_image_workspace(rbc_context *context, const rbc_image_params *params,
                                       const DLTensor *images, const uint64_t *keys,
                                       uint64_t *bytes, rbc_error *err);

/* ---- Limits of what is decoded ---- */

/* What one image may ask for, in the whole process; an image beyond is FORMAT before memory is had
 * or time spent for it. A progressive JPEG goes over all of its pixels once a scan, so that a small
 * file could ask for minutes. */
typedef struct rbc_image_limits {
    size_t struct_size;
    int64_t max_pixels;      /* height times width */
    int64_t max_scans;       /* of a JPEG, at most 500; encoders make about ten */
    int64_t max_scan_pixels; /* of a JPEG: pixels times scans */
} rbc_image_limits;

#define RBC_IMAGE_LIMITS_INIT                                                                      \
    {.struct_size = sizeof(rbc_image_limits),                                                      \
     .max_pixels = INT64_C(1) << 28,                                                               \
     .max_scans = 64,                                                                              \
     .max_scan_pixels = INT64_C(1) << 31}

/* Any time, from any thread; images decoded from then on are held to them. INVALID_ARGUMENT: a
 * limit below 1, or more than 500 scans. */
RBC_API rbc_status rbc_image_limits_set(const rbc_image_limits *limits, rbc_error *err);
RBC_API void rbc_image_limits_get(rbc_image_limits *out);

#ifdef __cplusplus
}
#endif
#endif
