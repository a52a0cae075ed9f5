/* The gradient of a resampling in one mode that takes at most two samples a target, sixteen bytes
 * of channels at a time: as resample_backward.cu, and with the same sums, but that each target's
 * samples and weights are worked out once for all channels. */
#include "adjoint.cuh"

enum {
    AT_ONCE = 4,       /* targets whose gradients are loaded together */
    FEW_TARGETS = 128, /* so few are not searched for those that matter */
    MAX_WIDTH = 4,
};

/* What a target gives to its samples; right == left: all to that one; right < 0: nothing, and it
 * lies between `left` and ~right. */
typedef struct share {
    int left, right;
    double left_weight, right_weight;
} share;

typedef struct lanes {
    double lane[MAX_WIDTH];
} lanes;

/* The thread's columns. Samples before `next` are in memory but for the two that are here. */
typedef struct adjoint_rows {
    char *values;
    long long stride;
    int first, end, next;
    int older, newer; /* -1 for none */
    lanes older_sum, newer_sum;
} adjoint_rows;

INLINE int width_of(int dtype) {
    return dtype == VALUE_F32 ? 4 : 2;
}

INLINE lanes lanes_of(uint4 chunk, int dtype) {
    lanes out;
    if (dtype == VALUE_F32) {
        out.lane[0] = __uint_as_float(chunk.x);
        out.lane[1] = __uint_as_float(chunk.y);
        out.lane[2] = __uint_as_float(chunk.z);
        out.lane[3] = __uint_as_float(chunk.w);
    } else {
        out.lane[0] = __hiloint2double((int)chunk.y, (int)chunk.x);
        out.lane[1] = __hiloint2double((int)chunk.w, (int)chunk.z);
    }
    return out;
}

INLINE void lanes_store(char *address, const lanes *sum, int dtype) {
    uint4 chunk;
    if (dtype == VALUE_F32) {
        chunk =
            make_uint4(__float_as_uint((float)sum->lane[0]), __float_as_uint((float)sum->lane[1]),
                       __float_as_uint((float)sum->lane[2]), __float_as_uint((float)sum->lane[3]));
    } else {
        chunk = make_uint4(
            (unsigned)__double2loint(sum->lane[0]), (unsigned)__double2hiint(sum->lane[0]),
            (unsigned)__double2loint(sum->lane[1]), (unsigned)__double2hiint(sum->lane[1]));
    }
    *(uint4 *)address = chunk;
}

INLINE void lanes_clear(lanes *sum, int dtype) {
#pragma unroll
    for (int i = 0; i < width_of(dtype); ++i) {
        sum->lane[i] = 0.0;
    }
}

INLINE void lanes_add(lanes *sum, const lanes *grad, double weight, int dtype) {
#pragma unroll
    for (int i = 0; i < width_of(dtype); ++i) {
        sum->lane[i] = dtype == VALUE_F32
                           ? (double)((float)sum->lane[i] + (float)weight * (float)grad->lane[i])
                           : sum->lane[i] + weight * grad->lane[i];
    }
}

/* Makes `sample` the newer of the two. */
INLINE void rows_turn(adjoint_rows *rows, int sample, int dtype) {
    if (rows->older >= 0) {
        lanes_store(rows->values + rows->older * rows->stride, &rows->older_sum, dtype);
    }
    rows->older = rows->newer;
    rows->older_sum = rows->newer_sum;
    rows->newer = sample;
    if (sample < rows->next) {
        rows->newer_sum = lanes_of(*(const uint4 *)(rows->values + sample * rows->stride), dtype);
        return;
    }
    lanes_clear(&rows->newer_sum, dtype);
    for (; rows->next < sample; ++rows->next) {
        lanes_store(rows->values + rows->next * rows->stride, &rows->newer_sum, dtype);
    }
    ++rows->next;
}

INLINE void rows_add(adjoint_rows *rows, const lanes *grad, int sample, double weight, int dtype) {
    if (sample < rows->first || sample >= rows->end) {
        return;
    }
    if (sample == rows->older) {
        lanes_add(&rows->older_sum, grad, weight, dtype);
        return;
    }
    if (sample != rows->newer) {
        rows_turn(rows, sample, dtype);
    }
    lanes_add(&rows->newer_sum, grad, weight, dtype);
}

INLINE void rows_finish(adjoint_rows *rows, int dtype) {
    if (rows->older >= 0) {
        lanes_store(rows->values + rows->older * rows->stride, &rows->older_sum, dtype);
    }
    if (rows->newer >= 0) {
        lanes_store(rows->values + rows->newer * rows->stride, &rows->newer_sum, dtype);
    }
    lanes zero;
    lanes_clear(&zero, dtype);
    for (; rows->next < rows->end; ++rows->next) {
        lanes_store(rows->values + rows->next * rows->stride, &zero, dtype);
    }
}

INLINE share share_of(const resample_source *source, const sample_plan *plan, int mode) {
    share out;
    out.left = out.right = (int)plan->left;
    out.left_weight = 1.0;
    out.right_weight = 0.0;
    if (!plan_is_valid(plan->flags, mode) && fills_outside(source)) {
        out.right = ~(int)plan->right;
    } else if (mode == MODE_HOLD || mode == MODE_NEAREST) {
        out.left = out.right = (int)plan_used(plan, mode);
    } else if ((plan->flags & EXACT) == 0 &&
               ((plan->flags & (BELOW | ABOVE)) == 0 || (plan->flags & ON_LINE) != 0)) {
        out.right = (int)plan->right;
        out.left_weight = 1.0 - plan->weight;
        out.right_weight = plan->weight;
    }
    return out;
}

INLINE int share_reach(const share *one) {
    const int right = one->right < 0 ? ~one->right : one->right;
    return right > one->left ? right : one->left;
}

/* The first share that reaches sample `first`, where shares are in order. */
INLINE int first_share(const share *shares, int count, int first) {
    int low = 0;
    while (count > 0) {
        const int half = count >> 1;
        const share *middle = &shares[low + half];
        const int reach = share_reach(middle);
        low = reach < first ? low + half + 1 : low;
        count = reach < first ? count - half - 1 : half;
    }
    return low;
}

/* Whether the share and the one after it are in order. */
INLINE int in_order(const share *shares, int j, int count) {
    return j + 1 >= count || (shares[j].left <= shares[j + 1].left &&
                              share_reach(&shares[j]) <= share_reach(&shares[j + 1]));
}

INLINE void add_shares(adjoint_rows *rows, const char *grad, long long stride, const share *shares,
                       int count, int sorted, int dtype) {
    const int begin = sorted ? first_share(shares, count, rows->first) : 0;
    for (int j = begin; j < count && !(sorted && shares[j].left >= rows->end); j += AT_ONCE) {
        uint4 chunks[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            const int at = j + u < count ? j + u : count - 1;
            chunks[u] = __ldg((const uint4 *)(grad + at * stride));
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (j + u < count && shares[j + u].right >= 0) {
                const share mine = shares[j + u];
                const lanes grads = lanes_of(chunks[u], dtype);
                rows_add(rows, &grads, mine.left, mine.left_weight, dtype);
                if (mine.right != mine.left) {
                    rows_add(rows, &grads, mine.right, mine.right_weight, dtype);
                }
            }
        }
    }
}

INLINE void backward_rows(const adjoint_launch *p, int dtype, int type) {
    extern __shared__ __align__(16) char shared[];
    __shared__ share shares[ADJOINT_ROWS_TILE];
    __shared__ long long range[2];
    const resample_launch *launch = &p->launch;
    const resample_source *source = &p->source;
    const adjoint_part part = part_of_block(p, p->num_channels / width_of(dtype));
    const int mode = (int)p->runs[0].mode;
    adjoint_rows rows;
    rows.values = (char *)source->values + part.batch * source->batch_stride + part.unit * 16;
    rows.stride = source->sample_stride;
    rows.first = rows.next = (int)part.own_first;
    rows.end = (int)part.own_end;
    rows.older = rows.newer = -1;
    lanes_clear(&rows.older_sum, dtype);
    lanes_clear(&rows.newer_sum, dtype);
    const int is_few = launch->num_targets <= FEW_TARGETS;
    stamp time = 0;
    if (is_few && threadIdx.x < launch->num_targets) {
        time = target_at(launch, part.batch, threadIdx.x, type);
    }
    const row_clock clock = cached_clock(source, part.batch, shared, type);
    if (part.first < clock.length) {
        int sorted = 0;
        if (is_few) {
            if (threadIdx.x == 0) {
                range[0] = 0;
                range[1] = launch->num_targets;
            }
            __syncthreads();
        } else {
            sorted = find_targets(launch, &clock, part.batch, part.first,
                                  part.end < clock.length ? part.end : clock.length, range, type);
        }
        const char *grad = launch->out + part.batch * launch->out_batch_stride + part.unit * 16;
        for (long long first = range[0]; first < range[1]; first += ADJOINT_ROWS_TILE) {
            const long long left = range[1] - first;
            const int count = (int)(left < ADJOINT_ROWS_TILE ? left : ADJOINT_ROWS_TILE);
            for (int j = (int)threadIdx.x; j < count; j += (int)blockDim.x) {
                if (!is_few) {
                    time = target_at(launch, part.batch, first + j, type);
                }
                sample_plan plan = plan_search(&clock, time, type, 0);
                plan_weigh(&clock, source, time, &plan, type, 0);
                shares[j] = share_of(source, &plan, mode);
            }
            __syncthreads();
            if (is_few) {
                sorted = __syncthreads_and(in_order(shares, (int)threadIdx.x, count));
            }
            if (part.is_mine) {
                add_shares(&rows, grad + first * launch->out_target_stride,
                           launch->out_target_stride, shares, count, sorted, dtype);
            }
            __syncthreads();
        }
    }
    if (part.is_mine) {
        rows_finish(&rows, dtype);
    }
}

#define KERNEL(suffix, dtype)                                                                      \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rbc__resample_backward_rows_##suffix##_cuda(const __grid_constant__ adjoint_launch p) {    \
        launch_await();                                                                            \
        launch_release();                                                                          \
        if (p.launch.time_type == CLOCK_F32) {                                                     \
            backward_rows(&p, dtype, CLOCK_F32);                                                   \
        } else if (p.launch.time_type == CLOCK_F64) {                                              \
            backward_rows(&p, dtype, CLOCK_F64);                                                   \
        } else {                                                                                   \
            backward_rows(&p, dtype, CLOCK_I64);                                                   \
        }                                                                                          \
    }

KERNEL(f32, VALUE_F32)
KERNEL(f64, VALUE_F64)
