/* The state that the consumer and the threads of a loader share.
 *
 * Batches go through their stages in ranges of rows (loader/rows.h), so that several threads can
 * work on one. A pending batch waits in order in the list `first_pending`, from when its first range
 * is taken until it is delivered.
 *
 * Where reading takes no time to speak of, a worker fetches and makes a range in one go, and a batch
 * has a slot from the start: at most num_slots are pending. Where it does (`is_split`), fetchers
 * fetch, more of them than there are cores, and hand ranges over to the workers, which make them;
 * what is fetched ahead is bounded by bytes, and a batch gets its slot when its first range is made.
 * Neither bound ever stops the first pending batch.
 *
 * All members below the line are guarded by `lock`; a range of rows is worked on without it. The
 * state is freed by whoever lets go of it last: closing a loader does not wait for a thread that
 * hangs in a read. Shared within src/loader. */
#ifndef RBC_LOADER_LOADER_H
#define RBC_LOADER_LOADER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <robocache/robocache.h>

#include "core/timeline.h"
#include "loader/member.h"
#include "loader/mixed_rows.h"
#include "loader/mixture.h"
#include "loader/pace.h"
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
    int64_t index;           /* of the batch, among those dealt out and, behind them, to be dealt */
    rbc_batch *batch;        /* NULL: it has no slot yet */
    int64_t epoch, position; /* of row 0 */
    int64_t num_rows, taken_rows, done_rows; /* in ranges, from the first on */
    int64_t row_bytes;        /* that a row was expected to take when it was begun, fetched ahead */
    atomic_bool is_cancelled; /* out of the list, freed when the last range is back */
    bool is_done;
    atomic_llong failed_row; /* lowest row that failed; num_rows: none */
    rbc_error error;         /* of that row */
    rbc__skip *skips;        /* of rows left out or masked, in any order */
    int64_t num_skips;
};

/* A range of rows that has been fetched and waits to be made. */
typedef struct rbc__fetched rbc__fetched;
struct rbc__fetched {
    rbc__fetched *next;
    rbc__pending *pending;
    int64_t first, count;
    rbc__mixed_rows *rows;
    int64_t bytes;
    bool has_slot; /* its batch had one when it was taken: without, it is not made */
};

typedef struct rbc__worker {
    rbc_loader *loader;
    int32_t index; /* of its arena of strings; -1: a fetcher, which writes none */
    rbc__mixed_rows *rows;
    rbc__maker *maker;
    /* ---- guarded by the loader's lock ---- */
    rbc__pending *pending;         /* whose range it works on; NULL: none */
    int64_t first;                 /* row of that */
    const rbc__timeline *timeline; /* of that range's rows */
} rbc__worker;

struct rbc_loader {
    pid_t process;
    rbc__member *members; /* [num_members] */
    int32_t num_members;
    const rbc__rows_params **rows_params; /* [num_members] the members' */
    int64_t *sizes, *begins;              /* the mixture's */
    rbc__mixture mixture;
    rbc__notes notes;     /* of all of them */
    rbc__sampler sampler; /* of whole epochs */
    rbc__slots *slots;
    const rbc__batch_spec *spec; /* of the slots: the first member's */
    rbc__block_cache *blocks;
    rbc__video_pool *videos;
    int64_t episode_bytes;    /* that episodes at hand may take */
    rbc__request_watch watch; /* while it is made */
    rbc_on_error on_error;
    int32_t num_slots;
    int32_t num_more_slots; /* for batches that are given back and used by queued work */
    DLDevice device;
    rbc_device_allocator allocator; /* of memory there; without functions: the driver's */
    rbc__pace pace;
    int64_t range_rows, split_range_rows;
    int64_t
        core_range_rows;    /* of a range that a core makes where a device could; else range_rows */
    int64_t images_per_row; /* and grids, at the most of any member */
    int64_t memory_bytes;   /* that slots, episodes, blocks and what is fetched ahead may take */
    int64_t ahead_bytes;    /* of them, what is fetched ahead */
    rbc__worker *workers;   /* [num_threads], then [num_fetchers] */
    int32_t num_threads;    /* workers */
    int32_t num_fetchers;   /* where reading takes its time */
    atomic_bool is_stopping;
    bool makes_there;      /* workers decode or voxelize on the device of the batches */
    atomic_int references; /* the handle, and each thread */

    /* ---- guarded by lock ---- */
    pthread_mutex_t lock;
    pthread_mutex_t *shared_lock; /* &lock, for those who only read */
    pthread_cond_t work_ready;    /* for workers */
    pthread_cond_t fetch_ready;   /* for fetchers */
    pthread_cond_t batch_ready;
    pthread_cond_t thread_done;
    int32_t num_running; /* threads */
    bool is_split;
    bool is_begun; /* a seek or a first next has said where to begin */
    int64_t epoch;
    bool goes_on;       /* an epoch was once followed by the next: that is begun before it ends */
    rbc__sampler dealt; /* from where the epoch was begun: batches are numbered from there */
    int64_t next_begun; /* batch that is begun next; behind those dealt out: of the next epoch */
    int64_t next_delivered; /* batch that is delivered next; num_rounds: the end was told */
    rbc__pending *first_pending, *last_pending;
    rbc__pending *open_pending;       /* the first with ranges not taken yet */
    int32_t num_pending, num_filling; /* of them, those that have a slot */
    rbc__fetched *fetched;            /* in the order of batches and ranges */
    int64_t fetched_bytes, max_fetched_bytes;
    int64_t expected_bytes;       /* of ranges of pending batches that are not fetched yet */
    int64_t row_bytes;            /* to be expected of one row; 0: nothing has been fetched yet */
    rbc__mixed_rows **spare_rows; /* [num_spare] for fetchers */
    int32_t num_spare, spare_room;
    int32_t num_idle;      /* workers that wait for work */
    rbc_error begin_error; /* why a batch could not be begun; status RBC_OK: none */
    char **skipped;        /* [num_skipped_kept] */
    int64_t num_skipped_kept;
    double slow_share; /* of the last ranges, whose reads took long */
    int64_t num_reads; /* that have been measured */
    int64_t unpack_ns, num_masked;
    rbc_loader_stats stats;
    int32_t num_idle_fetchers;
    int64_t busy_ns[RBC_NUM_STAGES]; /* of ranges that are done or handed over */
    int64_t wait_ns[RBC_NUM_STAGES]; /* they add up to stats.wait_ns */
    int64_t wait_from_ns;   /* the consumer waits, and up to then that is counted; 0: it does not */
    int64_t idle_ns;        /* of workers */
    uint64_t idle_since_ns; /* sum of when those idle now began to be, modulo 2^64 */
    int64_t bytes_unpacked, bytes_decoded;
    int64_t images_there;
};

/* worker.c. The threads of the rbc__worker that `argument` is. */
void *rbc__worker_main(void *argument);
void *rbc__fetcher_main(void *argument);

/* stage_times.c, both with the lock held. What the consumer has waited up to `now_ns` is counted, where it
 * waits: for what was done in `timeline` meanwhile, NULL: for what is done for the first pending
 * batch. */
void rbc__wait_divide(rbc_loader *loader, const rbc__timeline *timeline, int64_t now_ns);

/* create.c. Lets go of the state; the last frees it. */
void rbc__loader_release(rbc_loader *loader);

#endif
