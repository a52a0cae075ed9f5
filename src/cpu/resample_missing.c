#include "cpu/resample_missing.h"

/* A float is NaN when its bits without the sign are above those of infinity. */
static bool item_is_nan(const char *item, rbc__dtype dtype) {
    switch (dtype) {
    case RBC__F32:
        return (*(const uint32_t *)(const void *)item & UINT32_C(0x7fffffff)) >
               UINT32_C(0x7f800000);
    case RBC__F64:
        return (*(const uint64_t *)(const void *)item & UINT64_C(0x7fffffffffffffff)) >
               UINT64_C(0x7ff0000000000000);
    case RBC__F16:
        return (*(const uint16_t *)(const void *)item & 0x7fffu) > 0x7c00u;
    case RBC__BF16:
        return (*(const uint16_t *)(const void *)item & 0x7fffu) > 0x7f80u;
    default:
        return false;
    }
}

bool rbc__is_missing(const rbc__channel_view *view, int64_t sample) {
    const char *item = view->values + sample * view->sample_stride_bytes;
    for (int64_t c = 0; c < view->num_channels; ++c) {
        if (item_is_nan(item + c * view->channel_stride_bytes, view->dtype)) {
            return true;
        }
    }
    return false;
}

/* The last present sample in (floor, from], or floor. */
static int64_t scan_down(const rbc__channel_view *view, int64_t from, int64_t floor) {
    while (from > floor && rbc__is_missing(view, from)) {
        --from;
    }
    return from;
}

/* The first present sample from `from` on, or num_samples. */
static int64_t scan_up(const rbc__time_axis *axis, const rbc__channel_view *view, int64_t from) {
    while (from < axis->num_samples && rbc__is_missing(view, from)) {
        ++from;
    }
    return from;
}

/* The newest present sample with the stamp of `sample`. */
static int64_t newest(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                      const rbc__channel_view *view, int64_t sample) {
    const int64_t n = axis->num_samples;
    int64_t found = sample;
    for (int64_t i = sample + 1; i < n && kernels->same(axis, sample, i); ++i) {
        found = rbc__is_missing(view, i) ? found : i;
    }
    return found;
}

static int64_t stamp_before(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                            const rbc__channel_view *view, int64_t sample) {
    int64_t i = sample - 1;
    while (i >= 0 && (kernels->same(axis, i, sample) || rbc__is_missing(view, i))) {
        --i;
    }
    return i;
}

static int64_t stamp_after(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                           const rbc__channel_view *view, int64_t sample) {
    const int64_t n = axis->num_samples;
    const int64_t i = scan_up(axis, view, sample + 1);
    return i < n ? newest(kernels, axis, view, i) : n;
}

/* Targets mostly increase, so each scan stops where the one before began. */
bool rbc__brackets_present(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                           const rbc__channel_view *view, const int64_t *last,
                           rbc__brackets *brackets) {
    const int64_t n = axis->num_samples;
    brackets->is_weighed = false;
    for (int64_t j = 0; j < axis->count; ++j) {
        const bool onward = j > 0 && last[j] >= last[j - 1];
        int64_t left = scan_down(view, last[j], onward ? last[j - 1] : -1);
        if (onward && left == last[j - 1]) {
            left = brackets->left[j - 1];
        }
        int64_t right;
        if (onward && brackets->right[j - 1] > last[j]) {
            right = brackets->right[j - 1];
        } else {
            right = scan_up(axis, view, last[j] + 1);
            right = right < n ? newest(kernels, axis, view, right) : n;
        }
        if (left < 0 && right >= n) {
            return false;
        }
        brackets->left[j] = left;
        brackets->right[j] = right;
        const bool same_left = j > 0 && brackets->left[j - 1] == left;
        const bool same_right = j > 0 && brackets->right[j - 1] == right;
        brackets->previous[j] = same_left  ? brackets->previous[j - 1]
                                : left < 0 ? -1
                                           : stamp_before(kernels, axis, view, left);
        brackets->next[j] = same_right   ? brackets->next[j - 1]
                            : right >= n ? n
                                         : stamp_after(kernels, axis, view, right);
    }
    return true;
}
