/* NaN as missing: what lies around targets once a channel's NaN samples are left out. */
#ifndef RBC_CPU_RESAMPLE_MISSING_H
#define RBC_CPU_RESAMPLE_MISSING_H

#include "cpu/kernels/resample.h"

/* A channel, or the four of a quaternion, which is missing as a whole. */
typedef struct rbc__channel_view {
    const char *values; /* of sample 0 */
    int64_t sample_stride_bytes, channel_stride_bytes;
    int64_t num_channels;
    rbc__dtype dtype; /* a float */
} rbc__channel_view;

bool rbc__is_missing(const rbc__channel_view *view, int64_t sample);

/* Fills left, right, previous and next of `brackets` as search and neighbours do, for the samples
 * that are there. last[j] is the last sample at or before target j, -1 for none. False: there is
 * none at all. */
bool rbc__brackets_present(const rbc__time_kernels *kernels, const rbc__time_axis *axis,
                           const rbc__channel_view *view, const int64_t *last,
                           rbc__brackets *brackets);

#endif
