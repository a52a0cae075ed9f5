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

int64_t rbc__window_num_targets(const rbc__window_spec *window) {
    return window->has_reduction ? rbc__window_target_index(window, window->width - 1) + 1
                                 : window->width;
}

int64_t rbc__window_target_index(const rbc__window_spec *window, int64_t element) {
    return !window->has_reduction   ? element
           : window->is_consecutive ? element + 1
                                    : 2 * element + 1;
}

void rbc__window_targets(const rbc__window_spec *window, const rbc__clock *clock, int64_t episode,
                         int64_t tick, int64_t *targets, uint8_t *is_pad) {
    const int64_t origin_ns = rbc__clock_origin_ns(clock, episode);
    const int64_t first_ns = rbc__time_add_ns(origin_ns, -clock->snap_ns);
    const int64_t last_ns = rbc__time_add_ns(rbc__clock_end_ns(clock, episode), clock->snap_ns);
    for (int64_t i = 0; i < window->width; ++i) {
        const int64_t at = tick + window->ticks[i];
        const int64_t base_ns = rbc__time_add_ns(origin_ns, window->offsets_ns[i]);
        const int64_t target = rbc__time_add_ns(base_ns, rbc__rate_time_ns(&clock->rate, at));
        const int64_t index = rbc__window_target_index(window, i);
        if (window->has_reduction && (i == 0 || !window->is_consecutive)) {
            targets[index - 1] = rbc__time_add_ns(base_ns, rbc__rate_time_ns(&clock->rate, at - 1));
        }
        targets[index] = target;
        is_pad[i] = target < first_ns || target > last_ns;
    }
}

/* A target that lies past the middle between two stamps by no more than the snap, on it. */
static int64_t snap_to_middle(int64_t target, int64_t left, int64_t right, int64_t snap_ns) {
    const uint64_t since = (uint64_t)target - (uint64_t)left;
    const uint64_t until = (uint64_t)right - (uint64_t)target;
    const uint64_t gap = since + until;
    return since > until && since - until <= 2 * (uint64_t)snap_ns
               ? (int64_t)((uint64_t)left + gap / 2)
               : target;
}

void rbc__window_snap(const rbc__window_spec *window, const int64_t *times, int64_t count,
                      int64_t snap_ns, int64_t *targets) {
    const int64_t num_targets = rbc__window_num_targets(window);
    int64_t above = 0; /* samples at or before the target, or no further behind it than the snap */
    int64_t before = INT64_MIN;
    for (int64_t i = 0; i < num_targets; ++i) {
        const int64_t last = rbc__time_add_ns(targets[i], snap_ns);
        if (last < before) {
            above = count_until(&(rbc__stamps){.times = times, .count = count}, last);
        }
        while (above < count && times[above] <= last) {
            ++above;
        }
        before = last;
        if (above == 0) {
            continue;
        }
        const int64_t stamp = times[above - 1];
        if (stamp >= rbc__time_add_ns(targets[i], -snap_ns)) {
            targets[i] = stamp;
        } else if (window->has_nearest && above < count) {
            targets[i] = snap_to_middle(targets[i], stamp, times[above], snap_ns);
        }
    }
}

bool rbc__window_fills(const rbc__window_spec *window) {
    return window->outside == RBC_OUTSIDE_NAN || window->outside == RBC_OUTSIDE_ZERO;
}

void rbc__window_picks(const rbc__window_spec *window, int64_t num_samples, int64_t num_ticks,
                       int64_t tick, int64_t *picks, uint8_t *is_pad, uint8_t *valid) {
    for (int64_t i = 0; i < window->width; ++i) {
        const int64_t step = tick + window->ticks[i];
        const int64_t last = num_samples - 1;
        is_pad[i] = step < 0 || step >= num_ticks;
        valid[i] = num_samples > 0 && step >= 0 && (step <= last || window->is_held) &&
                   !(is_pad[i] && rbc__window_fills(window));
        if (valid[i] || !rbc__window_fills(window)) {
            picks[i] = step > last || last < 0 ? last : step < 0 ? 0 : step;
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
        ++index;
    }
    return index;
}

void rbc__window_range(const rbc__window_spec *window, const rbc__stamps *stamps, int64_t snap_ns,
                       const int64_t *targets, int64_t *begin, int64_t *end) {
    const int64_t num_targets = rbc__window_num_targets(window);
    int64_t earliest = targets[0];
    int64_t latest = targets[0];
    for (int64_t i = 1; i < num_targets; ++i) {
        earliest = targets[i] < earliest ? targets[i] : earliest;
        latest = targets[i] > latest ? targets[i] : latest;
    }
    latest = rbc__time_add_ns(latest, snap_ns);
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
