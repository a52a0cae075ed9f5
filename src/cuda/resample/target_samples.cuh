/* All that the modes need to know of one target: the samples around it, cubic weights, and the
 * samples of its interval. */
#ifndef RBC_CUDA_TARGET_SAMPLES_CUH
#define RBC_CUDA_TARGET_SAMPLES_CUH

#include "cuda/resample/blend.cuh"
#include "cuda/resample/bracket.cuh"

/* What the first stage leaves for the second; `last`: newest sample at or before the target. */
typedef struct target_samples {
    bracket around;
    cubic_weights cubic;
    long long last;
    long long begin; /* samples [begin, last + 1) are in the target's interval */
    stamp time;
    int valid;
} target_samples;

INLINE void weigh_cubic(const row_clock *clock, const bracket *around, cubic_weights *cubic,
                        int type) {
    cubic->before = cubic->middle = cubic->after = 0.0;
    if ((around->flags & (EXACT | BELOW | ABOVE | EMPTY)) != 0) {
        cubic->previous = around->left;
        cubic->next = around->right;
        return;
    }
    const double s = around->weight;
    const double at_left = s * (1.0 - s) * (1.0 - s);
    const double at_right = s * s * (s - 1.0);
    const stamp first = clock_at(clock, around->left, type, 0);
    const stamp second = clock_at(clock, around->right, type, 0);
    const double h = since_f64(stamp_since(second, first, type), type);
    double left_share = 1.0;
    double right_share = 1.0;
    if (cubic->previous >= 0) {
        const double g =
            since_f64(stamp_since(first, clock_at(clock, cubic->previous, type, 0), type), type);
        left_share = g / (g + h);
        cubic->before = at_left * (h / g) * (h / (g + h));
    } else {
        cubic->previous = around->left;
    }
    if (cubic->next < clock->length) {
        const double g =
            since_f64(stamp_since(clock_at(clock, cubic->next, type, 0), second, type), type);
        right_share = g / (g + h);
        cubic->after = at_right * (h / g) * (h / (g + h));
    } else {
        cubic->next = around->right;
    }
    cubic->middle = s * s * (3.0 - 2.0 * s) + at_left * left_share + at_right * right_share;
}

INLINE void find_neighbours(const row_clock *clock, const bracket *around, cubic_weights *cubic,
                            int type) {
    cubic->previous = around->left > 0 ? clock_before(clock, around->left, type, 0) : -1;
    cubic->next = around->right + 1 < clock->length
                      ? clock_newest(clock, around->right + 1, type, 0)
                      : clock->length;
}

/* First sample of the interval that ends at `target`. */
INLINE long long interval_begin(const row_targets *targets, const row_clock *clock,
                                long long target, int type) {
    stamp begin;
    if (target > 0) {
        begin = row_target(targets, target - 1, type);
    } else if (targets->count > 1) {
        const stamp first = row_target(targets, 0, type);
        const stamp step = stamp_difference(row_target(targets, 1, type), first, type);
        begin = stamp_difference(first, step, type);
    } else {
        return 0;
    }
    return clock_search(clock, begin, 0, clock->length, type, 0);
}

INLINE int has_mode(const resample_source *source, int mode) {
    return source->modes >> mode & 1;
}

INLINE int has_reduction(const resample_source *source) {
    return source->modes >> MODE_MEAN != 0;
}

INLINE void find_samples(const row_targets *targets, const resample_source *source,
                         const row_clock *clock, long long target, target_samples *out, int type) {
    out->time = row_target(targets, target, type);
    bracket around = bracket_search(clock, out->time, type, 0);
    out->last = around.left;
    out->valid = 1;
    out->begin = has_reduction(source) ? interval_begin(targets, clock, target, type) : 0;
    cubic_weights cubic;
    const int is_cubic = has_mode(source, MODE_CUBIC) && clock->length > 0;
    if (is_cubic) {
        find_neighbours(clock, &around, &cubic, type);
    }
    bracket_weigh(clock, source, out->time, &around, type, 0);
    if (is_cubic) {
        weigh_cubic(clock, &around, &cubic, type);
        out->cubic = cubic;
    }
    out->around = around;
}

#endif
