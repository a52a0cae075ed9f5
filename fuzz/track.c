/* Fuzzes the parser of tracks, as a catalog holds them, and its lookups: packets and frames of groups
 * are within the track, a frame is where its group says, and blocks are within files. An input is a
 * track object. */
#include "fuzz.h"

#include <string.h>

#include "layout/blobs.h"
#include "layout/object.h"

enum { MAX_LOOKUPS = 32 };

static void check_group(const rbc__track *track, int64_t number) {
    rbc__track_group group;
    if (rbc__track_group_at(track, number, &group, NULL) == RBC_OK) {
        fuzz_require(group.first_packet >= 0 && group.num_packets > 0 &&
                     group.first_packet <= track->num_packets - group.num_packets);
        fuzz_require(group.first_frame >= 0 && group.num_frames >= 0 &&
                     group.num_frames <= group.num_packets &&
                     group.first_frame <= track->num_frames - group.num_frames);
    }
}

static void check_frame(const rbc__track *track, int64_t number) {
    rbc__track_frame frame;
    rbc__track_group group;
    if (rbc__track_frame_at(track, number, &frame, NULL) == RBC_OK) {
        fuzz_require(frame.group >= 0 && frame.group < track->num_groups);
        fuzz_require(rbc__track_group_at(track, frame.group, &group, NULL) == RBC_OK);
        fuzz_require(frame.position == number - group.first_frame && frame.position >= 0 &&
                     frame.position < group.num_frames);
        fuzz_require(frame.packet >= group.first_packet &&
                     frame.packet - group.first_packet < group.num_packets);
    }
}

static void check_packet(const rbc__track *track, int64_t number) {
    rbc__track_packet packet;
    if (rbc__track_packet_at(track, number, &packet, NULL) == RBC_OK) {
        fuzz_require(packet.number < (packet.in_block ? track->num_blocks : RBC__COLUMN_BLOB + 1));
        fuzz_require(packet.offset >= 0 && packet.bytes > 0 &&
                     packet.bytes <= INT64_MAX - packet.offset);
    }
}

static void check_video(const rbc__track_object *object, const uint8_t *bytes, size_t size) {
    const rbc__video_params *video = &object->video;
    fuzz_require(strlen(video->codec) < RBC__CODEC_NAME_BYTES);
    fuzz_require(strlen(video->pixel_format) < RBC__PIXEL_FORMAT_BYTES);
    fuzz_require(video->width >= 0 && video->height >= 0);
    fuzz_require(video->extradata >= bytes && video->extradata <= bytes + size &&
                 video->extradata_bytes <= (size_t)(bytes + size - video->extradata));
}

static void check_block(const rbc__track_object *object, uint32_t number) {
    rbc__block block;
    if (rbc__track_object_block(object, number, &block, NULL) == RBC_OK) {
        fuzz_require(block.blob <= RBC__COLUMN_BLOB && block.packing < object->num_packings);
        fuzz_require(block.offset <= INT64_MAX && block.packed_bytes <= INT64_MAX - block.offset);
        fuzz_require(block.unpacked_bytes <= RBC__LAYOUT_MAX_BLOCK_BYTES);
        fuzz_require(rbc__packing_check(&object->packings[block.packing], NULL) == RBC_OK);
    }
}

/* The first and the last of `count`. */
static void check_all(const rbc__track *track, int64_t count,
                      void (*check)(const rbc__track *track, int64_t number)) {
    for (int64_t i = 0; i < count && i < MAX_LOOKUPS; ++i) {
        check(track, i);
        check(track, count - 1 - i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *bytes = malloc(size + 1);
    fuzz_require(bytes != NULL);
    uint8_t *at = bytes + 1; /* ends where the track does */
    if (size > 0) {
        memcpy(at, data, size);
    }
    rbc__track_object object;
    if (rbc__track_object_decode(at, size, &object, NULL) == RBC_OK) {
        const rbc__track *track = &object.track;
        check_video(&object, at, size);
        check_all(track, track->num_groups, check_group);
        check_all(track, track->num_frames, check_frame);
        check_all(track, track->num_packets, check_packet);
        for (uint32_t i = 0; i < track->num_blocks && i < MAX_LOOKUPS; ++i) {
            check_block(&object, i);
            check_block(&object, track->num_blocks - 1 - i);
        }
    }
    free(bytes);
    return 0;
}
