#include "core/error.h"
#include "cuda/ops.h"
#include "cuda/resample/adjoint_params.h"
#include "cuda/resample/check_times.h"
#include "cuda/resample/resample_launch.h"

_Static_assert(sizeof(adjoint_launch) <= 4096, "kernel parameters of every device");

enum {
    CACHE_BYTES = 32 * 1024, /* shared memory for stamps */
    THREADS = 256,
    BLOCKS_EACH = 8, /* blocks wanted for each multiprocessor */
    MIN_STRETCH = 4, /* every block looks at all targets, so a stretch is worth some of them */
};

static resample_launch describe_targets(const rbc__resample_job *job) {
    return (resample_launch){
        .targets = job->targets,
        .targets_batch_stride = job->targets_batch_stride_bytes,
        .targets_stride = job->targets_stride_bytes,
        .out = job->out,
        .out_batch_stride = job->out_batch_stride_bytes,
        .out_target_stride = job->out_target_stride_bytes,
        .out_channel_stride = job->out_channel_stride_bytes,
        .num_targets = job->num_targets,
        .num_sources = 1,
        .num_tiles = 1,
        .time_type = (uint32_t)job->time_type,
    };
}

/* Channels [from->runs[first].begin, ...) of as many runs as fit, as a source of their own. Returns
 * the run after the last of them. */
static int32_t take_runs(const rbc__resample_source *from, int32_t first, adjoint_launch *params) {
    const int64_t begin = from->runs[first].begin;
    int32_t end = first;
    params->launch.num_runs = 0;
    for (; end < from->num_runs && end - first < RESAMPLE_MAX_RUNS &&
           from->runs[end].end - begin <= UINT32_MAX;
         ++end) {
        params->runs[params->launch.num_runs++] = (resample_run){
            .begin = (uint32_t)(from->runs[end].begin - begin),
            .end = (uint32_t)(from->runs[end].end - begin),
            .mode = (uint32_t)from->runs[end].mode,
        };
        params->num_channels = from->runs[end].end - begin;
    }
    params->source.values = from->values + begin * from->channel_stride_bytes;
    return end;
}

static uint32_t cache_bytes(const rbc__resample_job *job, resample_source *source) {
    const int64_t stamp = rbc__cuda_stamp_bytes(job->time_type);
    if (source->num_samples > CACHE_BYTES / stamp) {
        return 0;
    }
    source->cache_capacity = (uint32_t)source->num_samples;
    return (uint32_t)((source->num_samples * stamp + 15) & ~INT64_C(15));
}

/* Channels side by side, up to a block's threads; stretches of samples until there are enough
 * blocks for every multiprocessor. Returns the number of blocks. */
static int64_t share_out(const rbc__resample_job *job, int32_t multiprocessors,
                         adjoint_launch *params) {
    const rbc__resample_source *source = &job->sources[0];
    int64_t width = 32;
    while (width < THREADS && width < params->num_channels) {
        width *= 2;
    }
    const int64_t groups = THREADS / width;
    const int64_t channel_blocks = rbc__divide_up(params->num_channels, width);
    const int64_t wanted = rbc__divide_up((int64_t)BLOCKS_EACH * multiprocessors, job->batch) *
                           groups / channel_blocks;
    int64_t stretch = rbc__divide_up(source->num_samples, wanted > 0 ? wanted : 1);
    stretch = stretch > MIN_STRETCH ? stretch : MIN_STRETCH;
    const int64_t stretch_blocks = rbc__divide_up(source->num_samples, stretch * groups);
    params->stretch = stretch;
    params->width = (uint32_t)width;
    params->groups = (uint32_t)groups;
    params->channel_blocks = (uint32_t)channel_blocks;
    params->stretch_blocks = (uint32_t)stretch_blocks;
    return job->batch <= INT32_MAX / channel_blocks &&
                   job->batch * channel_blocks <= INT32_MAX / stretch_blocks
               ? job->batch * channel_blocks * stretch_blocks
               : INT64_MAX;
}

static rbc_status launch_runs(rbc__cuda_queue *queue, const rbc__resample_job *job,
                              rbc_error *err) {
    const rbc__resample_source *source = &job->sources[0];
    adjoint_launch params = {
        .launch = describe_targets(job),
        .source = rbc__cuda_describe_source(job->dtype, source, source->out_channel, 1),
    };
    const uint32_t shared = cache_bytes(job, &params.source);
    const rbc__cuda_kernel kernel =
        job->dtype == RBC__F64 ? RBC__CUDA_resample_backward_f64 : RBC__CUDA_resample_backward_f32;
    for (int32_t run = 0; run < source->num_runs;) {
        params.launch.out = job->out + source->runs[run].begin * job->out_channel_stride_bytes;
        const int32_t end = take_runs(source, run, &params);
        if (end == run) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "%lld channels of one mode in a row; CUDA takes up to 2^32 - 1",
                             (long long)(source->runs[run].end - source->runs[run].begin));
        }
        const rbc__cuda_shape shape = {
            .blocks = share_out(job, queue->multiprocessors, &params),
            .blocks_y = 1,
            .threads = THREADS,
            .shared_bytes = shared,
        };
        RBC__TRY(rbc__cuda_launch(queue, kernel, shape, &params, err));
        run = end;
    }
    return RBC_OK;
}

rbc_status rbc__cuda_resample_backward(rbc_context *context, const rbc__resample_job *job,
                                       int32_t device_id, void *cu_stream, rbc_error *err) {
    (void)context;
    const rbc__resample_source *source = &job->sources[0];
    if (job->batch == 0 || source->num_channels == 0 || source->num_samples == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    rbc_status status = rbc__cuda_check_times(&queue, job, err);
    if (status == RBC_OK) {
        status = rbc__cuda_suits_backward_rows(job)
                     ? rbc__cuda_launch_backward_rows(&queue, job, err)
                     : launch_runs(&queue, job, err);
    }
    return rbc__cuda_leave(&queue, status);
}
