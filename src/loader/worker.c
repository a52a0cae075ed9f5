#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "loader/loader.h"

void rbc__fill_destroy(rbc__fill *fill) {
    for (int64_t i = 0; i < fill->num_skips; i++) {
        free(fill->skips[i].message);
    }
    free(fill->skips);
    if (fill->batch != NULL) {
        rbc__slots_give(fill->batch);
    }
    free(fill);
}

void rbc__loader_wake_workers(rbc_loader *loader) {
    const int64_t units = (loader->sampler.batch_size + loader->unit_rows - 1) / loader->unit_rows;
    const int64_t wake = units < loader->num_idle ? units : loader->num_idle;
    for (int64_t i = 0; i < wake; i++) {
        pthread_cond_signal(&loader->work_ready);
    }
}

void rbc__loader_cancel_fills(rbc_loader *loader) {
    while (loader->first_fill != NULL) {
        rbc__fill *fill = loader->first_fill;
        loader->first_fill = fill->next;
        atomic_store_explicit(&fill->is_cancelled, true, memory_order_relaxed);
        if (fill->done_units == fill->taken_units) {
            rbc__fill_destroy(fill);
        }
    }
    loader->last_fill = NULL;
    loader->open_fill = NULL;
    loader->num_fills = 0;
}

static rbc_status begin_fill(rbc_loader *loader, rbc_error *err) {
    rbc__fill *fill = calloc(1, sizeof *fill);
    if (fill == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to begin a batch");
    }
    rbc__sampler_batch(&loader->sampler, loader->next_begun, &fill->position, &fill->num_rows);
    const rbc_status status = rbc__slots_take(loader->slots, fill->num_rows, &fill->batch, err);
    if (status != RBC_OK) {
        rbc__fill_destroy(fill);
        return status;
    }
    fill->batch->index = loader->next_begun++;
    fill->order = loader->order;
    fill->unit_rows = loader->unit_rows;
    fill->num_units = (fill->num_rows + fill->unit_rows - 1) / fill->unit_rows;
    atomic_store_explicit(&fill->failed_row, fill->num_rows, memory_order_relaxed);
    *(loader->last_fill != NULL ? &loader->last_fill->next : &loader->first_fill) = fill;
    loader->last_fill = fill;
    loader->open_fill = fill;
    loader->num_fills++;
    return RBC_OK;
}

/* The next unit to work on, or NULL when there is none now. */
static rbc__fill *take_unit(rbc_loader *loader, int64_t *unit) {
    if (loader->open_fill == NULL) {
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
    rbc__fill *fill = loader->open_fill;
    *unit = fill->taken_units++;
    if (fill->taken_units == fill->num_units) {
        loader->open_fill = NULL;
    }
    return fill;
}

static void leave_out(rbc_loader *loader, rbc__fill *fill, int64_t row, const rbc_error *error) {
    pthread_mutex_lock(&loader->lock);
    fill->batch->row_is_left_out[row] = 1;
    rbc__skip *skips = realloc(fill->skips, ((size_t)fill->num_skips + 1) * sizeof *fill->skips);
    if (skips != NULL) {
        fill->skips = skips;
        skips[fill->num_skips++] = (rbc__skip){.row = row, .message = strdup(error->message)};
    }
    pthread_mutex_unlock(&loader->lock);
}

/* Fills the rows of a unit. False, with `error` and `failed_row`, when one fails for good. */
static bool fill_unit(rbc__worker *worker, rbc__fill *fill, int64_t unit, rbc_error *error,
                      int64_t *failed_row) {
    rbc_loader *loader = worker->loader;
    const int64_t begin = unit * fill->unit_rows;
    const int64_t rest = fill->num_rows - begin;
    const int64_t end = begin + (rest < fill->unit_rows ? rest : fill->unit_rows);
    for (int64_t row = begin; row < end; row++) {
        if (atomic_load_explicit(&loader->is_stopping, memory_order_relaxed) ||
            atomic_load_explicit(&fill->is_cancelled, memory_order_relaxed) ||
            atomic_load_explicit(&fill->failed_row, memory_order_relaxed) < row) {
            return true;
        }
        const int64_t sample = rbc__order_sample(&fill->order, fill->position + row);
        const rbc_status status =
            rbc__fetch_row(worker->fetch, sample, fill->batch, worker->index, row, error);
        if (status == RBC_OK) {
            continue;
        }
        if (loader->on_error == RBC_ON_ERROR_RAISE || rbc__is_shortage(error)) {
            *failed_row = row;
            return false;
        }
        leave_out(loader, fill, row, error);
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

static void finish_unit(rbc_loader *loader, rbc__fill *fill) {
    fill->done_units++;
    if (atomic_load_explicit(&fill->is_cancelled, memory_order_relaxed)) {
        if (fill->done_units == fill->taken_units) {
            rbc__fill_destroy(fill);
        }
        return;
    }
    if (fill->done_units == fill->num_units) {
        rbc__batch_finish(fill->batch);
        fill->is_done = true;
        if (fill == loader->first_fill) {
            pthread_cond_signal(&loader->batch_ready);
        }
    }
}

void *rbc__worker_main(void *argument) {
    rbc__worker *worker = argument;
    rbc_loader *loader = worker->loader;
    pthread_mutex_lock(&loader->lock);
    while (!atomic_load_explicit(&loader->is_stopping, memory_order_relaxed)) {
        int64_t unit = 0;
        rbc__fill *fill = take_unit(loader, &unit);
        if (fill == NULL) {
            loader->num_idle++;
            pthread_cond_wait(&loader->work_ready, &loader->lock);
            loader->num_idle--;
            continue;
        }
        pthread_mutex_unlock(&loader->lock);
        rbc_error error;
        int64_t failed_row = 0;
        const int64_t begin_ns = rbc__fetch_now_ns();
        const bool is_good = fill_unit(worker, fill, unit, &error, &failed_row);
        const int64_t busy_ns = rbc__fetch_now_ns() - begin_ns;
        const rbc__fetch_stats stats = rbc__fetch_take_stats(worker->fetch);
        pthread_mutex_lock(&loader->lock);
        add_stats(&loader->stats, &stats, busy_ns);
        if (!is_good &&
            failed_row < atomic_load_explicit(&fill->failed_row, memory_order_relaxed)) {
            fill->error = error;
            atomic_store_explicit(&fill->failed_row, failed_row, memory_order_relaxed);
        }
        finish_unit(loader, fill);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}
