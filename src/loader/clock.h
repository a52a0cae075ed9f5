/* The ticks of the loader's clock in each episode of a selection, and which of them are samples.
 *
 * Tick t of an episode is at origin + rbc__rate_time_ns(rate, t). Where the clock is taken from
 * stamps an episode begins with the first and ends with the last of them, and has the ticks that
 * fall into that; else it has those of its steps, which lie on the control rate, so that with rate
 * equal to the control rate ticks are steps. */
#ifndef RBC_LOADER_CLOCK_H
#define RBC_LOADER_CLOCK_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/rate.h"

typedef struct rbc__clock_params {
    double rate_hz;         /* of the clock */
    double control_rate_hz; /* 0: unknown; episodes without stamps then have no ticks */
    int64_t snap_ns;        /* at least 0 */
    int64_t num_episodes;
    /* [num_episodes] each; all must outlive the clock. `end` before `start`: no stamps. */
    const int64_t *steps;
    const int64_t *steps_start_ns, *steps_end_ns; /* stamps that the steps begin with */
    const int64_t *start_ns, *end_ns;             /* stamps that the clock is taken from */
    bool is_on_steps; /* the clock is that of the steps, and the last two are not looked at */
    bool is_named;    /* an episode without stamps has no ticks, instead of those of its steps */
} rbc__clock_params;

typedef struct rbc__clock {
    rbc__clock_params from;
    rbc__rate rate;
    rbc__rate control; /* of steps without stamps */
    bool has_control;  /* false: unknown, and not needed by the streams in use */
    bool ticks_are_steps;
    int64_t snap_ns;     /* moments no further apart are one; less than half a period */
    int64_t *first_tick; /* [num_episodes + 1]: ticks of all episodes before */
    /* Samples are the ticks of `num_runs` runs, where not all of them are: run_sample
     * [num_runs + 1] and run_tick [num_runs] say where each begins. NULL: all. */
    int64_t num_runs;
    int64_t *run_sample, *run_tick;
} rbc__clock;

/* INVALID_ARGUMENT (a rate out of range, too many ticks to count), FORMAT (stamps of an episode
 * further apart than int64), OUT_OF_MEMORY. On failure nothing is to be freed. */
rbc_status rbc__clock_init(rbc__clock *out, const rbc__clock_params *params, rbc_error *err);
void rbc__clock_free(rbc__clock *clock);

/* Leaves the ticks of these runs as samples, of those that were; takes the arrays over. */
void rbc__clock_restrict(rbc__clock *clock, int64_t num_runs, int64_t *run_sample,
                         int64_t *run_tick);

/* Whether the tick, counted over all episodes, is a sample. `*run`, 0 at first, is where the search
 * went to: ticks are asked for in ascending order. */
bool rbc__clock_is_sample(const rbc__clock *clock, int64_t tick, int64_t *run);

int64_t rbc__clock_num_samples(const rbc__clock *clock);

/* Episode (position in the selection) and tick of `sample` in [0, num_samples). O(log episodes). */
void rbc__clock_find(const rbc__clock *clock, int64_t sample, int64_t *episode, int64_t *tick);

int64_t rbc__clock_num_ticks(const rbc__clock *clock, int64_t episode);
/* Where tick 0 of the episode lies, and the last moment that is not padding. */
int64_t rbc__clock_origin_ns(const rbc__clock *clock, int64_t episode);
int64_t rbc__clock_end_ns(const rbc__clock *clock, int64_t episode);
/* Where step 0 lies, and the last one: before step 0 where there is none. */
int64_t rbc__clock_steps_start_ns(const rbc__clock *clock, int64_t episode);
int64_t rbc__clock_steps_end_ns(const rbc__clock *clock, int64_t episode);

#endif
