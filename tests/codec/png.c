/* PNG decoding: every colour type and depth, conversions, and what damage says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <spng.h>

#include "codec/codec.h"

#define HEIGHT 5
#define WIDTH  7

static uint8_t *encode(const void *pixels, size_t bytes, uint8_t color_type, uint8_t bit_depth,
                       size_t *png_bytes) {
    spng_ctx *spng = spng_ctx_new(SPNG_CTX_ENCODER);
    assert_non_null(spng);
    assert_int_equal(spng_set_option(spng, SPNG_ENCODE_TO_BUFFER, 1), 0);
    struct spng_ihdr header = {
        .width = WIDTH, .height = HEIGHT, .bit_depth = bit_depth, .color_type = color_type};
    assert_int_equal(spng_set_ihdr(spng, &header), 0);
    if (color_type == SPNG_COLOR_TYPE_INDEXED) {
        struct spng_plte palette = {.n_entries = 256};
        for (unsigned i = 0; i < 256; ++i) {
            palette.entries[i].red = (uint8_t)i;
            palette.entries[i].green = (uint8_t)(255 - i);
            palette.entries[i].blue = (uint8_t)(i * 3);
        }
        assert_int_equal(spng_set_plte(spng, &palette), 0);
    }
    assert_int_equal(spng_encode_image(spng, pixels, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
    int code = 0;
    uint8_t *png = spng_get_png_buffer(spng, png_bytes, &code);
    assert_non_null(png);
    spng_ctx_free(spng);
    return png;
}

static void fill(uint8_t *pixels, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
        pixels[i] = (uint8_t)(i * 37 + i / 11);
    }
}

static int setup(void **state) {
    rbc_error err;
    return rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, (rbc__decoder **)state, &err) != RBC_OK;
}

static int teardown(void **state) {
    rbc__decoder_destroy((rbc__decoder **)state);
    return 0;
}

static rbc_status decode(rbc__decoder *decoder, const uint8_t *png, size_t bytes, int64_t channels,
                         int32_t bits, void *dst, rbc_error *err) {
    const rbc__image_shape want = {HEIGHT, WIDTH, channels, bits, false};
    return rbc__image_decode(decoder, png, bytes, "f: offset 3", &want, dst,
                             WIDTH * channels * bits / 8, err);
}

static void same_layout_comes_back(void **state) {
    static const struct {
        uint8_t color_type, bit_depth;
        int64_t channels;
    } cases[] = {
        {SPNG_COLOR_TYPE_GRAYSCALE, 8, 1},       {SPNG_COLOR_TYPE_GRAYSCALE, 16, 1},
        {SPNG_COLOR_TYPE_GRAYSCALE_ALPHA, 8, 2}, {SPNG_COLOR_TYPE_GRAYSCALE_ALPHA, 16, 2},
        {SPNG_COLOR_TYPE_TRUECOLOR, 8, 3},       {SPNG_COLOR_TYPE_TRUECOLOR, 16, 3},
        {SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, 4}, {SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 16, 4},
    };
    rbc_error err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        uint8_t pixels[HEIGHT * WIDTH * 4 * 2];
        uint8_t got[HEIGHT * WIDTH * 4 * 2];
        const size_t bytes = (size_t)(HEIGHT * WIDTH * cases[i].channels * cases[i].bit_depth / 8);
        fill(pixels, bytes);
        size_t png_bytes;
        uint8_t *png = encode(pixels, bytes, cases[i].color_type, cases[i].bit_depth, &png_bytes);
        rbc__image_shape shape;
        assert_int_equal(rbc__image_probe(*state, png, png_bytes, "x", &shape, &err), RBC_OK);
        assert_int_equal(shape.channels, cases[i].channels);
        assert_int_equal(shape.bits, cases[i].bit_depth);
        assert_int_equal(
            decode(*state, png, png_bytes, cases[i].channels, cases[i].bit_depth, got, &err),
            RBC_OK);
        assert_memory_equal(got, pixels, bytes);
        free(png);
    }
}

static void palettes_become_colours(void **state) {
    uint8_t pixels[HEIGHT * WIDTH];
    uint8_t got[HEIGHT * WIDTH * 3];
    fill(pixels, sizeof pixels);
    size_t bytes;
    uint8_t *png = encode(pixels, sizeof pixels, SPNG_COLOR_TYPE_INDEXED, 8, &bytes);
    rbc_error err;
    assert_int_equal(decode(*state, png, bytes, 3, 8, got, &err), RBC_OK);
    for (size_t i = 0; i < sizeof pixels; ++i) {
        assert_int_equal(got[3 * i], pixels[i]);
        assert_int_equal(got[3 * i + 1], 255 - pixels[i]);
    }
    free(png);
}

static void channels_convert(void **state) {
    uint8_t pixels[HEIGHT * WIDTH * 4];
    uint8_t got[HEIGHT * WIDTH * 4];
    fill(pixels, sizeof pixels);
    size_t bytes;
    uint8_t *png = encode(pixels, sizeof pixels, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, &bytes);
    rbc_error err;
    assert_int_equal(decode(*state, png, bytes, 3, 8, got, &err), RBC_OK);
    for (size_t i = 0; i < HEIGHT * WIDTH; ++i) {
        assert_memory_equal(got + 3 * i, pixels + 4 * i, 3);
    }
    assert_int_equal(decode(*state, png, bytes, 1, 8, got, &err), RBC_OK);
    for (size_t i = 0; i < HEIGHT * WIDTH; ++i) {
        const double luma =
            0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2];
        assert_true(luma - 0.51 <= got[i] && got[i] <= luma + 0.51);
    }
    free(png);

    png = encode(pixels, HEIGHT * WIDTH, SPNG_COLOR_TYPE_GRAYSCALE, 8, &bytes);
    assert_int_equal(decode(*state, png, bytes, 3, 8, got, &err), RBC_OK);
    for (size_t i = 0; i < HEIGHT * WIDTH; ++i) {
        assert_int_equal(got[3 * i], pixels[i]);
        assert_int_equal(got[3 * i + 2], pixels[i]);
    }
    assert_int_equal(decode(*state, png, bytes, 4, 8, got, &err), RBC_ERROR_FORMAT);
    free(png);
}

static void row_stride_leaves_the_gap_alone(void **state) {
    enum { STRIDE = WIDTH * 2 + 6 };
    uint16_t pixels[HEIGHT * WIDTH];
    uint8_t got[HEIGHT * STRIDE];
    fill((uint8_t *)pixels, sizeof pixels);
    memset(got, 0xA5, sizeof got);
    size_t bytes;
    uint8_t *png = encode(pixels, sizeof pixels, SPNG_COLOR_TYPE_GRAYSCALE, 16, &bytes);
    const rbc__image_shape want = {HEIGHT, WIDTH, 1, 16, false};
    rbc_error err;
    assert_int_equal(rbc__image_decode(*state, png, bytes, "x", &want, got, STRIDE, &err), RBC_OK);
    for (size_t y = 0; y < HEIGHT; ++y) {
        assert_memory_equal(got + y * STRIDE, pixels + y * WIDTH, WIDTH * 2);
        assert_int_equal(got[y * STRIDE + WIDTH * 2], 0xA5);
    }
    free(png);
}

static void another_shape_names_both(void **state) {
    uint8_t pixels[HEIGHT * WIDTH];
    uint8_t got[HEIGHT * WIDTH * 2];
    fill(pixels, sizeof pixels);
    size_t bytes;
    uint8_t *png = encode(pixels, sizeof pixels, SPNG_COLOR_TYPE_GRAYSCALE, 8, &bytes);
    rbc_error err;
    assert_int_equal(decode(*state, png, bytes, 1, 16, got, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "f: offset 3: PNG of [5, 7, 1] with 8 bits"));
    assert_non_null(strstr(err.message, "with 16 bits"));
    free(png);
}

static void truncation_and_damage_are_errors(void **state) {
    uint8_t pixels[HEIGHT * WIDTH * 3];
    uint8_t got[sizeof pixels];
    fill(pixels, sizeof pixels);
    size_t bytes;
    uint8_t *png = encode(pixels, sizeof pixels, SPNG_COLOR_TYPE_TRUECOLOR, 8, &bytes);
    rbc_error err;
    for (size_t cut = 0; cut + 4 < bytes; ++cut) { /* the very last checksum guards nothing */
        uint8_t *exact = malloc(cut + (cut == 0)); /* so that a sanitizer sees reads past it */
        assert_non_null(exact);
        memcpy(exact, png, cut);
        assert_int_equal(decode(*state, exact, cut, 3, 8, got, &err), RBC_ERROR_FORMAT);
        free(exact);
    }
    for (size_t at = 0; at < bytes; ++at) {
        png[at] ^= 0x10;
        assert_int_equal(decode(*state, png, bytes, 3, 8, got, &err), RBC_ERROR_FORMAT);
        png[at] ^= 0x10;
    }
    assert_int_equal(decode(*state, png, bytes, 3, 8, got, &err), RBC_OK);
    free(png);
}

static void absurd_sizes_are_refused(void **state) {
    uint8_t pixels[HEIGHT * WIDTH];
    fill(pixels, sizeof pixels);
    size_t bytes;
    uint8_t *png = encode(pixels, sizeof pixels, SPNG_COLOR_TYPE_GRAYSCALE, 8, &bytes);
    static const uint8_t huge[8] = {0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF};
    memcpy(png + 16, huge, sizeof huge);
    rbc__image_shape shape;
    rbc_error err;
    assert_int_equal(rbc__image_probe(*state, png, bytes, "x", &shape, &err), RBC_ERROR_FORMAT);
    free(png);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(same_layout_comes_back),   TEST(palettes_become_colours),
        TEST(channels_convert),         TEST(row_stride_leaves_the_gap_alone),
        TEST(another_shape_names_both), TEST(truncation_and_damage_are_errors),
        TEST(absurd_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
