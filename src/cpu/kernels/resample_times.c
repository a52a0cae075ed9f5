#include <string.h>

#include "cpu/kernels/isa.h"
#include "cpu/kernels/resample_stamp.h"

/* The compiler's vector types: it does not keep the counters of count_up_to() in registers when
 * they are arrays. More lanes than 32 bytes hold were slower, AVX-512 or not: the last lane is
 * further away from the first. */
#if defined(__AVX2__)
#define LANE_BYTES 32
#else
#define LANE_BYTES 16
#endif
typedef stamp stamp_lanes __attribute__((vector_size(LANE_BYTES)));
typedef lane_count count_lanes __attribute__((vector_size(LANE_BYTES)));

enum {
    LANES = LANE_BYTES / (int)sizeof(stamp),
    /* Beyond this many samples between two lanes of targets searching is faster than counting. */
    MAX_COUNTED = 160,
    /* Samples that are compared with their neighbours between two looks at the result. */
    CHECK_SLICE = 4096,
};

/* Samples in [low, high) at or before t, plus low; nothing is assumed of the order. */
static inline int64_t upper(const rbc__time_axis *axis, int64_t low, int64_t high, stamp t) {
    int64_t length = high - low;
    while (length > 1) {
        const int64_t half = length / 2;
        low += stamp_at(axis, low + half - 1) <= t ? half : 0;
        length -= half;
    }
    return length == 1 && stamp_at(axis, low) <= t ? low + 1 : low;
}

/* Samples before t. */
static inline int64_t lower(const rbc__time_axis *axis, int64_t low, int64_t high, stamp t) {
    int64_t length = high - low;
    while (length > 1) {
        const int64_t half = length / 2;
        low += stamp_at(axis, low + half - 1) < t ? half : 0;
        length -= half;
    }
    return length == 1 && stamp_at(axis, low) < t ? low + 1 : low;
}

/* The newest sample with the stamp of sample i. */
static inline int64_t newest(const rbc__time_axis *axis, int64_t i) {
    const int64_t n = axis->num_samples;
    if (i + 1 >= n || stamp_at(axis, i + 1) != stamp_at(axis, i)) {
        return i;
    }
    return upper(axis, i + 1, n, stamp_at(axis, i)) - 1;
}

static bool check(const rbc__time_axis *axis) {
    const int64_t n = axis->num_samples;
    if (n == 0) {
        return true;
    }
    if (!are_ends(stamp_at(axis, 0), stamp_at(axis, n - 1))) {
        return false;
    }
    int64_t wrong = 0;
    if (axis->stride_bytes == (int64_t)sizeof(stamp)) {
        const stamp *times = (const stamp *)axis->times;
        for (int64_t begin = 0; begin < n - 1; begin += CHECK_SLICE) {
            const int64_t end = n - 1 - begin < CHECK_SLICE ? n - 1 : begin + CHECK_SLICE;
            int32_t slice_wrong = 0;
            for (int64_t i = begin; i < end; ++i) {
                slice_wrong |= !(times[i] <= times[i + 1]);
            }
            wrong |= slice_wrong;
        }
    } else {
        for (int64_t i = 0; i < n - 1; ++i) {
            wrong |= !(stamp_at(axis, i) <= stamp_at(axis, i + 1));
        }
    }
    return wrong == 0;
}

/* Lanes are targets in order, and samples before `low` lie at or before all of them: each sample
 * from there on is compared with every lane until one lies behind the last. Returns where the lanes
 * after these may begin, which does not wait for the counts, or -1 when counting takes too long. */
static inline int64_t count_up_to(const stamp *times, int64_t n, int64_t low, const stamp *targets,
                                  int64_t *found) {
    const stamp last = targets[LANES - 1];
    stamp_lanes lanes;
    count_lanes counts = {0};
    memcpy(&lanes, targets, sizeof lanes);
    const int64_t end = n - low < MAX_COUNTED ? n : low + MAX_COUNTED;
    int64_t i = low, next = low;
    for (; i + 4 <= end && times[i] <= last; i += 4) {
        counts += times[i] <= lanes;
        counts += times[i + 1] <= lanes;
        counts += times[i + 2] <= lanes;
        counts += times[i + 3] <= lanes;
        next = i + 1;
    }
    if (i + 4 > end) {
        for (; i < end && times[i] <= last; ++i) {
            counts += times[i] <= lanes;
            next = i + 1;
        }
        if (i == end && end < n && times[i] <= last) {
            return -1;
        }
    }
    for (int k = 0; k < LANES; ++k) {
        found[k] = low - counts[k];
    }
    return next;
}

/* For targets in order and packed stamps: the samples at or before each. False when targets lie too
 * far apart for counting. `targets` and `found` have room for whole lanes and are filled up. */
static inline bool find_in_order(const rbc__time_axis *axis, stamp *targets, int64_t *found) {
    const stamp *times = (const stamp *)(const void *)axis->times;
    const int64_t count = axis->count, n = axis->num_samples;
    const int64_t padded = (count + LANES - 1) / LANES * LANES;
    for (int64_t j = count; j < padded; ++j) {
        targets[j] = targets[count - 1];
    }
    int64_t low = upper(axis, 0, n, targets[0]);
    for (int64_t j = 0; j < padded && low >= 0; j += LANES) {
        low = count_up_to(times, n, low, targets + j, found + j);
    }
    return low >= 0;
}

/* True, with the tile weighed, where all targets lie between two distinct stamps and on none and
 * nothing is limited. */
static inline bool weigh_usual(const rbc__time_axis *axis, const stamp *targets,
                               const int64_t *found, rbc__brackets *brackets) {
    const stamp *times = (const stamp *)(const void *)axis->times;
    const int64_t count = axis->count, n = axis->num_samples;
    const int64_t first = found[0], last = found[count - 1];
    /* Times may be in any order here: another thread may not have checked the row yet. */
    int32_t is_beyond = 0;
    for (int64_t j = 0; j < count; ++j) {
        is_beyond |= (found[j] < 1) | (found[j] >= n);
    }
    if (has_limits(axis) || is_beyond != 0) {
        return false;
    }
    stamp before[RBC__TILE], after[RBC__TILE];
    for (int64_t j = 0; j < count; ++j) {
        before[j] = times[found[j] - 1];
        after[j] = times[found[j]];
    }
    int32_t is_unusual = 0;
    for (int64_t i = first; i < last + (last + 1 < n); ++i) {
        is_unusual |= times[i] == times[i + 1];
    }
    for (int64_t j = 0; j < count; ++j) {
        is_unusual |= targets[j] == before[j];
    }
    if (is_unusual != 0) {
        return false;
    }
    for (int64_t j = 0; j < count; ++j) {
        brackets->left[j] = found[j] - 1;
        brackets->right[j] = found[j];
    }
    for (int64_t j = 0; j < count; ++j) {
        brackets->weight[j] = share(targets[j], before[j], after[j]);
    }
    uint8_t all = 0;
    for (int64_t j = 0; j < count; ++j) {
        const bool is_right = elapsed(after[j], targets[j]) < elapsed(targets[j], before[j]);
        brackets->flags[j] = is_right ? RBC__RIGHT_NEARER : 0;
        all |= brackets->flags[j];
    }
    brackets->all_flags = all;
    return true;
}

static bool search(const rbc__time_axis *axis, rbc__brackets *brackets) {
    stamp targets[RBC__TILE];
    int64_t found[RBC__TILE];
    const int64_t count = axis->count, n = axis->num_samples;
    brackets->is_weighed = false;
    if (count < 1) {
        return true;
    }
    targets[0] = target_at(axis, axis->first);
    if (axis->targets_stride_bytes == (int64_t)sizeof(stamp)) {
        memcpy(targets, (const stamp *)(const void *)axis->targets + axis->first,
               (size_t)count * sizeof(stamp));
    } else {
        for (int64_t j = 1; j < count; ++j) {
            targets[j] = target_at(axis, axis->first + j);
        }
    }
    int32_t is_unordered = 0;
    for (int64_t j = 1; j < count; ++j) {
        is_unordered |= !(targets[j - 1] <= targets[j]);
    }
    if (is_unordered != 0 || count == 1) {
        for (int64_t j = 0; j < count; ++j) {
            if (is_nan(targets[j])) {
                return false;
            }
        }
    }
    if (is_unordered == 0 && axis->stride_bytes == (int64_t)sizeof(stamp) &&
        find_in_order(axis, targets, found)) {
        brackets->is_weighed = weigh_usual(axis, targets, found, brackets);
        if (brackets->is_weighed) {
            return true;
        }
    } else {
        int64_t low = 0;
        for (int64_t j = 0; j < count; ++j) {
            const bool is_onward = j > 0 && targets[j - 1] <= targets[j];
            low = upper(axis, is_onward ? low : 0, n, targets[j]);
            found[j] = low;
        }
    }
    for (int64_t j = 0; j < count; ++j) {
        brackets->left[j] = found[j] - 1;
        brackets->right[j] = found[j] < n ? newest(axis, found[j]) : n;
    }
    return true;
}

static void neighbours(const rbc__time_axis *axis, rbc__brackets *brackets) {
    const int64_t n = axis->num_samples;
    for (int64_t j = 0; j < axis->count; ++j) {
        const int64_t left = brackets->left[j], right = brackets->right[j];
        brackets->previous[j] = -1;
        brackets->next[j] = n;
        if (left > 0) {
            const stamp now = stamp_at(axis, left);
            brackets->previous[j] =
                stamp_at(axis, left - 1) < now ? left - 1 : lower(axis, 0, left, now) - 1;
        }
        if (right < n - 1) {
            brackets->next[j] = newest(axis, right + 1);
        }
    }
}

static uint8_t beyond(const rbc__time_axis *axis, bool extrapolate, rbc__brackets *brackets,
                      int64_t j) {
    const int64_t n = axis->num_samples;
    const stamp t = target_at(axis, axis->first + j);
    const bool below = brackets->left[j] < 0;
    const int64_t end = below ? brackets->right[j] : brackets->left[j];
    const int64_t inner = below ? brackets->next[j] : brackets->previous[j];
    const stamp last = stamp_at(axis, end);
    const duration away = below ? elapsed(last, t) : elapsed(t, last);
    unsigned flags = below ? RBC__BELOW : RBC__ABOVE;
    const bool is_far = !(away <= tolerance_of(axis));
    flags |= is_far || !has_tolerance(axis) ? RBC__FAR : 0u;
    flags |= is_far || !(away <= max_gap_of(axis)) ? RBC__FAR_LEFT : 0u;
    brackets->left[j] = end;
    brackets->right[j] = end;
    brackets->weight[j] = 0.0;
    if (extrapolate && inner >= 0 && inner < n) {
        const stamp other = stamp_at(axis, inner);
        flags |= RBC__LINE;
        if (below) {
            brackets->right[j] = inner;
            brackets->weight[j] = -(double)elapsed(last, t) / (double)elapsed(other, last);
        } else {
            brackets->left[j] = inner;
            brackets->weight[j] = share(t, other, last);
            flags |= RBC__RIGHT_NEARER;
        }
    }
    return (uint8_t)flags;
}

static uint8_t weigh(const rbc__time_axis *axis, bool extrapolate, rbc__brackets *brackets) {
    if (brackets->is_weighed) {
        return brackets->all_flags;
    }
    const int64_t n = axis->num_samples;
    const duration max_gap = max_gap_of(axis);
    const duration tolerance = tolerance_of(axis);
    unsigned all = 0;
    for (int64_t j = 0; j < axis->count; ++j) {
        const int64_t left = brackets->left[j], right = brackets->right[j];
        const stamp t = target_at(axis, axis->first + j);
        if (left >= 0 && t == stamp_at(axis, left)) {
            brackets->right[j] = left;
            brackets->weight[j] = 0.0;
            brackets->flags[j] = RBC__EXACT;
            all |= RBC__EXACT;
            continue;
        }
        if (left < 0 || right >= n) {
            brackets->flags[j] = beyond(axis, extrapolate, brackets, j);
            all |= brackets->flags[j];
            continue;
        }
        const stamp t0 = stamp_at(axis, left), t1 = stamp_at(axis, right);
        const duration since = elapsed(t, t0), until = elapsed(t1, t);
        const duration gap = elapsed(t1, t0);
        const duration nearer = until < since ? until : since;
        const unsigned flags =
            (until < since ? RBC__RIGHT_NEARER : 0u) | (gap <= max_gap ? 0u : RBC__WIDE_GAP) |
            (since <= tolerance ? 0u : RBC__FAR_LEFT) | (nearer <= tolerance ? 0u : RBC__FAR);
        brackets->weight[j] = share(t, t0, t1);
        brackets->flags[j] = (uint8_t)flags;
        all |= flags;
    }
    return (uint8_t)all;
}

/* Cubic Hermite on [left, right]. The tangent at a knot is the slope there of the parabola through
 * it and its two neighbours, at the first and last knot that of the one interval. Written in
 * differences of neighbours, so that a constant stays one exactly. */
static void cubic(const rbc__time_axis *axis, rbc__brackets *brackets) {
    for (int64_t j = 0; j < axis->count; ++j) {
        if ((brackets->flags[j] & (RBC__EXACT | RBC__BELOW | RBC__ABOVE)) != 0) {
            brackets->previous[j] = brackets->left[j];
            brackets->next[j] = brackets->right[j];
            continue;
        }
        const double s = brackets->weight[j];
        const double at_left = s * (1.0 - s) * (1.0 - s), at_right = s * s * (s - 1.0);
        const stamp t0 = stamp_at(axis, brackets->left[j]), t1 = stamp_at(axis, brackets->right[j]);
        const double h = (double)elapsed(t1, t0);
        double left_share = 1.0, right_share = 1.0;
        brackets->before[j] = 0.0;
        brackets->after[j] = 0.0;
        if (brackets->previous[j] >= 0) {
            const double g = (double)elapsed(t0, stamp_at(axis, brackets->previous[j]));
            left_share = g / (g + h);
            brackets->before[j] = at_left * (h / g) * (h / (g + h));
        } else {
            brackets->previous[j] = brackets->left[j];
        }
        if (brackets->next[j] < axis->num_samples) {
            const double g = (double)elapsed(stamp_at(axis, brackets->next[j]), t1);
            right_share = g / (g + h);
            brackets->after[j] = at_right * (h / g) * (h / (g + h));
        } else {
            brackets->next[j] = brackets->right[j];
        }
        brackets->middle[j] =
            s * s * (3.0 - 2.0 * s) + at_left * left_share + at_right * right_share;
    }
}

static int64_t interval_begin(const rbc__time_axis *axis) {
    stamp begin;
    if (axis->first > 0) {
        begin = target_at(axis, axis->first - 1);
    } else if (axis->num_targets > 1) {
        const stamp first = target_at(axis, 0);
        begin = difference(first, difference(target_at(axis, 1), first));
    } else {
        return 0;
    }
    return upper(axis, 0, axis->num_samples, begin);
}

static bool same(const rbc__time_axis *axis, int64_t a, int64_t b) {
    return stamp_at(axis, a) == stamp_at(axis, b);
}

static void distance(const rbc__time_axis *axis, const int64_t *pick, char *out,
                     int64_t out_stride_bytes) {
    for (int64_t j = 0; j < axis->count; ++j) {
        *(stamp *)(void *)(out + j * out_stride_bytes) =
            pick[j] < 0 ? NO_DISTANCE
                        : difference(target_at(axis, axis->first + j), stamp_at(axis, pick[j]));
    }
}

const rbc__time_kernels RBC__KERNEL(RBC__TIME_TABLE) = {
    .check = check,
    .search = search,
    .neighbours = neighbours,
    .weigh = weigh,
    .cubic = cubic,
    .interval_begin = interval_begin,
    .same = same,
    .distance = distance,
};
