/* Sources of samples put on a clock: resampled, fused, and the gradient of that. */
#ifndef ROBOCACHE_RESAMPLE_H
#define ROBOCACHE_RESAMPLE_H

#include <robocache/base.h>

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif
#endif
