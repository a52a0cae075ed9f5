/* The launches of an operation, kept to be queued again without looking at its arguments. */
#ifndef RBC_CUDA_RECORDING_H
#define RBC_CUDA_RECORDING_H

#include "cuda/device.h"

/* Zero-initialise; rbc__cuda_recording_free() at the end. Every launch belongs to one device. */
struct rbc__cuda_recording {
    struct rbc__cuda_recorded *launches; /* with copies of their parameters */
    int32_t count, capacity;
    int32_t device_id;
    bool has_gaps; /* work was queued that a launch does not describe: it cannot be replayed */
};

/* Until rbc__cuda_record_end(), what this thread launches is launched and kept in `recording`. */
void rbc__cuda_record_begin(rbc__cuda_recording *recording);
void rbc__cuda_record_end(void);

/* Where this thread records, or NULL. */
rbc__cuda_recording *rbc__cuda_recording_of_thread(void);

/* Keeps a launch; `parameters` are copied. OUT_OF_MEMORY. */
rbc_status rbc__cuda_recording_append(rbc__cuda_recording *recording, const rbc__cuda_step *step,
                                      const void *parameters, size_t parameter_bytes,
                                      rbc_error *err);

/* Whether rbc__cuda_replay() does what the recorded operation did. */
bool rbc__cuda_recording_is_whole(const rbc__cuda_recording *recording);

/* Queues the launches again, on `stream`; the memory they name must still be there. Safe from
 * several threads at once. DEVICE. */
rbc_status rbc__cuda_replay(const rbc__cuda_recording *recording, void *stream, rbc_error *err);

void rbc__cuda_recording_free(rbc__cuda_recording *recording);

#endif
