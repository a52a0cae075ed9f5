#include "backend.h"
#include "cpu/voxelize.h"

const rbc__backend rbc__cpu_backend = {
    .name = "cpu",
    .device_type = kDLCPU,
    .voxelize = rbc__cpu_voxelize,
    .voxelize_workspace_bytes = rbc__cpu_voxelize_workspace_bytes,
};
