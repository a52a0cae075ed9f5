#include "cuda/resample/resample_launch.h"

bool rbc__cuda_moves_rows(const rbc__resample_job *job) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    const int64_t row = rbc__cuda_num_columns(job) * bytes;
    if (job->num_sources > RESAMPLE_MAX_SOURCES || row > RBC__CUDA_MAX_ROW_BYTES ||
        (job->out_channel_stride_bytes != bytes && rbc__cuda_num_columns(job) > 1) ||
        (job->out_target_stride_bytes != row && job->num_targets > 1)) {
        return false;
    }
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *source = &job->sources[i];
        if (source->num_runs != 1 || source->runs[0].mode > RBC_RESAMPLE_NEAREST ||
            rbc__cuda_skips_missing(job, source) || source->num_channels == 0 ||
            (source->channel_stride_bytes != bytes && source->num_channels > 1)) {
            return false;
        }
    }
    return true;
}

/* Whether the kernels with the fewest instructions will do: no lengths, no outputs beside the
 * values, end samples held, so that limits do not matter, and all stamps in shared memory. */
static bool is_plain(const rbc__resample_job *job, const resample_source *sources) {
    if (job->valid != NULL || job->dt != NULL) {
        return false;
    }
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *source = &job->sources[i];
        if (source->outside != RBC_OUTSIDE_HOLD || source->lengths != NULL ||
            source->num_samples == 0 || source->num_samples > (int64_t)sources[i].cache_capacity ||
            source->times_stride_bytes != rbc__cuda_stamp_bytes(job->time_type)) {
            return false;
        }
    }
    return true;
}

static rbc__cuda_kernel packed_kernel(rbc__dtype dtype, int64_t granule, bool plain) {
    int kernel = RBC__CUDA_pack_copy_1;
    switch (dtype) {
    case RBC__F32:
        kernel = granule == 8 ? RBC__CUDA_pack_f32_8 : RBC__CUDA_pack_f32_4;
        break;
    case RBC__F64:
        kernel = RBC__CUDA_pack_f64_8;
        break;
    case RBC__F16:
        kernel = granule == 8   ? RBC__CUDA_pack_f16_8
                 : granule == 4 ? RBC__CUDA_pack_f16_4
                                : RBC__CUDA_pack_f16_2;
        break;
    case RBC__BF16:
        kernel = granule == 8   ? RBC__CUDA_pack_bf16_8
                 : granule == 4 ? RBC__CUDA_pack_bf16_4
                                : RBC__CUDA_pack_bf16_2;
        break;
    default:
        kernel = granule == 8   ? RBC__CUDA_pack_copy_8
                 : granule == 4 ? RBC__CUDA_pack_copy_4
                 : granule == 2 ? RBC__CUDA_pack_copy_2
                                : RBC__CUDA_pack_copy_1;
        break;
    }
    /* The kernel for anything but plain sources comes right after its plain twin. */
    return (rbc__cuda_kernel)(kernel + (plain ? 0 : 1));
}

static rbc__cuda_kernel row_kernel(rbc__dtype dtype, bool plain, bool one) {
    const int value = dtype <= RBC__BF16 ? (int)dtype : 4;
    const int first = !plain ? RBC__CUDA_fuse_any_f32
                      : !one ? RBC__CUDA_fuse_f32
                             : RBC__CUDA_resample_f32;
    return (rbc__cuda_kernel)(first + value);
}

rbc_status rbc__cuda_launch_rows(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                 rbc_error *err) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    const int64_t row = rbc__cuda_num_columns(job) * bytes;
    const int64_t granule = rbc__cuda_granule(job);
    const bool aligned = granule == RBC__CUDA_CHUNK_BYTES;
    resample_launch_many many = {0}; /* also what no source uses: launches are compared */
    many.launch = rbc__cuda_describe_job(job);
    for (int32_t i = 0; i < job->num_sources; ++i) {
        many.sources[i] = rbc__cuda_describe_source(job, &job->sources[i], 0, bytes);
    }
    const uint32_t cached = rbc__cuda_share_cache(many.sources, job->num_sources, job->time_type);
    const int64_t tile = rbc__cuda_choose_tile(
        job, queue->multiprocessors, row, cached, RESAMPLE_ROW_PAIR_BYTES,
        aligned ? RBC__CUDA_SMALL_TILE_BYTES / 4 : RBC__CUDA_SMALL_TILE_BYTES / 3);
    rbc__cuda_set_tile(&many.launch, tile);
    many.launch.brackets_begin = cached;
    rbc__cuda_set_row_units(&many.launch, (uint32_t)(aligned ? row / RBC__CUDA_CHUNK_BYTES : row));
    const bool plain = is_plain(job, many.sources);
    const bool one = aligned && plain && job->num_sources == 1;
    const rbc__cuda_kernel kernel =
        aligned ? row_kernel(job->dtype, plain, one) : packed_kernel(job->dtype, granule, plain);
    const uint32_t threads = tile * row <= RBC__CUDA_THREADS / 2 * RBC__CUDA_CHUNK_BYTES
                                 ? RBC__CUDA_THREADS / 2
                                 : RBC__CUDA_THREADS;
    const rbc__cuda_shape shape = {
        .blocks = job->batch * many.launch.num_tiles,
        .blocks_y = 1,
        .threads = threads,
        .shared_bytes = cached + (uint32_t)(job->num_sources * tile * RESAMPLE_ROW_PAIR_BYTES),
    };
    if (one) {
        const resample_launch_one single = {many.launch, {many.sources[0]}};
        return rbc__cuda_launch(queue, kernel, shape, &single, err);
    }
    return rbc__cuda_launch(queue, kernel, shape, &many, err);
}
