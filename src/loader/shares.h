/* How memory is shared out among blocks, decoders, episodes, slots and what is fetched ahead, and
 * batches among threads, when a loader is made. */
#ifndef RBC_LOADER_SHARES_H
#define RBC_LOADER_SHARES_H

#include "loader/loader.h"

/* Rows of a range at the most. */
#define RBC__MOST_RANGE_ROWS 128

/* Makes the caches that all threads share, within three quarters of `memory_bytes`; 0: the default. */
rbc_status rbc__shares_caches(rbc_loader *loader, int64_t memory_bytes, rbc_error *err);
/* What a member gets of `bytes`: as much of them as of the samples. */
int64_t rbc__shares_of_member(const rbc_loader *loader, int32_t member, int64_t bytes);
/* How many slots there are within the last quarter. */
rbc_status rbc__shares_slots(rbc_loader *loader, const rbc_loader_params *params, rbc_error *err);
/* How many rows a range has. */
void rbc__shares_ranges(rbc_loader *loader);

#endif
