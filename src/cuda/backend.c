#include "cuda/ops.h"
#include "cuda/runtime/pipe.h"
#include "cuda/runtime/staged.h"

const rbc__backend rbc__cuda_backend = {
    .name = "cuda",
    .device_type = kDLCUDA,
    .resample = rbc__cuda_resample,
    .resample_backward = rbc__cuda_resample_backward,
    .voxelize = rbc__cuda_voxelize,
    .voxelize_workspace_bytes = rbc__cuda_voxelize_workspace_bytes,
    .voxelize_sparse = rbc__cuda_voxelize_sparse,
    .voxelize_sparse_workspace_bytes = rbc__cuda_voxelize_sparse_workspace_bytes,
    .depth_to_points = rbc__cuda_depth_to_points,
    .decode_jpeg = rbc__cuda_decode_jpeg,
    .decode_jpeg_workspace_bytes = rbc__cuda_decode_jpeg_workspace_bytes,
    .survey_jpegs = rbc__cuda_survey_jpegs,
    .fetch_jpegs = rbc__cuda_fetch_jpegs,
    .release_jpegs = rbc__cuda_release_jpegs,
    .image = rbc__cuda_image,
    .image_workspace_bytes = rbc__cuda_image_workspace_bytes,
    .align = rbc__cuda_align,
    .align_bytes = rbc__cuda_align_bytes,
    .transfer = &rbc__cuda_transfer_ops,
    .pipe = &rbc__cuda_pipe_ops,
};
