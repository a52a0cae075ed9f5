/* The statistics of one stream, once they are known, and as bytes.
 *
 * Bytes, all little-endian: "RBCSTAT1", key (16 bytes), a CRC-64 of all behind it, the stream's name,
 * dtype, extents, counts, then each channel. They may be anybody's. */
#ifndef RBC_STATISTICS_RESULT_H
#define RBC_STATISTICS_RESULT_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "io/bytes.h"
#include "statistics/channel.h"

typedef struct rbc__statistics_channel {
    rbc__moments moments;
    rbc__ranked ranked; /* empty: not kept */
} rbc__statistics_channel;

struct rbc_statistics {
    char *stream;
    rbc__dtype dtype;
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of what there is a channel each of */
    int64_t num_channels;
    bool is_ranked, is_image;
    int64_t num_samples, num_episodes, num_skipped;
    char *problem; /* the first that was skipped; NULL: none */
    rbc__statistics_channel *channels;
};

rbc_status rbc__statistics_create(const char *stream, rbc__dtype dtype, int32_t ndim,
                                  const int64_t *shape, bool is_ranked, rbc_statistics **out,
                                  rbc_error *err);

/* Which data they are of: those of other data have another key. */
typedef struct rbc__statistics_key {
    uint64_t low, high;
} rbc__statistics_key;

void rbc__statistics_encode(const rbc_statistics *statistics, const rbc__statistics_key *key,
                            rbc__bytes *out);
/* `name` begins messages. `key` NULL: any. FORMAT. */
rbc_status rbc__statistics_decode(const uint8_t *data, size_t bytes, const rbc__statistics_key *key,
                                  const char *name, rbc_statistics **out, rbc_error *err);

#endif
