/* The CUDA devices of the process: their contexts, and the kernels loaded on them. */
#ifndef RBC_CUDA_DEVICE_H
#define RBC_CUDA_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cuda/kernels.h"
#include "cuda/runtime/driver.h"
#include "cuda/runtime/graph.h"

enum {
    RBC__CUDA_BLOCK_SHARED_BYTES = 99 * 1024, /* that every device has for a block */
    RBC__CUDA_MAX_SHARED_BYTES = 92 * 1024,   /* of those, dynamic ones */
};

typedef struct rbc__cuda_device {
    _Atomic(bool) is_ready;   /* the next four are set */
    _Atomic(bool) is_chained; /* programmatic dependent launch */
    int32_t id;
    int32_t multiprocessors;
    CUcontext context;
    _Atomic(CUstream) known_stream;                       /* was found to be of `context` last */
    _Atomic(CUstream) copies;                             /* NULL until first used */
    _Atomic(CUfunction) functions[RBC__CUDA_NUM_KERNELS]; /* NULL until first used */
    rbc__cuda_graphs graphs;
} rbc__cuda_device;

/* Whether kernels were compiled into this build. */
bool rbc__cuda_has_kernels(void);

/* Whether `device_id` was used before and is the calling thread's current device. */
bool rbc__cuda_is_current(int32_t device_id);

/* The device, ready to be used; the same at every call. Its primary context must be active, as it
 * is wherever a framework holds tensors on it; it is retained, never created. INVALID_ARGUMENT: no
 * such device. UNSUPPORTED: no driver, no kernels in this build, a device or driver too old.
 * DEVICE. */
rbc_status rbc__cuda_device_get(int32_t device_id, const rbc__cuda_driver **driver,
                                rbc__cuda_device **out, rbc_error *err);

/* The kernel's function on the device, which must be current; its image is loaded on first use.
 * UNSUPPORTED: the build has none for the device. DEVICE. */
rbc_status rbc__cuda_device_function(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                                     rbc__cuda_kernel kernel, CUfunction *out, rbc_error *err);

/* A stream for copies and allocations beside other work, made on first use; the device is current. NULL:
 * it could not be made. */
CUstream rbc__cuda_device_copies(const rbc__cuda_driver *driver, rbc__cuda_device *device);

const char *rbc__cuda_kernel_name(rbc__cuda_kernel kernel);

#endif
