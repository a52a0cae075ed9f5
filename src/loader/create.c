#define _GNU_SOURCE

#include "loader/loader.h"
#include "loader/pending.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/cpu.h"
#include "core/error.h"
#include "core/params.h"
#include "loader/mixed_fields.h"
#include "loader/shares.h"
#include "loader/threads.h"

#define MAX_THREADS 1024

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
    if (out->align != RBC_ALIGN_ON_CPU && out->align != RBC_ALIGN_ON_CUDA) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "align is %d; wanted cpu or cuda",
                         (int)out->align);
    }
    if (out->align == RBC_ALIGN_ON_CUDA && out->device.device_type == kDLCPU) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "align is cuda and the batches are on the CPU: numbers are aligned on the "
                         "device that they are delivered on; wanted device cuda, or align cpu");
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

static void retain_loader(void *owner) {
    atomic_fetch_add_explicit(&((rbc_loader *)owner)->references, 1, memory_order_relaxed);
}

static void release_loader(void *owner) {
    rbc__loader_release(owner);
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
        if (member->spec->images_per_sample > loader->images_per_row) {
            loader->images_per_row = member->spec->images_per_sample;
        }
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

static rbc_status open_members(rbc_loader *loader, const rbc_loader_params *params,
                               rbc_error *err) {
    const rbc__request_params requests = {.cache = loader->blocks,
                                          .videos = loader->videos,
                                          .watch = loader->watch.interrupt != NULL ? &loader->watch
                                                                                   : NULL};
    for (int32_t i = 0; i < loader->num_members; ++i) {
        RBC__TRY(rbc__member_open(&loader->members[i], &requests,
                                  rbc__shares_of_member(loader, i, loader->episode_bytes), err));
    }
    RBC__TRY(rbc__threads_make_maker(loader, 0, err));
    for (int32_t i = 0; i < loader->num_members; ++i) {
        rbc__member *member = &loader->members[i];
        const int64_t cache_bytes =
            rbc__shares_of_member(loader, i, rbc__block_cache_max(loader->blocks));
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
        rbc__batch_fields_split(specs, loader->num_members, params->jpeg != RBC_JPEG_ON_CPU,
                                params->align == RBC_ALIGN_ON_CUDA);
    free(specs);
    loader->pace.is_shared = params->jpeg == RBC_JPEG_ON_AUTO;
    if (loader->makes_there) {
        rbc__maker_destroy(&loader->workers[0].maker);
    }
    return RBC_OK;
}

static rbc_status read_allocator(const rbc_device_allocator *given, rbc_device_allocator *out,
                                 rbc_error *err) {
    if (given == NULL) {
        return RBC_OK;
    }
    RBC__TRY(rbc__params_read(given, out, sizeof *out, "device_allocator", err));
    if (out->allocate == NULL || out->free == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "device_allocator lacks a function; wanted allocate and free");
    }
    return RBC_OK;
}

static rbc_status prepare(rbc_loader *loader, const rbc_mixture_params *mixture,
                          const rbc_loader_params *params, rbc_error *err) {
    RBC__TRY(rbc__sampler_init(&loader->sampler, 0, params, err)); /* checks them */
    RBC__TRY(read_allocator(params->device_allocator, &loader->allocator, err));
    RBC__TRY(prepare_members(loader, mixture, params, err));
    RBC__TRY(mix(loader, mixture, params, err));
    RBC__TRY(rbc__threads_make_room(loader, err));
    RBC__TRY(rbc__shares_caches(loader, params->memory_bytes, err));
    RBC__TRY(open_members(loader, params, err));
    RBC__TRY(join_fields(loader, err));
    RBC__TRY(split_fields(loader, params, err));
    rbc__shares_ranges(loader);
    RBC__TRY(rbc__shares_slots(loader, params, err));
    RBC__TRY(rbc__slots_create(loader->members[0].spec, params->device, &loader->allocator,
                               loader->num_slots, loader->num_more_slots, params->num_threads,
                               params->fixed_slots != 0, &loader->slots, err));
    loader->members[0].spec = NULL; /* the slots', as long as there are batches */
    return rbc__threads_make(loader, err);
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
    rbc__pending_cancel_all(loader);
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
        status = rbc__threads_start(loader, err);
    }
    if (status != RBC_OK) {
        rbc__threads_stop(loader);
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
        rbc__slots_take_back(closing->slots);
        rbc__threads_stop(closing);
        rbc__loader_release(closing);
    }
}
