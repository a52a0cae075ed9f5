/* The time that passes, whatever happens to the clock on the wall. */
#ifndef RBC_CORE_MONOTONIC_H
#define RBC_CORE_MONOTONIC_H

#include <stdint.h>
#include <time.h>

int64_t rbc__now_ns(void);

int64_t rbc__timespec_ns(struct timespec at);

/* For pthread_cond_timedwait() on a condition of CLOCK_MONOTONIC; `timeout_ns` is not negative. */
struct timespec rbc__after_ns(int64_t timeout_ns);

#endif
