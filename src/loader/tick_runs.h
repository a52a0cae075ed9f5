/* Runs of ticks, numbered over all episodes, that grow at their end. */
#ifndef RBC_LOADER_TICK_RUNS_H
#define RBC_LOADER_TICK_RUNS_H

#include "loader/clock.h"

typedef struct rbc__tick_runs {
    int64_t *first, *sample; /* [room]: tick and sample that each begins with */
    int64_t count, room;
    int64_t num_samples;
    int64_t next; /* tick that would go on with the last run */
} rbc__tick_runs;

rbc_status rbc__tick_runs_begin(rbc__tick_runs *out, rbc_error *err);
/* Ticks are added in ascending order. OUT_OF_MEMORY. */
rbc_status rbc__tick_runs_add(rbc__tick_runs *runs, int64_t tick, rbc_error *err);
/* The same as pairs of numbers: the tick that a run begins with, and how many it has. `*pairs`
 * [2 * runs->count] is released with free(). OUT_OF_MEMORY. */
rbc_status rbc__tick_runs_pack(const rbc__tick_runs *runs, int64_t **pairs, rbc_error *err);
/* Fills runs that are empty with those of `count` pairs. OUT_OF_MEMORY. */
rbc_status rbc__tick_runs_unpack(rbc__tick_runs *runs, const int64_t *pairs, int64_t count,
                                 rbc_error *err);
/* Leaves them as the samples of the clock, which takes them over. */
void rbc__tick_runs_give(rbc__tick_runs *runs, rbc__clock *clock);
void rbc__tick_runs_free(rbc__tick_runs *runs);

#endif
