/* From frames of tracks to groups of pictures, and to the blocks that their packets lie in. */
#include <inttypes.h>

#include "core/error.h"
#include "store/locate.h"

/* Packets of a group that lie together are read as one, with little between them. */
#define MAX_STRETCH_BYTES (UINT64_C(1) << 30)
#define MAX_GAP_BYTES     (UINT64_C(1) << 16)

/* Pictures are kept in segments of at most this share of the cache. */
#define SEGMENT_SHARE 4

/* ---- packets ------------------------------------------------------------------------------------
 */

/* Packets under way that lie together in a blob. */
typedef struct stretch {
    bool is_open;
    uint32_t blob;
    uint64_t offset, end, wanted;
} stretch;

static rbc__group_source *last_source(const rbc__request *request, const rbc__wanted_group *group) {
    return group->num_sources > 0
               ? (rbc__group_source *)request->sources.items + request->sources.count - 1
               : NULL;
}

static rbc_status add_source(rbc__request *request, rbc__wanted_group *group,
                             const rbc__group_source *source, const rbc__wanted_block *wanted,
                             rbc_error *err) {
    rbc__group_source *added = rbc__list_add(&request->sources, sizeof *added);
    if (added == NULL) {
        return rbc__located_no_memory(err);
    }
    *added = *source;
    const rbc_status status = rbc__request_add_block(request, wanted, true, &added->block, err);
    if (status != RBC_OK) {
        --request->sources.count;
        return status;
    }
    ++group->num_sources;
    return RBC_OK;
}

/* Packets as they lie are shared like a block that is not packed. */
static rbc_status close_stretch(rbc__request *request, rbc__wanted_group *group, stretch *open,
                                rbc_error *err) {
    if (!open->is_open) {
        return RBC_OK;
    }
    open->is_open = false;
    const uint64_t bytes = open->end - open->offset;
    const int64_t blob = rbc__blob_id(group->part, open->blob);
    const rbc__group_source source = {.number = open->blob, .offset = open->offset, .bytes = bytes};
    const rbc__wanted_block wanted = {
        .key = {blob, open->offset, group->track_number, RBC__KEY_PACKETS, request->params.store},
        .blob = blob,
        .offset = open->offset,
        .packed_bytes = bytes,
        .unpacked_bytes = bytes};
    return add_source(request, group, &source, &wanted, err);
}

static bool may_join(const stretch *open, const rbc__track_packet *packet) {
    const uint64_t begin = (uint64_t)packet->offset;
    const uint64_t end = begin + (uint64_t)packet->bytes;
    if (!open->is_open || open->blob != packet->number) {
        return false;
    }
    const uint64_t first = begin < open->offset ? begin : open->offset;
    const uint64_t last = end > open->end ? end : open->end;
    const uint64_t wanted = open->wanted + (uint64_t)packet->bytes;
    return last - first <= MAX_STRETCH_BYTES && last - first <= wanted + wanted / 4 + MAX_GAP_BYTES;
}

static rbc_status add_packet(rbc__request *request, rbc__wanted_group *group, stretch *open,
                             const rbc__track_packet *packet, rbc_error *err) {
    const uint64_t begin = (uint64_t)packet->offset;
    const uint64_t end = begin + (uint64_t)packet->bytes;
    if (packet->in_block) {
        rbc__block block;
        RBC__TRY(close_stretch(request, group, open, err));
        const rbc__group_source *last = last_source(request, group);
        RBC__TRY(rbc__track_object_block(group->track, packet->number, &block, err));
        if (end > block.unpacked_bytes) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "a packet of a track in the catalog: it is damaged: found %" PRIu64
                             " bytes from byte %" PRIu64 " on, of a block of %" PRIu64,
                             (uint64_t)packet->bytes, begin, block.unpacked_bytes);
        }
        if (last != NULL && last->in_block && last->number == packet->number) {
            return RBC_OK;
        }
        const int64_t blob = rbc__blob_id(group->part, block.blob);
        const rbc__group_source source = {.number = packet->number, .in_block = true};
        const rbc__wanted_block wanted = {
            .key = {blob, block.offset, 0, RBC__KEY_BLOCK, request->params.store},
            .packing = group->track->packings[block.packing],
            .blob = blob,
            .offset = block.offset,
            .packed_bytes = block.packed_bytes,
            .unpacked_bytes = block.unpacked_bytes};
        return add_source(request, group, &source, &wanted, err);
    }
    if (!may_join(open, packet)) {
        RBC__TRY(close_stretch(request, group, open, err));
        *open = (stretch){.is_open = true, .blob = packet->number, .offset = begin, .end = end};
    }
    open->offset = begin < open->offset ? begin : open->offset;
    open->end = end > open->end ? end : open->end;
    open->wanted += (uint64_t)packet->bytes;
    return RBC_OK;
}

static rbc_status add_packets(rbc__request *request, rbc__wanted_group *group, rbc_error *err) {
    stretch open = {0};
    group->source = request->sources.count;
    for (int64_t i = 0; i < group->group.num_packets; ++i) {
        const int64_t number = group->group.first_packet + i;
        rbc__track_packet packet;
        RBC__TRY(rbc__track_packet_at(&group->track->track, number, &packet, err));
        RBC__TRY(add_packet(request, group, &open, &packet, err));
    }
    return close_stretch(request, group, &open, err);
}

/* ---- groups -------------------------------------------------------------------------------------
 */

/* Of a picture as it is delivered. */
static bool frame_shape(const rbc__stream_schema *schema, rbc__image_shape *out, uint64_t *bytes) {
    int64_t size = rbc__dtype_bytes(schema->dtype);
    bool ok = schema->ndim == 3 && (schema->dtype == RBC__U8 || schema->dtype == RBC__U16);
    for (int32_t i = 0; ok && i < 3; ++i) {
        ok = schema->shape[i] > 0 && schema->shape[i] <= INT32_MAX &&
             rbc__mul_size(size, schema->shape[i], &size);
    }
    *bytes = (uint64_t)size;
    *out = (rbc__image_shape){.height = schema->shape[0],
                              .width = schema->shape[1],
                              .channels = schema->shape[2],
                              .bits = schema->dtype == RBC__U16 ? 16 : 8};
    return ok;
}

static bool is_same_group(const rbc__wanted_group *a, const rbc__wanted_group *b) {
    return a->track == b->track && a->number == b->number && a->first == b->first &&
           a->frame_bytes == b->frame_bytes && a->shape.height == b->shape.height &&
           a->shape.width == b->shape.width && a->shape.bits == b->shape.bits;
}

/* The segment that has frame `position`. */
static void choose_segment(const rbc__request *request, rbc__wanted_group *group,
                           int64_t position) {
    const uint64_t room =
        (uint64_t)rbc__block_cache_max(request->params.cache) / SEGMENT_SHARE / group->frame_bytes;
    const int64_t frames = group->group.num_frames;
    const int64_t each = room < 1 ? 1 : room < (uint64_t)frames ? (int64_t)room : frames;
    group->first = position / each * each;
    group->num_kept = frames - group->first < each ? frames - group->first : each;
}

/* Where its first packet lies, for messages. */
static rbc_status find_first_packet(rbc__wanted_group *group, rbc_error *err) {
    rbc__track_packet packet;
    RBC__TRY(rbc__track_packet_at(&group->track->track, group->group.first_packet, &packet, err));
    rbc__block block = {.blob = packet.number, .offset = (uint64_t)packet.offset};
    if (packet.in_block) {
        RBC__TRY(rbc__track_object_block(group->track, packet.number, &block, err));
    }
    group->blob = rbc__blob_id(group->part, block.blob);
    group->offset = block.offset;
    return RBC_OK;
}

static rbc_status begin_group(rbc__request *request, rbc__wanted_group *group, rbc_error *err) {
    rbc__block_cache *cache = request->params.cache;
    RBC__TRY(find_first_packet(group, err));
    if (request->params.keeps_pictures) {
        const rbc__block_key key = {rbc__blob_id(group->part, 0),
                                    (uint64_t)group->number << 32 | (uint64_t)group->first,
                                    group->track_number, RBC__KEY_PICTURES, request->params.store};
        RBC__TRY(rbc__block_pin(cache, &key, &group->pin, err));
        if (rbc__block_is_ready(cache, group->pin)) {
            return RBC_OK;
        }
    }
    return add_packets(request, group, err);
}

/* The group of the request that is `wanted`, which is added where it is not there yet. */
static rbc_status add_group(rbc__request *request, rbc__wanted_group *wanted, uint32_t *index,
                            rbc_error *err) {
    for (size_t i = request->groups.count; i > 0; --i) {
        if (is_same_group(rbc__request_group(request, i - 1), wanted)) {
            *index = (uint32_t)i - 1;
            return RBC_OK;
        }
    }
    const size_t num_sources = request->sources.count;
    wanted->last_want = UINT32_MAX;
    rbc_status status = begin_group(request, wanted, err);
    rbc__wanted_group *added =
        status == RBC_OK ? rbc__list_add(&request->groups, sizeof *added) : NULL;
    if (added == NULL) {
        if (wanted->pin != NULL) {
            rbc__block_unpin(request->params.cache, wanted->pin);
        }
        request->sources.count = num_sources;
        return status != RBC_OK ? status : rbc__located_no_memory(err);
    }
    *added = *wanted;
    *index = (uint32_t)request->groups.count - 1;
    return RBC_OK;
}

static rbc_status find_frame(rbc__request *request, const rbc__located_stream *s,
                             const rbc__run *run, int64_t sample, rbc__wanted_group *out,
                             int64_t *position, rbc_error *err) {
    rbc__cached_block *pin;
    rbc__track_frame frame;
    const uint64_t number = run->offset + ((uint64_t)sample - run->first);
    *out = (rbc__wanted_group){.part = s->parsed->part, .track_number = run->number};
    RBC__TRY(rbc__objects_track(request->params.objects, request->params.cache, s->parsed->part,
                                run->number, &out->track, &pin, err));
    RBC__TRY(rbc__request_keep(request, pin, err));
    if (out->track->codec == NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "stream '%s' is video of codec '%s', which this build cannot decode",
                         s->schema->name, out->track->codec_name);
    }
    const rbc__track *track = &out->track->track;
    if (number >= (uint64_t)track->num_frames ||
        !frame_shape(s->schema, &out->shape, &out->frame_bytes)) {
        return rbc__located_fail(request, s, run, err, "its frames are not those of the track");
    }
    RBC__TRY(rbc__track_frame_at(track, (int64_t)number, &frame, err));
    RBC__TRY(rbc__track_group_at(track, frame.group, &out->group, err));
    if (out->frame_bytes > RBC__LAYOUT_MAX_BLOCK_BYTES / (uint64_t)out->group.num_frames) {
        return rbc__located_fail(request, s, run, err, "a group of its pictures is too large");
    }
    out->number = frame.group;
    *position = frame.position;
    if (request->params.keeps_pictures) {
        choose_segment(request, out, frame.position);
    }
    return RBC_OK;
}

rbc_status rbc__want_frame(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                           int64_t sample, uint32_t *want_index, rbc_error *err) {
    rbc__wanted_group wanted;
    int64_t position = 0;
    uint32_t index = 0;
    RBC__TRY(find_frame(request, s, run, sample, &wanted, &position, err));
    RBC__TRY(add_group(request, &wanted, &index, err));
    rbc__want *want = rbc__located_add_want(request, s, run, RBC__WANT_SAMPLE, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    rbc__wanted_group *group = rbc__request_group(request, index);
    *want_index = (uint32_t)request->wants.count - 1;
    want->first = sample;
    want->count = 1;
    want->bytes = wanted.frame_bytes;
    want->source = RBC__FROM_GROUP;
    want->index = index;
    want->offset = (uint64_t)position;
    want->blob = group->blob;
    want->blob_offset = group->offset;
    want->next_want = group->last_want;
    group->last_want = *want_index;
    return RBC_OK;
}
