/* Some images of a stream, evenly spaced over the steps of the selection; a slot has one of them. */
#include <stdatomic.h>
#include <stdlib.h>

#include "core/error.h"
#include "statistics/count.h"
#include "statistics/result.h"

/* Decoded images of a round. */
#define ROUND_IMAGES 32

typedef struct image_slot {
    int64_t position, step; /* among the steps of its episode that count */
    int64_t shape[3];
    rbc_status status;
    rbc_error error;
} image_slot;

typedef struct image_round {
    rbc__counting *counting;
    int32_t stream;
    image_slot slots[ROUND_IMAGES];
    int64_t num_slots;
} image_round;

/* The step of the episode that is number `kept` of those that count. */
static int64_t step_of(const rbc_selection *selection, int64_t position, int64_t kept) {
    int64_t count;
    const rbc_step_range *ranges = rbc_selection_ranges(selection, position, &count);
    for (int64_t i = 0; ranges != NULL && i < count; ++i) {
        const int64_t size = ranges[i].end - ranges[i].first;
        if (kept < size) {
            return ranges[i].first + kept;
        }
        kept -= size;
    }
    return kept;
}

static rbc_status read_image(image_round *r, rbc_episode *episode, int64_t index, rbc_error *err) {
    image_slot *slot = &r->slots[index];
    rbc__filled *filled = &r->counting->filled[index];
    rbc_episode_info info;
    int64_t num_samples;
    rbc_episode_get_info(episode, &info);
    RBC__TRY(rbc_episode_count(episode, r->stream, &num_samples, NULL, err));
    int64_t sample = step_of(r->counting->selection, slot->position, slot->step);
    if (num_samples != info.num_steps) {
        sample = (int64_t)((double)sample * ((double)num_samples / (double)info.num_steps));
    }
    if (num_samples == 0) {
        return RBC_OK;
    }
    sample = sample < num_samples ? sample : num_samples - 1;
    RBC__TRY(rbc_episode_image_shape(episode, r->stream, sample, slot->shape, err));
    const rbc__dtype dtype = rbc__dataset_schema(rbc_selection_dataset(r->counting->selection))
                                 ->streams[r->stream]
                                 .dtype;
    int64_t bytes = rbc__dtype_bytes(dtype);
    for (int i = 0; i < 3; ++i) {
        if (!rbc__mul_size(bytes, slot->shape[i], &bytes)) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "an image of %lld x %lld",
                             (long long)slot->shape[0], (long long)slot->shape[1]);
        }
    }
    if (bytes == 0) {
        return RBC_OK;
    }
    RBC__TRY(rbc__scratch_reserve(&filled->data, (size_t)bytes, err));
    RBC__TRY(
        rbc_episode_read(episode, r->stream, sample, 1, filled->data.data, (uint64_t)bytes, err));
    filled->num_rows = slot->shape[0] * slot->shape[1];
    return RBC_OK;
}

static void fill_slot(void *job, int64_t index) {
    image_round *r = job;
    image_slot *slot = &r->slots[index];
    const rbc_selection *selection = r->counting->selection;
    rbc_episode *episode = NULL;
    r->counting->filled[index].num_rows = 0;
    slot->shape[2] = 0;
    slot->status =
        rbc_episode_open(rbc_selection_dataset(selection),
                         rbc__selection_ids(selection)[slot->position], &episode, &slot->error);
    if (slot->status == RBC_OK) {
        slot->status = read_image(r, episode, index, &slot->error);
    }
    rbc_episode_close(&episode);
}

/* The channels are those of the first image, where the stream does not declare them. */
static rbc_status begin(image_round *r, int64_t channels, rbc_error *err) {
    rbc__counting *counting = r->counting;
    const rbc__stream_schema *schema =
        &rbc__dataset_schema(rbc_selection_dataset(counting->selection))->streams[r->stream];
    return rbc__counted_init(&counting->streams[0], r->stream, schema, 1, &channels, err);
}

static rbc_status look_at(image_round *r, int64_t index, rbc_error *err) {
    rbc__counting *counting = r->counting;
    image_slot *slot = &r->slots[index];
    if (slot->status == RBC_OK && counting->filled[index].num_rows > 0 &&
        slot->shape[2] != counting->streams[0].result->num_channels) {
        slot->status = rbc__fail(&slot->error, RBC_ERROR_FORMAT,
                                 "stream '%s': an image of %lld channels, after one of %lld",
                                 counting->streams[0].schema->name, (long long)slot->shape[2],
                                 (long long)counting->streams[0].result->num_channels);
    }
    if (slot->status != RBC_OK) {
        counting->filled[index].num_rows = 0;
        return rbc__counting_skip(counting, rbc__selection_ids(counting->selection)[slot->position],
                                  &slot->error, err);
    }
    counting->streams[0].result->num_samples += counting->filled[index].num_rows > 0;
    return RBC_OK;
}

static rbc_status run_round(image_round *r, rbc_error *err) {
    rbc__counting *counting = r->counting;
    RBC__TRY(rbc__counting_report(counting, err));
    rbc__pool_run(counting->pool, r->num_slots, fill_slot, r);
    int64_t channels = 0;
    for (int64_t i = 0; i < r->num_slots && channels == 0; ++i) {
        channels = r->slots[i].status == RBC_OK ? r->slots[i].shape[2] : 0;
    }
    if (counting->streams[0].result == NULL) {
        RBC__TRY(begin(r, channels > 0 ? channels : 1, err));
    }
    for (int64_t i = 0; i < r->num_slots; ++i) {
        RBC__TRY(look_at(r, i, err));
    }
    counting->progress->images_done += r->num_slots;
    return rbc__counting_add(counting, r->num_slots, err);
}

static rbc_status count_images(image_round *r, int64_t num_images, rbc_error *err) {
    const rbc_selection *selection = r->counting->selection;
    const int64_t size = rbc_selection_size(selection);
    const int64_t total = rbc_selection_num_steps(selection);
    const int64_t count = num_images < total ? num_images : total;
    int64_t position = 0;
    int64_t before = 0; /* steps of the episodes before */
    int64_t last = -1;  /* episode that was counted */
    int64_t num_episodes = 0;
    for (int64_t i = 0; i < count;) {
        for (r->num_slots = 0; r->num_slots < ROUND_IMAGES && i < count; ++i) {
            const double share = ((double)i + 0.5) / (double)count;
            const int64_t at = (int64_t)((double)total * share);
            while (position < size && at - before >= rbc__selection_num_kept(selection, position)) {
                before += rbc__selection_num_kept(selection, position++);
            }
            num_episodes += position != last;
            last = position;
            r->slots[r->num_slots].position = position;
            r->slots[r->num_slots++].step = at - before;
        }
        RBC__TRY(run_round(r, err));
    }
    if (r->counting->streams[0].result == NULL) {
        RBC__TRY(begin(r, 1, err));
    }
    r->counting->streams[0].result->num_episodes = num_episodes;
    return RBC_OK;
}

rbc_status rbc__count_images(rbc__counting *counting, int32_t stream, int64_t num_images,
                             rbc_error *err) {
    image_round *r = calloc(1, sizeof *r);
    rbc_status status = r != NULL
                            ? rbc__counting_reserve(counting, err)
                            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
    if (status == RBC_OK) {
        r->counting = counting;
        r->stream = stream;
        status = count_images(r, num_images, err);
    }
    rbc__counting_free(counting);
    free(r);
    return status;
}
