/* Decoding groups of pictures, by the name of what encoded them. Interface of src/codec.
 *
 * A decoder is of one track's packets, or of another's that are encoded alike; it is used by one
 * thread at a time, has no threads of its own, and is kept for other groups in a pool
 * (video_pool.h). "raw" is a packet of pixels for each frame, as they are delivered; the
 * others are FFmpeg's (ffmpeg/). */
#ifndef RBC_CODEC_VIDEO_H
#define RBC_CODEC_VIDEO_H

#include <stdatomic.h>
#include <stddef.h>

#include <robocache/robocache.h>

#include "codec/codec.h"

typedef enum rbc__video_range {
    RBC__VIDEO_RANGE_UNSAID = 0,
    RBC__VIDEO_RANGE_LIMITED = 1,
    RBC__VIDEO_RANGE_FULL = 2,
} rbc__video_range;

/* What is known of all packets of a track. */
typedef struct rbc__video_params {
    const char *codec;        /* as FFmpeg names it: "h264", "hevc", "av1", "mpeg4" */
    const char *pixel_format; /* as FFmpeg names it: "yuv420p10le"; "": the packets say */
    const uint8_t *extradata; /* what the container has for the decoder: avcC, hvcC, av1C, the
                                 decoder's part of esds, without a box around it */
    size_t extradata_bytes;   /* 0: the packets say all */
    int32_t width, height;    /* of a picture; 0: the packets say */
    uint8_t matrix, range;    /* of colours, where the container says them and the packets do not:
                                 the matrix by its number in ITU-T H.273, 0: unsaid, and
                                 rbc__video_range */
} rbc__video_params;

typedef struct rbc__video_packet {
    const uint8_t *data;
    size_t bytes;
    int64_t pts;
} rbc__video_packet;

/* A frame that is wanted. */
typedef struct rbc__video_frame {
    int64_t packet; /* which of the group's packets it is */
    int64_t pts;    /* of that packet */
    uint8_t *dst;   /* of the group's shape, rows packed, C order */
} rbc__video_frame;

/* Which group of pictures it is, among all that a pool decodes. */
typedef struct rbc__video_group_id {
    int64_t part;
    uint32_t track;
    int64_t group;
} rbc__video_group_id;

/* A group of pictures: its packets in the order of decoding, the first a key packet, and which
 * frames are wanted of what they give. Pictures of other packets are dropped, and what is after the
 * last frame wanted need not be decoded. */
typedef struct rbc__video_group {
    const rbc__video_packet *packets;
    int64_t num_packets;
    const rbc__video_frame *frames; /* [num_frames], in the order in which they are shown */
    int64_t num_frames;             /* at least 1 */
    rbc__video_group_id id;
    int64_t first_packet;      /* number of packets[0] in the track, for messages; 0: no group
                                       is before this one */
    rbc__image_shape shape;    /* 1 or 3 channels (grey, RGB) of 8 or 16 bits; a picture of
                                       another size is FORMAT */
    const atomic_bool *cancel; /* looked at between pictures, then CANCELLED; NULL: never */
} rbc__video_group;

typedef struct rbc__video_codec rbc__video_codec;

/* Begins what each codec adds to. */
typedef struct rbc__video_decoder {
    const rbc__video_codec *codec;
} rbc__video_decoder;

struct rbc__video_codec {
    const char *name;
    /* UNSUPPORTED: what this machine or this library cannot decode. FORMAT: the parameters are
     * damaged. `params` is borrowed for the call. */
    rbc_status (*open)(const rbc__video_params *params, rbc__video_decoder **out, rbc_error *err);
    /* Decodes a group, whatever was decoded before it; `*num_packets` it went through for that. FORMAT:
     * what is damaged or not as declared; the message says which packet or frame. After a failure
     * the decoder is closed. */
    rbc_status (*decode)(rbc__video_decoder *decoder, const rbc__video_group *group,
                         int64_t *num_packets, rbc_error *err);
    /* How many packets of the group it has gone through, where it has stopped in the midst of it
     * ahead of all frames that are wanted: decoding goes on from there. 0: it would begin anew. */
    int64_t (*progress)(const rbc__video_decoder *decoder, const rbc__video_group *group);
    /* Memory that it takes, about. */
    int64_t (*bytes)(const rbc__video_decoder *decoder);
    void (*close)(rbc__video_decoder *decoder);
};

/* UNSUPPORTED, naming those there are. */
rbc_status rbc__video_codec_find(const char *name, const rbc__video_codec **out, rbc_error *err);

/* Memory that a decoder of pictures of that size takes, about: the ten that others refer to or that
 * wait, in 4:2:0 of 8 bits, and what is beside them. */
static inline int64_t rbc__video_decoder_bytes(int64_t height, int64_t width) {
    return (INT64_C(1) << 20) + 10 * (height * width + height * width / 2);
}

/* Bytes of a frame of that shape. */
static inline int64_t rbc__video_frame_bytes(const rbc__image_shape *shape) {
    return shape->height * shape->width * shape->channels * (shape->bits / 8);
}

#endif
