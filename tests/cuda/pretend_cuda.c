/* An exchange API of DLPack that passes another one's host tensors off as tensors on CUDA device 0,
 * for pretend.py. Where the stand-in for the driver computes nothing, nothing may look at their
 * contents. */
#include <dlpack/dlpack.h>

static const DLPackExchangeAPI *base;
static DLPackExchangeAPI pretended;

static int view(void *object, DLTensor *out) {
    const int failed = base->dltensor_from_py_object_no_sync(object, out);
    out->device.device_type = kDLCUDA;
    return failed;
}

static int current_stream(DLDeviceType type, int32_t device_id, void **out) {
    (void)type;
    (void)device_id;
    *out = 0;
    return 0;
}

static int allocate(DLTensor *prototype, DLManagedTensorVersioned **out, void *error_context,
                    void (*set_error)(void *error_context, const char *kind, const char *message)) {
    DLTensor host = *prototype;
    host.device.device_type = kDLCPU;
    const int failed = base->managed_tensor_allocator(&host, out, error_context, set_error);
    if (!failed) {
        (*out)->dl_tensor.device.device_type = kDLCUDA;
    }
    return failed;
}

static int wrap(DLManagedTensorVersioned *tensor, void **object) {
    tensor->dl_tensor.device.device_type = kDLCPU;
    return base->managed_tensor_to_py_object_no_sync(tensor, object);
}

const DLPackExchangeAPI *pretend_cuda(const DLPackExchangeAPI *api);

__attribute__((visibility("default"))) const DLPackExchangeAPI *
pretend_cuda(const DLPackExchangeAPI *api) {
    base = api;
    pretended = *api;
    pretended.header.prev_api = 0;
    pretended.dltensor_from_py_object_no_sync = view;
    pretended.current_work_stream = current_stream;
    pretended.managed_tensor_allocator = allocate;
    pretended.managed_tensor_to_py_object_no_sync = wrap;
    return &pretended;
}
