/* Trigonometry in plain arithmetic, which vectorises and gives the same bits on every ISA, with
 * every C library and on CUDA, whose compiler reads this header too. Products and sums must not be
 * contracted. Interface of src/core. */
#ifndef RBC_CORE_TRIG_H
#define RBC_CORE_TRIG_H

#ifdef __CUDACC__
#define RBC__TRIG static __device__ __forceinline__
#else
#include <math.h>
#define RBC__TRIG static inline
#endif

/* To (about) [-pi, pi] by whole turns. Adding and taking away 1.5 * 2^52 rounds to an integer. */
RBC__TRIG double rbc__wrap(double angle) {
    const double round = 0x1.8p52;
    const double turns = (angle * 0.15915494309189535 + round) - round;
    return (angle - turns * 6.283185307179586) - turns * 2.4492935982947064e-16;
}

/* sin(x) for |x| <= pi / 2: the Taylor series to x^21, whose next term is below 2^-57. */
RBC__TRIG double rbc__sin_quadrant(double x) {
    const double z = x * x;
    double sum = 1.0 / 51090942171709440000.0;
    sum = sum * z - 1.0 / 121645100408832000.0;
    sum = sum * z + 1.0 / 355687428096000.0;
    sum = sum * z - 1.0 / 1307674368000.0;
    sum = sum * z + 1.0 / 6227020800.0;
    sum = sum * z - 1.0 / 39916800.0;
    sum = sum * z + 1.0 / 362880.0;
    sum = sum * z - 1.0 / 5040.0;
    sum = sum * z + 1.0 / 120.0;
    sum = sum * z - 1.0 / 6.0;
    return x + x * (z * sum);
}

/* atan(x) for x in [0, 1]: the half-angle formula twice brings x below tan(pi / 16), where the
 * series to x^21 has a next term below 2^-57. */
RBC__TRIG double rbc__atan_unit(double x) {
    x = x / (1.0 + sqrt(1.0 + x * x));
    x = x / (1.0 + sqrt(1.0 + x * x));
    const double z = x * x;
    double sum = 1.0 / 21.0;
    sum = sum * -z + 1.0 / 19.0;
    sum = sum * -z + 1.0 / 17.0;
    sum = sum * -z + 1.0 / 15.0;
    sum = sum * -z + 1.0 / 13.0;
    sum = sum * -z + 1.0 / 11.0;
    sum = sum * -z + 1.0 / 9.0;
    sum = sum * -z + 1.0 / 7.0;
    sum = sum * -z + 1.0 / 5.0;
    sum = sum * -z + 1.0 / 3.0;
    return 4.0 * (x - x * (z * sum));
}

/* What takes a quaternion to unit length: 1 where its square is 1 within `slack`, so that one that
 * was rounded to its type stays as it is, and NaN or infinite where it has no length. */
RBC__TRIG double rbc__unit_scale(double x, double y, double z, double w, double slack) {
    const double square = x * x + y * y + (z * z + w * w);
    return square - 1.0 <= slack && 1.0 - square <= slack ? 1.0 : 1.0 / sqrt(square);
}

/* The slack for each type, eight times its rounding error. */
#define RBC__UNIT_SLACK_F64  0x1p-50
#define RBC__UNIT_SLACK_F32  0x1p-21
#define RBC__UNIT_SLACK_F16  0x1p-8
#define RBC__UNIT_SLACK_BF16 0x1p-5

#undef RBC__TRIG

#endif
