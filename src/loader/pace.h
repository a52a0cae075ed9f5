/* Which part of a loader's images its device decodes, and the cores the rest.
 *
 * The device is faster by far, but what it does it takes from the training loop. So the cores decode as
 * long as that keeps the loader ahead: the device's share shrinks while workers find all slots full, and
 * grows where a batch is waited for or few are ready. A range of rows goes to one or the other as a whole. */
#ifndef RBC_LOADER_PACE_H
#define RBC_LOADER_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { RBC__PACE_ALL = 1024 }; /* a share of 1 */

typedef struct rbc__pace {
    bool is_shared;    /* else the device decodes all that it can */
    atomic_uint share; /* the device's, of RBC__PACE_ALL */
    atomic_uint dealt; /* of ranges to the device, in the same unit, wrapped */
} rbc__pace;

/* All is the device's at first: its batches are there sooner. */
void rbc__pace_init(rbc__pace *pace, bool is_shared);

/* Whether the next range is the device's. */
bool rbc__pace_deal(rbc__pace *pace);

/* The share that follows `share` where a batch is taken, which was waited for or not, and `num_ready`
 * others of `num_slots` are ready; and where a worker finds all slots full and the next batch ready. */
unsigned rbc__pace_taken(unsigned share, bool was_awaited, int64_t num_ready, int64_t num_slots);
unsigned rbc__pace_full(unsigned share);

static inline unsigned rbc__pace_share(const rbc__pace *pace) {
    return atomic_load_explicit(&pace->share, memory_order_relaxed);
}

static inline void rbc__pace_set(rbc__pace *pace, unsigned share) {
    atomic_store_explicit(&pace->share, share, memory_order_relaxed);
}

#endif
