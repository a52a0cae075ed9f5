#include "core/half.h"
#include "cpu/kernels/depth.h"
#include "cpu/kernels/isa.h"
#include "cpu/kernels/voxelize_isa.h"

#define F32_BYTES ((int64_t)sizeof(float))

static void load_f32_packed(const float *points, int64_t n, rbc__voxel_range *range) {
    float *restrict x = range->f32[0], *restrict y = range->f32[1], *restrict z = range->f32[2];
    for (int64_t i = 0; i < n; ++i) {
        x[i] = points[3 * i];
        y[i] = points[3 * i + 1];
        z[i] = points[3 * i + 2];
    }
}

static void load_f64_packed(const double *points, int64_t n, rbc__voxel_range *range) {
    double *restrict x = range->f64[0], *restrict y = range->f64[1], *restrict z = range->f64[2];
    for (int64_t i = 0; i < n; ++i) {
        x[i] = points[3 * i];
        y[i] = points[3 * i + 1];
        z[i] = points[3 * i + 2];
    }
}

#define LOAD_AXIS(stored, convert, out)                                                            \
    for (int64_t i = 0; i < n; ++i) {                                                              \
        (out)[i] = convert(*(const stored *)(const void *)(from + i * stride));                    \
    }
#define AS_IT_IS(value) (value)

static void load_axis(rbc__dtype dtype, const char *from, int64_t stride, int64_t n, int axis,
                      rbc__voxel_range *range) {
    switch (dtype) {
    case RBC__F64:
        LOAD_AXIS(double, AS_IT_IS, range->f64[axis])
        break;
    case RBC__F16:
        LOAD_AXIS(uint16_t, rbc__f32_of_f16, range->f32[axis])
        break;
    case RBC__BF16:
        LOAD_AXIS(uint16_t, rbc__f32_of_bf16, range->f32[axis])
        break;
    default:
        LOAD_AXIS(float, AS_IT_IS, range->f32[axis])
        break;
    }
}

void RBC__KERNEL(voxel_load)(const rbc__cloud *cloud, int64_t cloud_index, int64_t first, int64_t n,
                             rbc__voxel_range *range) {
    if (cloud->depth != NULL) {
        RBC__KERNEL(depth_points)(cloud->depth, cloud_index, first, n, range->f32[0], range->f32[1],
                                  range->f32[2]);
        return;
    }
    const char *from = cloud->points + cloud_index * cloud->points_batch_stride_bytes +
                       first * cloud->points_stride_bytes;
    const int64_t item_bytes = cloud->point_dtype == RBC__F64 ? 2 * F32_BYTES : F32_BYTES;
    const bool is_packed =
        cloud->axis_stride_bytes == item_bytes && cloud->points_stride_bytes == 3 * item_bytes;
    if (is_packed && cloud->point_dtype == RBC__F32) {
        load_f32_packed((const float *)(const void *)from, n, range);
    } else if (is_packed && cloud->point_dtype == RBC__F64) {
        load_f64_packed((const double *)(const void *)from, n, range);
    } else {
        for (int axis = 0; axis < 3; ++axis) {
            load_axis(cloud->point_dtype, from + axis * cloud->axis_stride_bytes,
                      cloud->points_stride_bytes, n, axis, range);
        }
    }
}

/* Where a quotient is in [0, limit), floor and conversion to integer agree; elsewhere, NaN
 * included, nothing is converted. `restrict` and the absence of branches let the loop be
 * vectorised. */
#define DEFINE_CELLS(name, real, member, integer)                                                  \
    int64_t RBC__KERNEL(name)(const rbc__voxel_range *range, int64_t n, const rbc__voxel_map *map, \
                              integer *restrict cells) {                                           \
        const real *restrict x = range->member[0];                                                 \
        const real *restrict y = range->member[1];                                                 \
        const real *restrict z = range->member[2];                                                 \
        const real x0 = (real)map->origin[0], y0 = (real)map->origin[1];                           \
        const real z0 = (real)map->origin[2];                                                      \
        const real dx = (real)map->size[0], dy = (real)map->size[1], dz = (real)map->size[2];      \
        const real x1 = (real)map->limit[0], y1 = (real)map->limit[1];                             \
        const real z1 = (real)map->limit[2];                                                       \
        const integer sx = (integer)map->stride[0], sy = (integer)map->stride[1];                  \
        const integer outside = (integer)map->outside;                                             \
        int32_t num_inside = 0;                                                                    \
        for (int64_t i = 0; i < n; ++i) {                                                          \
            const real qx = (x[i] - x0) / dx, qy = (y[i] - y0) / dy, qz = (z[i] - z0) / dz;        \
            const int inside =                                                                     \
                (qx >= 0) & (qx < x1) & (qy >= 0) & (qy < y1) & (qz >= 0) & (qz < z1);             \
            const int32_t ix = (int32_t)(inside ? qx : 0);                                         \
            const int32_t iy = (int32_t)(inside ? qy : 0);                                         \
            const int32_t iz = (int32_t)(inside ? qz : 0);                                         \
            const integer cell = (integer)ix * sx + (integer)iy * sy + (integer)iz;                \
            cells[i] = inside ? cell : outside;                                                    \
            num_inside += inside;                                                                  \
        }                                                                                          \
        return num_inside;                                                                         \
    }

DEFINE_CELLS(voxel_cells_f32, float, f32, int32_t)
DEFINE_CELLS(voxel_cells_f64, double, f64, int32_t)
DEFINE_CELLS(voxel_cells64_f32, float, f32, int64_t)
DEFINE_CELLS(voxel_cells64_f64, double, f64, int64_t)

const rbc__voxel_kernels RBC__KERNEL(voxel_kernels) = {
    .load = RBC__KERNEL(voxel_load),
    .cells_f32 = RBC__KERNEL(voxel_cells_f32),
    .cells_f64 = RBC__KERNEL(voxel_cells_f64),
    .cells64_f32 = RBC__KERNEL(voxel_cells64_f32),
    .cells64_f64 = RBC__KERNEL(voxel_cells64_f64),
    .bounds = RBC__KERNEL(voxel_bounds),
    .coordinates = RBC__KERNEL(voxel_coordinates),
};
