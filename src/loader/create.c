#define _GNU_SOURCE

#include "loader/loader.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cpu.h"
#include "core/error.h"
#include "core/monotonic.h"
#include "core/params.h"
#include "loader/device_maker.h"
#include "loader/mixed_fields.h"

#define MAX_THREADS 1024

/* How long closing waits for a thread at most. */
#define CLOSE_NS 100000000

/* All workers' caches of episodes together. */
#define CACHE_BYTES (INT64_C(128) << 20)

/* Rows of a range: enough work to make the lock cheap, little enough to share a batch out.
 */
#define RANGE_ROWS   64
#define RANGE_IMAGES 16

/* The same where a device decodes: enough images that it is busy with those of a few workers, and
 * the pinned memory that a worker has for their streams and for results of its own, about. */
#define MOST_RANGE_ROWS    128
#define RANGE_IMAGES_THERE 128
#define WORKER_BYTES_THERE (INT64_C(12) << 20)

/* Where reading takes its time there are fetchers, and ranges that are worth waiting for. A core
 * makes some 4,500 images of 256x256 a second; a range of 64 of them is fetched in two reads, one
 * after the other: with this many to a core it may take 0.2 s. */
#define FETCHERS_A_WORKER  16
#define MIN_FETCHERS       32
#define MAX_FETCHERS       256
#define SPLIT_RANGE_IMAGES 64

/* Of what blocks may take, one part in so many is for decoders of video where frames are wanted: where
 * one for each thread takes more, up to the other. */
#define DECODERS_SHARE     4
#define MAX_DECODERS_SHARE 2
#define MAX_PICTURE_EDGE   65536

/* Batches on a device, where nobody says how many. */
#define DEVICE_SLOTS_BYTES (INT64_C(2) << 30)

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
    if (out->jpeg != RBC_JPEG_ON_AUTO && out->jpeg != RBC_JPEG_ON_CPU &&
        out->jpeg != RBC_JPEG_ON_CUDA) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "jpeg is %d; wanted auto, cpu or cuda",
                         (int)out->jpeg);
    }
    if (out->jpeg == RBC_JPEG_ON_CUDA && out->device.device_type == kDLCPU) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "jpeg is cuda and the batches are on the CPU: images are decoded on the "
                         "device that they are delivered on; wanted device cuda, or jpeg cpu");
    }
    if (out->fixed_slots != 0 && out->device.device_type == kDLCPU) {
        return rbc__fail(
            err, RBC_ERROR_INVALID_ARGUMENT,
            "fixed_slots is set and the batches are on the CPU: fixed addresses are for "
            "graphs of CUDA; wanted device cuda");
    }
    out->num_threads = out->num_threads > 0 ? out->num_threads : rbc__num_cores();
    return RBC_OK;
}

/* Says whose an error is, in a mixture. */
static rbc_status within(const rbc__member *member, rbc_status status, rbc_error *err) {
    return status == RBC_OK || member->name == NULL
               ? status
               : rbc__fail_within(err, status, "dataset '%s'", member->name);
}

static int64_t most_images(const rbc_loader *loader) {
    int64_t most = 0;
    for (int32_t i = 0; i < loader->num_members; ++i) {
        const int64_t images = loader->members[i].spec->images_per_sample;
        most = images > most ? images : most;
    }
    return most;
}

static rbc_status make_maker(rbc_loader *loader, int32_t index, rbc_error *err) {
    const bool is_fetcher = index >= loader->num_threads;
    if (loader->makes_there && !is_fetcher) {
        return rbc__device_maker_create(loader->device, loader->spec->jpeg_dct, &loader->pace,
                                        &loader->workers[index].maker, err);
    }
    return rbc__maker_create(loader->spec->jpeg_dct, !is_fetcher && loader->has_images,
                             &loader->workers[index].maker, err);
}

/* The first worker's maker may be there already: it has looked at the datasets. */
static rbc_status make_worker(rbc_loader *loader, int32_t index, rbc_error *err) {
    rbc__worker *worker = &loader->workers[index];
    const bool is_fetcher = index >= loader->num_threads;
    worker->loader = loader;
    worker->index = is_fetcher ? -1 : index;
    RBC__TRY(worker->maker == NULL ? make_maker(loader, index, err) : RBC_OK);
    return is_fetcher ? RBC_OK
                      : rbc__mixed_rows_create(&loader->mixture, loader->rows_params, false,
                                               MOST_RANGE_ROWS, &worker->rows, err);
}

/* The largest decoder of a dataset's videos, and the streams of frames that a thread goes through. */
static int32_t count_streams(const rbc__batch_spec *spec, int64_t *largest) {
    int32_t num_streams = 0;
    for (int32_t i = 0; i < spec->num_used; ++i) {
        const rbc__stream_schema *schema = spec->used[i].schema;
        if (schema->stored.encoding == RBC__ENCODING_FRAME && schema->ndim == 3) {
            const int64_t each =
                rbc__video_decoder_bytes(clamp(schema->shape[0], 0, MAX_PICTURE_EDGE),
                                         clamp(schema->shape[1], 0, MAX_PICTURE_EDGE));
            *largest = each > *largest ? each : *largest;
            ++num_streams;
        }
    }
    return num_streams;
}

/* Decoders of video: one for each thread, and for each stream more that a thread goes through; 0 where
 * no frames are wanted. `*bytes`: that they take, about. */
static int32_t count_decoders(const rbc_loader *loader, int32_t num_threads, int64_t *bytes) {
    int32_t num_streams = 0;
    int64_t largest = 0;
    for (int32_t i = 0; i < loader->num_members; ++i) {
        num_streams += count_streams(loader->members[i].spec, &largest);
    }
    const int32_t count = num_streams > 0 ? num_threads + num_streams - 1 : 0;
    *bytes = count * largest;
    return count;
}

/* What is unpacked and decoders share `bound`, which grows where nobody has said it. */
static rbc_status share_decoders(rbc_loader *loader, int32_t num_threads, int64_t bound,
                                 rbc_error *err) {
    int64_t wanted;
    const int32_t count = count_decoders(loader, num_threads, &wanted);
    const int64_t most = bound / MAX_DECODERS_SHARE;
    if (loader->memory_bytes == 0) {
        const int64_t more = wanted > most ? wanted - most : 0;
        bound += more;
        loader->memory_bytes = DEFAULT_SHARED_BYTES + more;
    } else if (wanted > most) {
        rbc__notes_add(&loader->notes,
                       "decoders of video, %d of them, take about %lld bytes, of which "
                       "memory_bytes of %lld "
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

/* What threads share. */
static rbc_status prepare_store(rbc_loader *loader, const rbc_loader_params *params,
                                rbc_error *err) {
    loader->num_fetchers = (int32_t)clamp((int64_t)FETCHERS_A_WORKER * params->num_threads,
                                          MIN_FETCHERS, MAX_FETCHERS);
    const int32_t num_workers = params->num_threads + loader->num_fetchers;
    loader->workers = calloc((size_t)num_workers, sizeof *loader->workers);
    loader->spare_room = num_workers;
    loader->spare_rows = calloc((size_t)loader->spare_room, sizeof(rbc__mixed_rows *));
    if (loader->workers == NULL || loader->spare_rows == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d workers",
                         params->num_threads);
    }
    loader->memory_bytes = params->memory_bytes;
    const int64_t bound =
        params->memory_bytes > 0 ? params->memory_bytes / 4 : DEFAULT_SHARED_BYTES / 2;
    loader->episode_bytes = bound < CACHE_BYTES ? bound : CACHE_BYTES;
    loader->has_images = most_images(loader) > 0;
    RBC__TRY(share_decoders(loader, params->num_threads, bound, err));
    loader->ahead_bytes = bound / 2;
    return RBC_OK;
}

/* Slots where nobody says how many. */
static int32_t default_slots(const rbc_loader *loader, int32_t num_threads) {
    const rbc__batch_spec *spec = loader->spec;
    const int32_t slots = rbc__slots_default(num_threads, spec->host_bytes);
    const int64_t there = clamp(DEVICE_SLOTS_BYTES / (spec->slot_bytes + 1), 3, slots);
    return loader->makes_there ? (int32_t)there : slots;
}

/* How many slots there are within the bound, a quarter of which is the others'. */
static rbc_status share_memory(rbc_loader *loader, const rbc_loader_params *params,
                               rbc_error *err) {
    const int64_t slot_bytes = loader->spec->host_bytes;
    const int64_t worker_bytes = loader->makes_there ? params->num_threads * WORKER_BYTES_THERE : 0;
    loader->num_slots =
        params->num_slots > 0 ? params->num_slots : default_slots(loader, params->num_threads);
    if (params->memory_bytes == 0) {
        loader->memory_bytes += loader->num_slots * slot_bytes + worker_bytes;
        return RBC_OK;
    }
    const int64_t room = params->memory_bytes / 4 - worker_bytes;
    const int64_t fit = room <= 0 ? 0 : slot_bytes > 0 ? room / slot_bytes : loader->num_slots;
    if (fit < 1 || (params->num_slots > 0 && fit < params->num_slots)) {
        char beside[128] = "";
        if (worker_bytes > 0) {
            (void)snprintf(beside, sizeof beside,
                           ", beside %lld bytes with which %d threads feed the device",
                           (long long)worker_bytes, params->num_threads);
        }
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "memory_bytes is %lld: a quarter of it is for batches, of which one takes "
                         "%lld bytes and %d are asked for%s",
                         (long long)params->memory_bytes, (long long)slot_bytes,
                         params->num_slots > 0 ? params->num_slots : 1, beside);
    }
    loader->num_slots = fit < loader->num_slots ? (int32_t)fit : loader->num_slots;
    return RBC_OK;
}

/* What all datasets have to say, and how they are mixed. */
static rbc_status prepare_members(rbc_loader *loader, const rbc_mixture_params *mixture,
                                  const rbc_loader_params *params, rbc_error *err) {
    rbc__request_watch *watch = loader->watch.interrupt != NULL ? &loader->watch : NULL;
    const int32_t count = mixture->num_members;
    loader->members = calloc((size_t)count, sizeof *loader->members);
    loader->rows_params = calloc((size_t)count, sizeof(rbc__rows_params *));
    loader->sizes = calloc((size_t)count, sizeof *loader->sizes);
    loader->begins = calloc((size_t)count + 1, sizeof *loader->begins);
    if (loader->members == NULL || loader->rows_params == NULL || loader->sizes == NULL ||
        loader->begins == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d datasets", count);
    }
    loader->num_members = count;
    for (int32_t i = 0; i < count; ++i) {
        rbc_mixture_member from;
        RBC__TRY(rbc__mixture_member_at(mixture->members, i, &from, err));
        rbc__member *member = &loader->members[i];
        const rbc_status status = rbc__member_prepare(member, &from, params, watch, err);
        RBC__TRY(within(member, status, err));
        member->rows_params.number = i;
        member->rows_params.order.seed = rbc__mixture_seed(params->seed, i);
        loader->rows_params[i] = &member->rows_params;
        loader->sizes[i] = member->rows_params.order.num_samples;
        loader->begins[i + 1] = loader->begins[i] + from.weight;
        if (loader->members[i].spec->jpeg_dct != loader->members[0].spec->jpeg_dct) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "jpeg_dct: dataset '%s' was opened with another than '%s': choose one "
                             "for the loader",
                             member->name, loader->members[0].name);
        }
        if ((count > 1 || mixture->epoch == RBC_EPOCH_SAMPLES) && loader->sizes[i] == 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "dataset '%s' has no sample, of which a mixture could take any",
                             member->name);
        }
    }
    loader->spec = loader->members[0].spec;
    return RBC_OK;
}

static rbc_status mix(rbc_loader *loader, const rbc_mixture_params *mixture,
                      const rbc_loader_params *params, rbc_error *err) {
    int64_t num_samples = loader->sizes[0];
    loader->mixture = (rbc__mixture){.num_members = loader->num_members,
                                     .sizes = loader->sizes,
                                     .begins = loader->begins,
                                     .shuffle = params->shuffle != RBC_SHUFFLE_NONE,
                                     .seed = params->seed};
    if (mixture->epoch == RBC_EPOCH_SAMPLES) {
        num_samples = mixture->epoch_samples;
    } else if (loader->num_members > 1) {
        RBC__TRY(mixture->epoch == RBC_EPOCH_FIRST
                     ? rbc__mixture_first(&loader->mixture, &num_samples, err)
                     : rbc__mixture_last(&loader->mixture, &num_samples, err));
    }
    loader->mixture.num_samples = num_samples;
    RBC__TRY(rbc__sampler_init(&loader->sampler, num_samples, params, err));
    loader->dealt = loader->sampler;
    return RBC_OK;
}

/* Memory is shared out among datasets as samples are. */
static int64_t share_of(const rbc_loader *loader, int32_t member, int64_t bytes) {
    const int64_t *begins = loader->begins;
    const double share =
        (double)(begins[member + 1] - begins[member]) / (double)begins[loader->num_members];
    return loader->num_members == 1 ? bytes : (int64_t)((double)bytes * share);
}

static rbc_status open_members(rbc_loader *loader, const rbc_loader_params *params,
                               rbc_error *err) {
    const rbc__request_params requests = {.cache = loader->blocks,
                                          .videos = loader->videos,
                                          .watch = loader->watch.interrupt != NULL ? &loader->watch
                                                                                   : NULL};
    for (int32_t i = 0; i < loader->num_members; ++i) {
        RBC__TRY(rbc__member_open(&loader->members[i], &requests,
                                  share_of(loader, i, loader->episode_bytes), err));
    }
    RBC__TRY(make_maker(loader, 0, err));
    for (int32_t i = 0; i < loader->num_members; ++i) {
        rbc__member *member = &loader->members[i];
        const int64_t cache_bytes = share_of(loader, i, rbc__block_cache_max(loader->blocks));
        const rbc_status status =
            rbc__member_look(member, loader->workers[0].maker, params, cache_bytes, err);
        RBC__TRY(within(member, status, err));
        member->rows_params.requests.watch = NULL;
    }
    return RBC_OK;
}

/* One field of a batch for what all datasets have of it. */
static rbc_status join_fields(rbc_loader *loader, rbc_error *err) {
    if (loader->num_members == 1 && loader->members[0].num_absent == 0) {
        return RBC_OK;
    }
    rbc__mixed_spec *specs = calloc((size_t)loader->num_members, sizeof *specs);
    if (specs == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d datasets",
                         loader->num_members);
    }
    for (int32_t i = 0; i < loader->num_members; ++i) {
        const rbc__member *member = &loader->members[i];
        specs[i] =
            (rbc__mixed_spec){member->name, member->spec, member->absent, member->num_absent};
    }
    const rbc_status status = rbc__mixed_fields_join(specs, loader->num_members, err);
    free(specs);
    return status;
}

/* Which fields are made on the device of the batches. */
static rbc_status split_fields(rbc_loader *loader, const rbc_loader_params *params,
                               rbc_error *err) {
    if (params->device.device_type == kDLCPU) {
        return RBC_OK;
    }
    rbc__batch_spec **specs = calloc((size_t)loader->num_members, sizeof(rbc__batch_spec *));
    if (specs == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d datasets",
                         loader->num_members);
    }
    for (int32_t i = 0; i < loader->num_members; ++i) {
        specs[i] = loader->members[i].spec;
    }
    loader->makes_there =
        rbc__batch_fields_split(specs, loader->num_members, params->jpeg != RBC_JPEG_ON_CPU);
    free(specs);
    loader->pace.is_shared = params->jpeg == RBC_JPEG_ON_AUTO;
    if (loader->makes_there) {
        rbc__maker_destroy(&loader->workers[0].maker);
    }
    return RBC_OK;
}

static rbc_status prepare(rbc_loader *loader, const rbc_mixture_params *mixture,
                          const rbc_loader_params *params, rbc_error *err) {
    RBC__TRY(rbc__sampler_init(&loader->sampler, 0, params, err)); /* checks them */
    RBC__TRY(prepare_members(loader, mixture, params, err));
    RBC__TRY(mix(loader, mixture, params, err));
    RBC__TRY(prepare_store(loader, params, err));
    RBC__TRY(open_members(loader, params, err));
    RBC__TRY(join_fields(loader, err));
    RBC__TRY(split_fields(loader, params, err));
    const int64_t images = most_images(loader);
    const int64_t most = loader->makes_there ? MOST_RANGE_ROWS : RANGE_ROWS;
    const int64_t few = loader->makes_there ? RANGE_IMAGES_THERE : RANGE_IMAGES;
    const int64_t many = loader->makes_there ? RANGE_IMAGES_THERE : SPLIT_RANGE_IMAGES;
    loader->range_rows = images > 0 ? clamp(few / images, 1, most) : RANGE_ROWS;
    loader->split_range_rows = images > 0 ? clamp(many / images, 1, most) : RANGE_ROWS;
    loader->core_range_rows = loader->makes_there && loader->pace.is_shared && images > 0
                                  ? clamp(RANGE_IMAGES / images, 1, RANGE_ROWS)
                                  : loader->range_rows;
    loader->images_per_row = images;
    RBC__TRY(share_memory(loader, params, err));
    RBC__TRY(rbc__slots_create(loader->members[0].spec, params->device, loader->num_slots,
                               params->num_threads, params->fixed_slots != 0, &loader->slots, err));
    loader->members[0].spec = NULL; /* the slots', as long as there are batches */
    for (int32_t i = 0; i < params->num_threads; ++i) {
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
    bool is_remote = false;
    for (int32_t i = 0; i < loader->num_members; ++i) {
        is_remote = is_remote || loader->rows_params[i]->requests.store->is_remote;
    }
    if (failure == 0 && is_remote) {
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
        rbc__mixed_rows_destroy(&loader->workers[i].rows);
        rbc__maker_destroy(&loader->workers[i].maker);
    }
    for (int32_t i = 0; i < loader->num_spare; ++i) {
        rbc__mixed_rows_destroy(&loader->spare_rows[i]);
    }
    for (int64_t i = 0; i < loader->num_skipped_kept; ++i) {
        free(loader->skipped[i]);
    }
    free(loader->skipped);
    free(loader->spare_rows);
    free(loader->workers);
    for (int32_t i = 0; i < loader->num_members; ++i) {
        rbc__member_free(&loader->members[i]);
    }
    rbc__notes_free(&loader->notes);
    free(loader->members);
    free(loader->rows_params);
    free(loader->sizes);
    free(loader->begins);
    rbc__block_cache_destroy(&loader->blocks);
    rbc__video_pool_destroy(&loader->videos);
    rbc__slots_close(&loader->slots);
    pthread_cond_destroy(&loader->batch_ready);
    pthread_cond_destroy(&loader->work_ready);
    pthread_cond_destroy(&loader->fetch_ready);
    pthread_cond_destroy(&loader->thread_done);
    pthread_mutex_destroy(&loader->lock);
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

static rbc_status create(const rbc_mixture_params *mixture, const rbc_loader_params *params,
                         rbc_loader **out, rbc_error *err) {
    rbc_loader *loader = calloc(1, sizeof *loader);
    if (loader == NULL || !init_locks(loader)) {
        free(loader);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a loader");
    }
    loader->process = getpid();
    loader->shared_lock = &loader->lock;
    loader->on_error = params->on_error;
    loader->watch = (rbc__request_watch){.interrupt = params->interrupt,
                                         .user = params->interrupt_user,
                                         .retain = retain_loader,
                                         .release = release_loader,
                                         .owner = loader};
    loader->num_threads = params->num_threads;
    loader->device = params->device;
    atomic_init(&loader->references, 1);
    rbc_status status = prepare(loader, mixture, params, err);
    if (loader->watch.is_stopped) { /* whatever came of what was not read */
        status = rbc__fail(err, RBC_ERROR_CANCELLED, "making a loader was stopped");
    }
    if (status == RBC_OK) {
        status = start_workers(loader, err);
    }
    if (status != RBC_OK) {
        stop_threads(loader);
        rbc__loader_release(loader);
        return status;
    }
    *out = loader;
    return RBC_OK;
}

rbc_status rbc_loader_create(const rbc_selection *selection, const rbc_loader_params *params,
                             rbc_loader **out, rbc_error *err) {
    *out = NULL;
    rbc_loader_params checked;
    RBC__TRY(copy_params(params, &checked, err));
    if (selection == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "selection is NULL");
    }
    const rbc_mixture_member alone = {.struct_size = sizeof alone,
                                      .selection = selection,
                                      .weight = 1,
                                      .windows = checked.windows,
                                      .num_windows = checked.num_windows,
                                      .rate_hz = checked.rate_hz,
                                      .clock = checked.clock,
                                      .num_clock = checked.num_clock,
                                      .require = checked.require,
                                      .num_require = checked.num_require};
    const rbc_mixture_params mixture = {
        .struct_size = sizeof mixture, .members = &alone, .num_members = 1};
    return create(&mixture, &checked, out, err);
}

rbc_status rbc_loader_create_mixture(const rbc_mixture_params *mixture,
                                     const rbc_loader_params *params, rbc_loader **out,
                                     rbc_error *err) {
    *out = NULL;
    rbc_loader_params checked;
    rbc_mixture_params mixed = RBC_MIXTURE_PARAMS_INIT;
    RBC__TRY(copy_params(params, &checked, err));
    RBC__TRY(rbc__params_read(mixture, &mixed, sizeof mixed, "mixture", err));
    RBC__TRY(rbc__mixture_check(&mixed, err));
    return create(&mixed, &checked, out, err);
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
