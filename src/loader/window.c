#include "loader/window.h"

int64_t rbc__stamp_at(const rbc__stamps *stamps, int64_t index) {
    if (stamps->times != NULL) {
        return stamps->times[index];
    }
    return rbc__time_add_ns(stamps->origin_ns, rbc__rate_time_ns(stamps->rate, index));
}

/* Number of samples with a stamp at or before `time_ns`. */
static int64_t count_until(const rbc__stamps *stamps, int64_t time_ns) {
    if (stamps->times == NULL) {
        int64_t since = 0;
        if (__builtin_sub_overflow(time_ns, stamps->origin_ns, &since)) {
            since = time_ns < 0 ? -1 : INT64_MAX;
        }
        const int64_t ticks = rbc__rate_num_ticks(stamps->rate, since);
        return ticks < stamps->count ? ticks : stamps->count;
    }
    const int64_t *base = stamps->times;
    int64_t left = stamps->count;
    while (left > 0) {
        const int64_t half = left / 2;
        if (base[half] <= time_ns) {
            base += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return base - stamps->times;
}

void rbc__window_targets(const rbc__plan_window *window, const rbc__clock *clock, int64_t episode,
                         int64_t tick, int64_t tick_ns, int64_t *targets, uint8_t *is_pad) {
    const int64_t origin_ns = rbc__clock_origin_ns(clock, episode);
    const int64_t end_ns = rbc__clock_end_ns(clock, episode);
    for (int64_t i = 0; i < window->width; i++) {
        const int64_t offset = window->offsets[i];
        targets[i] =
            window->in_ticks
                ? rbc__time_add_ns(origin_ns, rbc__rate_time_ns(&clock->rate, tick + offset))
                : rbc__time_add_ns(tick_ns, offset);
        is_pad[i] = targets[i] < origin_ns || targets[i] > end_ns;
    }
}

void rbc__window_picks(const rbc__plan_window *window, int64_t num_samples, int64_t num_ticks,
                       int64_t tick, int64_t *picks, uint8_t *is_pad, uint8_t *valid) {
    for (int64_t i = 0; i < window->width; i++) {
        const int64_t step = tick + window->offsets[i];
        is_pad[i] = step < 0 || step >= num_ticks;
        valid[i] = step >= 0 && step < num_samples;
        if (valid[i]) {
            picks[i] = step;
        } else if (window->outside == RBC_OUTSIDE_HOLD) {
            picks[i] = step < 0 && num_samples > 0 ? 0 : num_samples - 1;
        } else {
            picks[i] = -1;
        }
    }
}

/* The newest sample of the stamp before that of `index`, or 0. */
static int64_t step_back(const rbc__stamps *stamps, int64_t index) {
    const int64_t stamp = rbc__stamp_at(stamps, index);
    while (index > 0 && rbc__stamp_at(stamps, index) == stamp) {
        index--;
    }
    return index;
}

/* One past the samples of the stamp at `index`. */
static int64_t step_over(const rbc__stamps *stamps, int64_t index) {
    if (index >= stamps->count) {
        return stamps->count;
    }
    const int64_t stamp = rbc__stamp_at(stamps, index);
    while (index < stamps->count && rbc__stamp_at(stamps, index) == stamp) {
        index++;
    }
    return index;
}

void rbc__window_range(const rbc__plan_window *window, const rbc__stamps *stamps,
                       const int64_t *targets, int64_t *begin, int64_t *end) {
    int64_t earliest = targets[0];
    int64_t latest = targets[0];
    for (int64_t i = 1; i < window->width; i++) {
        earliest = targets[i] < earliest ? targets[i] : earliest;
        latest = targets[i] > latest ? targets[i] : latest;
    }
    if (window->has_reduction) {
        if (window->width == 1) {
            earliest = INT64_MIN;
        } else {
            int64_t before = 0;
            if (__builtin_sub_overflow(targets[1], targets[0], &before) ||
                __builtin_sub_overflow(targets[0], before, &before)) {
                before = INT64_MIN;
            }
            earliest = before < earliest ? before : earliest;
        }
    }
    if (stamps->count == 0) {
        *begin = 0;
        *end = 0;
        return;
    }
    int64_t first = count_until(stamps, earliest);
    first = first > 0 ? first - 1 : 0;
    /* Two stamps to either side serve every mode: the neighbours of a cubic's bracket, and the two
     * end samples of an extrapolation. */
    first = step_back(stamps, first);
    first = step_back(stamps, first);
    int64_t last = count_until(stamps, latest);
    last = step_over(stamps, last);
    last = step_over(stamps, last);
    if (last - first < 2) {
        last = step_over(stamps, last);
    }
    *begin = first;
    *end = last;
}
