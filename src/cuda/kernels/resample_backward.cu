/* The gradient of the values of a resampling. Every element of it belongs to one thread, which adds
 * its shares in the order of the targets: no atomics, and the same sums as on the CPU. */
#include "adjoint_params.h"
#include "target.cuh"

/* The elements of one thread: samples [first, end) of one channel. */
typedef struct adjoint_column {
    char *values;
    long long sample_stride;
    long long first, end;
} adjoint_column;

INLINE void column_clear(const adjoint_column *column, int dtype) {
    for (long long i = column->first; i < column->end; ++i) {
        item_store(column->values + i * column->sample_stride, 0, dtype);
    }
}

/* `grad` is where the gradient of the output at one target is. */
INLINE void column_add(const adjoint_column *column, const char *grad, long long sample,
                       double weight, int dtype) {
    if (sample < column->first || sample >= column->end) {
        return;
    }
    char *address = column->values + sample * column->sample_stride;
    if (dtype == VALUE_F32) {
        *(float *)address += (float)weight * *(const float *)grad;
    } else {
        *(double *)address += weight * *(const double *)grad;
    }
}

INLINE void add_mean(const adjoint_column *column, const char *grad, const resample_source *source,
                     const target_plan *target, int dtype) {
    const long long count = target->last + 1 - target->begin;
    if (count <= 0) {
        if (!fills_outside(source)) {
            column_add(column, grad, target->plan.left, 1.0, dtype);
        }
        return;
    }
    const long long first = target->begin > column->first ? target->begin : column->first;
    const long long end = target->last + 1 < column->end ? target->last + 1 : column->end;
    for (long long i = first; i < end; ++i) {
        column_add(column, grad, i, 1.0 / (double)count, dtype);
    }
}

INLINE void add_interpolated(const adjoint_column *column, const char *grad,
                             const target_plan *target, int is_cubic, int dtype) {
    const sample_plan *plan = &target->plan;
    const int is_line = (plan->flags & ON_LINE) != 0;
    if ((plan->flags & EXACT) != 0 || ((plan->flags & (BELOW | ABOVE)) != 0 && !is_line)) {
        column_add(column, grad, plan->left, 1.0, dtype);
        return;
    }
    if (!is_cubic || is_line) {
        column_add(column, grad, plan->left, 1.0 - plan->weight, dtype);
        column_add(column, grad, plan->right, plan->weight, dtype);
        return;
    }
    const cubic_weights *cubic = &target->cubic;
    column_add(column, grad, plan->left, 1.0 - cubic->middle + cubic->before, dtype);
    column_add(column, grad, plan->right, cubic->middle - cubic->after, dtype);
    if (cubic->before != 0.0) {
        column_add(column, grad, cubic->previous, -cubic->before, dtype);
    }
    if (cubic->after != 0.0) {
        column_add(column, grad, cubic->next, cubic->after, dtype);
    }
}

INLINE void add_target(const adjoint_column *column, const char *grad,
                       const resample_source *source, const target_plan *target, int mode,
                       int dtype) {
    if (mode == MODE_MEAN) {
        add_mean(column, grad, source, target, dtype);
        return;
    }
    if (!plan_is_valid(target->plan.flags, mode) && fills_outside(source)) {
        return;
    }
    if (mode == MODE_HOLD || mode == MODE_NEAREST) {
        column_add(column, grad, plan_used(&target->plan, mode), 1.0, dtype);
    } else {
        add_interpolated(column, grad, target, mode == MODE_CUBIC, dtype);
    }
}

INLINE int mode_of_channel(const adjoint_launch *p, long long channel) {
    unsigned r = 0;
    while (r + 1 < p->launch.num_runs && channel >= (long long)p->runs[r].end) {
        ++r;
    }
    return (int)p->runs[r].mode;
}

INLINE void resample_backward(const adjoint_launch *p, int dtype) {
    __shared__ target_plan plans[ADJOINT_TILE];
    const resample_launch *launch = &p->launch;
    const resample_source *source = &p->source;
    const int type = (int)launch->time_type;
    const unsigned part = blockIdx.x / p->slab_blocks;
    const unsigned slab_block = blockIdx.x - part * p->slab_blocks;
    tile targets;
    targets.batch = part / p->channel_blocks;
    const unsigned channel_block = part - (unsigned)targets.batch * p->channel_blocks;
    const unsigned group = threadIdx.x / p->width;
    const long long channel =
        (long long)channel_block * p->width + (threadIdx.x - group * p->width);
    const int is_mine = group < p->groups && channel < p->num_channels;
    adjoint_column column;
    column.values = (char *)source->values + targets.batch * source->batch_stride +
                    channel * source->channel_stride;
    column.sample_stride = source->sample_stride;
    column.first = ((long long)slab_block * p->groups + group) * p->slab;
    column.end =
        column.first + p->slab < source->num_samples ? column.first + p->slab : source->num_samples;
    if (is_mine) {
        column_clear(&column, dtype);
    }
    row_clock clock = clock_of_row(source, targets.batch, 0, type, 0);
    clock.cache_end = 0;
    if (clock.length <= 0) {
        return;
    }
    const int mode = is_mine ? mode_of_channel(p, channel) : 0;
    const char *grad = launch->out + targets.batch * launch->out_batch_stride +
                       channel * launch->out_channel_stride;
    for (targets.first = 0; targets.first < launch->num_targets; targets.first += ADJOINT_TILE) {
        const long long left = launch->num_targets - targets.first;
        targets.count = (int)(left < ADJOINT_TILE ? left : ADJOINT_TILE);
        for (int j = (int)threadIdx.x; j < targets.count; j += (int)blockDim.x) {
            plan_target(launch, source, &clock, &targets, targets.first + j, &plans[j], type);
        }
        __syncthreads();
        for (int j = 0; is_mine && j < targets.count; ++j) {
            add_target(&column, grad + (targets.first + j) * launch->out_target_stride, source,
                       &plans[j], mode, dtype);
        }
        __syncthreads();
    }
}

#define KERNEL(suffix, dtype)                                                                      \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rbc__resample_backward_##suffix##_cuda(const __grid_constant__ adjoint_launch p) {         \
        launch_await();                                                                            \
        launch_release();                                                                          \
        resample_backward(&p, dtype);                                                              \
    }

KERNEL(f32, VALUE_F32)
KERNEL(f64, VALUE_F64)
