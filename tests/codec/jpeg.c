/* JPEG decoding: pixels, conversions, and what damage says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <turbojpeg.h>

#include "../random.h"
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
            const uint64_t drawn = xorshift(&key);
            copy[drawn % f->bytes] = (uint8_t)(drawn >> 56);
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

/* A picture of 24 x 16 pixels. */
/* libjpeg, quality 50, fast DCT, 4:4:4, arithmetic coding. */
static const uint8_t arithmetic[] = {
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01,
    0x00, 0x01, 0x00, 0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x10, 0x0b, 0x0c, 0x0e, 0x0c, 0x0a, 0x10,
    0x0e, 0x0d, 0x0e, 0x12, 0x11, 0x10, 0x13, 0x18, 0x28, 0x1a, 0x18, 0x16, 0x16, 0x18, 0x31, 0x23,
    0x25, 0x1d, 0x28, 0x3a, 0x33, 0x3d, 0x3c, 0x39, 0x33, 0x38, 0x37, 0x40, 0x48, 0x5c, 0x4e, 0x40,
    0x44, 0x57, 0x45, 0x37, 0x38, 0x50, 0x6d, 0x51, 0x57, 0x5f, 0x62, 0x67, 0x68, 0x67, 0x3e, 0x4d,
    0x71, 0x79, 0x70, 0x64, 0x78, 0x5c, 0x65, 0x67, 0x63, 0xff, 0xdb, 0x00, 0x43, 0x01, 0x11, 0x12,
    0x12, 0x18, 0x15, 0x18, 0x2f, 0x1a, 0x1a, 0x2f, 0x63, 0x42, 0x38, 0x42, 0x63, 0x63, 0x63, 0x63,
    0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63,
    0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63,
    0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0xff, 0xc9,
    0x00, 0x11, 0x08, 0x00, 0x10, 0x00, 0x18, 0x03, 0x01, 0x11, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11,
    0x01, 0xff, 0xcc, 0x00, 0x0a, 0x00, 0x10, 0x10, 0x05, 0x01, 0x10, 0x11, 0x05, 0xff, 0xda, 0x00,
    0x0c, 0x03, 0x01, 0x00, 0x02, 0x11, 0x03, 0x11, 0x00, 0x3f, 0x00, 0xff, 0x00, 0x78, 0x09, 0xd2,
    0x86, 0xc4, 0x04, 0x04, 0xb4, 0x3c, 0x74, 0xf3, 0x9e, 0x29, 0x72, 0xbf, 0x36, 0x81, 0xe3, 0x7f,
    0x9d, 0x3b, 0xb6, 0x1e, 0x7a, 0x36, 0x16, 0x2d, 0x9a, 0x46, 0x49, 0x88, 0xd9, 0x82, 0xec, 0x1a,
    0xdd, 0x00, 0x8e, 0xcb, 0x5b, 0x5f, 0x83, 0x6a, 0x67, 0x7b, 0xff, 0xd9,
};
/* libjpeg, quality 50, fast DCT, 4:4:4, arithmetic coding, ten scans. */
static const uint8_t arithmetic_progressive[] = {
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01,
    0x00, 0x01, 0x00, 0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x10, 0x0b, 0x0c, 0x0e, 0x0c, 0x0a, 0x10,
    0x0e, 0x0d, 0x0e, 0x12, 0x11, 0x10, 0x13, 0x18, 0x28, 0x1a, 0x18, 0x16, 0x16, 0x18, 0x31, 0x23,
    0x25, 0x1d, 0x28, 0x3a, 0x33, 0x3d, 0x3c, 0x39, 0x33, 0x38, 0x37, 0x40, 0x48, 0x5c, 0x4e, 0x40,
    0x44, 0x57, 0x45, 0x37, 0x38, 0x50, 0x6d, 0x51, 0x57, 0x5f, 0x62, 0x67, 0x68, 0x67, 0x3e, 0x4d,
    0x71, 0x79, 0x70, 0x64, 0x78, 0x5c, 0x65, 0x67, 0x63, 0xff, 0xdb, 0x00, 0x43, 0x01, 0x11, 0x12,
    0x12, 0x18, 0x15, 0x18, 0x2f, 0x1a, 0x1a, 0x2f, 0x63, 0x42, 0x38, 0x42, 0x63, 0x63, 0x63, 0x63,
    0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63,
    0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63,
    0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0xff, 0xca,
    0x00, 0x11, 0x08, 0x00, 0x10, 0x00, 0x18, 0x03, 0x01, 0x11, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11,
    0x01, 0xff, 0xcc, 0x00, 0x06, 0x00, 0x10, 0x01, 0x10, 0xff, 0xda, 0x00, 0x0c, 0x03, 0x01, 0x00,
    0x02, 0x10, 0x03, 0x10, 0x00, 0x00, 0x01, 0xfe, 0xf1, 0x97, 0x86, 0x6a, 0x4f, 0x2e, 0x23, 0xaa,
    0x8a, 0xbf, 0x77, 0xc7, 0xbe, 0xb6, 0x28, 0x9c, 0xf7, 0xe8, 0xff, 0xcc, 0x00, 0x04, 0x10, 0x05,
    0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x05, 0x02, 0x12, 0xa1, 0xcd, 0x47, 0x80, 0xff,
    0xcc, 0x00, 0x04, 0x11, 0x05, 0xff, 0xda, 0x00, 0x08, 0x01, 0x03, 0x01, 0x01, 0x3f, 0x01, 0x1e,
    0x43, 0x81, 0x14, 0x08, 0x72, 0xff, 0xcc, 0x00, 0x04, 0x11, 0x05, 0xff, 0xda, 0x00, 0x08, 0x01,
    0x02, 0x01, 0x01, 0x3f, 0x01, 0x26, 0xe1, 0x01, 0xf4, 0x28, 0xff, 0xcc, 0x00, 0x04, 0x10, 0x05,
    0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x06, 0x3f, 0x02, 0xc0, 0xff, 0xcc, 0x00, 0x04, 0x10,
    0x05, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x3f, 0x21, 0x7a, 0xff, 0xda, 0x00, 0x0c,
    0x03, 0x01, 0x00, 0x02, 0x00, 0x03, 0x00, 0x00, 0x00, 0x10, 0xd7, 0x7c, 0x40, 0xff, 0xcc, 0x00,
    0x04, 0x11, 0x05, 0xff, 0xda, 0x00, 0x08, 0x01, 0x03, 0x01, 0x01, 0x3f, 0x10, 0xbe, 0xff, 0xcc,
    0x00, 0x04, 0x11, 0x05, 0xff, 0xda, 0x00, 0x08, 0x01, 0x02, 0x01, 0x01, 0x3f, 0x10, 0xff, 0xcc,
    0x00, 0x04, 0x10, 0x05, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x01, 0x3f, 0x10, 0xd3, 0x40,
    0x5d, 0xd0, 0xff, 0xd9,
};

static void arithmetic_coding_gives_the_same_pixels(void **state) {
    fixture *f = *state;
    enum { ROWS = 16, COLUMNS = 24 };
    static uint8_t pixels[ROWS * COLUMNS * 3];
    for (int i = 0; i < ROWS * COLUMNS; ++i) {
        const int x = i % COLUMNS, y = i / COLUMNS;
        pixels[3 * i] = (uint8_t)(x * 10);
        pixels[3 * i + 1] = (uint8_t)(y * 15);
        pixels[3 * i + 2] = (uint8_t)((x / 8 + y / 8) % 2 * 200);
    }
    tjhandle handle = tjInitCompress();
    tjFree(f->jpeg);
    f->jpeg = NULL;
    assert_int_equal(tjCompress2(handle, pixels, COLUMNS, 0, ROWS, TJPF_RGB, &f->jpeg, &f->bytes,
                                 TJSAMP_444, 50, TJFLAG_FASTDCT),
                     0);
    tjDestroy(handle);
    const struct {
        const uint8_t *bytes;
        size_t num_bytes;
    } coded[] = {{f->jpeg, f->bytes},
                 {arithmetic, sizeof arithmetic},
                 {arithmetic_progressive, sizeof arithmetic_progressive}};
    static uint8_t got[3][ROWS * COLUMNS * 3];
    const rbc__image_shape want = {ROWS, COLUMNS, 3, 8, false};
    rbc_error err;
    for (int i = 0; i < 3; ++i) {
        if (rbc__image_decode(f->decoder, coded[i].bytes, coded[i].num_bytes, "cam", &want, got[i],
                              COLUMNS * 3, &err) != RBC_OK) {
            fail_msg("%s", err.message);
        }
        assert_memory_equal(got[i], got[0], sizeof got[0]);
    }
}

/* The frame header of the fixture's JPEG. */
static uint8_t *frame_of(fixture *f, uint8_t marker) {
    for (uint8_t *at = f->jpeg; at < f->jpeg + f->bytes - 9; ++at) {
        if (at[0] == 0xFF && at[1] == marker) {
            return at + 4;
        }
    }
    fail_msg("no frame");
    return NULL;
}

static void other_precisions_are_unsupported(void **state) {
    fixture *f = *state;
    static uint8_t dst[HEIGHT * WIDTH * 3];
    rbc_error err;
    static const uint8_t precisions[] = {0, 2, 7, 12, 16, 255};
    for (size_t i = 0; i < sizeof precisions; ++i) {
        frame_of(f, 0xC0)[0] = precisions[i];
        char words[32];
        (void)snprintf(words, sizeof words, "JPEG of %d bits", precisions[i]);
        assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_ERROR_UNSUPPORTED);
        assert_non_null(strstr(err.message, words));
    }
}

/* The scan that begins at the last header of one, `count` times more. */
static void repeat_last_scan(fixture *f, int count) {
    size_t scan = f->bytes;
    while (!(f->jpeg[scan - 2] == 0xFF && f->jpeg[scan - 1] == 0xDA)) {
        --scan;
    }
    scan -= 2;
    const size_t bytes = f->bytes - 2 - scan;
    uint8_t *longer = tjAlloc((int)(f->bytes + bytes * (size_t)count));
    assert_non_null(longer);
    memcpy(longer, f->jpeg, f->bytes - 2);
    size_t at = f->bytes - 2;
    for (int i = 0; i < count; ++i, at += bytes) {
        memcpy(longer + at, f->jpeg + scan, bytes);
    }
    memcpy(longer + at, f->jpeg + f->bytes - 2, 2);
    tjFree(f->jpeg);
    f->jpeg = longer;
    f->bytes = (unsigned long)(at + 2);
}

static void scans_are_limited(void **state) {
    fixture *f = *state;
    static uint8_t dst[HEIGHT * WIDTH * 3];
    rbc_error err;
    rbc_image_limits limits = RBC_IMAGE_LIMITS_INIT;
    encode(f, TJSAMP_420, TJFLAG_PROGRESSIVE);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_OK);
    limits.max_scans = 10; /* what the library makes of a colour image */
    limits.max_scan_pixels = INT64_C(10) * HEIGHT * WIDTH;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_OK);
    limits.max_scan_pixels -= 1;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "10 scans over 37 x 53 pixels"));
    assert_non_null(strstr(err.message, "max_scan_pixels"));
    limits = (rbc_image_limits)RBC_IMAGE_LIMITS_INIT;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    repeat_last_scan(f, 55);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "JPEG of 65 scans"));
    encode(f, TJSAMP_420, 0); /* one scan, whatever comes after it */
    limits.max_scan_pixels = INT64_C(1) * HEIGHT * WIDTH;
    limits.max_scans = 1;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_OK);
    repeat_last_scan(f, 3);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_ERROR_FORMAT);
    limits.max_pixels = HEIGHT * WIDTH - 1;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "max_pixels"));
    limits = (rbc_image_limits)RBC_IMAGE_LIMITS_INIT;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_OK);
    int64_t *const fields[] = {&limits.max_pixels, &limits.max_scans, &limits.max_scan_pixels};
    for (size_t i = 0; i < 3; ++i) {
        const int64_t before = *fields[i];
        *fields[i] = 0;
        assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_ERROR_INVALID_ARGUMENT);
        *fields[i] = before;
    }
    limits.max_scans = 501;
    assert_int_equal(rbc_image_limits_set(&limits, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "max_scans is 501; wanted 1 to 500"));
}

/* A comment that looks like the header of a whole scan does not hide those that follow. */
static void scans_cannot_be_hidden(void **state) {
    fixture *f = *state;
    static uint8_t dst[HEIGHT * WIDTH * 3];
    static const uint8_t comment[] = {0xFF, 0xFE, 0x00, 0x0C, 0xFF, 0xDA, 0x00,
                                      0x0C, 0x03, 0x01, 0x00, 0x02, 0x11, 0x03};
    rbc_error err;
    encode(f, TJSAMP_420, TJFLAG_PROGRESSIVE);
    uint8_t *frame = frame_of(f, 0xC2);
    frame[-3] = 0xC0; /* sequential now, its scans those of one component */
    const size_t head = (size_t)(frame - f->jpeg) + 15;
    uint8_t *longer = tjAlloc((int)(f->bytes + sizeof comment));
    memcpy(longer, f->jpeg, head);
    memcpy(longer + head, comment, sizeof comment);
    memcpy(longer + head + sizeof comment, f->jpeg + head, f->bytes - head);
    tjFree(f->jpeg);
    f->jpeg = longer;
    f->bytes += sizeof comment;
    longer[head + sizeof comment] = 0xFF;
    for (size_t at = head + sizeof comment; at + 5 < f->bytes; ++at) {
        if (longer[at] == 0xFF && longer[at + 1] == 0xDA) {
            longer[at + 4] = 1;
        }
    }
    repeat_last_scan(f, 60);
    assert_int_equal(decode(f, f->jpeg, f->bytes, 3, dst, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "wanted at most 64 scans"));
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
        TEST(arithmetic_coding_gives_the_same_pixels),
        TEST(other_precisions_are_unsupported),
        TEST(scans_are_limited),
        TEST(scans_cannot_be_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
