/* What a number of rows want of a dataset's bytes, gathered before any of it is read.
 *
 * First the wants are added: each is located in its episode's layout at once. rbc__request_read()
 * then reads all ranges, neighbours joined, and rbc__request_finish() unpacks, each block once, and
 * makes numbers of what is numbers. One way into the bytes, for loaders and episodes.
 *
 * Wants belong to somebody, a tag and a rank: of those of one tag that fail, the failure of the
 * lowest rank is kept, so that it is the same however they were read. Used by one thread at a time.
 * Interface of src/store. */
#ifndef RBC_STORE_REQUEST_H
#define RBC_STORE_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include <robocache/robocache.h>

#include "codec/video_pool.h"
#include "core/timeline.h"
#include "layout/layout.h"
#include "layout/schema.h"
#include "store/block_cache.h"
#include "store/objects.h"
#include "store/store.h"

/* How whoever reads hears interrupts meanwhile. */
typedef struct rbc__request_watch {
    /* Some fifty times a second, on the thread that reads; not 0: what is read is CANCELLED, at the
     * latest 0.1 s after, and all that would be read then. */
    int (*interrupt)(void *user);
    void *user;
    bool is_stopped; /* it has said so */
    /* What the store is part of: held while a read that was left behind goes on. */
    void (*retain)(void *owner);
    void (*release)(void *owner);
    void *owner;
} rbc__request_watch;

/* What requests of a dataset share. */
typedef struct rbc__request_params {
    rbc__store *store;
    rbc__block_cache *cache;
    const rbc__objects *objects;
    const rbc__schema *schema;
    rbc__video_pool *videos;
    bool keeps_pictures;       /* groups of pictures are decoded whole, for all who want them: where
                            frames are wanted in some order. Else no further than to the last
                            frame that is wanted, to where it goes */
    rbc__request_watch *watch; /* NULL: reads are not interrupted */
    bool
        is_split; /* reading and finishing are not done in one go, so blocks are handed in between */
} rbc__request_params;

/* An episode whose layout has been parsed. */
typedef struct rbc__parsed_episode {
    const rbc__layout *layout;
    int64_t part;
    int64_t record; /* for messages */
} rbc__parsed_episode;

typedef struct rbc__request rbc__request;

rbc_status rbc__request_create(const rbc__request_params *params, rbc__request **out,
                               rbc_error *err);
void rbc__request_destroy(rbc__request **request);

/* Forgets everything but the memory. */
void rbc__request_begin(rbc__request *request);

/* Once `*cancel` is true nobody waits for what this request has claimed: see rbc__block_claim(). Holds
 * until the request begins anew, and `cancel` stays valid as long. */
void rbc__request_cancel_by(rbc__request *request, const atomic_bool *cancel);

/* Whose the wants are that follow. */
void rbc__request_for(rbc__request *request, int32_t tag, int32_t rank);

/* Samples [first, first + count) of a numeric stream, in its dtype, C order, to `dst`. They are
 * there when the request is finished. The layout outlives that. Errors of the layout: FORMAT;
 * UNSUPPORTED, INVALID_ARGUMENT where the stream has no such samples. */
rbc_status rbc__request_values(rbc__request *request, const rbc__parsed_episode *parsed,
                               int32_t stream, int64_t first, int64_t count, void *dst,
                               rbc_error *err);
/* The row lengths of a ragged stream, [num_steps] int64. */
rbc_status rbc__request_row_lengths(rbc__request *request, const rbc__parsed_episode *parsed,
                                    int32_t stream, void *dst, rbc_error *err);

/* The bytes of one image or text: `*want` is its number. Where it lies, for messages, is known at
 * once; the bytes when the request is finished. Errors as above; UNSUPPORTED where it is packed by
 * itself. */
rbc_status rbc__request_sample(rbc__request *request, const rbc__parsed_episode *parsed,
                               int32_t stream, int64_t sample, uint32_t *want, rbc_error *err);

/* Where a sample that is a frame may go, before the request is finished: `dst` is large enough. It is
 * there then, or, where others want it too, where rbc__request_get() says. */
void rbc__request_put(rbc__request *request, uint32_t want, uint8_t *dst);

typedef struct rbc__sample {
    const uint8_t *bytes; /* until the request begins anew; NULL: not read, or none */
    uint64_t num_bytes;   /* 0: there are none */
    int64_t blob;         /* where they lie: those of a block, where it begins */
    uint64_t offset;
    uint8_t encoding, stored; /* rbc__encoding, and of what */
} rbc__sample;
void rbc__request_get(const rbc__request *request, uint32_t want, rbc__sample *out);

/* Bytes that reading it will hold in memory. */
int64_t rbc__request_bytes(rbc__request *request);

void rbc__request_read(rbc__request *request, const atomic_bool *cancel);
void rbc__request_finish(rbc__request *request, const atomic_bool *cancel);

/* The failure of lowest rank of a tag, or NULL; valid until the request begins anew. */
const rbc_error *rbc__request_failure(const rbc__request *request, int32_t tag, int32_t *rank);
/* How many wants failed. */
size_t rbc__request_num_failures(const rbc__request *request);

typedef struct rbc__request_stats {
    int64_t bytes_read, read_ns, unpack_ns, decode_ns; /* decoding: of frames */
    int64_t num_reads, num_frames;
    int64_t bytes_unpacked, bytes_decoded;
} rbc__request_stats;
/* Counted since the last call. */
rbc__request_stats rbc__request_take_stats(rbc__request *request);

/* What it has been doing: reading, unpacking, decoding frames, and else what the caller enters. */
rbc__timeline *rbc__request_timeline(rbc__request *request);
/* Enters stages in another one from now on, which outlives the request. */
void rbc__request_share_timeline(rbc__request *request, rbc__timeline *timeline);

#endif
