#include "codec/video.h"

#include <string.h>

#include "core/error.h"

/* The packet that is shown at `pts`, or NULL. */
static const rbc__video_packet *packet_at(const rbc__video_group *group, int64_t pts) {
    for (int64_t i = 0; i < group->num_packets; ++i) {
        if (group->packets[i].pts == pts) {
            return &group->packets[i];
        }
    }
    return NULL;
}

static rbc_status decode_raw(const rbc__video_group *group, uint8_t *frames, rbc_error *err) {
    for (int64_t i = 0; i < group->num_frames; ++i) {
        const rbc__video_packet *packet = packet_at(group, group->frame_pts[i]);
        if (packet == NULL || packet->bytes != (size_t)group->frame_bytes) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "frame %lld of a group of raw pictures has %lld bytes, wanted %lld",
                             (long long)i, packet != NULL ? (long long)packet->bytes : 0,
                             (long long)group->frame_bytes);
        }
        memcpy(frames + i * group->frame_bytes, packet->data, packet->bytes);
    }
    return RBC_OK;
}

static const rbc__video_codec codecs[] = {{"raw", decode_raw}};

rbc_status rbc__video_codec_find(const char *name, const rbc__video_codec **out, rbc_error *err) {
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; ++i) {
        if (strcmp(codecs[i].name, name) == 0) {
            *out = &codecs[i];
            return RBC_OK;
        }
    }
    return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                     "video of codec '%.40s' cannot be decoded; of '%s' it can", name,
                     codecs[0].name);
}
