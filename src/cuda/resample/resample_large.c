#include <math.h>

#include "cuda/resample/large_params.h"
#include "cuda/resample/resample_launch.h"

_Static_assert(sizeof(large_launch) <= 4096, "kernel parameters of every device");

enum {
    THREADS = 128,           /* where a row leaves the choice */
    VEC16S_EACH = 8,         /* of output, for a thread */
    LEAST_BYTES = 16 * 1024, /* of output, for each multiprocessor */
    TURNS = 2,               /* of blocks, before threads make all of VEC16S_EACH */
    MAX_TILE = 512,          /* targets */
    MAX_SAMPLES = 1 << 30,   /* so that places in a row are 31-bit */
};

bool rbc__cuda_is_memory_bound(const rbc__resample_job *job, int32_t multiprocessors) {
    const rbc__resample_source *source = &job->sources[0];
    const int64_t row = source->num_channels * rbc__dtype_bytes(job->dtype);
    return job->num_sources == 1 && job->valid == NULL && job->dt == NULL &&
           source->outside == RBC_OUTSIDE_HOLD && source->lengths == NULL &&
           source->num_samples > 0 && source->num_samples <= MAX_SAMPLES &&
           job->num_targets <= INT32_MAX && source->sample_stride_bytes >= 0 &&
           source->sample_stride_bytes <= UINT32_MAX / source->num_samples &&
           source->times_stride_bytes == rbc__cuda_stamp_bytes(job->time_type) &&
           rbc__cuda_granule(job) == RBC__CUDA_VEC16_BYTES &&
           job->batch * job->num_targets * row >= (int64_t)LEAST_BYTES * multiprocessors;
}

/* Rows side by side in a block, or parts of a row one after the other; returns the threads. */
static uint32_t choose_tile(const rbc__resample_job *job, int32_t multiprocessors,
                            large_launch *launch) {
    const int64_t vec16s = launch->row_slices;
    const int64_t passes = (vec16s + LARGE_MAX_THREADS - 1) / LARGE_MAX_THREADS;
    const int64_t columns = (vec16s + passes - 1) / passes;
    const int64_t groups = rbc__max64(THREADS / columns, 1);
    const int64_t at_once = (int64_t)LARGE_BLOCKS * LARGE_MAX_THREADS * multiprocessors;
    int64_t each = rbc__min64(VEC16S_EACH / passes, MAX_TILE / groups);
    if (job->batch * job->num_targets * vec16s < TURNS * each * at_once) {
        each = LARGE_IN_FLIGHT;
    }
    each = rbc__max64(each - each % LARGE_IN_FLIGHT, LARGE_IN_FLIGHT);
    const int64_t tile = rbc__min64(groups * each, job->num_targets);
    launch->columns = (uint32_t)columns;
    launch->targets_each = (uint32_t)each;
    launch->num_brackets = (uint32_t)(groups * each);
    launch->tile = (uint32_t)tile;
    launch->num_tiles = (uint32_t)((job->num_targets + tile - 1) / tile);
    rbc__cuda_divide_by(launch->columns, &launch->columns_magic, &launch->columns_shift);
    rbc__cuda_divide_by(launch->num_tiles, &launch->tiles_magic, &launch->tiles_shift);
    return (uint32_t)((groups * columns + 31) & ~INT64_C(31));
}

/* Stamps for a tile: where samples and targets are spread alike at random, those looked for are
 * further from where they are expected than `margin` in one of a million tiles. Returns the bytes
 * of them. */
static uint32_t choose_window(const rbc__resample_job *job, large_launch *launch) {
    const rbc__resample_source *source = &job->sources[0];
    const int64_t stamp = rbc__cuda_stamp_bytes(job->time_type);
    const double samples = (double)source->num_samples;
    const double share = samples / (double)job->num_targets;
    const double margin = 2.5 * sqrt(samples + share * samples) + 8.0;
    const double reach = 0.5 * launch->tile * share + margin;
    const double window = 2.0 * reach + 8.0 < samples ? 2.0 * reach + 8.0 : samples;
    int64_t all = (int64_t)(uintptr_t)source->times | source->num_samples * stamp;
    all |= job->batch > 1 ? source->times_batch_stride_bytes : 0;
    launch->are_vec16s = all % RBC__CUDA_VEC16_BYTES == 0;
    launch->samples_per_tile = (float)(launch->tile * share);
    if (window * (double)stamp > (double)LARGE_MAX_WINDOW_BYTES) {
        return 0;
    }
    launch->reach = (uint32_t)(reach < samples ? reach : samples);
    return ((uint32_t)window * (uint32_t)stamp + RBC__CUDA_VEC16_BYTES - 1) &
           ~(uint32_t)(RBC__CUDA_VEC16_BYTES - 1);
}

rbc_status rbc__cuda_launch_large(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                  rbc_error *err) {
    const rbc__resample_source *source = &job->sources[0];
    const int64_t row = source->num_channels * rbc__dtype_bytes(job->dtype);
    large_launch launch = {
        .times = source->times,
        .times_batch_stride = source->times_batch_stride_bytes,
        .targets = job->targets,
        .targets_batch_stride = job->targets_batch_stride_bytes,
        .targets_stride = job->targets_stride_bytes,
        .values = source->values,
        .batch_stride = source->batch_stride_bytes,
        .out = job->out,
        .out_batch_stride = job->out_batch_stride_bytes,
        .out_target_stride = job->out_target_stride_bytes,
        .num_samples = (uint32_t)source->num_samples,
        .num_targets = (uint32_t)job->num_targets,
        .sample_stride = (uint32_t)source->sample_stride_bytes,
        .mode = (uint32_t)source->runs[0].mode,
        .time_type = (uint32_t)job->time_type,
        .row_slices = (uint32_t)(row / RBC__CUDA_VEC16_BYTES),
    };
    const uint32_t threads = choose_tile(job, queue->multiprocessors, &launch);
    launch.brackets_begin = choose_window(job, &launch);
    while (launch.lanes_log < 5 && launch.tile << (launch.lanes_log + 1) <= threads) {
        ++launch.lanes_log;
    }
    launch.lanes_share = 1.0F / (float)((1U << launch.lanes_log) + 1);
    const rbc__cuda_shape shape = {
        .blocks = job->batch <= INT32_MAX / (int64_t)launch.num_tiles
                      ? job->batch * launch.num_tiles
                      : INT64_MAX,
        .blocks_y = 1,
        .threads = threads,
        .shared_bytes = launch.brackets_begin + launch.num_brackets * LARGE_BRACKET_BYTES,
    };
    static const rbc__cuda_kernel kernels[RBC__NUM_DTYPES] = {
        RBC__CUDA_VALUES_OF(resample_large, copy)};
    return rbc__cuda_launch(queue, kernels[job->dtype], shape, &launch, err);
}
