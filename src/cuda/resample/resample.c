#include "core/error.h"
#include "cuda/ops.h"
#include "cuda/resample/check_times.h"
#include "cuda/resample/resample_launch.h"

rbc_status rbc__cuda_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                              void *stream, rbc_error *err) {
    (void)context;
    const bool is_wanted = rbc__cuda_num_columns(job) > 0 || job->valid != NULL || job->dt != NULL;
    if (job->batch == 0 || job->num_targets == 0 || !is_wanted) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    rbc_status (*launch)(rbc__cuda_queue *, const rbc__resample_job *, rbc_error *) =
        !rbc__cuda_moves_rows(job)                           ? rbc__cuda_launch_any
        : rbc__cuda_suits_strips(job, queue.multiprocessors) ? rbc__cuda_launch_strips
        : rbc__cuda_suits_large(job, queue.multiprocessors)  ? rbc__cuda_launch_large
                                                             : rbc__cuda_launch_rows;
    rbc_status status = rbc__cuda_check_times(&queue, job, err);
    if (status == RBC_OK) {
        status = launch(&queue, job, err);
    }
    return rbc__cuda_leave(&queue, status);
}
