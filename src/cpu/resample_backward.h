/* The adjoint of resampling on the CPU. */
#ifndef RBC_CPU_RESAMPLE_BACKWARD_H
#define RBC_CPU_RESAMPLE_BACKWARD_H

#include "backend.h"

/* As resample_backward of the backend's table. Times are checked as rbc__cpu_resample() does. */
rbc_status rbc__cpu_resample_backward(rbc_context *context, const rbc__resample_job *job,
                                      int32_t device_id, void *cu_stream, rbc_error *err);

#endif
