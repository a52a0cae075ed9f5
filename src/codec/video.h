/* Decoding groups of pictures, by the name of what encoded them. Interface of src/codec.
 *
 * "raw" is a packet of pixels for each frame, as they are delivered. */
#ifndef RBC_CODEC_VIDEO_H
#define RBC_CODEC_VIDEO_H

#include <stddef.h>

#include <robocache/robocache.h>

typedef struct rbc__video_packet {
    const uint8_t *data;
    size_t bytes;
    int64_t pts;
} rbc__video_packet;

/* A group of pictures: its packets in the order of decoding, and which frames are wanted of what
 * they give. */
typedef struct rbc__video_group {
    const rbc__video_packet *packets;
    int64_t num_packets;
    const int64_t *frame_pts; /* [num_frames], in the order in which they are shown */
    int64_t num_frames;
    int64_t frame_bytes; /* of one, rows packed: height x width x channels x bytes of a value */
} rbc__video_group;

typedef struct rbc__video_codec {
    const char *name;
    /* Decodes all frames of the group to `frames` [num_frames][frame_bytes]. FORMAT: what is damaged
     * or not as declared; the message says which packet or frame. Any thread. */
    rbc_status (*decode)(const rbc__video_group *group, uint8_t *frames, rbc_error *err);
} rbc__video_codec;

/* UNSUPPORTED, naming those there are. */
rbc_status rbc__video_codec_find(const char *name, const rbc__video_codec **out, rbc_error *err);

#endif
