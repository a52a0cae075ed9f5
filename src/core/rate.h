/* Times on a clock of fixed rate, exact to the nanosecond: of the steps of data without stamps, and
 * of the ticks of a loader, which have to be the same numbers where the rates are the same. */
#ifndef RBC_CORE_RATE_H
#define RBC_CORE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* A rate in Hz as a fraction in lowest terms, each of its numbers below 2^54. */
typedef struct rbc__rate {
    uint64_t numerator;
    uint64_t denominator;
} rbc__rate;

#define RBC__RATE_MIN_HZ 1e-6
#define RBC__RATE_MAX_HZ 1e9

/* The rate that a double stands for. Within two millionths of a video rate, n * 1000 / 1001 with n
 * a multiple of 24 or 30 up to 240, it is that one: 29.97 means 30000/1001. Any other double means
 * the first of its continued fraction's convergents that rounds to it: 7.3 means 73/10.
 *
 * False when `hz` is not a finite number within [RBC__RATE_MIN_HZ, RBC__RATE_MAX_HZ]. */
bool rbc__rate_from_hz(double hz, rbc__rate *out);

bool rbc__rate_equal(const rbc__rate *a, const rbc__rate *b);

/* Time of tick `index` after tick 0: index * 1e9 / rate, rounded to the nearest nanosecond, halves
 * away from zero, without a rounding in between. Results past int64 are cut to its ends. */
int64_t rbc__rate_time_ns(const rbc__rate *rate, int64_t index);

/* How many ticks 0, 1, ... have rbc__rate_time_ns() <= duration_ns; 0 for a negative duration. */
int64_t rbc__rate_num_ticks(const rbc__rate *rate, int64_t duration_ns);

/* The tick, before or after tick 0, that lies within `within_ns` (less than half a period) of
 * `offset_ns` after it. False where none does. */
bool rbc__rate_tick_at(const rbc__rate *rate, int64_t offset_ns, int64_t within_ns, int64_t *tick);

/* Sum cut to the range of int64. */
int64_t rbc__time_add_ns(int64_t a_ns, int64_t b_ns);

#endif
