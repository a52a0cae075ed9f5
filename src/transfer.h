/* Memory that is filled on the host and used on a device, and what goes between: the part of a
 * backend that loaders need.
 *
 * A staged memory has a part on the host, which devices read directly, and one on the device. It
 * goes round: filled, sent, ordered before work of streams that use it, given back once that work is
 * queued, filled again. Nobody who uses it waits: sending waits on the device for the work of those
 * streams, and `await` on the host for what was sent.
 *
 * Calls may come from any thread, those of one staged memory one at a time; they leave the thread's
 * current device as it was, and a capture on another thread alone. Shared within src. */
#ifndef RBC_TRANSFER_H
#define RBC_TRANSFER_H

#include <stdbool.h>

#include <robocache/robocache.h>

typedef struct rbc__transfer rbc__transfer;
typedef struct rbc__staged rbc__staged;
typedef struct rbc__pipe rbc__pipe;

typedef struct rbc__transfer_ops {
    /* For one device, with a stream for its copies; `allocator` is copied, without functions it is the
     * driver's. UNSUPPORTED, INVALID_ARGUMENT: no such device; OUT_OF_MEMORY, DEVICE. */
    rbc_status (*create)(int32_t device_id, const rbc_device_allocator *allocator,
                         rbc__transfer **out, rbc_error *err);
    /* When all its memory is released. */
    void (*destroy)(rbc__transfer *transfer);

    /* Owned by the caller; what is sent is `host_bytes` to the beginning of `device_bytes`, which are
     * at least as many. Without `host_bytes` it has no part on the host, and is for delivering to.
     * OUT_OF_MEMORY, DEVICE. */
    rbc_status (*allocate)(rbc__transfer *transfer, int64_t host_bytes, int64_t device_bytes,
                           rbc__staged **out, rbc_error *err);
    /* Waits for what was sent, and for the work that it was given back for. */
    void (*release)(rbc__transfer *transfer, rbc__staged *staged);
    uint8_t *(*host)(const rbc__staged *staged);
    uint8_t *(*device)(const rbc__staged *staged);

    /* Returns once the host may write its part. Also of several threads at once. DEVICE. */
    rbc_status (*await)(rbc__transfer *transfer, rbc__staged *staged, rbc_error *err);
    /* Lets what comes on the pipe from now on come behind the work that it was given back for. Also
     * of several threads at once. DEVICE. */
    rbc_status (*follow)(rbc__transfer *transfer, rbc__staged *staged, rbc__pipe *pipe,
                         rbc_error *err);
    /* Queues a move of bytes within its part on the device, before it is sent; they do not overlap.
     * DEVICE. */
    rbc_status (*move)(rbc__transfer *transfer, rbc__staged *staged, int64_t to, int64_t from,
                       int64_t bytes, rbc_error *err);
    /* Queues a copy of its part on the host to the device, behind the work that it was given back for.
     * DEVICE. */
    rbc_status (*send)(rbc__transfer *transfer, rbc__staged *staged, rbc_error *err);
    /* Lets what comes on `cu_stream` from now on see what was sent, and notes that it uses it.
     * UNSUPPORTED: the stream is being captured. OUT_OF_MEMORY, DEVICE. */
    rbc_status (*order)(rbc__transfer *transfer, rbc__staged *staged, void *cu_stream,
                        rbc_error *err);
    /* The same, of a copy of it in `front`, which is as large: the first stream that it is delivered on
     * takes the copy, behind all work that what was delivered there before was ordered for. */
    rbc_status (*deliver)(rbc__transfer *transfer, rbc__staged *staged, rbc__staged *front,
                          void *cu_stream, rbc_error *err);
    /* What is queued by now on the streams that it was ordered for is the last that uses it. False: one
     * of them is being captured, so that nothing can say when that is over; to be called again. */
    bool (*give_back)(rbc__transfer *transfer, rbc__staged *staged);
    /* How many are in flight, that is given back, and not ordered again since, with their work still
     * under way; and whether `staged` is one of them. They do not wait. */
    int64_t (*num_in_flight)(rbc__transfer *transfer);
    bool (*is_in_flight)(rbc__transfer *transfer, const rbc__staged *staged);
    /* How long the device took for what was sent, as far as that is known to be over. */
    int64_t (*copy_ns)(const rbc__transfer *transfer);
} rbc__transfer_ops;

/* Work that is not timed. */
#define RBC__GPU_NONE (-1)

typedef struct rbc__pipe_memory {
    uint8_t *host, *device; /* as many bytes as were reserved */
} rbc__pipe_memory;

/* A stream of a device with memory of its own, of one thread at a time. What is queued on it happens
 * in order; the memory may be written once it has been waited for. */
typedef struct rbc__pipe_ops {
    /* As rbc__transfer_ops.create(). */
    rbc_status (*create)(int32_t device_id, const rbc_device_allocator *allocator, rbc__pipe **out,
                         rbc_error *err);
    /* Waits for what is queued. */
    void (*destroy)(rbc__pipe *pipe);
    /* The calling thread uses it, until it leaves: the device is current there. DEVICE. */
    rbc_status (*enter)(rbc__pipe *pipe, rbc_error *err);
    void (*leave)(rbc__pipe *pipe);
    /* For an operation of the backend, which is queued before the next wait or reserve(). */
    void *(*stream)(rbc__pipe *pipe);

    /* Memory of at least these sizes, whose contents are lost; waits where it has to grow.
     * OUT_OF_MEMORY, DEVICE. */
    rbc_status (*reserve)(rbc__pipe *pipe, int64_t host_bytes, int64_t device_bytes,
                          rbc__pipe_memory *out, rbc_error *err);
    /* Queues a copy between memories of the host and the device, either way, or within the device.
     * DEVICE. */
    rbc_status (*copy)(rbc__pipe *pipe, void *to, const void *from, int64_t bytes, rbc_error *err);
    /* Queues zeros for memory on the device. DEVICE. */
    rbc_status (*clear)(rbc__pipe *pipe, void *to, int64_t bytes, rbc_error *err);
    /* What is queued from now on, until the next mark or wait, is an rbc_gpu_work, or RBC__GPU_NONE: how
     * long the device takes for it is counted by the next wait. */
    void (*mark)(rbc__pipe *pipe, int32_t work);
    /* Waits on the host for all that is queued; not at all where nothing is since the last wait.
     * DEVICE. */
    rbc_status (*wait)(rbc__pipe *pipe, rbc_error *err);
    /* Adds what was counted to gpu_ns [RBC_NUM_GPU_WORKS]. From any thread. */
    void (*add_times)(const rbc__pipe *pipe, int64_t *gpu_ns);
    /* That it holds. From any thread. */
    void (*count)(const rbc__pipe *pipe, int64_t *host_bytes, int64_t *device_bytes);
} rbc__pipe_ops;

#endif
