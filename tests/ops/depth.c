#include "voxel_helpers.h"

#include <math.h>

/* Two cameras of W x H pixels with f32 intrinsics and f64 poses. */
enum { B = 2, H = 37, W = 41 };

typedef struct cameras {
    tensor depth, intrinsics, pose;
    rbc_depth_params params;
} cameras;

static void put_depth(cameras *c, int64_t i, double metres) {
    if (c->depth.dl.dtype.bits == 16) {
        ((uint16_t *)c->depth.memory)[i] = (uint16_t)(metres * 1000);
    } else if (c->depth.dl.dtype.bits == 32) {
        ((float *)c->depth.memory)[i] = (float)metres;
    } else {
        ((double *)c->depth.memory)[i] = metres;
    }
}

static double unit_depth(const cameras *c, int64_t i) {
    if (c->depth.dl.dtype.bits == 16) {
        return ((const uint16_t *)c->depth.memory)[i];
    }
    return c->depth.dl.dtype.bits == 32 ? (double)((const float *)c->depth.memory)[i]
                                        : ((const double *)c->depth.memory)[i];
}

static void cameras_init(cameras *c, uint8_t bits) {
    tensor_init(&c->depth, bits == 16 ? kDLUInt : kDLFloat, bits, SHAPE(B, H, W));
    tensor_init(&c->intrinsics, kDLFloat, 32, SHAPE(B, 3, 3));
    tensor_init(&c->pose, kDLFloat, 64, SHAPE(B, 4, 4));
    c->params = (rbc_depth_params)RBC_DEPTH_PARAMS_INIT;
    c->params.depth_scale = bits == 16 ? 0.001 : 1.0;
    uint64_t state = bits;
    for (int64_t i = 0; i < B * H * W; ++i) {
        put_depth(c, i, random_bits(&state) % 9 == 0 ? 0 : random_between(&state, 0.2, 4));
    }
    for (int64_t b = 0; b < B; ++b) {
        const float k[9] = {50.5f + (float)b, 0, 20.25f, 0, 49.75f, 18.5f - (float)b, 0, 0, 1};
        memcpy((float *)c->intrinsics.memory + 9 * b, k, sizeof k);
        for (int i = 0; i < 16; ++i) {
            ((double *)c->pose.memory)[16 * b + i] = random_between(&state, -1, 1);
        }
    }
}

static void cameras_free(cameras *c) {
    tensor_free(&c->depth);
    tensor_free(&c->intrinsics);
    tensor_free(&c->pose);
}

/* False where the pixel is invalid. */
static bool reference(const cameras *c, bool has_pose, int64_t pixel, double *out) {
    const int64_t b = pixel / (H * W), row = pixel / W % H, column = pixel % W;
    const float *k = (const float *)c->intrinsics.memory + 9 * b;
    const double *m = (const double *)c->pose.memory + 16 * b;
    const double z = unit_depth(c, pixel) * c->params.depth_scale;
    if (!(z > c->params.min_depth && z <= c->params.max_depth && isfinite(z))) {
        return false;
    }
    const double x = ((double)column + c->params.pixel_offset - (double)k[2]) / (double)k[0] * z;
    const double y = ((double)row + c->params.pixel_offset - (double)k[5]) / (double)k[4] * z;
    for (int i = 0; i < 3; ++i) {
        out[i] = has_pose ? m[4 * i] * x + m[4 * i + 1] * y + m[4 * i + 2] * z + m[4 * i + 3]
                          : (i == 0   ? x
                             : i == 1 ? y
                                      : z);
    }
    return true;
}

static void points_match_a_reference(void **state) {
    (void)state;
    for (int variant = 0; variant < 12; ++variant) {
        cameras c;
        cameras_init(&c, (uint8_t)(16 << variant % 3));
        const bool has_pose = variant % 2 == 1;
        c.params.pixel_offset = variant < 6 ? 0 : 0.5;
        c.params.min_depth = variant < 6 ? 0 : 0.5004;
        c.params.max_depth = variant < 6 ? INFINITY : 3.0004;
        if (variant % 3 != 0) {
            put_depth(&c, 5, NAN);
            put_depth(&c, 6, INFINITY);
            put_depth(&c, 7, -1);
        }
        tensor points, packed, lengths;
        tensor_init(&points, kDLFloat, 32, SHAPE(B, H, W, 3));
        tensor_init(&packed, kDLFloat, 32, SHAPE(B, H * W, 3));
        tensor_init(&lengths, kDLInt, 32, SHAPE(B));
        rbc_context *context = context_of(2, feature_masks[variant % 3]);
        const DLTensor *pose = has_pose ? &c.pose.dl : NULL;
        assert_ok(rbc_depth_to_points(context, &c.depth.dl, &c.intrinsics.dl, pose, &c.params,
                                      &points.dl, NULL, NULL, err));
        assert_ok(rbc_depth_to_points(context, &c.depth.dl, &c.intrinsics.dl, pose, &c.params,
                                      &packed.dl, &lengths.dl, NULL, err));
        for (int64_t b = 0; b < B; ++b) {
            int64_t count = 0;
            const float *next = (const float *)packed.memory + 3 * b * H * W;
            for (int64_t i = b * H * W; i < (b + 1) * H * W; ++i) {
                const float *p = (const float *)points.memory + 3 * i;
                double wanted[3];
                if (!reference(&c, has_pose, i, wanted)) {
                    assert_true(isnan(p[0]) && isnan(p[1]) && isnan(p[2]));
                    continue;
                }
                for (int axis = 0; axis < 3; ++axis) {
                    assert_true(fabs((double)p[axis] - wanted[axis]) < 4e-6);
                }
                assert_memory_equal(p, next + 3 * count, 12);
                ++count;
            }
            assert_int_equal(((const int32_t *)lengths.memory)[b], count);
            for (int64_t i = 3 * count; i < 3 * H * W; ++i) {
                assert_true(isnan(next[i]));
            }
        }
        rbc_context_destroy(&context);
        tensor_free(&points);
        tensor_free(&packed);
        tensor_free(&lengths);
        cameras_free(&c);
    }
}

/* The fused operation against the two steps, bit for bit, features in rows with gaps included. */
static void voxels_of_depth_are_voxels_of_its_points(void **state) {
    (void)state;
    for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
        for (int gap = 0; gap < 2; ++gap) {
            cameras c;
            cameras_init(&c, 16);
            const bool has_features = reduce >= RBC_VOXEL_SUM;
            const int64_t channels = 3;
            tensor points, features, flat, out[2], counts[2], dropped[2], workspace;
            tensor_init(&points, kDLFloat, 32, SHAPE(B, H * W, 3));
            tensor_init(&features, kDLFloat, 32, SHAPE(B, H, W + 5, channels));
            tensor_init(&flat, kDLFloat, 32, SHAPE(B, H * W, channels));
            tensor_init(&workspace, kDLUInt, 8, SHAPE(1 << 20));
            features.shape[2] = W;
            if (gap == 0) {
                features.strides[1] = W * channels;
                features.strides[0] = H * W * channels;
            }
            uint64_t seed = 4;
            for (int64_t i = 0; i < B * H * W * channels; ++i) {
                const int64_t b = i / (H * W * channels), row = i / (W * channels) % H;
                const float value = (float)random_between(&seed, -1, 1);
                ((float *)flat.memory)[i] = value;
                ((float *)features.memory)[b * features.strides[0] + row * features.strides[1] +
                                           i % (W * channels)] = value;
            }
            for (int k = 0; k < 2; ++k) {
                const int64_t shape[5] = {B, 20, 21, 22, channels};
                tensor_init(&out[k],
                            has_features                    ? kDLFloat
                            : reduce == RBC_VOXEL_OCCUPANCY ? kDLUInt
                                                            : kDLInt,
                            reduce == RBC_VOXEL_OCCUPANCY ? 8 : 32, has_features ? 5 : 4, shape);
                tensor_init(&counts[k], kDLInt, 32, 4, shape);
                tensor_init(&dropped[k], kDLInt, 64, 1, shape);
            }
            rbc_voxelize_params params = RBC_VOXELIZE_PARAMS_INIT;
            params.reduce = (rbc_voxel_reduce)reduce;
            for (int axis = 0; axis < 3; ++axis) {
                params.grid_size[axis] = 20 + axis;
                params.voxel_size[axis] = 0.2;
            }
            rbc_context *context = context_of(2, UINT64_MAX);
            points.dl.ndim = 3;
            tensor image_points = points;
            const int64_t shape[4] = {B, H, W, 3};
            image_points.dl.ndim = 4;
            image_points.dl.shape = (int64_t *)(uintptr_t)shape;
            image_points.dl.strides = NULL;
            assert_ok(rbc_depth_to_points(context, &c.depth.dl, &c.intrinsics.dl, &c.pose.dl,
                                          &c.params, &image_points.dl, NULL, NULL, err));
            uint64_t bytes;
            assert_ok(rbc_voxelize_depth_workspace(
                context, &c.depth.dl, has_features ? &features.dl : NULL, &params, &bytes, err));
            assert_in_range(bytes, 0, 1 << 20);
            assert_ok(rbc_voxelize(context, &points.dl, has_features ? &flat.dl : NULL, NULL,
                                   &params, &out[0].dl, &counts[0].dl, &dropped[0].dl,
                                   &workspace.dl, NULL, err));
            assert_ok(rbc_voxelize_depth(context, &c.depth.dl, &c.intrinsics.dl, &c.pose.dl,
                                         &c.params, has_features ? &features.dl : NULL, &params,
                                         &out[1].dl, &counts[1].dl, &dropped[1].dl, &workspace.dl,
                                         NULL, err));
            assert_memory_equal(out[0].memory, out[1].memory,
                                (size_t)tensor_elements(&out[0]) * out[0].dl.dtype.bits / 8);
            assert_memory_equal(counts[0].memory, counts[1].memory,
                                (size_t)tensor_elements(&counts[0]) * 4);
            assert_memory_equal(dropped[0].memory, dropped[1].memory, B * 8);
            assert_true(((const int64_t *)dropped[0].memory)[0] > 100);
            rbc_context_destroy(&context);
            for (int k = 0; k < 2; ++k) {
                tensor_free(&out[k]);
                tensor_free(&counts[k]);
                tensor_free(&dropped[k]);
            }
            tensor_free(&points);
            tensor_free(&features);
            tensor_free(&flat);
            tensor_free(&workspace);
            cameras_free(&c);
        }
    }
}

static void bad_arguments_are_named(void **state) {
    (void)state;
    cameras c;
    cameras_init(&c, 16);
    tensor points;
    tensor_init(&points, kDLFloat, 32, SHAPE(B, H, W, 3));
    rbc_context *context = context_of(1, UINT64_MAX);
    const rbc_depth_params good = c.params;
#define CALL()                                                                                     \
    rbc_depth_to_points(context, &c.depth.dl, &c.intrinsics.dl, &c.pose.dl, &c.params, &points.dl, \
                        NULL, NULL, err)
    c.params.depth_scale = 0;
    assert_refused(CALL(), "depth_scale is 0");
    c.params = good;
    c.params.min_depth = -1;
    assert_refused(CALL(), "min_depth is -1");
    c.params = good;
    c.params.max_depth = 0;
    assert_refused(CALL(), "max_depth is 0");
    c.params = good;
    c.pose.shape[1] = 2;
    assert_refused(CALL(), "pose has shape [2, 2, 4]; wanted [2, 4, 4]");
    c.pose.shape[1] = 3; /* the last row may be left out */
    assert_ok(CALL());
    c.pose.shape[1] = 4;
    c.intrinsics.dl.ndim = 1;
    assert_refused(CALL(), "intrinsics has shape [2]; wanted [3, 3]");
    c.intrinsics.dl.ndim = 3;
    c.depth.dl.dtype.code = kDLInt;
    assert_refused(CALL(), "depth is int16; wanted uint16");
    c.depth.dl.dtype.code = kDLUInt;
    points.shape[1] = H - 1;
    assert_refused(CALL(), "points has shape [2, 36, 41, 3]; wanted [2, 37, 41, 3]");
    points.shape[1] = H;
    assert_ok(CALL());
#undef CALL
    rbc_context_destroy(&context);
    tensor_free(&points);
    cameras_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_match_a_reference),
        cmocka_unit_test(voxels_of_depth_are_voxels_of_its_points),
        cmocka_unit_test(bad_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
