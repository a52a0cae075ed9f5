/* Time stamps on the device: loading, comparing and searching. A stamp travels as 64 bits whatever
 * its type; `type` is a constant wherever these functions are inlined, so each use compiles to the
 * native comparison. */
#ifndef RBC_CUDA_CLOCK_CUH
#define RBC_CUDA_CLOCK_CUH

#include "cuda/common/launch.cuh"
#include "cuda/resample/resample_params.h"

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

/* Targets of one row, in global memory. */
typedef struct row_targets {
    const char *first;
    long long stride, count;
} row_targets;

INLINE stamp row_target(const row_targets *targets, long long index, int type) {
    return stamp_load(targets->first + index * targets->stride, type);
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

/* later - earlier in the stamps' own type; for integers the unsigned difference, which is exact. */
INLINE stamp stamp_since(stamp later, stamp earlier, int type) {
    return type == CLOCK_I64 ? (stamp)((unsigned long long)later - (unsigned long long)earlier)
           : type == CLOCK_F64
               ? __double_as_longlong(__dsub_rn(stamp_f64(later), stamp_f64(earlier)))
               : (stamp)__float_as_uint(__fsub_rn(stamp_f32(later), stamp_f32(earlier)));
}

/* As stamp_since, with the sign, saturating. */
INLINE stamp stamp_difference(stamp a, stamp b, int type) {
    if (type != CLOCK_I64) {
        return stamp_since(a, b, type);
    }
    const stamp difference = (stamp)((unsigned long long)a - (unsigned long long)b);
    const int overflows = ((a ^ b) & (a ^ difference)) < 0;
    return overflows ? (a < b ? (stamp)(1ull << 63) : (stamp) ~(1ull << 63)) : difference;
}

INLINE int since_at_most(stamp a, stamp b, int type) {
    return type == CLOCK_I64 ? (unsigned long long)a <= (unsigned long long)b
                             : stamp_at_most(a, b, type);
}

INLINE double since_f64(stamp since, int type) {
    return type == CLOCK_I64   ? (double)(unsigned long long)since
           : type == CLOCK_F64 ? stamp_f64(since)
                               : (double)stamp_f32(since);
}

INLINE int has_limit(const resample_limit *limit, int type) {
    return type == CLOCK_I64 ? limit->ns >= 0 : limit->seconds >= 0;
}

/* Whether `difference` is at most `limit`, where there is one. */
INLINE int within_limit(stamp since, const resample_limit *limit, int type) {
    return !has_limit(limit, type) ||
           (type == CLOCK_I64   ? (unsigned long long)since <= (unsigned long long)limit->ns
            : type == CLOCK_F64 ? stamp_f64(since) <= limit->seconds
                                : stamp_f32(since) <= (float)limit->seconds);
}

INLINE stamp clock_at(const row_clock *clock, long long index, int type, int whole) {
    if (whole) {
        return stamp_load(clock->cache + (int)index * stamp_bytes(type), type);
    }
    if (index >= clock->cache_first && index < clock->cache_end) {
        const int at = (int)(index - clock->cache_first);
        return stamp_load(clock->cache + at * stamp_bytes(type), type);
    }
    return stamp_load(clock->global + index * clock->stride, type);
}

/* Number of stamps in [begin, end) that are at most `target`, plus begin; the stamps are sorted. On
 * any others the result still lies in [begin, end]. `whole`: all are in shared memory. */
INLINE long long clock_search(const row_clock *clock, stamp target, long long begin, long long end,
                              int type, int whole) {
    if (whole) {
        int low = (int)begin;
        int count = (int)(end - begin);
        while (count > 0) {
            const int half = count >> 1;
            const int right = stamp_at_most(clock_at(clock, low + half, type, 1), target, type);
            low = right ? low + half + 1 : low;
            count = right ? count - half - 1 : half;
        }
        return low;
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
INLINE long long clock_newest(const row_clock *clock, long long index, int type, int whole) {
    const stamp time = clock_at(clock, index, type, whole);
    while (index + 1 < clock->length &&
           stamp_equal(clock_at(clock, index + 1, type, whole), time, type)) {
        ++index;
    }
    return index;
}

/* The last index whose stamp differs from that of `index` and lies before it, or -1. */
INLINE long long clock_before(const row_clock *clock, long long index, int type, int whole) {
    const stamp time = clock_at(clock, index, type, whole);
    do {
        --index;
    } while (index >= 0 && stamp_equal(clock_at(clock, index, type, whole), time, type));
    return index;
}

INLINE long long row_length(const resample_source *source, long long batch) {
    if (source->lengths == 0) {
        return source->num_samples;
    }
    const char *address = source->lengths + batch * source->lengths_stride;
    const long long length =
        source->lengths_are_i64 ? *(const long long *)address : (long long)*(const int *)address;
    return length < 0 ? 0 : length > source->num_samples ? source->num_samples : length;
}

#endif
