/* PNG by libspng. Its contexts serve one image each, so that a decoder keeps only the buffer for
 * pixels that need a conversion. */
#include <spng.h>
#include <stdlib.h>
#include <string.h>

#include "codec/channels.h"
#include "codec/decoder.h"
#include "core/error.h"

static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', 0x0D, 0x0A, 0x1A, 0x0A};

#define MAX_CHUNK_BYTES (64U << 20)

typedef struct png_image {
    spng_ctx *spng;
    struct spng_ihdr header;
    rbc__image_shape shape;
} png_image;

static bool matches(const uint8_t *bytes, uint64_t num_bytes) {
    return num_bytes >= sizeof signature && memcmp(bytes, signature, sizeof signature) == 0;
}

/* The library calls it damage where the inflater could not have memory: only its allocator knows.
 */
static _Thread_local bool is_out_of_memory;

static void *note(void *memory) {
    is_out_of_memory = is_out_of_memory || memory == NULL;
    return memory;
}

static void *allocate(size_t bytes) {
    return note(malloc(bytes));
}

static void *reallocate(void *memory, size_t bytes) {
    return note(realloc(memory, bytes));
}

static void *allocate_zeros(size_t count, size_t bytes) {
    return note(calloc(count, bytes));
}

static rbc_status fail(rbc_error *err, const char *name, int code) {
    if (code == SPNG_EMEM || is_out_of_memory) {
        return rbc__image_fail(err, RBC_ERROR_OUT_OF_MEMORY, name, "PNG decoder: out of memory");
    }
    return rbc__image_fail(err, RBC_ERROR_FORMAT, name, "damaged PNG: %s", spng_strerror(code));
}

/* Channels as the pixels mean them: a palette with transparency has four. */
static int64_t count_channels(spng_ctx *spng, const struct spng_ihdr *header) {
    switch (header->color_type) {
    case SPNG_COLOR_TYPE_GRAYSCALE:
        return 1;
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA:
        return 2;
    case SPNG_COLOR_TYPE_TRUECOLOR_ALPHA:
        return 4;
    case SPNG_COLOR_TYPE_INDEXED: {
        struct spng_trns transparency;
        return spng_get_trns(spng, &transparency) == 0 ? 4 : 3;
    }
    default:
        return 3;
    }
}

/* On failure nothing is left open. */
static rbc_status image_open(const uint8_t *bytes, uint64_t num_bytes, const char *name,
                             png_image *out, rbc_error *err) {
    static struct spng_alloc memory = {allocate, reallocate, allocate_zeros, free};
    is_out_of_memory = false;
    out->spng = spng_ctx_new2(&memory, 0);
    if (out->spng == NULL) {
        return fail(err, name, SPNG_EMEM);
    }
    int code = spng_set_image_limits(out->spng, RBC__IMAGE_MAX_SIDE, RBC__IMAGE_MAX_SIDE);
    if (code == 0) {
        code = spng_set_chunk_limits(out->spng, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES);
    }
    if (code == 0) {
        code = spng_set_png_buffer(out->spng, bytes, (size_t)num_bytes);
    }
    if (code == 0) {
        code = spng_get_ihdr(out->spng, &out->header);
    }
    if (code != 0) {
        spng_ctx_free(out->spng);
        return fail(err, name, code);
    }
    out->shape = (rbc__image_shape){
        .height = out->header.height,
        .width = out->header.width,
        .channels = count_channels(out->spng, &out->header),
        .bits = out->header.bit_depth == 16 ? 16 : 8,
    };
    rbc_status status = rbc__image_check_limits(&out->shape, "PNG", name, err);
    if (status == RBC_OK && is_out_of_memory) { /* while looking for transparency */
        status = fail(err, name, SPNG_EMEM);
    }
    if (status != RBC_OK) {
        spng_ctx_free(out->spng);
    }
    return status;
}

static rbc_status probe(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                        const char *name, rbc__image_shape *out, rbc_error *err) {
    (void)decoder;
    png_image image;
    RBC__TRY(image_open(bytes, num_bytes, name, &image, err));
    *out = image.shape;
    spng_ctx_free(image.spng);
    return RBC_OK;
}

/* What libspng is asked for, and how many channels that has: what is wanted where it can give it,
 * else the next richer form, from which rows are converted. */
static int choose_format(const png_image *image, int64_t wanted, int *channels) {
    const uint8_t color = image->header.color_type;
    if (image->shape.bits == 16) {
        if (color == SPNG_COLOR_TYPE_GRAYSCALE && wanted == 1) {
            *channels = 1;
            return SPNG_FMT_PNG;
        }
        if (color == SPNG_COLOR_TYPE_TRUECOLOR && wanted == 3) {
            *channels = 3;
            return SPNG_FMT_PNG;
        }
        *channels = 4;
        return SPNG_FMT_RGBA16;
    }
    if (color == SPNG_COLOR_TYPE_GRAYSCALE && wanted == 1) {
        *channels = 1;
        return SPNG_FMT_G8;
    }
    if (wanted == 2 || wanted == 4) {
        *channels = 4;
        return SPNG_FMT_RGBA8;
    }
    *channels = 3;
    return SPNG_FMT_RGB8;
}

static rbc_status decode_image(rbc__decoder *decoder, png_image *image, const char *name,
                               const rbc__image_shape *want, uint8_t *dst, int64_t row_stride_bytes,
                               rbc_error *err) {
    const int sample_bytes = want->bits / 8;
    const int64_t row_bytes = want->width * want->channels * sample_bytes;
    int channels;
    const int format = choose_format(image, want->channels, &channels);
    const bool direct = channels == want->channels && row_stride_bytes == row_bytes;
    const size_t bytes = (size_t)(want->height * want->width * channels * sample_bytes);
    uint8_t *pixels = dst;
    if (!direct) {
        RBC__TRY(rbc__decoder_pixels(decoder, bytes, &pixels, err));
    }
    const int flags = channels == 4 ? SPNG_DECODE_TRNS : 0;
    int code = spng_decode_image(image->spng, pixels, bytes, format, flags);
    if (code == 0) {
        code =
            spng_decode_chunks(image->spng); /* up to the end: a file cut after its pixels fails */
    }
    if (code != 0) {
        return fail(err, name, code);
    }
    for (int64_t y = 0; !direct && y < want->height; ++y) {
        rbc__channels_convert(pixels + y * want->width * channels * sample_bytes, channels,
                              dst + y * row_stride_bytes, (int)want->channels, want->width,
                              want->bits);
    }
    return RBC_OK;
}

static rbc_status decode(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                         const char *name, const rbc__image_shape *want, void *dst,
                         int64_t row_stride_bytes, rbc_error *err) {
    png_image image;
    RBC__TRY(image_open(bytes, num_bytes, name, &image, err));
    rbc_status status =
        rbc__image_check_wanted(&image.shape, want, row_stride_bytes, "PNG", name, err);
    if (status == RBC_OK) {
        status = decode_image(decoder, &image, name, want, dst, row_stride_bytes, err);
    }
    spng_ctx_free(image.spng);
    return status;
}

const rbc__codec rbc__png_codec = {
    .name = "png",
    .matches = matches,
    .probe = probe,
    .decode = decode,
};
