#include "sparse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arrays.h"
#include "gpu.h"

/* ---- sparse voxelization ---- */

typedef struct sparse_case {
    const DLDataType *points, *features;
    int64_t batch, num_points, channels, max_points, max_voxels;
    rbc_voxel_preset preset;
    rbc_voxel_reduce reduce;
    int64_t cells; /* along each axis; 0: no bounds */
    double size;
} sparse_case;

enum { NUM_OUTPUTS = 10 };

static void make_outputs(const sparse_case *c, array *o) {
    const int64_t b = c->batch, n = c->num_points, m = c->max_voxels, f = c->channels;
    const int64_t k = c->max_points > 0 ? c->max_points : 1;
    o[0] = array_new(i32, 3, (int64_t[]){b, m, 3});
    o[1] = array_new(i32, 1, (int64_t[]){b});
    o[2] = array_new(i32, 2, (int64_t[]){b, m});
    o[3] = array_new(*c->features, 3, (int64_t[]){b, m, f});
    o[4] = array_new(*c->features, 4, (int64_t[]){b, m, k, f});
    o[5] = array_new(i32, 3, (int64_t[]){b, m, k});
    o[6] = array_new(i32, 2, (int64_t[]){b, n});
    o[7] = array_new(i32, 3, (int64_t[]){b, n, 3});
    o[8] = array_new(i64, 1, (int64_t[]){b});
    o[9] = array_new(f64, 2, (int64_t[]){b, 3});
    for (int i = 0; i < NUM_OUTPUTS; ++i) {
        to_device(&o[i], 0);
    }
}

static const DLTensor *side(const array *a, int on_device) {
    return on_device ? &a->device : &a->host;
}

static void call_sparse(const sparse_case *c, const array *in, const array *o, int on_device) {
    rbc_voxelize_sparse_params params = RBC_VOXELIZE_SPARSE_PARAMS_INIT;
    params.preset = c->preset;
    params.reduce = c->reduce;
    params.max_points = c->max_points;
    params.has_origin =
        c->preset != RBC_VOXEL_PRESET_KAOLIN && c->preset != RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE;
    for (int axis = 0; axis < 3; ++axis) {
        params.grid_size[axis] = c->cells;
        params.voxel_size[axis] = c->size;
        params.origin[axis] = -0.45;
        params.upper[axis] = 0.4;
    }
    rbc_voxelize_sparse_outputs outputs = RBC_VOXELIZE_SPARSE_OUTPUTS_INIT;
    outputs.coordinates = side(&o[0], on_device);
    outputs.num_voxels = side(&o[1], on_device);
    outputs.counts = side(&o[2], on_device);
    outputs.features = side(&o[3], on_device);
    if (c->max_points > 0) {
        outputs.voxels = side(&o[4], on_device);
        outputs.point_indices = side(&o[5], on_device);
    }
    outputs.point_to_voxel = side(&o[6], on_device);
    outputs.point_coordinates = side(&o[7], on_device);
    outputs.dropped = side(&o[8], on_device);
    outputs.origins = side(&o[9], on_device);
    const DLTensor *points = side(&in[0], on_device), *features = side(&in[1], on_device);
    uint64_t bytes = 0;
    rbc_error err;
    check(rbc_voxelize_sparse_workspace(context, points, features, &params, &outputs, &bytes, &err),
          &err);
    array workspace = array_new(u8, 1, (int64_t[]){(int64_t)bytes});
    to_device(&workspace, 0);
    check(rbc_voxelize_sparse(context, points, features, side(&in[2], on_device), &params, &outputs,
                              side(&workspace, on_device), NULL, &err),
          &err);
    free(workspace.data);
}

static void run_sparse(const sparse_case *c) {
    array in[] = {
        array_new(*c->points, 3, (int64_t[]){c->batch, c->num_points, 3}),
        array_new(*c->features, 3, (int64_t[]){c->batch, c->num_points, c->channels}),
        array_new(i32, 1, (int64_t[]){c->batch}),
    };
    array o[NUM_OUTPUTS];
    fill(&in[0], 1, 0);
    fill(&in[1], 8, 0);
    for (int64_t i = 20; i < c->batch * c->num_points && c->points == &f32; i += 50) {
        ((float *)in[0].data)[3 * i + i % 3] = i % 4 == 0 ? NAN : INFINITY;
    }
    for (int64_t b = 0; b < c->batch; ++b) {
        ((int32_t *)in[2].data)[b] = (int32_t)(c->num_points > b ? c->num_points - b : 0);
    }
    for (size_t i = 0; i < COUNT(in); ++i) {
        to_device(&in[i], 1);
    }
    make_outputs(c, o);
    call_sparse(c, in, o, 0);
    call_sparse(c, in, o, 1);
    for (int i = 0; i < NUM_OUTPUTS; ++i) {
        if (c->max_points > 0 || (i != 4 && i != 5)) {
            assert_same(&o[i]);
        }
        free(o[i].data);
    }
    for (size_t i = 0; i < COUNT(in); ++i) {
        free(in[i].data);
    }
    gpu_free_all();
}

void sparse_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const DLDataType *const points[] = {&f32, &f64, &f16, &bf16};
    for (int preset = RBC_VOXEL_PRESET_ROBOCACHE; preset <= RBC_VOXEL_PRESET_KAOLIN; ++preset) {
        for (size_t d = 0; d < COUNT(points); ++d) {
            const rbc_voxel_reduce reduce = (rbc_voxel_reduce)(RBC_VOXEL_SUM + (int)d);
            sparse_case c = {points[d], points[(d + (size_t)preset) % COUNT(points)],
                             2,         1500,
                             3,         4,
                             700,       (rbc_voxel_preset)preset,
                             reduce,    12,
                             0.07};
            run_sparse(&c);
            c.max_points = 0;
            c.max_voxels = 2000;
            c.size = 0.4;
            run_sparse(&c);
        }
    }
    /* Hashes instead of cell numbers, keys of more than 32 bits, and all points in one voxel. */
    run_sparse(&(sparse_case){&f32, &f32, 2, 9000, 1, 2, 9000, RBC_VOXEL_PRESET_ROBOCACHE,
                              RBC_VOXEL_MEAN, 0, 1e-6});
    run_sparse(&(sparse_case){&f32, &f32, 1, 2000, 2, 3, 900, RBC_VOXEL_PRESET_MMCV, RBC_VOXEL_MAX,
                              30000, 3e-5});
    run_sparse(&(sparse_case){&f32, &f64, 1, 9000, 2, 200, 3, RBC_VOXEL_PRESET_SPCONV,
                              RBC_VOXEL_SUM, 5, 9});
    /* Sorted by place: keys of three words, several tiles, one voxel, one point. */
    run_sparse(&(sparse_case){&f32, &f32, 1, 9000, 4, 0, 9000, RBC_VOXEL_PRESET_ROBOCACHE,
                              RBC_VOXEL_SUM, 0, 3e-10});
    run_sparse(&(sparse_case){&f32, &f32, 2, 40000, 4, 3, 30000, RBC_VOXEL_PRESET_ROBOCACHE,
                              RBC_VOXEL_MEAN, 64, 0.015});
    run_sparse(&(sparse_case){&f32, &f32, 1, 9000, 3, 0, 9000, RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE,
                              RBC_VOXEL_MEAN, 0, 0.03});
    run_sparse(&(sparse_case){&f32, &f32, 2, 9000, 4, 0, 10, RBC_VOXEL_PRESET_ROBOCACHE,
                              RBC_VOXEL_MAX, 0, 9});
    run_sparse(&(sparse_case){&f32, &f32, 3, 1, 4, 0, 2, RBC_VOXEL_PRESET_ROBOCACHE, RBC_VOXEL_MIN,
                              0, 0.1});
    run_sparse(
        &(sparse_case){&f32, &f32, 2, 0, 2, 2, 3, RBC_VOXEL_PRESET_KAOLIN, RBC_VOXEL_SUM, 5, 9});
}

/* ---- depth images ---- */

typedef struct depth_case {
    const DLDataType *depth;
    int64_t batch, height, width;
    int has_pose;
} depth_case;

static void run_depth(const depth_case *c) {
    const int64_t b = c->batch, h = c->height, w = c->width;
    array in[] = {
        array_new(*c->depth, 3, (int64_t[]){b, h, w}),
        array_new(f64, 2, (int64_t[]){3, 3}),
        array_new(f32, 3, (int64_t[]){b, 4, 4}),
    };
    array o[] = {
        array_new(f32, 4, (int64_t[]){b, h, w, 3}), array_new(f32, 3, (int64_t[]){b, h * w, 3}),
        array_new(i32, 1, (int64_t[]){b}),          array_new(i32, 4, (int64_t[]){b, 9, 7, 11}),
        array_new(i64, 1, (int64_t[]){b}),
    };
    /* Half of the depths of floats are negative, and so invalid. */
    fill(&in[0], 4000, 0);
    fill(&in[1], 100, 60);
    fill(&in[2], 2, 0);
    for (size_t i = 0; i < COUNT(in); ++i) {
        to_device(&in[i], 1);
    }
    for (size_t i = 0; i < COUNT(o); ++i) {
        to_device(&o[i], 0);
    }
    for (int on_device = 0; on_device < 2; ++on_device) {
        const DLTensor *depth = side(&in[0], on_device), *intrinsics = side(&in[1], on_device);
        const DLTensor *pose = c->has_pose ? side(&in[2], on_device) : NULL;
        rbc_depth_params camera = RBC_DEPTH_PARAMS_INIT;
        rbc_error err;
        check(rbc_depth_to_points(context, depth, intrinsics, pose, &camera, side(&o[0], on_device),
                                  NULL, NULL, &err),
              &err);
        check(rbc_depth_to_points(context, depth, intrinsics, pose, &camera, side(&o[1], on_device),
                                  side(&o[2], on_device), NULL, &err),
              &err);
        rbc_voxelize_params params = RBC_VOXELIZE_PARAMS_INIT;
        params.reduce = RBC_VOXEL_COUNT;
        for (int axis = 0; axis < 3; ++axis) {
            params.grid_size[axis] = o[3].shape[1 + axis];
            params.voxel_size[axis] = 1.0;
        }
        uint64_t bytes = 0;
        check(rbc_voxelize_depth_workspace(context, depth, NULL, &params, &bytes, &err), &err);
        array workspace = array_new(u8, 1, (int64_t[]){(int64_t)bytes});
        to_device(&workspace, 0);
        check(rbc_voxelize_depth(context, depth, intrinsics, pose, &camera, NULL, &params,
                                 side(&o[3], on_device), NULL, side(&o[4], on_device),
                                 side(&workspace, on_device), NULL, &err),
              &err);
        free(workspace.data);
    }
    for (size_t i = 0; i < COUNT(o); ++i) {
        assert_same(&o[i]);
        free(o[i].data);
    }
    for (size_t i = 0; i < COUNT(in); ++i) {
        free(in[i].data);
    }
    gpu_free_all();
}

void depth_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const DLDataType *const depths[] = {&u16, &f32, &f64};
    for (size_t d = 0; d < COUNT(depths); ++d) {
        for (int has_pose = 0; has_pose < 2; ++has_pose) {
            run_depth(&(depth_case){depths[d], 3, 61, 83, has_pose});
        }
    }
    /* Four pixels at once, and images of several shares that are nearly full or half empty. */
    run_depth(&(depth_case){&u16, 2, 90, 124, 0});
    run_depth(&(depth_case){&f32, 1, 61, 84, 1});
    run_depth(&(depth_case){&u16, 1, 25, 41, 1});
    run_depth(&(depth_case){&f32, 3, 5, 7, 0});
    run_depth(&(depth_case){&u16, 2, 0, 5, 0});
}
