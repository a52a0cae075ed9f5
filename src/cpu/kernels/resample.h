/* Resampling kernels, compiled once per ISA that gains by it: what stands between the driver in
 * cpu/resample.c and the loops over times and channels. Nothing here allocates, checks, locks or
 * reads a global.
 *
 * Targets are done in tiles. For a tile the driver has the times searched, turns what lies around
 * each target into brackets (which samples, what weights), and has rows of channels made from it.
 */
#ifndef RBC_CPU_KERNELS_RESAMPLE_H
#define RBC_CPU_KERNELS_RESAMPLE_H

#include "backend.h"

enum { RBC__TILE = 64 };         /* targets bracketed at once */
enum { RBC__REDUCE_WIDTH = 64 }; /* channels accumulated at once */

/* Times of one batch row and the tile of its targets that is looked at. */
typedef struct rbc__time_axis {
    const char *times;
    int64_t stride_bytes;
    int64_t num_samples; /* at least 1, but for check_times */
    const char *targets; /* all of the row */
    int64_t targets_stride_bytes;
    int64_t num_targets;
    int64_t first; /* of the tile */
    int64_t count; /* 1 to RBC__TILE */
    double max_gap, tolerance;
    int64_t max_gap_ns, tolerance_ns;
} rbc__time_axis;

/* How a target lies between the samples around it. */
enum {
    RBC__BELOW = 1,        /* before the first sample; left = right = the first */
    RBC__ABOVE = 2,        /* after the last; left = right = the last */
    RBC__EXACT = 4,        /* on the stamp of left */
    RBC__RIGHT_NEARER = 8, /* the sample used by nearest is right, else left */
    RBC__LINE = 16,        /* beyond an end, and left, right and weight are the line's there */
    RBC__WIDE_GAP = 32,    /* left and right are further apart than max_gap */
    RBC__FAR_LEFT = 64,    /* the sample hold uses is further away than the tolerance, or, beyond
                              the ends, than max_gap */
    RBC__FAR = 128,        /* the nearest sample is further away than the tolerance; beyond the ends
                              also when there is none */
};

/* What is done to a row of the output. */
enum {
    RBC__ROW_BLEND = 0, /* from left, right and the weights */
    RBC__ROW_COPY = 1,
    RBC__ROW_FILL = 2,
};

typedef struct rbc__brackets {
    /* After search: the newest sample at or before the target, -1 for none, and the newest of the
     * next stamp, num_samples for none. After weigh: see RBC__BELOW and so on. */
    int64_t left[RBC__TILE], right[RBC__TILE];
    /* Newest samples of the stamps before left and after right, -1 and num_samples for none; only
     * for cubic and extrapolation. */
    int64_t previous[RBC__TILE], next[RBC__TILE];
    double weight[RBC__TILE]; /* (target - left) / (right - left) */
    /* Cubic: left + middle (right - left) + before (left - previous) + after (next - right). */
    double before[RBC__TILE], middle[RBC__TILE], after[RBC__TILE];
    uint8_t flags[RBC__TILE];
    uint8_t kind[RBC__TILE];
    bool is_weighed; /* search has done what weigh would: flags, their union and weight */
    uint8_t all_flags;
} rbc__brackets;

/* Rows of one run of channels: `values` and `out` point at its first channel, `out` at the tile's
 * first target. */
typedef struct rbc__resample_rows {
    const char *values;
    int64_t sample_stride_bytes, channel_stride_bytes;
    char *out;
    int64_t out_target_stride_bytes, out_channel_stride_bytes;
    int64_t num_targets, num_channels;
    bool is_far; /* the samples of all rows are more than the nearer caches hold */
} rbc__resample_rows;

/* A row of sums, maxima or minima in progress; aligned, so that no vector lies on two lines. */
typedef struct rbc__resample_sums {
    union {
        _Alignas(64) double sum[RBC__REDUCE_WIDTH];
        uint64_t item[RBC__REDUCE_WIDTH]; /* packed values of the dtype */
    } of;
    int64_t count;
} rbc__resample_sums;

/* Makes the rows whose kind is RBC__ROW_BLEND. */
typedef void (*rbc__blend_fn)(const rbc__resample_rows *rows, const rbc__brackets *brackets);

/* Makes row j from sample pick[j] where kind[j] is RBC__ROW_COPY and from the item whose bytes are
 * the low ones of `fill` where it is RBC__ROW_FILL. */
typedef void (*rbc__copy_fn)(const rbc__resample_rows *rows, const int64_t *pick,
                             const uint8_t *kind, uint64_t fill);

/* Takes samples index[0..count) into the sums of at most RBC__REDUCE_WIDTH channels, in order. */
typedef void (*rbc__accumulate_fn)(rbc__resample_sums *sums, const rbc__resample_rows *rows,
                                   const int64_t *index, int64_t count);
/* Writes the row of target j; at least one sample was taken. */
typedef void (*rbc__finish_fn)(const rbc__resample_sums *sums, const rbc__resample_rows *rows,
                               int64_t target);

typedef struct rbc__time_kernels {
    /* False when a time is NaN or infinite, decreases, or first and last are too far apart. */
    bool (*check)(const rbc__time_axis *axis);
    /* Fills left and right. False: a target is NaN. */
    bool (*search)(const rbc__time_axis *axis, rbc__brackets *brackets);
    /* Fills previous and next from left and right. */
    void (*neighbours)(const rbc__time_axis *axis, rbc__brackets *brackets);
    /* Fills flags and weight; returns the union of the flags. With `extrapolate` it uses previous
     * and next. */
    uint8_t (*weigh)(const rbc__time_axis *axis, bool extrapolate, rbc__brackets *brackets);
    /* Fills before, middle and after where a target lies between two samples. */
    void (*cubic)(const rbc__time_axis *axis, rbc__brackets *brackets);
    /* Samples before the interval that a reduction takes for the tile's first target. */
    int64_t (*interval_begin)(const rbc__time_axis *axis);
    /* True when samples a and b carry the same stamp. */
    bool (*same)(const rbc__time_axis *axis, int64_t a, int64_t b);
    /* out[j] = target j - stamp of sample pick[j]; the largest value of the type for pick -1
     * (NaN for floats). */
    void (*distance)(const rbc__time_axis *axis, const int64_t *pick, char *out,
                     int64_t out_stride_bytes);
} rbc__time_kernels;

/* Tables of four are by RBC__F32, RBC__F64, RBC__F16, RBC__BF16, or, for copying and `write`, by
 * log2 of an item's bytes. */
typedef struct rbc__blend_kernels {
    rbc__blend_fn linear[4], angle[4], cubic[4], slerp[4];
    /* Quaternion left[j], taken to unit length, where kind[j] is RBC__ROW_COPY. */
    rbc__blend_fn unit[4];
} rbc__blend_kernels;

typedef struct rbc__reduce_kernels {
    rbc__accumulate_fn add[4]; /* for `mean` to finish */
    rbc__finish_fn mean[4];
    rbc__accumulate_fn max[RBC__NUM_DTYPES], min[RBC__NUM_DTYPES]; /* for `write` to finish */
    rbc__finish_fn write[4];
} rbc__reduce_kernels;

typedef struct rbc__resample_kernels {
    const rbc__time_kernels *times; /* of the type of the times */
    const rbc__blend_kernels *blend;
    const rbc__reduce_kernels *reduce;
} rbc__resample_kernels;

#define RBC__DECLARE_RESAMPLE_KERNELS(isa)                                                         \
    extern const rbc__time_kernels rbc__resample_times_i64_##isa;                                  \
    extern const rbc__time_kernels rbc__resample_times_f64_##isa;                                  \
    extern const rbc__time_kernels rbc__resample_times_f32_##isa;                                  \
    extern const rbc__blend_kernels rbc__resample_blend_##isa;                                     \
    extern const rbc__reduce_kernels rbc__resample_reduce_##isa

/* Compiled once: memcpy() is as fast on each ISA. */
extern const rbc__copy_fn rbc__resample_copy[4];

RBC__DECLARE_RESAMPLE_KERNELS(baseline);
RBC__DECLARE_RESAMPLE_KERNELS(avx2);
extern const rbc__time_kernels rbc__resample_times_i64_avx512;
extern const rbc__blend_kernels rbc__resample_blend_avx512;

#endif
