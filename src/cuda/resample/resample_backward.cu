/* The gradient of the values of a resampling. Every element of it belongs to one thread, which adds
 * its shares in the order of the targets: no atomics, and the same sums as on the CPU. */
#include "cuda/resample/adjoint.cuh"

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
                     const target_samples *target, int dtype) {
    const long long count = target->last + 1 - target->begin;
    if (count <= 0) {
        if (!fills_outside(source)) {
            column_add(column, grad, target->around.left, 1.0, dtype);
        }
        return;
    }
    const long long first = target->begin > column->first ? target->begin : column->first;
    const long long end = target->last + 1 < column->end ? target->last + 1 : column->end;
    for (long long i = first; i < end; ++i) {
        column_add(column, grad, i, 1.0 / (double)count, dtype);
    }
}

INLINE void add_interpolated(adjoint_column *column, double grad, const target_samples *target,
                             int is_cubic, int dtype) {
    const bracket *around = &target->around;
    const int is_line = (around->flags & ON_LINE) != 0;
    if ((around->flags & EXACT) != 0 || ((around->flags & (BELOW | ABOVE)) != 0 && !is_line)) {
        column_add(column, grad, around->left, 1.0, dtype);
        return;
    }
    if (!is_cubic || is_line) {
        column_add(column, grad, around->left, 1.0 - around->weight, dtype);
        column_add(column, grad, around->right, around->weight, dtype);
        return;
    }
    const cubic_weights *cubic = &target->cubic;
    column_add(column, grad, around->left, 1.0 - cubic->middle + cubic->before, dtype);
    column_add(column, grad, around->right, cubic->middle - cubic->after, dtype);
    if (cubic->before != 0.0) {
        column_add(column, grad, cubic->previous, -cubic->before, dtype);
    }
    if (cubic->after != 0.0) {
        column_add(column, grad, cubic->next, cubic->after, dtype);
    }
}

INLINE void add_target(adjoint_column *column, double grad, const resample_source *source,
                       const target_samples *target, int mode, int dtype) {
    if (mode == MODE_MEAN) {
        add_mean(column, grad, source, target, dtype);
        return;
    }
    if (!bracket_is_valid(target->around.flags, mode) && fills_outside(source)) {
        return;
    }
    if (mode == MODE_HOLD || mode == MODE_NEAREST) {
        column_add(column, grad, bracket_used(&target->around, mode), 1.0, dtype);
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

INLINE double grad_load(const char *address, int dtype) {
    return dtype == VALUE_F32 ? (double)__ldg((const float *)address)
                              : __ldg((const double *)address);
}

/* Adds the shares of the tile's targets; `grad`: of the channel at the first of them. */
INLINE void add_tile(adjoint_column *column, const char *grad, long long stride,
                     const resample_source *source, const target_samples *brackets, int count,
                     int mode, int dtype) {
    for (int j = 0; j < count; j += AT_ONCE) {
        double grads[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            grads[u] = j + u < count ? grad_load(grad + (j + u) * stride, dtype) : 0.0;
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (j + u < count) {
                add_target(column, grads[u], source, &brackets[j + u], mode, dtype);
            }
        }
    }
}

INLINE void resample_backward(const adjoint_launch *p, int dtype, int type) {
    extern __shared__ __align__(16) char shared[];
    __shared__ target_samples brackets[ADJOINT_TILE];
    __shared__ long long range[2];
    const resample_launch *launch = &p->launch;
    const resample_source *source = &p->source;
    const adjoint_part part = part_of_block(p);
    adjoint_column column;
    column.values = (char *)source->values + part.batch * source->batch_stride +
                    part.channel * source->channel_stride;
    column.sample_stride = source->sample_stride;
    column.first = column.next = part.own_first;
    column.end = part.own_end;
    column.older = column.newer = -1;
    column.older_sum = column.newer_sum = 0.0;
    const row_clock clock = cached_clock(source, part.batch, shared, type);
    if (part.first < clock.length) {
        find_targets(launch, &clock, part.batch, part.first,
                     part.end < clock.length ? part.end : clock.length, range, type);
        const int mode = part.is_mine ? mode_of_channel(p, part.channel) : 0;
        const char *grad = launch->out + part.batch * launch->out_batch_stride +
                           part.channel * launch->out_channel_stride;
        const row_targets row = targets_of_row(launch, part.batch);
        tile targets;
        targets.batch = part.batch;
        for (targets.first = range[0]; targets.first < range[1]; targets.first += ADJOINT_TILE) {
            const long long left = range[1] - targets.first;
            targets.count = (int)(left < ADJOINT_TILE ? left : ADJOINT_TILE);
            for (int j = (int)threadIdx.x; j < targets.count; j += (int)blockDim.x) {
                find_samples(&row, source, &clock, targets.first + j, &brackets[j], type);
            }
            __syncthreads();
            if (part.is_mine) {
                add_tile(&column, grad + targets.first * launch->out_target_stride,
                         launch->out_target_stride, source, brackets, targets.count, mode, dtype);
            }
            __syncthreads();
        }
    }
    if (part.is_mine) {
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
