/* The ticks of the loader's clock in each episode of a selection.
 *
 * Tick t of an episode is at origin + rbc__rate_time_ns(rate, t). An episode with stamps runs from
 * its earliest to its latest stamp and has the ticks that fall into that. One without runs from 0
 * to its last step on the control rate, so that with rate equal to the control rate ticks are
 * steps. */
#ifndef RBC_LOADER_CLOCK_H
#define RBC_LOADER_CLOCK_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/rate.h"

typedef struct rbc__clock {
    rbc__rate rate;
    rbc__rate control; /* of steps without stamps */
    bool has_control;  /* false: unknown, and not needed by the streams in use */
    bool is_control;   /* the two rates are the same */
    int64_t snap_ns;   /* moments no further apart are one; less than half a period */
    int64_t num_episodes;
    int64_t *first_sample;   /* [num_episodes + 1]: ticks of all episodes before */
    const int64_t *steps;    /* borrowed, [num_episodes] */
    const int64_t *start_ns; /* borrowed; end before start: no stamps */
    const int64_t *end_ns;
} rbc__clock;

typedef struct rbc__clock_params {
    double rate_hz;         /* of the clock */
    double control_rate_hz; /* 0: unknown; episodes without stamps then have no ticks */
    int64_t snap_ns;        /* at least 0 */
    int64_t num_episodes;
    const int64_t *steps, *start_ns, *end_ns; /* must outlive the clock */
} rbc__clock_params;

/* INVALID_ARGUMENT (a rate out of range, too many ticks to count), FORMAT (stamps of an episode
 * further apart than int64), OUT_OF_MEMORY. On failure nothing is to be freed. */
rbc_status rbc__clock_init(rbc__clock *out, const rbc__clock_params *params, rbc_error *err);
void rbc__clock_free(rbc__clock *clock);

int64_t rbc__clock_num_samples(const rbc__clock *clock);

/* Episode (position in the selection) and tick of `sample` in [0, num_samples). O(log episodes). */
void rbc__clock_find(const rbc__clock *clock, int64_t sample, int64_t *episode, int64_t *tick);

int64_t rbc__clock_num_ticks(const rbc__clock *clock, int64_t episode);
/* Where tick 0 and step 0 of the episode lie, and the last moment that is not padding. */
int64_t rbc__clock_origin_ns(const rbc__clock *clock, int64_t episode);
int64_t rbc__clock_end_ns(const rbc__clock *clock, int64_t episode);

#endif
