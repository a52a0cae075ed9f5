#include <inttypes.h>

#include "core/error.h"
#include "ops/cloud.h"

rbc_status rbc_depth_to_points(rbc_context *context, const DLTensor *depth,
                               const DLTensor *intrinsics, const DLTensor *pose,
                               const rbc_depth_params *params, const DLTensor *points,
                               const DLTensor *lengths, void *stream, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__depth_job job = {0};
    bool has_batch;
    if (context == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "context is NULL");
    }
    RBC__TRY(rbc__depth_read(&operands, depth, intrinsics, pose, params, &job.source, &job.batch,
                             &has_batch, err));
    const rbc__depth_source *source = &job.source;
    const int64_t pixels = source->height * source->width;
    if (pixels > INT32_MAX) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "depth has %" PRId64 " pixels in an image; wanted at most %" PRId32,
                         pixels, INT32_MAX);
    }
    const int64_t each[4] = {job.batch, source->height, source->width, 3};
    const int64_t packed[3] = {job.batch, pixels, 3};
    const int skip = has_batch ? 0 : 1;
    if (lengths == NULL) {
        RBC__TRY(rbc__operands_output(&operands, points, "points", RBC__F32, 4 - skip, each + skip,
                                      err));
    } else {
        RBC__TRY(rbc__operands_output(&operands, points, "points", RBC__F32, 3 - skip,
                                      packed + skip, err));
        RBC__TRY(rbc__operands_output(&operands, lengths, "lengths", RBC__I32, 1, &job.batch, err));
        job.lengths = rbc__tensor_data(lengths);
    }
    job.points = rbc__tensor_data(points);
    DLDevice device;
    RBC__TRY(rbc__operands_finish(&operands, &device, err));
    const rbc__backend *backend;
    RBC__TRY(rbc__backend_for(device, &backend, err));
    return backend->depth_to_points(context, &job, device.device_id, stream, err);
}
