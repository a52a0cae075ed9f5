#include <math.h>
#include <string.h>

#include "cpu/kernels/isa.h"
#include "cpu/kernels/resample.h"

/* Differences are formed in the type of the times, and for int64 in its unsigned twin, where none
 * overflows. */
#define ELAPSED_i64(later, earlier) ((double)((uint64_t)(later) - (uint64_t)(earlier)))
#define ELAPSED_f64(later, earlier) ((later) - (earlier))
#define ELAPSED_f32(later, earlier) ((double)((later) - (earlier)))

typedef uint64_t span_i64;
typedef double span_f64;
typedef float span_f32;
#define SPAN_i64(later, earlier) ((uint64_t)(later) - (uint64_t)(earlier))
#define SPAN_f64(later, earlier) ((later) - (earlier))
#define SPAN_f32(later, earlier) ((later) - (earlier))

#define LIMIT_i64(axis, name)     ((axis)->name##_ns < 0 ? UINT64_MAX : (uint64_t)(axis)->name##_ns)
#define LIMIT_f64(axis, name)     ((axis)->name < 0 ? (double)INFINITY : (axis)->name)
#define LIMIT_f32(axis, name)     ((axis)->name < 0 ? INFINITY : (float)(axis)->name)
#define HAS_LIMIT_i64(axis, name) ((axis)->name##_ns >= 0)
#define HAS_LIMIT_f64(axis, name) ((axis)->name >= 0)
#define HAS_LIMIT_f32(axis, name) ((axis)->name >= 0)

/* False for NaN, infinities and spans beyond the type. */
#define GOOD_ENDS_i64(first, last) true
#define GOOD_ENDS_f64(first, last) (isfinite(first) && isfinite(last) && isfinite((last) - (first)))
#define GOOD_ENDS_f32(first, last) (isfinite(first) && isfinite(last) && isfinite((last) - (first)))

#define IS_NAN_i64(value) false
#define IS_NAN_f64(value) ((value) != (value))
#define IS_NAN_f32(value) ((value) != (value))

/* The compiler's vector types, of 64 bytes on every ISA: it does not keep the counters of
 * count_lanes() in registers when they are arrays. */
typedef int64_t lanes_i64 __attribute__((vector_size(64)));
typedef int64_t counts_i64 __attribute__((vector_size(64)));
typedef double lanes_f64 __attribute__((vector_size(64)));
typedef int64_t counts_f64 __attribute__((vector_size(64)));
typedef float lanes_f32 __attribute__((vector_size(64)));
typedef int32_t counts_f32 __attribute__((vector_size(64)));

/* Beyond this many samples between two lanes of targets searching is faster than counting. */
enum { MAX_COUNTED = 160 };

#define DEFINE_ACCESS(type, T)                                                                     \
    static inline T time_##type(const rbc__time_axis *axis, int64_t i) {                           \
        return *(const T *)(axis->times + i * axis->stride_bytes);                                 \
    }                                                                                              \
    static inline T target_##type(const rbc__time_axis *axis, int64_t i) {                         \
        return *(const T *)(axis->targets + i * axis->targets_stride_bytes);                       \
    }                                                                                              \
                                                                                                   \
    /* Samples in [low, high) at or before t, plus low; nothing is assumed of the order. */        \
    static inline int64_t upper_##type(const rbc__time_axis *axis, int64_t low, int64_t high,      \
                                       T t) {                                                      \
        int64_t length = high - low;                                                               \
        while (length > 1) {                                                                       \
            const int64_t half = length / 2;                                                       \
            low += time_##type(axis, low + half - 1) <= t ? half : 0;                              \
            length -= half;                                                                        \
        }                                                                                          \
        return length == 1 && time_##type(axis, low) <= t ? low + 1 : low;                         \
    }                                                                                              \
    static inline int64_t lower_##type(const rbc__time_axis *axis, int64_t low, int64_t high,      \
                                       T t) {                                                      \
        int64_t length = high - low;                                                               \
        while (length > 1) {                                                                       \
            const int64_t half = length / 2;                                                       \
            low += time_##type(axis, low + half - 1) < t ? half : 0;                               \
            length -= half;                                                                        \
        }                                                                                          \
        return length == 1 && time_##type(axis, low) < t ? low + 1 : low;                          \
    }                                                                                              \
                                                                                                   \
    /* The newest sample with the stamp of sample i. */                                            \
    static inline int64_t newest_##type(const rbc__time_axis *axis, int64_t i) {                   \
        const int64_t n = axis->num_samples;                                                       \
        if (i + 1 >= n || time_##type(axis, i + 1) != time_##type(axis, i)) {                      \
            return i;                                                                              \
        }                                                                                          \
        return upper_##type(axis, i + 1, n, time_##type(axis, i)) - 1;                             \
    }

#define DEFINE_CHECK(type, T)                                                                      \
    static bool check_##type(const rbc__time_axis *axis) {                                         \
        const int64_t n = axis->num_samples;                                                       \
        if (n == 0) {                                                                              \
            return true;                                                                           \
        }                                                                                          \
        if (!GOOD_ENDS_##type(time_##type(axis, 0), time_##type(axis, n - 1))) {                   \
            return false;                                                                          \
        }                                                                                          \
        int64_t wrong = 0;                                                                         \
        if (axis->stride_bytes == (int64_t)sizeof(T)) {                                            \
            const T *times = (const T *)axis->times;                                               \
            for (int64_t begin = 0; begin < n - 1; begin += 4096) {                                \
                const int64_t end = n - 1 - begin < 4096 ? n - 1 : begin + 4096;                   \
                int32_t block = 0;                                                                 \
                for (int64_t i = begin; i < end; ++i) {                                            \
                    block |= !(times[i] <= times[i + 1]);                                          \
                }                                                                                  \
                wrong |= block;                                                                    \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < n - 1; ++i) {                                                  \
                wrong |= !(time_##type(axis, i) <= time_##type(axis, i + 1));                      \
            }                                                                                      \
        }                                                                                          \
        return wrong == 0;                                                                         \
    }

/* Lanes are targets in order: each sample from `low` on is compared with all of them until one lies
 * behind the last. Returns false, with nothing written, when that takes too many. */
#define DEFINE_SEARCH(type, T)                                                                     \
    static inline bool count_lanes_##type(const rbc__time_axis *axis, int64_t low,                 \
                                          const T *targets, int64_t *found) {                      \
        enum { LANES = 64 / sizeof(T) };                                                           \
        const T *times = (const T *)axis->times;                                                   \
        const int64_t n = axis->num_samples;                                                       \
        const T last = targets[LANES - 1];                                                         \
        lanes_##type lanes;                                                                        \
        counts_##type counts = {0};                                                                \
        memcpy(&lanes, targets, sizeof lanes);                                                     \
        int64_t i = low;                                                                           \
        const int64_t end = n - low < MAX_COUNTED ? n : low + MAX_COUNTED;                         \
        for (; i + 4 <= end && times[i] <= last; i += 4) {                                         \
            for (int64_t k = 0; k < 4; ++k) {                                                      \
                counts += times[i + k] <= lanes;                                                   \
            }                                                                                      \
        }                                                                                          \
        for (; i < end && times[i] <= last; ++i) {                                                 \
            counts += times[i] <= lanes;                                                           \
        }                                                                                          \
        if (i == end && end < n && times[i] <= last) {                                             \
            return false;                                                                          \
        }                                                                                          \
        for (int k = 0; k < LANES; ++k) {                                                          \
            found[k] = low - counts[k];                                                            \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
                                                                                                   \
    static bool search_##type(const rbc__time_axis *axis, rbc__resample_plan *plan) {              \
        enum { LANES = 64 / sizeof(T) };                                                           \
        T targets[RBC__TILE];                                                                      \
        int64_t found[RBC__TILE];                                                                  \
        const int64_t count = axis->count, n = axis->num_samples;                                  \
        const int64_t padded = (count + LANES - 1) / LANES * LANES;                                \
        if (axis->targets_stride_bytes == (int64_t)sizeof(T)) {                                    \
            memcpy(targets, (const T *)axis->targets + axis->first, (size_t)count * sizeof(T));    \
        } else {                                                                                   \
            for (int64_t j = 0; j < count; ++j) {                                                  \
                targets[j] = target_##type(axis, axis->first + j);                                 \
            }                                                                                      \
        }                                                                                          \
        targets[0] = target_##type(axis, axis->first);                                             \
        int32_t unordered = 0, nan = IS_NAN_##type(targets[0]);                                    \
        for (int64_t j = 1; j < count; ++j) {                                                      \
            unordered |= !(targets[j - 1] <= targets[j]);                                          \
            nan |= IS_NAN_##type(targets[j]);                                                      \
        }                                                                                          \
        if (nan != 0) {                                                                            \
            return false;                                                                          \
        }                                                                                          \
        if (unordered != 0 || axis->stride_bytes != (int64_t)sizeof(T)) {                          \
            for (int64_t j = 0; j < count; ++j) {                                                  \
                found[j] = upper_##type(axis, 0, n, targets[j]);                                   \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t j = count; j < padded; ++j) {                                             \
                targets[j] = targets[count - 1];                                                   \
            }                                                                                      \
            int64_t low = upper_##type(axis, 0, n, targets[0]);                                    \
            for (int64_t j = 0; j < padded; j += LANES) {                                          \
                if (!count_lanes_##type(axis, low, targets + j, found + j)) {                      \
                    for (int64_t k = j; k < j + LANES; ++k) {                                      \
                        low = upper_##type(axis, low, n, targets[k]);                              \
                        found[k] = low;                                                            \
                    }                                                                              \
                }                                                                                  \
                low = found[j + LANES - 1];                                                        \
            }                                                                                      \
        }                                                                                          \
        for (int64_t j = 0; j < count; ++j) {                                                      \
            plan->left[j] = found[j] - 1;                                                          \
            plan->right[j] = found[j] < n ? newest_##type(axis, found[j]) : n;                     \
        }                                                                                          \
        return true;                                                                               \
    }

#define DEFINE_NEIGHBOURS(type, T)                                                                 \
    static void neighbours_##type(const rbc__time_axis *axis, rbc__resample_plan *plan) {          \
        const int64_t n = axis->num_samples;                                                       \
        for (int64_t j = 0; j < axis->count; ++j) {                                                \
            const int64_t left = plan->left[j], right = plan->right[j];                            \
            plan->previous[j] = -1;                                                                \
            plan->next[j] = n;                                                                     \
            if (left > 0) {                                                                        \
                const T stamp = time_##type(axis, left);                                           \
                plan->previous[j] = time_##type(axis, left - 1) < stamp                            \
                                        ? left - 1                                                 \
                                        : lower_##type(axis, 0, left, stamp) - 1;                  \
            }                                                                                      \
            if (right < n - 1) {                                                                   \
                plan->next[j] = newest_##type(axis, right + 1);                                    \
            }                                                                                      \
        }                                                                                          \
    }

#define DEFINE_WEIGH(type, T)                                                                      \
    static uint8_t beyond_##type(const rbc__time_axis *axis, bool extrapolate,                     \
                                 rbc__resample_plan *plan, int64_t j) {                            \
        const int64_t n = axis->num_samples;                                                       \
        const T t = target_##type(axis, axis->first + j);                                          \
        const bool below = plan->left[j] < 0;                                                      \
        const int64_t end = below ? plan->right[j] : plan->left[j];                                \
        const int64_t inner = below ? plan->next[j] : plan->previous[j];                           \
        const T stamp = time_##type(axis, end);                                                    \
        const span_##type away = below ? SPAN_##type(stamp, t) : SPAN_##type(t, stamp);            \
        unsigned flags = below ? RBC__BELOW : RBC__ABOVE;                                          \
        if (!HAS_LIMIT_##type(axis, tolerance) || !(away <= LIMIT_##type(axis, tolerance))) {      \
            flags |= RBC__FAR | RBC__FAR_LEFT;                                                     \
        }                                                                                          \
        plan->left[j] = end;                                                                       \
        plan->right[j] = end;                                                                      \
        plan->weight[j] = 0.0;                                                                     \
        if (extrapolate && inner >= 0 && inner < n) {                                              \
            const T other = time_##type(axis, inner);                                              \
            flags |= RBC__LINE;                                                                    \
            if (below) {                                                                           \
                plan->right[j] = inner;                                                            \
                plan->weight[j] = -ELAPSED_##type(stamp, t) / ELAPSED_##type(other, stamp);        \
            } else {                                                                               \
                plan->left[j] = inner;                                                             \
                plan->weight[j] = ELAPSED_##type(t, other) / ELAPSED_##type(stamp, other);         \
                flags |= RBC__RIGHT_NEARER;                                                        \
            }                                                                                      \
        }                                                                                          \
        return (uint8_t)flags;                                                                     \
    }                                                                                              \
                                                                                                   \
    static uint8_t weigh_##type(const rbc__time_axis *axis, bool extrapolate,                      \
                                rbc__resample_plan *plan) {                                        \
        const int64_t n = axis->num_samples;                                                       \
        const span_##type max_gap = LIMIT_##type(axis, max_gap);                                   \
        const span_##type tolerance = LIMIT_##type(axis, tolerance);                               \
        unsigned all = 0;                                                                          \
        for (int64_t j = 0; j < axis->count; ++j) {                                                \
            const int64_t left = plan->left[j], right = plan->right[j];                            \
            const T t = target_##type(axis, axis->first + j);                                      \
            if (left >= 0 && t == time_##type(axis, left)) {                                       \
                plan->right[j] = left;                                                             \
                plan->weight[j] = 0.0;                                                             \
                plan->flags[j] = RBC__EXACT;                                                       \
                all |= RBC__EXACT;                                                                 \
                continue;                                                                          \
            }                                                                                      \
            if (left < 0 || right >= n) {                                                          \
                plan->flags[j] = beyond_##type(axis, extrapolate, plan, j);                        \
                all |= plan->flags[j];                                                             \
                continue;                                                                          \
            }                                                                                      \
            const T t0 = time_##type(axis, left), t1 = time_##type(axis, right);                   \
            const span_##type since = SPAN_##type(t, t0), until = SPAN_##type(t1, t);              \
            const span_##type gap = SPAN_##type(t1, t0);                                           \
            const span_##type nearer = until < since ? until : since;                              \
            const unsigned flags =                                                                 \
                (until < since ? RBC__RIGHT_NEARER : 0u) | (gap <= max_gap ? 0u : RBC__WIDE_GAP) | \
                (since <= tolerance ? 0u : RBC__FAR_LEFT) | (nearer <= tolerance ? 0u : RBC__FAR); \
            plan->weight[j] = ELAPSED_##type(t, t0) / ELAPSED_##type(t1, t0);                      \
            plan->flags[j] = (uint8_t)flags;                                                       \
            all |= flags;                                                                          \
        }                                                                                          \
        return (uint8_t)all;                                                                       \
    }

/* Cubic Hermite on [left, right]. The tangent at a knot is the slope there of the parabola through
 * it and its two neighbours, at the first and last knot that of the one interval. Written in
 * differences of neighbours, so that a constant stays one exactly. */
#define DEFINE_CUBIC(type, T)                                                                      \
    static void cubic_##type(const rbc__time_axis *axis, rbc__resample_plan *plan) {               \
        for (int64_t j = 0; j < axis->count; ++j) {                                                \
            if ((plan->flags[j] & (RBC__EXACT | RBC__BELOW | RBC__ABOVE)) != 0) {                  \
                plan->previous[j] = plan->left[j];                                                 \
                plan->next[j] = plan->right[j];                                                    \
                continue;                                                                          \
            }                                                                                      \
            const double s = plan->weight[j];                                                      \
            const double at_left = s * (1.0 - s) * (1.0 - s), at_right = s * s * (s - 1.0);        \
            const T t0 = time_##type(axis, plan->left[j]), t1 = time_##type(axis, plan->right[j]); \
            const double h = ELAPSED_##type(t1, t0);                                               \
            double left_share = 1.0, right_share = 1.0;                                            \
            plan->before[j] = 0.0;                                                                 \
            plan->after[j] = 0.0;                                                                  \
            if (plan->previous[j] >= 0) {                                                          \
                const double g = ELAPSED_##type(t0, time_##type(axis, plan->previous[j]));         \
                left_share = g / (g + h);                                                          \
                plan->before[j] = at_left * (h / g) * (h / (g + h));                               \
            } else {                                                                               \
                plan->previous[j] = plan->left[j];                                                 \
            }                                                                                      \
            if (plan->next[j] < axis->num_samples) {                                               \
                const double g = ELAPSED_##type(time_##type(axis, plan->next[j]), t1);             \
                right_share = g / (g + h);                                                         \
                plan->after[j] = at_right * (h / g) * (h / (g + h));                               \
            } else {                                                                               \
                plan->next[j] = plan->right[j];                                                    \
            }                                                                                      \
            plan->middle[j] =                                                                      \
                s * s * (3.0 - 2.0 * s) + at_left * left_share + at_right * right_share;           \
        }                                                                                          \
    }

/* One step from the second to the first on, saturating. */
static inline int64_t back_i64(int64_t first, int64_t second) {
    int64_t step, begin;
    if (__builtin_sub_overflow(second, first, &step) ||
        __builtin_sub_overflow(first, step, &begin)) {
        return second > first ? INT64_MIN : INT64_MAX;
    }
    return begin;
}

static inline double back_f64(double first, double second) {
    return first - (second - first);
}

static inline float back_f32(float first, float second) {
    return first - (second - first);
}

#define NONE_i64 INT64_MAX
#define NONE_f64 ((double)NAN)
#define NONE_f32 NAN

/* Saturates: a distance that int64 cannot hold is one that never is within a tolerance. */
static inline int64_t difference_i64(int64_t t, int64_t stamp) {
    int64_t out;
    if (__builtin_sub_overflow(t, stamp, &out)) {
        return t < stamp ? INT64_MIN : INT64_MAX;
    }
    return out;
}

static inline double difference_f64(double t, double stamp) {
    return t - stamp;
}

static inline float difference_f32(float t, float stamp) {
    return t - stamp;
}

#define DEFINE_REST(type, T)                                                                       \
    static int64_t interval_begin_##type(const rbc__time_axis *axis) {                             \
        T begin;                                                                                   \
        if (axis->first > 0) {                                                                     \
            begin = target_##type(axis, axis->first - 1);                                          \
        } else if (axis->num_targets > 1) {                                                        \
            begin = back_##type(target_##type(axis, 0), target_##type(axis, 1));                   \
        } else {                                                                                   \
            return 0;                                                                              \
        }                                                                                          \
        return upper_##type(axis, 0, axis->num_samples, begin);                                    \
    }                                                                                              \
                                                                                                   \
    static bool same_##type(const rbc__time_axis *axis, int64_t a, int64_t b) {                    \
        return time_##type(axis, a) == time_##type(axis, b);                                       \
    }                                                                                              \
                                                                                                   \
    static void distance_##type(const rbc__time_axis *axis, const int64_t *pick, char *out,        \
                                int64_t out_stride_bytes) {                                        \
        for (int64_t j = 0; j < axis->count; ++j) {                                                \
            *(T *)(out + j * out_stride_bytes) =                                                   \
                pick[j] < 0 ? NONE_##type                                                          \
                            : difference_##type(target_##type(axis, axis->first + j),              \
                                                time_##type(axis, pick[j]));                       \
        }                                                                                          \
    }

#define DEFINE_ALL(type, T)                                                                        \
    DEFINE_ACCESS(type, T)                                                                         \
    DEFINE_CHECK(type, T)                                                                          \
    DEFINE_SEARCH(type, T)                                                                         \
    DEFINE_NEIGHBOURS(type, T)                                                                     \
    DEFINE_WEIGH(type, T)                                                                          \
    DEFINE_CUBIC(type, T)                                                                          \
    DEFINE_REST(type, T)

DEFINE_ALL(i64, int64_t)
DEFINE_ALL(f64, double)
DEFINE_ALL(f32, float)

#define TABLE(type)                                                                                \
    {                                                                                              \
        check_##type, search_##type,         neighbours_##type, weigh_##type,                      \
        cubic_##type, interval_begin_##type, same_##type,       distance_##type,                   \
    }

const rbc__time_kernels RBC__KERNEL(resample_times)[3] = {
    [RBC__TIME_I64] = TABLE(i64),
    [RBC__TIME_F64] = TABLE(f64),
    [RBC__TIME_F32] = TABLE(f32),
};
