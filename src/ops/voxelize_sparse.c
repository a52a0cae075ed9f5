#include <inttypes.h>

#include "core/error.h"
#include "core/params.h"
#include "ops/cloud.h"

/* What a preset takes. */
typedef struct preset_traits {
    const char *name;
    bool uses_grid, may_be_unbounded, uses_voxel_size, needs_origin, origin_from_cloud;
} preset_traits;

static const preset_traits presets[] = {
    [RBC_VOXEL_PRESET_ROBOCACHE] = {"robocache", true, true, true, false, false},
    [RBC_VOXEL_PRESET_MMCV] = {"mmcv", true, false, true, true, false},
    [RBC_VOXEL_PRESET_SPCONV] = {"spconv", true, false, true, true, false},
    [RBC_VOXEL_PRESET_OPEN3D_VOXELIZE] = {"open3d_voxelize", false, true, true, true, false},
    [RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE] = {"open3d_down_sample", false, true, true, false, true},
    [RBC_VOXEL_PRESET_KAOLIN] = {"kaolin", true, false, false, false, true},
};

static rbc_status read_grid(const rbc_voxelize_sparse_params *params, const preset_traits *traits,
                            rbc__voxelize_sparse_job *job, bool *is_bounded, rbc_error *err) {
    const int64_t *grid = params->grid_size;
    *is_bounded = traits->uses_grid &&
                  !(traits->may_be_unbounded && grid[0] == 0 && grid[1] == 0 && grid[2] == 0);
    for (int axis = 0; *is_bounded && axis < 3; ++axis) {
        if (grid[axis] < 1 || grid[axis] > INT32_MAX) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "grid_size[%d] is %" PRId64 "; preset %s wants 1 to %" PRId32, axis,
                             grid[axis], traits->name, INT32_MAX);
        }
        job->grid[axis] = grid[axis];
    }
    return RBC_OK;
}

static rbc_status read_origin(const rbc_voxelize_sparse_params *params, const preset_traits *traits,
                              bool is_bounded, bool is_f64, rbc__voxelize_sparse_job *job,
                              rbc_error *err) {
    job->origin_from_cloud = traits->origin_from_cloud && !params->has_origin;
    if (!params->has_origin && !traits->origin_from_cloud &&
        (traits->needs_origin || !is_bounded)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "origin is not given (has_origin is 0); preset %s wants one%s",
                         traits->name, traits->needs_origin ? "" : " where the grid has no bounds");
    }
    for (int axis = 0; axis < 3; ++axis) {
        job->origin[axis] = params->has_origin
                                ? params->origin[axis]
                                : -(double)job->grid[axis] * params->voxel_size[axis] / 2;
    }
    return job->origin_from_cloud
               ? RBC_OK
               : rbc__cloud_check_numbers("origin", job->origin, 3, is_f64, false, err);
}

static rbc_status read_params(const rbc_voxelize_sparse_params *given,
                              rbc__voxelize_sparse_job *job, rbc_error *err) {
    rbc_voxelize_sparse_params params = RBC_VOXELIZE_SPARSE_PARAMS_INIT;
    RBC__TRY(rbc__params_read(given, &params, sizeof params, "params", err));
    if ((int)params.preset < 0 || params.preset > RBC_VOXEL_PRESET_KAOLIN) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "preset is %d; wanted 0 to %d",
                         (int)params.preset, (int)RBC_VOXEL_PRESET_KAOLIN);
    }
    if (params.reduce < RBC_VOXEL_COUNT || params.reduce > RBC_VOXEL_MIN) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "reduce is %d; wanted count (1), sum, mean, max or min (5)",
                         (int)params.reduce);
    }
    if (params.max_points < 0 || params.max_points > INT32_MAX) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "max_points is %" PRId64 "; wanted 1 to %" PRId32 ", or 0 for no limit",
                         params.max_points, INT32_MAX);
    }
    const preset_traits *traits = &presets[params.preset];
    const bool is_f64 =
        job->cloud.point_dtype == RBC__F64 || params.preset == RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE;
    const bool is_narrow = !is_f64 || params.preset == RBC_VOXEL_PRESET_MMCV ||
                           params.preset == RBC_VOXEL_PRESET_SPCONV;
    job->preset = params.preset;
    job->reduce = params.reduce;
    job->max_points = params.max_points == 0 ? INT64_MAX : params.max_points;
    if (traits->uses_voxel_size) {
        RBC__TRY(
            rbc__cloud_check_numbers("voxel_size", params.voxel_size, 3, !is_narrow, true, err));
    }
    bool is_bounded;
    RBC__TRY(read_grid(&params, traits, job, &is_bounded, err));
    RBC__TRY(read_origin(&params, traits, is_bounded, !is_narrow, job, err));
    if (params.preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE) {
        RBC__TRY(rbc__cloud_check_numbers("upper", params.upper, 3, is_f64, false, err));
    }
    if (params.preset == RBC_VOXEL_PRESET_KAOLIN && params.scale != 0) {
        RBC__TRY(rbc__cloud_check_numbers("scale", &params.scale, 1, is_f64, true, err));
    }
    for (int axis = 0; axis < 3; ++axis) {
        job->voxel_size[axis] = traits->uses_voxel_size ? params.voxel_size[axis] : 1.0;
        job->upper[axis] = params.upper[axis];
    }
    job->scale = params.scale;
    return RBC_OK;
}

/* Takes an output in, if it is wanted; `shape` begins with the batch, which may not be there. */
static rbc_status output(rbc__operands *operands, const DLTensor *tensor, const char *name,
                         rbc__dtype dtype, bool has_batch, int32_t ndim, const int64_t *shape,
                         void **data, rbc_error *err) {
    *data = NULL;
    if (tensor == NULL) {
        return RBC_OK;
    }
    const int skip = has_batch ? 0 : 1;
    RBC__TRY(rbc__operands_output(operands, tensor, name, dtype, ndim - skip, shape + skip, err));
    *data = rbc__tensor_data(tensor);
    return RBC_OK;
}

static rbc_status check_wishes(const rbc_voxelize_sparse_outputs *outputs,
                               const rbc__voxelize_sparse_job *job, rbc_error *err) {
    const bool has_features = job->cloud.num_features > 0;
    if (!has_features && (outputs->features != NULL || outputs->voxels != NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "features is NULL; outputs.%s needs them",
                         outputs->features != NULL ? "features" : "voxels");
    }
    if (outputs->features != NULL && job->reduce == RBC_VOXEL_COUNT) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "reduce is count; outputs.features wants sum, mean, max or min");
    }
    if (job->max_points == INT64_MAX &&
        (outputs->voxels != NULL || outputs->point_indices != NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "max_points is 0; outputs.%s wants a limit",
                         outputs->voxels != NULL ? "voxels" : "point_indices");
    }
    return RBC_OK;
}

static rbc_status read_outputs(rbc__operands *operands, const rbc_voxelize_sparse_outputs *given,
                               bool has_batch, rbc__voxelize_sparse_job *job, rbc_error *err) {
    rbc_voxelize_sparse_outputs o = RBC_VOXELIZE_SPARSE_OUTPUTS_INIT;
    RBC__TRY(rbc__params_read(given, &o, sizeof o, "outputs", err));
    RBC__TRY(check_wishes(&o, job, err));
    const rbc__cloud *cloud = &job->cloud;
    const int64_t b = cloud->batch, n = cloud->num_points, f = cloud->num_features;
    rbc__dtype ignored;
    RBC__TRY(rbc__tensor_check(o.coordinates, "coordinates", &ignored, err));
    const int32_t ndim = has_batch ? 3 : 2;
    RBC__TRY(rbc__tensor_check_shape(o.coordinates, "coordinates", ndim,
                                     has_batch ? (int64_t[]){b, -1, 3} : (int64_t[]){-1, 3}, err));
    const int64_t m = o.coordinates->shape[ndim - 2], k = job->max_points;
    if (m > INT32_MAX) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "coordinates has room for %" PRId64 " voxels; wanted at most %" PRId32, m,
                         INT32_MAX);
    }
    job->max_voxels = m;
    const rbc__dtype dtype = cloud->feature_dtype;
    const int64_t rows[4] = {b, m, 3, 0}, per_voxel[3] = {b, m, f}, listed[4] = {b, m, k, f};
    const int64_t per_point[3] = {b, n, 3}, origins[2] = {b, 3};
    void *data[10];
    const bool bt = has_batch;
    RBC__TRY(output(operands, o.coordinates, "coordinates", RBC__I32, bt, 3, rows, &data[0], err));
    RBC__TRY(output(operands, o.num_voxels, "num_voxels", RBC__I32, true, 1, rows, &data[1], err));
    RBC__TRY(output(operands, o.counts, "counts", RBC__I32, bt, 2, rows, &data[2], err));
    RBC__TRY(
        output(operands, o.features, "outputs.features", dtype, bt, 3, per_voxel, &data[3], err));
    RBC__TRY(output(operands, o.voxels, "voxels", dtype, bt, 4, listed, &data[4], err));
    RBC__TRY(
        output(operands, o.point_indices, "point_indices", RBC__I32, bt, 3, listed, &data[5], err));
    RBC__TRY(output(operands, o.point_to_voxel, "point_to_voxel", RBC__I32, bt, 2, per_point,
                    &data[6], err));
    RBC__TRY(output(operands, o.point_coordinates, "point_coordinates", RBC__I32, bt, 3, per_point,
                    &data[7], err));
    RBC__TRY(output(operands, o.dropped, "dropped", RBC__I64, true, 1, rows, &data[8], err));
    RBC__TRY(output(operands, o.origins, "origins", RBC__F64, bt, 2, origins, &data[9], err));
    job->coordinates = data[0];
    job->num_voxels = data[1];
    job->counts = data[2];
    job->features = data[3];
    job->voxels = data[4];
    job->point_indices = data[5];
    job->point_to_voxel = data[6];
    job->point_coordinates = data[7];
    job->dropped = data[8];
    job->origins = data[9];
    return RBC_OK;
}

/* Everything but the workspace. */
static rbc_status read_job(rbc_context *context, rbc__operands *operands, const DLTensor *points,
                           const DLTensor *features, const DLTensor *lengths,
                           const rbc_voxelize_sparse_params *params,
                           const rbc_voxelize_sparse_outputs *outputs,
                           rbc__voxelize_sparse_job *job, const rbc__backend **backend,
                           uint64_t *bytes, rbc_error *err) {
    bool has_batch;
    if (context == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "context is NULL");
    }
    RBC__TRY(rbc__cloud_read(operands, points, features, lengths, &job->cloud, &has_batch, err));
    RBC__TRY(read_params(params, job, err));
    RBC__TRY(read_outputs(operands, outputs, has_batch, job, err));
    RBC__TRY(rbc__backend_for(points->device, backend, err));
    *bytes = (*backend)->voxelize_sparse_workspace_bytes(context, job);
    return RBC_OK;
}

rbc_status rbc_voxelize_sparse(rbc_context *context, const DLTensor *points,
                               const DLTensor *features, const DLTensor *lengths,
                               const rbc_voxelize_sparse_params *params,
                               const rbc_voxelize_sparse_outputs *outputs,
                               const DLTensor *workspace, void *stream, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__voxelize_sparse_job job = {0};
    const rbc__backend *backend;
    uint64_t bytes = 0;
    RBC__TRY(read_job(context, &operands, points, features, lengths, params, outputs, &job,
                      &backend, &bytes, err));
    RBC__TRY(rbc__operands_workspace(&operands, workspace, bytes, err));
    job.workspace = workspace != NULL ? rbc__tensor_data(workspace) : NULL;
    job.workspace_bytes = bytes;
    DLDevice device;
    RBC__TRY(rbc__operands_finish(&operands, &device, err));
    return backend->voxelize_sparse(context, &job, device.device_id, stream, err);
}

rbc_status rbc_voxelize_sparse_workspace(rbc_context *context, const DLTensor *points,
                                         const DLTensor *features,
                                         const rbc_voxelize_sparse_params *params,
                                         const rbc_voxelize_sparse_outputs *outputs,
                                         uint64_t *bytes, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__voxelize_sparse_job job = {0};
    const rbc__backend *backend;
    return read_job(context, &operands, points, features, NULL, params, outputs, &job, &backend,
                    bytes, err);
}
