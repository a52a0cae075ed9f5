/* Looking at the stamps of a job before it is run, for RBC_CHECK_TIMES. */
#ifndef RBC_CUDA_CHECK_TIMES_H
#define RBC_CUDA_CHECK_TIMES_H

#include "backend.h"
#include "cuda/runtime/launch.h"

/* Where a source of the job asks for it, looks at the stamps of those that do and at the targets,
 * and waits for the stream. INVALID_ARGUMENT names the first stamp that may not be, as the CPU
 * does. UNSUPPORTED: the stream is capturing, and nothing can wait for it, or the driver lacks what
 * it takes. DEVICE. */
rbc_status rbc__cuda_check_times(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                 rbc_error *err);

#endif
