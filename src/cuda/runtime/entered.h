/* A thread that uses a device beside the work of others. Shared within src/cuda/runtime. */
#ifndef RBC_CUDA_ENTERED_H
#define RBC_CUDA_ENTERED_H

#include "core/error.h"
#include "cuda/runtime/device.h"

typedef struct rbc__cuda_entered {
    bool is_pushed;
    int mode;
} rbc__cuda_entered;

/* Makes the device current, and says that what is done is no part of a capture. DEVICE. */
static inline rbc_status rbc__cuda_entered_begin(const rbc__cuda_driver *driver,
                                                 const rbc__cuda_device *device,
                                                 rbc__cuda_entered *out, rbc_error *err) {
    CUcontext current = NULL;
    CUresult result = driver->ctx_get_current(&current);
    out->is_pushed = result == 0 && current != device->context;
    if (out->is_pushed) {
        result = driver->ctx_push_current(device->context);
    }
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "making CUDA device %d current",
                              (int)device->id);
    }
    out->mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)driver->thread_exchange_stream_capture_mode(&out->mode);
    return RBC_OK;
}

static inline void rbc__cuda_entered_end(const rbc__cuda_driver *driver, rbc__cuda_entered *e) {
    (void)driver->thread_exchange_stream_capture_mode(&e->mode);
    if (e->is_pushed) {
        CUcontext popped = NULL;
        (void)driver->ctx_pop_current(&popped);
    }
}

#endif
