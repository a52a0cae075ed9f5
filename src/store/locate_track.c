/* From frames of tracks to groups of pictures. */
#include <inttypes.h>

#include "core/error.h"
#include "store/locate.h"

/* Packed pictures of a group at most, with what lies between them. */
#define MAX_GROUP_BYTES (UINT64_C(1) << 30)

/* The packets of a group lie in one blob, with little else between them. */
static rbc_status cover_packets(const rbc__track *track, const rbc__track_group *group,
                                int64_t part, rbc__wanted_block *out, rbc_error *err) {
    int64_t begin = INT64_MAX;
    int64_t end = 0;
    for (int64_t i = 0; i < group->num_packets; ++i) {
        rbc__track_packet packet;
        RBC__TRY(rbc__track_packet_at(track, group->first_packet + i, &packet, err));
        if (packet.in_block || (i > 0 && rbc__blob_id(part, packet.number) != out->blob)) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "packet %" PRId64 " of a track lies in a block, or in another file "
                             "than others of its group",
                             group->first_packet + i);
        }
        out->blob = rbc__blob_id(part, packet.number);
        begin = packet.offset < begin ? packet.offset : begin;
        end = packet.offset + packet.bytes > end ? packet.offset + packet.bytes : end;
    }
    out->offset = (uint64_t)begin;
    out->packed_bytes = (uint64_t)(end - begin);
    return out->packed_bytes <= MAX_GROUP_BYTES
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_FORMAT,
                           "a group of pictures reaches over %" PRIu64 " bytes", out->packed_bytes);
}

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

rbc_status rbc__want_frame(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                           int64_t sample, uint32_t *want_index, rbc_error *err) {
    const rbc__track_object *object;
    rbc__cached_block *pin;
    rbc__track_frame frame;
    rbc__wanted_block wanted = {0};
    uint64_t frame_bytes;
    const uint64_t number = run->offset + ((uint64_t)sample - run->first);
    RBC__TRY(rbc__objects_track(request->params.objects, request->params.cache, s->parsed->part,
                                run->number, &object, &pin, err));
    RBC__TRY(rbc__request_keep(request, pin, err));
    if (object->codec == NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "stream '%s' is video of codec '%s', which this build cannot decode",
                         s->schema->name, object->codec_name);
    }
    if (number >= (uint64_t)object->track.num_frames ||
        !frame_shape(s->schema, &wanted.shape, &frame_bytes)) {
        return rbc__located_fail(request, s, run, err, "its frames are not those of the track");
    }
    RBC__TRY(rbc__track_frame_at(&object->track, (int64_t)number, &frame, err));
    RBC__TRY(rbc__track_group_at(&object->track, frame.group, &wanted.group, err));
    RBC__TRY(cover_packets(&object->track, &wanted.group, s->parsed->part, &wanted, err));
    wanted.key =
        (rbc__block_key){rbc__blob_id(s->parsed->part, 0), (uint64_t)frame.group, run->number + 1};
    wanted.track = object;
    if (frame_bytes > RBC__LAYOUT_MAX_BLOCK_BYTES / (uint64_t)wanted.group.num_frames) {
        return rbc__located_fail(request, s, run, err, "a group of its pictures is too large");
    }
    wanted.unpacked_bytes = frame_bytes * (uint64_t)wanted.group.num_frames;
    rbc__want *want = rbc__located_add_want(request, s, run, RBC__WANT_SAMPLE, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    *want_index = (uint32_t)request->wants.count - 1;
    want->first = sample;
    want->count = 1;
    want->bytes = frame_bytes;
    want->source = RBC__FROM_BLOCK;
    want->offset = frame_bytes * (uint64_t)frame.position;
    want->blob = wanted.blob;
    want->blob_offset = wanted.offset;
    uint32_t index;
    const rbc_status status = rbc__request_add_block(request, &wanted, true, &index, err);
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    rbc__request_want(request, *want_index)->index = index;
    return RBC_OK;
}
