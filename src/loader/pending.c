#include "loader/pending.h"

#include <stdlib.h>

#include "core/error.h"

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

void rbc__pending_wake(rbc_loader *loader) {
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

void rbc__pending_give_back(rbc__pending *pending, int64_t count) {
    pending->done_rows += count;
    if (atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed) &&
        pending->done_rows == pending->taken_rows) {
        rbc__pending_destroy(pending);
    }
}

void rbc__spare_rows_keep(rbc_loader *loader, rbc__mixed_rows *rows) {
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
        rbc__spare_rows_keep(loader, fetched->rows);
        rbc__pending_give_back(fetched->pending, fetched->count);
        free(fetched);
    }
    loader->fetched_bytes = 0;
}

void rbc__pending_cancel_all(rbc_loader *loader) {
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

/* ---- taking work --------------------------------------------------------------------------------
 */

/* How many batches may be begun, those of the next epoch among them. */
static int64_t num_foreseen(const rbc_loader *loader) {
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
    if (!loader->is_begun || loader->next_begun >= num_foreseen(loader) ||
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

bool rbc__pending_is_on_host(rbc_loader *loader, const rbc__pending *pending, int64_t rows) {
    if (!loader->makes_there || !loader->pace.is_shared) {
        return false;
    }
    const int64_t num_before =
        pending->index - loader->next_delivered + rbc__slots_num_in_flight(loader->slots);
    return rbc__pace_deal(&loader->pace, rows * loader->images_per_row, num_before);
}

rbc__pending *rbc__pending_take(rbc_loader *loader, rbc__maker *maker, int64_t *first,
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
        maker->is_on_host = rbc__pending_is_on_host(loader, pending, loader->core_range_rows);
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

void rbc__pending_fail(rbc__pending *pending, const rbc_error *error, int64_t row) {
    if (row < atomic_load_explicit(&pending->failed_row, memory_order_relaxed)) {
        pending->error = *error;
        atomic_store_explicit(&pending->failed_row, row, memory_order_relaxed);
    }
}

rbc__fetched *rbc__fetched_take(rbc_loader *loader) {
    for (rbc__fetched **at = &loader->fetched; *at != NULL; at = &(*at)->next) {
        rbc__fetched *fetched = *at;
        rbc__pending *pending = fetched->pending;
        if (pending->batch == NULL) {
            if (loader->num_filling >= loader->num_slots && pending != loader->first_pending) {
                return NULL; /* nor have those behind it */
            }
            rbc_error error;
            if (give_slot(loader, pending, &error) != RBC_OK) {
                rbc__pending_fail(pending, &error, 0);
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

/* All rows of a batch are made: they are closed up and sent to where the batch is used. The lock is
 * left meanwhile. */
static void finish_batch(rbc_loader *loader, rbc__pending *pending) {
    rbc_error error;
    pthread_mutex_unlock(&loader->lock);
    rbc_status status = rbc__batch_finish(pending->batch, &error);
    if (status == RBC_OK) {
        status = rbc__batch_send(pending->batch, &error);
    }
    pthread_mutex_lock(&loader->lock);
    if (status != RBC_OK) {
        rbc__pending_fail(pending, &error, 0);
    }
}

void rbc__pending_finish(rbc_loader *loader, rbc__pending *pending, int64_t count,
                         const rbc__timeline *timeline) {
    const bool is_last = pending->done_rows + count == pending->num_rows;
    if (is_last && pending->batch != NULL && !has_failed(pending)) { /* else none is delivered */
        finish_batch(loader, pending);
    }
    if (pending == loader->first_pending && timeline != NULL) {
        rbc__wait_divide(loader, timeline, timeline->since_ns);
    }
    if (atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed)) {
        rbc__pending_give_back(pending, count);
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

void rbc__pending_arrive(rbc_loader *loader, const rbc__pending *pending, int64_t count,
                         int64_t bytes) {
    loader->expected_bytes -= count * pending->row_bytes;
    if (bytes > 0) { /* the estimate follows what is more at once */
        const int64_t more = bytes / count + 1 - loader->row_bytes;
        loader->row_bytes += more > 0 ? more : more / 4;
    }
}

void rbc__fetched_add(rbc_loader *loader, rbc__fetched *fetched) {
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

rbc__mixed_rows *rbc__spare_rows_take(rbc_loader *loader) {
    rbc__mixed_rows *rows = NULL;
    if (loader->num_spare > 0) {
        return loader->spare_rows[--loader->num_spare];
    }
    (void)rbc__mixed_rows_create(&loader->mixture, loader->rows_params, true,
                                 loader->split_range_rows, &rows, NULL);
    return rows;
}
