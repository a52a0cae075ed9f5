#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "loader/pending.h"
#include "loader/threads.h"

/* Where most reads take longer than this they are left to fetchers. A few may, when a thread loses
 * its core. */
#define SLOW_READ_NS   200000
#define MEASURED_READS 64

/* ---- rows ---------------------------------------------------------------------------------------
 */

static rbc_status note_skip(rbc_loader *loader, rbc__pending *pending, int64_t row,
                            const rbc_error *problem, rbc_error *err) {
    pthread_mutex_lock(&loader->lock);
    rbc__skip *skips =
        realloc(pending->skips, ((size_t)pending->num_skips + 1) * sizeof *pending->skips);
    if (skips != NULL) {
        pending->skips = skips;
        skips[pending->num_skips++] = (rbc__skip){.row = row, .message = strdup(problem->message)};
    }
    pthread_mutex_unlock(&loader->lock);
    return skips != NULL
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to list a damaged sample");
}

/* Deals with the rows that failed. False, with `error` and `failed_row`, when one fails for good. */
static bool settle_rows(rbc_loader *loader, rbc__pending *pending, rbc__mixed_rows *rows,
                        rbc__maker *maker, rbc_error *error, int64_t *failed_row) {
    if (rows->error.status != RBC_OK) {
        *error = rows->error;
        *failed_row = rows->first;
        return false;
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        rbc_error no_memory;
        const rbc_error *problem = rbc__mixed_rows_failure(rows, i, &no_memory);
        if (problem == NULL) {
            continue;
        }
        const int64_t row = rows->first + i;
        if (loader->on_error == RBC_ON_ERROR_RAISE || rbc__is_shortage(problem)) {
            *error = *problem;
            *failed_row = row;
            return false;
        }
        if (loader->on_error == RBC_ON_ERROR_MASK &&
            rbc__mixed_rows_mask(rows, i, maker, error) != RBC_OK) {
            *failed_row = row;
            return false;
        }
        if (loader->on_error == RBC_ON_ERROR_SKIP) {
            pending->batch->row_is_left_out[row] = 1;
        }
        if (note_skip(loader, pending, row, problem, error) != RBC_OK) {
            *failed_row = row;
            return false;
        }
    }
    return true;
}

static void add_stats(rbc_loader *loader, const rbc__rows_stats *stats, int64_t busy_ns) {
    rbc_loader_stats *sum = &loader->stats;
    for (int32_t i = 0; i < RBC_NUM_STAGES; ++i) {
        loader->busy_ns[i] += stats->spent_ns[i];
    }
    loader->bytes_unpacked += stats->bytes_unpacked;
    loader->bytes_decoded += stats->bytes_decoded;
    loader->images_there += stats->images_there;
    loader->unpack_ns += stats->unpack_ns;
    sum->images_decoded += stats->images_decoded;
    sum->bytes_read += stats->bytes_read;
    sum->fetch_ns += stats->fetch_ns;
    sum->decode_ns += stats->decode_ns;
    if (busy_ns > 0) {
        sum->align_ns += busy_ns - stats->fetch_ns - stats->unpack_ns - stats->decode_ns;
    }
}

/* Says what a thread works on, or that it does not; with the lock held. */
static void work_on(rbc__worker *worker, rbc__pending *pending, int64_t first,
                    const rbc__timeline *timeline) {
    worker->pending = pending;
    worker->first = first;
    worker->timeline = timeline;
}

/* How long reads take: where it is long, others wait for them. */
static void measure_reads(rbc_loader *loader, const rbc__rows_stats *stats) {
    if (stats->num_reads == 0 || loader->is_split) {
        return;
    }
    const bool is_slow = stats->read_ns / stats->num_reads > SLOW_READ_NS;
    loader->slow_share += ((is_slow ? 1.0 : 0.0) - loader->slow_share) * 0.05;
    loader->num_reads += stats->num_reads;
    if (loader->num_reads >= MEASURED_READS && loader->slow_share > 0.5) {
        rbc__threads_split(loader);
    }
}

/* Makes rows that have been fetched. Takes the lock, which is held then. */
static void make_range(rbc__worker *worker, rbc__pending *pending, rbc__mixed_rows *rows,
                       int64_t count, int64_t begin_ns) {
    rbc_loader *loader = worker->loader;
    rbc_error error;
    int64_t failed_row = 0;
    rbc__mixed_rows_make(rows, worker->maker, pending->batch, worker->index,
                         &pending->is_cancelled);
    const bool is_good = settle_rows(loader, pending, rows, worker->maker, &error, &failed_row);
    const int64_t busy_ns = rbc__timeline_enter(&rows->timeline, RBC__STAGE_NONE) - begin_ns;
    const rbc__rows_stats stats = rbc__mixed_rows_take_stats(rows);
    rbc__mixed_rows_end(rows);
    pthread_mutex_lock(&loader->lock);
    work_on(worker, NULL, 0, NULL);
    add_stats(loader, &stats, busy_ns);
    measure_reads(loader, &stats);
    if (!is_good) {
        rbc__pending_fail(pending, &error, failed_row);
    }
    rbc__pending_finish(loader, pending, count, &rows->timeline);
}

/* Whether the rows of a batch may be written, else why not. */
static bool may_write(rbc_loader *loader, rbc__pending *pending, int64_t first) {
    rbc_error error;
    if (rbc__batch_await(pending->batch, &error) == RBC_OK) {
        return true;
    }
    pthread_mutex_lock(&loader->lock);
    rbc__pending_fail(pending, &error, first);
    pthread_mutex_unlock(&loader->lock);
    return false;
}

/* The same of rows that a fetcher has handed over. */
static void make_fetched(rbc__worker *worker, const rbc__fetched *fetched) {
    rbc_loader *loader = worker->loader;
    rbc__timeline *timeline = &fetched->rows->timeline;
    const int64_t begin_ns = rbc__timeline_enter(timeline, RBC_STAGE_ALIGN);
    if (fetched->has_slot && may_write(loader, fetched->pending, fetched->first)) {
        make_range(worker, fetched->pending, fetched->rows, fetched->count, begin_ns);
        return;
    }
    rbc__mixed_rows_end(fetched->rows);
    pthread_mutex_lock(&loader->lock);
    work_on(worker, NULL, 0, NULL);
    rbc__pending_finish(loader, fetched->pending, fetched->count, timeline);
}

static bool is_given_up(const rbc_loader *loader, const rbc__pending *pending, int64_t first) {
    return atomic_load_explicit(&loader->is_stopping, memory_order_relaxed) ||
           atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed) ||
           atomic_load_explicit(&pending->failed_row, memory_order_relaxed) < first;
}

/* ---- threads ------------------------------------------------------------------------------------
 */

/* The end of a thread, with the lock held. */
static void leave(rbc_loader *loader) {
    --loader->num_running;
    pthread_cond_broadcast(&loader->thread_done);
    pthread_mutex_unlock(&loader->lock);
    rbc__loader_release(loader);
}

void *rbc__worker_main(void *argument) {
    rbc__worker *worker = argument;
    rbc_loader *loader = worker->loader;
    pthread_mutex_lock(&loader->lock);
    while (!atomic_load_explicit(&loader->is_stopping, memory_order_relaxed)) {
        int64_t first = 0;
        int64_t count = 0;
        rbc__fetched *fetched = rbc__fetched_take(loader);
        rbc__pending *pending = fetched != NULL ? fetched->pending
                                : !loader->is_split
                                    ? rbc__pending_take(loader, worker->maker, &first, &count)
                                    : NULL;
        if (pending == NULL) {
            const int64_t begin_ns = rbc__now_ns();
            ++loader->num_idle;
            loader->idle_since_ns += (uint64_t)begin_ns;
            pthread_cond_wait(&loader->work_ready, &loader->lock);
            loader->num_idle--;
            loader->idle_since_ns -= (uint64_t)begin_ns;
            loader->idle_ns += rbc__now_ns() - begin_ns;
            continue;
        }
        if (fetched != NULL) {
            work_on(worker, pending, fetched->first, &fetched->rows->timeline);
            worker->maker->is_on_host = rbc__pending_is_on_host(loader, pending, fetched->count);
            pthread_mutex_unlock(&loader->lock);
            make_fetched(worker, fetched);
            rbc__spare_rows_keep(loader, fetched->rows);
            free(fetched);
            continue;
        }
        if (is_given_up(loader, pending, first)) {
            rbc__pending_finish(loader, pending, count, NULL);
            continue;
        }
        rbc__timeline *timeline = &worker->rows->timeline;
        const int64_t begin_ns = rbc__timeline_begin(timeline, RBC_STAGE_ORDER);
        work_on(worker, pending, first, timeline);
        pthread_mutex_unlock(&loader->lock);
        if (!may_write(loader, pending, first)) {
            pthread_mutex_lock(&loader->lock);
            work_on(worker, NULL, 0, NULL);
            rbc__pending_finish(loader, pending, count, timeline);
            continue;
        }
        rbc__mixed_rows_fetch(worker->rows, worker->maker, pending->epoch, pending->position,
                              pending->batch, first, count, &pending->is_cancelled);
        rbc__timeline_enter(timeline, RBC_STAGE_ALIGN);
        make_range(worker, pending, worker->rows, count, begin_ns);
    }
    leave(loader);
    return NULL;
}

/* Reading takes the time of whoever does it, and no core: it is counted by itself. */
static void count_fetch(rbc_loader *loader, rbc__mixed_rows *rows) {
    const rbc__rows_stats stats = rbc__mixed_rows_take_stats(rows);
    add_stats(loader, &stats, 0);
}

void *rbc__fetcher_main(void *argument) {
    rbc__worker *worker = argument;
    rbc_loader *loader = worker->loader;
    pthread_mutex_lock(&loader->lock);
    while (!atomic_load_explicit(&loader->is_stopping, memory_order_relaxed)) {
        int64_t first = 0;
        int64_t count = 0;
        rbc__pending *pending = rbc__pending_take(loader, NULL, &first, &count);
        if (pending == NULL) {
            ++loader->num_idle_fetchers;
            pthread_cond_wait(&loader->fetch_ready, &loader->lock);
            --loader->num_idle_fetchers;
            continue;
        }
        rbc__fetched *fetched = calloc(1, sizeof *fetched);
        rbc__mixed_rows *rows = fetched != NULL ? rbc__spare_rows_take(loader) : NULL;
        if (rows == NULL) {
            rbc_error error;
            free(fetched);
            rbc__fail(&error, RBC_ERROR_OUT_OF_MEMORY, "no memory to fetch a batch");
            rbc__pending_fail(pending, &error, 0);
            rbc__pending_arrive(loader, pending, count, 0);
            rbc__pending_finish(loader, pending, count, NULL);
            continue;
        }
        rbc__timeline *timeline = &rows->timeline;
        rbc__timeline_begin(timeline, RBC_STAGE_ORDER);
        work_on(worker, pending, first, timeline);
        pthread_mutex_unlock(&loader->lock);
        if (!is_given_up(loader, pending, first)) {
            rbc__mixed_rows_fetch(rows, worker->maker, pending->epoch, pending->position, NULL,
                                  first, count, &pending->is_cancelled);
        }
        *fetched = (rbc__fetched){.pending = pending,
                                  .first = first,
                                  .count = count,
                                  .rows = rows,
                                  .bytes = rbc__mixed_rows_bytes(rows)};
        rbc__timeline_enter(timeline, RBC_STAGE_QUEUE);
        pthread_mutex_lock(&loader->lock);
        work_on(worker, NULL, 0, NULL);
        count_fetch(loader, rows);
        if (atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed)) {
            pthread_mutex_unlock(&loader->lock);
            rbc__mixed_rows_end(rows);
            pthread_mutex_lock(&loader->lock);
            rbc__spare_rows_keep(loader, rows);
            rbc__pending_give_back(pending, count);
            free(fetched);
            continue;
        }
        rbc__pending_arrive(loader, pending, count, fetched->bytes);
        rbc__fetched_add(loader, fetched);
    }
    leave(loader);
    return NULL;
}
