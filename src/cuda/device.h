/* One CUDA device as the backend sees it: its context, the loaded kernels, and launching them. */
#ifndef RBC_CUDA_DEVICE_H
#define RBC_CUDA_DEVICE_H

#include <stdbool.h>

#include "cuda/driver.h"

typedef enum rbc__cuda_kernel {
#define X(image, name) RBC__CUDA_##name,
#include "cuda/kernels.def"
#undef X
    RBC__CUDA_NUM_KERNELS
} rbc__cuda_kernel;

typedef struct rbc__cuda_device rbc__cuda_device;

typedef struct rbc__cuda_recording rbc__cuda_recording;

/* Work queued by one call: the device made current, and the stream. */
typedef struct rbc__cuda_queue {
    const rbc__cuda_driver *driver;
    rbc__cuda_device *device;
    CUstream stream;
    int32_t multiprocessors;
    bool pushed;                    /* the device's context was not current and is now */
    rbc__cuda_recording *recording; /* NULL unless this thread records, see cuda/recording.h */
} rbc__cuda_queue;

/* Whether kernels were compiled into this build. */
bool rbc__cuda_has_kernels(void);

/* Makes `device_id` ready on the calling thread. The device's primary context must be active, as it
 * is wherever a framework holds tensors on it; it is retained, never created. The kernels are
 * loaded on first use. On failure nothing is left to undo. INVALID_ARGUMENT: no such device.
 * UNSUPPORTED: no driver, a device or driver too old. DEVICE. */
rbc_status rbc__cuda_enter(int32_t device_id, void *stream, rbc__cuda_queue *out, rbc_error *err);

/* Undoes rbc__cuda_enter() and returns `status`. */
rbc_status rbc__cuda_leave(rbc__cuda_queue *queue, rbc_status status);

enum { RBC__CUDA_MAX_SHARED_BYTES = 80 * 1024 }; /* every device has as much for a block */

typedef struct rbc__cuda_shape {
    int64_t blocks; /* 0: nothing is launched */
    uint32_t blocks_y;
    uint32_t threads;
    uint32_t shared_bytes; /* dynamic; at most RBC__CUDA_MAX_SHARED_BYTES */
} rbc__cuda_shape;

/* Queues one kernel with what `parameters` points at as its only argument, passed by value. Where
 * the device can, the launch overlaps the end of the one before it; the kernels wait for that
 * themselves. */
#define rbc__cuda_launch(queue, kernel, shape, parameters, err)                                    \
    rbc__cuda_launch_bytes(queue, kernel, shape, parameters, sizeof *(parameters), err)
rbc_status rbc__cuda_launch_bytes(rbc__cuda_queue *queue, rbc__cuda_kernel kernel,
                                  rbc__cuda_shape shape, const void *parameters,
                                  size_t parameter_bytes, rbc_error *err);

/* A launch as the driver takes it. */
typedef struct rbc__cuda_step {
    CUfunction function;
    rbc__cuda_kernel kernel;
    rbc__cuda_shape shape;
} rbc__cuda_step;

/* Hands one launch to the driver, on the queue's device and stream. */
rbc_status rbc__cuda_submit(const rbc__cuda_queue *queue, const rbc__cuda_step *step,
                            const void *parameters, rbc_error *err);

#endif
