/* The launches of an operation, kept to be queued again without looking at its arguments. */
#ifndef RBC_CUDA_RECORDING_H
#define RBC_CUDA_RECORDING_H

#include <stdatomic.h>

#include "cuda/runtime/graph.h"

/* Zero-initialise; rbc__cuda_recording_free() at the end. */
struct rbc__cuda_recording {
    rbc__cuda_batch *batch; /* owned; NULL while nothing was launched */
    rbc__cuda_graph *graph; /* made by the first replay, NULL where it cannot be */
    atomic_flag busy;
    int32_t device_id;
    bool has_gaps; /* work was queued that the batch does not describe: it cannot be replayed */
};

/* Until rbc__cuda_record_end(), what this thread launches is launched and kept in `recording`. */
void rbc__cuda_record_begin(rbc__cuda_recording *recording);
void rbc__cuda_record_end(void);

/* Where this thread records, or NULL. */
rbc__cuda_recording *rbc__cuda_recording_of_thread(void);

/* Keeps a copy of what one call launches. A second call's launches make a gap. OUT_OF_MEMORY. */
rbc_status rbc__cuda_recording_keep(rbc__cuda_recording *recording, int32_t device_id,
                                    const rbc__cuda_batch *batch, rbc_error *err);

/* Whether rbc__cuda_replay() does what the recorded operation did. */
bool rbc__cuda_recording_is_whole(const rbc__cuda_recording *recording);

/* Queues the launches again, on `stream`; the memory they name must still be there. Safe from
 * several threads at once. DEVICE. */
rbc_status rbc__cuda_replay(rbc__cuda_recording *recording, void *stream, rbc_error *err);

void rbc__cuda_recording_free(rbc__cuda_recording *recording);

#endif
