#include "cuda/resample/resample_launch.h"

bool rbc__cuda_has_whole_rows(const rbc__resample_job *job) {
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
            rbc__cuda_skips_missing(job->dtype, source) || source->num_channels == 0 ||
            (source->channel_stride_bytes != bytes && source->num_channels > 1)) {
            return false;
        }
    }
    return true;
}

/* Whether the kernels with the fewest instructions will do: no lengths, no outputs beside the
 * values, end samples held, so that limits do not matter, and all stamps in shared memory. */
static bool is_simple(const rbc__resample_job *job, const resample_source *sources) {
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

/* By log2 of the granule, which is no smaller than a value, and type. */
#define PACKED_KERNELS(kind)                                                                       \
    {                                                                                              \
        {RBC__CUDA_OTHERS_OF(kind##_1, copy)},                                                     \
            {[RBC__F16] = RBC__CUDA_##kind##_2_f16,                                                \
             [RBC__BF16] = RBC__CUDA_##kind##_2_bf16,                                              \
             RBC__CUDA_OTHERS_OF(kind##_2, copy)},                                                 \
            {[RBC__F32] = RBC__CUDA_##kind##_4_f32,                                                \
             [RBC__F16] = RBC__CUDA_##kind##_4_f16,                                                \
             [RBC__BF16] = RBC__CUDA_##kind##_4_bf16,                                              \
             RBC__CUDA_OTHERS_OF(kind##_4, copy)},                                                 \
        {                                                                                          \
            RBC__CUDA_VALUES_OF(kind##_8, copy)                                                    \
        }                                                                                          \
    }

static rbc__cuda_kernel packed_kernel(rbc__dtype dtype, int64_t granule, bool simple) {
    static const rbc__cuda_kernel simple_kernels[4][RBC__NUM_DTYPES] = PACKED_KERNELS(pack);
    static const rbc__cuda_kernel generic_kernels[4][RBC__NUM_DTYPES] =
        PACKED_KERNELS(pack_generic);
    const int log = __builtin_ctz((unsigned)granule);
    return simple ? simple_kernels[log][dtype] : generic_kernels[log][dtype];
}

static rbc__cuda_kernel row_kernel(rbc__dtype dtype, bool simple) {
    static const rbc__cuda_kernel simple_kernels[RBC__NUM_DTYPES] = {
        RBC__CUDA_VALUES_OF(rows, copy)};
    static const rbc__cuda_kernel generic_kernels[RBC__NUM_DTYPES] = {
        RBC__CUDA_VALUES_OF(rows_generic, copy)};
    return simple ? simple_kernels[dtype] : generic_kernels[dtype];
}

rbc_status rbc__cuda_launch_rows(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                 rbc_error *err) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    const int64_t row = rbc__cuda_num_columns(job) * bytes;
    const int64_t granule = rbc__cuda_granule(job);
    const bool aligned = granule == RBC__CUDA_VEC16_BYTES;
    resample_launch_many many = {0}; /* also what no source uses: launches are compared */
    many.launch = rbc__cuda_describe_job(job);
    for (int32_t i = 0; i < job->num_sources; ++i) {
        many.sources[i] = rbc__cuda_describe_source(job->dtype, &job->sources[i], 0, bytes);
    }
    const uint32_t cached = rbc__cuda_share_cache(many.sources, job->num_sources, job->time_type);
    const int64_t tile = rbc__cuda_choose_tile(
        job, queue->multiprocessors, row, cached, RESAMPLE_ROW_PAIR_BYTES,
        aligned ? RBC__CUDA_SMALL_TILE_BYTES / 4 : RBC__CUDA_SMALL_TILE_BYTES / 3);
    rbc__cuda_set_tile(&many.launch, tile);
    many.launch.brackets_begin = cached;
    rbc__cuda_set_row_slices(&many.launch, (uint32_t)(aligned ? row / RBC__CUDA_VEC16_BYTES : row));
    const bool simple = is_simple(job, many.sources);
    const rbc__cuda_kernel kernel =
        aligned ? row_kernel(job->dtype, simple) : packed_kernel(job->dtype, granule, simple);
    const uint32_t threads = tile * row <= RBC__CUDA_THREADS / 2 * RBC__CUDA_VEC16_BYTES
                                 ? RBC__CUDA_THREADS / 2
                                 : RBC__CUDA_THREADS;
    const rbc__cuda_shape shape = {
        .blocks = job->batch * many.launch.num_tiles,
        .blocks_y = 1,
        .threads = threads,
        .shared_bytes = cached + (uint32_t)(job->num_sources * tile * RESAMPLE_ROW_PAIR_BYTES),
    };
    return rbc__cuda_launch(queue, kernel, shape, &many, err);
}
