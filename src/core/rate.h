/* Times on a clock of fixed rate, exact to the nanosecond: of the steps of data without stamps, and
 * of the ticks of a loader, which have to be the same numbers where the rates are the same. */
#ifndef RBC_CORE_RATE_H
#define RBC_CORE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* A rate in Hz as the fraction numerator / 2^shift that the double holds. */
typedef struct rbc__rate {
    uint64_t numerator;
    int32_t shift;
} rbc__rate;

#define RBC__RATE_MIN_HZ 1e-6
#define RBC__RATE_MAX_HZ 1e9

/* False when `hz` is not a finite number within [RBC__RATE_MIN_HZ, RBC__RATE_MAX_HZ]. */
bool rbc__rate_from_hz(double hz, rbc__rate *out);

/* Time of tick `index` after tick 0: index * 1e9 / rate, rounded to the nearest nanosecond, halves
 * away from zero, without a rounding in between. Results past int64 are cut to its ends. */
int64_t rbc__rate_time_ns(const rbc__rate *rate, int64_t index);

/* How many ticks 0, 1, ... have rbc__rate_time_ns() <= duration_ns; 0 for a negative duration. */
int64_t rbc__rate_num_ticks(const rbc__rate *rate, int64_t duration_ns);

/* Sum cut to the range of int64. */
int64_t rbc__time_add_ns(int64_t a_ns, int64_t b_ns);

#endif
