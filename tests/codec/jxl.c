/* JPEG XL decoding: every depth and number of channels, frames, and what damage says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jxl/encode.h>

#include "codec/jxl.h"

#define HEIGHT     9
#define WIDTH      13
#define MAX_PIXELS (HEIGHT * WIDTH * 4 * 2)

typedef struct encoding {
    uint32_t channels, bits;
    bool is_float, in_container;
    uint32_t frames;
} encoding;

static void fill(uint8_t *pixels, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
        pixels[i] = (uint8_t)(i * 37 + i / 11);
    }
}

/* Lossless; each frame has the pixels of the first plus its number. malloc'ed. */
static uint8_t *encode(const encoding *how, const uint8_t *pixels, size_t bytes,
                       size_t *jxl_bytes) {
    JxlEncoder *jxl = JxlEncoderCreate(NULL);
    JxlBasicInfo info;
    JxlColorEncoding color;
    JxlEncoderInitBasicInfo(&info);
    info.xsize = WIDTH;
    info.ysize = HEIGHT;
    info.bits_per_sample = how->bits;
    info.exponent_bits_per_sample = how->is_float ? 8 : 0;
    info.num_color_channels = how->channels < 3 ? 1 : 3;
    info.num_extra_channels = how->channels % 2 == 0;
    info.alpha_bits = how->channels % 2 == 0 ? how->bits : 0;
    info.uses_original_profile = JXL_TRUE;
    info.have_animation = how->frames > 1;
    info.animation.tps_numerator = 10;
    info.animation.tps_denominator = 1;
    assert_int_equal(JxlEncoderUseContainer(jxl, how->in_container), JXL_ENC_SUCCESS);
    assert_int_equal(JxlEncoderSetBasicInfo(jxl, &info), JXL_ENC_SUCCESS);
    JxlColorEncodingSetToSRGB(&color, how->channels < 3);
    assert_int_equal(JxlEncoderSetColorEncoding(jxl, &color), JXL_ENC_SUCCESS);
    JxlEncoderFrameSettings *settings = JxlEncoderFrameSettingsCreate(jxl, NULL);
    assert_int_equal(JxlEncoderSetFrameLossless(settings, JXL_TRUE), JXL_ENC_SUCCESS);
    const JxlPixelFormat format = {how->channels,
                                   how->is_float    ? JXL_TYPE_FLOAT
                                   : how->bits == 8 ? JXL_TYPE_UINT8
                                                    : JXL_TYPE_UINT16,
                                   JXL_NATIVE_ENDIAN, 0};
    uint8_t *frame = malloc(bytes);
    for (uint32_t f = 0; f < how->frames; ++f) {
        for (size_t i = 0; i < bytes; ++i) {
            frame[i] = (uint8_t)(pixels[i] + f);
        }
        JxlFrameHeader header;
        JxlEncoderInitFrameHeader(&header);
        header.duration = 1;
        assert_int_equal(JxlEncoderSetFrameHeader(settings, &header), JXL_ENC_SUCCESS);
        assert_int_equal(JxlEncoderAddImageFrame(settings, &format, frame, bytes), JXL_ENC_SUCCESS);
    }
    free(frame);
    JxlEncoderCloseInput(jxl);
    const size_t room = 1 << 16;
    uint8_t *out = malloc(room);
    uint8_t *next = out;
    size_t left = room;
    assert_int_equal(JxlEncoderProcessOutput(jxl, &next, &left), JXL_ENC_SUCCESS);
    *jxl_bytes = room - left;
    JxlEncoderDestroy(jxl);
    return realloc(out, *jxl_bytes); /* to its size, so that sanitizers see what lies beyond */
}

static int setup(void **state) {
    rbc_error err;
    return rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, (rbc__decoder **)state, &err) != RBC_OK;
}

static int teardown(void **state) {
    rbc__decoder_destroy((rbc__decoder **)state);
    return 0;
}

static rbc_status decode(rbc__decoder *decoder, const uint8_t *jxl, size_t bytes, int64_t channels,
                         int32_t bits, void *dst, rbc_error *err) {
    const rbc__image_shape want = {HEIGHT, WIDTH, channels, bits, false};
    return rbc__image_decode(decoder, jxl, bytes, "f: offset 3", &want, dst,
                             WIDTH * channels * bits / 8, err);
}

static void lossless_pixels_come_back(void **state) {
    rbc_error err;
    for (uint32_t channels = 1; channels <= 4; ++channels) {
        for (uint32_t i = 0; i < 4; ++i) {
            const encoding how = {channels, i % 2 == 0 ? 8 : 16, false, i >= 2, 1};
            const size_t bytes = (size_t)HEIGHT * WIDTH * channels * how.bits / 8;
            uint8_t pixels[MAX_PIXELS];
            uint8_t got[MAX_PIXELS];
            size_t jxl_bytes;
            fill(pixels, bytes);
            uint8_t *jxl = encode(&how, pixels, bytes, &jxl_bytes);
            assert_string_equal(rbc__image_encoding(jxl, jxl_bytes), "jxl");
            rbc__image_shape shape;
            assert_int_equal(rbc__image_probe(*state, jxl, jxl_bytes, NULL, &shape, &err), RBC_OK);
            assert_int_equal(shape.height, HEIGHT);
            assert_int_equal(shape.width, WIDTH);
            assert_int_equal(shape.channels, channels);
            assert_int_equal(shape.bits, how.bits);
            const int32_t bits = (int32_t)how.bits;
            assert_int_equal(decode(*state, jxl, jxl_bytes, channels, bits, got, &err), RBC_OK);
            assert_memory_equal(got, pixels, bytes);
            free(jxl);
        }
    }
}

static void channels_are_converted_as_a_png_s_are(void **state) {
    const encoding rgba = {4, 8, false, false, 1};
    const encoding grey = {1, 8, false, false, 1};
    rbc_error err;
    uint8_t pixels[MAX_PIXELS];
    uint8_t got[MAX_PIXELS];
    size_t bytes;
    fill(pixels, HEIGHT * WIDTH * 4);
    uint8_t *jxl = encode(&rgba, pixels, HEIGHT * WIDTH * 4, &bytes);
    for (int64_t channels = 1; channels <= 3; channels += 2) {
        assert_int_equal(decode(*state, jxl, bytes, channels, 8, got, &err), RBC_OK);
        for (size_t i = 0; i < HEIGHT * WIDTH; ++i) {
            const uint8_t *p = pixels + 4 * i;
            const uint32_t luma = (19595U * p[0] + 38470U * p[1] + 7471U * p[2] + 32768) >> 16;
            if (channels == 1) {
                assert_int_equal(got[i], luma);
            } else {
                assert_memory_equal(got + 3 * i, p, 3);
            }
        }
    }
    free(jxl);
    jxl = encode(&grey, pixels, HEIGHT * WIDTH, &bytes);
    assert_int_equal(decode(*state, jxl, bytes, 3, 8, got, &err), RBC_OK);
    for (size_t i = 0; i < 3 * HEIGHT * WIDTH; ++i) {
        assert_int_equal(got[i], pixels[i / 3]);
    }
    assert_int_equal(decode(*state, jxl, bytes, 1, 16, got, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "f: offset 3: JPEG XL of [9, 13, 1] with 8 bits"));
    free(jxl);
}

static void frames_are_a_chunk_and_no_image(void **state) {
    const encoding three = {3, 8, false, false, 3};
    const size_t bytes = (size_t)HEIGHT * WIDTH * 3;
    rbc_error err;
    uint8_t pixels[MAX_PIXELS];
    uint8_t got[3 * MAX_PIXELS];
    size_t jxl_bytes;
    size_t got_bytes;
    fill(pixels, bytes);
    uint8_t *jxl = encode(&three, pixels, bytes, &jxl_bytes);
    assert_int_equal(decode(*state, jxl, jxl_bytes, 3, 8, got, &err), RBC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "several frames"));
    assert_int_equal(rbc__jxl_frames(jxl, jxl_bytes, got, 3 * bytes, &got_bytes, &err), RBC_OK);
    assert_int_equal(got_bytes, 3 * bytes);
    for (size_t i = 0; i < 3 * bytes; ++i) {
        assert_int_equal(got[i], (uint8_t)(pixels[i % bytes] + i / bytes));
    }
    assert_int_equal(rbc__jxl_frames(jxl, jxl_bytes, got, 3 * bytes - 1, &got_bytes, &err),
                     RBC_END);
    free(jxl);
}

static void floats_and_large_images_are_refused(void **state) {
    const encoding floats = {3, 32, true, false, 1};
    const float pixels[HEIGHT * WIDTH * 3] = {0.5F};
    rbc_error err;
    rbc__image_shape shape;
    size_t bytes;
    uint8_t *jxl = encode(&floats, (const uint8_t *)pixels, sizeof pixels, &bytes);
    assert_int_equal(rbc__image_probe(*state, jxl, bytes, "f", &shape, &err),
                     RBC_ERROR_UNSUPPORTED);
    assert_string_equal(err.message, "f: JPEG XL of floats of 32 bits; whole numbers of up to 8 or "
                                     "of 16 are supported");
    rbc_image_limits limits = RBC_IMAGE_LIMITS_INIT;
    const rbc_image_limits before = limits;
    limits.max_pixels = HEIGHT * WIDTH - 1;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    assert_int_equal(rbc__image_probe(*state, jxl, bytes, "f", &shape, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "JPEG XL header claims 9 x 13 pixels"));
    assert_int_equal(rbc_image_limits_set(&before, &err), RBC_OK);
    free(jxl);
}

static void cut_off_anywhere_is_damage(void **state) {
    for (int in_container = 0; in_container < 2; ++in_container) {
        const encoding how = {3, 8, false, in_container == 1, 1};
        const size_t bytes = (size_t)HEIGHT * WIDTH * 3;
        rbc_error err;
        uint8_t pixels[MAX_PIXELS];
        uint8_t got[MAX_PIXELS];
        size_t jxl_bytes;
        fill(pixels, bytes);
        uint8_t *jxl = encode(&how, pixels, bytes, &jxl_bytes);
        for (size_t length = 0; length < jxl_bytes; ++length) {
            uint8_t *cut = malloc(length + 1);
            memcpy(cut, jxl, length);
            const rbc_status status = decode(*state, cut, length, 3, 8, got, &err);
            if (status != RBC_ERROR_FORMAT) { /* what lies behind the pixels may lack */
                assert_int_equal(status, RBC_OK);
                assert_memory_equal(got, pixels, bytes);
            }
            free(cut);
        }
        free(jxl);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lossless_pixels_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(channels_are_converted_as_a_png_s_are, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_are_a_chunk_and_no_image, setup, teardown),
        cmocka_unit_test_setup_teardown(floats_and_large_images_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off_anywhere_is_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
