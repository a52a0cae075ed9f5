/* Cell coordinates by the rules of the sparse presets. */
#include <float.h>
#include <math.h>

#include "cpu/kernels/voxelize_isa.h"

/* `ok` gathers over the axes whether a point is inside; nothing else is converted to integers. */
#define DEFINE_RULES(real, member, floor_, rint_)                                                  \
    static void floor_quotient_##member(const real *restrict p, int64_t n, real origin, real size, \
                                        real least, real limit, int32_t *restrict ok,              \
                                        int32_t *restrict out) {                                   \
        for (int64_t i = 0; i < n; ++i) {                                                          \
            const real q = floor_((p[i] - origin) / size);                                         \
            ok[i] &= (q >= least) & (q < limit);                                                   \
            out[i] = (int32_t)(ok[i] != 0 ? q : 0);                                                \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void trunc_product_##member(const real *restrict p, int64_t n, real origin, real size,  \
                                       real upper, real limit, int32_t *restrict ok,               \
                                       int32_t *restrict out) {                                    \
        const real inverse = 1 / size;                                                             \
        for (int64_t i = 0; i < n; ++i) {                                                          \
            const real q = (p[i] - origin) * inverse;                                              \
            ok[i] &= (p[i] >= origin) & (p[i] <= upper) & (q < limit);                             \
            out[i] = (int32_t)(ok[i] != 0 ? q : 0);                                                \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void round_scaled_##member(const real *restrict p, int64_t n, real origin, real size,   \
                                      real factor, real limit, int32_t *restrict ok,               \
                                      int32_t *restrict out) {                                     \
        for (int64_t i = 0; i < n; ++i) {                                                          \
            const real q = rint_(((p[i] - origin) / size) * factor);                               \
            ok[i] &= (q >= 0) & (q < limit);                                                       \
            out[i] = (int32_t)(ok[i] != 0 ? q : 0);                                                \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void axis_##member(const real *p, int64_t n, const rbc__coordinate_map *map, int axis,  \
                              int32_t *ok, int32_t *out) {                                         \
        const real origin = (real)map->origin[axis], size = (real)map->size[axis];                 \
        const real extra = (real)map->extra[axis], limit = (real)map->limit[axis];                 \
        if (map->rule == RBC__FLOOR_QUOTIENT) {                                                    \
            floor_quotient_##member(p, n, origin, size, extra, limit, ok, out);                    \
        } else if (map->rule == RBC__TRUNC_PRODUCT) {                                              \
            trunc_product_##member(p, n, origin, size, extra, limit, ok, out);                     \
        } else {                                                                                   \
            round_scaled_##member(p, n, origin, size, extra, limit, ok, out);                      \
        }                                                                                          \
    }

DEFINE_RULES(float, f32, floorf, rintf)
DEFINE_RULES(double, f64, floor, rint)

int64_t RBC__KERNEL(voxel_coordinates)(const rbc__voxel_range *range, int64_t n, bool is_f64,
                                       const rbc__coordinate_map *map, int32_t *xyz) {
    int32_t ok[RBC__VOXEL_RANGE], axes[3][RBC__VOXEL_RANGE];
    for (int64_t i = 0; i < n; ++i) {
        ok[i] = 1;
    }
    for (int axis = 0; axis < 3; ++axis) {
        if (is_f64) {
            axis_f64(range->f64[axis], n, map, axis, ok, axes[axis]);
        } else {
            axis_f32(range->f32[axis], n, map, axis, ok, axes[axis]);
        }
    }
    int64_t num_inside = 0;
    for (int64_t i = 0; i < n; ++i) {
        for (int axis = 0; axis < 3; ++axis) {
            xyz[3 * i + axis] = ok[i] != 0 ? axes[axis][i] : RBC__OUTSIDE;
        }
        num_inside += ok[i];
    }
    return num_inside;
}

/* Extremes are taken in LANES columns, which makes the order of comparisons explicit, so that the
 * loop can be vectorised. Points that are not finite count as one that changes nothing. */
#define LANES 16

#define DEFINE_BOUNDS(real, member, fabs_, max_)                                                   \
    static void bounds_##member(const real(*p)[RBC__VOXEL_RANGE], int64_t n, double *least,        \
                                double *greatest) {                                                \
        int32_t ok[RBC__VOXEL_RANGE];                                                              \
        for (int64_t i = 0; i < n; ++i) {                                                          \
            ok[i] =                                                                                \
                (fabs_(p[0][i]) <= max_) & (fabs_(p[1][i]) <= max_) & (fabs_(p[2][i]) <= max_);    \
        }                                                                                          \
        for (int axis = 0; axis < 3; ++axis) {                                                     \
            real low[LANES], high[LANES];                                                          \
            for (int64_t j = 0; j < LANES; ++j) {                                                  \
                low[j] = (real)INFINITY;                                                           \
                high[j] = -(real)INFINITY;                                                         \
            }                                                                                      \
            for (int64_t i = 0; i < n; i += LANES) {                                               \
                const int64_t end = n - i < LANES ? n - i : LANES;                                 \
                for (int64_t j = 0; j < end; ++j) {                                                \
                    const real up = ok[i + j] != 0 ? p[axis][i + j] : (real)INFINITY;              \
                    const real down = ok[i + j] != 0 ? p[axis][i + j] : -(real)INFINITY;           \
                    low[j] = up < low[j] ? up : low[j];                                            \
                    high[j] = down > high[j] ? down : high[j];                                     \
                }                                                                                  \
            }                                                                                      \
            for (int64_t j = 0; j < LANES; ++j) {                                                  \
                least[axis] = (double)low[j] < least[axis] ? (double)low[j] : least[axis];         \
                greatest[axis] =                                                                   \
                    (double)high[j] > greatest[axis] ? (double)high[j] : greatest[axis];           \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_BOUNDS(float, f32, fabsf, FLT_MAX)
DEFINE_BOUNDS(double, f64, fabs, DBL_MAX)

void RBC__KERNEL(voxel_bounds)(const rbc__voxel_range *range, int64_t n, bool is_f64, double *least,
                               double *greatest) {
    if (is_f64) {
        bounds_f64(range->f64, n, least, greatest);
    } else {
        bounds_f32(range->f32, n, least, greatest);
    }
}
