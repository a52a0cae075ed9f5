/* What is counted of one channel while its values go by. */
#ifndef RBC_STATISTICS_CHANNEL_H
#define RBC_STATISTICS_CHANNEL_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "statistics/ranks.h"

/* Mean and sum of squared differences from it, of `count` finite values. */
typedef struct rbc__moments {
    int64_t count, num_nan, num_positive_infinite, num_negative_infinite;
    double mean, squares;
    double min, max; /* where count is not 0 */
} rbc__moments;

/* Adds what was found of other values; which of the two came first changes no more than rounding. */
void rbc__moments_merge(rbc__moments *into, const rbc__moments *other);

typedef struct rbc__channel {
    rbc__moments moments;
    rbc__ranks *ranks; /* NULL: not wanted */
} rbc__channel;

rbc_status rbc__channel_init(rbc__channel *out, rbc__dtype dtype, bool has_ranks, rbc_error *err);
void rbc__channel_free(rbc__channel *channel);

/* `count` values of `dtype`, `stride_bytes` apart. */
rbc_status rbc__channel_add(rbc__channel *channel, rbc__dtype dtype, const uint8_t *at,
                            int64_t stride_bytes, int64_t count, rbc_error *err);

/* From the keys of a dtype (statistics/ranks.h) back to values. */
rbc__key_value_fn rbc__channel_value_of(rbc__dtype dtype);

#endif
