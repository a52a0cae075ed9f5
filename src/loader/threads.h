/* The threads of a loader, started and stopped: what they do is in worker.c. They are not joined.
 * Whoever hangs in a read is left to himself when the loader closes, and lets go of its state when
 * that returns. */
#ifndef RBC_LOADER_THREADS_H
#define RBC_LOADER_THREADS_H

#include "loader/loader.h"

/* Room for all workers and fetchers; nothing is made yet. */
rbc_status rbc__threads_make_room(rbc_loader *loader, rbc_error *err);
/* The maker of worker `index`. */
rbc_status rbc__threads_make_maker(rbc_loader *loader, int32_t index, rbc_error *err);
/* What the workers work with. */
rbc_status rbc__threads_make(rbc_loader *loader, rbc_error *err);
/* Starts the workers, and the fetchers where a store is remote. */
rbc_status rbc__threads_start(rbc_loader *loader, rbc_error *err);
/* Starts the fetchers, with the lock held; where none can be started, nothing changes. */
void rbc__threads_split(rbc_loader *loader);
/* Tells threads to end, and waits a little for them. */
void rbc__threads_stop(rbc_loader *loader);

#endif
