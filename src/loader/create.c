#define _GNU_SOURCE

#include "loader/loader.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/params.h"
#include "loader/require.h"

#define MAX_THREADS 1024

/* All workers' caches of episodes together. */
#define CACHE_BYTES    (INT64_C(128) << 20)
#define CACHE_EPISODES 512

/* Rows of a range: enough work to make the lock cheap, little enough to share a batch out.
 */
#define RANGE_ROWS   64
#define RANGE_IMAGES 16

static int32_t num_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return CPU_COUNT(&set);
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < MAX_THREADS ? (int32_t)online : 1;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static rbc_status copy_params(const rbc_loader_params *params, rbc_loader_params *out,
                              rbc_error *err) {
    const rbc_loader_params defaults = RBC_LOADER_PARAMS_INIT;
    *out = defaults;
    RBC__TRY(rbc__params_read(params, out, sizeof *out, "params", err));
    if (out->num_threads < 0 || out->num_threads > MAX_THREADS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_threads is %d; wanted 0 to %d",
                         out->num_threads, MAX_THREADS);
    }
    if (out->num_slots < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_slots is %d; wanted at least 0",
                         out->num_slots);
    }
    if (out->snap_ns < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "snap_ns is %lld; wanted at least 0",
                         (long long)out->snap_ns);
    }
    if (out->num_clock < 0 || (out->num_clock > 0 && out->clock == NULL) || out->num_require < 0 ||
        (out->num_require > 0 && out->require == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "num_clock is %d, clock is %s; num_require is %d, require is %s",
                         out->num_clock, out->clock == NULL ? "NULL" : "set", out->num_require,
                         out->require == NULL ? "NULL" : "set");
    }
    if (out->on_error != RBC_ON_ERROR_RAISE && out->on_error != RBC_ON_ERROR_SKIP) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "on_error is %d; wanted raise or skip",
                         (int)out->on_error);
    }
    out->num_threads = out->num_threads > 0 ? out->num_threads : num_cores();
    return RBC_OK;
}

static bool has_stamps(const rbc__schema *schema) {
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        if (schema->streams[i].times >= 0) {
            return true;
        }
    }
    return false;
}

/* The clock's rate and that of steps without stamps. */
static rbc_status choose_rates(const rbc_loader *loader, const rbc_loader_params *params,
                               double *rate_hz, double *control_hz, rbc_error *err) {
    *control_hz = rbc__dataset_control_rate(loader->dataset);
    *rate_hz = params->rate_hz;
    if (*rate_hz == 0.0) {
        if (*control_hz <= 0.0) {
            rbc_dataset_info info;
            rbc_dataset_get_info(loader->dataset, &info);
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "the control rate of dataset '%s' (%s) is unknown: set rate_hz",
                             info.name, info.path);
        }
        *rate_hz = *control_hz;
    }
    if (*control_hz <= 0.0 && !has_stamps(rbc__dataset_schema(loader->dataset))) {
        *control_hz = *rate_hz;
    }
    return RBC_OK;
}

/* One worker is made first: it finds the image shapes that the dataset does not declare. */
static rbc_status make_worker(rbc_loader *loader, int32_t index, rbc_error *err) {
    const int64_t num_threads = loader->num_threads;
    rbc__worker *worker = &loader->workers[index];
    worker->loader = loader;
    worker->index = index;
    return rbc__fetch_create(loader->spec, &loader->clock, loader->selection,
                             clamp(CACHE_EPISODES / num_threads, 16, 256),
                             clamp(CACHE_BYTES / num_threads, INT64_C(2) << 20, INT64_C(32) << 20),
                             &worker->fetch, err);
}

static rbc_status find_image_shapes(rbc_loader *loader, rbc__batch_spec *spec, rbc_error *err) {
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc__image_shape *image = &spec->windows[i].image;
        const rbc__used_stream *used = &spec->used[spec->windows[i].stream_at];
        if (used->schema->kind != RBC_STREAM_IMAGE ||
            (image->height >= 0 && image->width >= 0 && image->channels >= 0)) {
            continue;
        }
        rbc__image_shape found;
        RBC__TRY(rbc__fetch_image_shape(loader->workers[0].fetch, spec->windows[i].stream_at,
                                        &found, err));
        image->is_first = image->height < 0 || image->width < 0;
        image->height = image->height >= 0 ? image->height : found.height;
        image->width = image->width >= 0 ? image->width : found.width;
        image->channels = image->channels >= 0 ? image->channels : found.channels;
    }
    return RBC_OK;
}

static rbc_status prepare_clock(rbc_loader *loader, const rbc_loader_params *params,
                                rbc_error *err) {
    const rbc_selection *selection = loader->selection;
    rbc__reference *reference = &loader->reference;
    rbc__clock_params clock = {.snap_ns = params->snap_ns,
                               .num_episodes = rbc_selection_size(selection),
                               .steps = rbc__selection_steps(selection),
                               .steps_start_ns = rbc__selection_start_ns(selection),
                               .steps_end_ns = rbc__selection_end_ns(selection)};
    RBC__TRY(choose_rates(loader, params, &clock.rate_hz, &clock.control_rate_hz, err));
    RBC__TRY(rbc__reference_init(reference, selection, params->clock, params->num_clock,
                                 clock.control_rate_hz > 0.0, err));
    clock.start_ns = reference->start_ns != NULL ? reference->start_ns : clock.steps_start_ns;
    clock.end_ns = reference->end_ns != NULL ? reference->end_ns : clock.steps_end_ns;
    clock.is_on_steps = reference->is_on_steps;
    clock.is_named = reference->is_named;
    RBC__TRY(rbc__clock_init(&loader->clock, &clock, err));
    return rbc__sampler_init(&loader->sampler, rbc__clock_num_samples(&loader->clock), params, err);
}

static rbc_status require(rbc_loader *loader, const rbc_loader_params *params,
                          const rbc__batch_spec_params *spec_params, rbc_error *err) {
    if (params->num_require == 0) {
        return RBC_OK;
    }
    RBC__TRY(rbc__require(&loader->clock, spec_params, loader->selection, params->require,
                          params->num_require, params->on_error, err));
    return rbc__sampler_init(&loader->sampler, rbc__clock_num_samples(&loader->clock), params, err);
}

static rbc_status prepare(rbc_loader *loader, const rbc_loader_params *params,
                          rbc__batch_spec **spec, rbc_error *err) {
    rbc_jpeg_dct jpeg_dct;
    RBC__TRY(rbc__jpeg_dct_choose(params->jpeg_dct, rbc__dataset_jpeg_dct(loader->dataset),
                                  &jpeg_dct, err));
    RBC__TRY(prepare_clock(loader, params, err));
    rbc_dataset_info info;
    rbc_dataset_get_info(loader->dataset, &info);
    const rbc__batch_spec_params spec_params = {.dataset_name = info.name,
                                                .schema = rbc__dataset_schema(loader->dataset),
                                                .windows = params->windows,
                                                .num_windows = params->num_windows,
                                                .batch_size = params->batch_size,
                                                .clock = &loader->clock,
                                                .jpeg_dct = jpeg_dct};
    RBC__TRY(rbc__batch_spec_create(&spec_params, spec, err));
    loader->spec = *spec;
    RBC__TRY(rbc__reference_check(&loader->reference, &loader->clock, *spec, &loader->notes, err));
    RBC__TRY(require(loader, params, &spec_params, err));
    loader->workers = calloc((size_t)params->num_threads, sizeof *loader->workers);
    if (loader->workers == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d workers",
                         params->num_threads);
    }
    RBC__TRY(make_worker(loader, 0, err));
    RBC__TRY(find_image_shapes(loader, *spec, err));
    RBC__TRY(rbc__batch_fields_add(*spec, params->windows, err));
    const int64_t images = (*spec)->images_per_sample;
    loader->range_rows = images > 0 ? clamp(RANGE_IMAGES / images, 1, RANGE_ROWS) : RANGE_ROWS;
    loader->num_slots = params->num_slots > 0
                            ? params->num_slots
                            : rbc__slots_default(params->num_threads, (*spec)->slot_bytes);
    RBC__TRY(rbc__slots_create(*spec, loader->num_slots, params->num_threads, &loader->slots, err));
    *spec = NULL;
    for (int32_t i = 1; i < params->num_threads; ++i) {
        RBC__TRY(make_worker(loader, i, err));
    }
    return RBC_OK;
}

static rbc_status start_threads(rbc_loader *loader, int32_t num_threads, rbc_error *err) {
    /* Signals belong to the program's own threads; faults must reach whoever caused them. */
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int failure = 0;
    while (loader->num_workers < num_threads && failure == 0) {
        rbc__worker *worker = &loader->workers[loader->num_workers];
        failure = pthread_create(&worker->thread, NULL, rbc__worker_main, worker);
        loader->num_workers += failure == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        return rbc__fail_errno(err, failure, "thread %d of %d could not be started",
                               loader->num_workers + 1, num_threads);
    }
    return RBC_OK;
}

static bool init_locks(rbc_loader *loader) {
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0) {
        return false;
    }
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    const bool has_lock = pthread_mutex_init(&loader->lock, NULL) == 0;
    const bool has_work = has_lock && pthread_cond_init(&loader->work_ready, NULL) == 0;
    const bool has_batch = has_work && pthread_cond_init(&loader->batch_ready, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (has_work && !has_batch) {
        pthread_cond_destroy(&loader->work_ready);
    }
    if (has_lock && !has_batch) {
        pthread_mutex_destroy(&loader->lock);
    }
    return has_batch;
}

static void stop_threads(rbc_loader *loader) {
    pthread_mutex_lock(&loader->lock);
    atomic_store_explicit(&loader->is_stopping, true, memory_order_relaxed);
    pthread_cond_broadcast(&loader->work_ready);
    pthread_mutex_unlock(&loader->lock);
    for (int32_t i = 0; i < loader->num_workers; ++i) {
        pthread_join(loader->workers[i].thread, NULL);
    }
}

static void destroy(rbc_loader *loader) {
    stop_threads(loader);
    rbc__loader_cancel_pending(loader);
    for (int32_t i = 0; loader->workers != NULL && i < loader->num_threads; ++i) {
        rbc__fetch_destroy(&loader->workers[i].fetch);
    }
    for (int64_t i = 0; i < loader->num_skipped_kept; ++i) {
        free(loader->skipped[i]);
    }
    free(loader->skipped);
    free(loader->workers);
    rbc__slots_close(&loader->slots);
    rbc__clock_free(&loader->clock);
    rbc__reference_free(&loader->reference);
    rbc__notes_free(&loader->notes);
    pthread_cond_destroy(&loader->batch_ready);
    pthread_cond_destroy(&loader->work_ready);
    pthread_mutex_destroy(&loader->lock);
    rbc_selection_destroy(&loader->selection);
    free(loader);
}

rbc_status rbc_loader_create(const rbc_selection *selection, const rbc_loader_params *params,
                             rbc_loader **out, rbc_error *err) {
    *out = NULL;
    rbc_loader_params checked;
    RBC__TRY(copy_params(params, &checked, err));
    if (selection == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "selection is NULL");
    }
    rbc_loader *loader = calloc(1, sizeof *loader);
    if (loader == NULL || !init_locks(loader)) {
        free(loader);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a loader");
    }
    loader->selection = rbc__selection_retain(selection);
    loader->process = getpid();
    loader->shared_lock = &loader->lock;
    loader->dataset = rbc_selection_dataset(selection);
    loader->on_error = checked.on_error;
    loader->num_threads = checked.num_threads;
    rbc__batch_spec *spec = NULL;
    rbc_status status = prepare(loader, &checked, &spec, err);
    if (status == RBC_OK) {
        status = start_threads(loader, checked.num_threads, err);
    }
    if (status != RBC_OK) {
        destroy(loader);
        rbc__batch_spec_destroy(&spec);
        return status;
    }
    *out = loader;
    return RBC_OK;
}

void rbc_loader_destroy(rbc_loader **loader) {
    rbc_loader *closing = *loader;
    *loader = NULL;
    /* In a child made by fork() the workers are not there and the locks may be held for ever. */
    if (closing != NULL && closing->process == getpid()) {
        destroy(closing);
    }
}
