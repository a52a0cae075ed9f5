#include "voxel_kernels.h"

#include <math.h>
#include <string.h>

#include "core/half.h"
#include "cuda/depth/depth_params.h"
#include "cuda/voxelize/voxel_params.h"

/* ---- counting ---- */

static int64_t length_of(const voxel_cloud *cloud, int64_t at) {
    if (cloud->lengths == NULL) {
        return cloud->num_points;
    }
    const void *length = cloud->lengths + at * cloud->lengths_stride;
    return cloud->lengths_are_i64 ? *(const int64_t *)length : *(const int32_t *)length;
}

static float load_f32(const char *address, uint32_t dtype) {
    return dtype == POINT_F32   ? *(const float *)(const void *)address
           : dtype == POINT_F16 ? rbc__f32_of_f16(*(const uint16_t *)(const void *)address)
                                : rbc__f32_of_bf16(*(const uint16_t *)(const void *)address);
}

/* The cell of a point, or -1. */
static int64_t cell_of(const voxel_cloud *cloud, const char *point) {
    int64_t cell = 0;
    for (int axis = 0; axis < 3; ++axis) {
        const char *from = point + axis * cloud->axis_stride;
        const double at =
            cloud->dtype == POINT_F64
                ? floor((*(const double *)(const void *)from - cloud->origin[axis]) /
                        cloud->size[axis])
                : (double)floorf((load_f32(from, cloud->dtype) - cloud->origin32[axis]) /
                                 cloud->size32[axis]);
        if (!(at >= 0 && at < cloud->grid[axis])) {
            return -1;
        }
        cell = cell * cloud->grid[axis] + (int64_t)at;
    }
    return cell;
}

static void clear(const voxel_atomic_launch *p) {
    const size_t cells = (size_t)(p->num_clouds * p->cells);
    for (int k = 0; k < 2; ++k) {
        if (p->counts[k] != NULL) {
            memset(p->counts[k], 0, cells * sizeof *p->counts[k]);
        }
    }
    if (p->occupied != NULL) {
        memset(p->occupied, 0, cells);
    }
    if (p->dropped != NULL) {
        memset(p->dropped, 0, (size_t)p->num_clouds * sizeof *p->dropped);
    }
}

static void count_point(const voxel_atomic_launch *p, int64_t cloud, int64_t cell) {
    if (cell < 0) {
        if (p->dropped != NULL) {
            ++p->dropped[cloud];
        }
        return;
    }
    const int64_t at = cloud * p->cells + cell;
    for (int k = 0; k < 2; ++k) {
        if (p->counts[k] != NULL) {
            ++p->counts[k][at];
        }
    }
    if (p->occupied != NULL) {
        p->occupied[at] = 1;
    }
}

static void count(const voxel_atomic_launch *p) {
    for (int64_t b = 0; b < p->num_clouds; ++b) {
        const char *points = p->cloud.points + b * p->cloud.batch_stride;
        const int64_t length = length_of(&p->cloud, b);
        for (int64_t i = 0; i < length; ++i) {
            count_point(p, b, cell_of(&p->cloud, points + i * p->cloud.point_stride));
        }
    }
}

/* ---- depth images ---- */

static float element(const char *address, uint32_t is_f64) {
    return is_f64 ? (float)*(const double *)(const void *)address
                  : *(const float *)(const void *)address;
}

static float depth_at(const depth_launch *p, const char *pixel) {
    return p->dtype == DEPTH_U16   ? (float)*(const uint16_t *)(const void *)pixel
           : p->dtype == DEPTH_F32 ? *(const float *)(const void *)pixel
                                   : (float)*(const double *)(const void *)pixel;
}

static void move(const depth_launch *p, int64_t image, float *point) {
    float moved[3];
    for (int row = 0; row < 3; ++row) {
        float m[4];
        for (int i = 0; i < 4; ++i) {
            m[i] = element(p->pose + image * p->pose_stride[0] + row * p->pose_stride[1] +
                               i * p->pose_stride[2],
                           p->pose_is_f64);
        }
        moved[row] = ((m[0] * point[0] + m[1] * point[1]) + m[2] * point[2]) + m[3];
    }
    memcpy(point, moved, sizeof moved);
}

static void make_point(const depth_launch *p, int64_t image, int64_t pixel, float *point) {
    const int64_t row = pixel / p->width;
    const int64_t column = pixel % p->width;
    const char *k = p->intrinsics + image * p->intrinsics_stride[0];
    const int64_t down = p->intrinsics_stride[1];
    const int64_t right = p->intrinsics_stride[2];
    const float z = p->scale * depth_at(p, p->depth + image * p->batch_stride +
                                               row * p->row_stride + column * p->column_stride);
    if (!(z > p->low && z <= p->high)) {
        point[0] = point[1] = point[2] = NAN;
        return;
    }
    point[0] = ((float)column + p->offset - element(k + 2 * right, p->intrinsics_are_f64)) /
               element(k, p->intrinsics_are_f64) * z;
    point[1] = ((float)row + p->offset - element(k + down + 2 * right, p->intrinsics_are_f64)) /
               element(k + down + right, p->intrinsics_are_f64) * z;
    point[2] = z;
    if (p->pose != NULL) {
        move(p, image, point);
    }
}

static void make_points(const depth_launch *p) {
    for (int64_t image = 0; image < p->batch; ++image) {
        for (int64_t i = 0; i < p->pixels; ++i) {
            make_point(p, image, i, p->points + 3 * (image * p->pixels + i));
        }
    }
}

/* ---- */

static bool is_of_depth(const char *kernel) {
    return strncmp(kernel, "rbc__depth_each", strlen("rbc__depth_each")) == 0;
}

size_t voxel_kernels_bytes(const char *kernel) {
    return is_of_depth(kernel) ? sizeof(depth_launch)
           : strcmp(kernel, "rbc__voxel_clear_cuda") == 0 ||
                   strcmp(kernel, "rbc__voxel_atomic_cuda") == 0
               ? sizeof(voxel_atomic_launch)
               : 0;
}

bool voxel_kernels_run(const char *kernel, const void *launch) {
    if (is_of_depth(kernel)) {
        make_points(launch);
    } else if (strcmp(kernel, "rbc__voxel_clear_cuda") == 0) {
        clear(launch);
    } else if (strcmp(kernel, "rbc__voxel_atomic_cuda") == 0) {
        count(launch);
    } else {
        return false;
    }
    return true;
}
