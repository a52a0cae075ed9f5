#include "loader/voxels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/params.h"
#include "ops/cloud.h"
#include "ops/voxelize.h"

static rbc_status wrong(const rbc__used_stream *used, const char *found, const char *wanted,
                        rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream '%s': voxelize: found %s; wanted %s",
                     used->schema->name, found, wanted);
}

/* What does not go with grids. */
static rbc_status check_window(const rbc_window *window, const rbc__used_stream *used,
                               rbc_error *err) {
    if (window->image != NULL) {
        return wrong(used, "image too", "one of them", err);
    }
    if (window->max_points != 0) {
        return wrong(used, "max_points too", "none: a grid takes any number of points", err);
    }
    if (window->outside != RBC_OUTSIDE_HOLD && window->outside != RBC_OUTSIDE_ZERO) {
        return wrong(used, "another outside", "hold or zero", err);
    }
    if ((window->mode != RBC_RESAMPLE_HOLD && window->mode != RBC_RESAMPLE_NEAREST) ||
        window->num_groups > 0) {
        return wrong(used, window->num_groups > 0 ? "modes of channels" : "a mode of numbers",
                     "hold or nearest", err);
    }
    return RBC_OK;
}

/* The points of a sample: all axes but the last. */
static rbc_status count_points(const rbc__used_stream *used, int32_t num_axes, int64_t *count,
                               rbc_error *err) {
    *count = 1;
    for (int32_t i = 0; i < num_axes; ++i) {
        if (!rbc__mul_size(*count, used->schema->shape[i], count) || *count > INT32_MAX) {
            return wrong(used, "samples of more than 2^31 - 1 points", "fewer", err);
        }
    }
    return RBC_OK;
}

/* ---- clouds -------------------------------------------------------------------------------------
 */

static rbc_status set_cloud(const rbc_voxelize_params *grid, const rbc__used_stream *used,
                            rbc__voxel_spec *out, rbc_error *err) {
    const rbc__stream_schema *schema = used->schema;
    const int32_t last = schema->ndim - 1;
    const bool has_points = used->is_cloud ? schema->ndim == 1 : schema->ndim >= 2;
    rbc__cloud *cloud = &out->job.cloud;
    char found[160];
    char shape[128];
    if (schema->kind != RBC_STREAM_NUMERIC || !has_points || schema->shape[last] < 3 ||
        !rbc__dtype_is_float(schema->dtype)) {
        (void)snprintf(found, sizeof found, "%s of %s%s",
                       schema->kind == RBC_STREAM_TEXT    ? "texts"
                       : schema->kind == RBC_STREAM_IMAGE ? "images"
                       : used->is_cloud                   ? "rows"
                                                          : "samples",
                       schema->kind == RBC_STREAM_TEXT ? "" : rbc__dtype_name(schema->dtype),
                       rbc__format_shape(shape, sizeof shape, schema->ndim, schema->shape));
        return wrong(used, found,
                     used->is_cloud ? "rows [D] of floats, D at least 3"
                                    : "clouds [N, D] of floats, D at least 3; depth images have "
                                      "intrinsics",
                     err);
    }
    const int64_t bytes = rbc__dtype_bytes(schema->dtype);
    const int64_t num_features = schema->shape[last] - 3;
    out->point_bytes = schema->shape[last] * bytes;
    out->num_points = -1;
    if (!used->is_cloud) {
        RBC__TRY(count_points(used, last, &out->num_points, err));
    }
    *cloud = (rbc__cloud){.batch = 1,
                          .point_dtype = schema->dtype,
                          .points_stride_bytes = out->point_bytes,
                          .axis_stride_bytes = bytes,
                          .feature_row = INT64_MAX};
    if (grid->reduce >= RBC_VOXEL_SUM) {
        if (num_features == 0) {
            return wrong(used, "points of 3 numbers",
                         "4 or more, of which sum, mean, max and min have features", err);
        }
        cloud->feature_dtype = schema->dtype;
        cloud->num_features = num_features;
        cloud->features_stride_bytes = out->point_bytes;
        cloud->feature_stride_bytes = bytes;
    }
    return RBC_OK;
}

/* ---- depth images -------------------------------------------------------------------------------
 */

static rbc_status check_camera(const rbc_voxels *asked, const rbc__used_stream *used,
                               rbc_error *err) {
    char found[64];
    if (asked->intrinsics == NULL) {
        return wrong(used, "depth images without intrinsics", "a matrix", err);
    }
    for (int32_t i = 0; i < 9; ++i) {
        const float value = (float)asked->intrinsics[i];
        if (!isfinite(value) || ((i == 0 || i == 4) && value == 0.0F)) {
            (void)snprintf(found, sizeof found, "intrinsics[%d][%d] of %g", i / 3, i % 3,
                           asked->intrinsics[i]);
            return wrong(used, found, "a finite number, of focal lengths not 0", err);
        }
    }
    for (int32_t i = 0; asked->pose != NULL && i < 12; ++i) {
        if (!isfinite((float)asked->pose[i])) {
            (void)snprintf(found, sizeof found, "pose[%d][%d] of %g", i / 4, i % 4, asked->pose[i]);
            return wrong(used, found, "a finite number", err);
        }
    }
    return RBC_OK;
}

static rbc_status set_depth(const rbc_voxels *asked, const rbc_voxelize_params *grid,
                            const rbc__used_stream *used, rbc__window_spec *window,
                            rbc__voxel_spec *out, rbc_error *err) {
    const rbc__stream_schema *schema = used->schema;
    const bool has_dtype =
        schema->dtype == RBC__U16 || schema->dtype == RBC__F32 || schema->dtype == RBC__F64;
    const bool has_shape =
        schema->ndim == 2 || (schema->ndim == 3 && (schema->shape[2] == 1 || schema->shape[2] < 0));
    if (schema->kind == RBC_STREAM_TEXT || used->is_cloud || !has_dtype || !has_shape) {
        char found[160];
        char shape[128];
        (void)snprintf(found, sizeof found, "%s%s",
                       schema->kind == RBC_STREAM_TEXT ? "text" : rbc__dtype_name(schema->dtype),
                       used->is_cloud
                           ? " rows of any number"
                           : rbc__format_shape(shape, sizeof shape, schema->ndim, schema->shape));
        return wrong(used, found, "depth images, [H, W] or [H, W, 1] of uint16, float32 or float64",
                     err);
    }
    if (grid->reduce >= RBC_VOXEL_SUM) {
        return wrong(used, "mode sum, mean, max or min, for which depth has no features",
                     "occupancy or count", err);
    }
    RBC__TRY(check_camera(asked, used, err));
    out->is_depth = true;
    out->point_bytes = rbc__dtype_bytes(schema->dtype);
    out->num_points = -1;
    memcpy(out->intrinsics, asked->intrinsics, sizeof out->intrinsics);
    if (asked->pose != NULL) {
        memcpy(out->pose, asked->pose, sizeof out->pose);
    }
    const rbc_status status = rbc__depth_read_params(asked->depth, &out->depth, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "stream '%s': voxelize", schema->name);
    }
    out->depth.dtype = schema->dtype;
    out->depth.column_stride_bytes = out->point_bytes;
    out->depth.intrinsics = (const char *)out->intrinsics;
    out->depth.intrinsics_are_f64 = true;
    out->depth.intrinsics_stride_bytes[1] = 3 * sizeof(double);
    out->depth.intrinsics_stride_bytes[2] = sizeof(double);
    out->depth.pose = asked->pose != NULL ? (const char *)out->pose : NULL;
    out->depth.pose_is_f64 = true;
    out->depth.pose_stride_bytes[1] = 4 * sizeof(double);
    out->depth.pose_stride_bytes[2] = sizeof(double);
    out->job.cloud = (rbc__cloud){
        .batch = 1, .point_dtype = RBC__F32, .depth = &out->depth, .feature_row = INT64_MAX};
    if (schema->kind == RBC_STREAM_NUMERIC) {
        window->image = (rbc__image_shape){
            .height = schema->shape[0], .width = schema->shape[1], .channels = 1, .bits = 16};
    }
    return RBC_OK;
}

/* ---- */

rbc_status rbc__voxels_set(const rbc_window *window, const rbc__used_stream *used,
                           rbc__window_spec *out, rbc_error *err) {
    rbc_voxels asked = RBC_VOXELS_INIT;
    rbc_voxelize_params grid = RBC_VOXELIZE_PARAMS_INIT;
    if (window->voxels == NULL) {
        return RBC_OK;
    }
    RBC__TRY(rbc__params_read(window->voxels, &asked, sizeof asked, "voxels", err));
    RBC__TRY(rbc__params_read(asked.grid, &grid, sizeof grid, "voxels: grid", err));
    RBC__TRY(check_window(window, used, err));
    rbc__voxel_spec *voxels = calloc(1, sizeof *voxels);
    if (voxels == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the windows of a batch");
    }
    out->voxels = voxels;
    if (asked.depth == NULL) {
        RBC__TRY(set_cloud(&grid, used, voxels, err));
    } else {
        RBC__TRY(set_depth(&asked, &grid, used, out, voxels, err));
    }
    const rbc_status status = rbc__voxelize_read(&grid, &voxels->job, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "stream '%s': voxelize", used->schema->name);
    }
    voxels->dtype = grid.reduce == RBC_VOXEL_OCCUPANCY ? RBC__U8
                    : grid.reduce == RBC_VOXEL_COUNT   ? RBC__I32
                                                       : used->schema->dtype;
    out->dtype = voxels->dtype;
    return RBC_OK;
}

rbc_status rbc__voxels_extents(rbc__window_spec *window, const rbc__used_stream *used,
                               int64_t *shape, int32_t *ndim, rbc_error *err) {
    rbc__voxel_spec *voxels = window->voxels;
    if (voxels->is_depth) {
        const rbc__image_shape *image = &window->image;
        if (image->channels != 1 || (used->schema->kind == RBC_STREAM_IMAGE && image->bits != 16)) {
            char found[96];
            (void)snprintf(found, sizeof found, "images of %d bits and %lld channels", image->bits,
                           (long long)image->channels);
            return wrong(used, found, "depth images of 16 bits and one channel", err);
        }
        if (!rbc__mul_size(image->height, image->width, &voxels->num_points) ||
            voxels->num_points > INT32_MAX) {
            return wrong(used, "images of more than 2^31 - 1 pixels", "fewer", err);
        }
        voxels->depth.height = image->height;
        voxels->depth.width = image->width;
        voxels->depth.row_stride_bytes = image->width * voxels->point_bytes;
    }
    for (int32_t axis = 0; axis < 3; ++axis) {
        shape[(*ndim)++] = voxels->job.grid[axis];
    }
    if (voxels->job.cloud.num_features > 0) {
        shape[(*ndim)++] = voxels->job.cloud.num_features;
    }
    return RBC_OK;
}
