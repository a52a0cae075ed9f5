#include "layout/track.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"

enum { VERSION = 1 };

enum { KEY, FRAMES_AHEAD, OVERLAP, NUM_GROUP_COLUMNS };
enum { PACKET, NUM_FRAME_COLUMNS };
enum { SOURCE, OFFSET, BYTES, PTS, NUM_PACKET_COLUMNS };
enum { HIDDEN = 1, IN_BLOCK = 2, NUMBER_SHIFT = 2 };

/* ---- writing ---- */

typedef struct frame_key {
    int64_t group, pts, packet;
} frame_key;

/* A track being encoded: its groups as they are stored, and its frames in order. */
typedef struct building {
    const rbc__track_packet *packets;
    int64_t num_packets, num_groups, num_frames;
    int64_t (*groups)[NUM_GROUP_COLUMNS];
    frame_key *frames;
} building;

static int64_t group_value(const void *source, int64_t row, int32_t column) {
    return ((const building *)source)->groups[row][column];
}

static int64_t frame_value(const void *source, int64_t row, int32_t column) {
    (void)column;
    return ((const building *)source)->frames[row].packet;
}

static int64_t packet_value(const void *source, int64_t row, int32_t column) {
    const rbc__track_packet *packet = &((const building *)source)->packets[row];
    switch (column) {
    case SOURCE:
        return (int64_t)packet->number << NUMBER_SHIFT | (packet->in_block ? IN_BLOCK : 0) |
               (packet->is_shown ? 0 : HIDDEN);
    case OFFSET:
        return packet->offset;
    case BYTES:
        return packet->bytes;
    default:
        return packet->pts;
    }
}

static int compare_frames(const void *a, const void *b) {
    const frame_key *left = a;
    const frame_key *right = b;
    if (left->group != right->group) {
        return left->group < right->group ? -1 : 1;
    }
    if (left->pts != right->pts) {
        return left->pts < right->pts ? -1 : 1;
    }
    return (left->packet > right->packet) - (left->packet < right->packet);
}

static bool lies_in_int64(int64_t offset, int64_t bytes) {
    return offset >= 0 && bytes >= 1 && bytes <= INT64_MAX - offset;
}

static rbc_status check_packets(const rbc__track_packet *packets, int64_t num_packets,
                                rbc_error *err) {
    if (num_packets < 0 || num_packets > RBC__TRACK_MAX_PACKETS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "a track: found %" PRId64 " packets, wanted 0 to %d", num_packets,
                         RBC__TRACK_MAX_PACKETS);
    }
    if (num_packets > 0 && !packets[0].is_key) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "packet 0 of a track is no key packet: wanted decoding to begin there");
    }
    for (int64_t i = 0; i < num_packets; ++i) {
        if (!lies_in_int64(packets[i].offset, packets[i].bytes)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "packet %" PRId64 " of a track: found %" PRId64
                             " bytes from byte %" PRId64
                             " on, wanted at least one and sizes within int64",
                             i, packets[i].bytes, packets[i].offset);
        }
        if (packets[i].pts == INT64_MIN) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "packet %" PRId64 " of a track has no pts", i);
        }
    }
    return RBC_OK;
}

/* Sets groups and frames, whose memory is large enough. */
static void find_groups(building *track) {
    const rbc__track_packet *packets = track->packets;
    int64_t key = 0;
    for (int64_t i = 0; i < track->num_packets; ++i) {
        if (i == 0 || packets[i].is_key) {
            key = i;
            track->groups[track->num_groups][KEY] = key;
            track->groups[track->num_groups++][OVERLAP] = 0;
        }
        if (packets[i].is_shown) {
            const int64_t group = track->num_groups - 1;
            const bool leads = group > 0 && packets[i].pts < packets[key].pts;
            track->frames[track->num_frames++] = (frame_key){group - leads, packets[i].pts, i};
            if (leads) {
                track->groups[group - 1][OVERLAP] = i + 1 - key;
            }
        }
    }
    if (track->num_frames > 0) {
        qsort(track->frames, (size_t)track->num_frames, sizeof *track->frames, compare_frames);
    }
    int64_t frame = 0;
    for (int64_t i = 0; i < track->num_groups; ++i) {
        for (; frame < track->num_frames && track->frames[frame].group < i; ++frame) {
        }
        track->groups[i][FRAMES_AHEAD] = frame - track->groups[i][KEY];
    }
}

rbc_status rbc__track_encode(const rbc__track_packet *packets, int64_t num_packets,
                             rbc__time_base time_base, rbc__bytes *out, rbc_error *err) {
    if (time_base.numerator == 0 || time_base.denominator == 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "a track: found a time base of %" PRIu32 "/%" PRIu32
                         " s, wanted both at least 1",
                         time_base.numerator, time_base.denominator);
    }
    RBC__TRY(check_packets(packets, num_packets, err));
    building track = {.packets = packets, .num_packets = num_packets};
    track.groups = malloc(((size_t)num_packets + 1) * sizeof *track.groups);
    track.frames = malloc(((size_t)num_packets + 1) * sizeof *track.frames);
    if (track.groups == NULL || track.frames == NULL) {
        free(track.groups);
        free(track.frames);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a track of %" PRId64 " packets",
                         num_packets);
    }
    find_groups(&track);
    rbc__bytes_byte(out, VERSION);
    rbc__bytes_varint(out, (uint64_t)num_packets);
    rbc__bytes_varint(out, (uint64_t)track.num_groups);
    rbc__bytes_varint(out, (uint64_t)track.num_frames);
    rbc__bytes_varint(out, time_base.numerator);
    rbc__bytes_varint(out, time_base.denominator);
    rbc__int_table_encode(group_value, &track, track.num_groups, NUM_GROUP_COLUMNS, out);
    rbc__int_table_encode(frame_value, &track, track.num_frames, NUM_FRAME_COLUMNS, out);
    rbc__int_table_encode(packet_value, &track, num_packets, NUM_PACKET_COLUMNS, out);
    free(track.groups);
    free(track.frames);
    return rbc__bytes_check(out, err);
}

/* ---- reading ---- */

static bool read_number(const uint8_t *bytes, uint64_t end, uint64_t *at, uint64_t most,
                        uint64_t *out) {
    return rbc__varint_read(bytes, end, at, out) && *out <= most;
}

/* False where it is damaged, by *at. */
static bool decode(const uint8_t *bytes, uint64_t end, uint64_t *at, rbc__track *track) {
    uint64_t packets;
    uint64_t groups;
    uint64_t frames;
    uint64_t numerator;
    uint64_t denominator;
    if (end < 1 || bytes[0] != VERSION) {
        return false;
    }
    *at = 1;
    if (!read_number(bytes, end, at, RBC__TRACK_MAX_PACKETS, &packets) ||
        !read_number(bytes, end, at, packets, &groups) || (groups == 0) != (packets == 0) ||
        !read_number(bytes, end, at, packets, &frames) ||
        !read_number(bytes, end, at, UINT32_MAX, &numerator) || numerator == 0 ||
        !read_number(bytes, end, at, UINT32_MAX, &denominator) || denominator == 0) {
        return false;
    }
    track->num_packets = (int64_t)packets;
    track->num_groups = (int64_t)groups;
    track->num_frames = (int64_t)frames;
    track->time_base = (rbc__time_base){(uint32_t)numerator, (uint32_t)denominator};
    return rbc__int_table_decode(bytes, end, at, track->num_groups, NUM_GROUP_COLUMNS,
                                 &track->groups) &&
           rbc__int_table_decode(bytes, end, at, track->num_frames, NUM_FRAME_COLUMNS,
                                 &track->frames) &&
           rbc__int_table_decode(bytes, end, at, track->num_packets, NUM_PACKET_COLUMNS,
                                 &track->packets) &&
           *at == end;
}

rbc_status rbc__track_decode(const uint8_t *bytes, size_t num_bytes, uint32_t num_blobs,
                             uint32_t num_blocks, rbc__track *out, rbc_error *err) {
    uint64_t at = 0;
    *out = (rbc__track){.num_blobs = num_blobs, .num_blocks = num_blocks};
    if (!decode(bytes, num_bytes, &at, out)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "byte %" PRIu64 " of a track in the catalog: it is damaged", at);
    }
    return RBC_OK;
}

/* Of group `group` <= num_groups, which need not be within the track. */
static int64_t key_of(const rbc__track *track, int64_t group) {
    return group < track->num_groups ? rbc__int_table_get(&track->groups, group, KEY)
                                     : track->num_packets;
}

static int64_t first_frame_of(const rbc__track *track, int64_t group) {
    if (group == track->num_groups) {
        return track->num_frames;
    }
    const int64_t ahead = rbc__int_table_get(&track->groups, group, FRAMES_AHEAD);
    return (int64_t)((uint64_t)key_of(track, group) + (uint64_t)ahead);
}

/* The last group whose `first_of` is at most `value`; the first where there is none. */
static int64_t find_group(const rbc__track *track,
                          int64_t (*first_of)(const rbc__track *track, int64_t group),
                          int64_t value) {
    int64_t low = 0;
    int64_t high = track->num_groups;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (first_of(track, middle) <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

rbc_status rbc__track_group_at(const rbc__track *track, int64_t group, rbc__track_group *out,
                               rbc_error *err) {
    const int64_t key = key_of(track, group);
    const int64_t next_key = key_of(track, group + 1);
    const int64_t overlap = rbc__int_table_get(&track->groups, group, OVERLAP);
    const int64_t frame = first_frame_of(track, group);
    const int64_t next_frame = first_frame_of(track, group + 1);
    if (key < 0 || key >= next_key || next_key > track->num_packets || overlap < 0 ||
        overlap > track->num_packets - next_key || frame < 0 || frame > next_frame ||
        next_frame > track->num_frames || next_frame - frame > next_key + overlap - key) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "group of pictures %" PRId64
                         " of a track in the catalog: it is damaged: found packets %" PRId64
                         " to %" PRId64 " and %" PRId64 " more, frames %" PRId64 " to %" PRId64,
                         group, key, next_key, overlap, frame, next_frame);
    }
    *out = (rbc__track_group){key, next_key + overlap - key, frame, next_frame - frame};
    return RBC_OK;
}

rbc_status rbc__track_frame_at(const rbc__track *track, int64_t frame, rbc__track_frame *out,
                               rbc_error *err) {
    rbc__track_group group;
    out->group = find_group(track, first_frame_of, frame);
    RBC__TRY(rbc__track_group_at(track, out->group, &group, err));
    out->position = frame - group.first_frame;
    out->packet = rbc__int_table_get(&track->frames, frame, PACKET);
    if (out->position < 0 || out->position >= group.num_frames ||
        out->packet < group.first_packet || out->packet - group.first_packet >= group.num_packets) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "frame %" PRId64
                         " of a track in the catalog: it is damaged: found packet %" PRId64
                         ", wanted one of the %" PRId64 " from %" PRId64 " on",
                         frame, out->packet, group.num_packets, group.first_packet);
    }
    out->pts = rbc__int_table_get(&track->packets, out->packet, PTS);
    return RBC_OK;
}

rbc_status rbc__track_packet_at(const rbc__track *track, int64_t packet, rbc__track_packet *out,
                                rbc_error *err) {
    const uint64_t code = (uint64_t)rbc__int_table_get(&track->packets, packet, SOURCE);
    const uint64_t number = code >> NUMBER_SHIFT;
    const int64_t offset = rbc__int_table_get(&track->packets, packet, OFFSET);
    const int64_t bytes = rbc__int_table_get(&track->packets, packet, BYTES);
    const bool in_block = (code & IN_BLOCK) != 0;
    const uint32_t limit = in_block ? track->num_blocks : track->num_blobs;
    if (number >= limit || !lies_in_int64(offset, bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "packet %" PRId64 " of a track in the catalog: found %" PRId64
                         " bytes from byte %" PRId64 " of %s %" PRIu64
                         " on, wanted them within int64 and one of %" PRIu32,
                         packet, bytes, offset, in_block ? "block" : "blob", number, limit);
    }
    *out = (rbc__track_packet){
        .number = (uint32_t)number,
        .in_block = in_block,
        .is_key = key_of(track, find_group(track, key_of, packet)) == packet,
        .is_shown = (code & HIDDEN) == 0,
        .offset = offset,
        .bytes = bytes,
        .pts = rbc__int_table_get(&track->packets, packet, PTS),
    };
    return RBC_OK;
}
