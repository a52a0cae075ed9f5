#include "cpu/resample_tile.h"

#include <string.h>

#include "cpu/resample_missing.h"

static bool is_reduction(rbc_resample_mode mode) {
    return mode == RBC_RESAMPLE_MEAN || mode == RBC_RESAMPLE_MAX || mode == RBC_RESAMPLE_MIN;
}

static bool has_mode(const rbc__resample_source *source, rbc_resample_mode mode) {
    for (int32_t i = 0; i < source->num_runs; ++i) {
        if (source->runs[i].mode == mode) {
            return true;
        }
    }
    return false;
}

static bool has_reduction(const rbc__resample_source *source) {
    return has_mode(source, RBC_RESAMPLE_MEAN) || has_mode(source, RBC_RESAMPLE_MAX) ||
           has_mode(source, RBC_RESAMPLE_MIN);
}

static bool has_missing(const rbc__resample_source *source, rbc__dtype dtype) {
    return (source->flags & RBC_NAN_IS_MISSING) != 0 && rbc__dtype_is_float(dtype);
}

static bool extrapolates(const rbc__resample_source *source) {
    return source->outside == RBC_OUTSIDE_EXTRAPOLATE;
}

bool rbc__tile_search(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                      const rbc__resample_source *source, rbc__tile_times *times) {
    if (!kernels->search(axis, &times->brackets)) {
        return false;
    }
    const bool missing = (source->flags & RBC_NAN_IS_MISSING) != 0;
    if (has_reduction(source)) {
        times->begin[0] = kernels->interval_begin(axis);
        for (int64_t j = 0; j < axis->count; ++j) {
            times->end[j] = times->brackets.left[j] + 1;
            if (j > 0) {
                times->begin[j] = times->end[j - 1];
            }
        }
    }
    if (missing) {
        memcpy(times->last, times->brackets.left, (size_t)axis->count * sizeof *times->last);
    }
    const bool is_cubic = has_mode(source, RBC_RESAMPLE_CUBIC);
    if (is_cubic || extrapolates(source)) {
        kernels->neighbours(axis, &times->brackets);
    }
    times->flags = kernels->weigh(axis, extrapolates(source), &times->brackets);
    if (is_cubic) {
        kernels->cubic(axis, &times->brackets);
    }
    return true;
}

static int log2_bytes(rbc__dtype dtype) {
    switch (rbc__dtype_bytes(dtype)) {
    case 1:
        return 0;
    case 2:
        return 1;
    case 4:
        return 2;
    default:
        return 3;
    }
}

/* The item that stands for "no value", in the low bytes. */
static uint64_t fill_item(rbc_outside outside, rbc__dtype dtype) {
    return outside == RBC_OUTSIDE_NAN ? rbc__dtype_nan(dtype) : 0;
}

/* Everything that the steps below share for one run of channels of a tile. */
typedef struct run_state {
    const rbc__resample_kernels *kernels;
    const rbc__time_axis *axis;
    rbc__dtype dtype;
    rbc_resample_mode mode;
    rbc_outside outside;
    rbc__resample_rows rows;
    const int64_t *begin, *end;
    const rbc__channel_view *missing; /* NULL: every sample counts */
    int64_t pick[RBC__TILE];
    uint8_t *valid; /* of the tile; cleared where this run has no value */
} run_state;

static bool fills(const run_state *run) {
    return run->outside == RBC_OUTSIDE_NAN || run->outside == RBC_OUTSIDE_ZERO;
}

static rbc__blend_fn blend_kernel(const run_state *run) {
    const rbc__blend_kernels *blend = run->kernels->blend;
    switch (run->mode) {
    case RBC_RESAMPLE_LINEAR:
        return blend->linear[run->dtype];
    case RBC_RESAMPLE_ANGLE:
        return blend->angle[run->dtype];
    case RBC_RESAMPLE_CUBIC:
        return blend->cubic[run->dtype];
    default:
        return blend->slerp[run->dtype];
    }
}

/* Flags of a target that has no value in a mode, reductions apart. */
static unsigned invalid_flags(rbc_resample_mode mode) {
    return RBC__WIDE_GAP |
           (mode == RBC_RESAMPLE_HOLD ? (unsigned)(RBC__FAR_LEFT | RBC__BELOW) : RBC__FAR);
}

static void copy_rows(const run_state *run, const int64_t *pick, const uint8_t *kind) {
    rbc__resample_copy[log2_bytes(run->dtype)](&run->rows, pick, kind,
                                               fill_item(run->outside, run->dtype));
}

static void interpolate(run_state *run, rbc__brackets *brackets, unsigned flags) {
    const int64_t count = run->axis->count;
    bool copies = false;
    if ((flags & ~(unsigned)RBC__RIGHT_NEARER) == 0) {
        memset(brackets->kind, RBC__ROW_BLEND, (size_t)count);
    } else {
        for (int64_t j = 0; j < count; ++j) {
            const unsigned f = brackets->flags[j];
            const bool is_valid = (f & invalid_flags(run->mode)) == 0;
            const bool is_sample = (f & RBC__EXACT) != 0 ||
                                   ((f & (RBC__BELOW | RBC__ABOVE)) != 0 && (f & RBC__LINE) == 0);
            run->valid[j] &= is_valid;
            brackets->kind[j] = !is_valid && fills(run) ? RBC__ROW_FILL
                                : is_sample             ? RBC__ROW_COPY
                                                        : RBC__ROW_BLEND;
            copies |= brackets->kind[j] != RBC__ROW_BLEND;
        }
    }
    blend_kernel(run)(&run->rows, brackets);
    if (copies) {
        copy_rows(run, brackets->left, brackets->kind);
    }
    if (copies && run->mode == RBC_RESAMPLE_SLERP) {
        run->kernels->blend->unit[run->dtype](&run->rows, brackets);
    }
}

static void pick_rows(run_state *run, rbc__brackets *brackets) {
    const int64_t count = run->axis->count;
    const bool nearest = run->mode == RBC_RESAMPLE_NEAREST;
    const unsigned invalid = invalid_flags(run->mode);
    for (int64_t j = 0; j < count; ++j) {
        const unsigned f = brackets->flags[j];
        const bool is_valid = (f & invalid) == 0;
        run->pick[j] =
            nearest && (f & RBC__RIGHT_NEARER) != 0 ? brackets->right[j] : brackets->left[j];
        run->valid[j] &= is_valid;
        brackets->kind[j] = !is_valid && fills(run) ? RBC__ROW_FILL : RBC__ROW_COPY;
    }
    copy_rows(run, run->pick, brackets->kind);
}

/* Up to RBC__TILE samples of [*from, end) that are there. */
static int64_t list_samples(const run_state *run, int64_t *from, int64_t end, int64_t *index) {
    int64_t count = 0, i = *from;
    for (; i < end && count < RBC__TILE; ++i) {
        if (run->missing == NULL || !rbc__is_missing(run->missing, i)) {
            index[count++] = i;
        }
    }
    *from = i;
    return count;
}

/* False when the interval of target j holds no sample. */
static bool reduce_row(const run_state *run, int64_t j) {
    const rbc__reduce_kernels *reduce = run->kernels->reduce;
    const bool is_mean = run->mode == RBC_RESAMPLE_MEAN;
    const rbc__accumulate_fn take = is_mean                         ? reduce->add[run->dtype]
                                    : run->mode == RBC_RESAMPLE_MAX ? reduce->max[run->dtype]
                                                                    : reduce->min[run->dtype];
    const rbc__finish_fn finish =
        is_mean ? reduce->mean[run->dtype] : reduce->write[log2_bytes(run->dtype)];
    const int64_t num_channels = run->rows.num_channels;
    for (int64_t c = 0; c < num_channels; c += RBC__REDUCE_WIDTH) {
        rbc__resample_rows rows = run->rows;
        rows.values += c * rows.channel_stride_bytes;
        rows.out += c * rows.out_channel_stride_bytes;
        rows.num_channels =
            num_channels - c < RBC__REDUCE_WIDTH ? num_channels - c : RBC__REDUCE_WIDTH;
        rbc__resample_sums sums;
        sums.count = 0;
        int64_t from = run->begin[j];
        while (from < run->end[j]) {
            int64_t index[RBC__TILE];
            const int64_t count = list_samples(run, &from, run->end[j], index);
            take(&sums, &rows, index, count);
        }
        if (sums.count == 0) {
            return false;
        }
        finish(&sums, &rows, j);
    }
    return true;
}

static void reduce_rows(run_state *run, rbc__brackets *brackets) {
    for (int64_t j = 0; j < run->axis->count; ++j) {
        const bool is_valid = reduce_row(run, j);
        run->valid[j] &= is_valid;
        brackets->kind[j] = is_valid ? RBC__ROW_BLEND : fills(run) ? RBC__ROW_FILL : RBC__ROW_COPY;
    }
    copy_rows(run, brackets->left, brackets->kind);
}

static void write_run(run_state *run, rbc__brackets *brackets, unsigned flags) {
    if (is_reduction(run->mode)) {
        reduce_rows(run, brackets);
    } else if (run->mode == RBC_RESAMPLE_HOLD || run->mode == RBC_RESAMPLE_NEAREST) {
        pick_rows(run, brackets);
    } else {
        interpolate(run, brackets, flags);
    }
}

/* No sample at all: zeros, or NaN where that is asked for. */
static void write_nothing(run_state *run) {
    uint8_t kind[RBC__TILE];
    memset(kind, RBC__ROW_FILL, sizeof kind);
    memset(run->valid, 0, (size_t)run->axis->count);
    copy_rows(run, run->pick, kind);
}

/* A run without channels: there is only to say which targets have a value. */
static void judge_targets(const run_state *run, const rbc__brackets *brackets) {
    for (int64_t j = 0; j < run->axis->count; ++j) {
        run->valid[j] &= is_reduction(run->mode)
                             ? run->begin[j] < run->end[j]
                             : (brackets->flags[j] & invalid_flags(run->mode)) == 0;
    }
}

/* The stamps that dt is measured from: those of the sample used. */
static void write_distance(const run_state *run, const rbc__brackets *brackets,
                           const rbc__tile_output *output) {
    const bool is_left = is_reduction(run->mode) || run->mode == RBC_RESAMPLE_HOLD;
    int64_t pick[RBC__TILE];
    for (int64_t j = 0; j < run->axis->count; ++j) {
        const bool is_right =
            !is_left && brackets != NULL && (brackets->flags[j] & RBC__RIGHT_NEARER) != 0;
        pick[j] = brackets == NULL ? -1 : is_right ? brackets->right[j] : brackets->left[j];
    }
    run->kernels->times->distance(run->axis, pick, output->dt, output->dt_stride_bytes);
}

/* Each channel (quaternion) of the run on its own, with the samples that it has. */
static void write_present(run_state *run, const rbc__resample_source *source,
                          const rbc__tile_times *times, const rbc__tile_output *output) {
    const rbc__time_kernels *kernels = run->kernels->times;
    const rbc__resample_rows all = run->rows;
    const int64_t width = run->mode == RBC_RESAMPLE_SLERP ? 4 : 1;
    for (int64_t c = 0; c < all.num_channels; c += width) {
        run->rows = all;
        run->rows.values += c * all.channel_stride_bytes;
        run->rows.out += c * all.out_channel_stride_bytes;
        run->rows.num_channels = width;
        const rbc__channel_view view = {run->rows.values, all.sample_stride_bytes,
                                        all.channel_stride_bytes, width, run->dtype};
        rbc__brackets brackets;
        const bool has_any =
            rbc__brackets_present(kernels, run->axis, &view, times->last, &brackets);
        if (has_any) {
            const uint8_t flags = kernels->weigh(run->axis, extrapolates(source), &brackets);
            if (run->mode == RBC_RESAMPLE_CUBIC) {
                kernels->cubic(run->axis, &brackets);
            }
            run->missing = &view;
            write_run(run, &brackets, flags);
            run->missing = NULL;
        } else {
            write_nothing(run);
        }
        if (output->dt != NULL && c == 0) {
            write_distance(run, has_any ? &brackets : NULL, output);
        }
    }
}

void rbc__tile_write(const rbc__resample_kernels *kernels, const rbc__time_axis *axis,
                     const rbc__resample_source *source, rbc__dtype dtype, const char *values,
                     bool is_far, rbc__tile_times *times, const rbc__tile_output *output) {
    uint8_t valid[RBC__TILE];
    memset(valid, 1, sizeof valid);
    for (int32_t i = 0; i < source->num_runs; ++i) {
        const rbc__channel_run *channels = &source->runs[i];
        run_state run;
        run.kernels = kernels;
        run.axis = axis;
        run.dtype = dtype;
        run.mode = channels->mode;
        run.outside = source->outside;
        run.rows = (rbc__resample_rows){
            .values = values + channels->begin * source->channel_stride_bytes,
            .sample_stride_bytes = source->sample_stride_bytes,
            .channel_stride_bytes = source->channel_stride_bytes,
            .out = output->out + channels->begin * output->channel_stride_bytes,
            .out_target_stride_bytes = output->target_stride_bytes,
            .out_channel_stride_bytes = output->channel_stride_bytes,
            .num_targets = axis->count,
            .num_channels = channels->end - channels->begin,
            .is_far = is_far,
        };
        run.begin = times->begin;
        run.end = times->end;
        run.missing = NULL;
        run.valid = valid;
        rbc__tile_output run_output = *output;
        run_output.dt = i == 0 ? output->dt : NULL;
        const bool is_empty = axis->num_samples == 0;
        if (is_empty) {
            write_nothing(&run);
        } else if (run.rows.num_channels == 0) {
            judge_targets(&run, &times->brackets);
        } else if (has_missing(source, dtype)) {
            write_present(&run, source, times, &run_output);
            continue;
        } else {
            write_run(&run, &times->brackets, times->flags);
        }
        if (run_output.dt != NULL) {
            write_distance(&run, is_empty ? NULL : &times->brackets, &run_output);
        }
    }
    if (output->valid != NULL) {
        for (int64_t j = 0; j < axis->count; ++j) {
            output->valid[j * output->valid_stride_bytes] = (char)valid[j];
        }
    }
}
