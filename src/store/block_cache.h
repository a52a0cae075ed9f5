/* Blocks that are unpacked, shared by threads and bounded in bytes: each is read once and unpacked
 * once however many want it, and the ones not used for longest go first.
 *
 * Whoever wants a block pins it. The first of them claims the reading; who has claimed it reads,
 * without waiting for any other block meanwhile, and hands in the packed bytes, or the failure.
 * Unpacking is done by whoever comes first then. So nobody ever waits for a block while others wait
 * for him, and a failure reaches all who wait. A damaged block is remembered as such, and the
 * failure told again; a shortage is not. */
#ifndef RBC_STORE_BLOCK_CACHE_H
#define RBC_STORE_BLOCK_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <robocache/robocache.h>

#include "core/timeline.h"

typedef struct rbc__block_cache rbc__block_cache;
typedef struct rbc__cached_block rbc__cached_block;

/* What is shared like a block. */
typedef enum rbc__block_kind {
    RBC__KEY_BLOCK,    /* bytes of a blob, and what they unpack to */
    RBC__KEY_PACKETS,  /* of a track, as they lie in a blob */
    RBC__KEY_PICTURES, /* that packets decode to, which nobody reads */
    RBC__KEY_OBJECT,   /* of a part, parsed */
} rbc__block_kind;

typedef struct rbc__block_key {
    int64_t blob;      /* of an object its part, of pictures the part's blob 0 */
    uint64_t offset;   /* where it begins; of others which of them it is */
    uint32_t track;    /* of packets and pictures: its number */
    uint32_t kind;     /* rbc__block_kind */
    const void *owner; /* which dataset's, where several share the cache; never followed */
} rbc__block_key;

rbc_status rbc__block_cache_create(int64_t max_bytes, rbc__block_cache **out, rbc_error *err);
/* Nothing is pinned any more. */
void rbc__block_cache_destroy(rbc__block_cache **cache);

/* Bytes that it keeps to. */
int64_t rbc__block_cache_max(const rbc__block_cache *cache);

/* The block, which stays until it is given back. */
rbc_status rbc__block_pin(rbc__block_cache *cache, const rbc__block_key *key,
                          rbc__cached_block **out, rbc_error *err);
void rbc__block_unpin(rbc__block_cache *cache, rbc__cached_block *block);

/* Not 0 where the caller has to read the block, and then to call one of the next three with what is
 * returned. Once `*cancel` (NULL: never) is true, others who wait for the block may claim it anew,
 * so that nobody waits for a reading that hangs and that nobody wants any more: what comes of it is
 * dropped then. `cancel` stays valid until the call. */
uint32_t rbc__block_claim(rbc__block_cache *cache, rbc__cached_block *block,
                          const atomic_bool *cancel);
/* Whether nothing has to be read for it: it is unpacked. */
bool rbc__block_is_ready(rbc__block_cache *cache, rbc__cached_block *block);
/* Hands in the packed bytes: malloc'ed, taken over. */
void rbc__block_hand_in(rbc__block_cache *cache, rbc__cached_block *block, uint32_t claim,
                        uint8_t *packed, size_t bytes);
/* The same of bytes that the caller has unpacked himself. False: the block has been claimed anew, and
 * they are still the caller's. */
bool rbc__block_publish(rbc__block_cache *cache, rbc__cached_block *block, uint32_t claim,
                        uint8_t *data, size_t bytes);
/* `problem` NULL: nothing is wrong with it. */
void rbc__block_fail(rbc__block_cache *cache, rbc__cached_block *block, uint32_t claim,
                     const rbc_error *problem);

/* Unpacks `bytes` at `packed` into `*out`, malloc'ed: `*out_bytes`. */
typedef rbc_status (*rbc__block_unpack_fn)(void *user, const uint8_t *packed, size_t bytes,
                                           uint8_t **out, size_t *out_bytes, rbc_error *err);

/* The unpacked bytes of a pinned block, valid while it is. Waits for who reads or unpacks it, until
 * `*cancel` (CANCELLED), which `timeline` (NULL: none) notes as its stages; unpacks it where nobody
 * does (`unpack` NULL: of what is only published).
 * `*again`: reading it failed for a shortage of somebody else's, or was given up: claim it anew. */
rbc_status rbc__block_get(rbc__block_cache *cache, rbc__cached_block *block,
                          rbc__block_unpack_fn unpack, void *user, const atomic_bool *cancel,
                          rbc__timeline *timeline, const uint8_t **data, size_t *bytes, bool *again,
                          rbc_error *err);

typedef struct rbc__block_cache_counts {
    int64_t bytes, peak_bytes;    /* packed and unpacked, and objects */
    int64_t num_reads, num_found; /* of blocks and packets */
    int64_t num_unpacked;         /* blocks and pictures */
} rbc__block_cache_counts;
void rbc__block_cache_count(rbc__block_cache *cache, rbc__block_cache_counts *out);

#endif
