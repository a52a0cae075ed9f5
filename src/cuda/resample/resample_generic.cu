/* Resamples anything: every mode, several modes in one source, any strides, NaN as missing samples.
 * What depends on the times alone is found once for each source and target; then each thread makes
 * one value at a time. */
#include "cuda/resample/make_value.cuh"
#include "cuda/resample/tile.cuh"

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
    const row_targets targets = targets_of_row(launch, part.batch);
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
        find_samples(&targets, &p->sources[k], &clock, part.first + index, target, type);
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
