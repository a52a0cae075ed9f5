#define _POSIX_C_SOURCE 200809L

#include "core/monotonic.h"

#define NS_PER_S INT64_C(1000000000)

int64_t rbc__timespec_ns(struct timespec at) {
    return (int64_t)at.tv_sec * NS_PER_S + at.tv_nsec;
}

int64_t rbc__now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return rbc__timespec_ns(now);
}

struct timespec rbc__after_ns(int64_t timeout_ns) {
    const int64_t now = rbc__now_ns();
    const int64_t at = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    return (struct timespec){.tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S)};
}
