/* Images against a plain reading of image/image.h, on every instruction set, in memory that ends
 * where images do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "image/image.h"

enum { TRIALS = 600, MAX_TAPS = 400 };

static uint64_t state = 88172645463325252u;

static uint64_t bits(void) {
    return xorshift(&state);
}

static int32_t between(int32_t low, int32_t high) {
    return low + (int32_t)(bits() % (uint64_t)(high - low + 1));
}

/* One axis of an image [lines, count, channels], where neighbours along it are `step` bytes apart:
 * from `size` pixels to `count`, with 8 bits for the result. */
static void plain_axis(rbc_image_filter filter, int32_t begin, int32_t end, int32_t size,
                       int32_t count, const uint8_t *from, int64_t from_step, uint8_t *to,
                       int64_t to_step, int64_t bytes) {
    const int64_t taps = rbc__image_axis_taps(filter, end - begin, count);
    int32_t *memory = calloc((size_t)(count * (taps + 2)), sizeof *memory);
    rbc__image_axis axis = {.first = memory, .taps = memory + count, .weights = memory + 2 * count};
    rbc__image_axis_init(&axis, filter, begin, end, size, count, false);
    for (int32_t i = 0; i < count; ++i) {
        for (int64_t byte = 0; byte < bytes; ++byte) {
            int64_t sum = INT64_C(1) << 21;
            for (int32_t j = 0; j < axis.taps[i]; ++j) {
                sum += (int64_t)from[(axis.first[i] + j) * from_step + byte] *
                       axis.weights[(int64_t)i * axis.max_taps + j];
            }
            sum >>= 22;
            to[i * to_step + byte] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
        }
    }
    free(memory);
}

/* Of an image without alpha; NULL where a step is not looked at here. */
static uint8_t *plain(const rbc__image_spec *spec, const rbc__image_draw *draw, int32_t height,
                      int32_t width, const uint8_t *pixels) {
    const int64_t c = spec->channels;
    const bool down_first = rbc__image_columns_first(draw, height, width);
    const int32_t mid_height = down_first ? draw->height : height;
    const int32_t mid_width = down_first ? width : draw->width;
    uint8_t *mid = calloc((size_t)(mid_height * mid_width * c), 1);
    uint8_t *out = calloc((size_t)(draw->height * draw->width * c), 1);
    if (down_first) {
        plain_axis(spec->filter, draw->top, draw->bottom, height, draw->height, pixels, width * c,
                   mid, width * c, width * c);
    }
    for (int32_t y = 0; y < (down_first ? draw->height : height); ++y) {
        plain_axis(spec->filter, draw->left, draw->right, width, draw->width,
                   (down_first ? mid : pixels) + y * width * c, c,
                   (down_first ? out : mid) + y * draw->width * c, c, c);
    }
    if (!down_first) {
        plain_axis(spec->filter, draw->top, draw->bottom, height, draw->height, mid,
                   draw->width * c, out, draw->width * c, draw->width * c);
    }
    free(mid);
    return out;
}

static rbc_image_params random_params(rbc__dtype stored) {
    rbc_image_params p = RBC_IMAGE_PARAMS_INIT;
    p.orient = between(0, 7);
    p.crop = between(0, 2);
    p.crop_scale[0] = 0.3;
    if (between(0, 1) == 1) {
        p.crop_aspect[0] = 0.5;
        p.crop_aspect[1] = 2.0;
    }
    p.size[0] = between(1, between(0, 3) == 0 ? 3 : 50);
    p.size[1] = between(1, between(0, 3) == 0 ? 3 : 50);
    p.flip = 0.5;
    p.channels_first = between(0, 1);
    p.filter = RBC_IMAGE_FILTER_NEAREST;
    if (stored == RBC__U8) {
        p.filter = between(1, 3);
        p.brightness[1] = between(0, 2) == 0 ? 4.0 : 1.0;
        p.contrast[1] = between(0, 2) == 0 ? 4.0 : 1.0;
        p.saturation[0] = between(0, 2) == 0 ? 0.0 : 1.0;
        p.hue[1] = between(0, 2) == 0 ? 0.5 : 0.0;
        p.dtype = rbc__dtype_to_dlpack(
            (rbc__dtype[]){RBC__U8, RBC__F32, RBC__F16, RBC__BF16}[between(0, 3)]);
    }
    return p;
}

static DLTensor tensor_of(void *data, rbc__dtype dtype, int64_t *shape) {
    return (DLTensor){.data = data,
                      .device = {kDLCPU, 0},
                      .ndim = 4,
                      .dtype = rbc__dtype_to_dlpack(dtype),
                      .shape = shape};
}

static void test_trials(void **unused) {
    static const uint64_t features[] = {RBC_CPU_BASELINE, RBC_CPU_AVX2, UINT64_MAX};
    static const rbc__dtype stored_dtypes[] = {RBC__U8, RBC__U8, RBC__U8, RBC__U16, RBC__F32};
    (void)unused;
    for (int trial = 0; trial < TRIALS; ++trial) {
        const rbc__dtype stored = stored_dtypes[between(0, 4)];
        int64_t shape[4] = {1, between(1, 60), between(1, 60),
                            stored == RBC__U8 ? between(1, 4) : 1};
        const size_t bytes = (size_t)(shape[1] * shape[2] * shape[3] * rbc__dtype_bytes(stored));
        const rbc_image_params params = random_params(stored);
        const uint64_t key = bits();
        rbc_error err;
        rbc__image_spec spec;
        rbc__image_draw draw;
        int64_t made[4] = {1};
        DLDataType made_type;
        rbc__dtype made_dtype;
        uint8_t *pixels = malloc(bytes);
        for (size_t i = 0; i < bytes; ++i) {
            pixels[i] = (uint8_t)bits();
        }
        assert_int_equal(rbc_image_output(&params, rbc__dtype_to_dlpack(stored), shape[1], shape[2],
                                          shape[3], made + 1, &made_type, &err),
                         RBC_OK);
        assert_true(rbc__dtype_from_dlpack(made_type, &made_dtype));
        const size_t out_bytes =
            (size_t)(made[1] * made[2] * made[3] * rbc__dtype_bytes(made_dtype));
        uint8_t *first = NULL;
        for (int isa = 0; isa < 3; ++isa) {
            rbc_context_params context_params = RBC_CONTEXT_PARAMS_INIT;
            rbc_context *context;
            context_params.num_threads = 1;
            context_params.cpu_features = features[isa];
            assert_int_equal(rbc_context_create(&context_params, &context, &err), RBC_OK);
            uint8_t *out = malloc(out_bytes);
            memset(out, 0xa5, out_bytes);
            const DLTensor images = tensor_of(pixels, stored, shape);
            const DLTensor to = tensor_of(out, made_dtype, made);
            uint64_t scratch_bytes;
            assert_int_equal(
                rbc_image_workspace(context, &params, &images, &key, &scratch_bytes, &err), RBC_OK);
            uint8_t *scratch = aligned_alloc(16, ((size_t)scratch_bytes + 31) / 16 * 16);
            int64_t scratch_shape[] = {(int64_t)scratch_bytes};
            const DLTensor workspace = {.data = scratch,
                                        .device = {kDLCPU, 0},
                                        .ndim = 1,
                                        .dtype = {kDLUInt, 8, 1},
                                        .shape = scratch_shape};
            assert_int_equal(
                rbc_image_apply(context, &params, &images, &key, &to, &workspace, NULL, &err),
                RBC_OK);
            free(scratch);
            rbc_context_destroy(&context);
            if (first != NULL) {
                assert_memory_equal(out, first, out_bytes);
                free(out);
            } else {
                first = out;
            }
        }
        assert_int_equal(rbc__image_spec_init(&spec, &params, stored, shape[3], "", &err), RBC_OK);
        assert_int_equal(rbc__image_draw_for(&spec, key, shape[1], shape[2], "", &draw, &err),
                         RBC_OK);
        const bool is_resized = draw.right - draw.left != draw.width &&
                                draw.bottom - draw.top != draw.height && !draw.is_flipped;
        if (is_resized && spec.filter != RBC_IMAGE_FILTER_NEAREST && !spec.has_colour &&
            !spec.has_table && params.channels_first == 0 && shape[3] % 2 == 1 &&
            params.orient == RBC_IMAGE_AS_STORED) {
            uint8_t *wanted = plain(&spec, &draw, (int32_t)shape[1], (int32_t)shape[2], pixels);
            assert_memory_equal(first, wanted, out_bytes);
            free(wanted);
        }
        free(first);
        free(pixels);
    }
}

static void test_keys(void **unused) {
    (void)unused;
    assert_true(rbc_image_key(7, 3, 12, 34, RBC_IMAGE_SHARE_WINDOW, "image", 1) ==
                rbc_image_key(7, 3, 12, 34, RBC_IMAGE_SHARE_FRAME, "image", 0));
    assert_true(rbc_image_key(7, 3, 12, 34, RBC_IMAGE_SHARE_SAMPLE, "image", 1) ==
                rbc_image_key(7, 3, 12, 34, RBC_IMAGE_SHARE_SAMPLE, NULL, 0));
    assert_true(rbc_image_key(7, 3, 12, 34, RBC_IMAGE_SHARE_WINDOW, "image", 0) !=
                rbc_image_key(7, 4, 12, 34, RBC_IMAGE_SHARE_WINDOW, "image", 0));
}

static void test_params_of_an_older_library(void **unused) {
    rbc_image_params params = RBC_IMAGE_PARAMS_INIT;
    rbc__image_spec spec;
    rbc_error err;
    (void)unused;
    params.struct_size = offsetof(rbc_image_params, flip);
    params.flip = 9.0; /* is not there for it */
    assert_int_equal(rbc__image_spec_init(&spec, &params, RBC__U8, 3, "", &err), RBC_OK);
    params.struct_size = 0;
    assert_int_equal(rbc__image_spec_init(&spec, &params, RBC__U8, 3, "", &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    params = (rbc_image_params)RBC_IMAGE_PARAMS_INIT;
    params.orient = 8;
    assert_int_equal(rbc__image_spec_init(&spec, &params, RBC__U8, 3, "image: ", &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "image: orient is 8; wanted 0 to 7"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trials),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_params_of_an_older_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
