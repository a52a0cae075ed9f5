/* The gradient of the values of a resampling. Every element of it belongs to one thread, which adds
 * its shares in the order of the targets: no atomics, and the same sums as on the CPU. */
#include "adjoint_params.h"
#include "target.cuh"

enum {
    AT_ONCE = 4, /* targets whose gradients are loaded together */
};

/* The elements of one thread: samples [first, end) of one channel. Those before `next` are in
 * memory but for the two that targets were last between, which are here. */
typedef struct adjoint_column {
    char *values;
    long long sample_stride;
    long long first, end, next;
    long long older, newer; /* samples, -1 for none */
    double older_sum, newer_sum;
} adjoint_column;

INLINE double sum_load(const adjoint_column *column, long long sample, int dtype) {
    const char *address = column->values + sample * column->sample_stride;
    return dtype == VALUE_F32 ? (double)*(const float *)address : *(const double *)address;
}

INLINE void sum_store(const adjoint_column *column, long long sample, double sum, int dtype) {
    char *address = column->values + sample * column->sample_stride;
    if (dtype == VALUE_F32) {
        *(float *)address = (float)sum;
    } else {
        *(double *)address = sum;
    }
}

INLINE double sum_add(double sum, double weight, double grad, int dtype) {
    return dtype == VALUE_F32 ? (double)((float)sum + (float)weight * (float)grad)
                              : sum + weight * grad;
}

/* Makes `sample` the newer of the two. */
INLINE void column_turn(adjoint_column *column, long long sample, int dtype) {
    if (column->older >= 0) {
        sum_store(column, column->older, column->older_sum, dtype);
    }
    column->older = column->newer;
    column->older_sum = column->newer_sum;
    column->newer = sample;
    if (sample < column->next) {
        column->newer_sum = sum_load(column, sample, dtype);
        return;
    }
    for (; column->next < sample; ++column->next) {
        sum_store(column, column->next, 0.0, dtype);
    }
    ++column->next;
    column->newer_sum = 0.0;
}

INLINE void column_add(adjoint_column *column, double grad, long long sample, double weight,
                       int dtype) {
    if (sample < column->first || sample >= column->end) {
        return;
    }
    if (sample == column->older) {
        column->older_sum = sum_add(column->older_sum, weight, grad, dtype);
        return;
    }
    if (sample != column->newer) {
        column_turn(column, sample, dtype);
    }
    column->newer_sum = sum_add(column->newer_sum, weight, grad, dtype);
}

INLINE void column_finish(adjoint_column *column, int dtype) {
    if (column->older >= 0) {
        sum_store(column, column->older, column->older_sum, dtype);
    }
    if (column->newer >= 0) {
        sum_store(column, column->newer, column->newer_sum, dtype);
    }
    for (; column->next < column->end; ++column->next) {
        sum_store(column, column->next, 0.0, dtype);
    }
}

INLINE void add_mean(adjoint_column *column, double grad, const resample_source *source,
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

INLINE void add_interpolated(adjoint_column *column, double grad, const target_plan *target,
                             int is_cubic, int dtype) {
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

INLINE void add_target(adjoint_column *column, double grad, const resample_source *source,
                       const target_plan *target, int mode, int dtype) {
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

/* Targets that can have a share in samples [first, end) are in [range[0], range[1]): all, unless
 * they are in order. Every thread of the block calls it. */
INLINE void find_targets(const resample_launch *launch, const row_clock *clock, long long batch,
                         long long first, long long end, long long *range, int type) {
    int sorted = 1;
    for (long long j = threadIdx.x; j + 1 < launch->num_targets; j += blockDim.x) {
        sorted &= stamp_at_most(target_at(launch, batch, j, type),
                                target_at(launch, batch, j + 1, type), type);
    }
    sorted = __syncthreads_and(sorted);
    const int warp = (int)(threadIdx.x >> 5);
    if (warp < 2) {
        row_clock targets;
        targets.global = launch->targets + batch * launch->targets_batch_stride;
        targets.stride = launch->targets_stride;
        targets.length = launch->num_targets;
        long long edge = first;
        /* Cubic tangents reach two stamps beyond the samples around a target; one more, because
         * the search is for the last of equal targets. */
        for (int steps = 0; steps < 3 && warp == 0 && edge >= 0; ++steps) {
            edge = clock_before(clock, edge, type, 0);
        }
        if (warp == 1) {
            edge = end - 1;
            for (int steps = 0; steps < 2 && edge < clock->length; ++steps) {
                edge = clock_newest(clock, edge, type, 0) + 1;
            }
        }
        const int all = !sorted || edge < 0 || edge >= clock->length;
        const long long found =
            all ? 0 : clock_search_warp(&targets, clock_at(clock, edge, type, 0), type);
        if ((threadIdx.x & 31) == 0) {
            range[warp] = !all                                    ? found + warp
                          : warp == 0 || launch->num_targets == 0 ? 0
                                                                  : launch->num_targets;
            if (range[warp] > launch->num_targets) {
                range[warp] = launch->num_targets;
            }
        }
    }
    __syncthreads();
}

INLINE double grad_load(const char *address, int dtype) {
    return dtype == VALUE_F32 ? (double)__ldg((const float *)address)
                              : __ldg((const double *)address);
}

/* Adds the shares of the tile's targets; `grad`: of the channel at the first of them. */
INLINE void add_tile(adjoint_column *column, const char *grad, long long stride,
                     const resample_source *source, const target_plan *plans, int count, int mode,
                     int dtype) {
    for (int j = 0; j < count; j += AT_ONCE) {
        double grads[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            grads[u] = j + u < count ? grad_load(grad + (j + u) * stride, dtype) : 0.0;
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (j + u < count) {
                add_target(column, grads[u], source, &plans[j + u], mode, dtype);
            }
        }
    }
}

INLINE void resample_backward(const adjoint_launch *p, int dtype, int type) {
    extern __shared__ __align__(16) char shared[];
    __shared__ target_plan plans[ADJOINT_TILE];
    __shared__ long long range[2];
    const resample_launch *launch = &p->launch;
    const resample_source *source = &p->source;
    const unsigned part = blockIdx.x / p->slab_blocks;
    const unsigned slab_block = blockIdx.x - part * p->slab_blocks;
    tile targets;
    targets.batch = part / p->channel_blocks;
    const unsigned channel_block = part - (unsigned)targets.batch * p->channel_blocks;
    const unsigned group = threadIdx.x / p->width;
    const long long channel =
        (long long)channel_block * p->width + (threadIdx.x - group * p->width);
    const long long block_first = (long long)slab_block * p->groups * p->slab;
    const long long num_samples = source->num_samples;
    adjoint_column column;
    column.values = (char *)source->values + targets.batch * source->batch_stride +
                    channel * source->channel_stride;
    column.sample_stride = source->sample_stride;
    column.first = column.next = block_first + group * p->slab;
    column.end = column.first + p->slab < num_samples ? column.first + p->slab : num_samples;
    column.older = column.newer = -1;
    column.older_sum = column.newer_sum = 0.0;
    const int is_mine = group < p->groups && channel < p->num_channels && column.first < column.end;
    row_clock clock = clock_of_row(source, targets.batch, shared, type, 0);
    const int cached = clock.length <= (long long)source->cache_capacity;
    if (cached) {
        cache_stamps(&clock, shared + source->cache_begin, 0, (int)clock.length, 0, type);
    }
    clock.cache_end = cached ? clock.length : 0;
    __syncthreads();
    if (block_first < clock.length) {
        const long long block_end = block_first + p->groups * p->slab;
        find_targets(launch, &clock, targets.batch, block_first,
                     block_end < clock.length ? block_end : clock.length, range, type);
        const int mode = is_mine ? mode_of_channel(p, channel) : 0;
        const char *grad = launch->out + targets.batch * launch->out_batch_stride +
                           channel * launch->out_channel_stride;
        for (targets.first = range[0]; targets.first < range[1]; targets.first += ADJOINT_TILE) {
            const long long left = range[1] - targets.first;
            targets.count = (int)(left < ADJOINT_TILE ? left : ADJOINT_TILE);
            for (int j = (int)threadIdx.x; j < targets.count; j += (int)blockDim.x) {
                plan_target(launch, source, &clock, &targets, targets.first + j, &plans[j], type);
            }
            __syncthreads();
            if (is_mine) {
                add_tile(&column, grad + targets.first * launch->out_target_stride,
                         launch->out_target_stride, source, plans, targets.count, mode, dtype);
            }
            __syncthreads();
        }
    }
    if (is_mine) {
        column_finish(&column, dtype);
    }
}

#define KERNEL(suffix, dtype)                                                                      \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rbc__resample_backward_##suffix##_cuda(const __grid_constant__ adjoint_launch p) {         \
        launch_await();                                                                            \
        launch_release();                                                                          \
        if (p.launch.time_type == CLOCK_F32) {                                                     \
            resample_backward(&p, dtype, CLOCK_F32);                                               \
        } else if (p.launch.time_type == CLOCK_F64) {                                              \
            resample_backward(&p, dtype, CLOCK_F64);                                               \
        } else {                                                                                   \
            resample_backward(&p, dtype, CLOCK_I64);                                               \
        }                                                                                          \
    }

KERNEL(f32, VALUE_F32)
KERNEL(f64, VALUE_F64)
