/* Resizing and colours of images, for the ISA being compiled. image/image.h is what they compute.
 * Interface of src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_IMAGE_H
#define RBC_CPU_KERNELS_IMAGE_H

#include "cpu/kernels/isa.h"
#include "image/image.h"

/* Rows that go through the first pass of resizing together. */
#define RBC__IMAGE_ROWS 16

/* Bytes of rows that are turned together at most. */
#define RBC__IMAGE_TURNED 64

/* Pixels whose colours are changed together. */
#define RBC__IMAGE_TILE 256

/* What the colours of an image are changed by. */
typedef struct rbc__image_colours {
    int32_t brightness, contrast, saturation, hue; /* as in rbc__image_draw */
    int32_t centre;                                /* of contrast, in 1 / 256 */
} rbc__image_colours;

typedef struct rbc__image_kernels {
    /* Along at most RBC__IMAGE_ROWS rows of pixels of `channels` bytes. `block` is of
     * rbc__image_block_bytes(). */
    void (*across)(const uint8_t *src, int64_t src_stride, int32_t rows, int32_t channels,
                   const rbc__image_axis *axis, uint8_t *dst, int64_t dst_stride, uint8_t *block);
    /* One row of `bytes` out of `taps` rows. */
    void (*down)(const uint8_t *src, int64_t src_stride, const int32_t *weights, int32_t taps,
                 int64_t bytes, uint8_t *dst);
    /* Adds the values of each channel of `count` pixels after brightness to sums. */
    void (*sums)(const uint8_t *pixels, int64_t count, int32_t channels, int32_t brightness,
                 int64_t *sums);
    /* Takes at most RBC__IMAGE_TILE pixels apart, and changes their colours where those are given.
     */
    void (*colour)(const uint8_t *pixels, int32_t count, int32_t channels,
                   const rbc__image_colours *colours,
                   uint8_t planes[RBC__IMAGE_MAX_CHANNELS][RBC__IMAGE_TILE]);
    /* out[i * step] = table[values[i]], of elements of 2 or 4 bytes. */
    void (*look_up)(const uint8_t *values, int32_t count, const void *table, int32_t element_bytes,
                    void *out, int64_t step);
    /* (value / 255 - mean) / deviation of at most RBC__IMAGE_TILE values to a float dtype of 2 or 4
     * bytes, which is what a table holds; NULL: looking it up is quicker. */
    void (*normalise)(const uint8_t *values, int32_t count, float mean, float deviation,
                      rbc__dtype dtype, void *out);
} rbc__image_kernels;

extern const rbc__image_kernels RBC__KERNEL(image_kernels);

/* Columns [first, end) of the image that an axis takes from. */
static inline void rbc__image_span(const rbc__image_axis *axis, int32_t *first, int32_t *end) {
    const int32_t last = axis->count - 1;
    const int32_t a = axis->first[0];
    const int32_t b = axis->first[last];
    const int32_t a_end = a + axis->taps[0];
    const int32_t b_end = b + axis->taps[last];
    *first = a < b ? a : b;
    *end = a_end > b_end ? a_end : b_end;
}

static inline int64_t rbc__image_block_bytes(int64_t columns_in, int64_t columns_out,
                                             int64_t channels) {
    return ((columns_in + columns_out) * channels + 2 * RBC__IMAGE_TURNED) * RBC__IMAGE_ROWS;
}

#endif
