#include "ops/voxelize.h"

#include <inttypes.h>

#include "core/error.h"
#include "core/params.h"
#include "ops/cloud.h"

/* Output rows have at most this many bytes for a channel, scratch included; what is more cannot be
 * allocated anyway. */
#define MAX_CHANNEL_BYTES INT64_C(64)

static rbc_status read_grid(const rbc_voxelize_params *params, rbc__voxelize_job *job,
                            rbc_error *err) {
    const bool is_f64 = job->cloud.point_dtype == RBC__F64;
    RBC__TRY(rbc__cloud_check_numbers("voxel_size", params->voxel_size, 3, is_f64, true, err));
    int64_t cells = 1, bytes;
    for (int axis = 0; axis < 3; ++axis) {
        const int64_t size = params->grid_size[axis];
        if (size < 1 || size > INT32_MAX) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "grid_size[%d] is %" PRId64 "; wanted 1 to %" PRId32, axis, size,
                             INT32_MAX);
        }
        if (!rbc__mul_size(cells, size, &cells)) {
            cells = INT64_MAX;
        }
        job->grid[axis] = size;
        job->voxel_size[axis] = params->voxel_size[axis];
        job->origin[axis] = params->has_origin ? params->origin[axis]
                                               : -(double)size * params->voxel_size[axis] / 2;
    }
    const int64_t channels = job->cloud.num_features > 0 ? job->cloud.num_features : 1;
    if (!rbc__mul_size(cells, channels, &bytes) ||
        !rbc__mul_size(bytes, MAX_CHANNEL_BYTES, &bytes) ||
        !rbc__mul_size(bytes, job->cloud.batch, &bytes)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "grid_size is [%" PRId64 ", %" PRId64 ", %" PRId64 "], batch %" PRId64
                         ", %" PRId64 " channels: more than 2^63 - 1 bytes",
                         job->grid[0], job->grid[1], job->grid[2], job->cloud.batch, channels);
    }
    return rbc__cloud_check_numbers("origin", job->origin, 3, is_f64, false, err);
}

static rbc_status read_reduce(const rbc_voxelize_params *params, rbc__voxelize_job *job,
                              rbc_error *err) {
    const bool has_features = job->cloud.num_features > 0;
    if ((int)params->reduce < RBC_VOXEL_OCCUPANCY || params->reduce > RBC_VOXEL_MIN) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "reduce is %d; wanted occupancy (0), count, sum, mean, max or min (5)",
                         (int)params->reduce);
    }
    const bool wants_features = params->reduce >= RBC_VOXEL_SUM;
    if (wants_features != has_features) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "features is %s; reduce %s",
                         has_features ? "given" : "NULL",
                         wants_features ? "sum, mean, max and min need them"
                                        : "occupancy and count take none");
    }
    job->reduce = params->reduce;
    return RBC_OK;
}

rbc_status rbc__voxelize_read(const rbc_voxelize_params *given, rbc__voxelize_job *job,
                              rbc_error *err) {
    rbc_voxelize_params params = RBC_VOXELIZE_PARAMS_INIT;
    RBC__TRY(rbc__params_read(given, &params, sizeof params, "params", err));
    RBC__TRY(read_reduce(&params, job, err));
    return read_grid(&params, job, err);
}

static rbc_status read_outputs(rbc__operands *operands, const DLTensor *out, const DLTensor *counts,
                               const DLTensor *dropped, bool has_batch, rbc__voxelize_job *job,
                               rbc_error *err) {
    const rbc__cloud *cloud = &job->cloud;
    const int64_t shape[5] = {cloud->batch, job->grid[0], job->grid[1], job->grid[2],
                              cloud->num_features};
    const int64_t *grid = shape + (has_batch ? 0 : 1);
    const int32_t ndim = has_batch ? 4 : 3;
    const bool has_features = cloud->num_features > 0;
    const rbc__dtype dtype = has_features                         ? cloud->feature_dtype
                             : job->reduce == RBC_VOXEL_OCCUPANCY ? RBC__U8
                                                                  : RBC__I32;
    RBC__TRY(rbc__operands_output(operands, out, "out", dtype, ndim + has_features, grid, err));
    job->out = rbc__tensor_data(out);
    if (counts != NULL) {
        RBC__TRY(rbc__operands_output(operands, counts, "counts", RBC__I32, ndim, grid, err));
        job->counts = rbc__tensor_data(counts);
    }
    if (dropped != NULL) {
        RBC__TRY(rbc__operands_output(operands, dropped, "dropped", RBC__I64, 1, shape, err));
        job->dropped = rbc__tensor_data(dropped);
    }
    return RBC_OK;
}

/* What follows once the points are known, for both functions that make a dense grid. */
static rbc_status voxelize(rbc_context *context, rbc__operands *operands, bool has_batch,
                           const rbc_voxelize_params *given, rbc__voxelize_job *job,
                           const DLTensor *out, const DLTensor *counts, const DLTensor *dropped,
                           const DLTensor *workspace, void *stream, rbc_error *err) {
    RBC__TRY(rbc__voxelize_read(given, job, err));
    RBC__TRY(read_outputs(operands, out, counts, dropped, has_batch, job, err));
    const rbc__backend *backend;
    RBC__TRY(rbc__backend_for(out->device, &backend, err));
    const uint64_t bytes = backend->voxelize_workspace_bytes(context, job);
    RBC__TRY(rbc__operands_workspace(operands, workspace, bytes, err));
    job->workspace = workspace != NULL ? rbc__tensor_data(workspace) : NULL;
    job->workspace_bytes = bytes;
    DLDevice device;
    RBC__TRY(rbc__operands_finish(operands, &device, err));
    return backend->voxelize(context, job, device.device_id, stream, err);
}

static rbc_status workspace_bytes(rbc_context *context, const DLTensor *points,
                                  const rbc_voxelize_params *given, rbc__voxelize_job *job,
                                  uint64_t *bytes, rbc_error *err) {
    RBC__TRY(rbc__voxelize_read(given, job, err));
    const rbc__backend *backend;
    RBC__TRY(rbc__backend_for(points->device, &backend, err));
    *bytes = backend->voxelize_workspace_bytes(context, job);
    return RBC_OK;
}

static rbc_status check_context(const rbc_context *context, rbc_error *err) {
    return context != NULL ? RBC_OK : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "context is NULL");
}

rbc_status rbc_voxelize(rbc_context *context, const DLTensor *points, const DLTensor *features,
                        const DLTensor *lengths, const rbc_voxelize_params *params,
                        const DLTensor *out, const DLTensor *counts, const DLTensor *dropped,
                        const DLTensor *workspace, void *stream, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__voxelize_job job = {0};
    bool has_batch;
    RBC__TRY(check_context(context, err));
    RBC__TRY(rbc__cloud_read(&operands, points, features, lengths, &job.cloud, &has_batch, err));
    return voxelize(context, &operands, has_batch, params, &job, out, counts, dropped, workspace,
                    stream, err);
}

rbc_status rbc_voxelize_workspace(rbc_context *context, const DLTensor *points,
                                  const DLTensor *features, const rbc_voxelize_params *params,
                                  uint64_t *bytes, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__voxelize_job job = {0};
    bool has_batch;
    RBC__TRY(check_context(context, err));
    RBC__TRY(rbc__cloud_read(&operands, points, features, NULL, &job.cloud, &has_batch, err));
    return workspace_bytes(context, points, params, &job, bytes, err);
}

rbc_status rbc_voxelize_depth(rbc_context *context, const DLTensor *depth,
                              const DLTensor *intrinsics, const DLTensor *pose,
                              const rbc_depth_params *depth_params, const DLTensor *features,
                              const rbc_voxelize_params *params, const DLTensor *out,
                              const DLTensor *counts, const DLTensor *dropped,
                              const DLTensor *workspace, void *stream, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__voxelize_job job = {0};
    rbc__depth_source source;
    int64_t batch;
    bool has_batch;
    RBC__TRY(check_context(context, err));
    if (intrinsics == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "intrinsics is NULL; wanted a tensor");
    }
    RBC__TRY(rbc__depth_read(&operands, depth, intrinsics, pose, depth_params, &source, &batch,
                             &has_batch, err));
    RBC__TRY(
        rbc__cloud_read_depth(&operands, &source, batch, has_batch, features, &job.cloud, err));
    return voxelize(context, &operands, has_batch, params, &job, out, counts, dropped, workspace,
                    stream, err);
}

rbc_status rbc_voxelize_depth_workspace(rbc_context *context, const DLTensor *depth,
                                        const DLTensor *features, const rbc_voxelize_params *params,
                                        uint64_t *bytes, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__voxelize_job job = {0};
    rbc__depth_source source;
    int64_t batch;
    bool has_batch;
    RBC__TRY(check_context(context, err));
    RBC__TRY(rbc__depth_read(&operands, depth, NULL, NULL, NULL, &source, &batch, &has_batch, err));
    RBC__TRY(
        rbc__cloud_read_depth(&operands, &source, batch, has_batch, features, &job.cloud, err));
    return workspace_bytes(context, depth, params, &job, bytes, err);
}
