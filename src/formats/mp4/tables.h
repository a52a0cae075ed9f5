/* A video while its tables are read. Shared within src/formats/mp4. */
#ifndef RBC_MP4_TABLES_H
#define RBC_MP4_TABLES_H

#include "formats/mp4/boxes.h"
#include "formats/mp4/mp4.h"

typedef struct rbc__mp4_builder {
    rbc__mp4_video *video;
    uint64_t file_bytes;
    uint32_t track_id;
    uint32_t movie_scale; /* units a second of the durations of edits */
    size_t room;          /* packets that there is memory for */
    int64_t next_dts;     /* of a fragment without a time of its own */
    /* What samples of fragments are where these say nothing (trex). */
    uint32_t description, duration, bytes, flags;
} rbc__mp4_builder;

/* sample_entry.c: codec, size and extradata by the box stsd. */
rbc_status rbc__mp4_read_description(const rbc__box *stsd, rbc__mp4_video *video, rbc_error *err);

/* sample_table.c: the packets by the boxes of stbl; pts is when they are composed. */
rbc_status rbc__mp4_read_samples(rbc__mp4_builder *builder, const rbc__box *stbl, rbc_error *err);

/* fragments.c: those that a box moof adds, which begins at byte `moof_at` of the file. */
rbc_status rbc__mp4_read_fragment(rbc__mp4_builder *builder, const rbc__box *moof, uint64_t moof_at,
                                  rbc_error *err);

/* Adds a packet at [offset, offset + bytes) of the file; `box` is named where it lies outside. */
rbc_status rbc__mp4_add_packet(rbc__mp4_builder *builder, const rbc__box *box, uint64_t offset,
                               uint64_t bytes, int64_t pts, bool is_key, rbc_error *err);

/* edits.c: from when packets are composed to when they are shown, by the box elst of the track. */
rbc_status rbc__mp4_apply_edits(rbc__mp4_builder *builder, const rbc__box *elst, rbc_error *err);

#endif
