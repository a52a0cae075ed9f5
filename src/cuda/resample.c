#include "core/error.h"
#include "cuda/ops.h"
#include "cuda/resample_launch.h"

/* Looking at the times would take a kernel of its own and a wait: better refused than left out. */
static rbc_status refuse_checks(const rbc__resample_job *job, rbc_error *err) {
    for (int32_t s = 0; s < job->num_sources; s++) {
        if ((job->sources[s].flags & RBC_CHECK_TIMES) != 0) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "RBC_CHECK_TIMES (check_times): times on a CUDA device are not "
                             "checked; check them on the CPU, or leave it out");
        }
    }
    return RBC_OK;
}

rbc_status rbc__cuda_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                              void *stream, rbc_error *err) {
    (void)context;
    RBC__TRY(refuse_checks(job, err));
    if (job->batch == 0 || job->num_targets == 0 || rbc__cuda_num_columns(job) == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    rbc_status (*launch)(rbc__cuda_queue *, const rbc__resample_job *, rbc_error *) =
        !rbc__cuda_moves_rows(job)                           ? rbc__cuda_launch_any
        : rbc__cuda_suits_strips(job, queue.multiprocessors) ? rbc__cuda_launch_strips
                                                             : rbc__cuda_launch_rows;
    return rbc__cuda_leave(&queue, launch(&queue, job, err));
}
