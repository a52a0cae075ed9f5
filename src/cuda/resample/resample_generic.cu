/* Resamples anything: every mode, several modes in one source, any strides, NaN as missing samples.
 * What depends on the times alone is found once for each source and target; then each thread makes
 * one value at a time. */
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
                          const channel_view *view, bracket *around, const cubic_weights *cubic,
                          int type) {
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
    weigh_present(clock, source, target->time, view, &around, &cubic, type);
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

/* A source without channels: there is only to say whether the target has a value, and where. */
INLINE void judge_target(const resample_launch *launch, const resample_source *source,
                         const row_clock *clock, const tile *part, long long index,
                         target_samples *target, int type) {
    const int mode = (int)source->mode;
    const int is_empty = target->around.flags == EMPTY;
    target->valid = !is_empty && (mode >= MODE_MEAN ? target->begin <= target->last
                                                    : bracket_is_valid(target->around.flags, mode));
    write_dt(launch, clock, is_empty ? -1 : bracket_used(&target->around, mode), part->batch, index,
             target->time, type);
}

INLINE void resample_generic(const resample_launch_runs *p, int dtype, int type) {
    extern __shared__ __align__(16) char shared[];
    __shared__ long long windows[RESAMPLE_MAX_SOURCES][2];
    const resample_launch *launch = &p->launch;
    const int num_sources = (int)launch->num_sources;
    const tile part = tile_of_block(launch);
    target_samples *brackets = (target_samples *)(shared + launch->brackets_begin);
    cache_clocks(launch, p->sources, num_sources, &part, shared, windows, type, 0);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < num_sources * part.count; i += (int)blockDim.x) {
        const int k = i / part.count;
        const int index = i - k * part.count;
        row_clock clock = clock_of_row(&p->sources[k], part.batch, shared, type, 0);
        clock.cache_first = windows[k][0];
        clock.cache_end = windows[k][1];
        target_samples *target = &brackets[k * (int)launch->tile + index];
        find_samples(launch, &p->sources[k], &clock, &part, part.first + index, target, type);
        if (p->sources[k].out_begin == p->sources[k].out_end) {
            judge_target(launch, &p->sources[k], &clock, &part, part.first + index, target, type);
        }
    }
    __syncthreads();
    const item fill = (item)launch->nan_words[1] << 32 | launch->nan_words[0];
    const unsigned columns = launch->row_slices;
    const long long elements = (long long)part.count * columns;
    for (long long i = threadIdx.x; i < elements; i += blockDim.x) {
        const unsigned index = (unsigned)(i / columns);
        const unsigned column = (unsigned)(i - (long long)index * columns);
        const resample_run *run = run_of_column(p->runs, launch->num_runs, column);
        const resample_source *source = &p->sources[run->source];
        target_samples *shared_samples = &brackets[run->source * launch->tile + index];
        target_samples target = *shared_samples;
        const int mode = (int)run->mode;
        const int component = mode == MODE_SLERP ? (int)(column - run->begin) & 3 : 0;
        channel_view view;
        view.sample_stride = source->sample_stride;
        view.channel_stride = source->channel_stride;
        view.channels = mode == MODE_SLERP ? 4 : 1;
        const char *row = source->values + part.batch * source->batch_stride;
        const char *channel =
            row + (long long)(column - source->out_begin) * source->channel_stride;
        view.values = channel - component * source->channel_stride;
        row_clock clock = clock_of_row(source, part.batch, shared, type, 0);
        clock.cache_first = windows[run->source][0];
        clock.cache_end = windows[run->source][1];
        if (source->nan_is_missing && target.around.flags != EMPTY) {
            bracket_present(&clock, source, &view, &target, mode, dtype, type);
        }
        int valid = 1;
        const item value =
            make_value(source, &target, &view, channel, component, mode, fill, dtype, &valid);
        const long long at = part.first + index;
        item_store(launch->out + part.batch * launch->out_batch_stride +
                       at * launch->out_target_stride + column * launch->out_channel_stride,
                   value, dtype);
        if (!valid) {
            shared_samples->valid = 0;
        }
        if (column == source->out_begin) {
            write_dt(launch, &clock,
                     target.around.flags == EMPTY ? -1 : bracket_used(&target.around, mode),
                     part.batch, at, target.time, type);
        }
    }
    if (launch->valid == 0) {
        return;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < num_sources * part.count; i += (int)blockDim.x) {
        const int k = i / part.count;
        const int index = i - k * part.count;
        const int valid = brackets[k * (int)launch->tile + index].valid;
        if (k > 0 || !launch->continues || !valid) {
            write_valid(launch, part.batch, part.first + index, k, valid);
        }
    }
}

/* The types of times and of integers are not constants here: that would be many times the code for
 * little speed. */
#define KERNEL(suffix, dtype)                                                                      \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rbc__resample_generic_##suffix##_cuda(const __grid_constant__ resample_launch_runs p) {    \
        launch_await();                                                                            \
        launch_release();                                                                          \
        resample_generic(&p, dtype, (int)p.launch.time_type);                                      \
    }

KERNEL(f32, VALUE_F32)
KERNEL(f64, VALUE_F64)
KERNEL(f16, VALUE_F16)
KERNEL(bf16, VALUE_BF16)
KERNEL(integer, (int)p.launch.integer)
