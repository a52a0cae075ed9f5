/* Resampling on the CPU. */
#ifndef RBC_CPU_RESAMPLE_H
#define RBC_CPU_RESAMPLE_H

#include "backend.h"

/* The entry of the backend's table. Small jobs, and those of a context of one thread, run on the
 * calling thread. Source times that are NaN, infinite or decrease and target times that are NaN are
 * INVALID_ARGUMENT, naming the batch row, the index and the values; the output is then undefined.
 * lengths must lie in [0, num_samples]. */
rbc_status rbc__cpu_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                             void *cu_stream, rbc_error *err);

#endif
