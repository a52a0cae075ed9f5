#define _POSIX_C_SOURCE 200809L

#include "loader/loader.h"
#include "loader/device_maker.h"
#include "loader/pending.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "core/params.h"

static rbc_status check_process(const rbc_loader *loader, rbc_error *err) {
    if (loader->process != getpid()) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "this loader belongs to process %ld and its threads are not in its child "
                         "%ld: make a loader after fork()",
                         (long)loader->process, (long)getpid());
    }
    return RBC_OK;
}

int64_t rbc_loader_num_samples(const rbc_loader *loader) {
    return loader->sampler.num_samples;
}

int64_t rbc_loader_num_batches(const rbc_loader *loader) {
    return loader->sampler.num_batches;
}

int64_t rbc_loader_num_rounds(const rbc_loader *loader) {
    return loader->sampler.num_rounds;
}

int64_t rbc_loader_batches_left(const rbc_loader *loader) {
    const bool is_ours = loader->process == getpid();
    if (is_ours) {
        pthread_mutex_lock(loader->shared_lock);
    }
    const int64_t left = loader->dealt.num_batches - loader->next_delivered;
    if (is_ours) {
        pthread_mutex_unlock(loader->shared_lock);
    }
    return left > 0 ? left : 0;
}

/* With the lock held. */
static void begin_at(rbc_loader *loader, int64_t epoch, int64_t position) {
    rbc__pending_cancel_all(loader);
    loader->epoch = epoch;
    loader->dealt = loader->sampler;
    rbc__sampler_begin(&loader->dealt, position);
    loader->next_begun = 0;
    loader->next_delivered = 0;
    loader->begin_error.status = RBC_OK;
    loader->is_begun = true;
    pthread_cond_broadcast(&loader->work_ready);
    pthread_cond_broadcast(&loader->fetch_ready);
}

/* With the lock held: the epoch that was to follow has come, with what was begun of it. */
static void go_on(rbc_loader *loader) {
    const int64_t num_dealt = loader->dealt.num_batches;
    for (rbc__pending *pending = loader->first_pending; pending != NULL; pending = pending->next) {
        pending->index -= num_dealt;
    }
    ++loader->epoch;
    loader->dealt = loader->sampler;
    loader->next_begun -= num_dealt;
    loader->next_delivered = 0;
    loader->begin_error.status = RBC_OK;
    pthread_cond_broadcast(&loader->work_ready);
    pthread_cond_broadcast(&loader->fetch_ready);
}

rbc_status rbc_loader_seek(rbc_loader *loader, int64_t epoch, int64_t position, rbc_error *err) {
    RBC__TRY(check_process(loader, err));
    if (epoch < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "epoch is %lld; wanted at least 0",
                         (long long)epoch);
    }
    if (epoch >= rbc__mixture_num_epochs(&loader->mixture)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "epoch is %lld; a mixture of %lld samples an epoch has %lld",
                         (long long)epoch, (long long)loader->sampler.num_samples,
                         (long long)rbc__mixture_num_epochs(&loader->mixture));
    }
    if (position < 0 || position > loader->sampler.num_samples) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "position is %lld; an epoch has %lld samples", (long long)position,
                         (long long)loader->sampler.num_samples);
    }
    pthread_mutex_lock(&loader->lock);
    const bool is_next = loader->is_begun && epoch == loader->epoch + 1 && position == 0 &&
                         loader->next_delivered >= loader->dealt.num_batches;
    if (is_next) {
        loader->goes_on = true;
        go_on(loader);
    } else {
        begin_at(loader, epoch, position);
    }
    pthread_mutex_unlock(&loader->lock);
    return RBC_OK;
}

void rbc_loader_tell(const rbc_loader *loader, int64_t *epoch, int64_t *position) {
    /* In a child made by fork() the lock may be held for ever, and nothing changes any more. */
    const bool is_ours = loader->process == getpid();
    if (is_ours) {
        pthread_mutex_lock(loader->shared_lock);
    }
    *epoch = loader->epoch;
    *position = rbc__sampler_round(&loader->dealt, loader->next_delivered);
    if (is_ours) {
        pthread_mutex_unlock(loader->shared_lock);
    }
}

/* With the lock held: waits until the first pending batch is done or could not be begun. */
static rbc_status wait_for_first(rbc_loader *loader, int64_t timeout_ns) {
    const bool has_deadline = timeout_ns >= 0;
    const struct timespec deadline =
        has_deadline ? rbc__after_ns(timeout_ns) : (struct timespec){0};
    while (loader->first_pending == NULL ? loader->begin_error.status == RBC_OK
                                         : !loader->first_pending->is_done) {
        const int waited =
            has_deadline ? pthread_cond_timedwait(&loader->batch_ready, &loader->lock, &deadline)
                         : pthread_cond_wait(&loader->batch_ready, &loader->lock);
        if (waited == ETIMEDOUT) {
            return RBC_TIMEOUT;
        }
    }
    return RBC_OK;
}

static int compare_skips(const void *a, const void *b) {
    const rbc__skip *x = a;
    const rbc__skip *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* With the lock held: counts and lists the rows that a delivered batch lacks. */
static void keep_skips(rbc_loader *loader, rbc__pending *pending, const rbc_batch *batch) {
    loader->stats.samples_skipped += pending->num_rows - batch->num_rows;
    loader->num_masked += loader->on_error == RBC_ON_ERROR_MASK ? pending->num_skips : 0;
    if (pending->num_skips == 0 || loader->num_skipped_kept == RBC__SKIPPED_KEPT) {
        return;
    }
    if (loader->skipped == NULL) {
        loader->skipped = calloc(RBC__SKIPPED_KEPT, sizeof(char *));
    }
    qsort(pending->skips, (size_t)pending->num_skips, sizeof *pending->skips, compare_skips);
    for (int64_t i = 0; i < pending->num_skips; ++i) {
        if (loader->skipped != NULL && pending->skips[i].message != NULL &&
            loader->num_skipped_kept < RBC__SKIPPED_KEPT) {
            loader->skipped[loader->num_skipped_kept++] = pending->skips[i].message;
            pending->skips[i].message = NULL;
        }
    }
}

static rbc_status copy_error(rbc_error *err, const rbc_error *from) {
    if (err != NULL) {
        *err = *from;
    }
    return from->status;
}

/* With the lock held: the first pending batch leaves the list, as a batch or as its error. After a
 * shortage it and those behind it are begun again. */
static rbc_status deliver_first(rbc_loader *loader, rbc_batch **out, rbc_error *err) {
    rbc__pending *pending = loader->first_pending;
    const bool has_failed =
        atomic_load_explicit(&pending->failed_row, memory_order_relaxed) < pending->num_rows;
    if (has_failed && rbc__is_shortage(&pending->error)) {
        const rbc_status status = copy_error(err, &pending->error);
        begin_at(loader, loader->epoch, rbc__sampler_round(&loader->dealt, loader->next_delivered));
        return status;
    }
    loader->first_pending = pending->next;
    if (loader->first_pending == NULL) {
        loader->last_pending = NULL;
    }
    --loader->num_pending;
    rbc_batch *batch = pending->batch; /* NULL where it failed before it had a slot */
    loader->num_filling -= batch != NULL;
    ++loader->next_delivered;
    rbc__pending_wake(loader);
    rbc_status status = RBC_OK;
    if (has_failed || batch == NULL) {
        status = copy_error(err, &pending->error);
    } else {
        keep_skips(loader, pending, batch);
        ++loader->stats.batches_delivered;
        loader->stats.samples_delivered += batch->num_rows;
        *out = batch;
        pending->batch = NULL;
    }
    rbc__pending_destroy(pending);
    return status;
}

rbc_status rbc_loader_next(rbc_loader *loader, int64_t timeout_ns, rbc_batch **out,
                           rbc_error *err) {
    *out = NULL;
    RBC__TRY(check_process(loader, err));
    pthread_mutex_lock(&loader->lock);
    if (!loader->is_begun) {
        begin_at(loader, 0, 0);
    }
    rbc_status status = RBC_END;
    if (loader->next_delivered >= loader->dealt.num_batches) {
        loader->next_delivered = loader->dealt.num_rounds;
    } else {
        loader->wait_from_ns = rbc__now_ns();
        rbc__pace_asked(&loader->pace, loader->wait_from_ns);
        status = wait_for_first(loader, timeout_ns);
        rbc__wait_divide(loader, NULL, rbc__now_ns());
        loader->wait_from_ns = 0;
        if (status == RBC_OK && loader->first_pending == NULL) {
            status = copy_error(err, &loader->begin_error);
            loader->begin_error.status = RBC_OK;
            rbc__pending_wake(loader);
        } else if (status == RBC_OK) {
            status = deliver_first(loader, out, err);
            rbc__pace_returned(&loader->pace, rbc__now_ns());
        }
    }
    pthread_mutex_unlock(&loader->lock);
    return status;
}

void rbc_loader_get_stats(const rbc_loader *loader, rbc_loader_stats *out) {
    memset(out, 0, sizeof *out);
    if (loader->process != getpid()) {
        return;
    }
    pthread_mutex_t *lock = loader->shared_lock;
    pthread_mutex_lock(lock);
    *out = loader->stats;
    pthread_mutex_unlock(lock);
    rbc__slots_counts counts;
    rbc__slots_count(loader->slots, &counts);
    out->slots = counts.total;
    out->slots_in_use = counts.in_use;
    out->slots_peak = counts.peak;
    out->slot_bytes = loader->spec->slot_bytes;
}

/* What is foretold of a mixture is that of the dataset which is unpacked most often. */
static void add_member(const rbc_loader *loader, const rbc__member *member,
                       rbc_loader_memory *sum) {
    int64_t num_episodes;
    int64_t bytes;
    const int64_t num_samples = member->rows_params.order.num_samples;
    const double global =
        rbc__packed_factor_global(&member->packed, num_samples, member->cache_bytes);
    const double by_blocks =
        rbc__packed_factor_blocks(&member->packed, num_samples, member->segment_samples,
                                  member->group_segments, member->cache_bytes);
    rbc__episodes_count(member->episodes, &num_episodes, &bytes);
    sum->num_episodes += num_episodes;
    sum->episode_bytes += bytes;
    if (member == loader->members || global > sum->unpack_factor_global) {
        sum->unpack_factor_global = global;
        sum->unpack_factor_blocks = by_blocks;
        sum->segment_samples = member->segment_samples;
        sum->group_segments = member->group_segments;
    }
}

rbc_status rbc_loader_get_member(const rbc_loader *loader, int32_t index, rbc_loader_member *out,
                                 rbc_error *err) {
    rbc_loader_member found = {0};
    RBC__TRY(rbc__params_read(out, &found, sizeof found, "member", err));
    if (index < 0 || index >= loader->num_members) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "there is no dataset %d: the loader has %d",
                         index, loader->num_members);
    }
    const rbc__member *member = &loader->members[index];
    const size_t struct_size = out->struct_size;
    found = (rbc_loader_member){.struct_size = struct_size,
                                .num_samples = member->rows_params.order.num_samples,
                                .segment_samples = member->segment_samples,
                                .group_segments = member->group_segments};
    memcpy(out, &found, struct_size < sizeof found ? struct_size : sizeof found);
    return RBC_OK;
}

rbc_status rbc_loader_get_memory(const rbc_loader *loader, rbc_loader_memory *out, rbc_error *err) {
    rbc_loader_memory found = {0};
    RBC__TRY(rbc__params_read(out, &found, sizeof found, "memory", err));
    const size_t struct_size = out->struct_size;
    found = (rbc_loader_memory){.struct_size = struct_size};
    if (loader->process == getpid()) {
        rbc__slots_counts slots;
        rbc__block_cache_counts blocks;
        rbc__video_pool_counts videos;
        rbc__slots_count(loader->slots, &slots);
        rbc__block_cache_count(loader->blocks, &blocks);
        rbc__video_pool_count(loader->videos, &videos);
        found.bound_bytes = loader->memory_bytes;
        for (int32_t i = 0; i < loader->num_members; ++i) {
            add_member(loader, &loader->members[i], &found);
        }
        found.slot_bytes = slots.host_bytes;
        found.device_bytes = slots.device_bytes;
        found.pinned_bytes = slots.device_bytes > 0 ? slots.host_bytes : 0;
        for (int32_t i = 0; i < loader->num_threads; ++i) {
            int64_t host_bytes;
            int64_t device_bytes;
            rbc__device_maker_count(loader->workers[i].maker, &host_bytes, &device_bytes);
            found.pinned_bytes += host_bytes;
            found.device_bytes += device_bytes;
        }
        found.block_bytes = blocks.bytes;
        found.block_peak_bytes = blocks.peak_bytes;
        found.decoder_bytes = videos.bytes;
        found.decoder_peak_bytes = videos.peak_bytes;
        found.num_decoders = videos.num_opened;
        found.pictures_decoded = videos.num_packets;
        found.blocks_read = blocks.num_reads;
        found.blocks_found = blocks.num_found;
        pthread_mutex_lock(loader->shared_lock);
        found.fetched_bytes = loader->fetched_bytes;
        found.fetched_peak_bytes = loader->max_fetched_bytes;
        found.unpack_ns = loader->unpack_ns;
        found.samples_masked = loader->num_masked;
        found.is_split = loader->is_split;
        pthread_mutex_unlock(loader->shared_lock);
    }
    memcpy(out, &found, struct_size < sizeof found ? struct_size : sizeof found);
    return RBC_OK;
}

/* Tells text `*at` of these, where they have it; else `*at` is what is left for others. */
static bool note_at(const rbc__notes *notes, const char *name, int64_t *at, char *message,
                    uint64_t message_bytes) {
    if (*at < 0 || *at >= notes->count) {
        *at -= *at < 0 ? 0 : notes->count;
        return false;
    }
    if (message_bytes > 0 && name != NULL) {
        snprintf(message, (size_t)message_bytes, "dataset '%s': %s", name, notes->texts[*at]);
    } else if (message_bytes > 0) {
        snprintf(message, (size_t)message_bytes, "%s", notes->texts[*at]);
    }
    return true;
}

rbc_status rbc_loader_warning(const rbc_loader *loader, int64_t index, char *message,
                              uint64_t message_bytes, rbc_error *err) {
    int64_t at = index;
    bool is_found = note_at(&loader->notes, NULL, &at, message, message_bytes);
    for (int32_t i = 0; i < loader->num_members && !is_found; ++i) {
        const rbc__member *member = &loader->members[i];
        is_found = note_at(&member->notes, member->name, &at, message, message_bytes);
    }
    return is_found
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_NOT_FOUND, "there is no warning %lld: there are %lld",
                           (long long)index, (long long)(index < 0 ? 0 : index - at));
}

rbc_status rbc_loader_skipped(const rbc_loader *loader, int64_t index, char *message,
                              uint64_t message_bytes, rbc_error *err) {
    RBC__TRY(check_process(loader, err));
    pthread_mutex_lock(loader->shared_lock);
    const int64_t kept = loader->num_skipped_kept;
    const bool is_listed = index >= 0 && index < kept;
    if (is_listed && message_bytes > 0) {
        snprintf(message, (size_t)message_bytes, "%s", loader->skipped[index]);
    }
    pthread_mutex_unlock(loader->shared_lock);
    if (!is_listed) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                         "there is no message %lld: %lld samples that were left out are listed",
                         (long long)index, (long long)kept);
    }
    return RBC_OK;
}
