/* The target times of a window, and which samples of its stream decide their values. */
#ifndef RBC_LOADER_WINDOW_H
#define RBC_LOADER_WINDOW_H

#include "loader/batch_spec.h"
#include "loader/clock.h"

/* The stamps of a stream in one episode: an array, or steps on the control rate. */
typedef struct rbc__stamps {
    const int64_t *times; /* NULL: on the control rate */
    int64_t count;
    const rbc__rate *rate; /* of the steps */
    int64_t origin_ns;     /* of step 0 */
} rbc__stamps;

/* Stamp of sample `index`. */
int64_t rbc__stamp_at(const rbc__stamps *stamps, int64_t index);

/* Targets of a sample at `tick` of an episode, and whether each lies outside of the episode. For
 * windows that are not exact. A window with reductions has, before that of an element, the one at
 * which its interval begins, one period before: in consecutive ticks that of the element before. */
int64_t rbc__window_num_targets(const rbc__window_spec *window);
int64_t rbc__window_target_index(const rbc__window_spec *window, int64_t element);
void rbc__window_targets(const rbc__window_spec *window, const rbc__clock *clock, int64_t episode,
                         int64_t tick, int64_t *targets, uint8_t *is_pad);

/* Moves the targets onto what they are no further than the clock's snap away from: the newest such
 * stamp, or, for nearest, the middle between two. */
void rbc__window_snap(const rbc__window_spec *window, const int64_t *times, int64_t count,
                      int64_t snap_ns, int64_t *targets);

/* Whether zero or NaN stands where there is no value or the target lies outside of the episode;
 * what is filled is not valid. */
bool rbc__window_fills(const rbc__window_spec *window);

/* For exact windows: the step that each target takes, -1 where nothing is to be taken from the
 * stream, whether it has a value, and padding. */
void rbc__window_picks(const rbc__window_spec *window, int64_t num_samples, int64_t num_ticks,
                       int64_t tick, int64_t *picks, uint8_t *is_pad, uint8_t *valid);

/* The smallest range [begin, end) of samples, with a margin, on which resampling gives the same as
 * on all of them, before and after rbc__window_snap(): the samples around each target, for cubic
 * their neighbours too, equal stamps included. Empty only when the stream is. */
void rbc__window_range(const rbc__window_spec *window, const rbc__stamps *stamps, int64_t snap_ns,
                       const int64_t *targets, int64_t *begin, int64_t *end);

#endif
