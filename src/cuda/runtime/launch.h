/* Launching kernels: what a call launches is collected in a queue, and handed to the driver when
 * the call is done. */
#ifndef RBC_CUDA_LAUNCH_H
#define RBC_CUDA_LAUNCH_H

#include "cuda/runtime/device.h"

enum {
    RBC__CUDA_MAX_LAUNCHES = 48,           /* in a list */
    RBC__CUDA_PARAMETER_BYTES = 16 * 1024, /* of all of them */
};

typedef struct rbc__cuda_shape {
    int64_t blocks; /* 0: nothing is launched */
    uint32_t blocks_y;
    uint32_t threads;
    uint32_t shared_bytes; /* dynamic; at most RBC__CUDA_MAX_SHARED_BYTES */
} rbc__cuda_shape;

/* One launch; its parameters are `bytes` of the list's from `begin` on. */
typedef struct rbc__cuda_launch_item {
    CUfunction function;
    rbc__cuda_shape shape;
    rbc__cuda_kernel kernel;
    uint32_t begin, bytes;
} rbc__cuda_launch_item;

/* Launches to be queued in a row. */
typedef struct rbc__cuda_launches {
    int32_t count;
    uint32_t bytes; /* of parameters in use */
    rbc__cuda_launch_item items[RBC__CUDA_MAX_LAUNCHES];
    _Alignas(16) unsigned char parameters[RBC__CUDA_PARAMETER_BYTES];
} rbc__cuda_launches;

typedef struct rbc__cuda_capture rbc__cuda_capture;

/* Work queued by one call: the device made current, and the stream. */
typedef struct rbc__cuda_queue {
    const rbc__cuda_driver *driver;
    rbc__cuda_device *device;
    CUstream cu_stream;
    int32_t multiprocessors;
    bool is_pushed;              /* the device's context was not current and is now */
    rbc__cuda_capture *capture;  /* NULL unless this thread captures, see capture.h */
    struct rbc__pipe *pipe;      /* whose stream it is, or NULL; set by the caller */
    rbc_error *err;              /* of the call; may be NULL */
    rbc__cuda_launches launches; /* not yet given to the driver */
} rbc__cuda_queue;

/* Makes `device_id` current on the calling thread, as rbc__cuda_device_get() prepares it. On
 * failure nothing is left to undo. INVALID_ARGUMENT also: a stream of another device. */
rbc_status rbc__cuda_enter(int32_t device_id, void *cu_stream, rbc__cuda_queue *out,
                           rbc_error *err);

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

/* UNSUPPORTED while the queue's stream is being captured into a graph: `what` waits for it, and
 * `wanted` would not. */
rbc_status rbc__cuda_check_waiting(const rbc__cuda_queue *queue, const char *what,
                                   const char *wanted, rbc_error *err);

/* Hands one launch of a list to the driver, or all of them one after the other. */
rbc_status rbc__cuda_submit(const rbc__cuda_queue *queue, CUstream cu_stream,
                            const rbc__cuda_launches *launches, int32_t index, rbc_error *err);
rbc_status rbc__cuda_submit_all(const rbc__cuda_queue *queue, const rbc__cuda_launches *launches,
                                rbc_error *err);

/* The parameters of one launch. The driver takes them by non-const pointer and does not write. */
void *rbc__cuda_parameters(const rbc__cuda_launches *launches, const rbc__cuda_launch_item *item);

#endif
