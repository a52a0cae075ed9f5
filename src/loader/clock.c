#include "loader/clock.h"

#include <stdlib.h>

#include "core/error.h"
#include "core/tensor.h"

static bool has_stamps(const rbc__clock *clock, int64_t episode) {
    const rbc__clock_params *from = &clock->from;
    return !from->is_on_steps && from->end_ns[episode] >= from->start_ns[episode];
}

static rbc_status check_rate(double hz, const char *name, rbc__rate *out, rbc_error *err) {
    if (!rbc__rate_from_hz(hz, out)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is %g; wanted %g to %g Hz", name, hz,
                         RBC__RATE_MIN_HZ, RBC__RATE_MAX_HZ);
    }
    return RBC_OK;
}

static rbc_status count_ticks(const rbc__clock *clock, int64_t episode, int64_t *out,
                              rbc_error *err) {
    const rbc__clock_params *from = &clock->from;
    const int64_t steps = from->steps[episode];
    if (has_stamps(clock, episode)) {
        int64_t duration = 0;
        if (__builtin_sub_overflow(from->end_ns[episode], from->start_ns[episode], &duration)) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "stamps of episode %lld of the selection run from %lld to %lld ns, "
                             "more than int64 can count",
                             (long long)episode, (long long)from->start_ns[episode],
                             (long long)from->end_ns[episode]);
        }
        *out = rbc__rate_num_ticks(&clock->rate, rbc__time_add_ns(duration, clock->snap_ns));
    } else if (steps <= 0 || !clock->has_control || (from->is_named && !from->is_on_steps)) {
        *out = 0;
    } else if (rbc__rate_equal(&clock->rate, &clock->control)) {
        *out = steps;
    } else {
        const int64_t last_ns = rbc__rate_time_ns(&clock->control, steps - 1);
        *out = rbc__rate_num_ticks(&clock->rate, rbc__time_add_ns(last_ns, clock->snap_ns));
    }
    return RBC_OK;
}

rbc_status rbc__clock_init(rbc__clock *out, const rbc__clock_params *params, rbc_error *err) {
    rbc__clock clock = {.from = *params, .has_control = params->control_rate_hz > 0.0};
    RBC__TRY(check_rate(params->rate_hz, "rate_hz", &clock.rate, err));
    if (clock.has_control) {
        RBC__TRY(check_rate(params->control_rate_hz, "control rate", &clock.control, err));
        clock.ticks_are_steps = rbc__rate_equal(&clock.rate, &clock.control) &&
                                (params->is_on_steps || !params->is_named);
    }
    const int64_t most_ns = (rbc__rate_time_ns(&clock.rate, 1) - 1) / 2;
    clock.snap_ns = params->snap_ns < most_ns ? params->snap_ns : most_ns;
    clock.first_tick = malloc(((size_t)params->num_episodes + 1) * sizeof *clock.first_tick);
    if (clock.first_tick == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the clock of %lld episodes",
                         (long long)params->num_episodes);
    }
    clock.first_tick[0] = 0;
    for (int64_t i = 0; i < params->num_episodes; ++i) {
        int64_t ticks = 0;
        rbc_status status = count_ticks(&clock, i, &ticks, err);
        if (status == RBC_OK &&
            !rbc__add_size(clock.first_tick[i], ticks, &clock.first_tick[i + 1])) {
            status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                               "at rate_hz %g the first %lld episodes of the selection have more "
                               "ticks than int64 can count",
                               params->rate_hz, (long long)(i + 1));
        }
        if (status != RBC_OK) {
            free(clock.first_tick);
            return status;
        }
    }
    *out = clock;
    return RBC_OK;
}

void rbc__clock_free(rbc__clock *clock) {
    free(clock->first_tick);
    free(clock->run_sample);
    free(clock->run_tick);
    clock->first_tick = NULL;
    clock->run_sample = NULL;
    clock->run_tick = NULL;
}

void rbc__clock_restrict(rbc__clock *clock, int64_t num_runs, int64_t *run_sample,
                         int64_t *run_tick) {
    free(clock->run_sample);
    free(clock->run_tick);
    clock->num_runs = num_runs;
    clock->run_sample = run_sample;
    clock->run_tick = run_tick;
}

bool rbc__clock_is_sample(const rbc__clock *clock, int64_t tick, int64_t *run) {
    if (clock->run_sample == NULL) {
        return true;
    }
    const int64_t *first = clock->run_tick;
    const int64_t *sample = clock->run_sample;
    while (*run < clock->num_runs && tick - first[*run] >= sample[*run + 1] - sample[*run]) {
        ++*run;
    }
    return *run < clock->num_runs && tick >= first[*run];
}

int64_t rbc__clock_num_samples(const rbc__clock *clock) {
    return clock->run_sample != NULL ? clock->run_sample[clock->num_runs]
                                     : clock->first_tick[clock->from.num_episodes];
}

/* The last of `count` begins that is at or before `at`: those of nothing are passed by. */
static int64_t find_last(const int64_t *begins, int64_t count, int64_t at) {
    const int64_t *base = begins;
    while (count > 1) {
        const int64_t half = count / 2;
        base = base[half] <= at ? base + half : base;
        count -= half;
    }
    return base - begins;
}

void rbc__clock_find(const rbc__clock *clock, int64_t sample, int64_t *episode, int64_t *tick) {
    int64_t at = sample;
    if (clock->run_sample != NULL) {
        const int64_t run = find_last(clock->run_sample, clock->num_runs, sample);
        at = clock->run_tick[run] + (sample - clock->run_sample[run]);
    }
    *episode = find_last(clock->first_tick, clock->from.num_episodes, at);
    *tick = at - clock->first_tick[*episode];
}

int64_t rbc__clock_num_ticks(const rbc__clock *clock, int64_t episode) {
    return clock->first_tick[episode + 1] - clock->first_tick[episode];
}

int64_t rbc__clock_steps_start_ns(const rbc__clock *clock, int64_t episode) {
    const rbc__clock_params *from = &clock->from;
    return from->steps_end_ns[episode] >= from->steps_start_ns[episode]
               ? from->steps_start_ns[episode]
               : 0;
}

int64_t rbc__clock_steps_end_ns(const rbc__clock *clock, int64_t episode) {
    const int64_t steps = clock->from.steps[episode];
    const int64_t last_ns =
        clock->has_control && steps > 0 ? rbc__rate_time_ns(&clock->control, steps - 1) : -1;
    return rbc__time_add_ns(rbc__clock_steps_start_ns(clock, episode), last_ns);
}

int64_t rbc__clock_origin_ns(const rbc__clock *clock, int64_t episode) {
    return has_stamps(clock, episode) ? clock->from.start_ns[episode]
                                      : rbc__clock_steps_start_ns(clock, episode);
}

int64_t rbc__clock_end_ns(const rbc__clock *clock, int64_t episode) {
    return has_stamps(clock, episode) ? clock->from.end_ns[episode]
                                      : rbc__clock_steps_end_ns(clock, episode);
}
