#include "backend.h"

#include "cpu/decode_jpeg.h"
#include "cpu/image.h"
#include "cpu/resample.h"
#include "cpu/resample_backward.h"
#include "cpu/voxelize.h"

const rbc__backend rbc__cpu_backend = {
    .name = "cpu",
    .device_type = kDLCPU,
    .resample = rbc__cpu_resample,
    .resample_backward = rbc__cpu_resample_backward,
    .voxelize = rbc__cpu_voxelize,
    .voxelize_workspace_bytes = rbc__cpu_voxelize_workspace_bytes,
    .voxelize_sparse = rbc__cpu_voxelize_sparse,
    .voxelize_sparse_workspace_bytes = rbc__cpu_voxelize_sparse_workspace_bytes,
    .depth_to_points = rbc__cpu_depth_to_points,
    .decode_jpeg = rbc__cpu_decode_jpeg,
    .decode_jpeg_workspace_bytes = rbc__cpu_decode_jpeg_workspace_bytes,
    .image = rbc__cpu_image,
    .image_workspace_bytes = rbc__cpu_image_workspace_bytes,
};
