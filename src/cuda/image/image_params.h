/* What is made of images, as the kernels are told: a description of the batch, written by the host
 * in one piece and copied to the device. Read by the host and the device compiler.
 * Shared within src/cuda/image. */
#ifndef RBC_CUDA_IMAGE_PARAMS_H
#define RBC_CUDA_IMAGE_PARAMS_H

#include <stdint.h>

enum {
    IMAGE_CHANNELS = 4,
    IMAGE_AXIS_THREADS = 128,
    IMAGE_TILE = 32,  /* pixels of the result along either axis */
    IMAGE_CHUNK = 40, /* pixels of the image, along the axis of the second pass, at once */
    IMAGE_HELD = 4,   /* weights of a pixel that a thread holds at once */
    IMAGE_WARPS = 8,
    IMAGE_THREADS = 32 * IMAGE_WARPS,
    IMAGE_OWN = IMAGE_TILE / IMAGE_WARPS, /* pixels of the result that a thread has */
};

/* Axes of the oriented image. */
enum { IMAGE_ACROSS = 0, IMAGE_DOWN = 1 };

/* How the pixels along an axis of the result come from those of the image. */
enum {
    IMAGE_TAKEN = 0,       /* each is one of the crop's, in order */
    IMAGE_NEAREST = 1,     /* each is one, positions added up */
    IMAGE_NEAREST_U16 = 2, /* each is one, positions multiplied out */
    IMAGE_FILTERED = 3,    /* each is a weighted sum */
};

typedef struct image_axis {
    int32_t *first;   /* [count] */
    int32_t *taps;    /* [count] */
    int32_t *weights; /* [max_taps][count] */
    int64_t step;     /* bytes between pixels of the image */
    int32_t begin, end, size, count;
    uint32_t kind;
    uint32_t is_reversed;
} image_axis;

typedef struct image_item {
    const uint8_t *pixels; /* of the oriented image's first pixel */
    uint8_t *out;
    uint32_t *made; /* [height, width], a pixel a word, or NULL: delivered at once */
    int64_t *grey;  /* sum over the result after brightness; beside `made` */
    image_axis axes[2];
    uint32_t first_pass;    /* IMAGE_ACROSS, or IMAGE_DOWN where columns are first */
    uint32_t is_multiplied; /* colours by alpha, and divided afterwards */
    int32_t brightness, contrast, saturation, hue;
} image_item;

typedef struct image_launch {
    const image_item *items;
    const uint8_t *table; /* [channels][256] of `value_bytes`, or NULL */
    uint32_t count;       /* of items */
    uint32_t blocks;      /* of an item, at least as many as any needs */
    uint32_t channels;
    uint32_t value_bytes; /* of the result */
    uint32_t pixel_bytes; /* of the image */
    uint32_t is_cubic;
    uint32_t has_colour;
    uint32_t channels_first;
} image_launch;

#endif
