/* How fast a loader's cores and its device decode, as measured, and what follows for who decodes what.
 *
 * The device is one queue: all workers put images in it, and it takes device_ns for each. A worker
 * that has images to decode leaves as many of them to the device as that both end at the same time:
 * the device with what is queued and these, the worker with the rest, host_ns each. */
#ifndef RBC_LOADER_PACE_H
#define RBC_LOADER_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct rbc__pace {
    bool is_shared; /* else the device decodes all that it can */
    atomic_llong num_queued;
    atomic_llong done_ns;              /* when the device was last done with some */
    _Atomic double device_ns, host_ns; /* for an image; 0: not measured yet */
    atomic_llong measured_ns;          /* when host_ns was */
} rbc__pace;

/* How many of `count` images a worker decodes itself. */
int64_t rbc__pace_share(rbc__pace *pace, int64_t count, int64_t now_ns);

/* `count` images are put in the queue, and are done. */
void rbc__pace_begin(rbc__pace *pace, int64_t count);
void rbc__pace_end(rbc__pace *pace, int64_t count, int64_t begin_ns, int64_t now_ns);

/* A worker took so long for `count` of its own. */
void rbc__pace_worked(rbc__pace *pace, int64_t count, int64_t begin_ns, int64_t now_ns);

#endif
