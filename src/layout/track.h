/* Tracks: where the packets of a video lie, kept once in the catalog however many episodes show
 * frames of it.
 *
 * Packets have numbers in the order in which they are decoded. A packet that is shown is a frame;
 * the others (before an edit list begins, or never shown) are decoded for the sake of frames and
 * have no number among them. Frames have numbers in the order in which they are shown.
 *
 * A group of pictures is what is decoded together: from a key packet to before the next, and its
 * frames. Frames that are shown before the key packet ahead of them (pts below its own), as in open
 * groups, belong to the group before: they may need its pictures. So a group's packets reach into
 * the next group as far as it has such frames, and what a decoder makes of packets that are no
 * frames of the group is dropped, by pts. In the first group, which has none before, they stay.
 *
 * A group's frames have numbers that follow each other. Where pts go up from group to group, as
 * they do unless a clock was set back, frames are in the order of pts in the whole track. Frames of
 * one pts are in the order of packets.
 *
 * Encoded: u8 version, varint packets, groups, frames, numerator and denominator of the time base;
 * tables (int_table.h) of the groups: key packet, first frame minus key packet, packets past the
 * next key packet; of the frames: packet; of the packets: number << 2 | in a block << 1 | hidden,
 * offset, bytes, pts. About six bytes a packet. It is read where it lies, and an entry is checked
 * when it is looked up, so that opening a track costs nothing. */
#ifndef RBC_LAYOUT_TRACK_H
#define RBC_LAYOUT_TRACK_H

#include "io/bytes.h"
#include "layout/int_table.h"

#define RBC__TRACK_MAX_PACKETS INT32_MAX

typedef struct rbc__track_packet {
    uint32_t number; /* of the blob in the part, or of the block */
    bool in_block;   /* `offset` is in what a block holds unpacked */
    bool is_key;     /* decoding may begin here */
    bool is_shown;
    int64_t offset, bytes; /* bytes: at least 1 */
    int64_t pts;           /* when it is shown, in units of the time base */
} rbc__track_packet;

/* The time base, seconds a unit of pts, as a fraction. With the rate denominator / numerator in
 * lowest terms rbc__rate_time_ns() makes nanoseconds of a pts. */
typedef struct rbc__time_base {
    uint32_t numerator, denominator; /* at least 1 */
} rbc__time_base;

/* Constant once decoded; may be shared by threads. */
typedef struct rbc__track {
    int64_t num_packets, num_groups, num_frames;
    rbc__time_base time_base;
    uint32_t num_blobs, num_blocks;
    rbc__int_table groups, frames, packets;
} rbc__track;

typedef struct rbc__track_group {
    int64_t first_packet, num_packets; /* to decode; the first is a key packet */
    int64_t first_frame, num_frames;   /* that it holds, in order */
} rbc__track_group;

typedef struct rbc__track_frame {
    int64_t group;
    int64_t position; /* among the frames of the group */
    int64_t packet;
    int64_t pts;
} rbc__track_frame;

/* Appends the track of `packets`, in the order of decoding, to `out`. INVALID_ARGUMENT names the
 * packet and what cannot be: the first is no key packet, one has no pts (INT64_MIN) or no bytes;
 * more than RBC__TRACK_MAX_PACKETS. OUT_OF_MEMORY. */
rbc_status rbc__track_encode(const rbc__track_packet *packets, int64_t num_packets,
                             rbc__time_base time_base, rbc__bytes *out, rbc_error *err);

/* Parses an encoded track, which `out` points into and which has to outlive it. FORMAT: it is
 * damaged. */
rbc_status rbc__track_decode(const uint8_t *bytes, size_t num_bytes, uint32_t num_blobs,
                             uint32_t num_blocks, rbc__track *out, rbc_error *err);

/* Lookups, all FORMAT where the entry is damaged; what they return is within the track. */

/* Frame `frame` < num_frames, in O(log num_groups). */
rbc_status rbc__track_frame_at(const rbc__track *track, int64_t frame, rbc__track_frame *out,
                               rbc_error *err);

/* Group `group` < num_groups. */
rbc_status rbc__track_group_at(const rbc__track *track, int64_t group, rbc__track_group *out,
                               rbc_error *err);

/* Packet `packet` < num_packets: in one of num_blobs or num_blocks, within int64. O(log num_groups)
 * for is_key. */
rbc_status rbc__track_packet_at(const rbc__track *track, int64_t packet, rbc__track_packet *out,
                                rbc_error *err);

#endif
