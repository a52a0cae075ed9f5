/* From samples to what a request is made of: wants, and the ranges and blocks that these lie in.
 * Shared within src/store. */
#ifndef RBC_STORE_LOCATE_H
#define RBC_STORE_LOCATE_H

#include "store/wants.h"

/* A stream, or the row lengths of one, in an episode. */
typedef struct rbc__located_stream {
    const rbc__parsed_episode *parsed;
    const rbc__stream_schema *schema;
    int32_t stream;
    uint32_t id;
    rbc__dtype dtype;
    const rbc__value_map *map;
    uint64_t elements;
} rbc__located_stream;

/* ---- locate_wants.c: what a request is made of ---- */

/* FORMAT, where the run lies and whose it is. */
rbc_status rbc__located_fail(const rbc__request *request, const rbc__located_stream *s,
                             const rbc__run *run, rbc_error *err, const char *problem);
rbc_status rbc__located_no_memory(rbc_error *err);

/* A want of the stream; NULL: no memory. */
rbc__want *rbc__located_add_want(rbc__request *request, const rbc__located_stream *s,
                                 const rbc__run *run, rbc__want_kind kind, rbc_error *err);
/* `direct`: where the bytes go, or NULL. */
rbc_status rbc__request_add_range(rbc__request *request, int64_t blob, uint64_t offset,
                                  uint64_t bytes, uint8_t *direct, uint32_t *index, rbc_error *err);
/* With `may_share` the block that was added last stands for one that is the same. */
rbc_status rbc__request_add_block(rbc__request *request, const rbc__wanted_block *wanted,
                                  bool may_share, uint32_t *index, rbc_error *err);
/* The block of the layout that the run lies in. */
rbc_status rbc__located_add_block(rbc__request *request, const rbc__located_stream *s,
                                  const rbc__run *run, uint32_t *index, rbc_error *err);
/* Keeps what is pinned until the request begins anew; unpins it where there is no memory. */
rbc_status rbc__request_keep(rbc__request *request, rbc__cached_block *pin, rbc_error *err);

/* ---- locate.c: numbers ---- */

/* Whether the samples are stored as they are delivered. */
bool rbc__located_is_as_stored(const rbc__located_stream *s, const rbc__run *run);
/* Whether numbers stored as the run says can become the stream's. */
bool rbc__located_can_be_read(const rbc__located_stream *s, const rbc__run *run);
/* `count` samples that lie `stride` apart from `offset` on in the run's container; `bytes` each. */
rbc_status rbc__want_even(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                          uint64_t sample, uint64_t offset, uint64_t bytes, uint64_t stride,
                          uint64_t count, uint8_t *dst, rbc_error *err);

/* ---- locate_array.c, locate_track.c ---- */

/* Rows [first, first + count) of the run's array, which are samples from `sample` on. */
rbc_status rbc__want_rows(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                          uint64_t sample, uint64_t first, uint64_t count, uint8_t *dst,
                          rbc_error *err);
/* One frame of the run's track: the number of its want. */
rbc_status rbc__want_frame(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                           int64_t sample, uint32_t *want_index, rbc_error *err);

#endif
