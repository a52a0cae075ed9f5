/* The value of one channel at one target, of every mode. */
#ifndef RBC_CUDA_MAKE_VALUE_CUH
#define RBC_CUDA_MAKE_VALUE_CUH

#include "cuda/resample/target_samples.cuh"

/* Samples of the channels that are present or missing together. */
typedef struct channel_view {
    const char *values; /* first channel of the batch row */
    long long sample_stride, channel_stride;
    int channels;
} channel_view;

INLINE int is_missing(const channel_view *view, long long sample, int dtype) {
    for (int c = 0; c < view->channels; ++c) {
        if (item_is_nan(
                item_load(view->values + sample * view->sample_stride + c * view->channel_stride,
                          dtype),
                dtype)) {
            return 1;
        }
    }
    return 0;
}

/* ---- missing samples ---- */

INLINE long long newest_present(const row_clock *clock, const channel_view *view, long long sample,
                                int dtype, int type) {
    const stamp time = clock_at(clock, sample, type, 0);
    long long found = sample;
    for (long long i = sample + 1;
         i < clock->length && stamp_equal(clock_at(clock, i, type, 0), time, type); ++i) {
        found = is_missing(view, i, dtype) ? found : i;
    }
    return found;
}

INLINE long long present_from(const row_clock *clock, const channel_view *view, long long sample,
                              int dtype, int type) {
    while (sample < clock->length && is_missing(view, sample, dtype)) {
        ++sample;
    }
    return sample < clock->length ? newest_present(clock, view, sample, dtype, type)
                                  : clock->length;
}

INLINE long long present_before(const row_clock *clock, const channel_view *view, long long sample,
                                int dtype, int type) {
    const stamp time = clock_at(clock, sample, type, 0);
    long long i = sample - 1;
    while (i >= 0 &&
           (stamp_equal(clock_at(clock, i, type, 0), time, type) || is_missing(view, i, dtype))) {
        --i;
    }
    return i;
}

/* bracket_weigh() for the samples that are there. */
INLINE void weigh_present(const row_clock *clock, const resample_source *source, stamp time,
                          bracket *around, const cubic_weights *cubic, int type) {
    if (around->left >= 0 && stamp_equal(clock_at(clock, around->left, type, 0), time, type)) {
        around->right = around->left;
        around->flags = EXACT;
    } else if (around->left < 0 || around->right >= clock->length) {
        bracket_beyond(clock, source, time, around->left < 0 ? cubic->next : cubic->previous,
                       around, type, 0);
    } else {
        bracket_between(clock, source, time, around, type, 0);
    }
}

INLINE void bracket_present(const row_clock *clock, const resample_source *source,
                            const channel_view *view, target_samples *target, int mode, int dtype,
                            int type) {
    bracket around;
    around.flags = 0;
    around.weight = 0.0;
    around.left = target->last;
    while (around.left >= 0 && is_missing(view, around.left, dtype)) {
        --around.left;
    }
    around.right = present_from(clock, view, target->last + 1, dtype, type);
    if (around.left < 0 && around.right >= clock->length) {
        around.flags = EMPTY;
        target->around = around;
        return;
    }
    cubic_weights cubic;
    cubic.previous = -1;
    cubic.next = clock->length;
    if (mode == MODE_CUBIC || source->outside == OUTSIDE_EXTRAPOLATE) {
        if (around.left >= 0) {
            cubic.previous = present_before(clock, view, around.left, dtype, type);
        }
        if (around.right < clock->length) {
            const stamp right = clock_at(clock, around.right, type, 0);
            long long after = around.right + 1;
            while (after < clock->length &&
                   stamp_equal(clock_at(clock, after, type, 0), right, type)) {
                ++after;
            }
            cubic.next = present_from(clock, view, after, dtype, type);
        }
    }
    weigh_present(clock, source, target->time, &around, &cubic, type);
    if (mode == MODE_CUBIC) {
        weigh_cubic(clock, &around, &cubic, type);
        target->cubic = cubic;
    }
    target->around = around;
}

/* ---- values ---- */

/* A reduction over the interval; `found` says whether it holds a sample. */
INLINE item reduce(const target_samples *target, const channel_view *view, const char *channel,
                   int missing, int mode, int dtype, int *found) {
    double sum = 0.0;
    long long count = 0;
    item best = 0;
    for (long long i = target->begin; i <= target->last; ++i) {
        if (missing && is_missing(view, i, dtype)) {
            continue;
        }
        const item bits = item_load(channel + i * view->sample_stride, dtype);
        if (mode == MODE_MEAN) {
            sum += is_float(dtype) ? item_f64(bits, dtype) : 0.0;
        } else {
            const int better =
                mode == MODE_MAX ? item_less(best, bits, dtype) : item_less(bits, best, dtype);
            best = count == 0 || better || item_is_nan(bits, dtype) ? bits : best;
        }
        ++count;
    }
    *found = count > 0;
    if (mode == MODE_MEAN) {
        return is_float(dtype) && count > 0 ? item_of_f64(sum / (double)count, dtype) : 0;
    }
    return best;
}

INLINE void load_quaternion(const channel_view *view, long long sample, double *out, int dtype) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const char *at = view->values + i * view->channel_stride;
        out[i] = item_f64(item_load(at + sample * view->sample_stride, dtype), dtype);
    }
}

INLINE item interpolate(const target_samples *target, const channel_view *view, const char *channel,
                        int component, int mode, int dtype) {
    const bracket *around = &target->around;
    const item a = item_load(channel + around->left * view->sample_stride, dtype);
    const item b = item_load(channel + around->right * view->sample_stride, dtype);
    if (mode == MODE_LINEAR) {
        return blend_linear(a, b, around->weight, dtype);
    }
    if (mode == MODE_ANGLE) {
        return blend_angle(a, b, around->weight, dtype);
    }
    if (mode == MODE_CUBIC) {
        const item p = item_load(channel + target->cubic.previous * view->sample_stride, dtype);
        const item q = item_load(channel + target->cubic.next * view->sample_stride, dtype);
        return blend_cubic(p, a, b, q, &target->cubic, dtype);
    }
    double from[4];
    double to[4];
    load_quaternion(view, around->left, from, dtype);
    load_quaternion(view, around->right, to, dtype);
    return item_of_f64(blend_slerp(from, to, around->weight, component), dtype);
}

/* The value of one channel at one target; clears `valid` where there is none. */
INLINE item make_value(const resample_source *source, const target_samples *target,
                       const channel_view *view, const char *channel, int component, int mode,
                       item fill, int dtype, int *valid) {
    const bracket *around = &target->around;
    if (around->flags == EMPTY) {
        *valid = 0;
        return source->outside == OUTSIDE_NAN ? fill : 0;
    }
    if (mode >= MODE_MEAN) {
        const item reduced =
            reduce(target, view, channel, (int)source->nan_is_missing, mode, dtype, valid);
        if (*valid) {
            return reduced;
        }
    } else {
        *valid = bracket_is_valid(around->flags, mode);
    }
    if (!*valid && fills_outside(source)) {
        return source->outside == OUTSIDE_NAN ? fill : 0;
    }
    const int picks = mode == MODE_HOLD || mode == MODE_NEAREST || mode >= MODE_MEAN;
    const int is_sample = (around->flags & EXACT) != 0 || ((around->flags & (BELOW | ABOVE)) != 0 &&
                                                           (around->flags & ON_LINE) == 0);
    if (mode == MODE_SLERP && is_sample && is_float(dtype)) {
        double sample[4];
        load_quaternion(view, around->left, sample, dtype);
        return blend_unit(sample, component, dtype);
    }
    if (picks || is_sample || !is_float(dtype)) {
        const long long pick = picks ? bracket_used(around, mode) : around->left;
        return item_load(channel + pick * view->sample_stride, dtype);
    }
    return interpolate(target, view, channel, component, mode, dtype);
}

INLINE const resample_run *run_of_column(const resample_run *runs, unsigned num_runs,
                                         unsigned column) {
    unsigned r = 0;
    while (r + 1 < num_runs && column >= runs[r].end) {
        ++r;
    }
    return &runs[r];
}

#endif
