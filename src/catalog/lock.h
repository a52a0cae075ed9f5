/* One process at a time indexes into a catalog. The lock is the kernel's: it ends with its process,
 * however that ends. */
#ifndef RBC_CATALOG_LOCK_H
#define RBC_CATALOG_LOCK_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "catalog/watch.h"

typedef struct rbc__catalog_lock {
    int fd;
    char *path;
} rbc__catalog_lock;

/* Waits for the lock of the catalog at `path`, for as long as `watch` lets it (CANCELLED). IO, with
 * `blocked` true where the folder or the catalog in it may not be written, or where a link or
 * anything else but a file has the name of the lock. */
rbc_status rbc__catalog_lock_acquire(const char *path, rbc__watch *watch, rbc__catalog_lock *out,
                                     bool *blocked, rbc_error *err);
void rbc__catalog_lock_release(rbc__catalog_lock *lock);

#endif
