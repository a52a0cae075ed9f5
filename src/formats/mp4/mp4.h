/* Where the packets of a video lie in an MP4 or QuickTime file, as its tables say.
 *
 * Only the tables are read: the box moov, wherever it stands, and the boxes moof of a fragmented
 * file. Nothing of it is trusted: counts are held against the bytes there are, and every packet lies
 * within the file. Times are integers in units of the track's time base: a packet's pts is when it
 * is shown, after edit lists. Packets that an edit list leaves out are hidden: they are decoded for
 * the sake of others. Samples of no bytes are no packets. */
#ifndef RBC_MP4_MP4_H
#define RBC_MP4_MP4_H

#include "codec/video.h"
#include "io/source.h"
#include "layout/track.h"

typedef struct rbc__mp4_video {
    rbc__video_params params; /* points to what follows; its codec is as the file names it where it
                                 is no codec of this library */
    char codec[32];
    char pixel_format[16];
    uint8_t *extradata;  /* owned */
    int32_t rotation;    /* degrees clockwise to show it upright, as the file says: not applied */
    bool is_transformed; /* it has another matrix than one of rotation */
    rbc__time_base time_base;
    int32_t num_videos; /* that the file has */
    int64_t num_packets, num_frames;
    rbc__track_packet *packets; /* owned; in the order of decoding, number 0 */
} rbc__mp4_video;

/* The file's video number `index`. FORMAT names file, byte and box; UNSUPPORTED what is known but
 * not read: several sample descriptions, edits that repeat or reorder, encryption. IO. */
rbc_status rbc__mp4_read(rbc__source *source, int32_t index, rbc__mp4_video *out, rbc_error *err);
void rbc__mp4_free(rbc__mp4_video *video);

#endif
