/* Prints a digest of what each operation gives for fixed input, a line for each case. The lines
 * must be the same on every instruction set and processor: tools/test_neon.sh compares them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "backend.h"
#include "core/half.h"

enum { BATCH = 3, SAMPLES = 211, TARGETS = 173, CHANNELS = 36, POINTS = 20000, FEATURES = 5 };

/* The CPU alone: the table of src/ops would bring in the CUDA driver. */
rbc_status rbc__backend_for(DLDevice device, const rbc__backend **out, rbc_error *err) {
    (void)device;
    (void)err;
    *out = &rbc__cpu_backend;
    return RBC_OK;
}

static uint64_t random_state = 88172645463325252u;

static double random_unit(void) {
    return xorshift_unit(&random_state);
}

static uint64_t digest(const void *bytes, size_t count) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < count; ++i) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    }
    return hash;
}

static void fill(void *items, rbc__dtype dtype, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        const double value = random_unit() * 20.0 - 10.0;
        switch (dtype) {
        case RBC__F32:
            ((float *)items)[i] = (float)value;
            break;
        case RBC__F64:
            ((double *)items)[i] = value;
            break;
        case RBC__F16:
            ((uint16_t *)items)[i] = rbc__f16_of_f32((float)value);
            break;
        default:
            ((uint16_t *)items)[i] = rbc__bf16_of_f32((float)value);
            break;
        }
    }
}

static void fill_times(void *items, rbc__dtype dtype, int64_t count, double step) {
    double now = 0.0;
    for (int64_t i = 0; i < count; ++i) {
        switch (dtype) {
        case RBC__I64:
            ((int64_t *)items)[i] = 1795000000000000000 + (int64_t)(now * 1e9);
            break;
        case RBC__F64:
            ((double *)items)[i] = 1795000000.0 + now;
            break;
        default:
            ((float *)items)[i] = (float)now;
            break;
        }
        now += step * 2.0 * random_unit();
    }
}

static DLTensor tensor(void *data, rbc__dtype dtype, int32_t ndim, int64_t *shape) {
    return (DLTensor){.data = data,
                      .device = {kDLCPU, 0},
                      .ndim = ndim,
                      .dtype = rbc__dtype_to_dlpack(dtype),
                      .shape = shape};
}

static void *new_items(int64_t count, int64_t item_bytes) {
    void *items = calloc((size_t)count, (size_t)item_bytes);
    if (items == NULL) {
        abort();
    }
    return items;
}

static void require(rbc_status status, const rbc_error *err) {
    if (status != RBC_OK) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
}

static void resample(rbc_context *context, rbc_resample_mode mode, rbc__dtype dtype,
                     rbc__dtype clock) {
    int64_t width = mode == RBC_RESAMPLE_SLERP ? 4 : CHANNELS;
    int64_t values_shape[3] = {BATCH, SAMPLES, width}, out_shape[3] = {BATCH, TARGETS, width};
    int64_t times_shape[1] = {SAMPLES}, targets_shape[1] = {TARGETS},
            valid_shape[2] = {BATCH, TARGETS};
    void *values = new_items(BATCH * SAMPLES * width, 8),
         *out = new_items(BATCH * TARGETS * width, 8);
    void *times = new_items(SAMPLES, 8), *targets = new_items(TARGETS, 8);
    void *valid = new_items(BATCH * TARGETS, 1);
    fill(values, dtype, BATCH * SAMPLES * width);
    fill_times(times, clock, SAMPLES, 0.010);
    fill_times(targets, clock, TARGETS, 0.013);
    const DLTensor v = tensor(values, dtype, 3, values_shape), o = tensor(out, dtype, 3, out_shape);
    const DLTensor t = tensor(times, clock, 1, times_shape);
    const DLTensor g = tensor(targets, clock, 1, targets_shape);
    const DLTensor ok = tensor(valid, RBC__BOOL, 2, valid_shape);
    rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
    source.values = &v;
    source.times = &t;
    source.mode = mode;
    source.max_gap = clock == RBC__I64 ? 15e6 : 0.015;
    rbc_error err;
    require(rbc_resample(context, &source, &g, &o, &ok, NULL, NULL, &err), &err);
    const size_t bytes = (size_t)(BATCH * TARGETS * width * rbc__dtype_bytes(dtype));
    printf("resample mode %d %s %s %016" PRIx64 " %016" PRIx64 "\n", (int)mode,
           rbc__dtype_name(dtype), rbc__dtype_name(clock), digest(out, bytes),
           digest(valid, BATCH * TARGETS));
    free(values);
    free(out);
    free(times);
    free(targets);
    free(valid);
}

static void voxelize(rbc_context *context, rbc_voxel_reduce reduce, rbc__dtype dtype) {
    int64_t points_shape[2] = {POINTS, 3}, features_shape[2] = {POINTS, FEATURES};
    int64_t out_shape[4] = {16, 20, 12, FEATURES}, workspace_shape[1] = {0};
    const int64_t cells = 16 * 20 * 12;
    const bool has_features = reduce >= RBC_VOXEL_SUM;
    void *points = new_items(POINTS * 3, 8), *features = new_items(POINTS * FEATURES, 8);
    void *out = new_items(cells * FEATURES, 8);
    fill(points, dtype, POINTS * 3);
    fill(features, dtype, POINTS * FEATURES);
    const rbc__dtype out_dtype = reduce == RBC_VOXEL_OCCUPANCY ? RBC__U8
                                 : reduce == RBC_VOXEL_COUNT   ? RBC__I32
                                                               : dtype;
    const DLTensor p = tensor(points, dtype, 2, points_shape);
    const DLTensor f = tensor(features, dtype, 2, features_shape);
    const DLTensor o = tensor(out, out_dtype, has_features ? 4 : 3, out_shape);
    rbc_voxelize_params params = RBC_VOXELIZE_PARAMS_INIT;
    params.reduce = reduce;
    for (int axis = 0; axis < 3; ++axis) {
        params.grid_size[axis] = out_shape[axis];
        params.voxel_size[axis] = 0.7;
    }
    rbc_error err;
    uint64_t workspace_bytes = 0;
    require(rbc_voxelize_workspace(context, &p, has_features ? &f : NULL, &params, &workspace_bytes,
                                   &err),
            &err);
    void *workspace = aligned_alloc(64, (workspace_bytes + 64) / 64 * 64);
    workspace_shape[0] = (int64_t)workspace_bytes;
    const DLTensor w = tensor(workspace, RBC__U8, 1, workspace_shape);
    require(rbc_voxelize(context, &p, has_features ? &f : NULL, NULL, &params, &o, NULL, NULL,
                         workspace_bytes > 0 ? &w : NULL, NULL, &err),
            &err);
    const int64_t items = cells * (has_features ? FEATURES : 1);
    printf("voxelize reduce %d %s %016" PRIx64 "\n", (int)reduce, rbc__dtype_name(dtype),
           digest(out, (size_t)(items * rbc__dtype_bytes(out_dtype))));
    free(points);
    free(features);
    free(out);
    free(workspace);
}

static void make_images(rbc_context *context, rbc_image_filter filter, rbc__dtype dtype) {
    enum { IMAGES = 2, HEIGHT = 71, WIDTH = 93, MADE = 40 };
    const uint64_t keys[IMAGES] = {1, 2};
    for (int64_t channels = 1; channels <= RBC__IMAGE_MAX_CHANNELS; ++channels) {
        int64_t shape[4] = {IMAGES, HEIGHT, WIDTH, channels};
        int64_t made_shape[4] = {IMAGES, MADE, MADE, channels};
        const int64_t count = IMAGES * HEIGHT * WIDTH * channels;
        const int64_t made_count = IMAGES * MADE * MADE * channels;
        uint8_t *pixels = new_items(count, 1);
        void *made = new_items(made_count, 4);
        for (int64_t i = 0; i < count; ++i) {
            pixels[i] = (uint8_t)(random_unit() * 256.0);
        }
        rbc_image_params params = RBC_IMAGE_PARAMS_INIT;
        params.crop = RBC_IMAGE_CROP_RANDOM;
        params.crop_scale[0] = 0.3;
        params.crop_aspect[0] = 0.7;
        params.crop_aspect[1] = 1.3;
        params.size[0] = params.size[1] = MADE;
        params.filter = filter;
        params.brightness[1] = params.contrast[1] = params.saturation[1] = 2.0;
        params.hue[1] = 0.5;
        params.dtype = rbc__dtype_to_dlpack(dtype);
        rbc_error err;
        const DLTensor from = tensor(pixels, RBC__U8, 4, shape);
        const DLTensor to = tensor(made, dtype, 4, made_shape);
        uint64_t workspace_bytes = 0;
        require(rbc_image_workspace(context, &params, &from, keys, &workspace_bytes, &err), &err);
        void *workspace = aligned_alloc(64, (workspace_bytes + 64) / 64 * 64);
        int64_t workspace_shape[1] = {(int64_t)workspace_bytes};
        const DLTensor w = tensor(workspace, RBC__U8, 1, workspace_shape);
        require(rbc_image_apply(context, &params, &from, keys, &to, &w, NULL, &err), &err);
        free(workspace);
        printf("image filter %d channels %d %s %016" PRIx64 "\n", (int)filter, (int)channels,
               rbc__dtype_name(dtype),
               digest(made, (size_t)(made_count * rbc__dtype_bytes(dtype))));
        free(pixels);
        free(made);
    }
}

/* The argument is a mask of RBC_CPU_* bits, all when left out. */
int main(int argc, char **argv) {
    static const rbc__dtype dtypes[] = {RBC__F32, RBC__F64, RBC__F16, RBC__BF16};
    static const rbc__dtype clocks[] = {RBC__I64, RBC__F64, RBC__F32};
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    params.num_threads = 2;
    params.cpu_features = argc > 1 ? strtoull(argv[1], NULL, 0) : UINT64_MAX;
    rbc_context *context = NULL;
    rbc_error err;
    require(rbc_context_create(&params, &context, &err), &err);
    for (int d = 0; d < 4; ++d) {
        for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_MIN; ++mode) {
            for (int c = 0; c < 3; ++c) {
                resample(context, (rbc_resample_mode)mode, dtypes[d], clocks[c]);
            }
        }
        for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
            voxelize(context, (rbc_voxel_reduce)reduce, dtypes[d]);
        }
    }
    for (int filter = RBC_IMAGE_FILTER_NEAREST; filter <= RBC_IMAGE_FILTER_BICUBIC; ++filter) {
        make_images(context, (rbc_image_filter)filter, RBC__U8);
        make_images(context, (rbc_image_filter)filter, RBC__F16);
    }
    rbc_context_destroy(&context);
    return 0;
}
