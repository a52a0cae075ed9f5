#include "cuda/resample/backward_params.h"
#include "cuda/resample/resample_launch.h"

_Static_assert(sizeof(backward_launch) <= 4096, "kernel parameters of every device");

enum {
    TARGETS_BYTES = 32 * 1024, /* shared memory for targets */
    LEAST_BYTES = BACKWARD_THREADS * RBC__CUDA_VEC16_BYTES,
    MOST_BYTES = 64 * LEAST_BYTES, /* of the gradient for a block */
    BLOCKS_EACH = 8,               /* blocks wanted for each multiprocessor */
};

static bool is_packed(int64_t count, int64_t stride_bytes, int64_t bytes) {
    return count <= 1 || stride_bytes == bytes;
}

bool rbc__cuda_suits_backward_rows(const rbc__resample_job *job) {
    const rbc__resample_source *source = &job->sources[0];
    const rbc_resample_mode mode = source->runs[0].mode;
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    return source->num_runs == 1 && source->outside != RBC_OUTSIDE_EXTRAPOLATE &&
           (mode == RBC_RESAMPLE_LINEAR || mode == RBC_RESAMPLE_HOLD ||
            mode == RBC_RESAMPLE_NEAREST || mode == RBC_RESAMPLE_ANGLE) &&
           source->num_samples <= INT32_MAX - BACKWARD_MAX_TILE && job->num_targets <= INT32_MAX &&
           source->num_channels * bytes <= RBC__CUDA_MAX_ROW_BYTES &&
           is_packed(source->num_channels, source->channel_stride_bytes, bytes) &&
           is_packed(source->num_channels, job->out_channel_stride_bytes, bytes) &&
           rbc__cuda_granule(job) == RBC__CUDA_VEC16_BYTES &&
           (job->num_targets <= 1 || job->out_target_stride_bytes % RBC__CUDA_VEC16_BYTES == 0);
}

/* Samples for a block: enough blocks for every multiprocessor, and enough work for a block to be
 * worth looking at all targets. */
static int64_t choose_tile(const rbc__resample_job *job, int32_t multiprocessors, int64_t row) {
    const int64_t num_samples = job->sources[0].num_samples;
    const int64_t looked_at = job->num_targets * rbc__cuda_stamp_bytes(job->time_type);
    const int64_t share = job->batch * num_samples * row / ((int64_t)BLOCKS_EACH * multiprocessors);
    const int64_t most = rbc__max64(MOST_BYTES, 4 * looked_at);
    int64_t tile = rbc__max64(rbc__min64(rbc__max64(share, LEAST_BYTES), most) / row, 1);
    tile = rbc__min64(rbc__min64(tile, num_samples), BACKWARD_MAX_TILE);
    const int64_t tiles = (num_samples + tile - 1) / tile;
    return (num_samples + tiles - 1) / tiles;
}

static uint32_t round_to_vec16(int64_t bytes) {
    return (uint32_t)((bytes + RBC__CUDA_VEC16_BYTES - 1) & ~(int64_t)(RBC__CUDA_VEC16_BYTES - 1));
}

static bool is_simple(const rbc__resample_job *job, bool are_cached) {
    const rbc__resample_source *source = &job->sources[0];
    const int64_t stamp = rbc__cuda_stamp_bytes(job->time_type);
    return are_cached && source->outside == RBC_OUTSIDE_HOLD && source->lengths == NULL &&
           is_packed(source->num_samples, source->times_stride_bytes, stamp) &&
           is_packed(job->num_targets, job->targets_stride_bytes, stamp);
}

rbc_status rbc__cuda_launch_backward_rows(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                          rbc_error *err) {
    const rbc__resample_source *source = &job->sources[0];
    const int64_t row = source->num_channels * rbc__dtype_bytes(job->dtype);
    const int64_t stamp = rbc__cuda_stamp_bytes(job->time_type);
    const int64_t tile = choose_tile(job, queue->multiprocessors, row);
    const bool are_cached = job->num_targets <= TARGETS_BYTES / stamp;
    const uint32_t targets_begin = round_to_vec16((tile + 2) * stamp);
    const uint32_t shares_begin =
        targets_begin + (are_cached ? round_to_vec16(job->num_targets * stamp) : 0);
    const uint32_t ranges_begin = shares_begin + BACKWARD_SHARES * BACKWARD_SHARE_BYTES;
    backward_launch launch = {
        .targets = job->targets,
        .targets_batch_stride = job->targets_batch_stride_bytes,
        .targets_stride = job->targets_stride_bytes,
        .grad = job->out,
        .grad_batch_stride = job->out_batch_stride_bytes,
        .grad_target_stride = job->out_target_stride_bytes,
        .num_targets = (uint32_t)job->num_targets,
        .tile = (uint32_t)tile,
        .num_tiles = (uint32_t)((source->num_samples + tile - 1) / tile),
        .row_slices = (uint32_t)(row / RBC__CUDA_VEC16_BYTES),
        .time_type = (uint32_t)job->time_type,
        .targets_begin = targets_begin,
        .targets_capacity = are_cached ? (uint32_t)job->num_targets : 0,
        .shares_begin = shares_begin,
        .ranges_begin = ranges_begin,
        .source = rbc__cuda_describe_source(job->dtype, source, source->out_channel, 1),
    };
    rbc__cuda_divide_by(launch.row_slices, &launch.row_magic, &launch.row_shift);
    const rbc__cuda_shape shape = {
        .blocks = job->batch <= INT32_MAX / (int64_t)launch.num_tiles
                      ? job->batch * launch.num_tiles
                      : INT64_MAX,
        .blocks_y = 1,
        .threads = BACKWARD_THREADS,
        .shared_bytes = ranges_begin + (uint32_t)tile * BACKWARD_RANGE_BYTES,
    };
    const bool is_f64 = job->dtype == RBC__F64;
    const rbc__cuda_kernel kernel =
        is_simple(job, are_cached)
            ? (is_f64 ? RBC__CUDA_backward_rows_f64 : RBC__CUDA_backward_rows_f32)
            : (is_f64 ? RBC__CUDA_backward_generic_rows_f64 : RBC__CUDA_backward_generic_rows_f32);
    return rbc__cuda_launch(queue, kernel, shape, &launch, err);
}
