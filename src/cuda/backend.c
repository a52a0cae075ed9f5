#include "cuda/ops.h"

const rbc__backend rbc__cuda_backend = {
    .name = "cuda",
    .device_type = kDLCUDA,
    .resample = rbc__cuda_resample,
    .voxelize = rbc__cuda_voxelize,
    .voxelize_workspace_bytes = rbc__cuda_voxelize_workspace_bytes,
};
