/* Pinned host memory, from which copies to a device are queued, or which a device writes. */
#ifndef RBC_CUDA_STAGING_H
#define RBC_CUDA_STAGING_H

#include "cuda/runtime/launch.h"

typedef struct rbc__cuda_staging rbc__cuda_staging;

/* Memory that is handed out and given back: that of the process, or of the queue's pipe. */
typedef struct rbc__cuda_stagings {
    rbc__cuda_staging *first;
    _Atomic int64_t bytes;
} rbc__cuda_stagings;

/* At least `bytes` of memory that no copy reads any more, of those given back earlier or new.
 * UNSUPPORTED: the driver lacks a function. OUT_OF_MEMORY, DEVICE. */
rbc_status rbc__cuda_staging_take(rbc__cuda_queue *queue, uint64_t bytes, rbc__cuda_staging **out,
                                  unsigned char **memory, rbc_error *err);

/* Queues a copy of its first `bytes` to the device, and returns where they are for what comes on the
 * queue's stream after it. They go to memory that belongs to the staging, on a stream of its own:
 * so the copy overlaps what is on the queue's. On a pipe, which others are beside, while the stream is
 * captured, or where the device has no such memory to give, they go to `otherwise`, in the queue's
 * order. DEVICE. */
rbc_status rbc__cuda_staging_copy(rbc__cuda_queue *queue, rbc__cuda_staging *staging,
                                  uint64_t bytes, void *otherwise, unsigned char **where,
                                  rbc_error *err);

/* Gives it back once what is queued on the queue's stream is done: while that is captured, when
 * the graph is gone. */
rbc_status rbc__cuda_staging_give(rbc__cuda_queue *queue, rbc__cuda_staging *staging,
                                  rbc_error *err);

/* Gives it back at once: nothing queued touches it. */
void rbc__cuda_staging_release(rbc__cuda_staging *staging);

/* Frees all of a pipe's, which nothing touches; the device is current. */
void rbc__cuda_stagings_drop(const rbc__cuda_driver *driver, rbc__cuda_stagings *stagings);

#endif
