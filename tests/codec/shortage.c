/* Without memory a codec says so: an image that decodes is never called damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <spng.h>
#include <turbojpeg.h>

#include "../limited_malloc.h"
#include "codec/codec.h"

#define HEIGHT 64
#define WIDTH  48

typedef struct encoded {
    uint8_t *bytes;
    size_t num_bytes;
} encoded;

static void fill(uint8_t *pixels, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
        pixels[i] = (uint8_t)(i * 37 + i / 11);
    }
}

static encoded make_jpeg(int flags) {
    static uint8_t pixels[HEIGHT * WIDTH * 3];
    fill(pixels, sizeof pixels);
    encoded out = {0};
    unsigned long bytes = 0;
    tjhandle handle = tjInitCompress();
    assert_non_null(handle);
    assert_int_equal(tjCompress2(handle, pixels, WIDTH, 0, HEIGHT, TJPF_RGB, &out.bytes, &bytes,
                                 TJSAMP_420, 85, flags),
                     0);
    tjDestroy(handle);
    out.num_bytes = bytes;
    return out;
}

static encoded make_png(uint8_t color_type) {
    static uint8_t pixels[HEIGHT * WIDTH * 4];
    fill(pixels, sizeof pixels);
    const size_t channels = color_type == SPNG_COLOR_TYPE_TRUECOLOR ? 3 : 1;
    encoded out = {0};
    spng_ctx *spng = spng_ctx_new(SPNG_CTX_ENCODER);
    assert_non_null(spng);
    assert_int_equal(spng_set_option(spng, SPNG_ENCODE_TO_BUFFER, 1), 0);
    struct spng_ihdr header = {
        .width = WIDTH, .height = HEIGHT, .bit_depth = 8, .color_type = color_type};
    assert_int_equal(spng_set_ihdr(spng, &header), 0);
    if (color_type == SPNG_COLOR_TYPE_INDEXED) {
        struct spng_plte palette = {.n_entries = 256};
        struct spng_trns transparency = {.n_type3_entries = 1};
        assert_int_equal(spng_set_plte(spng, &palette), 0);
        assert_int_equal(spng_set_trns(spng, &transparency), 0);
    }
    assert_int_equal(spng_encode_image(spng, pixels, HEIGHT * WIDTH * channels, SPNG_FMT_PNG,
                                       SPNG_ENCODE_FINALIZE),
                     0);
    int code = 0;
    out.bytes = spng_get_png_buffer(spng, &out.num_bytes, &code);
    assert_non_null(out.bytes);
    spng_ctx_free(spng);
    return out;
}

/* Decodes with a new decoder whose n-th allocation and all behind it fail, for every n until it
 * gets by with those before. */
static void check(const encoded *image, int64_t channels) {
    static uint8_t expected[HEIGHT * WIDTH * 4];
    static uint8_t pixels[HEIGHT * WIDTH * 4];
    const rbc__image_shape want = {HEIGHT, WIDTH, channels, 8, false};
    int64_t failures = 0;
    for (int64_t allocations = -1; allocations < 10000; ++allocations) {
        rbc__decoder *decoder = NULL;
        rbc__image_shape found = {0};
        rbc_error err = {0};
        num_failed = 0;
        countdown = allocations == -1 ? -1 : allocations + 1;
        rbc_status status = rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, &decoder, &err);
        if (status == RBC_OK) {
            status = rbc__image_probe(decoder, image->bytes, image->num_bytes, "x", &found, &err);
        }
        if (status == RBC_OK) {
            assert_int_equal(found.channels, channels);
            status =
                rbc__image_decode(decoder, image->bytes, image->num_bytes, "x", &want,
                                  allocations == -1 ? expected : pixels, WIDTH * channels, &err);
        }
        countdown = -1;
        rbc__decoder_destroy(&decoder);
        if (status == RBC_OK) {
            if (allocations >= 0) {
                assert_memory_equal(pixels, expected, (size_t)(HEIGHT * WIDTH * channels));
                assert_int_equal(num_failed, 0);
                assert_true(failures > 3);
                return;
            }
            continue;
        }
        if (status != RBC_ERROR_OUT_OF_MEMORY) {
            fail_msg("after %d allocations: %s", (int)allocations, err.message);
        }
        ++failures;
    }
    fail_msg("no end");
}

static void images_are_not_called_damaged(void **state) {
    (void)state;
    if (!OWN_MALLOC) {
        skip();
    }
    encoded images[] = {make_jpeg(0), make_jpeg(TJFLAG_PROGRESSIVE),
                        make_png(SPNG_COLOR_TYPE_TRUECOLOR), make_png(SPNG_COLOR_TYPE_INDEXED)};
    const int64_t channels[] = {3, 3, 3, 4};
    for (size_t i = 0; i < sizeof images / sizeof *images; ++i) {
        check(&images[i], channels[i]);
        free(images[i].bytes); /* tjFree() is free() */
    }
}

/* The same of a batch: one of `valid` says that an image is damaged, never that memory was short. */
static void batches_are_not_called_damaged(void **state) {
    (void)state;
    if (!OWN_MALLOC) {
        skip();
    }
    encoded images[] = {make_jpeg(0), make_jpeg(TJFLAG_PROGRESSIVE)};
    const void *bytes[] = {images[0].bytes, images[1].bytes};
    const uint64_t num_bytes[] = {images[0].num_bytes, images[1].num_bytes};
    static uint8_t pixels[2 * HEIGHT * WIDTH * 3];
    uint8_t valid[2];
    int64_t shape[] = {2, HEIGHT, WIDTH, 3};
    DLTensor out = {
        .data = pixels, .device = {kDLCPU, 0}, .ndim = 4, .dtype = {kDLUInt, 8, 1}, .shape = shape};
    DLTensor mask = out;
    mask.data = valid;
    mask.ndim = 1;
    const DLTensor *outs = &out;
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    params.num_threads = 1;
    const rbc_jpeg_params jpeg = RBC_JPEG_PARAMS_INIT;
    rbc_context *context;
    assert_int_equal(rbc_context_create(&params, &context, NULL), RBC_OK);
    int64_t failures = 0;
    rbc_status status = RBC_ERROR_OUT_OF_MEMORY;
    for (int64_t allocations = 1; status != RBC_OK && allocations < 10000; ++allocations) {
        rbc_jpeg_batch *batch = NULL;
        rbc_error err = {0};
        countdown = allocations;
        status = rbc_jpeg_batch_create(context, bytes, num_bytes, 2, &jpeg, &batch, &err);
        if (status == RBC_OK) {
            status = rbc_decode_jpeg(context, batch, &outs, 1, &mask, NULL, NULL, &err);
        }
        countdown = -1;
        rbc_jpeg_batch_destroy(&batch);
        if (status == RBC_OK) {
            assert_true(valid[0] && valid[1]);
        } else if (status != RBC_ERROR_OUT_OF_MEMORY) {
            fail_msg("after %d allocations: %s", (int)allocations, err.message);
        }
        failures += status != RBC_OK;
    }
    assert_int_equal(status, RBC_OK);
    assert_true(failures > 3);
    rbc_context_destroy(&context);
    free(images[0].bytes);
    free(images[1].bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(images_are_not_called_damaged),
                                       cmocka_unit_test(batches_are_not_called_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
