/* One process at a time indexes into a catalog. The lock is the kernel's: it ends with its process,
 * however that ends. */
#ifndef RBC_CATALOG_LOCK_H
#define RBC_CATALOG_LOCK_H

#include <stdbool.h>

#include <robocache/robocache.h>

typedef struct rbc__catalog_lock {
    int fd;
    char *path;
} rbc__catalog_lock;

/* Waits for the lock of the catalog at `path`; `progress` (NULL allowed) is called now and then and
 * may end the wait (CANCELLED). IO, with `unwritable` true where the folder or the catalog in it
 * may not be written. */
rbc_status rbc__catalog_lock_acquire(const char *path, rbc_progress_fn progress, void *user,
                                     rbc__catalog_lock *out, bool *unwritable, rbc_error *err);
void rbc__catalog_lock_release(rbc__catalog_lock *lock);

#endif
