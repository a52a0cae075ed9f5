/* JPEG decoding: pixels, conversions, and what damage says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <turbojpeg.h>

#include "codec/codec.h"

#define HEIGHT 37
#define WIDTH  53

typedef struct fixture {
    rbc__decoder *decoder;
    uint8_t *jpeg;
    unsigned long bytes;
} fixture;

static void encode(fixture *f, int subsampling, int flags) {
    static uint8_t pixels[HEIGHT * WIDTH * 3];
    for (int i = 0; i < HEIGHT * WIDTH; ++i) {
        pixels[3 * i] = (uint8_t)(i % WIDTH * 4);
        pixels[3 * i + 1] = (uint8_t)(i / WIDTH * 6);
        pixels[3 * i + 2] = (uint8_t)(i * 7);
    }
    tjhandle handle = tjInitCompress();
    assert_non_null(handle);
    tjFree(f->jpeg);
    f->jpeg = NULL;
    f->bytes = 0;
    assert_int_equal(tjCompress2(handle, pixels, WIDTH, 0, HEIGHT, TJPF_RGB, &f->jpeg, &f->bytes,
                                 subsampling, 85, flags),
                     0);
    tjDestroy(handle);
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    rbc_error err;
    assert_int_equal(rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, &f->decoder, &err), RBC_OK);
    encode(f, TJSAMP_420, 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    rbc__decoder_destroy(&f->decoder);
    assert_null(f->decoder);
    tjFree(f->jpeg);
    free(f);
    return 0;
}

static rbc_status decode(fixture *f, const uint8_t *bytes, uint64_t num_bytes, int64_t channels,
                         uint8_t *dst, rbc_error *err) {
    const rbc__image_shape want = {HEIGHT, WIDTH, channels, 8, false};
    return rbc__image_decode(f->decoder, bytes, num_bytes, "f.tfrecord: offset 12", &want, dst,
                             WIDTH * channels, err);
}

static void probe_reads_the_header(void **state) {
    fixture *f = *state;
    rbc__image_shape shape;
    rbc_error err;
    assert_int_equal(rbc__image_probe(f->decoder, f->jpeg, f->bytes, "x", &shape, &err), RBC_OK);
    assert_int_equal(shape.height, HEIGHT);
    assert_int_equal(shape.width, WIDTH);
    assert_int_equal(shape.channels, 3);
    assert_int_equal(shape.bits, 8);
}

static void pixels_equal_the_library(void **state) {
    fixture *f = *state;
    static const struct {
        int subsampling, flags;
    } cases[] = {{TJSAMP_444, 0},
                 {TJSAMP_422, 0},
                 {TJSAMP_440, 0},
                 {TJSAMP_420, 0},
                 {TJSAMP_420, TJFLAG_PROGRESSIVE}};
    static const struct {
        rbc_jpeg_dct dct;
        int flag;
    } dcts[] = {{RBC_JPEG_DCT_ACCURATE, TJFLAG_ACCURATEDCT}, {RBC_JPEG_DCT_FAST, TJFLAG_FASTDCT}};
    static uint8_t want[2][HEIGHT * WIDTH * 3];
    static uint8_t got[HEIGHT * WIDTH * 3];
    const rbc__image_shape shape = {HEIGHT, WIDTH, 3, 8, false};
    rbc_error err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        encode(f, cases[i].subsampling, cases[i].flags);
        for (size_t j = 0; j < 2; ++j) {
            tjhandle handle = tjInitDecompress();
            assert_int_equal(tjDecompress2(handle, f->jpeg, f->bytes, want[j], WIDTH, 0, HEIGHT,
                                           TJPF_RGB, dcts[j].flag),
                             0);
            tjDestroy(handle);
            rbc__decoder *decoder;
            assert_int_equal(rbc__decoder_create(dcts[j].dct, &decoder, &err), RBC_OK);
            assert_int_equal(
                rbc__image_decode(decoder, f->jpeg, f->bytes, "x", &shape, got, WIDTH * 3, &err),
                RBC_OK);
            assert_memory_equal(got, want[j], sizeof got);
            rbc__decoder_destroy(&decoder);
        }
        assert_memory_not_equal(want[0], want[1], sizeof want[0]);
    }
}

static void row_stride_leaves_the_gap_alone(void **state) {
    fixture *f = *state;
    enum { STRIDE = WIDTH * 3 + 11 };
    static uint8_t dense[HEIGHT * WIDTH * 3];
    static uint8_t strided[HEIGHT * STRIDE];
    memset(strided, 0xA5, sizeof strided);
    rbc_error err;
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dense, &err), RBC_OK);
    const rbc__image_shape want = {HEIGHT, WIDTH, 3, 8, false};
    assert_int_equal(
        rbc__image_decode(f->decoder, f->jpeg, f->bytes, "x", &want, strided, STRIDE, &err),
        RBC_OK);
    for (size_t y = 0; y < HEIGHT; ++y) {
        assert_memory_equal(strided + y * STRIDE, dense + y * WIDTH * 3, WIDTH * 3);
        for (size_t x = WIDTH * 3; x < STRIDE; ++x) {
            assert_int_equal(strided[y * STRIDE + x], 0xA5);
        }
    }
}

static void grey_widens_and_colour_narrows(void **state) {
    fixture *f = *state;
    static uint8_t grey[HEIGHT * WIDTH];
    static uint8_t rgb[HEIGHT * WIDTH * 3];
    rbc_error err;
    assert_int_equal(decode(f, f->jpeg, f->bytes, 1, grey, &err), RBC_OK);
    encode(f, TJSAMP_GRAY, 0);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 1, grey, &err), RBC_OK);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, rgb, &err), RBC_OK);
    for (size_t i = 0; i < sizeof grey; ++i) {
        assert_int_equal(rgb[3 * i], grey[i]);
        assert_int_equal(rgb[3 * i + 2], grey[i]);
    }
}

static void another_size_names_both(void **state) {
    fixture *f = *state;
    static uint8_t dst[64 * 64 * 3];
    const rbc__image_shape want = {64, 64, 3, 8, false};
    rbc_error err;
    assert_int_equal(rbc__image_decode(f->decoder, f->jpeg, f->bytes, "f.tfrecord: offset 12",
                                       &want, dst, 64 * 3, &err),
                     RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "f.tfrecord: offset 12: "));
    assert_non_null(strstr(err.message, "[37, 53, 3]"));
    assert_non_null(strstr(err.message, "[64, 64, 3]"));
}

static void every_truncation_is_an_error(void **state) {
    fixture *f = *state;
    static uint8_t dst[HEIGHT * WIDTH * 3];
    rbc_error err;
    for (unsigned long bytes = 0; bytes < f->bytes; ++bytes) {
        uint8_t *exact = malloc(bytes + (bytes == 0)); /* so that a sanitizer sees reads past it */
        assert_non_null(exact);
        memcpy(exact, f->jpeg, bytes);
        const rbc_status status = decode(f, exact, bytes, 3, dst, &err);
        free(exact);
        assert_int_equal(status, RBC_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "f.tfrecord: offset 12"));
    }
}

static void damage_never_crashes(void **state) {
    fixture *f = *state;
    static uint8_t dst[HEIGHT * WIDTH * 3];
    rbc_error err;
    uint64_t key = 88172645463325252U;
    int failures = 0;
    for (int round = 0; round < 3000; ++round) {
        uint8_t *copy = malloc(f->bytes);
        assert_non_null(copy);
        memcpy(copy, f->jpeg, f->bytes);
        for (int i = 0; i < 3; ++i) {
            key ^= key << 13;
            key ^= key >> 7;
            key ^= key << 17;
            copy[key % f->bytes] = (uint8_t)(key >> 56);
        }
        failures += decode(f, copy, f->bytes, 3, dst, &err) != RBC_OK;
        free(copy);
    }
    assert_true(failures > 0);
}

static void bytes_behind_the_end_are_allowed(void **state) {
    fixture *f = *state;
    static uint8_t dst[HEIGHT * WIDTH * 3];
    static uint8_t want[HEIGHT * WIDTH * 3];
    rbc_error err;
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, want, &err), RBC_OK);
    uint8_t *copy = calloc(1, f->bytes + 64);
    assert_non_null(copy);
    memcpy(copy, f->jpeg, f->bytes);
    memset(copy + f->bytes, 0x5A, 64);
    assert_int_equal(decode(f, copy, f->bytes + 64, 3, dst, &err), RBC_OK);
    assert_memory_equal(dst, want, sizeof want);

    /* zeros between the scan and the end marker, as some cameras write them; anything else fails */
    memset(copy + f->bytes - 2, 0, 32);
    memcpy(copy + f->bytes + 30, f->jpeg + f->bytes - 2, 2);
    assert_int_equal(decode(f, copy, f->bytes + 32, 3, dst, &err), RBC_OK);
    assert_memory_equal(dst, want, sizeof want);
    copy[f->bytes + 10] = 1;
    assert_int_equal(decode(f, copy, f->bytes + 32, 3, dst, &err), RBC_ERROR_FORMAT);
    free(copy);
}

static void cmyk_is_unsupported(void **state) {
    fixture *f = *state;
    static uint8_t pixels[8 * 8 * 4];
    uint8_t *jpeg = NULL;
    unsigned long bytes = 0;
    tjhandle handle = tjInitCompress();
    assert_int_equal(
        tjCompress2(handle, pixels, 8, 0, 8, TJPF_CMYK, &jpeg, &bytes, TJSAMP_444, 90, 0), 0);
    tjDestroy(handle);
    rbc__image_shape shape;
    rbc_error err;
    assert_int_equal(rbc__image_probe(f->decoder, jpeg, bytes, "cam", &shape, &err),
                     RBC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "CMYK"));
    tjFree(jpeg);
}

static void other_bytes_name_their_magic(void **state) {
    fixture *f = *state;
    rbc__image_shape shape;
    rbc_error err;
    const uint8_t gif[] = "GIF89a";
    assert_int_equal(rbc__image_probe(f->decoder, gif, 6, "cam", &shape, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "neither JPEG nor PNG"));
    assert_non_null(strstr(err.message, "47 49 46"));
    assert_int_equal(rbc__image_probe(f->decoder, gif, 0, "cam", &shape, &err), RBC_ERROR_FORMAT);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(probe_reads_the_header),
        TEST(pixels_equal_the_library),
        TEST(row_stride_leaves_the_gap_alone),
        TEST(grey_widens_and_colour_narrows),
        TEST(another_size_names_both),
        TEST(every_truncation_is_an_error),
        TEST(damage_never_crashes),
        TEST(bytes_behind_the_end_are_allowed),
        TEST(cmyk_is_unsupported),
        TEST(other_bytes_name_their_magic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
