/* One CUDA device as the backend sees it: its context, the loaded kernels, and launching them. */
#ifndef RBC_CUDA_DEVICE_H
#define RBC_CUDA_DEVICE_H

#include <stdbool.h>

#include "cuda/kernels.h"
#include "cuda/runtime/driver.h"

typedef struct rbc__cuda_device rbc__cuda_device;

enum {
    RBC__CUDA_BLOCK_SHARED_BYTES = 99 * 1024, /* that every device has for a block */
    RBC__CUDA_MAX_SHARED_BYTES = 92 * 1024,   /* of those, dynamic ones */
    RBC__CUDA_BATCH_LAUNCHES = 48,
    RBC__CUDA_BATCH_BYTES = 16 * 1024,
};

typedef struct rbc__cuda_shape {
    int64_t blocks; /* 0: nothing is launched */
    uint32_t blocks_y;
    uint32_t threads;
    uint32_t shared_bytes; /* dynamic; at most RBC__CUDA_MAX_SHARED_BYTES */
} rbc__cuda_shape;

/* One launch; its parameters are `bytes` of a batch from `begin` on. */
typedef struct rbc__cuda_step {
    CUfunction function;
    rbc__cuda_shape shape;
    rbc__cuda_kernel kernel;
    uint32_t begin, bytes;
} rbc__cuda_step;

/* Launches to be queued in a row. */
typedef struct rbc__cuda_batch {
    int32_t count;
    uint32_t bytes; /* of parameters in use */
    rbc__cuda_step steps[RBC__CUDA_BATCH_LAUNCHES];
    _Alignas(16) unsigned char parameters[RBC__CUDA_BATCH_BYTES];
} rbc__cuda_batch;

typedef struct rbc__cuda_recording rbc__cuda_recording;

/* Work queued by one call: the device made current, and the stream. */
typedef struct rbc__cuda_queue {
    const rbc__cuda_driver *driver;
    rbc__cuda_device *device;
    struct rbc__cuda_graphs *graphs;
    CUstream stream;
    int32_t multiprocessors;
    bool pushed;                    /* the device's context was not current and is now */
    rbc__cuda_recording *recording; /* NULL unless this thread records, see cuda/recording.h */
    rbc_error *err;                 /* of the call; may be NULL */
    rbc__cuda_batch batch;          /* not yet given to the driver */
} rbc__cuda_queue;

/* Whether kernels were compiled into this build. */
bool rbc__cuda_has_kernels(void);

/* Whether `device_id` was used before and is the calling thread's current device. */
bool rbc__cuda_is_current(int32_t device_id);

/* Makes `device_id` ready on the calling thread. The device's primary context must be active, as it
 * is wherever a framework holds tensors on it; it is retained, never created. The kernels are
 * loaded on first use. On failure nothing is left to undo. INVALID_ARGUMENT: no such device, or a
 * stream of another one.
 * UNSUPPORTED: no driver, a device or driver too old. DEVICE. */
rbc_status rbc__cuda_enter(int32_t device_id, void *stream, rbc__cuda_queue *out, rbc_error *err);

/* Hands what was launched to the driver, unless `status` is a failure, undoes rbc__cuda_enter() and
 * returns the first failure. */
rbc_status rbc__cuda_leave(rbc__cuda_queue *queue, rbc_status status);

/* Launches one kernel, at the latest by rbc__cuda_leave(), with what `parameters` points at as its
 * only argument, passed by value. Where the device can, the launch overlaps the end of the one
 * before it; the kernels wait for that themselves. */
#define rbc__cuda_launch(queue, kernel, shape, parameters, err)                                    \
    rbc__cuda_launch_bytes(queue, kernel, shape, parameters, sizeof *(parameters), err)
rbc_status rbc__cuda_launch_bytes(rbc__cuda_queue *queue, rbc__cuda_kernel kernel,
                                  rbc__cuda_shape shape, const void *parameters,
                                  size_t parameter_bytes, rbc_error *err);

/* Hands what was launched so far to the driver. To be called before anything else than a launch is
 * done with the queue's stream: a copy, a wait. */
rbc_status rbc__cuda_flush(rbc__cuda_queue *queue, rbc_error *err);

/* Hands the launches of `batch` to the driver, one after the other. */
rbc_status rbc__cuda_submit_all(const rbc__cuda_queue *queue, const rbc__cuda_batch *batch,
                                rbc_error *err);

/* Hands one launch of `batch` to the driver as it is. */
rbc_status rbc__cuda_submit(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                            CUstream stream, const rbc__cuda_batch *batch, int32_t index,
                            rbc_error *err);

#endif
