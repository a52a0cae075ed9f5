/* Cubic, angular and spherical interpolation; the arithmetic is that of the CPU kernels, operation
 * by operation, so that both give the same bits. */
#ifndef RBC_CUDA_BLEND_CUH
#define RBC_CUDA_BLEND_CUH

#include "core/trig.h"
#include "cuda/common/value.cuh"

/* Cubic: left + middle (right - left) + before (left - previous) + after (next - right). */
typedef struct cubic_weights {
    long long previous, next;
    double before, middle, after;
} cubic_weights;

INLINE item blend_linear(item a, item b, double weight, int dtype) {
    if (dtype == VALUE_F64) {
        return item_of_f64(lerp_f64(item_f64(a, dtype), item_f64(b, dtype), weight), dtype);
    }
    return item_of_f32(lerp_f32(item_f32(a, dtype), item_f32(b, dtype), (float)weight), dtype);
}

INLINE item blend_cubic(item p, item a, item b, item q, const cubic_weights *weights, int dtype) {
    if (dtype == VALUE_F64) {
        const double v0 = item_f64(a, dtype);
        const double v1 = item_f64(b, dtype);
        const double rise = weights->middle * (v1 - v0);
        const double bend = weights->before * (v0 - item_f64(p, dtype)) +
                            weights->after * (item_f64(q, dtype) - v1);
        return item_of_f64(v0 + (rise + bend), dtype);
    }
    const float v0 = item_f32(a, dtype);
    const float v1 = item_f32(b, dtype);
    const float rise = (float)weights->middle * (v1 - v0);
    const float bend = (float)weights->before * (v0 - item_f32(p, dtype)) +
                       (float)weights->after * (item_f32(q, dtype) - v1);
    return item_of_f32(v0 + (rise + bend), dtype);
}

/* The result lies in (-pi, pi], also after it is rounded to f32, whose nearest to pi lies above. */
INLINE item blend_angle(item a, item b, double weight, int dtype) {
    const double from = item_f64(a, dtype);
    const double angle = rbc__wrap(from + weight * rbc__wrap(item_f64(b, dtype) - from));
    if (dtype == VALUE_F64) {
        const double pi = 3.141592653589793;
        const double wrapped = angle > pi ? pi : angle;
        return item_of_f64(wrapped <= -pi ? pi : wrapped, dtype);
    }
    const float pi = 3.14159250f;
    const float rounded = (float)angle;
    const float wrapped = rounded > pi ? pi : rounded;
    return item_of_f32(wrapped <= -3.14159274f ? pi : wrapped, dtype);
}

/* Component `which` of the quaternion between a and b on the shorter arc. */
INLINE double blend_slerp(const double *a, const double *b, double t, int which) {
    const double a_scale = 1.0 / sqrt(a[0] * a[0] + a[1] * a[1] + (a[2] * a[2] + a[3] * a[3]));
    double b_scale = 1.0 / sqrt(b[0] * b[0] + b[1] * b[1] + (b[2] * b[2] + b[3] * b[3]));
    const double dot = a[0] * b[0] + a[1] * b[1] + (a[2] * b[2] + a[3] * b[3]);
    b_scale = dot < 0.0 ? -b_scale : b_scale;
    double p[4];
    double q[4];
    double d[4];
    double s[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        p[i] = a[i] * a_scale;
        q[i] = b[i] * b_scale;
        d[i] = p[i] - q[i];
        s[i] = p[i] + q[i];
    }
    const double chord = sqrt(d[0] * d[0] + d[1] * d[1] + (d[2] * d[2] + d[3] * d[3]));
    const double across = sqrt(s[0] * s[0] + s[1] * s[1] + (s[2] * s[2] + s[3] * s[3]));
    const double angle = 2.0 * rbc__atan_unit(chord / across);
    const int is_short = angle < 1e-8;
    const double divisor = is_short ? 1.0 : rbc__sin_quadrant(angle);
    const double from = (is_short ? 1.0 - t : rbc__sin_quadrant((1.0 - t) * angle)) / divisor;
    const double to = (is_short ? t : rbc__sin_quadrant(t * angle)) / divisor;
    const double pw = which == 0 ? p[0] : which == 1 ? p[1] : which == 2 ? p[2] : p[3];
    const double qw = which == 0 ? q[0] : which == 1 ? q[1] : which == 2 ? q[2] : q[3];
    return from * pw + to * qw;
}

/* The item of component `which` of a quaternion taken to unit length. */
INLINE item blend_unit(const double *a, int which, int dtype) {
    const double slack = dtype == VALUE_F64   ? RBC__UNIT_SLACK_F64
                         : dtype == VALUE_F32 ? RBC__UNIT_SLACK_F32
                         : dtype == VALUE_F16 ? RBC__UNIT_SLACK_F16
                                              : RBC__UNIT_SLACK_BF16;
    const double component = which == 0 ? a[0] : which == 1 ? a[1] : which == 2 ? a[2] : a[3];
    return item_of_f64(component * rbc__unit_scale(a[0], a[1], a[2], a[3], slack), dtype);
}

#endif
