#include "loader/clock.h"

#include <stdlib.h>

#include "core/error.h"
#include "core/tensor.h"

static bool has_stamps(const rbc__clock *clock, int64_t episode) {
    return clock->end_ns[episode] >= clock->start_ns[episode];
}

static rbc_status check_rate(double hz, const char *name, rbc__rate *out, rbc_error *err) {
    if (!rbc__rate_from_hz(hz, out)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is %g; it must be from %g to %g Hz",
                         name, hz, RBC__RATE_MIN_HZ, RBC__RATE_MAX_HZ);
    }
    return RBC_OK;
}

static rbc_status count_ticks(const rbc__clock *clock, int64_t episode, int64_t *out,
                              rbc_error *err) {
    if (has_stamps(clock, episode)) {
        int64_t duration = 0;
        if (__builtin_sub_overflow(clock->end_ns[episode], clock->start_ns[episode], &duration)) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "stamps of episode %lld of the selection run from %lld to %lld ns, "
                             "more than int64 can count",
                             (long long)episode, (long long)clock->start_ns[episode],
                             (long long)clock->end_ns[episode]);
        }
        *out = rbc__rate_num_ticks(&clock->rate, rbc__time_add_ns(duration, clock->snap_ns));
        return RBC_OK;
    }
    const int64_t steps = clock->steps[episode];
    if (steps <= 0 || !clock->has_control) {
        *out = 0;
    } else if (clock->is_control) {
        *out = steps;
    } else {
        const int64_t last_ns = rbc__rate_time_ns(&clock->control, steps - 1);
        *out = rbc__rate_num_ticks(&clock->rate, rbc__time_add_ns(last_ns, clock->snap_ns));
    }
    return RBC_OK;
}

rbc_status rbc__clock_init(rbc__clock *out, const rbc__clock_params *params, rbc_error *err) {
    rbc__clock clock = {.num_episodes = params->num_episodes,
                        .steps = params->steps,
                        .start_ns = params->start_ns,
                        .end_ns = params->end_ns,
                        .has_control = params->control_rate_hz > 0.0};
    RBC__TRY(check_rate(params->rate_hz, "rate_hz", &clock.rate, err));
    if (clock.has_control) {
        RBC__TRY(check_rate(params->control_rate_hz, "control rate", &clock.control, err));
        clock.is_control = rbc__rate_equal(&clock.rate, &clock.control);
    }
    const int64_t most_ns = (rbc__rate_time_ns(&clock.rate, 1) - 1) / 2;
    clock.snap_ns = params->snap_ns < most_ns ? params->snap_ns : most_ns;
    clock.first_sample = malloc(((size_t)params->num_episodes + 1) * sizeof *clock.first_sample);
    if (clock.first_sample == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the clock of %lld episodes",
                         (long long)params->num_episodes);
    }
    clock.first_sample[0] = 0;
    for (int64_t i = 0; i < params->num_episodes; i++) {
        int64_t ticks = 0;
        rbc_status status = count_ticks(&clock, i, &ticks, err);
        if (status == RBC_OK &&
            !rbc__add_size(clock.first_sample[i], ticks, &clock.first_sample[i + 1])) {
            status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                               "at rate_hz %g the first %lld episodes of the selection have more "
                               "ticks than int64 can count",
                               params->rate_hz, (long long)(i + 1));
        }
        if (status != RBC_OK) {
            free(clock.first_sample);
            return status;
        }
    }
    *out = clock;
    return RBC_OK;
}

void rbc__clock_free(rbc__clock *clock) {
    free(clock->first_sample);
    clock->first_sample = NULL;
}

int64_t rbc__clock_num_samples(const rbc__clock *clock) {
    return clock->first_sample[clock->num_episodes];
}

void rbc__clock_find(const rbc__clock *clock, int64_t sample, int64_t *episode, int64_t *tick) {
    /* The last episode that begins at or before `sample`: episodes without ticks are passed by. */
    const int64_t *base = clock->first_sample;
    int64_t count = clock->num_episodes;
    while (count > 1) {
        const int64_t half = count / 2;
        base = base[half] <= sample ? base + half : base;
        count -= half;
    }
    *episode = base - clock->first_sample;
    *tick = sample - *base;
}

int64_t rbc__clock_num_ticks(const rbc__clock *clock, int64_t episode) {
    return clock->first_sample[episode + 1] - clock->first_sample[episode];
}

int64_t rbc__clock_origin_ns(const rbc__clock *clock, int64_t episode) {
    return has_stamps(clock, episode) ? clock->start_ns[episode] : 0;
}

int64_t rbc__clock_end_ns(const rbc__clock *clock, int64_t episode) {
    if (has_stamps(clock, episode)) {
        return clock->end_ns[episode];
    }
    const int64_t steps = clock->steps[episode];
    return clock->has_control && steps > 0 ? rbc__rate_time_ns(&clock->control, steps - 1) : -1;
}
