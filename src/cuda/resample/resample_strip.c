#include "cuda/resample/resample_launch.h"
#include "cuda/resample/strip_params.h"

_Static_assert(sizeof(strip_launch) <= 4096, "kernel parameters of every device");

enum {
    MAX_TARGETS = 512, /* brackets of all targets are in shared memory at once */
    MIN_STRIP_BYTES = 32,
    WIDE_STRIP_BYTES = 128,
    MAX_STRIP_BYTES = 256,
    MAX_SHARED_BYTES = 44 * 1024, /* so that five blocks fit on a multiprocessor */
    SMALL_FETCH_BYTES = 16 * 1024,
};

static int64_t row_bytes(const rbc__resample_job *job, int32_t source) {
    return job->sources[source].num_channels * rbc__dtype_bytes(job->dtype);
}

static bool is_short(const rbc__resample_source *source) {
    return source->outside == RBC_OUTSIDE_HOLD && source->lengths == NULL &&
           source->num_samples > 0 && source->num_samples <= MAX_SHARED_BYTES;
}

/* Whether so few of a source's samples are used that fetching them all does not pay. */
static bool reads_few(const rbc__resample_job *job, int32_t source) {
    const rbc__resample_source *from = &job->sources[source];
    return from->num_samples > job->num_targets + job->num_targets / 4 &&
           from->sample_stride_bytes > 0 &&
           from->sample_stride_bytes <= UINT32_MAX / from->num_samples;
}

static rbc__cuda_strips cut_at(const rbc__resample_job *job, int64_t granule, uint32_t lanes_log,
                               bool is_small) {
    const int64_t strip = granule << lanes_log;
    int64_t most = 0;
    int64_t fetched = 0;
    rbc__cuda_strips cut = {.granule = granule, .lanes_log = lanes_log};
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const int64_t num_samples = job->sources[i].num_samples;
        cut.from_global[i] = !is_small && reads_few(job, i);
        cut.any_from_global |= cut.from_global[i];
        most = rbc__max64(num_samples, most);
        fetched = rbc__max64(cut.from_global[i] ? 0 : num_samples, fetched);
        cut.num_strips += (uint32_t)((row_bytes(job, i) + strip - 1) / strip);
    }
    const int64_t stamps = rbc__round_up(fetched * strip, RBC__CUDA_VEC16_BYTES);
    const int64_t brackets =
        stamps + rbc__round_up(most * rbc__cuda_stamp_bytes(job->time_type), RBC__CUDA_VEC16_BYTES);
    cut.stamps_begin = (uint32_t)stamps;
    cut.brackets_begin = (uint32_t)brackets;
    cut.shared_bytes = (uint32_t)(brackets + job->num_targets * STRIP_BRACKET_BYTES);
    return cut;
}

/* The widest strips that leave a block for every multiprocessor; false where none fit. */
static bool choose_strips(const rbc__resample_job *job, int32_t multiprocessors,
                          rbc__cuda_strips *out) {
    const int64_t granule = rbc__cuda_granule(job);
    int64_t widest = 0;
    int64_t fetched = 0;
    for (int32_t i = 0; i < job->num_sources; ++i) {
        if (!is_short(&job->sources[i])) {
            return false;
        }
        widest = rbc__max64(row_bytes(job, i), widest);
        fetched += job->sources[i].num_samples * row_bytes(job, i);
    }
    const int64_t made =
        job->num_targets * rbc__cuda_num_columns(job) * rbc__dtype_bytes(job->dtype);
    const bool is_small = job->batch * fetched <= (int64_t)SMALL_FETCH_BYTES * multiprocessors;
    if (granule < 4 || (!is_small && fetched > made + made / 4)) {
        return false;
    }
    const int64_t least =
        rbc__min64(is_small ? MIN_STRIP_BYTES : WIDE_STRIP_BYTES, rbc__max64(widest, granule));
    bool found = false;
    for (uint32_t log = 0; granule << log <= MAX_STRIP_BYTES; ++log) {
        const rbc__cuda_strips cut = cut_at(job, granule, log, is_small);
        if (granule << log < least && granule << log < widest) {
            continue;
        }
        if (cut.shared_bytes > MAX_SHARED_BYTES ||
            (found &&
             (job->batch * cut.num_strips < multiprocessors || granule << log >= 2 * widest))) {
            break;
        }
        *out = cut;
        found = true;
    }
    return found;
}

bool rbc__cuda_cut_strips(const rbc__resample_job *job, int32_t multiprocessors,
                          rbc__cuda_strips *out) {
    return job->valid == NULL && job->dt == NULL && job->batch <= UINT16_MAX &&
           job->num_targets <= MAX_TARGETS && choose_strips(job, multiprocessors, out);
}

static rbc__cuda_kernel strip_kernel(rbc__dtype dtype, int64_t granule) {
    static const rbc__cuda_kernel by_16[RBC__NUM_DTYPES] = {RBC__CUDA_VALUES_OF(strip_16, copy)};
    static const rbc__cuda_kernel by_8[RBC__NUM_DTYPES] = {RBC__CUDA_VALUES_OF(strip_8, copy)};
    static const rbc__cuda_kernel by_4[RBC__NUM_DTYPES] = {[RBC__F32] = RBC__CUDA_strip_4_f32,
                                                           [RBC__F16] = RBC__CUDA_strip_4_f16,
                                                           [RBC__BF16] = RBC__CUDA_strip_4_bf16,
                                                           RBC__CUDA_OTHERS_OF(strip_4, copy)};
    return granule == 16 ? by_16[dtype] : granule == 8 ? by_8[dtype] : by_4[dtype];
}

rbc_status rbc__cuda_launch_strips(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                   const rbc__cuda_strips *cut, rbc_error *err) {
    const int64_t outputs = job->num_targets << cut->lanes_log;
    strip_launch launch = {
        .targets = job->targets,
        .targets_batch_stride = job->targets_batch_stride_bytes,
        .targets_stride = job->targets_stride_bytes,
        .out = job->out,
        .out_batch_stride = job->out_batch_stride_bytes,
        .out_target_stride = job->out_target_stride_bytes,
        .num_targets = (uint32_t)job->num_targets,
        .num_sources = (uint32_t)job->num_sources,
        .lanes_log = cut->lanes_log,
        .one_each = outputs <= RBC__CUDA_THREADS && !cut->any_from_global,
        .time_type = (uint32_t)job->time_type,
        .stamps_begin = cut->stamps_begin,
        .brackets_begin = cut->brackets_begin,
    };
    const int64_t strip = cut->granule << cut->lanes_log;
    uint32_t strips = 0;
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *from = &job->sources[i];
        launch.sources[i] = (strip_source){
            .values = from->values,
            .batch_stride = from->batch_stride_bytes,
            .times = from->times,
            .times_batch_stride = from->times_batch_stride_bytes,
            .times_stride = from->times_stride_bytes,
            .sample_stride = from->sample_stride_bytes,
            .num_samples = (uint32_t)from->num_samples,
            .out_begin = (uint32_t)(from->out_channel * rbc__dtype_bytes(job->dtype)),
            .width = (uint32_t)row_bytes(job, i),
            .first_strip = strips,
            .mode = (uint32_t)from->runs[0].mode,
            .from_global = cut->from_global[i],
        };
        strips += (uint32_t)((row_bytes(job, i) + strip - 1) / strip);
    }
    const rbc__cuda_shape shape = {
        .blocks = cut->num_strips,
        .blocks_y = (uint32_t)job->batch,
        .threads = outputs <= RBC__CUDA_THREADS / 2 ? RBC__CUDA_THREADS / 2 : RBC__CUDA_THREADS,
        .shared_bytes = cut->shared_bytes,
    };
    return rbc__cuda_launch(queue, strip_kernel(job->dtype, cut->granule), shape, &launch, err);
}
