#include "resample_reference.h"

#include <math.h>
#include <string.h>

typedef struct knots {
    int64_t count;
    int64_t times[MAX_SAMPLES];
    const double *values[MAX_SAMPLES];
} knots;

static bool has_sample(const reference_series *s, int64_t i) {
    for (int c = 0; s->missing && c < s->width; ++c) {
        if (isnan(s->values[i][c])) {
            return false;
        }
    }
    return true;
}

static void find_knots(const reference_series *s, knots *k) {
    k->count = 0;
    for (int64_t i = 0; i < s->num_samples; ++i) {
        if (!has_sample(s, i)) {
            continue;
        }
        if (k->count > 0 && k->times[k->count - 1] == s->times[i]) {
            --k->count;
        }
        k->times[k->count] = s->times[i];
        k->values[k->count++] = s->values[i];
    }
}

static double slope(const knots *k, int64_t i, int c) {
    const int64_t n = k->count;
    const int64_t low = i > 0 ? i - 1 : 0, high = i < n - 1 ? i + 1 : n - 1;
    const double rise_before = k->values[i][c] - k->values[low][c];
    const double rise_after = k->values[high][c] - k->values[i][c];
    const double before = (double)(k->times[i] - k->times[low]);
    const double after = (double)(k->times[high] - k->times[i]);
    if (low == i) {
        return rise_after / after;
    }
    if (high == i) {
        return rise_before / before;
    }
    return (rise_before / before * after + rise_after / after * before) / (before + after);
}

static double wrap(double angle) {
    const double pi = 3.14159265358979323846;
    double wrapped = fmod(angle, 2 * pi);
    if (wrapped > pi) {
        wrapped -= 2 * pi;
    } else if (wrapped <= -pi) {
        wrapped += 2 * pi;
    }
    return wrapped;
}

static void slerp(const double *a, const double *b, double w, double *out) {
    double dot = 0.0, length_a = 0.0, length_b = 0.0, sign = 1.0;
    for (int c = 0; c < 4; ++c) {
        dot += a[c] * b[c];
        length_a += a[c] * a[c];
        length_b += b[c] * b[c];
    }
    length_a = sqrt(length_a);
    length_b = sqrt(length_b);
    dot /= length_a * length_b;
    if (dot < 0.0) {
        dot = -dot;
        sign = -1.0;
    }
    const double angle = acos(dot < 1.0 ? dot : 1.0);
    const double divisor = angle < 1e-6 ? 1.0 : sin(angle);
    const double from = (angle < 1e-6 ? 1.0 - w : sin((1.0 - w) * angle)) / divisor;
    const double to = (angle < 1e-6 ? w : sin(w * angle)) / divisor;
    for (int c = 0; c < 4; ++c) {
        out[c] = from * a[c] / length_a + to * sign * b[c] / length_b;
    }
}

static void blend(const reference_series *s, const knots *k, int64_t i, double w, double *out) {
    const double *a = k->values[i], *b = k->values[i + 1];
    if (s->mode == RBC_RESAMPLE_SLERP) {
        slerp(a, b, w, out);
        return;
    }
    for (int c = 0; c < s->width; ++c) {
        if (s->mode == RBC_RESAMPLE_LINEAR) {
            out[c] = a[c] + w * (b[c] - a[c]);
        } else if (s->mode == RBC_RESAMPLE_ANGLE) {
            out[c] = wrap(a[c] + w * wrap(b[c] - a[c]));
        } else {
            const double h = (double)(k->times[i + 1] - k->times[i]);
            out[c] =
                (2 * w * w * w - 3 * w * w + 1) * a[c] + (3 * w * w - 2 * w * w * w) * b[c] +
                h * (w * (1 - w) * (1 - w) * slope(k, i, c) + w * w * (w - 1) * slope(k, i + 1, c));
        }
    }
}

static reference_result nothing(const reference_series *s, bool has_dt, int64_t dt) {
    reference_result result = {.valid = false, .dt = has_dt ? dt : INT64_MAX};
    for (int c = 0; c < 4; ++c) {
        result.values[c] = s->outside == RBC_OUTSIDE_NAN ? (double)NAN : 0.0;
    }
    return result;
}

static bool fills(const reference_series *s) {
    return s->outside == RBC_OUTSIDE_NAN || s->outside == RBC_OUTSIDE_ZERO;
}

static reference_result sample(const reference_series *s, const knots *k, int64_t i, bool valid,
                               int64_t dt) {
    if (!valid && fills(s)) {
        return nothing(s, true, dt);
    }
    reference_result result = {.valid = valid, .dt = dt};
    memcpy(result.values, k->values[i], sizeof result.values);
    if (s->mode == RBC_RESAMPLE_SLERP) {
        double square = 0.0;
        for (int c = 0; c < 4; ++c) {
            square += result.values[c] * result.values[c];
        }
        for (int c = 0; c < 4; ++c) {
            result.values[c] /= sqrt(square);
        }
    }
    return result;
}

static reference_result reduce(const reference_series *s, const knots *k, int64_t target,
                               int64_t begin, int64_t held) {
    reference_result result = sample(s, k, held, false, target - k->times[held]);
    int64_t count = 0;
    double acc = 0.0;
    for (int64_t i = 0; i < s->num_samples; ++i) {
        if (s->times[i] <= begin || s->times[i] > target || !has_sample(s, i)) {
            continue;
        }
        const double v = s->values[i][0];
        if (s->mode == RBC_RESAMPLE_MEAN) {
            acc += v;
        } else if (count == 0 || isnan(v) || (s->mode == RBC_RESAMPLE_MAX ? v > acc : v < acc)) {
            acc = v;
        }
        ++count;
    }
    if (count > 0) {
        result.values[0] = s->mode == RBC_RESAMPLE_MEAN ? acc / (double)count : acc;
        result.valid = true;
    }
    return result;
}

reference_result reference_resample(const reference_series *s, int64_t target, int64_t begin) {
    knots k;
    find_knots(s, &k);
    if (k.count == 0) {
        return nothing(s, false, 0);
    }
    int64_t i = -1;
    while (i + 1 < k.count && k.times[i + 1] <= target) {
        ++i;
    }
    if (s->mode == RBC_RESAMPLE_MEAN || s->mode == RBC_RESAMPLE_MAX ||
        s->mode == RBC_RESAMPLE_MIN) {
        return reduce(s, &k, target, begin, i < 0 ? 0 : i);
    }
    if (i >= 0 && k.times[i] == target) {
        return sample(s, &k, i, true, 0);
    }
    const bool hold = s->mode == RBC_RESAMPLE_HOLD;
    if (i < 0 || i == k.count - 1) {
        const int64_t end = i < 0 ? 0 : i, dt = target - k.times[end];
        const bool is_near = s->tolerance >= 0 && (dt < 0 ? -dt : dt) <= s->tolerance;
        const bool valid =
            hold ? i >= 0 && (s->tolerance < 0 || is_near) && (s->max_gap < 0 || dt <= s->max_gap)
                 : is_near;
        reference_result result = sample(s, &k, end, valid, dt);
        if (s->outside == RBC_OUTSIDE_EXTRAPOLATE && k.count > 1) {
            const int64_t a = i < 0 ? 0 : k.count - 2;
            blend(s, &k, a, (double)(target - k.times[a]) / (double)(k.times[a + 1] - k.times[a]),
                  result.values);
        }
        return result;
    }
    const int64_t before = target - k.times[i], after = k.times[i + 1] - target;
    const int64_t used = hold || before <= after ? i : i + 1;
    const int64_t dt = target - k.times[used];
    const bool valid = (s->max_gap < 0 || before + after <= s->max_gap) &&
                       (s->tolerance < 0 || (dt < 0 ? -dt : dt) <= s->tolerance);
    reference_result result = sample(s, &k, used, valid, dt);
    if (!hold && s->mode != RBC_RESAMPLE_NEAREST && (valid || !fills(s))) {
        blend(s, &k, i, (double)before / (double)(before + after), result.values);
    }
    return result;
}
