/* Grids of voxels, dense or sparse, of points and of depth images. */
#ifndef ROBOCACHE_VOXELIZE_H
#define ROBOCACHE_VOXELIZE_H

#include <robocache/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Dense ---- */

typedef enum rbc_voxel_reduce {
    RBC_VOXEL_OCCUPANCY = 0, /* out u8 [.., X, Y, Z] */
    RBC_VOXEL_COUNT = 1,     /* out i32 [.., X, Y, Z] */
    RBC_VOXEL_SUM = 2,       /* out [.., X, Y, Z, F], dtype of the features, from here on */
    RBC_VOXEL_MEAN = 3,
    RBC_VOXEL_MAX = 4,
    RBC_VOXEL_MIN = 5,
} rbc_voxel_reduce;

typedef struct rbc_voxelize_params {
    size_t struct_size;
    rbc_voxel_reduce reduce;
    int64_t grid_size[3]; /* X, Y, Z cells, each at least 1 */
    double voxel_size[3]; /* finite and positive */
    double origin[3];     /* lower corner of cell (0, 0, 0) */
    int32_t has_origin;   /* 0: the grid is centred on zero, origin = -grid_size * voxel_size / 2 */
} rbc_voxelize_params;

#define RBC_VOXELIZE_PARAMS_INIT                                                                   \
    {.struct_size = sizeof(rbc_voxelize_params),                                                   \
     .reduce = RBC_VOXEL_OCCUPANCY,                                                                \
     .grid_size = {0, 0, 0},                                                                       \
     .voxel_size = {0, 0, 0},                                                                      \
     .origin = {0, 0, 0},                                                                          \
     .has_origin = 0}

/* Reduces points into a dense grid; a point is in cell floor((p - origin) / voxel_size), computed
 * in the points' own type with IEEE division, where that lies in [0, grid_size) on each axis.
 *  points   [N, 3] or [B, N, 3], f32 or f64 (f16 and bf16 are widened to f32); N < 2^31
 *  features [N, F] or [B, N, F], f32, f16, bf16 or f64, for sum, mean, max and min; else NULL
 *  lengths  [B] i32 or i64, or NULL
 *  out      as rbc_voxel_reduce says, with a leading B when the points have one; empty cells are 0
 *  counts   i32 [.., X, Y, Z] or NULL: points in each cell
 *  dropped  i64 [B], [1] without a batch, or NULL: points outside the grid or not finite
 *  workspace u8 of at least rbc_voxelize_workspace() bytes, 16-byte aligned, same device; may be
 *           NULL where that is 0
 * out, counts, dropped and workspace are contiguous. `origin` and `voxel_size` are rounded to the
 * type computed in. Each axis has fewer than 2^31 cells.
 *
 * Results depend neither on the order of the points nor on the number or order of threads, to the
 * bit; every cloud of a batch gives what it gives alone. For sum and mean that is had by adding
 * integers. On the CPU, with m the number of points in a cell and 2^e the least power of two above
 * the magnitudes of their finite values of a channel, values are rounded to multiples of
 * 2^(e - bits), bits = min(50, 62 - ceil(log2(m))), and added exactly in int64; f64 features keep
 * `bits` further bits of each value in a second sum. A mean is that sum divided by m, and the
 * result is rounded to f64, then to f32 and then to a half type. So before rounding a sum is off by
 * at most m * 2^(e - bits - 1) (f64: m * 2^(e - 2 * bits - 1)), less than adding in f64 gives. It
 * costs going through a cell's points twice, and twelve bytes of scratch (f64: 24) for each channel
 * of the cells at work. CUDA may take 2^e and m over the whole cloud.
 *
 * A feature that is NaN makes its channel of the cell NaN. Infinities: a sum or mean with both
 * signs is NaN, else the infinity. For max and min -0 is less than +0; a sum
 * of zeros is +0. A NaN result is the quiet
 * NaN with sign and payload zero.
 *
 * INVALID_ARGUMENT, UNSUPPORTED, DEVICE. */
RBC_API rbc_status rbc_voxelize(rbc_context *context, const DLTensor *points,
                                const DLTensor *features, const DLTensor *lengths,
                                const rbc_voxelize_params *params, const DLTensor *out,
                                const DLTensor *counts, const DLTensor *dropped,
                                const DLTensor *workspace, void *stream, rbc_error *err);

/* Bytes of scratch memory that the same call of rbc_voxelize() needs. */
RBC_API rbc_status rbc_voxelize_workspace(rbc_context *context, const DLTensor *points,
                                          const DLTensor *features,
                                          const rbc_voxelize_params *params, uint64_t *bytes,
                                          rbc_error *err);

/* ---- Sparse ---- */

/* Whose conventions a sparse voxelization follows. `p` is a point, `o` the origin, `v` the voxel
 * size, each by axis; "own type" is that of the points, f16 and bf16 widened to f32. Origins and
 * scales taken from a cloud look at its finite points alone. */
typedef enum rbc_voxel_preset {
    /* rbc_voxelize(): floor((p - o) / v) in own type, in [0, grid_size). Default origin as there.
     * Coordinates xyz; voxels ascending by x, then y, then z. */
    RBC_VOXEL_PRESET_ROBOCACHE = 0,
    /* mmcv.ops.Voxelization on the CPU, hard (voxels, coordinates, counts) and dynamic
     * (point_coordinates): floor((p - o) / v) in own type, o and v first rounded to f32, in
     * [0, grid_size); the caller rounds (upper - o) / v to grid_size as mmcv does. Coordinates zyx;
     * voxels in the order of their first point. */
    RBC_VOXEL_PRESET_MMCV = 1,
    /* spconv 2 PointToVoxel on the CPU: as MMCV. */
    RBC_VOXEL_PRESET_SPCONV = 2,
    /* open3d.ml ops.voxelize: trunc((p - o) * (1 / v)) in own type where o <= p <= upper, both ends
     * included; grid_size is not used. Coordinates xyz; voxels ascending by z, then y, then x. A
     * point on the upper bound may be in the cell beyond the last, which Open3D's linear index
     * confuses with a cell of the next row and RoboCache keeps apart. */
    RBC_VOXEL_PRESET_OPEN3D_VOXELIZE = 3,
    /* open3d.geometry.PointCloud.voxel_down_sample (features: the points, reduced by mean) and
     * VoxelGrid.create_from_point_cloud (features: the colours): floor((p - o) / v) in f64, no
     * bounds, o = (least p of the cloud) - v / 2 unless an origin is given. Coordinates xyz; voxels
     * ascending by x, then y, then z, where Open3D has the order of a hash table. */
    RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE = 4,
    /* kaolin.ops.conversions.pointclouds_to_voxelgrids: round to nearest even of
     * ((p - o) / scale) * (grid_size - 1) in own type, in [0, grid_size); default o = least p of
     * the cloud, default scale = greatest of (p - o) over points and axes; voxel_size is not used.
     * Coordinates xyz; voxels ascending by x, then y, then z. */
    RBC_VOXEL_PRESET_KAOLIN = 5,
} rbc_voxel_preset;

typedef struct rbc_voxelize_sparse_params {
    size_t struct_size;
    rbc_voxel_preset preset;
    rbc_voxel_reduce reduce; /* sum, mean, max or min of the features; count without features */
    int64_t grid_size[3];    /* 0, 0, 0: no bounds (ROBOCACHE with an origin; OPEN3D_DOWN_SAMPLE) */
    double voxel_size[3];
    double origin[3]; /* used when has_origin; required by MMCV, SPCONV, OPEN3D_VOXELIZE */
    double upper[3];  /* OPEN3D_VOXELIZE alone */
    double scale;     /* KAOLIN alone; 0: taken from the cloud */
    int32_t has_origin;
    int64_t max_points; /* kept of each voxel, the first in point order; 0: all */
} rbc_voxelize_sparse_params;

#define RBC_VOXELIZE_SPARSE_PARAMS_INIT                                                            \
    {.struct_size = sizeof(rbc_voxelize_sparse_params),                                            \
     .preset = RBC_VOXEL_PRESET_ROBOCACHE,                                                         \
     .reduce = RBC_VOXEL_MEAN,                                                                     \
     .grid_size = {0, 0, 0},                                                                       \
     .voxel_size = {0, 0, 0},                                                                      \
     .origin = {0, 0, 0},                                                                          \
     .upper = {0, 0, 0},                                                                           \
     .scale = 0,                                                                                   \
     .has_origin = 0,                                                                              \
     .max_points = 0}

/* Where rbc_voxelize_sparse() writes. All are contiguous and have a leading B when the points have
 * one; M is the greatest number of voxels, K = max_points, rows past num_voxels are padding. Any
 * but `coordinates` may be NULL. */
typedef struct rbc_voxelize_sparse_outputs {
    size_t struct_size;
    const DLTensor *coordinates;       /* i32 [.., M, 3], in the preset's axis order; padding -1 */
    const DLTensor *num_voxels;        /* i32 [B] or [1]: voxels written, at most M */
    const DLTensor *counts;            /* i32 [.., M]: points kept; padding 0 */
    const DLTensor *features;          /* [.., M, F]: the points kept, reduced; padding 0 */
    const DLTensor *voxels;            /* [.., M, K, F]: features of the points kept; padding 0 */
    const DLTensor *point_indices;     /* i32 [.., M, K]: which points; padding -1 */
    const DLTensor *point_to_voxel;    /* i32 [.., N]: voxel of each point, kept in it or not; -1:
                                          dropped, past `lengths`, or its voxel was beyond M */
    const DLTensor *point_coordinates; /* i32 [.., N, 3]: cell of each point as in `coordinates`;
                                          -1, -1, -1: dropped or past `lengths` */
    const DLTensor *dropped;           /* i64 [B] or [1]: points outside the bounds, not finite, or
                                          in a cell beyond int32 */
    const DLTensor *origins;           /* f64 [B, 3] or [3]: the origin used */
} rbc_voxelize_sparse_outputs;

#define RBC_VOXELIZE_SPARSE_OUTPUTS_INIT                                                           \
    {.struct_size = sizeof(rbc_voxelize_sparse_outputs),                                           \
     .coordinates = NULL,                                                                          \
     .num_voxels = NULL,                                                                           \
     .counts = NULL,                                                                               \
     .features = NULL,                                                                             \
     .voxels = NULL,                                                                               \
     .point_indices = NULL,                                                                        \
     .point_to_voxel = NULL,                                                                       \
     .point_coordinates = NULL,                                                                    \
     .dropped = NULL,                                                                              \
     .origins = NULL}

/* Finds the cells that hold points. Inputs and sums are those of rbc_voxelize(); features have the
 * dtype of `features` and `voxels`. Voxels in ascending order, their counts and reduced features do
 * not depend on the order of the points unless max_points or M cuts; nothing ever depends on
 * threads. Voxels beyond M in the preset's order are left out.
 * INVALID_ARGUMENT, UNSUPPORTED, DEVICE. */
RBC_API rbc_status rbc_voxelize_sparse(rbc_context *context, const DLTensor *points,
                                       const DLTensor *features, const DLTensor *lengths,
                                       const rbc_voxelize_sparse_params *params,
                                       const rbc_voxelize_sparse_outputs *outputs,
                                       const DLTensor *workspace, void *stream, rbc_error *err);

/* Bytes of scratch memory that the same call of rbc_voxelize_sparse() needs. */
RBC_API rbc_status rbc_voxelize_sparse_workspace(rbc_context *context, const DLTensor *points,
                                                 const DLTensor *features,
                                                 const rbc_voxelize_sparse_params *params,
                                                 const rbc_voxelize_sparse_outputs *outputs,
                                                 uint64_t *bytes, rbc_error *err);

/* ---- Depth images ---- */

/* How a depth image becomes points. The camera looks along +z with x to the right and y down; depth
 * is the z coordinate, not the length of the ray. Pixel (u, v), column and row, is at
 *     z = depth * depth_scale;  x = ((u + pixel_offset - cx) / fx) * z;  y likewise
 * and then, with a pose, at ((r0 * x + r1 * y) + r2 * z) + t by row, all in f32, each operation
 * rounded. A pixel is invalid where z is not finite, is <= min_depth or is > max_depth. */
typedef struct rbc_depth_params {
    size_t struct_size;
    double depth_scale; /* metres for one unit of the image */
    double min_depth;   /* metres; at least 0, so that 0 and negative depths are invalid */
    double max_depth;   /* metres; may be infinite */
    double
        pixel_offset; /* 0: the first pixel's centre is (0, 0) (OpenCV, Open3D); 0.5: its corner */
} rbc_depth_params;

#define RBC_DEPTH_PARAMS_INIT                                                                      \
    {.struct_size = sizeof(rbc_depth_params),                                                      \
     .depth_scale = 0.001,                                                                         \
     .min_depth = 0.0,                                                                             \
     .max_depth = 1.0e30,                                                                          \
     .pixel_offset = 0.0}

/* Depth images to points.
 *  depth      [H, W] or [B, H, W], u16, f32 or f64
 *  intrinsics [3, 3] or [B, 3, 3], f32 or f64: fx 0 cx, 0 fy cy, 0 0 1; only those four are read
 *  pose       [4, 4] or [B, 4, 4], f32 or f64, camera to world, or NULL; its last row is not read
 *             and may be left out: [3, 4] or [B, 3, 4]
 *  points     f32, contiguous. Without `lengths` [.., H, W, 3]: every pixel in its place, invalid
 *             ones NaN. With `lengths` [.., H * W, 3]: the valid ones in row order, then NaN
 *  lengths    i32 [B] or [1], or NULL: number of valid points
 * INVALID_ARGUMENT, UNSUPPORTED, DEVICE. */
RBC_API rbc_status rbc_depth_to_points(rbc_context *context, const DLTensor *depth,
                                       const DLTensor *intrinsics, const DLTensor *pose,
                                       const rbc_depth_params *params, const DLTensor *points,
                                       const DLTensor *lengths, void *stream, rbc_error *err);

/* rbc_voxelize() of the points that rbc_depth_to_points() gives, without storing them (on CUDA they
 * pass through the workspace); invalid pixels count as dropped. `features` is [H, W, F] or [B, H,
 * W, F]. The workspace is that of rbc_voxelize_depth_workspace(). */
RBC_API rbc_status rbc_voxelize_depth(rbc_context *context, const DLTensor *depth,
                                      const DLTensor *intrinsics, const DLTensor *pose,
                                      const rbc_depth_params *depth_params,
                                      const DLTensor *features, const rbc_voxelize_params *params,
                                      const DLTensor *out, const DLTensor *counts,
                                      const DLTensor *dropped, const DLTensor *workspace,
                                      void *stream, rbc_error *err);
RBC_API rbc_status rbc_voxelize_depth_workspace(rbc_context *context, const DLTensor *depth,
                                                const DLTensor *features,
                                                const rbc_voxelize_params *params, uint64_t *bytes,
                                                rbc_error *err);

#ifdef __cplusplus
}
#endif
#endif
