/* The launches of an operation, kept to be queued again without looking at its arguments. */
#ifndef RBC_CUDA_CAPTURE_H
#define RBC_CUDA_CAPTURE_H

#include <stdatomic.h>

#include "cuda/runtime/launch.h"

/* Zero-initialise; rbc__cuda_capture_free() at the end. */
struct rbc__cuda_capture {
    rbc__cuda_launches *launches; /* owned; NULL while nothing was launched */
    rbc__cuda_graph *graph;       /* made by the first replay, NULL where it cannot be */
    atomic_flag busy;
    int32_t device_id;
    bool has_gaps; /* work was queued that the launches do not describe: no replay */
};

/* Until rbc__cuda_capture_end(), what this thread launches is launched and kept in `capture`. */
void rbc__cuda_capture_begin(rbc__cuda_capture *capture);
void rbc__cuda_capture_end(void);

/* Where this thread captures, or NULL. */
rbc__cuda_capture *rbc__cuda_capture_of_thread(void);

/* Keeps a copy of what one call launches. A second call's launches make a gap. OUT_OF_MEMORY. */
rbc_status rbc__cuda_capture_keep(rbc__cuda_capture *capture, int32_t device_id,
                                  const rbc__cuda_launches *launches, rbc_error *err);

/* Whether rbc__cuda_replay() does what the captured operation did. */
bool rbc__cuda_capture_is_whole(const rbc__cuda_capture *capture);

/* Queues the launches again, on `cu_stream`; the memory they name must still be there. Safe from
 * several threads at once. DEVICE. */
rbc_status rbc__cuda_replay(rbc__cuda_capture *capture, void *cu_stream, rbc_error *err);

void rbc__cuda_capture_free(rbc__cuda_capture *capture);

#endif
