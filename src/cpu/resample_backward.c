#include "cpu/resample_backward.h"

#include <stdatomic.h>
#include <string.h>

#include "core/context.h"
#include "cpu/resample.h"
#include "cpu/resample_tile.h"

/* Channels that one part of the job accumulates: enough that searching the times again for each
 * slice costs little. */
#define SLICE_CHANNELS 128

typedef struct work {
    const rbc__resample_job *job;
    const rbc__resample_kernels *kernels;
    int64_t num_slices;
    _Atomic bool is_wrong;
} work;

/* A share of the gradient of one output row that goes to one sample. */
typedef struct share {
    int64_t sample;
    double weight;
} share;

/* Rows of one run of channels within a slice. */
typedef struct rows {
    char *values;
    int64_t sample_stride_bytes, channel_stride_bytes;
    const char *out;
    int64_t out_target_stride_bytes, out_channel_stride_bytes;
    int64_t num_channels;
    rbc__dtype dtype;
} rows;

#define ADD_ROW(type)                                                                              \
    static void add_##type(const rows *r, int64_t target, share to) {                              \
        char *value = r->values + to.sample * r->sample_stride_bytes;                              \
        const char *out = r->out + target * r->out_target_stride_bytes;                            \
        const type weight = (type)to.weight;                                                       \
        if (r->channel_stride_bytes == sizeof(type) &&                                             \
            r->out_channel_stride_bytes == sizeof(type)) {                                         \
            type *restrict sum = (type *)(void *)value;                                            \
            const type *restrict grad = (const type *)(const void *)out;                           \
            for (int64_t c = 0; c < r->num_channels; ++c) {                                        \
                sum[c] += weight * grad[c];                                                        \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (int64_t c = 0; c < r->num_channels; ++c) {                                            \
            *(type *)(void *)(value + c * r->channel_stride_bytes) +=                              \
                weight * *(const type *)(const void *)(out + c * r->out_channel_stride_bytes);     \
        }                                                                                          \
    }
ADD_ROW(float)
ADD_ROW(double)

static void add(const rows *r, int64_t target, int64_t sample, double weight) {
    const share to = {sample, weight};
    if (r->dtype == RBC__F32) {
        add_float(r, target, to);
    } else {
        add_double(r, target, to);
    }
}

static bool fills(rbc_outside outside) {
    return outside == RBC_OUTSIDE_NAN || outside == RBC_OUTSIDE_ZERO;
}

static void add_mean(const rows *r, rbc_outside outside, const rbc__tile_times *times, int64_t j,
                     int64_t target) {
    const int64_t count = times->end[j] - times->begin[j];
    for (int64_t i = times->begin[j]; i < times->end[j]; ++i) {
        add(r, target, i, 1.0 / (double)count);
    }
    if (count <= 0 && !fills(outside)) {
        add(r, target, times->brackets.left[j], 1.0);
    }
}

static void add_picked(const rows *r, rbc_outside outside, bool nearest,
                       const rbc__brackets *brackets, int64_t j, int64_t target) {
    const unsigned invalid =
        RBC__WIDE_GAP | (nearest ? RBC__FAR : (unsigned)(RBC__FAR_LEFT | RBC__BELOW));
    const unsigned flags = brackets->flags[j];
    if ((flags & invalid) == 0 || !fills(outside)) {
        const bool is_right = nearest && (flags & RBC__RIGHT_NEARER) != 0;
        add(r, target, is_right ? brackets->right[j] : brackets->left[j], 1.0);
    }
}

static void add_interpolated(const rows *r, rbc_outside outside, bool is_cubic,
                             const rbc__brackets *brackets, int64_t j, int64_t target) {
    const unsigned flags = brackets->flags[j];
    const bool is_line = (flags & RBC__LINE) != 0;
    if ((flags & (RBC__WIDE_GAP | RBC__FAR)) != 0 && fills(outside)) {
        return;
    }
    if ((flags & RBC__EXACT) != 0 || ((flags & (RBC__BELOW | RBC__ABOVE)) != 0 && !is_line)) {
        add(r, target, brackets->left[j], 1.0);
        return;
    }
    if (!is_cubic || is_line) {
        add(r, target, brackets->left[j], 1.0 - brackets->weight[j]);
        add(r, target, brackets->right[j], brackets->weight[j]);
        return;
    }
    const double before = brackets->before[j], middle = brackets->middle[j],
                 after = brackets->after[j];
    add(r, target, brackets->left[j], 1.0 - middle + before);
    add(r, target, brackets->right[j], middle - after);
    if (before != 0.0) {
        add(r, target, brackets->previous[j], -before);
    }
    if (after != 0.0) {
        add(r, target, brackets->next[j], after);
    }
}

static void add_run(const rows *r, const rbc__resample_source *source, rbc_resample_mode mode,
                    const rbc__time_axis *axis, const rbc__tile_times *times) {
    for (int64_t j = 0; j < axis->count; ++j) {
        const int64_t target = axis->first + j;
        if (mode == RBC_RESAMPLE_MEAN) {
            add_mean(r, source->outside, times, j, target);
        } else if (mode == RBC_RESAMPLE_HOLD || mode == RBC_RESAMPLE_NEAREST) {
            add_picked(r, source->outside, mode == RBC_RESAMPLE_NEAREST, &times->brackets, j,
                       target);
        } else {
            add_interpolated(r, source->outside, mode == RBC_RESAMPLE_CUBIC, &times->brackets, j,
                             target);
        }
    }
}

static void clear(const rbc__resample_source *source, char *values, int64_t begin, int64_t end,
                  int64_t item_bytes) {
    for (int64_t i = 0; i < source->num_samples; ++i) {
        char *row = values + i * source->sample_stride_bytes + begin * source->channel_stride_bytes;
        if (source->channel_stride_bytes == item_bytes) {
            memset(row, 0, (size_t)((end - begin) * item_bytes));
            continue;
        }
        for (int64_t c = begin; c < end; c++, row += source->channel_stride_bytes) {
            memset(row, 0, (size_t)item_bytes);
        }
    }
}

/* One slice of channels of one batch row: nobody else touches that part of the gradient. */
static void run_part(void *argument, int64_t part) {
    work *w = argument;
    const rbc__resample_job *job = w->job;
    const rbc__resample_source *source = &job->sources[0];
    const int64_t b = part / w->num_slices;
    const int64_t begin = part % w->num_slices * SLICE_CHANNELS;
    const int64_t end = source->num_channels - begin < SLICE_CHANNELS ? source->num_channels
                                                                      : begin + SLICE_CHANNELS;
    /* The job's sources are const for the forward pass, which reads them. */
    char *values = (char *)(uintptr_t)source->values + b * source->batch_stride_bytes;
    clear(source, values, begin, end, rbc__dtype_bytes(job->dtype));
    const rbc__time_kernels *time_kernels = w->kernels->times;
    rbc__time_axis axis = rbc__resample_axis(job, source, b);
    if (axis.num_samples == 0) {
        return;
    }
    if (!time_kernels->check(&axis)) {
        atomic_store_explicit(&w->is_wrong, true, memory_order_relaxed);
        return;
    }
    rbc__tile_times times;
    for (axis.first = 0; axis.first < job->num_targets; axis.first += RBC__TILE) {
        axis.count = job->num_targets - axis.first;
        axis.count = axis.count < RBC__TILE ? axis.count : RBC__TILE;
        if (!rbc__tile_search(time_kernels, &axis, source, &times)) {
            atomic_store_explicit(&w->is_wrong, true, memory_order_relaxed);
            return;
        }
        for (int32_t i = 0; i < source->num_runs; ++i) {
            const rbc__channel_run *run = &source->runs[i];
            const int64_t first = run->begin > begin ? run->begin : begin;
            const int64_t last = run->end < end ? run->end : end;
            if (first >= last) {
                continue;
            }
            const rows r = {
                .values = values + first * source->channel_stride_bytes,
                .sample_stride_bytes = source->sample_stride_bytes,
                .channel_stride_bytes = source->channel_stride_bytes,
                .out = job->out + b * job->out_batch_stride_bytes +
                       first * job->out_channel_stride_bytes,
                .out_target_stride_bytes = job->out_target_stride_bytes,
                .out_channel_stride_bytes = job->out_channel_stride_bytes,
                .num_channels = last - first,
                .dtype = job->dtype,
            };
            add_run(&r, source, run->mode, &axis, &times);
        }
    }
}

rbc_status rbc__cpu_resample_backward(rbc_context *context, const rbc__resample_job *job,
                                      int32_t device_id, void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    const rbc__resample_kernels kernels =
        rbc__resample_kernels_of(context->cpu_features, job->time_type);
    work w = {
        .job = job,
        .kernels = &kernels,
        .num_slices = (job->sources[0].num_channels + SLICE_CHANNELS - 1) / SLICE_CHANNELS,
    };
    rbc__pool_run(context->pool, job->batch * w.num_slices, run_part, &w);
    return atomic_load_explicit(&w.is_wrong, memory_order_relaxed) ? rbc__report_bad_time(job, err)
                                                                   : RBC_OK;
}
