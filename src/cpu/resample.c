#include "cpu/resample.h"

#include <stdatomic.h>

#include "core/context.h"
#include "cpu/resample_tile.h"

/* Below this many bytes of output a second thread takes longer to wake than the job. */
#define MIN_PARALLEL_BYTES 16384
/* A source of more bytes than this is not found in a core's own caches. */
#define FAR_BYTES (INT64_C(8) << 20)
/* Parts a thread gets on average, so that a slow one does not keep the others waiting. */
#define PARTS_PER_THREAD 4

/* A slice is one tile of one batch row. Where one source and the targets are shared by all batch
 * rows a tile is searched once: slices then run through the batch first. */
typedef struct work {
    const rbc__resample_job *job;
    const rbc__resample_kernels *kernels;
    int64_t num_tiles, num_slices, slices_a_part;
    bool is_shared;
    _Atomic bool is_wrong; /* a time was found that may not be */
} work;

/* Which ISAs a kernel is compiled for is in src/cpu/CMakeLists.txt. */
#define TIMES_OF(isa, type)                                                                        \
    ((type) == RBC__TIME_I64   ? &rbc__resample_times_i64_##isa                                    \
     : (type) == RBC__TIME_F64 ? &rbc__resample_times_f64_##isa                                    \
                               : &rbc__resample_times_f32_##isa)
#define KERNELS_OF(isa, type)                                                                      \
    (rbc__resample_kernels) {                                                                      \
        TIMES_OF(isa, type), &rbc__resample_blend_##isa, &rbc__resample_reduce_##isa               \
    }

rbc__resample_kernels rbc__resample_kernels_of(uint64_t cpu_features, rbc__time_type type) {
#if defined(__x86_64__)
    if ((cpu_features & RBC_CPU_AVX2) != 0) {
        rbc__resample_kernels kernels = KERNELS_OF(avx2, type);
        if ((cpu_features & RBC_CPU_AVX512) != 0) {
            kernels.blend = &rbc__resample_blend_avx512;
            kernels.times = type == RBC__TIME_I64 ? &rbc__resample_times_i64_avx512 : kernels.times;
        }
        return kernels;
    }
#endif
    (void)cpu_features;
    return KERNELS_OF(baseline, type);
}

static int64_t samples_in(const rbc__resample_source *source, int64_t b) {
    if (source->lengths == NULL) {
        return source->num_samples;
    }
    const void *length = source->lengths + b * source->lengths_stride_bytes;
    return source->lengths_are_i64 ? *(const int64_t *)length : *(const int32_t *)length;
}

rbc__time_axis rbc__resample_axis(const rbc__resample_job *job, const rbc__resample_source *source,
                                  int64_t b) {
    return (rbc__time_axis){
        .times = source->times + b * source->times_batch_stride_bytes,
        .stride_bytes = source->times_stride_bytes,
        .num_samples = samples_in(source, b),
        .targets = job->targets + b * job->targets_batch_stride_bytes,
        .targets_stride_bytes = job->targets_stride_bytes,
        .num_targets = job->num_targets,
        .max_gap = source->max_gap,
        .tolerance = source->tolerance,
        .max_gap_ns = source->max_gap_ns,
        .tolerance_ns = source->tolerance_ns,
    };
}

/* False when a time is wrong: `times` then holds nothing that could be used. */
static bool run_tile(work *w, int64_t b, int64_t tile, int32_t s, bool is_searched,
                     rbc__tile_times *times) {
    const rbc__resample_job *job = w->job;
    const rbc__resample_source *source = &job->sources[s];
    const rbc__time_kernels *time_kernels = w->kernels->times;
    rbc__time_axis axis = rbc__resample_axis(job, source, b);
    axis.first = tile * RBC__TILE;
    axis.count = job->num_targets - axis.first;
    axis.count = axis.count < RBC__TILE ? axis.count : RBC__TILE;
    if (!is_searched && axis.num_samples > 0) {
        if ((tile == 0 && !time_kernels->check(&axis)) ||
            !rbc__tile_search(time_kernels, &axis, source, times)) {
            atomic_store_explicit(&w->is_wrong, true, memory_order_relaxed);
            return false;
        }
    }
    rbc__tile_output output = {
        .out = job->out + b * job->out_batch_stride_bytes +
               axis.first * job->out_target_stride_bytes +
               source->out_channel * job->out_channel_stride_bytes,
        .target_stride_bytes = job->out_target_stride_bytes,
        .channel_stride_bytes = job->out_channel_stride_bytes,
        .valid_stride_bytes = job->valid_target_stride_bytes,
        .dt_stride_bytes = job->dt_target_stride_bytes,
    };
    if (job->valid != NULL) {
        output.valid = job->valid + b * job->valid_batch_stride_bytes +
                       axis.first * job->valid_target_stride_bytes +
                       s * job->valid_source_stride_bytes;
    }
    if (job->dt != NULL) {
        output.dt =
            job->dt + b * job->dt_batch_stride_bytes + axis.first * job->dt_target_stride_bytes;
    }
    const int64_t row_bytes = source->num_channels * rbc__dtype_bytes(job->dtype);
    const bool is_far = job->batch * source->num_samples > FAR_BYTES / (row_bytes + 1);
    rbc__tile_write(w->kernels, &axis, source, job->dtype,
                    source->values + b * source->batch_stride_bytes, is_far, times, &output);
    return true;
}

static void run_part(void *argument, int64_t part) {
    work *w = argument;
    const rbc__resample_job *job = w->job;
    const int64_t begin = part * w->slices_a_part;
    const int64_t end =
        w->num_slices - begin < w->slices_a_part ? w->num_slices : begin + w->slices_a_part;
    rbc__tile_times times;
    int64_t searched = -1;
    for (int64_t slice = begin; slice < end; ++slice) {
        const int64_t b = w->is_shared ? slice % job->batch : slice / w->num_tiles;
        const int64_t tile = w->is_shared ? slice / job->batch : slice % w->num_tiles;
        for (int32_t s = 0; s < job->num_sources; ++s) {
            if (!run_tile(w, b, tile, s, w->is_shared && tile == searched, &times)) {
                return;
            }
        }
        searched = tile;
    }
}

static work work_of(const rbc__resample_job *job, const rbc__resample_kernels *kernels) {
    work w = {
        .job = job,
        .kernels = kernels,
        .num_tiles = (job->num_targets + RBC__TILE - 1) / RBC__TILE,
        /* One set of brackets is kept at a time, so it can be shared by one source alone. */
        .is_shared = job->num_sources == 1 && job->targets_batch_stride_bytes == 0,
    };
    for (int32_t s = 0; s < job->num_sources; ++s) {
        w.is_shared &=
            job->sources[s].times_batch_stride_bytes == 0 && job->sources[s].lengths == NULL;
    }
    w.num_slices = job->batch * w.num_tiles;
    w.slices_a_part = w.num_slices;
    return w;
}

/* On the calling thread alone. */
static rbc_status run_alone(uint64_t cpu_features, const rbc__resample_job *job, rbc_error *err) {
    const rbc__resample_kernels kernels = rbc__resample_kernels_of(cpu_features, job->time_type);
    work w = work_of(job, &kernels);
    if (w.num_slices > 0) {
        run_part(&w, 0);
    }
    return atomic_load_explicit(&w.is_wrong, memory_order_relaxed) ? rbc__report_bad_time(job, err)
                                                                   : RBC_OK;
}

static int64_t output_bytes(const rbc__resample_job *job) {
    int64_t num_channels = 0;
    for (int32_t s = 0; s < job->num_sources; ++s) {
        num_channels += job->sources[s].num_channels;
    }
    return job->batch * job->num_targets * num_channels * rbc__dtype_bytes(job->dtype);
}

rbc_status rbc__cpu_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                             void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    const int64_t num_threads = rbc__pool_num_threads(context->pool);
    if (num_threads == 1 || output_bytes(job) < MIN_PARALLEL_BYTES) {
        return run_alone(context->cpu_features, job, err);
    }
    const rbc__resample_kernels kernels =
        rbc__resample_kernels_of(context->cpu_features, job->time_type);
    work w = work_of(job, &kernels);
    const int64_t num_parts = num_threads * PARTS_PER_THREAD;
    w.slices_a_part = (w.num_slices + num_parts - 1) / num_parts;
    rbc__pool_run(context->pool, (w.num_slices + w.slices_a_part - 1) / w.slices_a_part, run_part,
                  &w);
    return atomic_load_explicit(&w.is_wrong, memory_order_relaxed) ? rbc__report_bad_time(job, err)
                                                                   : RBC_OK;
}
