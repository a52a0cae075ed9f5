/* Who decodes the images of a range of rows, where a loader's device and its cores both can.
 *
 * The device is faster by far, but what it does it takes from the training loop. So a core decodes what
 * it has the time for: the batch is needed when the device has worked through those before it, of which
 * the loop may have queued some, far ahead of the device. Shared within src/loader. */
#ifndef RBC_LOADER_PACE_H
#define RBC_LOADER_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Batches whose times are kept. */
enum { RBC__PACE_BATCHES = 32 };

typedef struct rbc__pace {
    bool is_shared;             /* else the device decodes all that it can */
    _Atomic double image_ns;    /* that a core takes for one, as is believed; 0: not measured yet */
    _Atomic double measured_ns; /* the same as it was measured lately */
    /* ---- guarded by the loader's lock ---- */
    double batch_ns; /* the loop's own time for a batch, as measured lately; 0: not yet */
    int64_t own_ns[RBC__PACE_BATCHES]; /* of batch n in [n % RBC__PACE_BATCHES] */
    int64_t num_own;
    int64_t returned_ns; /* when the loop got its batch; 0: it asks for the next, or has none */
} rbc__pace;

/* Whether a core decodes `num_images` of a batch that `distance` others come before, to be delivered or
 * queued: where that takes half of the time there is. One range tells how long it takes. */
bool rbc__pace_is_on_host(double image_ns, double batch_ns, int64_t num_images, int64_t distance);

/* The same of the next range. What a core was measured at is believed less with each range that it
 * keeps from the cores, down to an eighth: what was measured while threads began, or beside a compiler,
 * is measured again. With the loader's lock held. */
bool rbc__pace_deal(rbc__pace *pace, int64_t num_images, int64_t distance);

/* The loop got a batch, and asks for the next. */
void rbc__pace_returned(rbc__pace *pace, int64_t now_ns);
void rbc__pace_asked(rbc__pace *pace, int64_t now_ns);

/* A core has decoded so many within so long. */
void rbc__pace_worked(rbc__pace *pace, int64_t num_images, int64_t ns);

#endif
