/* Edit lists: which part of a track is shown, and when. */
#include <inttypes.h>
#include <stdlib.h>

#include "formats/mp4/tables.h"

/* Media [begin, end) is shown from `begin + shift` on. */
typedef struct edit {
    int64_t begin, end, shift;
} edit;

typedef struct edit_list {
    edit *edits;
    uint32_t count;
} edit_list;

/* `duration` units of the movie in units of the track, rounded to the nearest. */
static bool to_track_units(const rbc__mp4_builder *builder, uint64_t duration, int64_t *out) {
    const uint64_t scale = builder->video->time_base.denominator;
    const uint64_t half = builder->movie_scale / 2;
    uint64_t product;
    if (__builtin_mul_overflow(duration, scale, &product) || product > INT64_MAX - half) {
        return false;
    }
    *out = (int64_t)((product + half) / builder->movie_scale);
    return true;
}

static rbc_status read_entry(const rbc__mp4_builder *builder, const rbc__box *elst, uint32_t i,
                             int64_t *shown_at, edit_list *list, rbc_error *err) {
    const bool is_long = elst->data[0] == 1;
    const uint64_t at = 8 + (uint64_t)i * (is_long ? 20 : 12);
    const uint8_t *entry = elst->data + at;
    const uint64_t duration = is_long ? rbc__load_be64(entry) : rbc__load_be32(entry);
    const int64_t media =
        is_long ? (int64_t)rbc__load_be64(entry + 8) : (int32_t)rbc__load_be32(entry + 4);
    const uint32_t rate = rbc__load_be32(entry + (is_long ? 16 : 8));
    int64_t length;
    int64_t end;
    if (!to_track_units(builder, duration, &length)) {
        return rbc__box_fail(elst, at, err,
                             "edit %" PRIu32 " lasts %" PRIu64 " units of 1/%" PRIu32
                             " s, longer than can be",
                             i, duration, builder->movie_scale);
    }
    if (media == -1) { /* nothing is shown for so long */
        return __builtin_add_overflow(*shown_at, length, shown_at)
                   ? rbc__box_fail(elst, at, err, "edits up to %" PRIu32 " last longer than can be",
                                   i)
                   : RBC_OK;
    }
    if (media < 0) {
        return rbc__box_fail(elst, at, err,
                             "edit %" PRIu32 " begins at %" PRId64 ", wanted 0 or more, or -1", i,
                             media);
    }
    if (rate != 0x10000) {
        return rbc__box_refuse(elst, at, err, "edit %" PRIu32 " plays at a rate of %g, wanted 1", i,
                               (double)(int32_t)rate / 65536);
    }
    if (length == 0) { /* all there is */
        end = INT64_MAX;
    } else if (__builtin_add_overflow(media, length, &end)) {
        return rbc__box_fail(elst, at, err, "edit %" PRIu32 " lasts longer than can be", i);
    }
    if (list->count > 0 && media < list->edits[list->count - 1].end) {
        return rbc__box_refuse(elst, at, err,
                               "edit %" PRIu32 " begins at %" PRId64
                               ", before the one ahead of it ends: wanted none that repeat or "
                               "reorder",
                               i, media);
    }
    list->edits[list->count++] = (edit){media, end, *shown_at - media};
    return __builtin_add_overflow(*shown_at, length, shown_at)
               ? rbc__box_fail(elst, at, err, "edits up to %" PRIu32 " last longer than can be", i)
               : RBC_OK;
}

/* Hidden packets keep to the time of the edit that they come before. */
static rbc_status show(rbc__mp4_video *video, const edit_list *list, const rbc__box *elst,
                       rbc_error *err) {
    for (int64_t i = 0; i < video->num_packets; ++i) {
        rbc__track_packet *packet = &video->packets[i];
        uint32_t low = 0; /* the first edit that ends behind it, else the last */
        uint32_t high = list->count - 1;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (list->edits[middle].end <= packet->pts) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        const edit *its = &list->edits[low];
        packet->is_shown = packet->pts >= its->begin && packet->pts < its->end;
        if (__builtin_add_overflow(packet->pts, its->shift, &packet->pts) ||
            packet->pts == INT64_MIN) {
            return rbc__box_fail(elst, 0, err, "packet %" PRId64 " is shown when no time is", i);
        }
    }
    return RBC_OK;
}

rbc_status rbc__mp4_apply_edits(rbc__mp4_builder *builder, const rbc__box *elst, rbc_error *err) {
    uint32_t count;
    RBC__TRY(rbc__box_need(elst, 8, err));
    if (elst->data[0] > 1) {
        return rbc__box_refuse(elst, 0, err, "found version %d, wanted 0 or 1", elst->data[0]);
    }
    RBC__TRY(rbc__box_table(elst, 8, elst->data[0] == 1 ? 20 : 12, &count, err));
    edit_list list = {.edits = calloc((size_t)count + 1, sizeof(edit))};
    if (list.edits == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %" PRIu32 " edits", count);
    }
    int64_t shown_at = 0;
    rbc_status status = RBC_OK;
    for (uint32_t i = 0; i < count && status == RBC_OK; ++i) {
        status = read_entry(builder, elst, i, &shown_at, &list, err);
    }
    if (status == RBC_OK && list.count > 0) {
        status = show(builder->video, &list, elst, err);
    }
    free(list.edits);
    return status;
}
