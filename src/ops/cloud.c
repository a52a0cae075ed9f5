#include "ops/cloud.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/error.h"
#include "core/params.h"

static rbc_status check_float(rbc__dtype dtype, const char *name, rbc_error *err) {
    return rbc__dtype_is_float(dtype)
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "%s is %s; wanted float32, float64, float16 or bfloat16", name,
                           rbc__dtype_name(dtype));
}

static rbc_status read_features(rbc__operands *operands, const DLTensor *features, int32_t ndim,
                                const int64_t *shape, rbc__cloud *cloud, rbc_error *err) {
    if (features == NULL) {
        return RBC_OK;
    }
    RBC__TRY(rbc__operands_input(operands, features, "features", &cloud->feature_dtype, err));
    RBC__TRY(check_float(cloud->feature_dtype, "features", err));
    RBC__TRY(rbc__tensor_check_shape(features, "features", ndim, shape, err));
    cloud->num_features = features->shape[ndim - 1];
    if (cloud->num_features == 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "features has 0 channels; wanted at least 1");
    }
    cloud->features = rbc__tensor_data(features);
    cloud->feature_stride_bytes = rbc__tensor_stride_bytes(features, ndim - 1);
    cloud->features_stride_bytes = rbc__tensor_stride_bytes(features, ndim - 2);
    return RBC_OK;
}

static rbc_status read_lengths(rbc__operands *operands, const DLTensor *lengths, bool has_batch,
                               rbc__cloud *cloud, rbc_error *err) {
    if (lengths == NULL) {
        return RBC_OK;
    }
    if (!has_batch) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "lengths is given but points has no batch axis; wanted points [B, N, 3]");
    }
    rbc__dtype dtype;
    RBC__TRY(rbc__operands_input(operands, lengths, "lengths", &dtype, err));
    if (dtype != RBC__I32 && dtype != RBC__I64) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "lengths is %s; wanted int32 or int64",
                         rbc__dtype_name(dtype));
    }
    RBC__TRY(rbc__tensor_check_shape(lengths, "lengths", 1, &cloud->batch, err));
    cloud->lengths = rbc__tensor_data(lengths);
    cloud->lengths_stride_bytes = rbc__tensor_stride_bytes(lengths, 0);
    cloud->lengths_are_i64 = dtype == RBC__I64;
    for (int64_t b = 0; lengths->device.device_type == kDLCPU && b < cloud->batch; ++b) {
        const void *at = cloud->lengths + b * cloud->lengths_stride_bytes;
        const int64_t length = cloud->lengths_are_i64 ? *(const int64_t *)at : *(const int32_t *)at;
        if (length < 0 || length > cloud->num_points) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "lengths[%" PRId64 "] is %" PRId64 "; wanted 0 to %" PRId64, b, length,
                             cloud->num_points);
        }
    }
    return RBC_OK;
}

static rbc_status check_num_points(int64_t n, const char *name, rbc_error *err) {
    return n <= INT32_MAX
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "%s has %" PRId64 " points in a cloud; wanted at most %" PRId32
                           ", which is what a count can hold",
                           name, n, INT32_MAX);
}

rbc_status rbc__cloud_read(rbc__operands *operands, const DLTensor *points,
                           const DLTensor *features, const DLTensor *lengths, rbc__cloud *cloud,
                           bool *has_batch, rbc_error *err) {
    *cloud = (rbc__cloud){.feature_row = INT64_MAX};
    RBC__TRY(rbc__operands_input(operands, points, "points", &cloud->point_dtype, err));
    RBC__TRY(check_float(cloud->point_dtype, "points", err));
    const int32_t ndim = points->ndim == 3 ? 3 : 2;
    const int64_t *shape = points->shape;
    RBC__TRY(rbc__tensor_check_shape(points, "points", ndim,
                                     ndim == 3 ? (int64_t[]){-1, -1, 3} : (int64_t[]){-1, 3}, err));
    *has_batch = ndim == 3;
    cloud->batch = *has_batch ? shape[0] : 1;
    cloud->num_points = shape[ndim - 2];
    RBC__TRY(check_num_points(cloud->num_points, "points", err));
    cloud->points = rbc__tensor_data(points);
    cloud->points_batch_stride_bytes = *has_batch ? rbc__tensor_stride_bytes(points, 0) : 0;
    cloud->points_stride_bytes = rbc__tensor_stride_bytes(points, ndim - 2);
    cloud->axis_stride_bytes = rbc__tensor_stride_bytes(points, ndim - 1);

    const int64_t wanted[3] = {cloud->batch, cloud->num_points, -1};
    RBC__TRY(read_features(operands, features, ndim, wanted + (*has_batch ? 0 : 1), cloud, err));
    if (features != NULL && *has_batch) {
        cloud->features_batch_stride_bytes = rbc__tensor_stride_bytes(features, 0);
    }
    return read_lengths(operands, lengths, *has_batch, cloud, err);
}

rbc_status rbc__cloud_read_depth(rbc__operands *operands, const rbc__depth_source *depth,
                                 int64_t batch, bool has_batch, const DLTensor *features,
                                 rbc__cloud *cloud, rbc_error *err) {
    *cloud = (rbc__cloud){
        .batch = batch,
        .num_points = depth->height * depth->width,
        .point_dtype = RBC__F32,
        .depth = depth,
        .feature_row = depth->width > 0 ? depth->width : 1,
    };
    RBC__TRY(check_num_points(cloud->num_points, "depth", err));
    const int64_t wanted[4] = {batch, depth->height, depth->width, -1};
    const int32_t ndim = has_batch ? 4 : 3;
    RBC__TRY(read_features(operands, features, ndim, wanted + (has_batch ? 0 : 1), cloud, err));
    if (features != NULL) {
        cloud->features_row_stride_bytes = rbc__tensor_stride_bytes(features, ndim - 3);
        cloud->features_batch_stride_bytes = has_batch ? rbc__tensor_stride_bytes(features, 0) : 0;
        if (depth->height <= 1 ||
            cloud->features_row_stride_bytes == depth->width * cloud->features_stride_bytes) {
            cloud->feature_row = INT64_MAX;
        }
    }
    return RBC_OK;
}

/* A [rows, columns] matrix, or one for each image. */
static rbc_status read_matrix(rbc__operands *operands, const DLTensor *matrix, const char *name,
                              int64_t rows, int64_t columns, int64_t batch, bool has_batch,
                              const char **data, bool *is_f64, int64_t *strides, rbc_error *err) {
    rbc__dtype dtype;
    RBC__TRY(rbc__operands_input(operands, matrix, name, &dtype, err));
    if (dtype != RBC__F32 && dtype != RBC__F64) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is %s; wanted float32 or float64",
                         name, rbc__dtype_name(dtype));
    }
    const bool is_each = has_batch && matrix->ndim == 3;
    const int64_t wanted[3] = {batch, rows, columns};
    RBC__TRY(
        rbc__tensor_check_shape(matrix, name, is_each ? 3 : 2, wanted + (is_each ? 0 : 1), err));
    *data = rbc__tensor_data(matrix);
    *is_f64 = dtype == RBC__F64;
    strides[0] = is_each ? rbc__tensor_stride_bytes(matrix, 0) : 0;
    strides[1] = rbc__tensor_stride_bytes(matrix, matrix->ndim - 2);
    strides[2] = rbc__tensor_stride_bytes(matrix, matrix->ndim - 1);
    return RBC_OK;
}

rbc_status rbc__depth_read_params(const rbc_depth_params *params, rbc__depth_source *source,
                                  rbc_error *err) {
    rbc_depth_params p = RBC_DEPTH_PARAMS_INIT;
    RBC__TRY(rbc__params_read(params, &p, sizeof p, "depth params", err));
    RBC__TRY(rbc__cloud_check_numbers("depth_scale", &p.depth_scale, 1, false, true, err));
    RBC__TRY(rbc__cloud_check_numbers("pixel_offset", &p.pixel_offset, 1, false, false, err));
    RBC__TRY(rbc__cloud_check_numbers("min_depth", &p.min_depth, 1, false, false, err));
    if (p.min_depth < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "min_depth is %g; wanted 0 or more",
                         p.min_depth);
    }
    if (!(p.max_depth > p.min_depth)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "max_depth is %g; wanted more than min_depth, which is %g", p.max_depth,
                         p.min_depth);
    }
    source->depth_scale = p.depth_scale;
    source->min_depth = p.min_depth;
    source->max_depth = fmin(p.max_depth, (double)FLT_MAX);
    source->pixel_offset = p.pixel_offset;
    return RBC_OK;
}

rbc_status rbc__depth_read(rbc__operands *operands, const DLTensor *depth,
                           const DLTensor *intrinsics, const DLTensor *pose,
                           const rbc_depth_params *params, rbc__depth_source *source,
                           int64_t *batch, bool *has_batch, rbc_error *err) {
    *source = (rbc__depth_source){0};
    RBC__TRY(rbc__operands_input(operands, depth, "depth", &source->dtype, err));
    if (source->dtype != RBC__U16 && source->dtype != RBC__F32 && source->dtype != RBC__F64) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "depth is %s; wanted uint16, float32 or float64",
                         rbc__dtype_name(source->dtype));
    }
    const int32_t ndim = depth->ndim == 3 ? 3 : 2;
    RBC__TRY(rbc__tensor_check_shape(depth, "depth", ndim, (const int64_t[]){-1, -1, -1}, err));
    *has_batch = ndim == 3;
    *batch = *has_batch ? depth->shape[0] : 1;
    source->height = depth->shape[ndim - 2];
    source->width = depth->shape[ndim - 1];
    source->depth = rbc__tensor_data(depth);
    source->batch_stride_bytes = *has_batch ? rbc__tensor_stride_bytes(depth, 0) : 0;
    source->row_stride_bytes = rbc__tensor_stride_bytes(depth, ndim - 2);
    source->column_stride_bytes = rbc__tensor_stride_bytes(depth, ndim - 1);
    if (params == NULL && intrinsics == NULL) {
        return RBC_OK;
    }
    RBC__TRY(rbc__depth_read_params(params, source, err));
    RBC__TRY(read_matrix(operands, intrinsics, "intrinsics", 3, 3, *batch, *has_batch,
                         &source->intrinsics, &source->intrinsics_are_f64,
                         source->intrinsics_stride_bytes, err));
    if (pose != NULL) {
        const int32_t axes = pose->ndim;
        const int64_t rows =
            axes >= 2 && axes <= 3 && pose->shape != NULL && pose->shape[axes - 2] == 3 ? 3 : 4;
        RBC__TRY(read_matrix(operands, pose, "pose", rows, 4, *batch, *has_batch, &source->pose,
                             &source->pose_is_f64, source->pose_stride_bytes, err));
    }
    return RBC_OK;
}

rbc_status rbc__cloud_check_numbers(const char *name, const double *values, int32_t count,
                                    bool is_f64, bool must_be_positive, rbc_error *err) {
    for (int32_t i = 0; i < count; ++i) {
        const double value = is_f64 ? values[i] : (double)(float)values[i];
        if (!isfinite(value) || (must_be_positive && value <= 0)) {
            char index[16] = "";
            if (count > 1) {
                snprintf(index, sizeof index, "[%d]", i);
            }
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s%s is %g, in %s %g; wanted a finite%s number", name, index,
                             values[i], is_f64 ? "float64" : "float32", value,
                             must_be_positive ? ", positive" : "");
        }
    }
    return RBC_OK;
}
