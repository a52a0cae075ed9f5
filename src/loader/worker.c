#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "loader/loader.h"

void rbc__pending_destroy(rbc__pending *pending) {
    for (int64_t i = 0; i < pending->num_skips; ++i) {
        free(pending->skips[i].message);
    }
    free(pending->skips);
    if (pending->batch != NULL) {
        rbc__slots_release(pending->batch);
    }
    free(pending);
}

void rbc__loader_wake_workers(rbc_loader *loader) {
    const int64_t ranges =
        (loader->sampler.batch_size + loader->range_rows - 1) / loader->range_rows;
    const int64_t wake = ranges < loader->num_idle ? ranges : loader->num_idle;
    for (int64_t i = 0; i < wake; ++i) {
        pthread_cond_signal(&loader->work_ready);
    }
}

void rbc__loader_cancel_pending(rbc_loader *loader) {
    while (loader->first_pending != NULL) {
        rbc__pending *pending = loader->first_pending;
        loader->first_pending = pending->next;
        atomic_store_explicit(&pending->is_cancelled, true, memory_order_relaxed);
        if (pending->done_ranges == pending->taken_ranges) {
            rbc__pending_destroy(pending);
        }
    }
    loader->last_pending = NULL;
    loader->open_pending = NULL;
    loader->num_fills = 0;
}

static rbc_status begin_fill(rbc_loader *loader, rbc_error *err) {
    rbc__pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to begin a batch");
    }
    rbc__sampler_batch(&loader->sampler, loader->next_begun, &pending->position,
                       &pending->num_rows);
    const rbc_status status =
        rbc__slots_acquire(loader->slots, pending->num_rows, &pending->batch, err);
    if (status != RBC_OK) {
        rbc__pending_destroy(pending);
        return status;
    }
    pending->batch->index = loader->next_begun++;
    pending->order = loader->order;
    pending->range_rows = loader->range_rows;
    pending->num_ranges = (pending->num_rows + pending->range_rows - 1) / pending->range_rows;
    atomic_store_explicit(&pending->failed_row, pending->num_rows, memory_order_relaxed);
    *(loader->last_pending != NULL ? &loader->last_pending->next : &loader->first_pending) =
        pending;
    loader->last_pending = pending;
    loader->open_pending = pending;
    ++loader->num_fills;
    return RBC_OK;
}

/* The next range of rows to work on, or NULL when there is none now. */
static rbc__pending *take_range(rbc_loader *loader, int64_t *range) {
    if (loader->open_pending == NULL) {
        if (!loader->is_begun || loader->num_fills >= loader->num_slots ||
            loader->next_begun >= loader->sampler.num_batches ||
            loader->begin_error.status != RBC_OK) {
            return NULL;
        }
        if (begin_fill(loader, &loader->begin_error) != RBC_OK) {
            pthread_cond_signal(&loader->batch_ready);
            return NULL;
        }
    }
    rbc__pending *pending = loader->open_pending;
    *range = pending->taken_ranges++;
    if (pending->taken_ranges == pending->num_ranges) {
        loader->open_pending = NULL;
    }
    return pending;
}

static void leave_out(rbc_loader *loader, rbc__pending *pending, int64_t row,
                      const rbc_error *error) {
    pthread_mutex_lock(&loader->lock);
    pending->batch->row_is_left_out[row] = 1;
    rbc__skip *skips =
        realloc(pending->skips, ((size_t)pending->num_skips + 1) * sizeof *pending->skips);
    if (skips != NULL) {
        pending->skips = skips;
        skips[pending->num_skips++] = (rbc__skip){.row = row, .message = strdup(error->message)};
    }
    pthread_mutex_unlock(&loader->lock);
}

/* Fills the rows of a range of rows. False, with `error` and `failed_row`, when one fails for good.
 */
static bool fill_range(rbc__worker *worker, rbc__pending *pending, int64_t range, rbc_error *error,
                       int64_t *failed_row) {
    rbc_loader *loader = worker->loader;
    const int64_t begin = range * pending->range_rows;
    const int64_t rest = pending->num_rows - begin;
    const int64_t end = begin + (rest < pending->range_rows ? rest : pending->range_rows);
    for (int64_t row = begin; row < end; ++row) {
        if (atomic_load_explicit(&loader->is_stopping, memory_order_relaxed) ||
            atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed) ||
            atomic_load_explicit(&pending->failed_row, memory_order_relaxed) < row) {
            return true;
        }
        const int64_t sample = rbc__order_sample(&pending->order, pending->position + row);
        const rbc_status status =
            rbc__fetch_row(worker->fetch, sample, pending->batch, worker->index, row, error);
        if (status == RBC_OK) {
            continue;
        }
        if (loader->on_error == RBC_ON_ERROR_RAISE || rbc__is_shortage(error)) {
            *failed_row = row;
            return false;
        }
        leave_out(loader, pending, row, error);
    }
    return true;
}

static void add_stats(rbc_loader_stats *sum, const rbc__fetch_stats *stats, int64_t busy_ns) {
    sum->images_decoded += stats->images_decoded;
    sum->bytes_read += stats->bytes_read;
    sum->fetch_ns += stats->fetch_ns;
    sum->decode_ns += stats->decode_ns;
    sum->align_ns += busy_ns - stats->fetch_ns - stats->decode_ns;
}

static void finish_range(rbc_loader *loader, rbc__pending *pending) {
    ++pending->done_ranges;
    if (atomic_load_explicit(&pending->is_cancelled, memory_order_relaxed)) {
        if (pending->done_ranges == pending->taken_ranges) {
            rbc__pending_destroy(pending);
        }
        return;
    }
    if (pending->done_ranges == pending->num_ranges) {
        rbc__batch_finish(pending->batch);
        pending->is_done = true;
        if (pending == loader->first_pending) {
            pthread_cond_signal(&loader->batch_ready);
        }
    }
}

void *rbc__worker_main(void *argument) {
    rbc__worker *worker = argument;
    rbc_loader *loader = worker->loader;
    pthread_mutex_lock(&loader->lock);
    while (!atomic_load_explicit(&loader->is_stopping, memory_order_relaxed)) {
        int64_t range = 0;
        rbc__pending *pending = take_range(loader, &range);
        if (pending == NULL) {
            ++loader->num_idle;
            pthread_cond_wait(&loader->work_ready, &loader->lock);
            loader->num_idle--;
            continue;
        }
        pthread_mutex_unlock(&loader->lock);
        rbc_error error;
        int64_t failed_row = 0;
        const int64_t begin_ns = rbc__now_ns();
        const bool is_good = fill_range(worker, pending, range, &error, &failed_row);
        const int64_t busy_ns = rbc__now_ns() - begin_ns;
        const rbc__fetch_stats stats = rbc__fetch_take_stats(worker->fetch);
        pthread_mutex_lock(&loader->lock);
        add_stats(&loader->stats, &stats, busy_ns);
        if (!is_good &&
            failed_row < atomic_load_explicit(&pending->failed_row, memory_order_relaxed)) {
            pending->error = error;
            atomic_store_explicit(&pending->failed_row, failed_row, memory_order_relaxed);
        }
        finish_range(loader, pending);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}
