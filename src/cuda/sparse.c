#include "core/error.h"
#include "cuda/ops.h"

rbc_status rbc__cuda_voxelize_sparse(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                     int32_t device_id, void *stream, rbc_error *err) {
    (void)context, (void)job, (void)device_id, (void)stream;
    return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                     "sparse voxelization of tensors on a CUDA device is not supported");
}

uint64_t rbc__cuda_voxelize_sparse_workspace_bytes(rbc_context *context,
                                                   const rbc__voxelize_sparse_job *job) {
    (void)context, (void)job;
    return 0;
}

rbc_status rbc__cuda_depth_to_points(rbc_context *context, const rbc__depth_job *job,
                                     int32_t device_id, void *stream, rbc_error *err) {
    (void)context, (void)job, (void)device_id, (void)stream;
    return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "depth images on a CUDA device are not supported");
}
