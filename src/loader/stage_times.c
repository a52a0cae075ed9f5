/* Where the time goes: what the stages take, and which of them the consumer waits for. */
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "core/params.h"
#include "loader/device_maker.h"
#include "loader/loader.h"

_Static_assert(RBC_NUM_GPU_WORKS <= RBC_MAX_GPU_WORKS, "gpu_ns of rbc_loader_stages is too short");
_Static_assert(RBC_NUM_STAGES <= RBC_MAX_STAGES, "arrays of rbc_loader_stages are too short");

const char *rbc_stage_name(rbc_stage stage) {
    static const char *const names[RBC_NUM_STAGES] = {"queue",  "order", "read",   "unpack",
                                                      "decode", "align", "deliver"};
    return (int)stage >= 0 && (int)stage < RBC_NUM_STAGES ? names[stage] : NULL;
}

const char *rbc_gpu_work_name(rbc_gpu_work work) {
    static const char *const names[RBC_NUM_GPU_WORKS] = {"copy", "decode", "image", "grid",
                                                         "align"};
    return (int)work >= 0 && (int)work < RBC_NUM_GPU_WORKS ? names[work] : NULL;
}

/* Of the ranges of the first pending batch that a thread works on, or else that are fetched, the
 * first. NULL: none is. */
static const rbc__timeline *first_timeline(const rbc_loader *loader) {
    const rbc__worker *first = NULL;
    for (int32_t i = 0; i < loader->num_threads + loader->num_fetchers; ++i) {
        const rbc__worker *worker = &loader->workers[i];
        if (worker->pending == loader->first_pending &&
            (first == NULL || worker->first < first->first)) {
            first = worker;
        }
    }
    if (first != NULL) {
        return first->timeline;
    }
    const rbc__fetched *fetched = loader->fetched;
    return fetched != NULL && fetched->pending == loader->first_pending ? &fetched->rows->timeline
                                                                        : NULL;
}

static bool is_ready(const rbc_loader *loader) {
    return loader->first_pending != NULL && loader->first_pending->is_done;
}

void rbc__wait_divide(rbc_loader *loader, const rbc__timeline *timeline, int64_t now_ns) {
    const int64_t from_ns = loader->wait_from_ns;
    if (from_ns == 0 || now_ns <= from_ns) {
        return;
    }
    if (timeline == NULL && loader->first_pending != NULL && !is_ready(loader)) {
        timeline = first_timeline(loader);
    }
    if (timeline != NULL) {
        rbc__timeline_divide(timeline, from_ns, now_ns, loader->wait_ns);
    } else {
        loader->wait_ns[is_ready(loader) ? RBC_STAGE_DELIVER : RBC_STAGE_QUEUE] += now_ns - from_ns;
    }
    loader->stats.wait_ns += now_ns - from_ns;
    loader->wait_from_ns = now_ns;
}

static int32_t waits_for(const rbc_loader *loader) {
    if (loader->wait_from_ns == 0) {
        return RBC__STAGE_NONE;
    }
    if (is_ready(loader)) {
        return RBC_STAGE_DELIVER;
    }
    const rbc__timeline *timeline = loader->first_pending != NULL ? first_timeline(loader) : NULL;
    return timeline != NULL ? rbc__timeline_now(timeline) : RBC_STAGE_QUEUE;
}

static int64_t row_bytes(const rbc__batch_spec *spec) {
    int64_t bytes = 0;
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        bytes += spec->fields[i].row_bytes;
    }
    return bytes;
}

/* With the lock held. */
static void count(rbc_loader *loader, rbc_loader_stages *out) {
    const int64_t now_ns = rbc__now_ns();
    rbc__wait_divide(loader, NULL, now_ns);
    memcpy(out->busy_ns, loader->busy_ns, sizeof loader->busy_ns);
    memcpy(out->wait_ns, loader->wait_ns, sizeof loader->wait_ns);
    out->bytes[RBC_STAGE_READ] = loader->stats.bytes_read;
    out->bytes[RBC_STAGE_UNPACK] = loader->bytes_unpacked;
    out->bytes[RBC_STAGE_DECODE] = loader->bytes_decoded;
    out->bytes[RBC_STAGE_DELIVER] = loader->stats.samples_delivered * row_bytes(loader->spec);
    out->idle_ns = loader->idle_ns +
                   (int64_t)((uint64_t)loader->num_idle * (uint64_t)now_ns - loader->idle_since_ns);
    out->waits_for = waits_for(loader);
    out->batches_begun = loader->num_pending;
    for (const rbc__pending *at = loader->first_pending; at != NULL && at->is_done; at = at->next) {
        ++out->batches_ready;
    }
    for (const rbc__fetched *at = loader->fetched; at != NULL; at = at->next) {
        ++out->ranges_fetched;
    }
    out->num_threads = loader->num_threads;
    out->num_idle = loader->num_idle;
    out->num_fetchers = loader->is_split ? loader->num_fetchers : 0;
    out->num_idle_fetchers = loader->num_idle_fetchers;
    out->images_on_device = loader->images_there;
    rbc__slots_counts slots;
    rbc__slots_count(loader->slots, &slots);
    out->gpu_ns[RBC_GPU_COPY] = slots.copy_ns;
    for (int32_t i = 0; i < loader->num_threads; ++i) {
        rbc__device_maker_add_times(loader->workers[i].maker, out->gpu_ns);
    }
    out->loop_batch_ns = (int64_t)loader->pace.batch_ns;
    out->core_image_ns =
        (int64_t)atomic_load_explicit(&loader->pace.image_ns, memory_order_relaxed);
}

rbc_status rbc_loader_get_stages(rbc_loader *loader, rbc_loader_stages *out, rbc_error *err) {
    rbc_loader_stages found = {0};
    RBC__TRY(rbc__params_read(out, &found, sizeof found, "stages", err));
    const size_t struct_size = out->struct_size;
    found = (rbc_loader_stages){.struct_size = struct_size, .waits_for = RBC__STAGE_NONE};
    if (loader->process == getpid()) {
        pthread_mutex_lock(&loader->lock);
        count(loader, &found);
        pthread_mutex_unlock(&loader->lock);
    }
    memcpy(out, &found, struct_size < sizeof found ? struct_size : sizeof found);
    return RBC_OK;
}
