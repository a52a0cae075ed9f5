#include "core/rate.h"

#include <math.h>

__extension__ typedef unsigned __int128 uint128;

#define NS_PER_S UINT64_C(1000000000)

bool rbc__rate_from_hz(double hz, rbc__rate *out) {
    if (!(hz >= RBC__RATE_MIN_HZ && hz <= RBC__RATE_MAX_HZ)) {
        return false;
    }
    int exponent = 0;
    const double fraction = frexp(hz, &exponent);
    uint64_t numerator = (uint64_t)ldexp(fraction, 53);
    int shift = 53 - exponent;
    while (shift > 0 && (numerator & 1U) == 0) {
        numerator >>= 1;
        shift--;
    }
    *out = (rbc__rate){.numerator = numerator, .shift = (int32_t)shift};
    return true;
}

static uint64_t magnitude_ns(const rbc__rate *rate, uint64_t index) {
    /* index * 1e9 + numerator / 2 stays below 2^63 under this bound. */
    if (rate->shift == 0 && index < (UINT64_C(1) << 33)) {
        return (index * NS_PER_S + rate->numerator / 2) / rate->numerator;
    }
    /* The remainder is below 2^53 and the shift at most 73, so that its product fits 128 bits. */
    const uint128 product = (uint128)index * NS_PER_S;
    const uint128 quotient = product / rate->numerator;
    const uint64_t remainder = (uint64_t)(product % rate->numerator);
    if (quotient > ((uint128)INT64_MAX >> rate->shift)) {
        return INT64_MAX;
    }
    const uint128 rest =
        (((uint128)remainder << rate->shift) + rate->numerator / 2) / rate->numerator;
    const uint128 total = (quotient << rate->shift) + rest;
    return total > (uint128)INT64_MAX ? (uint64_t)INT64_MAX : (uint64_t)total;
}

int64_t rbc__rate_time_ns(const rbc__rate *rate, int64_t index) {
    if (index >= 0) {
        return (int64_t)magnitude_ns(rate, (uint64_t)index);
    }
    return -(int64_t)magnitude_ns(rate, UINT64_C(0) - (uint64_t)index);
}

int64_t rbc__rate_num_ticks(const rbc__rate *rate, int64_t duration_ns) {
    if (duration_ns < 0) {
        return 0;
    }
    /* floor(duration * rate), then at most one tick to either side for the rounding of its time. */
    const uint128 product = (uint128)(uint64_t)duration_ns * rate->numerator;
    const uint128 ticks = (product >> rate->shift) / NS_PER_S;
    int64_t last = ticks > (uint128)(INT64_MAX - 2) ? INT64_MAX - 2 : (int64_t)ticks;
    while (rbc__rate_time_ns(rate, last) > duration_ns) {
        last--;
    }
    int64_t next_ns = rbc__rate_time_ns(rate, last + 1);
    while (next_ns <= duration_ns && next_ns < INT64_MAX && last < INT64_MAX - 1) {
        last++;
        next_ns = rbc__rate_time_ns(rate, last + 1);
    }
    return last + 1;
}

int64_t rbc__time_add_ns(int64_t a_ns, int64_t b_ns) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a_ns, b_ns, &sum)) {
        return b_ns > 0 ? INT64_MAX : INT64_MIN;
    }
    return sum;
}
