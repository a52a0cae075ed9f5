/* RoboCache: aligned batches from robot datasets.
 *
 * The C interface of the library: everything Python can do, without Python. Tensors are DLPack's
 * DLTensor; times are int64 nanoseconds unless a tensor of float seconds is passed.
 *
 * Conventions that hold for every function here
 *  - Functions that can fail return rbc_status and take `rbc_error *err` last. `err` may be NULL.
 *    On RBC_OK it is left untouched; otherwise it holds the status and a message that names the
 *    argument, file, byte offset, stream or shape, what was found and what was wanted.
 *  - `create`/`open` functions write a handle through their out-parameter on success and NULL on
 *    failure. `destroy`/`close` take the address of the handle, release it and set it to NULL;
 *    passing the address of NULL is allowed.
 *  - Parameter structs begin with `struct_size` and have an initialiser macro; use it, so that a
 *    program compiled today runs with a later library. A struct_size that is zero or larger than
 *    the library knows is RBC_ERROR_INVALID_ARGUMENT. C++ has the macros, too: since
 *    C++20, and before by an extension of GCC and Clang.
 *  - Strings are UTF-8 and NUL-terminated. Strings returned are borrowed from the object asked and
 *    live as long as it does.
 *  - Handles may be used from any thread. A context, dataset or selection may be used from several
 *    threads at once; a loader has one consumer thread at a time.
 *  - In a child made by fork() contexts, datasets, selections and episodes work, whatever other
 *    threads of the parent were doing; loaders refuse, since their threads are not there. fork()
 *    waits for a call that reads an episode or a catalog to end.
 */
#ifndef ROBOCACHE_ROBOCACHE_H
#define ROBOCACHE_ROBOCACHE_H

#include <dlpack/dlpack.h>
#include <stdint.h>

#include <robocache/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RBC_API __attribute__((visibility("default")))
#else
#define RBC_API
#endif

/* ---- Status and errors ---- */

typedef enum rbc_status {
    RBC_OK = 0,
    RBC_ERROR_INVALID_ARGUMENT = 1, /* a parameter is wrong; the message names it */
    RBC_ERROR_OUT_OF_MEMORY = 2,
    RBC_ERROR_IO = 3,          /* the operating system refused: missing, unreadable, disk full */
    RBC_ERROR_FORMAT = 4,      /* a file's content is damaged or not what its metadata says */
    RBC_ERROR_NOT_FOUND = 5,   /* no such stream, split, episode */
    RBC_ERROR_UNSUPPORTED = 6, /* valid, but this build or device cannot do it */
    RBC_ERROR_CANCELLED = 7,   /* a progress callback or a destroy asked to stop */
    RBC_ERROR_DEVICE = 8,      /* the CUDA driver reported an error; see device_code */
    RBC_ERROR_INTERNAL = 9,    /* a defect in RoboCache */
    RBC_END = 10,              /* not an error: no batch is left in this epoch */
    RBC_TIMEOUT = 11,          /* not an error: nothing was ready within the time given */
} rbc_status;

#define RBC_ERROR_MESSAGE_BYTES 1024

/* Owned by the caller, usually on the stack; needs no initialisation and no release. */
typedef struct rbc_error {
    rbc_status status;
    int32_t device_code; /* CUresult, or errno for RBC_ERROR_IO; 0 where neither applies */
    char message[RBC_ERROR_MESSAGE_BYTES];
} rbc_error;

/* A short constant name such as "invalid argument"; never NULL, whatever the value. */
RBC_API const char *rbc_status_name(rbc_status status);

/* Version of the library that is loaded, "major.minor.patch"; compare with RBC_VERSION_STRING. */
RBC_API const char *rbc_version(void);

/* ---- Context ---------------------------------------------------------------------------------
 * A context owns the thread pool that the CPU backend spreads one operation over, and the choice of
 * instruction set. Operations on one context from several threads at once are serialised only while
 * they share the pool. */

typedef struct rbc_context rbc_context;

/* CPU features, in the order in which kernels are preferred. Bits for rbc_context_params. */
#define RBC_CPU_BASELINE UINT64_C(0)
#define RBC_CPU_AVX2     (UINT64_C(1) << 0) /* AVX2, FMA, F16C, BMI2 */
#define RBC_CPU_AVX512   (UINT64_C(1) << 1) /* AVX-512 F, BW, DQ, VL */
#define RBC_CPU_NEON     (UINT64_C(1) << 2)

typedef struct rbc_context_params {
    size_t struct_size;
    int32_t num_threads;   /* threads an operation may use, the caller's included; 0: all cores */
    uint64_t cpu_features; /* RBC_CPU_* bits that may be used; those not present are ignored */
} rbc_context_params;

#define RBC_CONTEXT_PARAMS_INIT                                                                    \
    {.struct_size = sizeof(rbc_context_params), .num_threads = 0, .cpu_features = UINT64_MAX}

/* `params` may be NULL for the defaults. INVALID_ARGUMENT, OUT_OF_MEMORY, IO (no thread). */
RBC_API rbc_status rbc_context_create(const rbc_context_params *params, rbc_context **out,
                                      rbc_error *err);
RBC_API void rbc_context_destroy(rbc_context **context);

/* RBC_CPU_* bits of this processor, and those the context uses after its mask. */
RBC_API uint64_t rbc_cpu_features(void);
RBC_API uint64_t rbc_context_cpu_features(const rbc_context *context);
RBC_API int32_t rbc_context_num_threads(const rbc_context *context);

/* ---- Operations ------------------------------------------------------------------------------
 * Tensors of one call are all on the CPU or all on one CUDA device; anything else is
 * INVALID_ARGUMENT. `stream` is a CUstream for CUDA tensors (NULL: the legacy default stream) and
 * ignored for CPU tensors; CUDA work is queued on it and nothing synchronises. Outputs are
 * allocated by the caller, must not overlap inputs, each other or themselves, and are fully
 * written. Any strides are taken; arrays whose last axis is contiguous and 16-byte aligned are
 * fastest.
 * Sizes are 64-bit; B, S, T, D or N may be 0. */

typedef enum rbc_resample_mode {
    RBC_RESAMPLE_LINEAR = 0,  /* straight line between the two samples around the target */
    RBC_RESAMPLE_HOLD = 1,    /* the last sample at or before the target: causal */
    RBC_RESAMPLE_NEAREST = 2, /* the closest sample; of two equally close ones the earlier */
    RBC_RESAMPLE_CUBIC = 3,   /* cubic Hermite; the tangent at a knot is the slope of the parabola
                                 through it and its neighbours (numpy.gradient), one-sided at the
                                 ends; knots are the distinct stamps */
    RBC_RESAMPLE_SLERP = 4, /* four channels: quaternions, xyzw or wxyz, shortest arc. Each is taken
                               to unit length, also where it is the output itself; one that has
                               it but for rounding stays as it is, length zero gives NaN */
    RBC_RESAMPLE_ANGLE = 5, /* radians: linear along the shorter way round, result in (-pi, pi] */
    RBC_RESAMPLE_MEAN = 6,  /* over the samples in (previous target, target] */
    RBC_RESAMPLE_MAX = 7,
    RBC_RESAMPLE_MIN = 8,
} rbc_resample_mode;

/* What is written where `valid` is false. */
typedef enum rbc_outside {
    RBC_OUTSIDE_HOLD = 0, /* outside: the end sample; else what the mode gives */
    RBC_OUTSIDE_NAN = 1,  /* float dtypes only */
    RBC_OUTSIDE_ZERO = 2,
    RBC_OUTSIDE_EXTRAPOLATE =
        3, /* the line through the two end samples; every mode must be linear */
} rbc_outside;

/* Channels [begin, end) of a source are resampled by `mode`. Groups must not overlap; channels in
 * no group take the source's own mode. A slerp group has exactly four channels;
 * a source whose own mode is slerp takes its other channels by fours. */
typedef struct rbc_channel_group {
    int64_t begin;
    int64_t end;
    rbc_resample_mode mode;
} rbc_channel_group;

#define RBC_NAN_IS_MISSING (UINT32_C(1) << 0) /* NaN values count as absent samples, by channel */
#define RBC_CHECK_TIMES    (UINT32_C(1) << 1) /* as the CPU always does; on CUDA it waits */

/* One stream of samples to put on a clock.
 *  values  [B, S, D] or [S, D] (B = 1): f32, f16, bf16, f64; u8, i8, i16, i32, i64, bool with hold,
 *          nearest, max and min. f16 and bf16 compute in f32.
 *  times   [B, S] or [S] (shared by the batch): i64 nanoseconds, f64 or f32 seconds, of the same
 *          dtype as the target times; finite and non-decreasing. Of equal stamps the newest (last)
 *          is used.
 *          The CPU checks them and names the first offender. CUDA is memory-safe on any input and
 *          checks with RBC_CHECK_TIMES: the call then waits for the stream, and is UNSUPPORTED
 *          while that is being captured.
 *  lengths [B] i32 or i64, or NULL: only the first lengths[b] samples of row b exist.
 *
 * Each distinct stamp is one sample, the newest of those that carry it, on both sides of a target.
 * A target that equals a stamp gives that sample, bit for bit, in every mode but the reductions.
 * `valid` says whether the samples speak of the target:
 *
 *   target         hold                          nearest and interpolating modes
 *   before first   false                         first within a tolerance that is given
 *   on a stamp     true                          true
 *   between two    they are within max_gap, and  they are within max_gap, and the nearer
 *                  the earlier within tolerance  one within tolerance
 *   behind last    last within both              last within a tolerance that is given
 *
 * A limit that is not given is kept: without limits a hold is valid from its first sample on, for
 * ever. Beyond an end, within the tolerance, the value is the end sample, or the line's under
 * extrapolate. mean, max and min take every sample of an interval, also those that share a stamp,
 * and are valid where it holds one, whatever the limits; where it holds none the value is that of
 * hold. The interval of the first target begins one (target[1] - target[0]) before it, and is
 * everything up to it where there is only one target.
 * With several modes in one source `valid` holds for all of them, while each run of channels (with
 * NaN as missing, each channel or quaternion) is filled where it has no value itself; `dt` speaks
 * of the first channel's. For a source without channels both are what the stamps make of `mode`.
 * max_gap and tolerance are in the unit of the times (nanoseconds or seconds); negative: no limit.
 * A source without samples gives zeros, NaN under RBC_OUTSIDE_NAN. */
typedef struct rbc_resample_source {
    size_t struct_size;
    const DLTensor *values;
    const DLTensor *times;
    const DLTensor *lengths;
    rbc_resample_mode mode;
    rbc_outside outside;
    const rbc_channel_group *groups;
    int32_t num_groups;
    uint32_t flags;
    double max_gap;
    double tolerance;
} rbc_resample_source;

#define RBC_RESAMPLE_SOURCE_INIT                                                                   \
    {.struct_size = sizeof(rbc_resample_source),                                                   \
     .values = NULL,                                                                               \
     .times = NULL,                                                                                \
     .lengths = NULL,                                                                              \
     .mode = RBC_RESAMPLE_LINEAR,                                                                  \
     .outside = RBC_OUTSIDE_HOLD,                                                                  \
     .groups = NULL,                                                                               \
     .num_groups = 0,                                                                              \
     .flags = 0,                                                                                   \
     .max_gap = -1.0,                                                                              \
     .tolerance = -1.0}

/* Resamples one source onto `target_times` ([B, T] or [T]; any order).
 *  out   [B, T, D] ([T, D] where B = 1, as `valid` and `dt` may be [T]), dtype of the values
 *  valid [B, T] bool or u8, or NULL
 *  dt    [B, T] target minus the stamp of the sample used, dtype of the times, or NULL; where no
 *        sample exists it is INT64_MAX or NaN
 * INVALID_ARGUMENT, UNSUPPORTED, DEVICE. */
RBC_API rbc_status rbc_resample(rbc_context *context, const rbc_resample_source *source,
                                const DLTensor *target_times, const DLTensor *out,
                                const DLTensor *valid, const DLTensor *dt, void *stream,
                                rbc_error *err);

/* The adjoint of rbc_resample() with respect to the values, for training through it: adds up what
 * each sample gave to each output.
 *  grad_out    [B, T, D] f32 or f64: the gradient of the output
 *  grad_values [B, S, D] of the same dtype, overwritten whole; it takes the place of
 *              source->values, which is not looked at
 * Modes linear, hold, nearest, cubic, angle and mean, whose output is linear in the values; another
 * is UNSUPPORTED, and so is RBC_NAN_IS_MISSING. Sums are formed in the order of the targets, so
 * they do not depend on the number of threads. INVALID_ARGUMENT, UNSUPPORTED, DEVICE. */
RBC_API rbc_status rbc_resample_backward(rbc_context *context, const rbc_resample_source *source,
                                         const DLTensor *target_times, const DLTensor *grad_out,
                                         const DLTensor *grad_values, void *stream, rbc_error *err);

/* Resamples N sources onto the same target times and writes them side by side, in one pass.
 * Sources share B and the dtype of values and times and differ in all else.
 *  out   [B, T, D0 + D1 + ...]
 *  valid [B, T, N] bool or u8, or NULL */
RBC_API rbc_status rbc_fuse(rbc_context *context, const rbc_resample_source *sources,
                            int32_t num_sources, const DLTensor *target_times, const DLTensor *out,
                            const DLTensor *valid, void *stream, rbc_error *err);

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

/* How a JPEG's frequencies become pixels. Accurate is what libjpeg-turbo, and with it Pillow,
 * OpenCV and torchvision, do unless told otherwise; fast is what TensorFlow does. Each is the same
 * to the bit as theirs where the library has the same version. */
typedef enum rbc_jpeg_dct {
    RBC_JPEG_DCT_DEFAULT = 0, /* of a dataset: accurate; of a loader: that of its dataset */
    RBC_JPEG_DCT_ACCURATE = 1,
    RBC_JPEG_DCT_FAST = 2,
} rbc_jpeg_dct;

/* Encoded images whose headers were read: what rbc_decode_jpeg() decodes. Not changed by decoding,
 * which may be done any number of times, by one thread at a time. */
typedef struct rbc_jpeg_batch rbc_jpeg_batch;

typedef struct rbc_jpeg_params {
    size_t struct_size;
    int64_t height, width; /* that every image must have; 0, 0: whatever it has */
    int32_t channels;      /* 1: grey, 3: RGB, whatever the image is; 0: as many as it has */
    rbc_jpeg_dct dct;
} rbc_jpeg_params;

#define RBC_JPEG_PARAMS_INIT                                                                       \
    {.struct_size = sizeof(rbc_jpeg_params),                                                       \
     .height = 0,                                                                                  \
     .width = 0,                                                                                   \
     .channels = 0,                                                                                \
     .dct = RBC_JPEG_DCT_DEFAULT}

/* Reads the headers of `count` streams, bytes[i] of num_bytes[i] in host memory, on the context's
 * threads. The bytes are borrowed for as long as the batch lives. What is wrong with an image is no
 * error here: rbc_jpeg_batch_info() and rbc_decode_jpeg() say it. INVALID_ARGUMENT, OUT_OF_MEMORY.
 */
RBC_API rbc_status rbc_jpeg_batch_create(rbc_context *context, const void *const *bytes,
                                         const uint64_t *num_bytes, int64_t count,
                                         const rbc_jpeg_params *params, rbc_jpeg_batch **out,
                                         rbc_error *err);
/* The same of image i being data[offsets[i]:offsets[i + 1]] of a contiguous tensor u8 [N]; `offsets`
 * are [count + 1], on the host. `data` may be on a CUDA device: then the call waits for `stream`,
 * outputs must be on that device, and the streams are decoded where they lie, so that they must stay
 * as they are until that is done. What is not for the kernels, or has more than 1 KB before its data,
 * is copied to the host. Also UNSUPPORTED: `stream` is being captured. DEVICE. */
RBC_API rbc_status rbc_jpeg_batch_create_from(rbc_context *context, const DLTensor *data,
                                              const int64_t *offsets, int64_t count,
                                              const rbc_jpeg_params *params, void *stream,
                                              rbc_jpeg_batch **out, rbc_error *err);
RBC_API void rbc_jpeg_batch_destroy(rbc_jpeg_batch **batch);
RBC_API int64_t rbc_jpeg_batch_size(const rbc_jpeg_batch *batch);

typedef struct rbc_jpeg_info {
    int64_t height, width; /* 0 where no header could be read */
    int32_t channels;      /* of the pixels wanted */
    rbc_status status;     /* OK: worth decoding; else why not: FORMAT, UNSUPPORTED; NOT_FOUND for
                              an index outside the batch */
    int32_t on_cpu;        /* libjpeg-turbo decodes it whatever the backend */
} rbc_jpeg_info;
RBC_API void rbc_jpeg_batch_info(const rbc_jpeg_batch *batch, int64_t index, rbc_jpeg_info *out);

/* Bytes of scratch memory that rbc_decode_jpeg() needs for tensors on `device`. */
RBC_API rbc_status rbc_decode_jpeg_workspace(rbc_context *context, rbc_jpeg_batch *batch,
                                             DLDevice device, uint64_t *bytes, rbc_error *err);

/* Decodes a batch. Pixels are those of libjpeg-turbo with smooth upsampling, to the bit, on every
 * backend; EXIF orientation is not applied. An image of which the library would warn is damaged.
 *  outs      one tensor u8 [B, height, width, channels] or B tensors u8 [height, width, channels],
 *            all on one device, contiguous; an image that cannot be decoded becomes zeros
 *  valid     [B] bool or u8: whether each could be; or NULL: then the first that could not is the
 *            error of the call, which on CUDA waits for the stream and is UNSUPPORTED while that is
 *            captured
 *  workspace u8 of at least rbc_decode_jpeg_workspace() bytes, 16-byte aligned, same device; may be
 *            NULL where that is 0
 * On CUDA streams on the host are copied when the call is made, and kernels decode sequential
 * Huffman-coded images of 8 bits. Others (progressive, arithmetic, with markers out of order) are
 * decoded by the context's threads during the call, and copied. A captured call decodes
 * the same streams when it is replayed. INVALID_ARGUMENT, FORMAT, UNSUPPORTED, OUT_OF_MEMORY,
 * DEVICE. */
RBC_API rbc_status rbc_decode_jpeg(rbc_context *context, rbc_jpeg_batch *batch,
                                   const DLTensor *const *outs, int64_t num_outs,
                                   const DLTensor *valid, const DLTensor *workspace, void *stream,
                                   rbc_error *err);

/* ---- Datasets --------------------------------------------------------------------------------
 * A dataset is a folder of files in a format RoboCache knows, and the catalog that says where each
 * step of each stream lies in them. */

typedef struct rbc_dataset rbc_dataset;

/* Called from the thread that opened or indexed, a few times a second. Return non-zero to stop:
 * what is indexed so far stays and the next call goes on from there. */
typedef struct rbc_progress {
    int64_t files_done, files_total;
    int64_t bytes_done, bytes_total;
    int64_t episodes; /* catalogued so far */
} rbc_progress;
typedef int (*rbc_progress_fn)(const rbc_progress *progress, void *user);

/* Called about twenty times a second from the thread that called, by what may take long. Return
 * non-zero to end the call with CANCELLED. */
typedef int (*rbc_interrupt_fn)(void *user);

typedef enum rbc_on_error {
    RBC_ON_ERROR_RAISE = 0, /* the first damaged record or sample ends the call with its error */
    RBC_ON_ERROR_SKIP = 1,  /* it is left out, counted and listed */
    RBC_ON_ERROR_MASK = 2,  /* loaders: its row stays, with nothing in it: all masks false; counted
                               and listed */
} rbc_on_error;

/* What one image may ask for, in the whole process; an image beyond is FORMAT before memory is had
 * or time spent for it. A progressive JPEG goes over all of its pixels once a scan, so that a small
 * file could ask for minutes. */
typedef struct rbc_image_limits {
    size_t struct_size;
    int64_t max_pixels;      /* height times width */
    int64_t max_scans;       /* of a JPEG, at most 500; encoders make about ten */
    int64_t max_scan_pixels; /* of a JPEG: pixels times scans */
} rbc_image_limits;

#define RBC_IMAGE_LIMITS_INIT                                                                      \
    {.struct_size = sizeof(rbc_image_limits),                                                      \
     .max_pixels = INT64_C(1) << 28,                                                               \
     .max_scans = 64,                                                                              \
     .max_scan_pixels = INT64_C(1) << 31}

/* Any time, from any thread; images decoded from then on are held to them. INVALID_ARGUMENT: a
 * limit below 1, or more than 500 scans. */
RBC_API rbc_status rbc_image_limits_set(const rbc_image_limits *limits, rbc_error *err);
RBC_API void rbc_image_limits_get(rbc_image_limits *out);

/* Files that are compressed as a whole and are about to be unpacked. */
typedef struct rbc_unpack_plan {
    const char *folder; /* that they go to */
    int64_t num_files;
    int64_t packed_bytes;
    int64_t unpacked_bytes; /* at least: the ends of gzip files say it, of the last member, modulo
                               4 GiB */
    int64_t num_unsaid;     /* files that do not say it, which count as none */
    int64_t free_bytes;     /* in the folder */
} rbc_unpack_plan;

/* On the thread that called, before the first is unpacked. Return non-zero to end with CANCELLED. */
typedef int (*rbc_unpack_fn)(const rbc_unpack_plan *plan, void *user);

typedef struct rbc_open_params {
    size_t struct_size;
    const char *catalog_path; /* NULL: "<dataset>/.robocache.sqlite", or, where that cannot be
                                 written or used, <hash>.sqlite in $ROBOCACHE_CACHE,
                                 $XDG_CACHE_HOME/robocache or ~/.cache/robocache */
    int32_t num_threads;      /* for indexing; 0: all cores */
    int32_t rebuild;          /* non-zero: make the catalog anew, whatever it holds; a file that is
                                 no catalog is left alone all the same */
    rbc_on_error on_error;    /* what a damaged record does to indexing */
    double control_rate_hz;   /* of data without time stamps; 0: what the format or table says */
    rbc_progress_fn progress;
    void *progress_user;
    rbc_jpeg_dct jpeg_dct;     /* of episodes, and of loaders that do not say */
    const char *unpack_folder; /* where RLDS files that are compressed as a whole (gzip, zlib) are
                                  unpacked to; NULL: they are FORMAT, whatever on_error says */
    rbc_unpack_fn unpacking;   /* NULL: nobody is told */
    void *unpacking_user;
} rbc_open_params;

#define RBC_OPEN_PARAMS_INIT                                                                       \
    {.struct_size = sizeof(rbc_open_params),                                                       \
     .catalog_path = NULL,                                                                         \
     .num_threads = 0,                                                                             \
     .rebuild = 0,                                                                                 \
     .on_error = RBC_ON_ERROR_RAISE,                                                               \
     .control_rate_hz = 0.0,                                                                       \
     .progress = NULL,                                                                             \
     .progress_user = NULL,                                                                        \
     .jpeg_dct = RBC_JPEG_DCT_DEFAULT,                                                             \
     .unpack_folder = NULL,                                                                        \
     .unpacking = NULL,                                                                            \
     .unpacking_user = NULL}

/* Opens a dataset, indexing what is new or changed since last time (file size, mtime). At once when
 * nothing is. A call that fails, is cancelled or killed leaves the catalog that there was, and what
 * it had indexed for the next call to go on with, in the folder "<catalog>.partial"; the finished
 * catalog is the same to the byte. While another process indexes, the call waits, calling
 * `progress`. With on_error skip damaged records, and files that cannot be read, are left out and
 * listed; such a catalog is refused with on_error raise. A catalog may be anybody's and is trusted
 * in nothing. In the dataset's folder one that is not RoboCache's, damaged or of a later version is
 * left alone, and one in the cache is used instead: see catalog_passed_over. One given by path is
 * FORMAT then, and INVALID_ARGUMENT where it is that of another dataset; it is replaced only with
 * rebuild, and only where it is RoboCache's. With unpack_folder a
 * file that is compressed as a whole is unpacked, once, to "<folder>/<name>/<version>/<file>" (a "/"
 * in it is "%2F"), with a note "<file>.unpacked" beside it: unpacking is refused where the disk would
 * be left with less than 64 MiB, and ends with FORMAT for a file that unpacks to more than 64 MiB and
 * 256 times its size. From then on it is found where it lies, with or without unpack_folder; NOT_FOUND
 * where it is gone. NOT_FOUND, IO, FORMAT (damaged records), UNSUPPORTED
 * (no reader knows the files), CANCELLED. */
RBC_API rbc_status rbc_dataset_open(const char *path, const rbc_open_params *params,
                                    rbc_dataset **out, rbc_error *err);
/* Objects made from the dataset keep it alive; closing drops the caller's own hold. */
RBC_API void rbc_dataset_close(rbc_dataset **dataset);

typedef struct rbc_dataset_info {
    const char *name;    /* the dataset's own, "bridge_dataset" */
    const char *version; /* "1.0.0" or "" */
    const char *format;  /* "rlds" */
    const char *path;    /* absolute */
    const char *catalog_path;
    const char
        *catalog_passed_over; /* why the one in the dataset's folder is not used, or that one of
                                        an earlier version was made anew, in words; NULL: it is,
                                        there was none, or it cannot be written */
    double control_rate_hz;   /* 0: unknown */
    int64_t num_episodes;
    int64_t num_steps;
    int64_t num_bytes; /* of the data files, as far as the format tells their sizes */
    int64_t num_files;
    int64_t num_skipped; /* damaged records left out, see rbc_dataset_skipped() */
    int32_t num_streams;
    int32_t num_splits;
    int64_t num_tasks;
} rbc_dataset_info;

RBC_API void rbc_dataset_get_info(const rbc_dataset *dataset, rbc_dataset_info *out);

typedef enum rbc_stream_kind {
    RBC_STREAM_NUMERIC = 0, /* dense values, one of `shape` a sample */
    RBC_STREAM_IMAGE = 1,   /* encoded images; shape [H, W, C], -1 where not declared */
    RBC_STREAM_TEXT = 2,    /* one UTF-8 string a sample */
} rbc_stream_kind;

#define RBC_STREAM_MAX_DIMS 8

typedef struct rbc_stream_info {
    const char *name; /* "observation/state" */
    rbc_stream_kind kind;
    DLDataType dtype;  /* of one decoded element */
    int32_t is_ragged; /* non-zero: a step holds any number of samples. With `times` this is a
                          stream on a clock of its own; without, each step is one sample of variable
                          first extent, such as a point cloud */
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of one sample; -1: not declared */
    const char *encoding;               /* "", "jpeg", "png" */
    const char *times;       /* name of the int64 ns stream with this one's stamps, or NULL */
    double rate_hz;          /* control rate, or measured over the first episode; 0: unknown */
    const char *unsupported; /* why its samples cannot be read, or NULL */
    const char *unit;        /* of its values, UTF-8 of at most 32 bytes, "m"; "": not said */
    double scale, offset;    /* value = scale * stored + offset; 1 and 0: they are the same. Numeric
                                streams are delivered as values. Images are delivered as stored, and
                                who wants values multiplies them, on the GPU for instance */
} rbc_stream_info;

/* NOT_FOUND / INVALID_ARGUMENT when there is no such stream. */
RBC_API rbc_status rbc_dataset_stream(const rbc_dataset *dataset, int32_t index,
                                      rbc_stream_info *out, rbc_error *err);
RBC_API rbc_status rbc_dataset_find_stream(const rbc_dataset *dataset, const char *name,
                                           int32_t *index, rbc_error *err);

typedef struct rbc_split_info {
    const char *name;
    int64_t num_episodes;
    int64_t num_steps;
} rbc_split_info;
RBC_API rbc_status rbc_dataset_split(const rbc_dataset *dataset, int32_t index, rbc_split_info *out,
                                     rbc_error *err);

/* Text of task `index` in [0, num_tasks), and how many episodes have it. Borrowed until the next
 * call on the same thread. */
RBC_API rbc_status rbc_dataset_task(const rbc_dataset *dataset, int64_t index, const char **text,
                                    int64_t *num_episodes, rbc_error *err);

/* Record `index` in [0, num_skipped) left out of the catalog, as the error message it caused. */
RBC_API rbc_status rbc_dataset_skipped(const rbc_dataset *dataset, int64_t index,
                                       const char **message, rbc_error *err);

/* A file that is not what the catalog was made of. */
typedef enum rbc_file_problem_kind {
    RBC_FILE_MISSING = 0,
    RBC_FILE_CHANGED = 1,    /* other size or bytes, or written to since the dataset was opened */
    RBC_FILE_UNREADABLE = 2, /* it is there, but cannot be opened or read, or is no file */
} rbc_file_problem_kind;

typedef struct rbc_file_problem {
    rbc_file_problem_kind kind;
    const char *path;    /* absolute */
    const char *message; /* names the file, what was found and what was wanted */
} rbc_file_problem;

/* Borrowed for the call, on the thread that called. Return non-zero to end with CANCELLED. */
typedef int (*rbc_file_problem_fn)(const rbc_file_problem *problem, void *user);

typedef struct rbc_verify_report {
    int64_t num_files;   /* looked at */
    int64_t num_bytes;   /* that those have which could be opened */
    int64_t num_unsized; /* files of which the catalog knows no size: that they open is all */
    int64_t num_problems;
} rbc_verify_report;

/* Looks at every file that the catalog names, which opening does for those alone that are a part
 * each. A part's own file is held to its size, to the time of change that it had when the dataset
 * was opened, and to a digest of its first and last 4 KiB; a column file to a digest of all of it;
 * any other to its size, where the format told it. `problem` (NULL: they are counted only) is told
 * of each that is missing, changed or unreadable, in the dataset's order; `interrupt` (NULL
 * allowed) may end it. One descriptor at a time. OK whatever the files are like; IO where
 * descriptors run short, CANCELLED. */
RBC_API rbc_status rbc_dataset_verify(rbc_dataset *dataset, rbc_file_problem_fn problem,
                                      rbc_interrupt_fn interrupt, void *user,
                                      rbc_verify_report *out, rbc_error *err);

/* ---- Selections: which episodes ---- */

typedef struct rbc_selection rbc_selection;

/* Episodes of `split` (NULL: all) for which the SQL expression `where` (NULL: all) holds, in the
 * dataset's order. Columns: id, split, task, num_steps, bytes, file, record, and `task MATCH
 * 'word'` for full-text search. The expression is run on a read-only connection that admits only
 * expressions, with texts of at most 64 KiB. `interrupt` (NULL allowed) may end it.
 * INVALID_ARGUMENT with SQLite's own words, NOT_FOUND for an unknown split, CANCELLED. */
RBC_API rbc_status rbc_selection_create(rbc_dataset *dataset, const char *split, const char *where,
                                        rbc_interrupt_fn interrupt, void *user, rbc_selection **out,
                                        rbc_error *err);
/* Those of `selection` for which `where` holds and, with `split`, that are in it. */
RBC_API rbc_status rbc_selection_refine(const rbc_selection *selection, const char *split,
                                        const char *where, rbc_interrupt_fn interrupt, void *user,
                                        rbc_selection **out, rbc_error *err);
/* The episodes ids[0..count), in that order; each must exist. */
RBC_API rbc_status rbc_selection_from_ids(rbc_dataset *dataset, const int64_t *ids, int64_t count,
                                          rbc_selection **out, rbc_error *err);
/* The episodes at positions[0..count) of `selection`, in that order, with what is kept of them. */
RBC_API rbc_status rbc_selection_take(const rbc_selection *selection, const int64_t *positions,
                                      int64_t count, rbc_selection **out, rbc_error *err);

/* Steps [first, end) of an episode. */
typedef struct rbc_step_range {
    int64_t first, end;
} rbc_step_range;

/* The same episodes without the steps that lie in no range: num_ranges[i] of them, one behind the
 * other in `ranges`, are of the episode at position i. The ranges of an episode ascend and do not
 * overlap. Of a selection that keeps some steps only, those in both are kept; episodes of which
 * nothing is kept are left out. A step that is not kept is no sample of a loader, but windows of
 * those beside it reach into it. INVALID_ARGUMENT naming the episode. */
RBC_API rbc_status rbc_selection_keep_steps(const rbc_selection *selection,
                                            const int64_t *num_ranges, const rbc_step_range *ranges,
                                            rbc_selection **out, rbc_error *err);
/* The ranges kept of the episode at `position`, borrowed: `*count` of them. NULL, and 0, where
 * nothing has been left out of any episode, or there is no such position. */
RBC_API const rbc_step_range *rbc_selection_ranges(const rbc_selection *selection, int64_t position,
                                                   int64_t *count);
RBC_API void rbc_selection_destroy(rbc_selection **selection);
RBC_API int64_t rbc_selection_size(const rbc_selection *selection);
/* Those kept, where some are left out. */
RBC_API int64_t rbc_selection_num_steps(const rbc_selection *selection);
RBC_API int64_t rbc_selection_id(const rbc_selection *selection, int64_t index);
RBC_API rbc_dataset *rbc_selection_dataset(const rbc_selection *selection);

/* ---- Episodes ---- */

typedef struct rbc_episode rbc_episode;

typedef struct rbc_episode_info {
    int64_t id;
    int64_t num_steps;
    int64_t duration_ns; /* last minus first stamp of the default reference streams (see the clock
                            of a loader), else of the steps; INT64_MAX at most */
    int64_t bytes;       /* of the record */
    int64_t record;      /* index of the record in its file */
    int64_t offset;      /* byte offset of the record in its file */
    const char *file;    /* relative to the dataset's path */
    const char *split;
    const char *task;     /* "" where there is none */
    const char *metadata; /* JSON object */
} rbc_episode_info;

RBC_API rbc_status rbc_episode_open(rbc_dataset *dataset, int64_t id, rbc_episode **out,
                                    rbc_error *err);
RBC_API void rbc_episode_close(rbc_episode **episode);
RBC_API void rbc_episode_get_info(const rbc_episode *episode, rbc_episode_info *out);

/* Samples of stream `stream` in this episode: num_steps, or, for a ragged stream, the total over
 * the steps. `row_lengths` (int64 [num_steps], or NULL) receives the samples of each step. */
RBC_API rbc_status rbc_episode_count(rbc_episode *episode, int32_t stream, int64_t *num_samples,
                                     int64_t *row_lengths, rbc_error *err);

/* Writes samples [first, first + count) of a numeric or image stream, decoded, to `dst`, C order,
 * dtype of the stream. `dst_bytes` must be exactly count * bytes of a sample; for images of
 * undeclared shape ask rbc_episode_image_shape() first. An empty image (padding) is all zeros. */
RBC_API rbc_status rbc_episode_read(rbc_episode *episode, int32_t stream, int64_t first,
                                    int64_t count, void *dst, uint64_t dst_bytes, rbc_error *err);
/* Stamps of those samples in ns; from the control rate where the stream has no stamps of its own
 * (INVALID_ARGUMENT, asking for one, where that is unknown). */
RBC_API rbc_status rbc_episode_times(rbc_episode *episode, int32_t stream, int64_t first,
                                     int64_t count, int64_t *dst, rbc_error *err);
RBC_API rbc_status rbc_episode_image_shape(rbc_episode *episode, int32_t stream, int64_t sample,
                                           int64_t shape[3], rbc_error *err);
/* The bytes of one sample of a text or image stream as they lie in the file, borrowed until the
 * next call on this episode. Text is checked to be UTF-8. */
RBC_API rbc_status rbc_episode_bytes(rbc_episode *episode, int32_t stream, int64_t sample,
                                     const void **bytes, uint64_t *num_bytes, rbc_error *err);

/* ---- Statistics --------------------------------------------------------------------------------
 * What the values of a stream are like over a selection: counted once, in parallel, in bounded memory
 * whatever their number, and kept beside the catalog for the next time. Nothing that was found
 * depends on the number of threads. */

typedef struct rbc_statistics rbc_statistics;

/* How far counting is, of what had not been kept: episodes whose numbers are read, images decoded.
 * Called before each round of reading, of a few MB, and at the end, from the thread that called.
 * Return non-zero to end the call with CANCELLED. */
typedef struct rbc_statistics_progress {
    int64_t episodes_done, episodes_total;
    int64_t images_done, images_total; /* of all streams of images together */
} rbc_statistics_progress;
typedef int (*rbc_statistics_progress_fn)(const rbc_statistics_progress *progress, void *user);

typedef struct rbc_statistics_params {
    size_t struct_size;
    const char *const *streams; /* [num_streams] of numbers or images */
    int32_t num_streams;
    int32_t num_threads;   /* 0: all cores */
    int64_t num_images;    /* of each stream of images as many are decoded, evenly spaced over the
                              steps of the selection; 0: such a stream is INVALID_ARGUMENT */
    rbc_on_error on_error; /* RAISE, or SKIP: what cannot be read is left out and counted */
    int32_t keep;          /* non-zero: what was kept is taken, and what is computed is kept, in
                              "<catalog>.statistics" or, where that cannot be written, the user's
                              cache. What has something left out is not kept */
    rbc_statistics_progress_fn progress; /* NULL allowed */
    void *user;
} rbc_statistics_params;

#define RBC_STATISTICS_PARAMS_INIT                                                                 \
    {.struct_size = sizeof(rbc_statistics_params),                                                 \
     .streams = NULL,                                                                              \
     .num_streams = 0,                                                                             \
     .num_threads = 0,                                                                             \
     .num_images = 0,                                                                              \
     .on_error = RBC_ON_ERROR_RAISE,                                                               \
     .keep = 1,                                                                                    \
     .progress = NULL,                                                                             \
     .user = NULL}

/* Into out[num_streams], each to be destroyed; NULL all after a failure. NOT_FOUND, UNSUPPORTED
 * (text, undeclared shapes), INVALID_ARGUMENT, FORMAT and IO of the data, CANCELLED,
 * OUT_OF_MEMORY. */
RBC_API rbc_status rbc_statistics_compute(const rbc_selection *selection,
                                          const rbc_statistics_params *params, rbc_statistics **out,
                                          rbc_error *err);
RBC_API void rbc_statistics_destroy(rbc_statistics **statistics);

typedef struct rbc_statistics_info {
    const char *stream; /* its name */
    DLDataType dtype;
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of the channels, C order: one an element of a sample.
                                           Where a sample has more than 4,096 elements, and for
                                           images, one a place along its last axis */
    int64_t num_channels;
    int64_t num_samples; /* images: those decoded */
    int64_t num_episodes;
    int64_t num_skipped;   /* episodes, or images, left out in whole or part */
    const char *problem;   /* the first of these; NULL: none */
    int32_t has_quantiles; /* non-zero where there are at most 128 channels */
    int32_t is_image;
    double rank_error; /* of a quantile at most, as a share of all values; 0: they are exact */
} rbc_statistics_info;

/* What it points to is the statistics' own. */
RBC_API void rbc_statistics_get_info(const rbc_statistics *statistics, rbc_statistics_info *out);

/* Of the finite values of a channel, which are `count`; NaN where there are none. In float64, to
 * which integers beyond 2^53 are rounded. */
typedef struct rbc_statistics_channel {
    int64_t count;
    int64_t num_nan, num_positive_infinite, num_negative_infinite;
    double mean;
    double std; /* of the population: divided by count; 0 exactly where all are the same */
    double min, max;
} rbc_statistics_channel;

/* NOT_FOUND where there is no such channel. */
RBC_API rbc_status rbc_statistics_channel_get(const rbc_statistics *statistics, int64_t channel,
                                              rbc_statistics_channel *out, rbc_error *err);
/* The value below which a share `q` of the finite values lies, between two neighbours along the line,
 * as numpy.quantile() has it; NaN where there are none, or no quantiles. INVALID_ARGUMENT for a
 * share outside 0 to 1. */
RBC_API rbc_status rbc_statistics_quantile(const rbc_statistics *statistics, int64_t channel,
                                           double q, double *out, rbc_error *err);

/* The statistics of all that `num_parts` of them are of together; rank errors add up in proportion,
 * and 3e-5 more where the parts have more values than are kept. INVALID_ARGUMENT unless all are of
 * one dtype and shape. */
RBC_API rbc_status rbc_statistics_merge(const rbc_statistics *const *parts, int64_t num_parts,
                                        rbc_statistics **out, rbc_error *err);

/* As bytes, for another process; *data is released with free(). */
RBC_API rbc_status rbc_statistics_save(const rbc_statistics *statistics, void **data,
                                       uint64_t *bytes, rbc_error *err);
/* FORMAT where they are none. They may be anybody's. */
RBC_API rbc_status rbc_statistics_load(const void *data, uint64_t bytes, rbc_statistics **out,
                                       rbc_error *err);
/* ---- Images --------------------------------------------------------------------------------
 * What training wants of images, in this order: oriented, cropped, resized, mirrored, their colours
 * changed, normalised, as one operation. docs/images.md says what each step means; src/image/image.h
 * the arithmetic, to the bit.
 *
 * uint8 images of 1 channel (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) go through all steps;
 * uint16 and float32 images of 1 channel, depth say, through those that move pixels, and are
 * resized to the nearest pixel alone. */

typedef enum rbc_image_orient {
    RBC_IMAGE_AS_STORED = 0,
    RBC_IMAGE_ROTATE_90 = 1, /* counter-clockwise, as numpy.rot90 and Pillow's ROTATE_90 */
    RBC_IMAGE_ROTATE_180 = 2,
    RBC_IMAGE_ROTATE_270 = 3,
    RBC_IMAGE_FLIP_HORIZONTAL = 4, /* left becomes right */
    RBC_IMAGE_FLIP_VERTICAL = 5,   /* top becomes bottom */
    RBC_IMAGE_TRANSPOSE = 6,       /* rows become columns */
    RBC_IMAGE_TRANSVERSE = 7,      /* the same along the other diagonal */
} rbc_image_orient;

typedef enum rbc_image_crop {
    RBC_IMAGE_CROP_NONE = 0,
    RBC_IMAGE_CROP_CENTER = 1, /* of crop_size pixels, or else of a share of the area */
    RBC_IMAGE_CROP_RANDOM = 2, /* the same at a position that is drawn */
    RBC_IMAGE_CROP_BOX = 3,    /* crop_box */
} rbc_image_crop;

typedef enum rbc_image_filter {
    RBC_IMAGE_FILTER_DEFAULT = 0,  /* bilinear, nearest for depth */
    RBC_IMAGE_FILTER_NEAREST = 1,  /* the three are Pillow's, bit for bit */
    RBC_IMAGE_FILTER_BILINEAR = 2, /* antialiased */
    RBC_IMAGE_FILTER_BICUBIC = 3,  /* antialiased */
} rbc_image_filter;

/* Which images of a loader have what is drawn in common. */
typedef enum rbc_image_share {
    RBC_IMAGE_SHARE_WINDOW = 0, /* those of one window of a sample */
    RBC_IMAGE_SHARE_SAMPLE = 1, /* those of all windows of a sample that share so */
    RBC_IMAGE_SHARE_FRAME = 2,  /* none */
} rbc_image_share;

/* Ranges {low, high} are drawn from uniformly; equal ends are that number. */
typedef struct rbc_image_params {
    size_t struct_size;
    int32_t orient;        /* an rbc_image_orient; what follows is of the oriented image */
    int32_t crop;          /* an rbc_image_crop */
    double crop_scale[2];  /* share of the area, in (0, 1] */
    double crop_aspect[2]; /* width over height, drawn log-uniformly; 0, 0: the image's own. A crop
                              that would not fit is made smaller, with its aspect */
    int32_t crop_size[2];  /* height, width in pixels; 0, 0: crop_scale and crop_aspect */
    int32_t crop_box[4];   /* left, top, right, bottom in pixels; right and bottom are outside */
    int32_t size[2];       /* height, width of the result; 0, 0: that of the crop, which must be
                              fixed */
    int32_t filter;        /* an rbc_image_filter */
    double flip;           /* how likely the image is mirrored, left to right */
    double brightness[2], contrast[2], saturation[2]; /* factors in [0, 4]; 1: as it is */
    double hue[2];          /* turns of the colour circle, in [-0.5, 0.5] */
    int32_t num_mean;       /* 0: not normalised; 1: for all channels, or as many as channels */
    double mean[4], std[4]; /* of values in [0, 1]: (value / 255 - mean) / std */
    DLDataType dtype; /* uint8, float32, float16, bfloat16; bits 0: as the image, float32 where
                              there is a mean. Floats without a mean are value / 255 */
    int32_t channels_first; /* [C, H, W] instead of [H, W, C] */
    int32_t share;          /* an rbc_image_share */
} rbc_image_params;

#define RBC_IMAGE_PARAMS_INIT                                                                      \
    {.struct_size = sizeof(rbc_image_params),                                                      \
     .orient = RBC_IMAGE_AS_STORED,                                                                \
     .crop = RBC_IMAGE_CROP_NONE,                                                                  \
     .crop_scale = {1.0, 1.0},                                                                     \
     .crop_aspect = {0.0, 0.0},                                                                    \
     .crop_size = {0, 0},                                                                          \
     .crop_box = {0, 0, 0, 0},                                                                     \
     .size = {0, 0},                                                                               \
     .filter = RBC_IMAGE_FILTER_DEFAULT,                                                           \
     .flip = 0.0,                                                                                  \
     .brightness = {1.0, 1.0},                                                                     \
     .contrast = {1.0, 1.0},                                                                       \
     .saturation = {1.0, 1.0},                                                                     \
     .hue = {0.0, 0.0},                                                                            \
     .num_mean = 0,                                                                                \
     .mean = {0.0, 0.0, 0.0, 0.0},                                                                 \
     .std = {1.0, 1.0, 1.0, 1.0},                                                                  \
     .dtype = {0, 0, 0},                                                                           \
     .channels_first = 0,                                                                          \
     .share = RBC_IMAGE_SHARE_WINDOW}

/* The key of what is drawn for a frame of a loader: frame number `frame` of the window named `name`
 * of the sample at tick `tick` of episode `episode` (its id), in epoch `epoch` of a loader with seed
 * `seed`. `share` says which of these count: WINDOW leaves out `frame`, SAMPLE `name` as well. */
RBC_API uint64_t rbc_image_key(uint64_t seed, int64_t epoch, int64_t episode, int64_t tick,
                               rbc_image_share share, const char *name, int64_t frame);

/* What rbc_image_apply() makes of images of `dtype` and [height, width, channels]: shape[3] and
 * dtype of one. INVALID_ARGUMENT, UNSUPPORTED: what does not go together, named. */
RBC_API rbc_status rbc_image_output(const rbc_image_params *params, DLDataType dtype,
                                    int64_t height, int64_t width, int64_t channels, int64_t *shape,
                                    DLDataType *out_dtype, rbc_error *err);

/* `images` [B, H, W, C], whose pixels follow each other in a row; `out` [B, h, w, C] or
 * [B, C, h, w], contiguous; keys[i], on the host, decides what is drawn for image i; `workspace` u8
 * of at least rbc_image_workspace() bytes, 16-byte aligned, same device, may be NULL where that is 0.
 * On CUDA the work is queued on `stream`. Errors as above; OUT_OF_MEMORY, DEVICE. */
RBC_API rbc_status rbc_image_apply(rbc_context *context, const rbc_image_params *params,
                                   const DLTensor *images, const uint64_t *keys,
                                   const DLTensor *out, const DLTensor *workspace, void *stream,
                                   rbc_error *err);

/* Bytes of scratch memory that the same call of rbc_image_apply() needs. */
RBC_API rbc_status rbc_image_workspace(rbc_context *context, const rbc_image_params *params,
                                       const DLTensor *images, const uint64_t *keys,
                                       uint64_t *bytes, rbc_error *err);

/* ---- Loader ----------------------------------------------------------------------------------
 * Worker threads fetch, decode and align samples straight into batch slots; batches are delivered
 * in order. A sample is a tick of the clock in an episode. */

typedef struct rbc_loader rbc_loader;
typedef struct rbc_batch rbc_batch;

/* The clock. Tick t of an episode is round(t * 1e9 / rate_hz) ns after its origin, the first stamp
 * of the clock's reference streams, and there are ticks up to the last stamp of these. Reference
 * streams are those named in `clock`, by default those of the action that have stamps ("action" or
 * "actions" is a part of their name); without such, those that have stamps and one sample a step.
 * Without such, the clock is that of the steps, whose first is at the first stamp of any stream, or
 * at 0; or, where nothing lies on the steps or their rate is unknown, of all streams with stamps.
 * Where the clock is that of the steps, or the default, ticks are steps at the control rate.
 *
 * Streams without stamps lie on the steps: step i is round(i * 1e9 / control rate) ns after the
 * first stamp of the default reference streams.
 *
 * It is an error when an epoch has more than ten times the ticks that its steps say, or, where
 * their rate is unknown, that the longest of the reference streams says; rbc_loader_warning() tells
 * of single episodes of which that is true, and of streams that lie outside of the clock
 * altogether.
 *
 * A rate is a fraction: a double within two millionths of n * 1000 / 1001, n a multiple of 24 or 30
 * up to 240, is that one (29.97 means 30000/1001), any other a short fraction that rounds to it.
 *
 * Moments up to `snap_ns` apart, but less than half a period of the clock, are one, so that what
 * was rounded on the way to nanoseconds decides nothing: an offset so near to a whole number of
 * periods is that tick, a stamp so near to a target is at it (of several the newest), a middle
 * between two stamps so near to it is the middle, and limits and the ends of the episode are met by
 * what passes them by no more. */

/* A vector is one field that the windows of several streams fill together. */
typedef enum rbc_vector {
    RBC_VECTOR_NONE = 0,   /* the window has a field of its own, of the stream's shape */
    RBC_VECTOR_BEGINS = 1, /* its stream is the first of a vector, or alone in it */
    RBC_VECTOR_JOINS = 2,  /* its stream follows that of the window before */
} rbc_vector;

/* A tick that is drawn for each sample and epoch, uniformly from those of the episode that lie `first`
 * to `last` ticks, both included, from the sample's own. Where there is none it is the end of the
 * episode that is nearest, and is_pad is true. What it was is the field <name>_step_index.
 *
 * `share` is RBC_IMAGE_SHARE_SAMPLE, and all windows of a sample of the same range that share so have
 * the same tick, or RBC_IMAGE_SHARE_WINDOW, and each has its own. With K = rbc_image_key(seed, epoch,
 * episode, tick, share, the window's name, 0) and n ticks to draw from it is number (R * n) >> 64 of
 * these, R = rbc_image_key(K, first, last, 0x667574757265, RBC_IMAGE_SHARE_SAMPLE, NULL, 0). */
typedef struct rbc_future {
    int32_t first, last;
    int32_t share; /* an rbc_image_share, but not FRAME */
} rbc_future;

/* What a window makes of clouds and of depth images: of each a grid, as rbc_voxelize() and
 * rbc_voxelize_depth() do, to the bit, in the place of its points.
 *
 * A cloud is a sample of [.., N, D] with D at least 3, or, of a ragged stream without stamps, what a
 * step holds of rows [D]: x, y and z of floats, and behind them the D - 3 features that sum, mean, max
 * and min are of; occupancy and count leave those alone. A depth image is a sample of [H, W] or
 * [H, W, 1], of u16, f32 or f64.
 *
 * Where there is no sample, and where outside zero fills, the grid is empty. The field
 * "<name>_dropped", i64 [batch, count], says how many points lay outside of the grid or were not
 * finite, invalid pixels among them. */
typedef struct rbc_voxels {
    size_t struct_size;
    const rbc_voxelize_params *grid;
    const rbc_depth_params *depth; /* samples are depth images; NULL: clouds */
    const double *intrinsics;      /* [9] in rows, with depth: fx 0 cx, 0 fy cy, 0 0 1 */
    const double *pose;            /* [12] in rows, camera to world, with depth; NULL: none */
} rbc_voxels;

#define RBC_VOXELS_INIT                                                                            \
    {.struct_size = sizeof(rbc_voxels),                                                            \
     .grid = NULL,                                                                                 \
     .depth = NULL,                                                                                \
     .intrinsics = NULL,                                                                           \
     .pose = NULL}

/* A window of one stream around the sample's tick. Exactly one of `ticks`, `offsets_ns` and `future`
 * is set; all are relative to the sample's own time.
 *
 * What is delivered, and `valid`, is what rbc_resample() makes of the whole stream at these times,
 * but that mean, max and min are over the period of the clock that ends at a target, whatever the
 * window's other ones, and that outside nan and zero fill what lies outside of the episode, too;
 * what is filled is not valid.
 *
 * Numeric streams take any resample mode; image and text streams hold and nearest; ragged streams
 * without stamps (point clouds) hold and nearest, delivered padded to `max_points`, or as voxels.
 *
 * `scale` and `offset` change what is delivered of numbers, after they are resampled:
 * value * scale + offset, in float64, rounded to the stream's dtype where that is of floats, else to
 * float32 (to half types through float32). What outside nan and zero fill stays NaN and 0, and so do
 * the zeros of a stream that has no sample in the episode.
 *
 * The streams of a vector are one field, [batch, count, D0 + D1 + ...], each sample in C order,
 * whatever its shape. Their windows have the same ticks or offsets and the same `outside`; name and
 * squeeze are the first's. The vector's dtype is that of what is delivered of each: the widest of
 * floats (float32 of float16 and bfloat16), the floats' of floats and integers, the smallest that
 * holds all of integers. It is valid where all of its streams are; outside nan and zero fill all of
 * it. With `pad_to` of its first window it has as many elements, those behind the streams' zeros. */
typedef struct rbc_window {
    size_t struct_size;
    const char *stream;
    const char *name;          /* of the field in the batch; NULL: the stream's name */
    const int32_t *ticks;      /* [count] in periods of the loader's clock */
    const int64_t *offsets_ns; /* [count] */
    int32_t count;
    rbc_resample_mode mode;
    rbc_outside outside;
    const rbc_channel_group *groups;
    int32_t num_groups;
    double max_gap_ns;   /* negative: no limit */
    double tolerance_ns; /* negative: no limit */
    int64_t max_points;  /* 0: not a point cloud */
    int32_t squeeze; /* its fields are [B, ...]: of one tick or offset, without an axis for it */
    int32_t vector;  /* an rbc_vector */
    const rbc_image_params *image; /* what is made of its images; NULL: they are as stored */
    const double *scale;           /* [elements of a sample]; NULL: 1 */
    const double *offset;          /* likewise; NULL: 0 */
    int64_t
        clock_offset_ns; /* added to the stream's stamps, or to the times of its steps; the clock
                                of the episodes stays */
    const rbc_future *future; /* the window's one tick is drawn; NULL: it is not */
    int64_t pad_to; /* of a vector: elements that it has at least; 0: those of its streams */
    const rbc_voxels *voxels; /* what is made of its clouds or depth images; NULL: nothing */
} rbc_window;

#define RBC_WINDOW_INIT                                                                            \
    {.struct_size = sizeof(rbc_window),                                                            \
     .stream = NULL,                                                                               \
     .name = NULL,                                                                                 \
     .ticks = NULL,                                                                                \
     .offsets_ns = NULL,                                                                           \
     .count = 0,                                                                                   \
     .mode = RBC_RESAMPLE_HOLD,                                                                    \
     .outside = RBC_OUTSIDE_HOLD,                                                                  \
     .groups = NULL,                                                                               \
     .num_groups = 0,                                                                              \
     .max_gap_ns = -1.0,                                                                           \
     .tolerance_ns = -1.0,                                                                         \
     .max_points = 0,                                                                              \
     .squeeze = 0,                                                                                 \
     .image = NULL,                                                                                \
     .vector = RBC_VECTOR_NONE,                                                                    \
     .scale = NULL,                                                                                \
     .offset = NULL,                                                                               \
     .clock_offset_ns = 0,                                                                         \
     .future = NULL,                                                                               \
     .pad_to = 0,                                                                                  \
     .voxels = NULL}

/* The positions of an epoch's order are dealt out in batches: row i of batch k of rank r is at
 * position base + (k * world_size + r) * batch_size + i, where base is the position that the epoch
 * was begun at, so that the ranks share out the batches of a run with one rank, and any others can
 * go on where these stopped. What becomes of a last round that is not full: */
typedef enum rbc_remainder {
    /* Every sample once: some ranks have one batch more, and one of them may be smaller. */
    RBC_REMAINDER_UNEVEN = 0,
    /* Ranks have equally many batches of equally many rows: the samples of the last round are dealt
     * out evenly and fewer than world_size are left out; with drop_last, the round is. */
    RBC_REMAINDER_DROP = 1,
    /* The same, but filled up, to full batches with drop_last, with the first samples once more. */
    RBC_REMAINDER_REPEAT = 2,
} rbc_remainder;

/* What is packed, chunks of an array or groups of pictures, is unpacked as a whole: see
 * rbc_loader_memory for how often. */
typedef enum rbc_shuffle {
    RBC_SHUFFLE_NONE = 0,
    RBC_SHUFFLE_GLOBAL = 1, /* over all samples */
    RBC_SHUFFLE_BLOCKS = 2, /* groups of segments of a few blocks each are in random order, and the
                               samples of a group among each other, so that each block is unpacked
                               about once. What is not packed is shuffled globally */
} rbc_shuffle;

/* Where the JPEGs of batches are decoded, and images made of them: pixels are the same. What a device
 * does not decode (see rbc_jpeg_info.on_cpu, and other codecs) is decoded on the CPU and copied. */
typedef enum rbc_jpeg_on {
    RBC_JPEG_ON_AUTO =
        0, /* batches on a device: by the workers as long as that keeps the loader ahead,
                             by the device as far as it does not; on the CPU: there */
    RBC_JPEG_ON_CPU = 1,
    RBC_JPEG_ON_CUDA = 2, /* by the batches' device, which is one of CUDA */
} rbc_jpeg_on;

/* Where the memory that a loader has on a device comes from, such as a framework's allocator. The
 * functions are called from any thread, some while a loader is made and some until its last batch is
 * gone, with the device's context current; they may call whatever they like but the loader's own next,
 * seek and destroy. */
typedef struct rbc_device_allocator {
    size_t struct_size;
    /* At least `bytes`, of an address that is a multiple of 256, which the loader uses on streams of its
     * own once what is queued on `stream` by then is done; `stream` is the same at every call for a
     * device of the process. OUT_OF_MEMORY, DEVICE. */
    rbc_status (*allocate)(void *user, int32_t device_id, uint64_t bytes, void *stream, void **out,
                           rbc_error *err);
    /* Nothing uses the memory any more, on any stream. */
    void (*free)(void *user, int32_t device_id, void *memory);
    void *user;
} rbc_device_allocator;
#define RBC_DEVICE_ALLOCATOR_INIT {.struct_size = sizeof(rbc_device_allocator)}

/* Where the numbers of batches are resampled, scaled and put into their fields. Which samples are taken
 * and where there is a value is found on the CPU. Samples that are delivered as they are stored are
 * copied. Clouds, images and text are not meant. */
typedef enum rbc_align_on {
    RBC_ALIGN_ON_CPU = 0,
    RBC_ALIGN_ON_CUDA = 1, /* by the batches' device, which is one of CUDA */
} rbc_align_on;

typedef struct rbc_loader_params {
    size_t struct_size;
    const rbc_window *windows;
    int32_t num_windows;
    int32_t batch_size;
    double rate_hz;  /* the clock; 0: the dataset's control rate */
    int32_t shuffle; /* an rbc_shuffle */
    uint64_t seed;
    int32_t drop_last;   /* leave out a last batch that is not full */
    int32_t num_threads; /* workers; 0: all cores */
    int32_t num_slots;   /* batches prepared ahead; 0: num_threads + 2, fewer, but at least 3,
                            where those would take more than 512 MiB */
    rbc_on_error on_error;
    int32_t rank, world_size;
    rbc_remainder remainder;
    rbc_jpeg_dct jpeg_dct;
    int64_t snap_ns;            /* moments no further apart than this are one, see above */
    int32_t part, num_parts;    /* of the rank's batches only number part, part + num_parts, ... are
                                   delivered: where processes share out what a rank reads */
    const char *const *clock;   /* [num_clock] streams that the clock is taken from, see above */
    const char *const *require; /* [num_require] streams: only the ticks at which all windows of
                                   these are valid are samples, by their modes and limits */
    int32_t num_clock, num_require;
    int64_t memory_bytes; /* that batches prepared ahead, unpacked blocks, episodes at hand and what
                             is fetched ahead may take together; 0: slots, and 512 MiB for the rest.
                             Batches that are held count on top */
    /* Heard while making the loader reads, on the calling thread; not 0: it ends with CANCELLED
     * within 0.1 s, whatever the store does. NULL: nothing is heard. */
    rbc_interrupt_fn interrupt;
    void *interrupt_user;
    DLDevice device; /* of batches: the CPU, or a CUDA device, see rbc_batch_order() */
    rbc_jpeg_on jpeg;
    /* Not 0, of a device: the tensors of every batch have the same addresses there, so that a graph
     * captured once reads each. rbc_batch_order() copies a batch to them, as work of the first stream
     * that it is given and behind what all streams had that the batch before was ordered for. From then on
     * tensors of earlier batches are those of this one. */
    int32_t fixed_slots;
    const rbc_device_allocator *device_allocator; /* of batches on a device, and of what is made
                                                     there; copied. NULL: the driver's */
    rbc_align_on align;
} rbc_loader_params;

#define RBC_LOADER_PARAMS_INIT                                                                     \
    {.struct_size = sizeof(rbc_loader_params),                                                     \
     .windows = NULL,                                                                              \
     .num_windows = 0,                                                                             \
     .batch_size = 1,                                                                              \
     .rate_hz = 0.0,                                                                               \
     .shuffle = 0,                                                                                 \
     .seed = 0,                                                                                    \
     .drop_last = 0,                                                                               \
     .num_threads = 0,                                                                             \
     .num_slots = 0,                                                                               \
     .on_error = RBC_ON_ERROR_RAISE,                                                               \
     .rank = 0,                                                                                    \
     .world_size = 1,                                                                              \
     .remainder = RBC_REMAINDER_UNEVEN,                                                            \
     .jpeg_dct = RBC_JPEG_DCT_DEFAULT,                                                             \
     .snap_ns = 1000,                                                                              \
     .part = 0,                                                                                    \
     .num_parts = 1,                                                                               \
     .clock = NULL,                                                                                \
     .require = NULL,                                                                              \
     .num_clock = 0,                                                                               \
     .num_require = 0,                                                                             \
     .memory_bytes = 0,                                                                            \
     .interrupt = NULL,                                                                            \
     .interrupt_user = NULL,                                                                       \
     .device = {kDLCPU, 0},                                                                        \
     .jpeg = RBC_JPEG_ON_AUTO,                                                                     \
     .fixed_slots = 0,                                                                             \
     .device_allocator = NULL,                                                                     \
     .align = RBC_ALIGN_ON_CPU}

/* Several datasets in exact proportions. A cycle of the mixture holds `weight` samples of each member;
 * cycles follow each other, across epochs, each in a random order of its own where shuffled. Each
 * member gives its samples in its own order, all of them before any again, and counts its own
 * epochs. Which sample is where follows from the seed and the position alone. */
typedef struct rbc_mixture_member {
    size_t struct_size;
    const char *name; /* in the batches, and for messages; each another */
    const rbc_selection *selection;
    int64_t weight;
    /* What it makes of the fields of a batch, [num_windows], under the same names as the others, in
     * the same shapes and dtypes. One with a name and no stream (NULL): the dataset has nothing for
     * it, and its rows hold zeros there, no text, is_pad and valid false. */
    const rbc_window *windows;
    int32_t num_windows;
    double rate_hz; /* its clock, as those of a loader's params */
    const char *const *clock;
    const char *const *require;
    int32_t num_clock, num_require;
} rbc_mixture_member;

#define RBC_MIXTURE_MEMBER_INIT                                                                    \
    {.struct_size = sizeof(rbc_mixture_member),                                                    \
     .name = NULL,                                                                                 \
     .selection = NULL,                                                                            \
     .weight = 1,                                                                                  \
     .windows = NULL,                                                                              \
     .num_windows = 0,                                                                             \
     .rate_hz = 0.0,                                                                               \
     .clock = NULL,                                                                                \
     .require = NULL,                                                                              \
     .num_clock = 0,                                                                               \
     .num_require = 0}

/* How long an epoch of a mixture lasts. */
typedef enum rbc_epoch {
    RBC_EPOCH_FIRST = 0, /* as many whole cycles as the member that runs out first has samples for,
                              but one at least: no sample comes twice */
    RBC_EPOCH_LAST = 1,  /* until each member has given as many samples as it has */
    RBC_EPOCH_SAMPLES = 2, /* so many samples */
} rbc_epoch;

typedef struct rbc_mixture_params {
    size_t struct_size;
    const rbc_mixture_member *members; /* [num_members] */
    int32_t num_members;
    int32_t epoch; /* an rbc_epoch */
    int64_t epoch_samples;
} rbc_mixture_params;

#define RBC_MIXTURE_PARAMS_INIT                                                                    \
    {.struct_size = sizeof(rbc_mixture_params),                                                    \
     .members = NULL,                                                                              \
     .num_members = 0,                                                                             \
     .epoch = RBC_EPOCH_FIRST,                                                                     \
     .epoch_samples = 0}

/* The loader keeps the selection. INVALID_ARGUMENT naming the parameter, window or stream (also
 * where the control rate is unknown and rate_hz is 0), NOT_FOUND for a stream that is not there,
 * UNSUPPORTED for one that cannot be batched, FORMAT or IO where the first images of a stream of
 * undeclared shape cannot be read, OUT_OF_MEMORY. */
RBC_API rbc_status rbc_loader_create(const rbc_selection *selection,
                                     const rbc_loader_params *params, rbc_loader **out,
                                     rbc_error *err);
/* The same of a mixture; what members say themselves of windows, rate, clock and require is not looked
 * at in `params`. Batches have two fields more: "dataset" (text [B]) and "dataset_index" ([B] int64,
 * the member's number). INVALID_ARGUMENT besides where the fields of two members differ, or a member
 * has no sample. */
RBC_API rbc_status rbc_loader_create_mixture(const rbc_mixture_params *mixture,
                                             const rbc_loader_params *params, rbc_loader **out,
                                             rbc_error *err);
/* Stops the threads, and waits for them for 0.1 s at most: one that hangs in a read ends when that
 * returns. Batches still held stay valid. */
RBC_API void rbc_loader_destroy(rbc_loader **loader);

RBC_API int64_t rbc_loader_num_samples(const rbc_loader *loader); /* of all ranks, one epoch */

/* A dataset that a loader draws from: one, or the members of its mixture. */
typedef struct rbc_loader_member {
    size_t struct_size;
    int64_t num_samples;                     /* of an epoch of its own */
    int64_t segment_samples, group_segments; /* of RBC_SHUFFLE_BLOCKS; 1: a global shuffle */
} rbc_loader_member;
#define RBC_LOADER_MEMBER_INIT {.struct_size = sizeof(rbc_loader_member)}
/* NOT_FOUND past the last, INVALID_ARGUMENT on a bad struct_size. */
RBC_API rbc_status rbc_loader_get_member(const rbc_loader *loader, int32_t index,
                                         rbc_loader_member *out, rbc_error *err);
/* Of this rank, or of its part, in one epoch. */
RBC_API int64_t rbc_loader_num_batches(const rbc_loader *loader);
/* Batches an epoch of the rank, or part, that has most. A round is one batch of each that still has
 * one; an epoch is over, for every rank, after this many. */
RBC_API int64_t rbc_loader_num_rounds(const rbc_loader *loader);

/* Batches of this rank, or part, that are still to come in the epoch under way. */
RBC_API int64_t rbc_loader_batches_left(const rbc_loader *loader);

/* Begins epoch `epoch` at `position`, from 0 to rbc_loader_num_samples(): the samples from there on
 * are dealt out in batches, of which this rank's first is next, or RBC_END where it has none. Work
 * in flight is dropped, unless that epoch is the one after an epoch that was delivered to its end:
 * once a loader has gone on so, it begins the first batches of an epoch before the last of the one
 * before it are delivered. What sample k of an epoch is depends on the selection, the seed and the
 * epoch alone. */
RBC_API rbc_status rbc_loader_seek(rbc_loader *loader, int64_t epoch, int64_t position,
                                   rbc_error *err);

/* Where the loader stands: the epoch, and how many of its samples all ranks together have been
 * given before the round of what rbc_loader_next() returns next; once it has returned RBC_END, or no
 * round is left, the epoch's end, which is rbc_loader_num_samples(). Ranks that have made equally
 * many calls of rbc_loader_next() in an epoch stand at the same position, and rbc_loader_seek()
 * goes on there with any rank, world size, batch size and remainder. Parts do not keep step: a part
 * goes on only as the same part of as many, with the same batch size. In a child made by fork(),
 * where it stood then. */
RBC_API void rbc_loader_tell(const rbc_loader *loader, int64_t *epoch, int64_t *position);

/* The next batch in order, of epoch 0 where rbc_loader_seek() was never called. With on_error skip
 * rows that fail are left out of their batch, which may become empty. RBC_END after the epoch's
 * last; RBC_TIMEOUT after `timeout_ns` (negative: wait for ever). With on_error raise, the error of
 * a sample is returned when its batch is due, and the batch after it is next.
 * A shortage is no fault of a sample: without memory, without a free file descriptor, or where the
 * system fails to read (EMFILE, ENFILE, ENOMEM, EIO, EINTR and their like), nothing is left out,
 * the error is returned whatever on_error says, and the same batch is tried again by the next call.
 * The caller owns one reference to the batch. */
RBC_API rbc_status rbc_loader_next(rbc_loader *loader, int64_t timeout_ns, rbc_batch **out,
                                   rbc_error *err);

typedef enum rbc_field_kind {
    RBC_FIELD_TENSOR = 0,
    RBC_FIELD_TEXT = 1, /* [B] or [B, W] strings, read by rbc_batch_text() */
} rbc_field_kind;

/* Fields: for each window `name`, `name_is_pad` and `name_valid` ([B, W] bool), for point clouds
 * `name_lengths` ([B, W] int64); then "episode_index" (in the selection), "episode_id" (in the
 * dataset), "step_index", "time_ns" ([B] int64) and "task" (text [B]). The tensor's memory belongs
 * to the batch. */
typedef struct rbc_field {
    const char *name;
    rbc_field_kind kind;
    DLTensor tensor; /* for text: shape only, data NULL */
} rbc_field;

/* What rbc_loader_tell() said before this batch. */
RBC_API int64_t rbc_batch_position(const rbc_batch *batch);
RBC_API int32_t rbc_batch_num_fields(const rbc_batch *batch);
RBC_API const rbc_field *rbc_batch_field(const rbc_batch *batch, int32_t index);
RBC_API const char *rbc_batch_text(const rbc_batch *batch, int32_t field, int64_t element,
                                   uint64_t *num_bytes);
/* References may be taken and dropped from any thread; with the last one the slot goes back. */
RBC_API void rbc_batch_retain(rbc_batch *batch);
RBC_API void rbc_batch_release(rbc_batch **batch);
/* Of a batch on a CUDA device, before work that uses its tensors is queued on `stream`: that work
 * comes after the batch is there, and its memory is written again only once all that was queued on the
 * stream is done that was when the last reference went. For each such stream; nobody waits on the
 * host. One thread at a time; does nothing on the CPU. UNSUPPORTED: the stream is being captured;
 * OUT_OF_MEMORY, DEVICE. */
RBC_API rbc_status rbc_batch_order(rbc_batch *batch, void *stream, rbc_error *err);

typedef struct rbc_loader_stats {
    int64_t batches_delivered;
    int64_t samples_delivered;
    int64_t samples_skipped; /* on_error skip: a batch is smaller by the rows it lost */
    int64_t images_decoded;
    int64_t bytes_read;
    int64_t slots;        /* allocated now; more than num_slots + 2: batches are being held */
    int64_t slots_in_use; /* being filled, ready or held; the others wait to be filled again */
    int64_t slots_peak;   /* most that were allocated at a time */
    int64_t slot_bytes;   /* of one slot */
    int64_t wait_ns;      /* the consumer waited for a batch */
    int64_t fetch_ns, decode_ns, align_ns; /* summed over workers */
} rbc_loader_stats;
RBC_API void rbc_loader_get_stats(const rbc_loader *loader, rbc_loader_stats *out);

/* What rows go through on their way into a batch, and a batch on its way to the consumer. */
typedef enum rbc_stage {
    RBC_STAGE_QUEUE = 0,  /* rows wait for a thread: until the first takes them, and once fetched */
    RBC_STAGE_ORDER = 1,  /* which samples, of which episodes, and where they lie */
    RBC_STAGE_READ = 2,   /* reads are waited for, also those of other rows for a shared block */
    RBC_STAGE_UNPACK = 3, /* blocks are unpacked */
    RBC_STAGE_DECODE = 4, /* images and frames are decoded, and made what was asked for */
    RBC_STAGE_ALIGN = 5,  /* numbers are resampled, all is put in place */
    RBC_STAGE_DELIVER = 6, /* the batch is there and the consumer takes it */
} rbc_stage;
#define RBC_NUM_STAGES 7
#define RBC_MAX_STAGES 16 /* that later versions may have */

/* "queue", "order", ...; NULL where there is no such stage. */
RBC_API const char *rbc_stage_name(rbc_stage stage);

/* What a device does for the batches of a loader. */
typedef enum rbc_gpu_work {
    RBC_GPU_COPY = 0,   /* copies to it: streams that it decodes, what is made on the host */
    RBC_GPU_DECODE = 1, /* JPEGs are decoded */
    RBC_GPU_IMAGE = 2,  /* images are made of them */
    RBC_GPU_GRID = 3,   /* points and depth images become grids */
    RBC_GPU_ALIGN = 4,  /* numbers are resampled */
} rbc_gpu_work;
#define RBC_NUM_GPU_WORKS 5
#define RBC_MAX_GPU_WORKS 16 /* that later versions may have */

/* "copy", "decode", ...; NULL where there is no such work. */
RBC_API const char *rbc_gpu_work_name(rbc_gpu_work work);

/* Where the time goes. Arrays are by rbc_stage; what a stage has not is 0. */
typedef struct rbc_loader_stages {
    size_t struct_size;
    int64_t busy_ns[RBC_MAX_STAGES]; /* in each stage, summed over ranges of rows: threads */
    /* How long rbc_loader_next() waited, by the stage that the batch it waited for was in: that
     * of its range of rows that was ready next. They add up to rbc_loader_stats.wait_ns. */
    int64_t wait_ns[RBC_MAX_STAGES];
    int64_t bytes[RBC_MAX_STAGES]; /* read, unpacked, decoded and delivered: what came out */
    int64_t idle_ns;               /* workers had nothing to do, summed: the consumer is slower */
    /* ---- now ---- */
    int32_t waits_for; /* stage of the batch that rbc_loader_next() waits for; -1: it does not */
    int64_t batches_begun;  /* and not delivered */
    int64_t batches_ready;  /* of them, in order, those that need no more than to be taken */
    int64_t ranges_fetched; /* ranges of rows that wait for a worker */
    int32_t num_threads;    /* workers */
    int32_t num_idle;       /* of them, those that have nothing to do */
    int32_t num_fetchers;   /* threads that only fetch; 0 where reading takes no time to speak of */
    int32_t num_idle_fetchers;
    /* ---- decoding on a device, see rbc_jpeg_on ---- */
    int64_t images_on_device; /* of rbc_loader_stats.images_decoded */
    int64_t core_image_ns;    /* that a core is believed to take for one; 0: not measured yet */
    int64_t loop_batch_ns;    /* between a batch and the call for the next, likewise */
    /* By rbc_gpu_work: from when the device began it to when it was done, by its own clock, as far as that
     * has been waited for. Of each worker, which the device does side by side: their sum may be more than
     * the time that passed, and what others do there is part of it. Of the ranges of a worker one of
     * eight is timed behind the first 1,000, and counted eight times. */
    int64_t gpu_ns[RBC_MAX_GPU_WORKS];
} rbc_loader_stages;
#define RBC_LOADER_STAGES_INIT {.struct_size = sizeof(rbc_loader_stages)}
/* From any thread, also while another waits in rbc_loader_next(). INVALID_ARGUMENT on a bad
 * struct_size. All 0 in a child made by fork(). */
RBC_API rbc_status rbc_loader_get_stages(rbc_loader *loader, rbc_loader_stages *out,
                                         rbc_error *err);

/* What a loader holds in memory, and what it unpacks. */
typedef struct rbc_loader_memory {
    size_t struct_size;
    int64_t bound_bytes;   /* params.memory_bytes, or what stands for 0 */
    int64_t slot_bytes;    /* of all slots, those of batches that are held too */
    int64_t episode_bytes; /* layouts, stamps and small streams of episodes at hand */
    int64_t num_episodes;  /* at hand */
    int64_t block_bytes;   /* blocks that are unpacked, and tables of arrays */
    int64_t block_peak_bytes;
    int64_t fetched_bytes; /* fetched ahead; 0 where reading takes no time to speak of */
    int64_t fetched_peak_bytes;
    int64_t blocks_read;    /* and unpacked */
    int64_t blocks_found;   /* were wanted and there */
    int64_t unpack_ns;      /* summed over workers */
    int64_t samples_masked; /* on_error mask */
    /* How often each block is to be unpacked in an epoch, shuffled so; 0: nothing is packed. */
    double unpack_factor_global, unpack_factor_blocks;
    int64_t segment_samples, group_segments; /* of RBC_SHUFFLE_BLOCKS; 1: a global shuffle */
    int32_t is_split;      /* threads of their own fetch, since reading takes its time */
    int64_t decoder_bytes; /* decoders of video, about; part of what blocks may take */
    int64_t decoder_peak_bytes;
    int64_t num_decoders;     /* that have been opened */
    int64_t pictures_decoded; /* of video, those that were only needed for others too */
    int64_t device_bytes;     /* of slots and of workers that decode there, beside the bound */
    int64_t pinned_bytes; /* of the host: slot_bytes, where batches are on a device, and workers' */
} rbc_loader_memory;
#define RBC_LOADER_MEMORY_INIT {.struct_size = sizeof(rbc_loader_memory)}
/* INVALID_ARGUMENT on a bad struct_size. All 0 in a child made by fork(). */
RBC_API rbc_status rbc_loader_get_memory(const rbc_loader *loader, rbc_loader_memory *out,
                                         rbc_error *err);
/* What was found when the loader was made that is no error but hardly meant, copied to `message`;
 * `index` counts from 0. NOT_FOUND past the last. */
RBC_API rbc_status rbc_loader_warning(const rbc_loader *loader, int64_t index, char *message,
                                      uint64_t message_bytes, rbc_error *err);
/* Message `index` in [0, samples_skipped) of the samples left out, copied to `message`; the list
 * keeps the first 1,000. NOT_FOUND past it. */
RBC_API rbc_status rbc_loader_skipped(const rbc_loader *loader, int64_t index, char *message,
                                      uint64_t message_bytes, rbc_error *err);

/* ---- Writing RLDS datasets --------------------------------------------------------------------
 * Episodes into TFRecord shards with the features.json and dataset_info.json that TFDS writes, so
 * that TFDS and RoboCache read them alike. */

typedef struct rbc_rlds_writer rbc_rlds_writer;

/* Streams are described as rbc_dataset_stream() does: name ("observation/state", without "steps/"),
 * kind, dtype, ndim, shape, is_ragged and, for images, encoding ("jpeg" or "png"); the others are
 * not looked at: the stamps of stream "x" are an int64 stream "x_time_ns", scalar,
 * and ragged where "x" is. Extents must be declared; of images they may be -1. Floats of any width
 * are stored as float32, as TFDS does. */
typedef struct rbc_rlds_writer_params {
    size_t struct_size;
    const char *path; /* folder for datasets: files go to <path>/<name>/<version>/, made anew */
    const char *name;
    const char *version;            /* "1.0.0"; NULL means that */
    const char *description;        /* or NULL */
    const rbc_stream_info *streams; /* of the steps */
    int32_t num_streams;
    const rbc_stream_info *metadata; /* of the episode: numeric or text, one sample each */
    int32_t num_metadata;
    uint64_t shard_bytes;   /* a shard that has reached this is followed by another; 0: 256 MiB */
    double control_rate_hz; /* steps a second, stored for readers; 0: nothing is said of it */
    int32_t append;         /* non-zero: a dataset that is there is added to */
} rbc_rlds_writer_params;

#define RBC_RLDS_WRITER_PARAMS_INIT                                                                \
    {.struct_size = sizeof(rbc_rlds_writer_params),                                                \
     .path = NULL,                                                                                 \
     .name = NULL,                                                                                 \
     .version = NULL,                                                                              \
     .description = NULL,                                                                          \
     .streams = NULL,                                                                              \
     .num_streams = 0,                                                                             \
     .metadata = NULL,                                                                             \
     .num_metadata = 0,                                                                            \
     .shard_bytes = 0,                                                                             \
     .control_rate_hz = 0.0,                                                                       \
     .append = 0}

/* The samples of one stream in one episode, or one piece of metadata. Borrowed for the call.
 *  numeric       `values` [n, shape...] on the CPU, of the stream's dtype, any strides; metadata
 *                without the n
 *  image, text   bytes[i] of num_bytes[i], i < num_samples; text must be UTF-8; images must be of
 *                the declared encoding, shape and dtype and are decoded once; one may be empty:
 *                there is none at this step
 * Stamps must not go back, and of a ragged stream there are as many in a step as samples.
 * n is the number of steps, or, for a ragged stream, the sum of row_lengths [num_steps]. */
typedef struct rbc_rlds_data {
    const DLTensor *values;
    const void *const *bytes;
    const uint64_t *num_bytes;
    int64_t num_samples;
    const int64_t *row_lengths; /* NULL unless ragged */
} rbc_rlds_data;

/* Begins a dataset in a folder beside its final place. With `append` a dataset may be there: it
 * must have the same features, its shards are taken over as links, and closing puts the whole in
 * its place, in one step. INVALID_ARGUMENT, IO, OUT_OF_MEMORY. */
RBC_API rbc_status rbc_rlds_writer_create(const rbc_rlds_writer_params *params,
                                          rbc_rlds_writer **out, rbc_error *err);

/* Appends an episode of at least one step to `split`. `streams` [num_streams] and `metadata`
 * [num_metadata] are in the order declared; num_metadata 0 allows NULL. INVALID_ARGUMENT, naming
 * stream and sample, for what a reader would refuse or misread; IO. After any error the episode is
 * not in the dataset, those before it are, and the writer goes on. */
RBC_API rbc_status rbc_rlds_writer_add(rbc_rlds_writer *writer, const char *split,
                                       int64_t num_steps, const rbc_rlds_data *streams,
                                       const rbc_rlds_data *metadata, rbc_error *err);

/* Writes the metadata files, flushes everything to disk and moves the dataset to its place in one
 * step. Destroys the writer, also on failure, and then leaves nothing behind. */
RBC_API rbc_status rbc_rlds_writer_close(rbc_rlds_writer **writer, rbc_error *err);

/* Gives up: removes what has been written. */
RBC_API void rbc_rlds_writer_destroy(rbc_rlds_writer **writer);

#ifdef __cplusplus
}
#endif
#endif
