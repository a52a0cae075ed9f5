#define _GNU_SOURCE

#include "loader/loader.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cpu.h"
#include "core/error.h"
#include "core/monotonic.h"
#include "core/params.h"
#include "loader/kept_steps.h"
#include "loader/require.h"

#define MAX_THREADS 1024

/* How long closing waits for a thread at most. */
#define CLOSE_NS 100000000

/* All workers' caches of episodes together. */
#define CACHE_BYTES    (INT64_C(128) << 20)
#define CACHE_EPISODES 512

/* Rows of a range: enough work to make the lock cheap, little enough to share a batch out.
 */
#define RANGE_ROWS   64
#define RANGE_IMAGES 16

/* Where reading takes its time there are fetchers, and ranges that are worth waiting for. A core
 * makes some 4,500 images of 256x256 a second; a range of 64 of them is fetched in two reads, one
 * after the other: with this many to a core it may take 0.2 s. */
#define FETCHERS_A_WORKER  16
#define MIN_FETCHERS       32
#define MAX_FETCHERS       256
#define SPLIT_RANGE_IMAGES 64

/* Blocks that are unpacked more often than so are worth telling. */
#define WORTH_A_NOTE 3.0

/* Of what blocks may take, one part in so many is for decoders of video where frames are wanted: where
 * one for each thread takes more, up to the other. */
#define DECODERS_SHARE     4
#define MAX_DECODERS_SHARE 2
#define MAX_PICTURE_EDGE   65536

/* Blocks, episodes and what is fetched ahead, where nobody says. */
#define DEFAULT_SHARED_BYTES (INT64_C(512) << 20)

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
    if (out->on_error != RBC_ON_ERROR_RAISE && out->on_error != RBC_ON_ERROR_SKIP &&
        out->on_error != RBC_ON_ERROR_MASK) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "on_error is %d; wanted raise, skip or mask", (int)out->on_error);
    }
    if (out->memory_bytes < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "memory_bytes is %lld; wanted at least 0",
                         (long long)out->memory_bytes);
    }
    out->num_threads = out->num_threads > 0 ? out->num_threads : rbc__num_cores();
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
    rbc__worker *worker = &loader->workers[index];
    const bool is_fetcher = index >= loader->num_threads;
    worker->loader = loader;
    worker->index = is_fetcher ? -1 : index;
    RBC__TRY(rbc__maker_create(loader->spec->jpeg_dct,
                               !is_fetcher && loader->spec->images_per_sample > 0, &worker->maker,
                               err));
    return is_fetcher ? RBC_OK
                      : rbc__rows_create(&loader->rows_params, RANGE_ROWS, &worker->rows, err);
}

static rbc_status find_image_shapes(rbc_loader *loader, rbc__batch_spec *spec, rbc_error *err) {
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc__image_shape *image = &spec->windows[i].image;
        const rbc__used_stream *used = &spec->used[spec->windows[i].stream_at];
        if (!rbc__window_needs_shape(&spec->windows[i], used)) {
            continue;
        }
        rbc__image_shape found;
        RBC__TRY(rbc__rows_image_shape(loader->workers[0].rows, loader->workers[0].maker,
                                       spec->windows[i].stream_at, &found, err));
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
    RBC__TRY(rbc__keep_steps(&loader->clock, selection, err));
    return rbc__sampler_init(&loader->sampler, rbc__clock_num_samples(&loader->clock), params, err);
}

static rbc_status require(rbc_loader *loader, const rbc_loader_params *params,
                          const rbc__batch_spec_params *spec_params, rbc_error *err) {
    if (params->num_require == 0) {
        return RBC_OK;
    }
    rbc__request_watch *watch = loader->watch.interrupt != NULL ? &loader->watch : NULL;
    RBC__TRY(rbc__require(&loader->clock, spec_params, loader->selection, params->require,
                          params->num_require, params->on_error, watch, err));
    return rbc__sampler_init(&loader->sampler, rbc__clock_num_samples(&loader->clock), params, err);
}

/* Decoders of video: one for each thread, and for each stream more that a thread goes through; 0 where
 * no frames are wanted. `*bytes`: that they take, about. */
static int32_t count_decoders(const rbc__batch_spec *spec, int32_t num_threads, int64_t *bytes) {
    int32_t num_streams = 0;
    int64_t largest = 0;
    for (int32_t i = 0; i < spec->num_used; ++i) {
        const rbc__stream_schema *schema = spec->used[i].schema;
        if (schema->stored.encoding == RBC__ENCODING_FRAME && schema->ndim == 3) {
            const int64_t each =
                rbc__video_decoder_bytes(clamp(schema->shape[0], 0, MAX_PICTURE_EDGE),
                                         clamp(schema->shape[1], 0, MAX_PICTURE_EDGE));
            largest = each > largest ? each : largest;
            ++num_streams;
        }
    }
    const int32_t count = num_streams > 0 ? num_threads + num_streams - 1 : 0;
    *bytes = count * largest;
    return count;
}

/* What is unpacked and decoders share `bound`, which grows where nobody has said it. */
static rbc_status share_decoders(rbc_loader *loader, int32_t num_threads, int64_t bound,
                                 rbc_error *err) {
    int64_t wanted;
    const int32_t count = count_decoders(loader->spec, num_threads, &wanted);
    const int64_t most = bound / MAX_DECODERS_SHARE;
    if (loader->memory_bytes == 0) {
        const int64_t more = wanted > most ? wanted - most : 0;
        bound += more;
        loader->memory_bytes = DEFAULT_SHARED_BYTES + more;
    } else if (wanted > most) {
        rbc__notes_add(
            &loader->notes,
            "decoders of video, %d of them, take about %lld bytes, of which memory_bytes of %lld "
            "holds %lld; %lld would do",
            count, (long long)wanted, (long long)loader->memory_bytes, (long long)most,
            (long long)wanted * MAX_DECODERS_SHARE * 4);
        wanted = most;
    }
    const int64_t decoder_bytes =
        count == 0 || wanted > bound / DECODERS_SHARE ? wanted : bound / DECODERS_SHARE;
    RBC__TRY(rbc__block_cache_create(bound - decoder_bytes, &loader->blocks, err));
    return rbc__video_pool_create(decoder_bytes, count, &loader->videos, err);
}

static void retain_loader(void *owner) {
    atomic_fetch_add_explicit(&((rbc_loader *)owner)->references, 1, memory_order_relaxed);
}

static void release_loader(void *owner) {
    rbc__loader_release(owner);
}

/* What threads share of the dataset. */
static rbc_status prepare_store(rbc_loader *loader, const rbc_loader_params *params,
                                rbc_error *err) {
    loader->num_fetchers = (int32_t)clamp((int64_t)FETCHERS_A_WORKER * params->num_threads,
                                          MIN_FETCHERS, MAX_FETCHERS);
    const int32_t num_workers = params->num_threads + loader->num_fetchers;
    rbc__request_params requests = rbc__dataset_requests(loader->dataset);
    loader->workers = calloc((size_t)num_workers, sizeof *loader->workers);
    loader->spare_room = num_workers;
    loader->spare_rows = calloc((size_t)loader->spare_room, sizeof(rbc__rows *));
    if (loader->workers == NULL || loader->spare_rows == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d workers",
                         params->num_threads);
    }
    loader->memory_bytes = params->memory_bytes;
    const int64_t bound =
        params->memory_bytes > 0 ? params->memory_bytes / 4 : DEFAULT_SHARED_BYTES / 2;
    RBC__TRY(rbc__episodes_create(loader->spec, loader->selection, CACHE_EPISODES,
                                  bound < CACHE_BYTES ? bound : CACHE_BYTES, &loader->episodes,
                                  err));
    RBC__TRY(share_decoders(loader, params->num_threads, bound, err));
    loader->ahead_bytes = bound / 2;
    requests.cache = loader->blocks;
    requests.videos = loader->videos;
    requests.watch = loader->watch.interrupt != NULL ? &loader->watch : NULL;
    loader->rows_params = (rbc__rows_params){.spec = loader->spec,
                                             .clock = &loader->clock,
                                             .episodes = loader->episodes,
                                             .requests = requests};
    return RBC_OK;
}

/* How many slots there are within the bound, a quarter of which is the others'. */
static rbc_status share_memory(rbc_loader *loader, const rbc_loader_params *params,
                               int64_t slot_bytes, rbc_error *err) {
    loader->num_slots = params->num_slots > 0 ? params->num_slots
                                              : rbc__slots_default(params->num_threads, slot_bytes);
    if (params->memory_bytes == 0) {
        loader->memory_bytes += loader->num_slots * slot_bytes;
        return RBC_OK;
    }
    const int64_t room = params->memory_bytes / 4;
    const int64_t fit = slot_bytes > 0 ? room / slot_bytes : loader->num_slots;
    if (fit < 1 || (params->num_slots > 0 && fit < params->num_slots)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "memory_bytes is %lld: a quarter of it is for batches, of which one takes "
                         "%lld bytes and %d are asked for",
                         (long long)params->memory_bytes, (long long)slot_bytes,
                         params->num_slots > 0 ? params->num_slots : 1);
    }
    loader->num_slots = fit < loader->num_slots ? (int32_t)fit : loader->num_slots;
    return RBC_OK;
}

/* How the selection is packed, and what follows for its order. */
static rbc_status divide_blocks(rbc_loader *loader, const rbc_loader_params *params,
                                rbc_error *err) {
    int64_t segment_samples;
    int64_t group_segments;
    RBC__TRY(rbc__packed_measure(loader->workers[0].rows, loader->workers[0].maker, &loader->packed,
                                 err));
    rbc__packed_divide(&loader->packed, RBC__GROUP_BYTES, &segment_samples, &group_segments);
    if (params->shuffle == RBC_SHUFFLE_BLOCKS) {
        rbc__sampler_divide(&loader->sampler, segment_samples, group_segments);
    }
    const rbc__packed *packed = &loader->packed;
    const int64_t num_samples = loader->sampler.num_samples;
    const int64_t cache_bytes = rbc__block_cache_max(loader->blocks);
    const double global = rbc__packed_factor_global(packed, num_samples, cache_bytes);
    const double by_blocks = rbc__packed_factor_blocks(packed, num_samples, segment_samples,
                                                       group_segments, cache_bytes);
    loader->rows_params.requests.keeps_pictures =
        params->shuffle != RBC_SHUFFLE_GLOBAL || global <= 1.0;
    if (params->shuffle == RBC_SHUFFLE_GLOBAL && global > WORTH_A_NOTE) {
        rbc__notes_add(&loader->notes,
                       "shuffled globally, each packed block, which serves %.0f samples, is to be "
                       "unpacked %.1f times an epoch; shuffle by blocks: %.2f times",
                       packed->block_samples, global, by_blocks);
    } else if (params->shuffle == RBC_SHUFFLE_BLOCKS && by_blocks > WORTH_A_NOTE) {
        const double group_bytes =
            packed->bytes_per_sample * (double)segment_samples * (double)group_segments;
        rbc__notes_add(&loader->notes,
                       "shuffled by blocks, each packed block, which serves %.0f samples, is to be "
                       "unpacked %.1f times an epoch: those that are shuffled together take %.0f "
                       "bytes, of which %lld can be held; memory_bytes of %.0f would do",
                       packed->block_samples, by_blocks, group_bytes, (long long)cache_bytes,
                       4.0 * group_bytes);
    }
    return RBC_OK;
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
    RBC__TRY(prepare_store(loader, params, err));
    RBC__TRY(make_worker(loader, 0, err));
    RBC__TRY(find_image_shapes(loader, *spec, err));
    RBC__TRY(divide_blocks(loader, params, err));
    RBC__TRY(rbc__batch_fields_add(*spec, params->windows, err));
    rbc__rows_destroy(&loader->workers[0].rows); /* was made before all that was known */
    loader->rows_params.requests.watch = NULL;
    RBC__TRY(rbc__rows_create(&loader->rows_params, RANGE_ROWS, &loader->workers[0].rows, err));
    const int64_t images = (*spec)->images_per_sample;
    loader->range_rows = images > 0 ? clamp(RANGE_IMAGES / images, 1, RANGE_ROWS) : RANGE_ROWS;
    loader->split_range_rows =
        images > 0 ? clamp(SPLIT_RANGE_IMAGES / images, 1, RANGE_ROWS) : RANGE_ROWS;
    loader->dealt = loader->sampler;
    RBC__TRY(share_memory(loader, params, (*spec)->slot_bytes, err));
    RBC__TRY(rbc__slots_create(*spec, params->device, loader->num_slots, params->num_threads,
                               &loader->slots, err));
    *spec = NULL;
    for (int32_t i = 1; i < params->num_threads; ++i) {
        RBC__TRY(make_worker(loader, i, err));
    }
    return RBC_OK;
}

/* Starts threads for workers [first, end). They are not joined: whoever hangs in a read is left to
 * himself when the loader closes. With the lock held, or before there is any. */
static int start_threads(rbc_loader *loader, int32_t first, int32_t end, int32_t *started) {
    /* Signals belong to the program's own threads; faults must reach whoever caused them. */
    sigset_t blocked;
    sigset_t before;
    pthread_attr_t detached;
    int failure = pthread_attr_init(&detached);
    *started = 0;
    if (failure != 0) {
        return failure;
    }
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    while (first + *started < end && failure == 0) {
        rbc__worker *worker = &loader->workers[first + *started];
        pthread_t thread;
        atomic_fetch_add_explicit(&loader->references, 1, memory_order_relaxed);
        ++loader->num_running;
        failure = pthread_create(&thread, &detached,
                                 worker->index < 0 ? rbc__fetcher_main : rbc__worker_main, worker);
        if (failure != 0) {
            atomic_fetch_sub_explicit(&loader->references, 1, memory_order_relaxed);
            --loader->num_running;
        }
        *started += failure == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return failure;
}

static rbc_status start_workers(rbc_loader *loader, rbc_error *err) {
    int32_t started;
    pthread_mutex_lock(&loader->lock); /* those that run count themselves out */
    const int failure = start_threads(loader, 0, loader->num_threads, &started);
    if (failure == 0 && loader->rows_params.requests.store->is_remote) {
        rbc__loader_split(loader);
    }
    pthread_mutex_unlock(&loader->lock);
    return failure == 0 ? RBC_OK
                        : rbc__fail_errno(err, failure, "thread %d of %d could not be started",
                                          started + 1, loader->num_threads);
}

void rbc__loader_split(rbc_loader *loader) {
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

static bool init_locks(rbc_loader *loader) {
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0) {
        return false;
    }
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    const bool has_lock = pthread_mutex_init(&loader->lock, NULL) == 0;
    const bool has_work = has_lock && pthread_cond_init(&loader->work_ready, NULL) == 0;
    const bool has_batch = has_work && pthread_cond_init(&loader->batch_ready, &monotonic) == 0 &&
                           pthread_cond_init(&loader->fetch_ready, NULL) == 0 &&
                           pthread_cond_init(&loader->thread_done, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (has_work && !has_batch) {
        pthread_cond_destroy(&loader->work_ready);
    }
    if (has_lock && !has_batch) {
        pthread_mutex_destroy(&loader->lock);
    }
    return has_batch;
}

static void free_loader(rbc_loader *loader) {
    rbc__loader_cancel_pending(loader);
    for (int32_t i = 0; loader->workers != NULL && i < loader->num_threads + loader->num_fetchers;
         ++i) {
        rbc__rows_destroy(&loader->workers[i].rows);
        rbc__maker_destroy(&loader->workers[i].maker);
    }
    for (int32_t i = 0; i < loader->num_spare; ++i) {
        rbc__rows_destroy(&loader->spare_rows[i]);
    }
    for (int64_t i = 0; i < loader->num_skipped_kept; ++i) {
        free(loader->skipped[i]);
    }
    free(loader->skipped);
    free(loader->spare_rows);
    free(loader->workers);
    rbc__episodes_destroy(&loader->episodes);
    rbc__block_cache_destroy(&loader->blocks);
    rbc__video_pool_destroy(&loader->videos);
    rbc__slots_close(&loader->slots);
    rbc__batch_spec_destroy(&loader->unused_spec);
    rbc__clock_free(&loader->clock);
    rbc__reference_free(&loader->reference);
    rbc__notes_free(&loader->notes);
    pthread_cond_destroy(&loader->batch_ready);
    pthread_cond_destroy(&loader->work_ready);
    pthread_cond_destroy(&loader->fetch_ready);
    pthread_cond_destroy(&loader->thread_done);
    pthread_mutex_destroy(&loader->lock);
    rbc_selection_destroy(&loader->selection);
    free(loader);
}

void rbc__loader_release(rbc_loader *loader) {
    if (atomic_fetch_sub_explicit(&loader->references, 1, memory_order_acq_rel) == 1) {
        free_loader(loader);
    }
}

/* Threads end when they see it. Whoever does not within CLOSE_NS hangs in a read, and lets go of
 * the loader when that returns. */
static void stop_threads(rbc_loader *loader) {
    const struct timespec deadline = rbc__after_ns(CLOSE_NS);
    pthread_mutex_lock(&loader->lock);
    atomic_store_explicit(&loader->is_stopping, true, memory_order_relaxed);
    rbc__loader_cancel_pending(loader);
    pthread_cond_broadcast(&loader->work_ready);
    pthread_cond_broadcast(&loader->fetch_ready);
    int timed_out = 0;
    while (loader->num_running > 0 && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&loader->thread_done, &loader->lock, &deadline);
    }
    pthread_mutex_unlock(&loader->lock);
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
    loader->watch = (rbc__request_watch){.interrupt = checked.interrupt,
                                         .user = checked.interrupt_user,
                                         .retain = retain_loader,
                                         .release = release_loader,
                                         .owner = loader};
    loader->num_threads = checked.num_threads;
    atomic_init(&loader->references, 1);
    rbc__batch_spec *spec = NULL;
    rbc_status status = prepare(loader, &checked, &spec, err);
    if (loader->watch.is_stopped) { /* whatever came of what was not read */
        status = rbc__fail(err, RBC_ERROR_CANCELLED, "making a loader was stopped");
    }
    if (status == RBC_OK) {
        status = start_workers(loader, err);
    }
    if (status != RBC_OK) {
        loader->unused_spec = spec;
        stop_threads(loader);
        rbc__loader_release(loader);
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
        stop_threads(closing);
        rbc__loader_release(closing);
    }
}
