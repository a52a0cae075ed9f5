/* The gradient of a resampling in one mode that takes at most two samples a target, sixteen bytes
 * of channels at a time: as resample_backward.cu, and with the same sums.
 *
 * A block makes the gradient of a few samples of one batch row. It looks at all targets of the row,
 * finds those around its samples and what each gives to them, and lists for each sample its first
 * and its last target. Then a thread adds up one vector of one sample at a time. */
#include "cuda/resample/backward_params.h"
#include "cuda/resample/simple_bracket.cuh"
#include "cuda/resample/tile.cuh"

enum {
    AT_ONCE = 2, /* targets whose gradients are loaded together */
};

/* What a target gives to its samples; right == left: all to that one; right < 0: nothing, and it
 * lies between `left` and ~right. A weight is a double for f64 values, else a float in word 0. */
typedef struct share {
    int left, right;
    unsigned left_weight[2], right_weight[2];
} share;

/* Shares [first, end) are those that a sample has a part in. */
typedef struct share_range {
    int first, end;
} share_range;

/* The block's samples, and what it knows of their row. */
typedef struct stretch {
    long long batch;
    int first, count;
    /* Counts samples from `origin` on. The stamps of the stretch and its neighbours are cached, in
     * the place before its first one the newest that differs from it. */
    row_clock clock;
    int origin;
    row_clock targets;
    share *shares;
    share_range *ranges; /* of each sample of the stretch */
} stretch;

INLINE double double_of(unsigned low, unsigned high) {
    return __hiloint2double((int)high, (int)low);
}

INLINE void weight_store(unsigned *words, double weight, int dtype) {
    if (dtype == VALUE_F64) {
        words[0] = (unsigned)__double2loint(weight);
        words[1] = (unsigned)__double2hiint(weight);
    } else {
        words[0] = __float_as_uint((float)weight);
    }
}

INLINE unsigned add_f32(unsigned sum, unsigned weight, unsigned grad) {
    return __float_as_uint(__uint_as_float(sum) + __uint_as_float(weight) * __uint_as_float(grad));
}

INLINE uint4 vec16_add(uint4 sum, const unsigned *weight, uint4 grad, int dtype) {
    if (dtype == VALUE_F64) {
        const double w = double_of(weight[0], weight[1]);
        const double low = double_of(sum.x, sum.y) + w * double_of(grad.x, grad.y);
        const double high = double_of(sum.z, sum.w) + w * double_of(grad.z, grad.w);
        return make_uint4((unsigned)__double2loint(low), (unsigned)__double2hiint(low),
                          (unsigned)__double2loint(high), (unsigned)__double2hiint(high));
    }
    return make_uint4(add_f32(sum.x, weight[0], grad.x), add_f32(sum.y, weight[0], grad.y),
                      add_f32(sum.z, weight[0], grad.z), add_f32(sum.w, weight[0], grad.w));
}

/* ---- shares ---- */

INLINE share share_of_pair(int left, int right, double weight, int dtype) {
    share out;
    out.left = left;
    out.right = right;
    weight_store(out.left_weight, right == left ? 1.0 : 1.0 - weight, dtype);
    weight_store(out.right_weight, weight, dtype);
    return out;
}

INLINE share no_share(int left, int right) {
    share out;
    out.left = left;
    out.right = ~right;
    return out;
}

INLINE int share_reach(const share *one) {
    const int right = one->right < 0 ? ~one->right : one->right;
    return right > one->left ? right : one->left;
}

/* For sources without limits or lengths, the end samples held outside. */
INLINE share share_simple(const stretch *part, stamp time, int mode, int dtype, int type) {
    row_clock in_cache = part->clock;
    in_cache.length = part->clock.cache_end - part->clock.cache_first;
    const int cached = (int)part->clock.cache_first;
    const int first = part->origin + cached;
    const int above = (int)clock_search(&in_cache, time, 0, in_cache.length, type, 1);
    if ((above == 0 && cached > 0) ||
        (above == in_cache.length && part->clock.cache_end < part->clock.length)) {
        return no_share(0, 0);
    }
    /* The weight as a double, whatever the values are: the CPU takes it from 1 before it rounds. */
    const simple_bracket found =
        simple_bracket_at(&in_cache, time, above, mode, VALUE_F64, type, 1);
    return share_of_pair(first + found.left, first + found.right, found.weight, dtype);
}

INLINE share share_generic(const stretch *part, const resample_source *source, stamp time, int mode,
                           int dtype, int type) {
    const row_clock *clock = &part->clock;
    const int origin = part->origin;
    bracket around = bracket_search(clock, time, type, 0);
    if ((around.left + 1 == clock->cache_first && around.left >= 0) ||
        (around.left + 1 == clock->cache_end && clock->cache_end < clock->length)) {
        return no_share(0, 0);
    }
    bracket_weigh(clock, source, time, &around, type, 0);
    if (!bracket_is_valid(around.flags, mode) && fills_outside(source)) {
        return no_share(origin + (int)around.left, origin + (int)around.right);
    }
    if (mode == MODE_HOLD || mode == MODE_NEAREST) {
        const int used = origin + (int)bracket_used(&around, mode);
        return share_of_pair(used, used, 0.0, dtype);
    }
    const int blends = (around.flags & (EXACT | BELOW | ABOVE)) == 0;
    return share_of_pair(origin + (int)around.left,
                         origin + (int)(blends ? around.right : around.left), around.weight, dtype);
}

/* Where the sample before the stretch carries the stamp of its first one, as all do back to `low`,
 * those between are none: `low` takes the place before the stretch, or the row begins with the
 * stretch. Every thread of the block calls it. */
INLINE void skip_equals(stretch *part, int *range, int type) {
    row_clock *clock = &part->clock;
    const int first = part->first;
    if (first == 0 ||
        !stamp_equal(clock_at(clock, first - 1, type, 0), clock_at(clock, first, type, 0), type)) {
        return;
    }
    const long long low = clock_before(clock, first, type, 0);
    const stamp time = low < 0 ? 0 : clock_at(clock, low, type, 0);
    __syncthreads();
    if (low < 0) {
        part->origin = first;
        clock->global += first * clock->stride;
        clock->cache += stamp_bytes(type);
        clock->cache_first = 0;
        clock->cache_end -= first;
        clock->length -= first;
    }
    if (threadIdx.x == 0) {
        if (low < 0) {
            range[0] = 0;
        } else {
            stamp_store((char *)clock->cache, time, type);
        }
    }
    __syncthreads();
}

/* The targets that can have a part in the stretch: all, unless they are in order, which is
 * returned. Every thread of the block calls it; the stamps are in shared memory since the last
 * barrier. */
INLINE int find_targets(const stretch *part, int *range, int type, int simple) {
    const row_clock *clock = &part->clock;
    const int count = (int)part->targets.length;
    const int first = part->first - part->origin;
    const int has_low = first > 0;
    const int has_high = first + part->count < clock->length;
    const stamp low = has_low ? clock_at(clock, first - 1, type, 0) : 0;
    const stamp high = has_high ? clock_at(clock, first + part->count, type, 0) : 0;
    int sorted = 1;
    for (int j = (int)threadIdx.x; j < count; j += BACKWARD_THREADS) {
        const stamp time = clock_at(&part->targets, j, type, simple);
        const stamp before = j > 0 ? clock_at(&part->targets, j - 1, type, simple) : time;
        sorted &= stamp_at_most(before, time, type);
        if (has_low && stamp_at_most(low, time, type) &&
            (j == 0 || !stamp_at_most(low, before, type))) {
            atomicMin(&range[0], j);
        }
        if (has_high && stamp_at_most(high, time, type) &&
            (j == 0 || !stamp_at_most(high, before, type))) {
            atomicMin(&range[1], j);
        }
    }
    return __syncthreads_and(sorted);
}

/* Shares of targets [begin, begin + count), and where they are in order the range of each sample.
 */
INLINE void make_shares(const backward_launch *p, const stretch *part, int begin, int count,
                        int sorted, int dtype, int type, int simple) {
    const int thread = (int)threadIdx.x;
    const int mode = (int)p->source.mode;
    for (int i = thread; i < part->count; i += BACKWARD_THREADS) {
        part->ranges[i].first = sorted ? count : 0;
        part->ranges[i].end = sorted ? 0 : count;
    }
    for (int j = thread; j < count; j += BACKWARD_THREADS) {
        const stamp time = clock_at(&part->targets, begin + j, type, simple);
        part->shares[j] = simple ? share_simple(part, time, mode, dtype, type)
                                 : share_generic(part, &p->source, time, mode, dtype, type);
    }
    __syncthreads();
    for (int j = thread; sorted && j < count; j += BACKWARD_THREADS) {
        /* Samples after the reach of the share before begin with this one; those before the left
         * sample of the next one end with it. */
        const int last = part->first + part->count - 1;
        const int before = j > 0 ? share_reach(&part->shares[j - 1]) : part->first - 1;
        const int reach = share_reach(&part->shares[j]);
        for (int i = before + 1 > part->first ? before + 1 : part->first; i <= reach && i <= last;
             ++i) {
            part->ranges[i - part->first].first = j;
        }
        const int left = part->shares[j].left;
        const int next = j + 1 < count ? part->shares[j + 1].left : last + 1;
        for (int i = left > part->first ? left : part->first; i < next && i <= last; ++i) {
            part->ranges[i - part->first].end = j + 1;
        }
    }
    __syncthreads();
}

/* ---- sums ---- */

/* `sum` and what the shares give to a sample; `grad`: the vector's column at the first share's
 * target. */
INLINE uint4 add_shares(uint4 sum, const stretch *part, int sample, const char *grad,
                        long long stride, int dtype) {
    const share_range range = part->ranges[sample - part->first];
    for (int j = range.first; j < range.end; j += AT_ONCE) {
        uint4 vec16s[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (j + u < range.end) {
                vec16s[u] = __ldg((const uint4 *)(grad + (j + u) * stride));
            }
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (j + u < range.end) {
                const share one = part->shares[j + u];
                if (one.left == sample && one.right >= 0) {
                    sum = vec16_add(sum, one.left_weight, vec16s[u], dtype);
                } else if (one.right == sample) {
                    sum = vec16_add(sum, one.right_weight, vec16s[u], dtype);
                }
            }
        }
    }
    return sum;
}

INLINE void backward_rows(const backward_launch *p, int dtype, int type, int simple) {
    extern __shared__ __align__(16) char shared[];
    __shared__ int range[2];
    const unsigned batch = p->num_tiles == 1 ? blockIdx.x : blockIdx.x / p->num_tiles;
    stretch part;
    part.batch = batch;
    part.first = (int)((blockIdx.x - batch * p->num_tiles) * p->tile);
    const int left = (int)p->source.num_samples32 - part.first;
    part.count = left < (int)p->tile ? left : (int)p->tile;
    part.shares = (share *)(shared + p->shares_begin);
    part.ranges = (share_range *)(shared + p->ranges_begin);
    part.targets.global = p->targets + part.batch * p->targets_batch_stride;
    part.targets.stride = simple ? stamp_bytes(type) : p->targets_stride;
    part.targets.cache = shared + p->targets_begin;
    part.targets.cache_first = 0;
    part.targets.length = p->num_targets;
    part.targets.cache_end = simple || p->num_targets <= p->targets_capacity ? p->num_targets : 0;
    launch_await();
    launch_release();
    part.clock = clock_of_row(&p->source, part.batch, shared, type, simple);
    part.origin = 0;
    part.clock.cache_first = part.first > 0 ? part.first - 1 : 0;
    part.clock.cache_end = part.first + part.count < part.clock.length ? part.first + part.count + 1
                                                                       : part.clock.length;
    int count = 0;
    int sorted = 1;
    if (part.first < part.clock.length) {
        if (threadIdx.x == 0) {
            range[0] = part.first > 0 ? (int)p->num_targets : 0;
            range[1] = (int)p->num_targets;
        }
        cache_stamps(&part.clock, shared, part.clock.cache_first,
                     (int)(part.clock.cache_end - part.clock.cache_first), 0, type);
        cache_stamps(&part.targets, shared + p->targets_begin, 0, (int)part.targets.cache_end, 0,
                     type);
        __syncthreads();
        skip_equals(&part, range, type);
        sorted = find_targets(&part, range, type, simple);
        count = sorted ? range[1] - range[0] : (int)p->num_targets;
    }
    const int begin = sorted && count > 0 ? range[0] : 0;
    const int tiles = (count + BACKWARD_SHARES - 1) / BACKWARD_SHARES;
    const char *grad = p->grad + part.batch * p->grad_batch_stride;
    char *values = (char *)p->source.values + part.batch * p->source.batch_stride;
    const int items = part.count * (int)p->row_slices;
    for (int base = 0; base < items; base += BACKWARD_THREADS) {
        const int item = base + (int)threadIdx.x;
        const int row = (int)((unsigned long long)(unsigned)item * p->row_magic >> p->row_shift);
        const int sample = part.first + row;
        const long long column = (long long)(item - row * (int)p->row_slices) * 16;
        uint4 sum = make_uint4(0, 0, 0, 0);
        for (int tile = 0; tile < tiles; ++tile) {
            const int done = tile * BACKWARD_SHARES;
            if (tiles > 1 || base == 0) {
                __syncthreads();
                make_shares(p, &part, begin + done,
                            count - done < BACKWARD_SHARES ? count - done : BACKWARD_SHARES, sorted,
                            dtype, type, simple);
            }
            if (item < items) {
                sum = add_shares(sum, &part, sample,
                                 grad + (begin + done) * p->grad_target_stride + column,
                                 p->grad_target_stride, dtype);
            }
        }
        if (item < items) {
            *(uint4 *)(values + sample * p->source.sample_stride + column) = sum;
        }
    }
}

#define KERNEL(name, dtype, simple)                                                                \
    extern "C" __global__ void __launch_bounds__(BACKWARD_THREADS, simple ? 4 : 1)                 \
        rbc__##name##_cuda(const __grid_constant__ backward_launch p) {                            \
        if (p.time_type == CLOCK_F32) {                                                            \
            backward_rows(&p, dtype, CLOCK_F32, simple);                                           \
        } else if (p.time_type == CLOCK_F64) {                                                     \
            backward_rows(&p, dtype, CLOCK_F64, simple);                                           \
        } else {                                                                                   \
            backward_rows(&p, dtype, CLOCK_I64, simple);                                           \
        }                                                                                          \
    }

KERNEL(backward_rows_f32, VALUE_F32, 1)
KERNEL(backward_rows_f64, VALUE_F64, 1)
KERNEL(backward_generic_rows_f32, VALUE_F32, 0)
KERNEL(backward_generic_rows_f64, VALUE_F64, 0)
