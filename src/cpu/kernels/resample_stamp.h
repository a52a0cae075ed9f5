/* The type of the times that a source is compiled for: RBC__TIME_TYPE is a value of rbc__time_type.
 * Differences are formed in that type, for int64 in its unsigned twin, where none overflows.
 * Shared within src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_RESAMPLE_STAMP_H
#define RBC_CPU_KERNELS_RESAMPLE_STAMP_H

#include <math.h>

#include "cpu/kernels/resample.h"

#ifndef RBC__TIME_TYPE
#define RBC__TIME_TYPE 0
#endif

#if RBC__TIME_TYPE == 0

#define RBC__TIME_TABLE resample_times_i64
typedef int64_t stamp;
typedef uint64_t duration;
typedef int64_t lane_count;
#define NO_DISTANCE INT64_MAX

static inline duration elapsed(stamp later, stamp earlier) {
    return (uint64_t)later - (uint64_t)earlier;
}

static inline bool is_nan(stamp time) {
    (void)time;
    return false;
}

static inline bool are_ends(stamp first, stamp last) {
    (void)first;
    (void)last;
    return true;
}

/* Saturates: a distance that int64 cannot hold is one that never is within a tolerance. */
static inline stamp difference(stamp a, stamp b) {
    int64_t out;
    if (__builtin_sub_overflow(a, b, &out)) {
        return a < b ? INT64_MIN : INT64_MAX;
    }
    return out;
}

static inline duration max_gap_of(const rbc__time_axis *axis) {
    return axis->max_gap_ns < 0 ? UINT64_MAX : (duration)axis->max_gap_ns;
}

static inline duration tolerance_of(const rbc__time_axis *axis) {
    return axis->tolerance_ns < 0 ? UINT64_MAX : (duration)axis->tolerance_ns;
}

static inline bool has_tolerance(const rbc__time_axis *axis) {
    return axis->tolerance_ns >= 0;
}

static inline bool has_limits(const rbc__time_axis *axis) {
    return axis->max_gap_ns >= 0 || axis->tolerance_ns >= 0;
}

#else

#if RBC__TIME_TYPE == 1
#define RBC__TIME_TABLE resample_times_f64
typedef double stamp;
typedef double duration;
typedef int64_t lane_count;
#else
#define RBC__TIME_TABLE resample_times_f32
typedef float stamp;
typedef float duration;
typedef int32_t lane_count;
#endif
#define NO_DISTANCE ((stamp)NAN)

static inline duration elapsed(stamp later, stamp earlier) {
    return later - earlier;
}

static inline bool is_nan(stamp time) {
    return time != time;
}

static inline bool are_ends(stamp first, stamp last) {
    return isfinite(first) && isfinite(last) && isfinite(last - first);
}

static inline stamp difference(stamp a, stamp b) {
    return a - b;
}

static inline duration max_gap_of(const rbc__time_axis *axis) {
    return axis->max_gap < 0 ? (duration)INFINITY : (duration)axis->max_gap;
}

static inline duration tolerance_of(const rbc__time_axis *axis) {
    return axis->tolerance < 0 ? (duration)INFINITY : (duration)axis->tolerance;
}

static inline bool has_tolerance(const rbc__time_axis *axis) {
    return axis->tolerance >= 0;
}

static inline bool has_limits(const rbc__time_axis *axis) {
    return axis->max_gap >= 0 || axis->tolerance >= 0;
}

#endif

static inline stamp stamp_at(const rbc__time_axis *axis, int64_t i) {
    return *(const stamp *)(const void *)(axis->times + i * axis->stride_bytes);
}

static inline stamp target_at(const rbc__time_axis *axis, int64_t i) {
    return *(const stamp *)(const void *)(axis->targets + i * axis->targets_stride_bytes);
}

/* (t - from) / (to - from) */
static inline double share(stamp t, stamp from, stamp to) {
    return (double)elapsed(t, from) / (double)elapsed(to, from);
}

#endif
