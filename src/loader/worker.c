#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "loader/threads.h"

/* Where most reads take longer than this they are left to fetchers. A few may, when a thread loses
 * its core. */
#define SLOW_READ_NS   200000
#define MEASURED_READS 64

/* Batches that are fetched ahead at most, however small. */
#define MAX_AHEAD 1024

void rbc__pending_destroy(rbc__pending *pending) {
    for (int64_t i = 0; i < pending->num_skips; ++i) {
        free(pending->skips[i].message);
    }
    free(pending->skips);
    if (pending->batch != NULL) {
        rbc__slots_put_back(pending->batch);
    }
    free(pending);
}

void rbc__loader_wake(rbc_loader *loader) {
    if (loader->is_split) {
        pthread_cond_broadcast(&loader->fetch_ready);
        if (loader->fetched != NULL) { /* what had no slot may have one now */
            pthread_cond_broadcast(&loader->work_ready);
        }
        return;
    }
    const int64_t ranges =
        (loader->sampler.batch_size + loader->core_range_rows - 1) / loader->core_range_rows;
    const int64_t wake = ranges < loader->num_idle ? ranges : loader->num_idle;
    for (int64_t i = 0; i < wake; ++i) {
        pthread_cond_signal(&loader->work_ready);
    }
}

/* A taken range is back: the last of a batch that was cancelled frees it. */
static void give_back(rbc__pending *pending, int64_t count) {
    pending->done_rows += count;
    if (atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed) &&
        pending->done_rows == pending->taken_rows) {
        rbc__pending_destroy(pending);
    }
}

/* Rows that a fetcher may use again. */
static void keep_rows(rbc_loader *loader, rbc__mixed_rows *rows) {
    if (loader->num_spare < loader->spare_room) {
        loader->spare_rows[loader->num_spare++] = rows;
        return;
    }
    rbc__mixed_rows_destroy(&rows);
}

static void drop_fetched(rbc_loader *loader) {
    while (loader->fetched != NULL) {
        rbc__fetched *fetched = loader->fetched;
        loader->fetched = fetched->next;
        rbc__mixed_rows_end(fetched->rows);
        keep_rows(loader, fetched->rows);
        give_back(fetched->pending, fetched->count);
        free(fetched);
    }
    loader->fetched_bytes = 0;
}

void rbc__loader_cancel_pending(rbc_loader *loader) {
    while (loader->first_pending != NULL) {
        rbc__pending *pending = loader->first_pending;
        loader->first_pending = pending->next;
        atomic_store_explicit(&pending->is_cancelled, true, memory_order_relaxed);
        if (pending->done_rows == pending->taken_rows) {
            rbc__pending_destroy(pending);
        }
    }
    drop_fetched(loader);
    loader->last_pending = NULL;
    loader->open_pending = NULL;
    loader->num_pending = loader->num_filling = 0;
    loader->expected_bytes = 0;
}

/* ---- taking work, with the lock held ------------------------------------------------------------
 */

int64_t rbc__loader_num_foreseen(const rbc_loader *loader) {
    const bool is_followed =
        loader->goes_on && loader->epoch + 1 < rbc__mixture_num_epochs(&loader->mixture);
    return loader->dealt.num_batches + (is_followed ? loader->sampler.num_batches : 0);
}

/* Who deals out batch `*index`, which becomes its number there. */
static const rbc__sampler *dealer_of(const rbc_loader *loader, int64_t *index) {
    if (*index < loader->dealt.num_batches) {
        return &loader->dealt;
    }
    *index -= loader->dealt.num_batches;
    return &loader->sampler;
}

static rbc_status give_slot(rbc_loader *loader, rbc__pending *pending, rbc_error *err) {
    RBC__TRY(rbc__slots_acquire(loader->slots, pending->num_rows, &pending->batch, err));
    int64_t index = pending->index;
    const rbc__sampler *dealer = dealer_of(loader, &index);
    pending->batch->position = rbc__sampler_round(dealer, index);
    ++loader->num_filling;
    return RBC_OK;
}

static rbc_status begin_batch(rbc_loader *loader, rbc_error *err) {
    rbc__pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to begin a batch");
    }
    pending->index = loader->next_begun;
    int64_t index = pending->index;
    const rbc__sampler *dealer = dealer_of(loader, &index);
    rbc__sampler_batch(dealer, index, &pending->position, &pending->num_rows);
    if (!loader->is_split) {
        const rbc_status status = give_slot(loader, pending, err);
        if (status != RBC_OK) {
            rbc__pending_destroy(pending);
            return status;
        }
    }
    ++loader->next_begun;
    pending->epoch = dealer == &loader->dealt ? loader->epoch : loader->epoch + 1;
    pending->row_bytes = loader->is_split ? loader->row_bytes : 0;
    loader->expected_bytes += pending->num_rows * pending->row_bytes;
    atomic_store_explicit(&pending->failed_row, pending->num_rows, memory_order_relaxed);
    *(loader->last_pending != NULL ? &loader->last_pending->next : &loader->first_pending) =
        pending;
    loader->last_pending = pending;
    loader->open_pending = pending;
    ++loader->num_pending;
    return RBC_OK;
}

static bool may_begin(const rbc_loader *loader) {
    if (!loader->is_begun || loader->next_begun >= rbc__loader_num_foreseen(loader) ||
        loader->begin_error.status != RBC_OK) {
        return false;
    }
    if (loader->is_split) {
        const int64_t bytes = loader->fetched_bytes + loader->expected_bytes;
        return loader->first_pending == NULL ||
               (loader->row_bytes > 0 && bytes < loader->ahead_bytes &&
                loader->num_pending < MAX_AHEAD);
    }
    return loader->num_pending < loader->num_slots;
}

/* Whether a core is to decode the images of `rows` rows of a batch, where a device could. */
static bool is_on_host(rbc_loader *loader, const rbc__pending *pending, int64_t rows) {
    if (!loader->makes_there || !loader->pace.is_shared) {
        return false;
    }
    const int64_t num_before =
        pending->index - loader->next_delivered + rbc__slots_num_used(loader->slots);
    return rbc__pace_deal(&loader->pace, rows * loader->images_per_row, num_before);
}

/* The next range of rows to fetch, or NULL when there is none now. Where its maker is known, that is
 * told what to do. */
static rbc__pending *take_range(rbc_loader *loader, rbc__maker *maker, int64_t *first,
                                int64_t *count) {
    if (loader->open_pending == NULL) {
        if (!may_begin(loader)) {
            return NULL;
        }
        if (begin_batch(loader, &loader->begin_error) != RBC_OK) {
            pthread_cond_signal(&loader->batch_ready);
            return NULL;
        }
    }
    rbc__pending *pending = loader->open_pending;
    const int64_t rest = pending->num_rows - pending->taken_rows;
    int64_t most = loader->is_split ? loader->split_range_rows : loader->range_rows;
    if (maker != NULL) {
        maker->is_on_host = is_on_host(loader, pending, loader->core_range_rows);
        most = maker->is_on_host ? loader->core_range_rows : most;
    }
    *first = pending->taken_rows;
    *count = rest < most ? rest : most;
    pending->taken_rows += *count;
    if (pending->taken_rows == pending->num_rows) {
        loader->open_pending = NULL;
    }
    return pending;
}

static bool has_failed(const rbc__pending *pending) {
    return atomic_load_explicit(&pending->failed_row, memory_order_relaxed) < pending->num_rows;
}

static void fail_range(rbc__pending *pending, const rbc_error *error, int64_t row) {
    if (row < atomic_load_explicit(&pending->failed_row, memory_order_relaxed)) {
        pending->error = *error;
        atomic_store_explicit(&pending->failed_row, row, memory_order_relaxed);
    }
}

/* Where a range that is fetched can be made now, the first of them. Its batch has a slot then, or
 * has failed for want of one. */
static rbc__fetched *take_fetched(rbc_loader *loader) {
    for (rbc__fetched **at = &loader->fetched; *at != NULL; at = &(*at)->next) {
        rbc__fetched *fetched = *at;
        rbc__pending *pending = fetched->pending;
        if (pending->batch == NULL) {
            if (loader->num_filling >= loader->num_slots && pending != loader->first_pending) {
                return NULL; /* nor have those behind it */
            }
            rbc_error error;
            if (give_slot(loader, pending, &error) != RBC_OK) {
                fail_range(pending, &error, 0);
            }
        }
        fetched->has_slot = pending->batch != NULL;
        *at = fetched->next;
        loader->fetched_bytes -= fetched->bytes;
        pthread_cond_broadcast(&loader->fetch_ready);
        return fetched;
    }
    return NULL;
}

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

/* All rows of a batch are made: they are closed up and sent to where the batch is used. With the
 * lock held, which is left meanwhile. */
static void finish_batch(rbc_loader *loader, rbc__pending *pending) {
    rbc_error error;
    pthread_mutex_unlock(&loader->lock);
    rbc_status status = rbc__batch_finish(pending->batch, &error);
    if (status == RBC_OK) {
        status = rbc__batch_send(pending->batch, &error);
    }
    pthread_mutex_lock(&loader->lock);
    if (status != RBC_OK) {
        fail_range(pending, &error, 0);
    }
}

/* With the lock held. `timeline` NULL: nothing was done for it. */
static void finish_range(rbc_loader *loader, rbc__pending *pending, int64_t count,
                         const rbc__timeline *timeline) {
    const bool is_last = pending->done_rows + count == pending->num_rows;
    if (is_last && pending->batch != NULL && !has_failed(pending)) { /* else none is delivered */
        finish_batch(loader, pending);
    }
    if (pending == loader->first_pending && timeline != NULL) {
        rbc__wait_divide(loader, timeline, timeline->since_ns);
    }
    if (atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed)) {
        give_back(pending, count);
        return;
    }
    pending->done_rows += count;
    if (pending->done_rows == pending->num_rows) {
        pending->is_done = true;
        if (pending == loader->first_pending) {
            pthread_cond_signal(&loader->batch_ready);
        }
    }
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
        fail_range(pending, &error, failed_row);
    }
    finish_range(loader, pending, count, &rows->timeline);
}

/* Whether the rows of a batch may be written, else why not. */
static bool may_write(rbc_loader *loader, rbc__pending *pending, int64_t first) {
    rbc_error error;
    if (rbc__batch_await(pending->batch, &error) == RBC_OK) {
        return true;
    }
    pthread_mutex_lock(&loader->lock);
    fail_range(pending, &error, first);
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
    finish_range(loader, fetched->pending, fetched->count, timeline);
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
        rbc__fetched *fetched = take_fetched(loader);
        rbc__pending *pending = fetched != NULL ? fetched->pending
                                : !loader->is_split
                                    ? take_range(loader, worker->maker, &first, &count)
                                    : NULL;
        if (pending == NULL) {
            const int64_t begin_ns = rbc__now_ns();
            ++loader->num_idle;
            loader->idle_since_ns += begin_ns;
            pthread_cond_wait(&loader->work_ready, &loader->lock);
            loader->num_idle--;
            loader->idle_since_ns -= begin_ns;
            loader->idle_ns += rbc__now_ns() - begin_ns;
            continue;
        }
        if (fetched != NULL) {
            work_on(worker, pending, fetched->first, &fetched->rows->timeline);
            worker->maker->is_on_host = is_on_host(loader, pending, fetched->count);
            pthread_mutex_unlock(&loader->lock);
            make_fetched(worker, fetched);
            keep_rows(loader, fetched->rows);
            free(fetched);
            continue;
        }
        if (is_given_up(loader, pending, first)) {
            finish_range(loader, pending, count, NULL);
            continue;
        }
        rbc__timeline *timeline = &worker->rows->timeline;
        const int64_t begin_ns = rbc__timeline_begin(timeline, RBC_STAGE_ORDER);
        work_on(worker, pending, first, timeline);
        pthread_mutex_unlock(&loader->lock);
        if (!may_write(loader, pending, first)) {
            pthread_mutex_lock(&loader->lock);
            work_on(worker, NULL, 0, NULL);
            finish_range(loader, pending, count, timeline);
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

/* With the lock held: what was expected of a range of rows is there, `bytes` of it, or has failed.
 */
static void settle_expected(rbc_loader *loader, const rbc__pending *pending, int64_t count,
                            int64_t bytes) {
    loader->expected_bytes -= count * pending->row_bytes;
    if (bytes > 0) { /* the estimate follows what is more at once */
        const int64_t more = bytes / count + 1 - loader->row_bytes;
        loader->row_bytes += more > 0 ? more : more / 4;
    }
}

/* Puts fetched rows among the others, in order. With the lock held. */
static void hand_over(rbc_loader *loader, rbc__fetched *fetched) {
    rbc__fetched **at = &loader->fetched;
    while (*at != NULL && ((*at)->pending->index < fetched->pending->index ||
                           ((*at)->pending == fetched->pending && (*at)->first < fetched->first))) {
        at = &(*at)->next;
    }
    fetched->next = *at;
    *at = fetched;
    loader->fetched_bytes += fetched->bytes;
    if (loader->fetched_bytes > loader->max_fetched_bytes) {
        loader->max_fetched_bytes = loader->fetched_bytes;
    }
    pthread_cond_signal(&loader->work_ready);
}

/* Rows for a fetcher; NULL: no memory. With the lock held. */
static rbc__mixed_rows *spare_rows(rbc_loader *loader) {
    rbc__mixed_rows *rows = NULL;
    if (loader->num_spare > 0) {
        return loader->spare_rows[--loader->num_spare];
    }
    (void)rbc__mixed_rows_create(&loader->mixture, loader->rows_params, true,
                                 loader->split_range_rows, &rows, NULL);
    return rows;
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
        rbc__pending *pending = take_range(loader, NULL, &first, &count);
        if (pending == NULL) {
            ++loader->num_idle_fetchers;
            pthread_cond_wait(&loader->fetch_ready, &loader->lock);
            --loader->num_idle_fetchers;
            continue;
        }
        rbc__fetched *fetched = calloc(1, sizeof *fetched);
        rbc__mixed_rows *rows = fetched != NULL ? spare_rows(loader) : NULL;
        if (rows == NULL) {
            rbc_error error;
            free(fetched);
            rbc__fail(&error, RBC_ERROR_OUT_OF_MEMORY, "no memory to fetch a batch");
            fail_range(pending, &error, 0);
            settle_expected(loader, pending, count, 0);
            finish_range(loader, pending, count, NULL);
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
            keep_rows(loader, rows);
            give_back(pending, count);
            free(fetched);
            continue;
        }
        settle_expected(loader, pending, count, fetched->bytes);
        hand_over(loader, fetched);
    }
    leave(loader);
    return NULL;
}
