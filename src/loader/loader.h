/* The state that the consumer and the workers of a loader share.
 *
 * Batches are filled in ranges of rows, so that several workers can fill one. A pending batch waits
 * in order in the list `first_pending`, from when its first range is taken until it is delivered;
 * at most num_slots are in the list. All members below the line are guarded by `lock`; a range of
 * rows is worked on without it. Shared within src/loader. */
#ifndef RBC_LOADER_LOADER_H
#define RBC_LOADER_LOADER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <robocache/robocache.h>

#include "loader/clock.h"
#include "loader/fetch.h"
#include "loader/reference.h"
#include "loader/sampler.h"
#include "loader/slot.h"

#define RBC__SKIPPED_KEPT 1000

typedef struct rbc__skip {
    int64_t row;
    char *message; /* NULL where there was no memory for it */
} rbc__skip;

typedef struct rbc__pending rbc__pending;
struct rbc__pending {
    rbc__pending *next;
    rbc_batch *batch;
    rbc__order order;
    int64_t position; /* of row 0 in the epoch */
    int64_t num_rows, range_rows;
    int64_t num_ranges, taken_ranges, done_ranges;
    atomic_bool is_cancelled; /* by a seek: out of the list, freed when the last range is back */
    bool is_done;
    atomic_llong failed_row; /* lowest row that failed; num_rows: none */
    rbc_error error;         /* of that row */
    rbc__skip *skips;        /* of rows left out, in any order */
    int64_t num_skips;
};

typedef struct rbc__worker {
    rbc_loader *loader;
    int32_t index;
    pthread_t thread;
    rbc__fetch *fetch;
} rbc__worker;

struct rbc_loader {
    pid_t process;
    rbc_dataset *dataset;
    rbc_selection *selection;
    rbc__reference reference;
    rbc__clock clock;
    rbc__notes notes;
    rbc__sampler sampler;
    rbc__slots *slots;
    const rbc__batch_spec *spec;
    rbc_on_error on_error;
    int32_t num_slots;
    int64_t range_rows;
    rbc__worker *workers;
    int32_t num_threads; /* workers */
    int32_t num_workers; /* those whose threads run */
    atomic_bool is_stopping;

    /* ---- guarded by lock ---- */
    pthread_mutex_t lock;
    pthread_mutex_t *shared_lock; /* &lock, for those who only read */
    pthread_cond_t work_ready;
    pthread_cond_t batch_ready;
    bool is_begun; /* a seek or a first next has said where to begin */
    int64_t epoch;
    rbc__order order;       /* of the epoch */
    int64_t next_begun;     /* batch that is begun next */
    int64_t next_delivered; /* batch that is delivered next; num_rounds: the end was told */
    rbc__pending *first_pending, *last_pending;
    rbc__pending *open_pending; /* the first with ranges not taken yet */
    int32_t num_fills;
    int32_t num_idle;      /* workers that wait for work */
    rbc_error begin_error; /* why a batch could not be begun; status RBC_OK: none */
    char **skipped;        /* [num_skipped_kept] */
    int64_t num_skipped_kept;
    rbc_loader_stats stats;
};

/* worker.c. The thread of the rbc__worker that `argument` is. */
void *rbc__worker_main(void *argument);

/* With the lock held: wakes as many workers as one more batch can use. */
void rbc__loader_wake_workers(rbc_loader *loader);

/* With the lock held: takes every pending batch out of the list; those being worked on are freed
 * later. */
void rbc__loader_cancel_pending(rbc_loader *loader);

void rbc__pending_destroy(rbc__pending *pending);

#endif
