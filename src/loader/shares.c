#include "loader/shares.h"

#include <stdio.h>

#include "core/error.h"

/* All workers' caches of episodes together. */
#define CACHE_BYTES (INT64_C(128) << 20)

/* Rows of a range: enough work to make the lock cheap, little enough to share a batch out. */
#define RANGE_ROWS   64
#define RANGE_IMAGES 16

/* The same where fetchers fetch them: worth waiting for. */
#define SPLIT_RANGE_IMAGES 64

/* The same where a device decodes: enough images that it is busy with those of a few workers, and
 * the pinned memory that a worker has for their streams and for results of its own, about. */
#define RANGE_IMAGES_THERE 128
#define WORKER_BYTES_THERE (INT64_C(12) << 20)

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
static int32_t count_decoders(const rbc_loader *loader, int64_t *bytes) {
    int32_t num_streams = 0;
    int64_t largest = 0;
    for (int32_t i = 0; i < loader->num_members; ++i) {
        num_streams += count_streams(loader->members[i].spec, &largest);
    }
    const int32_t count = num_streams > 0 ? loader->num_threads + num_streams - 1 : 0;
    *bytes = count * largest;
    return count;
}

/* What is unpacked and decoders share `bound`, which grows where nobody has said it. */
static rbc_status share_decoders(rbc_loader *loader, int64_t bound, rbc_error *err) {
    int64_t wanted;
    const int32_t count = count_decoders(loader, &wanted);
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

rbc_status rbc__shares_caches(rbc_loader *loader, int64_t memory_bytes, rbc_error *err) {
    const int64_t bound = memory_bytes > 0 ? memory_bytes / 4 : DEFAULT_SHARED_BYTES / 2;
    loader->memory_bytes = memory_bytes;
    loader->episode_bytes = bound < CACHE_BYTES ? bound : CACHE_BYTES;
    loader->ahead_bytes = bound / 2;
    return share_decoders(loader, bound, err);
}

int64_t rbc__shares_of_member(const rbc_loader *loader, int32_t member, int64_t bytes) {
    const int64_t *begins = loader->begins;
    const double share =
        (double)(begins[member + 1] - begins[member]) / (double)begins[loader->num_members];
    return loader->num_members == 1 ? bytes : (int64_t)((double)bytes * share);
}

/* Slots where nobody says how many. */
static int32_t default_slots(const rbc_loader *loader) {
    const rbc__batch_spec *spec = loader->spec;
    const int32_t slots = rbc__slots_default(loader->num_threads, spec->host_bytes);
    const int64_t there = clamp(DEVICE_SLOTS_BYTES / (spec->slot_bytes + 1), 3, slots);
    return loader->makes_there ? (int32_t)there : slots;
}

/* Slots beside them for batches that queued work still uses: threads that make images on the device
 * would wait for that. `fit` slots have room on the host. */
static int32_t more_slots(const rbc_loader *loader, int64_t fit) {
    const int64_t there = DEVICE_SLOTS_BYTES / (loader->spec->slot_bytes + 1);
    const int64_t room = (there < fit ? there : fit) - loader->num_slots;
    return loader->makes_there ? (int32_t)clamp(room, 0, loader->num_slots) : 0;
}

/* Raises the bound by so many slots and what is beside them, as far as it can be counted. */
static void raise_bound(rbc_loader *loader, int64_t slots, int64_t slot_bytes, int64_t beside) {
    int64_t more;
    if (!rbc__mul_size(slots, slot_bytes, &more) || !rbc__add_size(more, beside, &more) ||
        !rbc__add_size(loader->memory_bytes, more, &loader->memory_bytes)) {
        loader->memory_bytes = INT64_MAX;
    }
}

rbc_status rbc__shares_slots(rbc_loader *loader, const rbc_loader_params *params, rbc_error *err) {
    const int64_t slot_bytes = loader->spec->host_bytes;
    const int64_t worker_bytes = loader->makes_there ? loader->num_threads * WORKER_BYTES_THERE : 0;
    loader->num_slots = params->num_slots > 0 ? params->num_slots : default_slots(loader);
    if (params->memory_bytes == 0) {
        loader->num_more_slots = more_slots(loader, INT32_MAX);
        raise_bound(loader, (int64_t)loader->num_slots + loader->num_more_slots, slot_bytes,
                    worker_bytes);
        return RBC_OK;
    }
    const int64_t room = params->memory_bytes / 4 - worker_bytes;
    const int64_t fit = room <= 0 ? 0 : slot_bytes > 0 ? room / slot_bytes : loader->num_slots;
    if (fit < 1 || (params->num_slots > 0 && fit < params->num_slots)) {
        char beside[128] = "";
        if (worker_bytes > 0) {
            (void)snprintf(beside, sizeof beside,
                           ", beside %lld bytes with which %d threads feed the device",
                           (long long)worker_bytes, loader->num_threads);
        }
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "memory_bytes is %lld: a quarter of it is for batches, of which one takes "
                         "%lld bytes and %d are asked for%s",
                         (long long)params->memory_bytes, (long long)slot_bytes,
                         params->num_slots > 0 ? params->num_slots : 1, beside);
    }
    loader->num_slots = fit < loader->num_slots ? (int32_t)fit : loader->num_slots;
    loader->num_more_slots = more_slots(loader, fit);
    return RBC_OK;
}

/* Whether images or grids are made on the batches' device, and not just numbers. */
static bool makes_images_there(const rbc_loader *loader) {
    bool is_any = false;
    for (int32_t i = 0; i < loader->num_members; ++i) {
        const rbc__batch_spec *spec = loader->members[i].spec;
        for (int32_t w = 0; w < spec->num_windows; ++w) {
            const rbc__window_spec *window = &spec->windows[w];
            is_any = is_any || (spec->fields[window->value_field].is_there &&
                                !rbc__window_is_aligned_there(spec, window));
        }
    }
    return is_any;
}

void rbc__shares_ranges(rbc_loader *loader) {
    const int64_t images = loader->images_per_row;
    const bool is_there = makes_images_there(loader);
    const int64_t most = loader->makes_there ? RBC__MOST_RANGE_ROWS : RANGE_ROWS;
    const int64_t few = is_there ? RANGE_IMAGES_THERE : RANGE_IMAGES;
    const int64_t many = is_there ? RANGE_IMAGES_THERE : SPLIT_RANGE_IMAGES;
    loader->range_rows = images > 0 ? clamp(few / images, 1, most) : most;
    loader->split_range_rows = images > 0 ? clamp(many / images, 1, most) : most;
    loader->core_range_rows = loader->makes_there && loader->pace.is_shared && images > 0
                                  ? clamp(RANGE_IMAGES / images, 1, RANGE_ROWS)
                                  : loader->range_rows;
}
