#define _POSIX_C_SOURCE 200809L

#include "loader/threads.h"

#include <stdlib.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "core/thread.h"
#include "loader/device_maker.h"
#include "loader/pending.h"
#include "loader/shares.h"

/* How long closing waits for a thread at most. */
#define CLOSE_NS 100000000

/* Where reading takes its time. A core makes some 4,500 images of 256x256 a second; a range of 64 of
 * them is fetched in two reads, one after the other: with this many to a core it may take 0.2 s. */
#define FETCHERS_A_WORKER 16
#define MIN_FETCHERS      32
#define MAX_FETCHERS      256

rbc_status rbc__threads_make_room(rbc_loader *loader, rbc_error *err) {
    const int64_t wanted = (int64_t)FETCHERS_A_WORKER * loader->num_threads;
    loader->num_fetchers = (int32_t)(wanted < MIN_FETCHERS   ? MIN_FETCHERS
                                     : wanted > MAX_FETCHERS ? MAX_FETCHERS
                                                             : wanted);
    const int32_t num_workers = loader->num_threads + loader->num_fetchers;
    loader->workers = calloc((size_t)num_workers, sizeof *loader->workers);
    loader->spare_room = num_workers;
    loader->spare_rows = calloc((size_t)loader->spare_room, sizeof(rbc__mixed_rows *));
    if (loader->workers == NULL || loader->spare_rows == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d workers",
                         loader->num_threads);
    }
    return RBC_OK;
}

rbc_status rbc__threads_make_maker(rbc_loader *loader, int32_t index, rbc_error *err) {
    const bool is_fetcher = index >= loader->num_threads;
    if (loader->makes_there && !is_fetcher) {
        return rbc__device_maker_create(loader->device, &loader->allocator, loader->spec->jpeg_dct,
                                        &loader->pace, &loader->workers[index].maker, err);
    }
    return rbc__maker_create(loader->spec->jpeg_dct, !is_fetcher && loader->images_per_row > 0,
                             &loader->workers[index].maker, err);
}

/* The first worker's maker may be there already: it has looked at the datasets. */
static rbc_status make_worker(rbc_loader *loader, int32_t index, rbc_error *err) {
    rbc__worker *worker = &loader->workers[index];
    const bool is_fetcher = index >= loader->num_threads;
    worker->loader = loader;
    worker->index = is_fetcher ? -1 : index;
    RBC__TRY(worker->maker == NULL ? rbc__threads_make_maker(loader, index, err) : RBC_OK);
    return is_fetcher ? RBC_OK
                      : rbc__mixed_rows_create(&loader->mixture, loader->rows_params, false,
                                               RBC__MOST_RANGE_ROWS, &worker->rows, err);
}

rbc_status rbc__threads_make(rbc_loader *loader, rbc_error *err) {
    for (int32_t i = 0; i < loader->num_threads; ++i) {
        RBC__TRY(make_worker(loader, i, err));
    }
    return RBC_OK;
}

/* Starts threads for workers [first, end), with the lock held. */
static int start_threads(rbc_loader *loader, int32_t first, int32_t end, int32_t *started) {
    int failure = 0;
    *started = 0;
    while (first + *started < end && failure == 0) {
        rbc__worker *worker = &loader->workers[first + *started];
        atomic_fetch_add_explicit(&loader->references, 1, memory_order_relaxed);
        ++loader->num_running;
        failure = rbc__thread_start(worker->index < 0 ? rbc__fetcher_main : rbc__worker_main,
                                    worker, NULL);
        if (failure != 0) {
            atomic_fetch_sub_explicit(&loader->references, 1, memory_order_relaxed);
            --loader->num_running;
        }
        *started += failure == 0;
    }
    return failure;
}

rbc_status rbc__threads_start(rbc_loader *loader, rbc_error *err) {
    int32_t started;
    pthread_mutex_lock(&loader->lock); /* those that run count themselves out */
    const int failure = start_threads(loader, 0, loader->num_threads, &started);
    bool is_remote = false;
    for (int32_t i = 0; i < loader->num_members; ++i) {
        is_remote = is_remote || loader->rows_params[i]->requests.store->is_remote;
    }
    if (failure == 0 && is_remote) {
        rbc__threads_split(loader);
    }
    pthread_mutex_unlock(&loader->lock);
    return failure == 0 ? RBC_OK
                        : rbc__fail_errno(err, failure, "thread %d of %d could not be started",
                                          started + 1, loader->num_threads);
}

void rbc__threads_split(rbc_loader *loader) {
    int32_t made = 0;
    int32_t started = 0;
    while (made < loader->num_fetchers &&
           (loader->workers[loader->num_threads + made].maker != NULL ||
            make_worker(loader, loader->num_threads + made, NULL) == RBC_OK)) {
        ++made;
    }
    (void)start_threads(loader, loader->num_threads, loader->num_threads + made, &started);
    loader->is_split = started > 0;
}

void rbc__threads_stop(rbc_loader *loader) {
    const struct timespec deadline = rbc__after_ns(CLOSE_NS);
    pthread_mutex_lock(&loader->lock);
    atomic_store_explicit(&loader->is_stopping, true, memory_order_relaxed);
    rbc__pending_cancel_all(loader);
    pthread_cond_broadcast(&loader->work_ready);
    pthread_cond_broadcast(&loader->fetch_ready);
    int timed_out = 0;
    while (loader->num_running > 0 && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&loader->thread_done, &loader->lock, &deadline);
    }
    pthread_mutex_unlock(&loader->lock);
}
