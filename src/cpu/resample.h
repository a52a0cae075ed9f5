/* Resampling on the CPU. */
#ifndef RBC_CPU_RESAMPLE_H
#define RBC_CPU_RESAMPLE_H

#include "backend.h"

/* Runs a whole job on the calling thread, without a pool and without allocating: for callers that
 * are one of many threads themselves. `cpu_features` are those of the context, or
 * rbc__cpu_features(). Source times that are NaN, infinite or decrease and target times that are
 * NaN are INVALID_ARGUMENT, naming the batch row, the index and the values; the output is then
 * undefined. lengths must lie in [0, num_samples]. */
rbc_status rbc__cpu_resample(uint64_t cpu_features, const rbc__resample_job *job, rbc_error *err);

/* The same over the context's pool: the entry of the backend's table. */
rbc_status rbc__cpu_resample_parallel(rbc_context *context, const rbc__resample_job *job,
                                      int32_t device_id, void *stream, rbc_error *err);

#endif
