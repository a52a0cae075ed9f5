/* Long work asks now and then whether it is still wanted. */
#ifndef RBC_CATALOG_WATCH_H
#define RBC_CATALOG_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <robocache/robocache.h>

typedef struct rbc__watch {
    rbc_interrupt_fn ask; /* NULL: nobody is asked */
    void *user;
    int64_t asked_ns; /* 0: not yet; the first question comes a while after the first look */
    bool stopped;     /* the answer stays */
} rbc__watch;

/* Whether to stop; asks at most twenty times a second, and lets forks through then: the caller
 * holds no lock. NULL: never. */
bool rbc__watch_stop(rbc__watch *watch);
/* The same, asking now. */
bool rbc__watch_ask(rbc__watch *watch);

#endif
