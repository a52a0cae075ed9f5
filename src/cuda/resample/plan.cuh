/* Which samples make the value at a target, with what weight, and whether it is valid. */
#ifndef RBC_CUDA_KERNELS_PLAN_CUH
#define RBC_CUDA_KERNELS_PLAN_CUH

#include "cuda/resample/clock.cuh"

/* How a target lies between the samples around it. */
enum {
    BELOW = 1,         /* before the first sample; left = right = the first */
    ABOVE = 2,         /* after the last; left = right = the last */
    EXACT = 4,         /* on the stamp of left */
    RIGHT_NEARER = 8,  /* the nearest sample is right, else left */
    ON_LINE = 16,      /* beyond an end, and left, right and weight are the line's there */
    WIDE_GAP = 32,     /* left and right are further apart than max_gap */
    FAR_LEFT = 64,     /* left is further away than the tolerance; beyond an end than max_gap too */
    FAR_NEAREST = 128, /* the nearest is further away than the tolerance; beyond an end also when
                          there is none */
    EMPTY = 256,       /* there is no sample */
};

/* left, right: before weighing the newest sample at or before the target, -1 for none, and the
 * newest of the next stamp, the row's length for none; afterwards the samples to blend. */
typedef struct sample_plan {
    long long left, right;
    int flags;
    double weight; /* (target - left) / (right - left) */
} sample_plan;

INLINE sample_plan plan_search(const row_clock *clock, stamp target, int type, int whole) {
    sample_plan plan;
    plan.flags = 0;
    plan.weight = 0.0;
    const int cached = !whole && clock->cache_first < clock->cache_end;
    const long long above = clock_search(clock, target, cached ? clock->cache_first : 0,
                                         cached ? clock->cache_end : clock->length, type, whole);
    plan.left = above - 1;
    plan.right = above < clock->length ? clock_newest(clock, above, type, whole) : clock->length;
    return plan;
}

/* Beyond an end: `end` is its sample, `inner` the one next to it, -1 or the length for none. */
INLINE void plan_beyond(const row_clock *clock, const resample_source *source, stamp target,
                        long long inner, sample_plan *plan, int type, int whole) {
    const int below = plan->left < 0;
    const long long end = below ? plan->right : plan->left;
    const stamp time = clock_at(clock, end, type, whole);
    const stamp away = below ? stamp_span(time, target, type) : stamp_span(target, time, type);
    const int is_far = !within_limit(away, &source->tolerance, type);
    plan->flags = (below ? BELOW : ABOVE) |
                  (is_far || !has_limit(&source->tolerance, type) ? FAR_NEAREST : 0) |
                  (is_far || !within_limit(away, &source->max_gap, type) ? FAR_LEFT : 0);
    plan->left = plan->right = end;
    if (source->outside == OUTSIDE_EXTRAPOLATE && inner >= 0 && inner < clock->length) {
        const stamp other = clock_at(clock, inner, type, whole);
        plan->flags |= ON_LINE;
        if (below) {
            plan->right = inner;
            plan->weight = __ddiv_rn(-span_f64(stamp_span(time, target, type), type),
                                     span_f64(stamp_span(other, time, type), type));
        } else {
            plan->left = inner;
            plan->weight = __ddiv_rn(span_f64(stamp_span(target, other, type), type),
                                     span_f64(stamp_span(time, other, type), type));
            plan->flags |= RIGHT_NEARER;
        }
    }
}

/* Neither beyond an end nor on a stamp. */
INLINE void plan_between(const row_clock *clock, const resample_source *source, stamp target,
                         sample_plan *plan, int type, int whole) {
    const stamp first = clock_at(clock, plan->left, type, whole);
    const stamp second = clock_at(clock, plan->right, type, whole);
    const stamp since = stamp_span(target, first, type);
    const stamp until = stamp_span(second, target, type);
    const stamp gap = stamp_span(second, first, type);
    const int right_nearer = !span_at_most(since, until, type);
    plan->flags =
        (right_nearer ? RIGHT_NEARER : 0) |
        (within_limit(gap, &source->max_gap, type) ? 0 : WIDE_GAP) |
        (within_limit(since, &source->tolerance, type) ? 0 : FAR_LEFT) |
        (within_limit(right_nearer ? until : since, &source->tolerance, type) ? 0 : FAR_NEAREST);
    plan->weight = __ddiv_rn(span_f64(since, type), span_f64(gap, type));
}

/* Turns what plan_search() found into samples to blend. */
INLINE void plan_weigh(const row_clock *clock, const resample_source *source, stamp target,
                       sample_plan *plan, int type, int whole) {
    if (clock->length <= 0) {
        plan->flags = EMPTY;
        plan->left = plan->right = 0;
    } else if (plan->left >= 0 &&
               stamp_equal(clock_at(clock, plan->left, type, whole), target, type)) {
        plan->right = plan->left;
        plan->flags = EXACT;
    } else if (plan->left < 0 || plan->right >= clock->length) {
        long long inner = -1;
        if (source->outside == OUTSIDE_EXTRAPOLATE) {
            inner = plan->left >= 0 ? clock_before(clock, plan->left, type, whole)
                    : plan->right + 1 < clock->length
                        ? clock_newest(clock, plan->right + 1, type, whole)
                        : clock->length;
        }
        plan_beyond(clock, source, target, inner, plan, type, whole);
    } else {
        plan_between(clock, source, target, plan, type, whole);
    }
}

/* Whether a target has a value in `mode`, reductions apart. */
INLINE int plan_is_valid(int flags, int mode) {
    const int invalid = EMPTY | WIDE_GAP | (mode == MODE_HOLD ? FAR_LEFT | BELOW : FAR_NEAREST);
    return (flags & invalid) == 0;
}

INLINE int fills_outside(const resample_source *source) {
    return source->outside == OUTSIDE_NAN || source->outside == OUTSIDE_ZERO;
}

/* The sample that dt is measured from. */
INLINE long long plan_used(const sample_plan *plan, int mode) {
    const int is_left = mode == MODE_HOLD || mode >= MODE_MEAN;
    return !is_left && (plan->flags & RIGHT_NEARER) != 0 ? plan->right : plan->left;
}

INLINE stamp no_distance(int type) {
    return type == CLOCK_I64   ? 0x7fffffffffffffffLL
           : type == CLOCK_F64 ? 0x7ff8000000000000LL
                               : 0x7fc00000LL;
}

#endif
