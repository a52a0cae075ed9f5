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

typedef struct rbc__transfer_ops {
    /* For one device, with a stream for its copies. UNSUPPORTED, INVALID_ARGUMENT: no such device;
     * OUT_OF_MEMORY, DEVICE. */
    rbc_status (*create)(int32_t device_id, rbc__transfer **out, rbc_error *err);
    /* When all its memory is released. */
    void (*destroy)(rbc__transfer *transfer);

    /* `bytes` of either, owned by the caller. OUT_OF_MEMORY, DEVICE. */
    rbc_status (*allocate)(rbc__transfer *transfer, int64_t bytes, rbc__staged **out,
                           rbc_error *err);
    /* Waits for what was sent, and for the work that it was given back for. */
    void (*release)(rbc__transfer *transfer, rbc__staged *staged);
    uint8_t *(*host)(const rbc__staged *staged);
    uint8_t *(*device)(const rbc__staged *staged);

    /* Returns once the host may write its part. Also of several threads at once. DEVICE. */
    rbc_status (*await)(rbc__transfer *transfer, const rbc__staged *staged, rbc_error *err);
    /* Queues a copy of all of it to the device, behind the work that it was given back for. DEVICE. */
    rbc_status (*send)(rbc__transfer *transfer, rbc__staged *staged, rbc_error *err);
    /* Lets what comes on `cu_stream` from now on see what was sent, and notes that it uses it.
     * UNSUPPORTED: the stream is being captured. OUT_OF_MEMORY, DEVICE. */
    rbc_status (*order)(rbc__transfer *transfer, rbc__staged *staged, void *cu_stream,
                        rbc_error *err);
    /* What is queued by now on the streams that it was ordered for is the last that uses it. */
    void (*give_back)(rbc__transfer *transfer, rbc__staged *staged);
} rbc__transfer_ops;

#endif
