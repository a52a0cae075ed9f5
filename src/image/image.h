/* What is made of images, and the arithmetic of it: every backend gives these bits.
 *
 * All of it is of integers, but for the weights of resizing and the table of normalising, which are
 * of IEEE floats in the order given, each operation rounded on its own (no fused multiply-add).
 * What is drawn is drawn on the host: a backend is given whole numbers (rbc__image_draw).
 *
 * 1 ORIENT   Pixels move: out(y, x) is the image's pixel at (y', x'), rbc__image_oriented().
 * 2 CROP     A box of whole pixels of that.
 * 3 RESIZE   Pillow's Image.resize(size, filter, box), of version 13. Of a crop that has the size of
 *            the result nothing is computed. NEAREST takes pixels, rbc__image_axis_nearest(). The
 *            others go along the rows and then along the columns, or the other way round where
 *            rbc__image_columns_first(), each with the weights of rbc__image_axis_init() and a result
 *            of 8 bits:
 *              out = clamp((2^21 + sum of pixel * weight) >> 22, 0, 255)
 *            An axis on which box and result have one size is left as it is. Images with alpha (2 or
 *            4 channels) have their colours multiplied with it before, and divided by it after:
 *              t = colour * alpha + 128,  colour = ((t >> 8) + t) >> 8
 *              colour = alpha is 0 or 255 ? colour : min(255 * colour / alpha, 255)
 * 4 FLIP     Columns in reverse.
 * 5 COLOUR   of uint8, in this order, on colours, not on alpha. Factors f are in 1 / 8192. All but
 *            hue are one formula, of a value x and a centre c in 1 / 256:
 *              blend(x, c, f) = clamp((f * (256 * x - c) + 8192 * c + 2^20) >> 21, 0, 255)
 *            brightness  c = 0
 *            contrast    c = (S / N + 128) >> 8, where S is the sum of grey over the N pixels of the
 *                        result after brightness, in int64
 *            saturation  c = (grey + 128) >> 8 of the pixel; no change of a grey image
 *            hue         below; no change of a grey image
 *            grey = 19595 * R + 38470 * G + 7471 * B, or 65536 times the value of a grey image.
 *            Hue turns by d, sixths of a circle in 1 / 65536, 0 <= d < 6 * 65536. With v the
 *            greatest and n the least of R, G, B, and m = v - n:
 *              h = (v is R ? G - B : v is G ? 2 * m + B - R : 4 * m + R - G) * 65536 + m * d
 *              M = m * 65536; for R, G, B with k = 5, 3, 1:
 *              t = h + k * M, brought to [0, 6 * M) by adding or taking away 6 * M
 *              out = v - ((clamp(min(t, 4 * M - t), 0, M) + 32768) >> 16)
 * 6 NORMALISE  A table for each channel, of 256 values: in float32 x / 255, less the mean, over the
 *            deviation, each rounded; then to the dtype, to nearest even.
 *
 * Interface of src/image. */
#ifndef RBC_IMAGE_IMAGE_H
#define RBC_IMAGE_IMAGE_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "image/arithmetic.h"

#define RBC__IMAGE_MAX_CHANNELS 4

/* Pixels of an image's side; what is computed with them in 32 bits does not overflow. */
#define RBC__IMAGE_MAX_SIDE 65535

/* Parameters, checked for images of one dtype and number of channels. */
typedef struct rbc__image_spec {
    rbc_image_params params;
    rbc__dtype stored;       /* of the images */
    rbc__dtype dtype;        /* of the result */
    int32_t channels;        /* of both */
    rbc_image_filter filter; /* not DEFAULT */
    bool is_random;          /* what is made of an image depends on its key */
    bool has_colour;         /* step 5 is asked for */
    bool has_table;          /* step 6 */
    float mean[RBC__IMAGE_MAX_CHANNELS], deviation[RBC__IMAGE_MAX_CHANNELS]; /* of the table */
    union {
        float f32[RBC__IMAGE_MAX_CHANNELS][256];
        uint16_t half[RBC__IMAGE_MAX_CHANNELS][256]; /* float16 and bfloat16 */
    } table;
} rbc__image_spec;

/* What is done to one image. */
typedef struct rbc__image_draw {
    int32_t left, top, right, bottom; /* of the oriented image */
    int32_t height, width;            /* of the result */
    bool is_flipped;
    int32_t brightness, contrast, saturation; /* 8192: as it is */
    int32_t hue;                              /* 0: as it is */
} rbc__image_draw;

/* ---- spec.c ---- */

/* Copies parameters of any struct_size and checks them, and that they go with such images.
 * Channels of -1 are not known yet: this is called again when they are. `name` begins messages:
 * "stream 'x': image: ". INVALID_ARGUMENT, UNSUPPORTED. */
rbc_status rbc__image_spec_init(rbc__image_spec *out, const rbc_image_params *params,
                                rbc__dtype stored, int64_t channels, const char *name,
                                rbc_error *err);

/* Height and width of the result for images of a size, -1 where that is not known, which matters
 * where the result is as large as the image. INVALID_ARGUMENT where it would differ from image to
 * image, or where the crop is not within the image. */
rbc_status rbc__image_spec_size(const rbc__image_spec *spec, int64_t height, int64_t width,
                                const char *name, int64_t *out_height, int64_t *out_width,
                                rbc_error *err);

/* Whether the result's size depends on that of the image. */
bool rbc__image_spec_keeps_size(const rbc__image_spec *spec);

/* ---- draw.c ---- */

/* Number `counter` of the uniform numbers in [0, 1) that belong to a key: output counter + 1 of
 * SplitMix64 that begins at the key, its upper 53 bits. */
double rbc__image_uniform(uint64_t key, int32_t counter);

/* The counters, one for each thing that is drawn, whatever else is. */
enum {
    RBC__IMAGE_DRAWS_FLIP,
    RBC__IMAGE_DRAWS_SCALE,
    RBC__IMAGE_DRAWS_ASPECT,
    RBC__IMAGE_DRAWS_LEFT,
    RBC__IMAGE_DRAWS_TOP,
    RBC__IMAGE_DRAWS_BRIGHTNESS,
    RBC__IMAGE_DRAWS_CONTRAST,
    RBC__IMAGE_DRAWS_SATURATION,
    RBC__IMAGE_DRAWS_HUE,
};

/* What is done to an image of height x width, as stored, under a key. INVALID_ARGUMENT where it is
 * larger than RBC__IMAGE_MAX_SIDE, empty, or the crop is not within it. */
rbc_status rbc__image_draw_for(const rbc__image_spec *spec, uint64_t key, int64_t height,
                               int64_t width, const char *name, rbc__image_draw *out,
                               rbc_error *err);

/* ---- axis.c ---- */

/* Where the pixels along one axis of the result come from: of pixels [first[i], first[i] + taps[i])
 * with weights [i * max_taps], the rest of which are 0. */
typedef struct rbc__image_axis {
    int32_t count, max_taps;
    int32_t *first, *taps, *weights;
} rbc__image_axis;

/* Entries of the longest axis of `count` pixels out of `span`: of first and taps, and of weights. */
int64_t rbc__image_axis_taps(rbc_image_filter filter, int32_t span, int32_t count);

/* Fills an axis whose arrays have room. Pixel i of the result, of `count` out of [begin, end) of
 * `size` pixels, in double:
 *   scale = (end - begin) / count,  wide = max(scale, 1),  reach = wide * (1 or, BICUBIC, 2)
 *   centre = begin + (i + 0.5) * scale
 *   first = max((int)(centre - reach + 0.5), 0),  last = min((int)(centre + reach + 0.5), size)
 *   w[j] = filter((j + first - centre + 0.5) * (1 / wide)), j in [0, last - first); s their sum, in
 *   this order;  w[j] / s * 2^22, half away from zero, is the weight
 *   BILINEAR  filter(t) = |t| < 1 ? 1 - |t| : 0
 *   BICUBIC   a = -0.5: |t| < 1 ? ((a + 2) * |t| - (a + 3)) * |t| * |t| + 1
 *                     : |t| < 2 ? (((|t| - 5) * |t| + 8) * |t| - 4) * a : 0
 * `reverse` puts the pixels of the result in reverse: the flip. */
void rbc__image_axis_init(rbc__image_axis *axis, rbc_image_filter filter, int32_t begin,
                          int32_t end, int32_t size, int32_t count, bool reverse);

/* Whether resizing goes along the columns first: where the height of the image, as oriented, shrinks
 * by more than twice as many pixels as its width. Pillow before version 13 never did. */
static inline bool rbc__image_columns_first(const rbc__image_draw *draw, int32_t height,
                                            int32_t width) {
    return height > draw->height && height - draw->height > 2 * (width - draw->width);
}

/* The pixel that each of the result is, in `first`: the integer part, in double, of begin + scale / 2,
 * to which scale is added for each pixel; of uint16 images of scale * (i + 0.5) + begin. */
void rbc__image_axis_nearest(rbc__image_axis *axis, rbc__dtype stored, int32_t begin, int32_t end,
                             int32_t count, bool reverse);

/* ---- */

/* Where pixel (y, x) of an oriented image (by an rbc_image_orient) is in the image as stored, which is height x width:
 * (y', x') = (y0 + y * yy + x * yx, x0 + y * xy + x * xx). */
typedef struct rbc__image_orientation {
    int32_t height, width; /* oriented */
    int32_t y0, yy, yx, x0, xy, xx;
} rbc__image_orientation;

rbc__image_orientation rbc__image_oriented(int32_t orient, int32_t height, int32_t width);

#endif
