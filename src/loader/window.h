/* The target times of a window, and which samples of its stream decide their values. */
#ifndef RBC_LOADER_WINDOW_H
#define RBC_LOADER_WINDOW_H

#include "loader/clock.h"
#include "loader/plan.h"

/* The stamps of a stream in one episode: an array, or steps on the control rate. */
typedef struct rbc__stamps {
    const int64_t *times; /* NULL: on the control rate */
    int64_t count;
    const rbc__rate *rate; /* of the steps */
    int64_t origin_ns;     /* of step 0 */
} rbc__stamps;

/* Stamp of sample `index`. */
int64_t rbc__stamp_at(const rbc__stamps *stamps, int64_t index);

/* Target times of a sample at `tick` and `tick_ns` of an episode, and whether each is outside of
 * the episode. For windows that are not exact. */
void rbc__window_targets(const rbc__plan_window *window, const rbc__clock *clock, int64_t episode,
                         int64_t tick, int64_t tick_ns, int64_t *targets, uint8_t *is_pad);

/* For exact windows: the step that each target takes, -1 where nothing is to be taken from the
 * stream (outside, unless held), whether it is one of the stream's steps, and padding. */
void rbc__window_picks(const rbc__plan_window *window, int64_t num_samples, int64_t num_ticks,
                       int64_t tick, int64_t *picks, uint8_t *is_pad, uint8_t *valid);

/* The smallest range [begin, end) of samples, with a margin, on which resampling gives the same as
 * on all of them: the samples around each target, for cubic their neighbours too, for reductions
 * the interval before the first target, equal stamps included. Empty only when the stream is. */
void rbc__window_range(const rbc__plan_window *window, const rbc__stamps *stamps,
                       const int64_t *targets, int64_t *begin, int64_t *end);

#endif
