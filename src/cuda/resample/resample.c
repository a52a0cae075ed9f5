#include "core/error.h"
#include "cuda/ops.h"
#include "cuda/resample/check_times.h"
#include "cuda/resample/resample_launch.h"

static rbc_status launch(rbc__cuda_queue *queue, const rbc__resample_job *job, rbc_error *err) {
    if (!rbc__cuda_has_whole_rows(job)) {
        return rbc__cuda_launch_generic(queue, job, err);
    }
    rbc__cuda_strips strips;
    if (rbc__cuda_cut_strips(job, queue->multiprocessors, &strips)) {
        return rbc__cuda_launch_strips(queue, job, &strips, err);
    }
    return rbc__cuda_is_memory_bound(job, queue->multiprocessors)
               ? rbc__cuda_launch_large(queue, job, err)
               : rbc__cuda_launch_rows(queue, job, err);
}

rbc_status rbc__cuda_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                              void *cu_stream, rbc_error *err) {
    (void)context;
    const bool is_wanted = rbc__cuda_num_columns(job) > 0 || job->valid != NULL || job->dt != NULL;
    if (job->batch == 0 || job->num_targets == 0 || !is_wanted) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    rbc_status status = rbc__cuda_check_times(&queue, job, err);
    if (status == RBC_OK) {
        status = launch(&queue, job, err);
    }
    return rbc__cuda_leave(&queue, status);
}
