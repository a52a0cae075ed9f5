/* Which stage a piece of work was in, and when.
 *
 * One thread at a time writes: it begins the timeline and enters stages. Others may ask
 * meanwhile how a span of time divides into stages (rbc__timeline_divide()), as long as it is not
 * begun anew: what orders that is theirs. */
#ifndef RBC_CORE_TIMELINE_H
#define RBC_CORE_TIMELINE_H

#include <stdatomic.h>
#include <stdint.h>

#include <robocache/robocache.h>

/* Outside of all stages. */
#define RBC__STAGE_NONE (-1)

/* Changes of stage that are kept. What comes after them is taken for part of the last; the times
 * spent are right all the same. */
#define RBC__TIMELINE_MARKS 32

typedef struct rbc__timeline_mark {
    atomic_llong begin_ns;
    atomic_int stage;
} rbc__timeline_mark;

typedef struct rbc__timeline {
    int32_t stage; /* now, or RBC__STAGE_NONE */
    int64_t since_ns;
    int64_t spent_ns[RBC_NUM_STAGES]; /* in each, since whoever adds it up set it to 0 */
    atomic_int num_marks;
    rbc__timeline_mark marks[RBC__TIMELINE_MARKS];
} rbc__timeline;

void rbc__timeline_init(rbc__timeline *timeline);

/* Forgets the marks and enters a stage. Returns what time it is, as the next does. */
int64_t rbc__timeline_begin(rbc__timeline *timeline, int32_t stage);
/* Leaves the stage before; RBC__STAGE_NONE enters none. */
int64_t rbc__timeline_enter(rbc__timeline *timeline, int32_t stage);

/* Adds to parts_ns [RBC_NUM_STAGES] how long each stage took of [from_ns, to_ns): what lies before
 * the first mark was spent queueing. */
void rbc__timeline_divide(const rbc__timeline *timeline, int64_t from_ns, int64_t to_ns,
                          int64_t *parts_ns);

/* The stage entered last; RBC_STAGE_QUEUE before the first. */
int32_t rbc__timeline_now(const rbc__timeline *timeline);

#endif
