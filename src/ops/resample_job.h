/* From the tensors of a resample or fuse call to a job: every check of the arguments is here, or in
 * resample_overlap.h. */
#ifndef RBC_OPS_RESAMPLE_JOB_H
#define RBC_OPS_RESAMPLE_JOB_H

#include "backend.h"

enum { RBC__JOB_SOURCES = 8, RBC__JOB_RUNS = 32 };

/* A job with what it points at. Most calls need no memory beyond this. */
typedef struct rbc__resample_request {
    rbc__resample_job job;
    DLDevice device;
    rbc__resample_source sources[RBC__JOB_SOURCES];
    rbc__channel_run runs[RBC__JOB_RUNS];
    void *more; /* sources and runs that do not fit */
} rbc__resample_request;

/* `valid` is [B, T] for one source when `is_fuse` is false, else [B, T, N]; valid and dt may be
 * NULL. Sources are of this header's size. Borrows every tensor. After success or failure, release
 * with rbc__resample_request_free(). */
rbc_status rbc__resample_request_init(rbc__resample_request *request, bool is_fuse,
                                      const rbc_resample_source *sources, int32_t num_sources,
                                      const DLTensor *target_times, const DLTensor *out,
                                      const DLTensor *valid, const DLTensor *dt, rbc_error *err);
void rbc__resample_request_free(rbc__resample_request *request);

#endif
