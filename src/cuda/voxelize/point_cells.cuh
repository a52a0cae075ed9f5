/* Points of a cloud and the cells they lie in. */
#ifndef RBC_CUDA_POINT_CELLS_CUH
#define RBC_CUDA_POINT_CELLS_CUH

#include "cuda/common/vec16.cuh"
#include "cuda/voxelize/voxel_params.h"

typedef long long cell_index; /* within one cloud's grid; -1: dropped */

INLINE int cell_in_grid(double cell, int extent) {
    return cell >= 0.0 && cell < (double)extent ? (int)cell : -1;
}

/* floor((p - origin) / size), the quotient rounded as IEEE says, where it lies in [0, extent). A
 * product with the reciprocal decides unless it comes within four units in the last place of an
 * integer, where the rounding of the division would matter. */
INLINE int cell_axis_f32(float p, float origin, float size, float inverse, int extent) {
    const float distance = __fsub_rn(p, origin);
    const float guess = __fmul_rn(distance, inverse);
    float cell = floorf(guess);
    const float magnitude = fabsf(guess);
    if (!(fabsf(__fsub_rn(guess, rintf(guess))) > __fmul_rn(magnitude, 0x1p-21f) &&
          magnitude > 0x1p-100f)) {
        cell = floorf(__fdiv_rn(distance, size));
    }
    return cell >= 0.0f && cell < 0x1p31f && (int)cell < extent ? (int)cell : -1;
}

INLINE cell_index cell_of_axes(const voxel_cloud *cloud, int x, int y, int z) {
    if (cloud->small) {
        return (x | y | z) < 0 ? -1 : (x * cloud->grid[1] + y) * cloud->grid[2] + z;
    }
    return (x | y | z) < 0 ? -1 : ((cell_index)x * cloud->grid[1] + y) * cloud->grid[2] + z;
}

INLINE cell_index cell_f32(const voxel_cloud *cloud, float px, float py, float pz) {
    const int x = cell_axis_f32(px, cloud->origin32[0], cloud->size32[0], cloud->inverse32[0],
                                cloud->grid[0]);
    const int y = cell_axis_f32(py, cloud->origin32[1], cloud->size32[1], cloud->inverse32[1],
                                cloud->grid[1]);
    const int z = cell_axis_f32(pz, cloud->origin32[2], cloud->size32[2], cloud->inverse32[2],
                                cloud->grid[2]);
    return cell_of_axes(cloud, x, y, z);
}

/* cell_f32() of points one by one, for the few that cells_f32() is unsure of. */
static __device__ __noinline__ int cell_f32_exact(const voxel_cloud *cloud, float px, float py,
                                                  float pz) {
    return (int)cell_f32(cloud, px, py, pz);
}

/* Cells of n points, x, y, z each, where cloud->fast_cells is not FAST_CELLS_NONE; n is known to
 * the compiler and everything stays in registers. Adding 1.5 * 2^23 and rounding down leaves the
 * floor in the low bits, in steps that do not branch. Where the reciprocal of a cell's size is
 * rounded, quotients within `margin32` of an integer are computed again. */
INLINE void cells_f32(const voxel_cloud *cloud, const float *points, int n, int *cells) {
    const float magic = 12582912.0f;
    const unsigned grid[3] = {(unsigned)cloud->grid[0], (unsigned)cloud->grid[1],
                              (unsigned)cloud->grid[2]};
    if (cloud->fast_cells == FAST_CELLS_EXACT) {
        asm volatile(""); /* keeps the two ways apart, which have much in common */
#pragma unroll
        for (int i = 0; i < n; ++i) {
            unsigned at[3];
#pragma unroll
            for (int axis = 0; axis < 3; ++axis) {
                const float guess = __fmul_rn(
                    __fsub_rn(points[3 * i + axis], cloud->origin32[axis]), cloud->inverse32[axis]);
                at[axis] = __float_as_uint(__fadd_rd(guess, magic)) - 0x4b400000u;
            }
            cells[i] = at[0] < grid[0] && at[1] < grid[1] && at[2] < grid[2]
                           ? (int)((at[0] * grid[1] + at[1]) * grid[2] + at[2])
                           : -1;
        }
        return;
    }
    unsigned unsure = 0;
#pragma unroll
    for (int i = 0; i < n; ++i) {
        unsigned at[3];
        int sure = 1;
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            const float guess = __fmul_rn(__fsub_rn(points[3 * i + axis], cloud->origin32[axis]),
                                          cloud->inverse32[axis]);
            const float floored = __fadd_rd(guess, magic);
            const float past = __fsub_rn(guess, __fsub_rn(floored, magic));
            sure &= past > cloud->margin32 && past < 1.0f - cloud->margin32;
            at[axis] = __float_as_uint(floored) - 0x4b400000u;
        }
        unsure |= (unsigned)!sure << i;
        cells[i] = at[0] < grid[0] && at[1] < grid[1] && at[2] < grid[2]
                       ? (int)((at[0] * grid[1] + at[1]) * grid[2] + at[2])
                       : -1;
    }
    if (unsure != 0) {
#pragma unroll
        for (int i = 0; i < n; ++i) {
            if ((unsure >> i & 1) != 0) {
                cells[i] =
                    cell_f32_exact(cloud, points[3 * i], points[3 * i + 1], points[3 * i + 2]);
            }
        }
    }
}

INLINE int cell_axis_f64(double p, double origin, double size, int extent) {
    return cell_in_grid(floor(__ddiv_rn(__dsub_rn(p, origin), size)), extent);
}

INLINE float load_f32(const char *address, int dtype) {
    return dtype == POINT_F32   ? *(const float *)address
           : dtype == POINT_F16 ? f16_widen(*(const unsigned short *)address)
                                : __uint_as_float((unsigned)*(const unsigned short *)address << 16);
}

INLINE cell_index cell_of_point(const voxel_cloud *cloud, long long batch, long long index) {
    const char *point = cloud->points + batch * cloud->batch_stride + index * cloud->point_stride;
    const long long axis = cloud->axis_stride;
    if (cloud->dtype == POINT_F64) {
        const int x =
            cell_axis_f64(*(const double *)point, cloud->origin[0], cloud->size[0], cloud->grid[0]);
        const int y = cell_axis_f64(*(const double *)(point + axis), cloud->origin[1],
                                    cloud->size[1], cloud->grid[1]);
        const int z = cell_axis_f64(*(const double *)(point + 2 * axis), cloud->origin[2],
                                    cloud->size[2], cloud->grid[2]);
        return cell_of_axes(cloud, x, y, z);
    }
    if (cloud->dtype == POINT_F32) {
        return cell_f32(cloud, load_f32(point, POINT_F32), load_f32(point + axis, POINT_F32),
                        load_f32(point + 2 * axis, POINT_F32));
    }
    if (cloud->dtype == POINT_F16) {
        return cell_f32(cloud, load_f32(point, POINT_F16), load_f32(point + axis, POINT_F16),
                        load_f32(point + 2 * axis, POINT_F16));
    }
    return cell_f32(cloud, load_f32(point, POINT_BF16), load_f32(point + axis, POINT_BF16),
                    load_f32(point + 2 * axis, POINT_BF16));
}

INLINE long long cloud_length(const voxel_cloud *cloud, long long batch) {
    if (cloud->lengths == 0) {
        return cloud->num_points;
    }
    const char *address = cloud->lengths + batch * cloud->lengths_stride;
    const long long length =
        cloud->lengths_are_i64 ? *(const long long *)address : (long long)*(const int *)address;
    return length < 0 ? 0 : length > cloud->num_points ? cloud->num_points : length;
}

#endif
