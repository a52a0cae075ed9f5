#include "backend.h"

#include "core/error.h"

static const rbc__backend *const backends[] = {
    &rbc__cpu_backend,
    &rbc__cuda_backend,
};

static const char *device_name(DLDeviceType type) {
    switch (type) {
    case kDLCPU:
        return "CPU";
    case kDLCUDA:
        return "CUDA";
    case kDLCUDAHost:
        return "pinned host";
    case kDLCUDAManaged:
        return "CUDA managed";
    case kDLROCM:
        return "ROCm";
    case kDLMetal:
        return "Metal";
    default:
        return "other";
    }
}

rbc_status rbc__backend_for(DLDevice device, const rbc__backend **out, rbc_error *err) {
    for (size_t i = 0; i < sizeof backends / sizeof *backends; ++i) {
        if (backends[i]->device_type == device.device_type) {
            *out = backends[i];
            return RBC_OK;
        }
    }
    *out = NULL;
    return rbc__fail(
        err, RBC_ERROR_UNSUPPORTED,
        "tensors are on a %s device (DLPack type %d); this build has no backend for it",
        device_name(device.device_type), (int)device.device_type);
}
