/* Fuzzes the parser of tracks, which a catalog holds, and its lookups: packets and frames of groups
 * are within the track, and a frame is where its group says. An input is a track. */
#include "fuzz.h"

#include <string.h>

#include "layout/track.h"

enum { NUM_BLOBS = 100, NUM_BLOCKS = 3, MAX_LOOKUPS = 32 };

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
        fuzz_require(packet.number < (packet.in_block ? NUM_BLOCKS : NUM_BLOBS));
        fuzz_require(packet.offset >= 0 && packet.bytes > 0 &&
                     packet.bytes <= INT64_MAX - packet.offset);
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
    rbc__track track;
    if (rbc__track_decode(at, size, NUM_BLOBS, NUM_BLOCKS, &track, NULL) == RBC_OK) {
        check_all(&track, track.num_groups, check_group);
        check_all(&track, track.num_frames, check_frame);
        check_all(&track, track.num_packets, check_packet);
    }
    free(bytes);
    return 0;
}
