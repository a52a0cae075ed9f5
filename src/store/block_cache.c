#define _POSIX_C_SOURCE 200809L

#include "store/block_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"

/* How often who waits looks whether it is still to. */
#define CANCEL_NS 20000000

typedef enum block_state {
    BLOCK_ABSENT,
    BLOCK_READING,
    BLOCK_PACKED,
    BLOCK_UNPACKING,
    BLOCK_READY,
    BLOCK_DAMAGED,
} block_state;

struct rbc__cached_block {
    rbc__block_key key;
    rbc__cached_block *chain; /* in its bucket */
    rbc__cached_block *newer, *older;
    int64_t num_pins;
    block_state state;
    uint32_t claim;              /* counts those who have claimed it */
    const atomic_bool *claimant; /* READING: whether whoever does has given up */
    uint8_t *packed, *data;
    size_t packed_bytes, data_bytes;
    rbc_error *problem; /* DAMAGED; NULL: there was no memory for it */
};

struct rbc__block_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t max_bytes;
    rbc__cached_block **buckets; /* [mask + 1] */
    uint64_t mask, num_blocks;
    rbc__cached_block *newest, *oldest; /* of those that nobody has pinned */
    rbc__block_cache_counts counts;
};

rbc_status rbc__block_cache_create(int64_t max_bytes, rbc__block_cache **out, rbc_error *err) {
    rbc__block_cache *cache = calloc(1, sizeof *cache);
    *out = NULL;
    if (cache != NULL) {
        cache->mask = 255;
        cache->buckets = calloc(cache->mask + 1, sizeof(rbc__cached_block *));
    }
    if (cache == NULL || cache->buckets == NULL) {
        free(cache);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a cache of blocks");
    }
    cache->max_bytes = max_bytes;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = cache;
    return RBC_OK;
}

int64_t rbc__block_cache_max(const rbc__block_cache *cache) {
    return cache->max_bytes;
}

static void free_block(rbc__cached_block *block) {
    free(block->packed);
    free(block->data);
    free(block->problem);
    free(block);
}

void rbc__block_cache_destroy(rbc__block_cache **cache) {
    rbc__block_cache *closing = *cache;
    *cache = NULL;
    if (closing == NULL) {
        return;
    }
    for (uint64_t i = 0; i <= closing->mask; ++i) {
        while (closing->buckets[i] != NULL) {
            rbc__cached_block *block = closing->buckets[i];
            closing->buckets[i] = block->chain;
            free_block(block);
        }
    }
    pthread_cond_destroy(&closing->changed);
    pthread_mutex_destroy(&closing->lock);
    free(closing->buckets);
    free(closing);
}

/* ---- with the lock held -------------------------------------------------------------------------
 */

static rbc__cached_block **bucket_of(const rbc__block_cache *cache, const rbc__block_key *key) {
    uint64_t hash = (uint64_t)key->blob * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ key->offset ^ (uint64_t)key->track << 40 ^ (uint64_t)key->kind << 62 ^
            (uint64_t)(uintptr_t)key->owner) *
           UINT64_C(0xff51afd7ed558ccd);
    return &cache->buckets[(hash >> 32) & cache->mask];
}

static bool same_key(const rbc__block_key *a, const rbc__block_key *b) {
    return a->blob == b->blob && a->offset == b->offset && a->track == b->track &&
           a->kind == b->kind && a->owner == b->owner;
}

static void unlink_use(rbc__block_cache *cache, rbc__cached_block *block) {
    *(block->newer != NULL ? &block->newer->older : &cache->newest) = block->older;
    *(block->older != NULL ? &block->older->newer : &cache->oldest) = block->newer;
    block->newer = block->older = NULL;
}

static void link_newest(rbc__block_cache *cache, rbc__cached_block *block) {
    block->newer = NULL;
    block->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = block;
    cache->newest = block;
}

static int64_t bytes_of(const rbc__cached_block *block) {
    return (int64_t)(sizeof *block + block->packed_bytes + block->data_bytes +
                     (block->problem != NULL ? sizeof *block->problem : 0));
}

static void account(rbc__block_cache *cache, int64_t bytes) {
    rbc__block_cache_counts *counts = &cache->counts;
    counts->bytes += bytes;
    counts->peak_bytes = counts->bytes > counts->peak_bytes ? counts->bytes : counts->peak_bytes;
}

static void drop_oldest(rbc__block_cache *cache) {
    rbc__cached_block *block = cache->oldest;
    rbc__cached_block **at = bucket_of(cache, &block->key);
    while (*at != block) {
        at = &(*at)->chain;
    }
    *at = block->chain;
    unlink_use(cache, block);
    --cache->num_blocks;
    account(cache, -bytes_of(block));
    free_block(block);
}

static void keep_bound(rbc__block_cache *cache) {
    while (cache->oldest != NULL && cache->counts.bytes > cache->max_bytes) {
        drop_oldest(cache);
    }
}

/* More buckets; where there is no memory for them, chains get longer. */
static void grow(rbc__block_cache *cache) {
    rbc__cached_block **old = cache->buckets;
    const uint64_t old_room = cache->mask + 1;
    rbc__cached_block **buckets = calloc(2 * old_room, sizeof(rbc__cached_block *));
    if (buckets == NULL) {
        return;
    }
    cache->buckets = buckets;
    cache->mask = 2 * old_room - 1;
    for (uint64_t i = 0; i < old_room; ++i) {
        while (old[i] != NULL) {
            rbc__cached_block *block = old[i];
            old[i] = block->chain;
            rbc__cached_block **bucket = bucket_of(cache, &block->key);
            block->chain = *bucket;
            *bucket = block;
        }
    }
    free(old);
}

static void set_state(rbc__block_cache *cache, rbc__cached_block *block, block_state state) {
    block->state = state;
    pthread_cond_broadcast(&cache->changed);
}

/* What is wrong with the data stays so; anything else may be over the next time. */
static void take_failure(rbc__block_cache *cache, rbc__cached_block *block,
                         const rbc_error *problem) {
    if (problem == NULL || rbc__is_shortage(problem) || problem->status == RBC_ERROR_CANCELLED ||
        problem->status == RBC_ERROR_IO) {
        set_state(cache, block, block->packed != NULL ? BLOCK_PACKED : BLOCK_ABSENT);
        return;
    }
    account(cache, -bytes_of(block));
    free(block->packed);
    block->packed = NULL;
    block->packed_bytes = 0;
    block->problem = malloc(sizeof *block->problem);
    if (block->problem != NULL) {
        *block->problem = *problem;
    }
    account(cache, bytes_of(block));
    set_state(cache, block, BLOCK_DAMAGED);
}

/* ---- pins ---------------------------------------------------------------------------------------
 */

rbc_status rbc__block_pin(rbc__block_cache *cache, const rbc__block_key *key,
                          rbc__cached_block **out, rbc_error *err) {
    pthread_mutex_lock(&cache->lock);
    rbc__cached_block *block = *bucket_of(cache, key);
    while (block != NULL && !same_key(&block->key, key)) {
        block = block->chain;
    }
    if (block == NULL) {
        block = calloc(1, sizeof *block);
        if (block != NULL) {
            if (cache->num_blocks > cache->mask) {
                grow(cache);
            }
            rbc__cached_block **bucket = bucket_of(cache, key);
            block->key = *key;
            block->chain = *bucket;
            *bucket = block;
            ++cache->num_blocks;
            account(cache, bytes_of(block));
        }
    } else if (block->num_pins == 0) {
        unlink_use(cache, block);
    }
    if (block != NULL) {
        ++block->num_pins;
    }
    pthread_mutex_unlock(&cache->lock);
    *out = block;
    return block != NULL ? RBC_OK
                         : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a block");
}

void rbc__block_unpin(rbc__block_cache *cache, rbc__cached_block *block) {
    pthread_mutex_lock(&cache->lock);
    if (--block->num_pins == 0) {
        link_newest(cache, block);
        keep_bound(cache);
    }
    pthread_mutex_unlock(&cache->lock);
}

/* What is counted: objects are read from a catalog, pictures are not read, packets not unpacked. */

static bool is_read(const rbc__cached_block *block) {
    return block->key.kind == RBC__KEY_BLOCK || block->key.kind == RBC__KEY_PACKETS;
}

static bool is_unpacked(const rbc__cached_block *block) {
    return block->key.kind == RBC__KEY_BLOCK || block->key.kind == RBC__KEY_PICTURES;
}

/* ---- reading ------------------------------------------------------------------------------------
 */

uint32_t rbc__block_claim(rbc__block_cache *cache, rbc__cached_block *block,
                          const atomic_bool *cancel) {
    uint32_t claim = 0;
    pthread_mutex_lock(&cache->lock);
    const bool is_claimed = block->state == BLOCK_ABSENT;
    if (is_claimed) {
        block->state = BLOCK_READING;
        block->claim += block->claim == UINT32_MAX ? 2 : 1; /* never 0 */
        block->claimant = cancel;
        claim = block->claim;
    }
    if (is_read(block)) {
        ++*(is_claimed ? &cache->counts.num_reads : &cache->counts.num_found);
    }
    pthread_mutex_unlock(&cache->lock);
    return claim;
}

/* Whether the reading is still that of `claim`; ends it then. With the lock held. */
static bool end_claim(rbc__cached_block *block, uint32_t claim) {
    if (block->state != BLOCK_READING || block->claim != claim) {
        return false;
    }
    block->claimant = NULL;
    return true;
}

bool rbc__block_is_ready(rbc__block_cache *cache, rbc__cached_block *block) {
    pthread_mutex_lock(&cache->lock);
    const bool is_ready = block->state == BLOCK_READY;
    cache->counts.num_found += is_ready && is_read(block);
    pthread_mutex_unlock(&cache->lock);
    return is_ready;
}

void rbc__block_hand_in(rbc__block_cache *cache, rbc__cached_block *block, uint32_t claim,
                        uint8_t *packed, size_t bytes) {
    pthread_mutex_lock(&cache->lock);
    const bool is_wanted = end_claim(block, claim);
    if (is_wanted) {
        block->packed = packed;
        block->packed_bytes = bytes;
        account(cache, (int64_t)bytes);
        set_state(cache, block, BLOCK_PACKED);
    }
    pthread_mutex_unlock(&cache->lock);
    if (!is_wanted) {
        free(packed);
    }
}

bool rbc__block_publish(rbc__block_cache *cache, rbc__cached_block *block, uint32_t claim,
                        uint8_t *data, size_t bytes) {
    pthread_mutex_lock(&cache->lock);
    const bool is_wanted = end_claim(block, claim);
    if (is_wanted) {
        block->data = data;
        block->data_bytes = bytes;
        account(cache, (int64_t)bytes);
        cache->counts.num_unpacked += is_unpacked(block);
        set_state(cache, block, BLOCK_READY);
        keep_bound(cache);
    }
    pthread_mutex_unlock(&cache->lock);
    return is_wanted;
}

void rbc__block_fail(rbc__block_cache *cache, rbc__cached_block *block, uint32_t claim,
                     const rbc_error *problem) {
    pthread_mutex_lock(&cache->lock);
    if (end_claim(block, claim)) {
        take_failure(cache, block, problem);
    }
    pthread_mutex_unlock(&cache->lock);
}

/* ---- unpacking ----------------------------------------------------------------------------------
 */

/* With the lock held, which is left meanwhile. */
static rbc_status unpack_block(rbc__block_cache *cache, rbc__cached_block *block,
                               rbc__block_unpack_fn unpack, void *user, rbc_error *err) {
    rbc_error problem;
    uint8_t *data = NULL;
    size_t bytes = 0;
    block->state = BLOCK_UNPACKING;
    pthread_mutex_unlock(&cache->lock);
    const rbc_status status =
        unpack(user, block->packed, block->packed_bytes, &data, &bytes, &problem);
    pthread_mutex_lock(&cache->lock);
    if (status != RBC_OK) {
        take_failure(cache, block, &problem);
        return rbc__pass_on(&problem, err);
    }
    account(cache, -bytes_of(block));
    free(block->packed);
    block->packed = NULL;
    block->packed_bytes = 0;
    block->data = data;
    block->data_bytes = bytes;
    account(cache, bytes_of(block));
    cache->counts.num_unpacked += is_unpacked(block);
    set_state(cache, block, BLOCK_READY);
    keep_bound(cache);
    return RBC_OK;
}

/* A block that others read or unpack is waited for, or is no more. */
static void note_wait(rbc__timeline *timeline, block_state state) {
    const int32_t stage = state == BLOCK_READING ? RBC_STAGE_READ : RBC_STAGE_UNPACK;
    if (timeline != NULL && timeline->stage != stage) {
        rbc__timeline_enter(timeline, stage);
    }
}

rbc_status rbc__block_get(rbc__block_cache *cache, rbc__cached_block *block,
                          rbc__block_unpack_fn unpack, void *user, const atomic_bool *cancel,
                          rbc__timeline *timeline, const uint8_t **data, size_t *bytes, bool *again,
                          rbc_error *err) {
    rbc_status status = RBC_OK;
    *again = false;
    pthread_mutex_lock(&cache->lock);
    while (block->state == BLOCK_READING || block->state == BLOCK_UNPACKING) {
        if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed)) {
            pthread_mutex_unlock(&cache->lock);
            return rbc__fail(err, RBC_ERROR_CANCELLED, "waiting for a block was stopped");
        }
        if (block->state == BLOCK_READING && block->claimant != NULL &&
            atomic_load_explicit(block->claimant, memory_order_relaxed)) {
            block->claimant = NULL; /* whoever it was may hang: the first who waits reads it anew */
            set_state(cache, block, BLOCK_ABSENT);
            break;
        }
        note_wait(timeline, block->state);
        const struct timespec until = rbc__after_ns(CANCEL_NS);
        pthread_cond_timedwait(&cache->changed, &cache->lock, &until);
    }
    note_wait(timeline, BLOCK_PACKED);
    if (block->state == BLOCK_PACKED) {
        status = unpack_block(cache, block, unpack, user, err);
    } else if (block->state == BLOCK_DAMAGED) {
        status = block->problem != NULL ? rbc__pass_on(block->problem, err)
                                        : rbc__fail(err, RBC_ERROR_FORMAT, "a block is damaged");
    } else if (block->state == BLOCK_ABSENT) {
        *again = true;
    }
    *data = block->data;
    *bytes = block->data_bytes;
    pthread_mutex_unlock(&cache->lock);
    return status;
}

void rbc__block_cache_count(rbc__block_cache *cache, rbc__block_cache_counts *out) {
    pthread_mutex_lock(&cache->lock);
    *out = cache->counts;
    pthread_mutex_unlock(&cache->lock);
}
