#include <math.h>

#include "cuda/kernels/large_params.h"
#include "cuda/resample_launch.h"

_Static_assert(sizeof(large_launch) <= 4096, "kernel parameters of every device");

enum {
    TILE_BYTES = 16 * 1024, /* of output for a block */
    MAX_TILE = 512,         /* targets */
    MAX_SAMPLES = 1 << 30,  /* so that places in a row are 31-bit */
};

bool rbc__cuda_suits_large(const rbc__resample_job *job, int32_t multiprocessors) {
    const rbc__resample_source *source = &job->sources[0];
    const int64_t row = source->num_channels * rbc__dtype_bytes(job->dtype);
    return job->num_sources == 1 && job->valid == NULL && job->dt == NULL &&
           source->outside == RBC_OUTSIDE_HOLD && source->lengths == NULL &&
           source->num_samples > 0 && source->num_samples <= MAX_SAMPLES &&
           source->sample_stride_bytes >= 0 && source->sample_stride_bytes <= UINT32_MAX &&
           source->times_stride_bytes == rbc__cuda_stamp_bytes(job->time_type) &&
           rbc__cuda_granule(job) == RBC__CUDA_CHUNK_BYTES &&
           job->batch * job->num_targets * row >
               (int64_t)RBC__CUDA_ONE_TURN_BYTES * RBC__CUDA_BLOCKS_AT_ONCE * multiprocessors;
}

/* Stamps for a tile: where samples and targets are spread alike at random, those looked for are
 * further from where they are expected than `margin` in one of a million tiles. */
static void choose_window(const rbc__resample_job *job, large_launch *launch) {
    const double samples = (double)job->sources[0].num_samples;
    const double targets = (double)job->num_targets;
    const double margin = 2.5 * sqrt(samples + samples / targets * samples) + 8.0;
    const double window = launch->launch.tile * (samples / targets) + 2.0 * margin + 8.0;
    const double stamp = (double)rbc__cuda_stamp_bytes(job->time_type);
    const double shorter = window < samples ? window : samples;
    launch->samples_per_target = (float)(samples / targets);
    launch->margin = (uint32_t)margin;
    launch->max_window = shorter * stamp <= (double)LARGE_MAX_WINDOW_BYTES ? (uint32_t)shorter : 0;
}

rbc_status rbc__cuda_launch_large(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                  rbc_error *err) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    const int64_t row = job->sources[0].num_channels * bytes;
    large_launch launch = {
        .launch = rbc__cuda_describe_job(job),
        .source = rbc__cuda_describe_source(job, &job->sources[0], 0, bytes),
        .sample_stride32 = (uint32_t)job->sources[0].sample_stride_bytes,
    };
    int64_t tile = rbc__at_most(rbc__at_least(TILE_BYTES / row, 1), MAX_TILE);
    tile = rbc__at_most(tile, job->num_targets);
    const int64_t tiles = (job->num_targets + tile - 1) / tile;
    tile = (job->num_targets + tiles - 1) / tiles;
    rbc__cuda_set_tile(&launch.launch, tile);
    rbc__cuda_set_row_units(&launch.launch, (uint32_t)(row / RBC__CUDA_CHUNK_BYTES));
    choose_window(job, &launch);
    while (launch.lanes_log < 5 && tile << (launch.lanes_log + 1) <= LARGE_THREADS) {
        ++launch.lanes_log;
    }
    launch.lanes_share = 1.0F / (float)((1U << launch.lanes_log) + 1);
    const int64_t window = (int64_t)launch.max_window * rbc__cuda_stamp_bytes(job->time_type);
    launch.launch.brackets_begin =
        (uint32_t)((window + RBC__CUDA_CHUNK_BYTES - 1) & ~(int64_t)(RBC__CUDA_CHUNK_BYTES - 1));
    const rbc__cuda_shape shape = {
        .blocks = job->batch * launch.launch.num_tiles,
        .blocks_y = 1,
        .threads = LARGE_THREADS,
        .shared_bytes = launch.launch.brackets_begin + (uint32_t)tile * LARGE_BRACKET_BYTES,
    };
    const int value = job->dtype <= RBC__BF16 ? (int)job->dtype : 4;
    return rbc__cuda_launch(queue, (rbc__cuda_kernel)(RBC__CUDA_resample_large_f32 + value), shape,
                            &launch, err);
}
