/* Which samples make the value at a target, with what weight, and whether it is valid. */
#ifndef RBC_CUDA_BRACKET_CUH
#define RBC_CUDA_BRACKET_CUH

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
typedef struct bracket {
    long long left, right;
    int flags;
    double weight; /* (target - left) / (right - left) */
} bracket;

INLINE bracket bracket_search(const row_clock *clock, stamp target, int type, int whole) {
    bracket around;
    around.flags = 0;
    around.weight = 0.0;
    const int cached = !whole && clock->cache_first < clock->cache_end;
    const long long above = clock_search(clock, target, cached ? clock->cache_first : 0,
                                         cached ? clock->cache_end : clock->length, type, whole);
    around.left = above - 1;
    around.right = above < clock->length ? clock_newest(clock, above, type, whole) : clock->length;
    return around;
}

/* Beyond an end: `end` is its sample, `inner` the one next to it, -1 or the length for none. */
INLINE void bracket_beyond(const row_clock *clock, const resample_source *source, stamp target,
                           long long inner, bracket *around, int type, int whole) {
    const int below = around->left < 0;
    const long long end = below ? around->right : around->left;
    const stamp time = clock_at(clock, end, type, whole);
    const stamp away = below ? stamp_since(time, target, type) : stamp_since(target, time, type);
    const int is_far = !within_limit(away, &source->tolerance, type);
    around->flags = (below ? BELOW : ABOVE) |
                    (is_far || !has_limit(&source->tolerance, type) ? FAR_NEAREST : 0) |
                    (is_far || !within_limit(away, &source->max_gap, type) ? FAR_LEFT : 0);
    around->left = around->right = end;
    if (source->outside == OUTSIDE_EXTRAPOLATE && inner >= 0 && inner < clock->length) {
        const stamp other = clock_at(clock, inner, type, whole);
        around->flags |= ON_LINE;
        if (below) {
            around->right = inner;
            around->weight = __ddiv_rn(-since_f64(stamp_since(time, target, type), type),
                                       since_f64(stamp_since(other, time, type), type));
        } else {
            around->left = inner;
            around->weight = __ddiv_rn(since_f64(stamp_since(target, other, type), type),
                                       since_f64(stamp_since(time, other, type), type));
            around->flags |= RIGHT_NEARER;
        }
    }
}

/* Neither beyond an end nor on a stamp. */
INLINE void bracket_between(const row_clock *clock, const resample_source *source, stamp target,
                            bracket *around, int type, int whole) {
    const stamp first = clock_at(clock, around->left, type, whole);
    const stamp second = clock_at(clock, around->right, type, whole);
    const stamp since = stamp_since(target, first, type);
    const stamp until = stamp_since(second, target, type);
    const stamp gap = stamp_since(second, first, type);
    const int right_nearer = !since_at_most(since, until, type);
    around->flags =
        (right_nearer ? RIGHT_NEARER : 0) |
        (within_limit(gap, &source->max_gap, type) ? 0 : WIDE_GAP) |
        (within_limit(since, &source->tolerance, type) ? 0 : FAR_LEFT) |
        (within_limit(right_nearer ? until : since, &source->tolerance, type) ? 0 : FAR_NEAREST);
    around->weight = __ddiv_rn(since_f64(since, type), since_f64(gap, type));
}

/* Turns what bracket_search() found into samples to blend. */
INLINE void bracket_weigh(const row_clock *clock, const resample_source *source, stamp target,
                          bracket *around, int type, int whole) {
    if (clock->length <= 0) {
        around->flags = EMPTY;
        around->left = around->right = 0;
    } else if (around->left >= 0 &&
               stamp_equal(clock_at(clock, around->left, type, whole), target, type)) {
        around->right = around->left;
        around->flags = EXACT;
    } else if (around->left < 0 || around->right >= clock->length) {
        long long inner = -1;
        if (source->outside == OUTSIDE_EXTRAPOLATE) {
            inner = around->left >= 0 ? clock_before(clock, around->left, type, whole)
                    : around->right + 1 < clock->length
                        ? clock_newest(clock, around->right + 1, type, whole)
                        : clock->length;
        }
        bracket_beyond(clock, source, target, inner, around, type, whole);
    } else {
        bracket_between(clock, source, target, around, type, whole);
    }
}

/* Whether a target has a value in `mode`, reductions apart. */
INLINE int bracket_is_valid(int flags, int mode) {
    const int invalid = EMPTY | WIDE_GAP | (mode == MODE_HOLD ? FAR_LEFT | BELOW : FAR_NEAREST);
    return (flags & invalid) == 0;
}

INLINE int fills_outside(const resample_source *source) {
    return source->outside == OUTSIDE_NAN || source->outside == OUTSIDE_ZERO;
}

/* The sample that dt is measured from. */
INLINE long long bracket_used(const bracket *around, int mode) {
    const int is_left = mode == MODE_HOLD || mode >= MODE_MEAN;
    return !is_left && (around->flags & RIGHT_NEARER) != 0 ? around->right : around->left;
}

INLINE stamp no_distance(int type) {
    return type == CLOCK_I64   ? 0x7fffffffffffffffLL
           : type == CLOCK_F64 ? 0x7ff8000000000000LL
                               : 0x7fc00000LL;
}

#endif
