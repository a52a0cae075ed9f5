/* Batches on their way: which are begun, in order, and who takes which of their rows. Fetched ranges
 * wait here until they can be made. All with the loader's lock held. */
#ifndef RBC_LOADER_PENDING_H
#define RBC_LOADER_PENDING_H

#include "loader/loader.h"

void rbc__pending_destroy(rbc__pending *pending);

/* Wakes as many threads as one more batch can use. */
void rbc__pending_wake(rbc_loader *loader);
/* Takes every pending batch out of the list; those being worked on are freed later. */
void rbc__pending_cancel_all(rbc_loader *loader);

/* The next range of rows to fetch, or NULL when there is none now. Where its maker is known, that is
 * told what to do. */
rbc__pending *rbc__pending_take(rbc_loader *loader, rbc__maker *maker, int64_t *first,
                                int64_t *count);
/* Whether a core is to decode the images of `rows` rows of a batch, where a device could. */
bool rbc__pending_is_on_host(rbc_loader *loader, const rbc__pending *pending, int64_t rows);
/* Notes that a row has failed for good; of several the first. */
void rbc__pending_fail(rbc__pending *pending, const rbc_error *error, int64_t row);
/* A taken range is made, or nothing came of it. The last of a batch closes it up and sends it to where
 * it is used, for which the lock is left. `timeline` NULL: nothing was done for it. */
void rbc__pending_finish(rbc_loader *loader, rbc__pending *pending, int64_t count,
                         const rbc__timeline *timeline);
/* A taken range of a batch that was cancelled is back: the last frees it. */
void rbc__pending_give_back(rbc__pending *pending, int64_t count);

/* ---- of fetchers ---- */

/* What was expected of a range of rows is there, `bytes` of it, or has failed. */
void rbc__pending_arrive(rbc_loader *loader, const rbc__pending *pending, int64_t count,
                         int64_t bytes);
/* Puts fetched rows among the others, in order. */
void rbc__fetched_add(rbc_loader *loader, rbc__fetched *fetched);
/* Where a range that is fetched can be made now, the first of them. Its batch has a slot then, or
 * has failed for want of one. */
rbc__fetched *rbc__fetched_take(rbc_loader *loader);
/* Rows for a fetcher; NULL: no memory. */
rbc__mixed_rows *rbc__spare_rows_take(rbc_loader *loader);
/* Rows that a fetcher may use again. */
void rbc__spare_rows_keep(rbc_loader *loader, rbc__mixed_rows *rows);

#endif
