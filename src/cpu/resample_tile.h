/* One tile of targets of one batch row and one source: from times to rows of the output.
 * Shared within src/cpu. */
#ifndef RBC_CPU_RESAMPLE_TILE_H
#define RBC_CPU_RESAMPLE_TILE_H

#include "cpu/kernels/resample.h"

/* What lies around the targets of a tile, whatever the channel. Depends on the times alone. */
typedef struct rbc__tile_times {
    rbc__brackets brackets;
    /* Samples [begin, end) lie in the interval that a reduction takes; filled where one is wanted.
     */
    int64_t begin[RBC__TILE], end[RBC__TILE];
    /* Samples at or before each target less one, before `brackets` was weighed. */
    int64_t last[RBC__TILE];
    uint8_t flags; /* of all targets */
} rbc__tile_times;

/* Where a tile's results go. `out` points at the tile's first target and the source's first
 * channel. */
typedef struct rbc__tile_output {
    char *out;
    int64_t target_stride_bytes, channel_stride_bytes;
    char *valid; /* one byte each, or NULL */
    int64_t valid_stride_bytes;
    char *dt; /* or NULL */
    int64_t dt_stride_bytes;
} rbc__tile_output;

/* The kernels of the best ISA among `cpu_features`, for times of `type`. */
rbc__resample_kernels rbc__resample_kernels_of(uint64_t cpu_features, rbc__time_type type);

/* The times of batch row b; which tile of it is for the caller to set. */
rbc__time_axis rbc__resample_axis(const rbc__resample_job *job, const rbc__resample_source *source,
                                  int64_t b);

/* False when a target is NaN. axis->num_samples is at least 1. */
bool rbc__tile_search(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                      const rbc__resample_source *source, rbc__tile_times *times);

/* `values` points at the batch row; `is_far` as in rbc__resample_rows. Where axis->num_samples is
 * 0, `times` is not looked at; the kinds of its brackets are scratch. */
void rbc__tile_write(const rbc__resample_kernels *kernels, const rbc__time_axis *axis,
                     const rbc__resample_source *source, rbc__dtype dtype, const char *values,
                     bool is_far, rbc__tile_times *times, const rbc__tile_output *output);

#endif
