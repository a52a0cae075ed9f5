#include "core/rate.h"

#include <math.h>

__extension__ typedef unsigned __int128 uint128;

#define NS_PER_S UINT64_C(1000000000)

/* Video's 30000/1001 Hz and its like are written 29.97 or 29.97003. */
static bool is_video_rate(double hz, rbc__rate *out) {
    const double nominal = nearbyint(hz * 1.001);
    if (!(nominal >= 24.0 && nominal <= 240.0) || !(fabs(hz * 1.001 - nominal) < 2e-6 * nominal)) {
        return false;
    }
    const uint64_t n = (uint64_t)nominal;
    if (n % 24 != 0 && n % 30 != 0) {
        return false;
    }
    *out = (rbc__rate){.numerator = n * 1000, .denominator = 1001};
    return true;
}

bool rbc__rate_from_hz(double hz, rbc__rate *out) {
    if (!(hz >= RBC__RATE_MIN_HZ && hz <= RBC__RATE_MAX_HZ)) {
        return false;
    }
    if (is_video_rate(hz, out)) {
        return true;
    }
    int exponent = 0;
    const double fraction = frexp(hz, &exponent);
    /* hz = above / below; the exponent lies within [-19, 30]. */
    uint128 above = (uint64_t)ldexp(fraction, 53);
    uint128 below = (uint128)1 << (53 - exponent);
    rbc__rate before = {0, 1};
    rbc__rate now = {1, 0};
    while (below != 0 && (double)now.numerator / (double)now.denominator != hz) {
        const uint64_t whole = (uint64_t)(above / below);
        const uint128 rest = above % below;
        const rbc__rate next = {whole * now.numerator + before.numerator,
                                whole * now.denominator + before.denominator};
        above = below;
        below = rest;
        before = now;
        now = next;
    }
    *out = now;
    return true;
}

bool rbc__rate_equal(const rbc__rate *a, const rbc__rate *b) {
    return a->numerator == b->numerator && a->denominator == b->denominator;
}

static uint64_t magnitude_ns(const rbc__rate *rate, uint64_t index) {
    const uint64_t half = rate->numerator / 2;
    uint64_t scaled = 0;
    if (!__builtin_mul_overflow(index, NS_PER_S, &scaled) &&
        !__builtin_mul_overflow(scaled, rate->denominator, &scaled) &&
        !__builtin_add_overflow(scaled, half, &scaled)) {
        const uint64_t time = scaled / rate->numerator;
        return time > INT64_MAX ? INT64_MAX : time;
    }
    const uint128 product = (uint128)index * NS_PER_S;
    const uint128 quotient = product / rate->numerator;
    const uint128 remainder = product % rate->numerator;
    if (quotient > INT64_MAX / rate->denominator) {
        return INT64_MAX;
    }
    const uint128 time =
        quotient * rate->denominator + (remainder * rate->denominator + half) / rate->numerator;
    return time > INT64_MAX ? INT64_MAX : (uint64_t)time;
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
    const uint64_t duration = (uint64_t)duration_ns;
    uint64_t product = 0;
    uint64_t second = 0;
    uint128 ticks = 0;
    if (!__builtin_mul_overflow(duration, rate->numerator, &product) &&
        !__builtin_mul_overflow(rate->denominator, NS_PER_S, &second)) {
        ticks = product / second;
    } else {
        ticks = (uint128)duration * rate->numerator / ((uint128)rate->denominator * NS_PER_S);
    }
    int64_t last = ticks > (uint128)(INT64_MAX - 2) ? INT64_MAX - 2 : (int64_t)ticks;
    while (rbc__rate_time_ns(rate, last) > duration_ns) {
        last--;
    }
    int64_t next_ns = rbc__rate_time_ns(rate, last + 1);
    while (next_ns <= duration_ns && next_ns < INT64_MAX && last < INT64_MAX - 1) {
        ++last;
        next_ns = rbc__rate_time_ns(rate, last + 1);
    }
    return last + 1;
}

bool rbc__rate_tick_at(const rbc__rate *rate, int64_t offset_ns, int64_t within_ns, int64_t *tick) {
    const int64_t distance_ns = offset_ns >= 0           ? offset_ns
                                : offset_ns < -INT64_MAX ? INT64_MAX
                                                         : -offset_ns;
    const int64_t last = rbc__rate_num_ticks(rate, rbc__time_add_ns(distance_ns, within_ns)) - 1;
    if (distance_ns - rbc__rate_time_ns(rate, last) > within_ns) {
        return false;
    }
    *tick = offset_ns >= 0 ? last : -last;
    return true;
}

int64_t rbc__time_add_ns(int64_t a_ns, int64_t b_ns) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a_ns, b_ns, &sum)) {
        return b_ns > 0 ? INT64_MAX : INT64_MIN;
    }
    return sum;
}
