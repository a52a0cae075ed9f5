/* What is kept once for a part in the catalog: the names of its blobs, arrays, tracks. They are
 * parsed when they are first wanted, and held in the cache of blocks like these. */
#ifndef RBC_STORE_OBJECTS_H
#define RBC_STORE_OBJECTS_H

#include <robocache/robocache.h>

#include "layout/blobs.h"
#include "layout/layout.h"
#include "layout/object.h"
#include "store/block_cache.h"

/* Where objects come from. */
typedef struct rbc__objects {
    /* An encoded object; `*data` is malloc'ed. Any thread. FORMAT when there is none. */
    rbc_status (*load)(void *user, int64_t part, rbc__container kind, uint32_t number,
                       uint8_t **data, size_t *bytes, rbc_error *err);
    void *user;
} rbc__objects;

/* An array or track of a part, pinned in the cache: give `*pin` back with rbc__block_unpin(). */
rbc_status rbc__objects_array(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                              uint32_t number, const rbc__array_object **out,
                              rbc__cached_block **pin, rbc_error *err);
/* The texts of a part. */
rbc_status rbc__objects_strings(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                                const rbc__strings **out, rbc__cached_block **pin, rbc_error *err);
rbc_status rbc__objects_track(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                              uint32_t number, const rbc__track_object **out,
                              rbc__cached_block **pin, rbc_error *err);

#endif
