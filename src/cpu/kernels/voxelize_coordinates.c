/* Cell coordinates by the rules of the sparse presets. */
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

int64_t RBC__KERNEL(voxel_coordinates)(const rbc__voxel_tile *tile, int64_t n, bool is_f64,
                                       const rbc__coordinate_map *map, int32_t *xyz) {
    int32_t ok[RBC__VOXEL_TILE], axes[3][RBC__VOXEL_TILE];
    for (int64_t i = 0; i < n; ++i) {
        ok[i] = 1;
    }
    for (int axis = 0; axis < 3; ++axis) {
        if (is_f64) {
            axis_f64(tile->f64[axis], n, map, axis, ok, axes[axis]);
        } else {
            axis_f32(tile->f32[axis], n, map, axis, ok, axes[axis]);
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
