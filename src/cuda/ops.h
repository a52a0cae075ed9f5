/* The CUDA backend's operations; each queues its work and returns. Shared within src/cuda. */
#ifndef RBC_CUDA_OPS_H
#define RBC_CUDA_OPS_H

#include "backend.h"
#include "cuda/runtime/launch.h"

rbc_status rbc__cuda_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                              void *cu_stream, rbc_error *err);
rbc_status rbc__cuda_resample_backward(rbc_context *context, const rbc__resample_job *job,
                                       int32_t device_id, void *cu_stream, rbc_error *err);
rbc_status rbc__cuda_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                              void *cu_stream, rbc_error *err);
uint64_t rbc__cuda_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job);
rbc_status rbc__cuda_voxelize_sparse(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                     int32_t device_id, void *cu_stream, rbc_error *err);
uint64_t rbc__cuda_voxelize_sparse_workspace_bytes(rbc_context *context,
                                                   const rbc__voxelize_sparse_job *job);
rbc_status rbc__cuda_depth_to_points(rbc_context *context, const rbc__depth_job *job,
                                     int32_t device_id, void *cu_stream, rbc_error *err);

rbc_status rbc__cuda_decode_jpeg(rbc_context *context, const rbc__jpeg_job *job, int32_t device_id,
                                 void *cu_stream, rbc_error *err);
rbc_status rbc__cuda_decode_jpeg_workspace_bytes(const rbc__jpeg_job *job, uint64_t *bytes,
                                                 rbc_error *err);
rbc_status rbc__cuda_survey_jpegs(const rbc__jpeg_streams *streams, rbc__jpeg_digest *digests,
                                  void **held, rbc_error *err);
rbc_status rbc__cuda_fetch_jpegs(const rbc__jpeg_streams *streams, void **held, rbc_error *err);
void rbc__cuda_release_jpegs(void *held);

rbc_status rbc__cuda_image(rbc_context *context, const rbc__image_job *job, int32_t device_id,
                           void *cu_stream, rbc_error *err);
uint64_t rbc__cuda_image_workspace_bytes(const rbc__image_job *job);

rbc_status rbc__cuda_align(rbc_context *context, const rbc__align_items *list, int32_t device_id,
                           void *cu_stream, rbc_error *err);
int64_t rbc__cuda_align_bytes(const rbc__align_items *list);

#endif
