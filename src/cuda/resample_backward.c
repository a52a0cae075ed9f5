#include "core/error.h"
#include "cuda/kernels/adjoint_params.h"
#include "cuda/ops.h"

_Static_assert(sizeof(adjoint_launch) <= 4096, "kernel parameters of every device");

enum {
    THREADS = 256,
    BLOCKS_EACH = 8, /* blocks wanted for each multiprocessor */
    MIN_SLAB = 4,    /* every block searches all targets, so a slab is worth some of them */
};

static int64_t divide_up(int64_t count, int64_t by) {
    return (count + by - 1) / by;
}

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

static resample_source describe_source(const rbc__resample_source *from) {
    resample_source source = {
        .values = from->values,
        .batch_stride = from->batch_stride_bytes,
        .sample_stride = from->sample_stride_bytes,
        .channel_stride = from->channel_stride_bytes,
        .times = from->times,
        .times_batch_stride = from->times_batch_stride_bytes,
        .times_stride = from->times_stride_bytes,
        .lengths = from->lengths,
        .lengths_stride = from->lengths_stride_bytes,
        .num_samples = from->num_samples,
        .max_gap = {from->max_gap_ns, from->max_gap},
        .tolerance = {from->tolerance_ns, from->tolerance},
        .lengths_are_i64 = from->lengths_are_i64,
        .outside = (uint32_t)from->outside,
    };
    for (int32_t i = 0; i < from->num_runs; ++i) {
        source.modes |= 1u << from->runs[i].mode;
    }
    return source;
}

static rbc_status describe_runs(const rbc__resample_source *from, adjoint_launch *params,
                                rbc_error *err) {
    if (from->num_runs > RESAMPLE_MAX_RUNS || from->num_channels > UINT32_MAX) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "%d channel groups of %lld channels found; CUDA takes up to %d, and 2^32 "
                         "channels",
                         (int)from->num_runs, (long long)from->num_channels, RESAMPLE_MAX_RUNS);
    }
    for (int32_t r = 0; r < from->num_runs; ++r) {
        params->runs[r] = (resample_run){
            .begin = (uint32_t)from->runs[r].begin,
            .end = (uint32_t)from->runs[r].end,
            .mode = (uint32_t)from->runs[r].mode,
        };
    }
    params->launch.num_runs = (uint32_t)from->num_runs;
    return RBC_OK;
}

/* Channels side by side, up to a block's threads; slabs of samples until there are enough blocks
 * for every multiprocessor. Returns the number of blocks. */
static int64_t share_out(const rbc__resample_job *job, int32_t multiprocessors,
                         adjoint_launch *params) {
    const rbc__resample_source *source = &job->sources[0];
    int64_t width = 32;
    while (width < THREADS && width < source->num_channels) {
        width *= 2;
    }
    const int64_t groups = THREADS / width;
    const int64_t channel_blocks = divide_up(source->num_channels, width);
    const int64_t wanted =
        divide_up((int64_t)BLOCKS_EACH * multiprocessors, job->batch) * groups / channel_blocks;
    int64_t slab = divide_up(source->num_samples, wanted > 0 ? wanted : 1);
    slab = slab > MIN_SLAB ? slab : MIN_SLAB;
    const int64_t slab_blocks = divide_up(source->num_samples, slab * groups);
    params->num_channels = source->num_channels;
    params->slab = slab;
    params->width = (uint32_t)width;
    params->groups = (uint32_t)groups;
    params->channel_blocks = (uint32_t)channel_blocks;
    params->slab_blocks = (uint32_t)slab_blocks;
    return job->batch <= INT32_MAX / channel_blocks &&
                   job->batch * channel_blocks <= INT32_MAX / slab_blocks
               ? job->batch * channel_blocks * slab_blocks
               : INT64_MAX;
}

rbc_status rbc__cuda_resample_backward(rbc_context *context, const rbc__resample_job *job,
                                       int32_t device_id, void *stream, rbc_error *err) {
    (void)context;
    const rbc__resample_source *source = &job->sources[0];
    if (job->batch == 0 || source->num_channels == 0 || source->num_samples == 0) {
        return RBC_OK;
    }
    adjoint_launch params = {.launch = describe_targets(job), .source = describe_source(source)};
    RBC__TRY(describe_runs(source, &params, err));
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    const rbc__cuda_shape shape = {
        .blocks = share_out(job, queue.multiprocessors, &params),
        .blocks_y = 1,
        .threads = THREADS,
    };
    const rbc__cuda_kernel kernel =
        job->dtype == RBC__F64 ? RBC__CUDA_resample_backward_f64 : RBC__CUDA_resample_backward_f32;
    return rbc__cuda_leave(&queue, rbc__cuda_launch(&queue, kernel, shape, &params, err));
}
