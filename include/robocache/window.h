/* What a loader takes of streams: windows around ticks of its clock, and what is made of them. */
#ifndef ROBOCACHE_WINDOW_H
#define ROBOCACHE_WINDOW_H

#include <robocache/image.h>
#include <robocache/resample.h>
#include <robocache/voxelize.h>

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif
#endif
