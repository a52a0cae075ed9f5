/* What CUDA makes of images against what the CPU makes, to the bit: the kernels' arithmetic and all
 * around it, on a stand-in for a device. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "core/error.h"
#include "host_device.h"
#include "image/image.h"

enum { TRIALS = 400, MOST_IMAGES = 4 };

static rbc_context *context;
static uint64_t state = 88172645463325252u;

static uint64_t bits(void) {
    return xorshift(&state);
}

static int32_t between(int32_t low, int32_t high) {
    return low + (int32_t)(bits() % (uint64_t)(high - low + 1));
}

static bool chance(int32_t one_in) {
    return between(1, one_in) == 1;
}

static int32_t side(void) {
    return chance(3) ? between(1, 5) : chance(8) ? between(90, 300) : between(6, 80);
}

static rbc_image_params random_params(rbc__dtype stored, int32_t height, int32_t width) {
    rbc_image_params p = RBC_IMAGE_PARAMS_INIT;
    p.orient = between(0, 7);
    p.crop = between(0, 2);
    if (p.crop != RBC_IMAGE_CROP_NONE && chance(4)) {
        const int32_t least = height < width ? height : width;
        p.crop_size[0] = between(1, least);
        p.crop_size[1] = between(1, least);
    } else {
        p.crop_scale[0] = 0.1;
        if (chance(2)) {
            p.crop_aspect[0] = 0.5;
            p.crop_aspect[1] = 2.0;
        }
    }
    if (p.crop_size[0] == 0 || chance(2)) {
        p.size[0] = side();
        p.size[1] = side();
    }
    if (p.crop == RBC_IMAGE_CROP_NONE) {
        p.crop_scale[0] = 1.0;
        p.crop_aspect[0] = p.crop_aspect[1] = 0.0;
        if (chance(4)) {
            p.size[0] = p.size[1] = 0; /* as large as the image */
        } else if (chance(4)) {
            p.size[0] = height; /* one axis stays, where the image is not turned */
        }
    }
    p.flip = 0.5;
    p.channels_first = between(0, 1);
    p.filter = RBC_IMAGE_FILTER_NEAREST;
    if (stored == RBC__U8) {
        p.filter = between(1, 3);
        p.brightness[1] = chance(3) ? 4.0 : 1.0;
        p.contrast[1] = chance(3) ? 4.0 : 1.0;
        p.saturation[0] = chance(3) ? 0.0 : 1.0;
        p.hue[1] = chance(3) ? 0.5 : 0.0;
        p.dtype = rbc__dtype_to_dlpack(
            (rbc__dtype[]){RBC__U8, RBC__F32, RBC__F16, RBC__BF16}[between(0, 3)]);
        if (p.dtype.code != kDLUInt && chance(2)) {
            p.num_mean = 1;
            p.mean[0] = 0.45;
            p.std[0] = 0.22;
        }
    }
    return p;
}

static DLTensor tensor_of(void *data, DLDevice device, rbc__dtype dtype, int32_t ndim,
                          int64_t *shape) {
    return (DLTensor){.data = data,
                      .device = device,
                      .ndim = ndim,
                      .dtype = rbc__dtype_to_dlpack(dtype),
                      .shape = shape};
}

static int64_t elements(const int64_t shape[4]) {
    return shape[0] * shape[1] * shape[2] * shape[3];
}

/* What is made of images on a device; owned. */
static uint8_t *make(DLDevice device, void *stream, const rbc_image_params *params, uint8_t *pixels,
                     rbc__dtype stored, int64_t shape[4], const uint64_t *keys,
                     rbc__dtype made_dtype, int64_t made[4]) {
    rbc_error err;
    uint64_t scratch_bytes = 0;
    const size_t bytes = (size_t)(elements(made) * rbc__dtype_bytes(made_dtype));
    uint8_t *out = malloc(bytes + 1);
    memset(out, 0xa5, bytes);
    const DLTensor images = tensor_of(pixels, device, stored, 4, shape);
    const DLTensor to = tensor_of(out, device, made_dtype, 4, made);
    assert_int_equal(rbc_image_workspace(context, params, &images, keys, &scratch_bytes, &err),
                     RBC_OK);
    int64_t scratch_shape[] = {(int64_t)scratch_bytes};
    uint8_t *scratch = aligned_alloc(16, ((size_t)scratch_bytes + 31) / 16 * 16);
    memset(scratch, 0xa5, (size_t)scratch_bytes);
    const DLTensor workspace = tensor_of(scratch, device, RBC__U8, 1, scratch_shape);
    const rbc_status status =
        rbc_image_apply(context, params, &images, keys, &to, &workspace, stream, &err);
    if (status != RBC_OK) {
        fail_msg("%s", err.message);
    }
    if (device.device_type == kDLCUDA) {
        int (*synchronize)(void *) = NULL;
        void *address = dlsym(RTLD_DEFAULT, "cuStreamSynchronize");
        memcpy(&synchronize, &address, sizeof address);
        assert_int_equal(synchronize(stream), 0);
    }
    free(scratch);
    return out;
}

static void test_trials(void **unused) {
    static const rbc__dtype stored_dtypes[] = {RBC__U8, RBC__U8, RBC__U8, RBC__U16, RBC__F32};
    (void)unused;
    void *stream = NULL;
    int (*create)(void **, unsigned) = NULL;
    int (*push)(void *) = NULL;
    int (*retain)(void **, int) = NULL;
    void *device_context = NULL;
    void *addresses[] = {dlsym(RTLD_DEFAULT, "cuStreamCreate"),
                         dlsym(RTLD_DEFAULT, "cuCtxPushCurrent_v2"),
                         dlsym(RTLD_DEFAULT, "cuDevicePrimaryCtxRetain")};
    memcpy(&create, &addresses[0], sizeof create);
    memcpy(&push, &addresses[1], sizeof push);
    memcpy(&retain, &addresses[2], sizeof retain);
    assert_int_equal(retain(&device_context, 0), 0);
    assert_int_equal(push(device_context), 0);
    assert_int_equal(create(&stream, 1), 0);
    for (int trial = 0; trial < TRIALS; ++trial) {
        const rbc__dtype stored = stored_dtypes[between(0, 4)];
        int64_t shape[4] = {between(1, MOST_IMAGES), side(), side(),
                            stored == RBC__U8 ? between(1, RBC__IMAGE_MAX_CHANNELS) : 1};
        const size_t bytes = (size_t)(elements(shape) * rbc__dtype_bytes(stored));
        const rbc_image_params params = random_params(stored, (int32_t)shape[1], (int32_t)shape[2]);
        uint64_t keys[MOST_IMAGES];
        rbc_error err;
        int64_t made[4] = {shape[0]};
        DLDataType made_type;
        rbc__dtype made_dtype;
        uint8_t *pixels = malloc(bytes);
        for (size_t i = 0; i < bytes; ++i) {
            pixels[i] = (uint8_t)bits();
        }
        for (int i = 0; i < MOST_IMAGES; ++i) {
            keys[i] = bits();
        }
        assert_int_equal(rbc_image_output(&params, rbc__dtype_to_dlpack(stored), shape[1], shape[2],
                                          shape[3], made + 1, &made_type, &err),
                         RBC_OK);
        assert_true(rbc__dtype_from_dlpack(made_type, &made_dtype));
        uint8_t *wanted = make((DLDevice){kDLCPU, 0}, NULL, &params, pixels, stored, shape, keys,
                               made_dtype, made);
        uint8_t *found = make((DLDevice){kDLCUDA, 0}, stream, &params, pixels, stored, shape, keys,
                              made_dtype, made);
        assert_memory_equal(found, wanted, (size_t)(elements(made) * rbc__dtype_bytes(made_dtype)));
        free(wanted);
        free(found);
        free(pixels);
    }
}

/* Sides that are shrunk to next to nothing have as many taps as pixels, and chunks of lines. */
static void test_extremes(void **unused) {
    static const int64_t sides[][4] = {
        {1, 3000, 3, 3}, {1, 3, 3000, 3}, {1, 700, 700, 4}, {1, 1, 1, 1}, {1, 33, 65, 2}};
    static const int32_t sizes[][2] = {{1, 1}, {2, 300}, {300, 2}, {33, 31}, {64, 32}};
    (void)unused;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; ++i) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; ++j) {
            int64_t shape[4];
            memcpy(shape, sides[i], sizeof shape);
            rbc_image_params params = RBC_IMAGE_PARAMS_INIT;
            params.size[0] = sizes[j][0];
            params.size[1] = sizes[j][1];
            params.filter = (i + j) % 2 == 0 ? RBC_IMAGE_FILTER_BICUBIC : RBC_IMAGE_FILTER_BILINEAR;
            params.contrast[0] = params.contrast[1] = j % 2 == 0 ? 1.0 : 1.7;
            const uint64_t key = bits();
            int64_t made[4] = {1, sizes[j][0], sizes[j][1], shape[3]};
            uint8_t *pixels = malloc((size_t)elements(shape));
            for (int64_t at = 0; at < elements(shape); ++at) {
                pixels[at] = (uint8_t)bits();
            }
            uint8_t *wanted = make((DLDevice){kDLCPU, 0}, NULL, &params, pixels, RBC__U8, shape,
                                   &key, RBC__U8, made);
            uint8_t *found = make((DLDevice){kDLCUDA, 0}, NULL, &params, pixels, RBC__U8, shape,
                                  &key, RBC__U8, made);
            assert_memory_equal(found, wanted, (size_t)elements(made));
            free(wanted);
            free(found);
            free(pixels);
        }
    }
}

int main(void) {
    if (dlopen(HOST_DEVICE, RTLD_NOW | RTLD_GLOBAL) == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    if (rbc_context_create(NULL, &context, NULL) != RBC_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trials),
        cmocka_unit_test(test_extremes),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    rbc_context_destroy(&context);
    return failures;
}
