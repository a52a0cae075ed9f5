/* Time stamps on the device: loading, comparing, searching, and the bracket of samples around a
 * target. A stamp travels as 64 bits whatever its type; `type` is a constant wherever these
 * functions are inlined, so each use compiles to the native comparison. */
#ifndef RBC_CUDA_KERNELS_CLOCK_CUH
#define RBC_CUDA_KERNELS_CLOCK_CUH

#include "launch.cuh"
#include "resample_params.h"

typedef long long stamp;

/* Stamps of one row of a source: in global memory, and those of [cache_first, cache_end) in shared
 * memory too. */
typedef struct row_clock {
    const char *global;
    long long stride;
    const char *cache;
    long long cache_first, cache_end;
    long long length;
} row_clock;

/* Samples around a target. `second` differs from `first` only between two distinct stamps (or
 * outside, when extrapolating); then weight = (target - time(first)) / (time(second) - time(first)).
 * `nearest` is the one of them that is nearer. No sample at all: first == -1. */
typedef struct bracket {
    long long first, second, nearest;
    stamp first_time, second_time;
    int valid;
    int inside; /* first stamp <= target <= last stamp */
} bracket;

INLINE int stamp_bytes(int type) {
    return type == CLOCK_F32 ? 4 : 8;
}

INLINE stamp stamp_load(const char *address, int type) {
    return type == CLOCK_F32 ? (stamp) * (const unsigned *)address : *(const stamp *)address;
}

INLINE void stamp_store(char *address, stamp value, int type) {
    if (type == CLOCK_F32) {
        *(unsigned *)address = (unsigned)value;
    } else {
        *(stamp *)address = value;
    }
}

INLINE double stamp_f64(stamp value) {
    return __longlong_as_double(value);
}

INLINE float stamp_f32(stamp value) {
    return __uint_as_float((unsigned)value);
}

INLINE int stamp_at_most(stamp a, stamp b, int type) {
    return type == CLOCK_I64   ? a <= b
           : type == CLOCK_F64 ? stamp_f64(a) <= stamp_f64(b)
                               : stamp_f32(a) <= stamp_f32(b);
}

INLINE int stamp_equal(stamp a, stamp b, int type) {
    return type == CLOCK_I64   ? a == b
           : type == CLOCK_F64 ? stamp_f64(a) == stamp_f64(b)
                               : stamp_f32(a) == stamp_f32(b);
}

/* a - b in the stamps' own type; for integers modulo 2^64. */
INLINE stamp stamp_minus(stamp a, stamp b, int type) {
    return type == CLOCK_I64 ? (stamp)((unsigned long long)a - (unsigned long long)b)
           : type == CLOCK_F64
               ? __double_as_longlong(__dsub_rn(stamp_f64(a), stamp_f64(b)))
               : (stamp)__float_as_uint(__fsub_rn(stamp_f32(a), stamp_f32(b)));
}

/* Whether the difference a - b, with b <= a, is at most `limit`. */
INLINE int stamp_within(stamp a, stamp b, const resample_limit *limit, int type) {
    const stamp difference = stamp_minus(a, b, type);
    return type == CLOCK_I64 ? limit->ns < 0 || (unsigned long long)difference <=
                                                    (unsigned long long)limit->ns
           : type == CLOCK_F64
               ? limit->seconds < 0 || stamp_f64(difference) <= limit->seconds
               : limit->seconds < 0 || (double)stamp_f32(difference) <= limit->seconds;
}

/* Whether the distance a - b is smaller than c - d; both are differences of ordered stamps. */
INLINE int stamp_gap_less(stamp a, stamp b, stamp c, stamp d, int type) {
    const stamp left = stamp_minus(a, b, type);
    const stamp right = stamp_minus(c, d, type);
    return type == CLOCK_I64   ? (unsigned long long)left < (unsigned long long)right
           : type == CLOCK_F64 ? stamp_f64(left) < stamp_f64(right)
                               : stamp_f32(left) < stamp_f32(right);
}

INLINE stamp clock_at(const row_clock *clock, long long index, int type, int whole) {
    if (whole || (index >= clock->cache_first && index < clock->cache_end)) {
        const int at = (int)(index - clock->cache_first);
        return stamp_load(clock->cache + at * stamp_bytes(type), type);
    }
    return stamp_load(clock->global + index * clock->stride, type);
}

/* Number of stamps in [begin, end) that are at most `target`, plus begin; the stamps are sorted. On
 * any others the result still lies in [begin, end]. */
INLINE long long clock_search(const row_clock *clock, stamp target, long long begin, long long end,
                              int type, int whole) {
    if (whole) {
        int low = 0;
        int count = (int)(end - begin);
        while (count > 0) {
            const int half = count >> 1;
            const stamp probe =
                stamp_load(clock->cache + (low + half) * stamp_bytes(type), type);
            const int right = stamp_at_most(probe, target, type);
            low = right ? low + half + 1 : low;
            count = right ? count - half - 1 : half;
        }
        return begin + low;
    }
    while (begin < end) {
        const long long middle = begin + ((end - begin) >> 1);
        if (stamp_at_most(clock_at(clock, middle, type, 0), target, type)) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/* The last index that carries the stamp of `index`. */
INLINE long long clock_newest(const row_clock *clock, long long index, stamp time, int type,
                              int whole) {
    while (index + 1 < clock->length &&
           stamp_equal(clock_at(clock, index + 1, type, whole), time, type)) {
        ++index;
    }
    return index;
}

/* The last index whose stamp is below that of the row's end, or -1. */
INLINE long long clock_before_last(const row_clock *clock, stamp last, int type, int whole) {
    long long index = clock->length - 1;
    while (index >= 0 && stamp_equal(clock_at(clock, index, type, whole), last, type)) {
        --index;
    }
    return index;
}

/* Finds the bracket of `target`. `whole`: all stamps of the row are in shared memory. */
INLINE bracket clock_bracket(const row_clock *clock, const resample_source *source, stamp target,
                             int type, int whole) {
    bracket found;
    const long long length = clock->length;
    found.valid = 0;
    found.inside = 0;
    found.first = found.second = found.nearest = -1;
    found.first_time = found.second_time = target;
    if (length <= 0) {
        return found;
    }
    long long begin = 0;
    long long end = length;
    if (!whole) {
        /* The cache holds the stamps around this tile's targets, when it holds any. */
        if (clock->cache_first < clock->cache_end) {
            begin = clock->cache_first;
            end = clock->cache_end;
        }
    }
    const long long above = clock_search(clock, target, begin, end, type, whole);
    const unsigned modes = source->modes;
    const int extrapolate = source->outside == OUTSIDE_EXTRAPOLATE;
    const int has_tolerance =
        type == CLOCK_I64 ? source->tolerance.ns >= 0 : source->tolerance.seconds >= 0;
    if (above <= 0) {
        found.first_time = clock_at(clock, 0, type, whole);
        found.first = clock_newest(clock, 0, found.first_time, type, whole);
        found.second = found.nearest = found.first;
        found.second_time = found.first_time;
        found.valid = has_tolerance && (modes & (1u << MODE_HOLD)) == 0 &&
                      stamp_within(found.first_time, target, &source->tolerance, type);
        if (extrapolate && found.first + 1 < length) {
            found.second_time = clock_at(clock, found.first + 1, type, whole);
            found.second = clock_newest(clock, found.first + 1, found.second_time, type, whole);
        }
        return found;
    }
    const long long first = above - 1;
    const stamp first_time = clock_at(clock, first, type, whole);
    found.first = found.second = found.nearest = first;
    found.first_time = found.second_time = first_time;
    if (stamp_equal(first_time, target, type)) {
        found.valid = 1;
        found.inside = 1;
        return found;
    }
    if (above >= length) {
        found.valid =
            has_tolerance && stamp_within(target, first_time, &source->tolerance, type);
        if (extrapolate) {
            const long long before = clock_before_last(clock, first_time, type, whole);
            if (before >= 0) {
                found.second = first;
                found.second_time = first_time;
                found.first = before;
                found.first_time = clock_at(clock, before, type, whole);
            }
        }
        return found;
    }
    found.second_time = clock_at(clock, above, type, whole);
    found.second = clock_newest(clock, above, found.second_time, type, whole);
    found.inside = 1;
    const int later_is_nearer =
        stamp_gap_less(found.second_time, target, target, first_time, type);
    found.nearest = later_is_nearer ? found.second : first;
    found.valid = stamp_within(found.second_time, first_time, &source->max_gap, type);
    if (has_tolerance) {
        const int hold_distance = (modes & (1u << MODE_HOLD)) != 0 || !later_is_nearer;
        found.valid &= hold_distance
                           ? stamp_within(target, first_time, &source->tolerance, type)
                           : stamp_within(found.second_time, target, &source->tolerance, type);
    }
    return found;
}

/* (target - first) / (second - first), differences formed in the type of the times. */
INLINE double bracket_weight(const bracket *found, stamp target, int type) {
    if (type == CLOCK_I64) {
        const unsigned long long span =
            (unsigned long long)found->second_time - (unsigned long long)found->first_time;
        const long long part = (long long)((unsigned long long)target -
                                           (unsigned long long)found->first_time);
        const double numerator = found->inside ? (double)(unsigned long long)part : (double)part;
        return __ddiv_rn(numerator, (double)span);
    }
    const stamp part = stamp_minus(target, found->first_time, type);
    const stamp span = stamp_minus(found->second_time, found->first_time, type);
    return type == CLOCK_F64 ? __ddiv_rn(stamp_f64(part), stamp_f64(span))
                             : (double)__fdiv_rn(stamp_f32(part), stamp_f32(span));
}

INLINE long long row_length(const resample_source *source, long long batch) {
    if (source->lengths == 0) {
        return source->num_samples;
    }
    const char *address = source->lengths + batch * source->lengths_stride;
    const long long length = source->lengths_are_i64 ? *(const long long *)address
                                                     : (long long)*(const int *)address;
    return length < 0 ? 0 : length > source->num_samples ? source->num_samples : length;
}

/* Upper bound of `target` in global memory by a whole warp: 33 parts a step. */
INLINE long long clock_search_warp(const row_clock *clock, stamp target, int type) {
    const int lane = (int)(threadIdx.x & 31);
    long long begin = 0;
    long long count = clock->length;
    while (count > 0) {
        const long long step = (count + 32) / 33;
        const long long probe = begin + (lane + 1) * step - 1;
        const int right =
            probe < begin + count &&
            stamp_at_most(stamp_load(clock->global + probe * clock->stride, type), target, type);
        const long long passed = (long long)__popc(__ballot_sync(0xffffffffu, right)) * step;
        begin += passed;
        count = count - passed < step - 1 ? count - passed : step - 1;
    }
    return begin;
}

#endif
