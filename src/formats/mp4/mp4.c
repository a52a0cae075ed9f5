#include "formats/mp4/mp4.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/mp4/tables.h"
#include "io/foreign.h"

/* A box of tables, which is read whole. */
#define MAX_TABLE_BYTES (UINT64_C(1) << 30)

void rbc__mp4_free(rbc__mp4_video *video) {
    free(video->extradata);
    free(video->packets);
    *video = (rbc__mp4_video){0};
}

rbc_status rbc__mp4_add_packet(rbc__mp4_builder *builder, const rbc__box *box, uint64_t offset,
                               uint64_t bytes, int64_t pts, bool is_key, rbc_error *err) {
    rbc__mp4_video *video = builder->video;
    if (bytes == 0) {
        return RBC_OK;
    }
    if (offset > builder->file_bytes || bytes > builder->file_bytes - offset) {
        return rbc__box_fail(box, 0, err,
                             "packet %" PRId64 " lies at byte %" PRIu64 ", %" PRIu64
                             " bytes, wanted within the %" PRIu64 " of the file",
                             video->num_packets, offset, bytes, builder->file_bytes);
    }
    if ((size_t)video->num_packets == builder->room) {
        const size_t room = builder->room > 0 ? 2 * builder->room : 256;
        rbc__track_packet *more = realloc(video->packets, room * sizeof *more);
        if (more == NULL || video->num_packets >= RBC__TRACK_MAX_PACKETS) {
            video->packets = more != NULL ? more : video->packets;
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %zu packets of a video",
                             room);
        }
        video->packets = more;
        builder->room = room;
    }
    video->packets[video->num_packets++] = (rbc__track_packet){.is_key = is_key,
                                                               .is_shown = true,
                                                               .offset = (int64_t)offset,
                                                               .bytes = (int64_t)bytes,
                                                               .pts = pts};
    return RBC_OK;
}

/* ---- the movie ----------------------------------------------------------------------------------
 */

/* A box that begins with times of 32 or 64 bits (mvhd, mdhd): the scale behind two of them. */
static rbc_status read_scale(const rbc__box *box, uint32_t *out, rbc_error *err) {
    RBC__TRY(rbc__box_need(box, 4, err));
    const uint64_t at = box->data[0] == 1 ? 20 : 12;
    RBC__TRY(rbc__box_need(box, at + 4, err));
    *out = rbc__load_be32(box->data + at);
    return *out > 0 && *out <= INT32_MAX
               ? RBC_OK
               : rbc__box_fail(box, at, err,
                               "found %" PRIu32 " units of time a second, wanted 1 to 2^31 - 1",
                               *out);
}

/* Which way up it is to be shown: said, not applied. */
static void read_matrix(const uint8_t *matrix, rbc__mp4_video *video) {
    enum { ONE = 0x10000 };
    int32_t m[9];
    for (int i = 0; i < 9; ++i) {
        m[i] = (int32_t)rbc__load_be32(matrix + (size_t)i * 4);
    }
    static const struct {
        int32_t a, b, c, d, degrees;
    } turns[] = {{ONE, 0, 0, ONE, 0},
                 {0, ONE, -ONE, 0, 90},
                 {-ONE, 0, 0, -ONE, 180},
                 {0, -ONE, ONE, 0, 270}};
    video->is_transformed = true;
    for (size_t i = 0; i < sizeof turns / sizeof *turns; ++i) {
        if (m[0] == turns[i].a && m[1] == turns[i].b && m[3] == turns[i].c && m[4] == turns[i].d) {
            video->rotation = turns[i].degrees;
            video->is_transformed = false;
        }
    }
}

static rbc_status read_track_header(rbc__mp4_builder *builder, const rbc__box *trak,
                                    rbc_error *err) {
    rbc__box tkhd;
    RBC__TRY(rbc__box_get(trak, RBC__BOX_TYPE('t', 'k', 'h', 'd'), &tkhd, err));
    RBC__TRY(rbc__box_need(&tkhd, 4, err));
    const bool is_long = tkhd.data[0] == 1;
    RBC__TRY(rbc__box_need(&tkhd, is_long ? 96 : 84, err));
    builder->track_id = rbc__load_be32(tkhd.data + (is_long ? 20 : 12));
    read_matrix(tkhd.data + (is_long ? 52 : 40), builder->video);
    return RBC_OK;
}

static rbc_status is_video(const rbc__box *trak, bool *out, rbc_error *err) {
    rbc__box mdia;
    rbc__box hdlr;
    RBC__TRY(rbc__box_get(trak, RBC__BOX_TYPE('m', 'd', 'i', 'a'), &mdia, err));
    RBC__TRY(rbc__box_get(&mdia, RBC__BOX_TYPE('h', 'd', 'l', 'r'), &hdlr, err));
    RBC__TRY(rbc__box_need(&hdlr, 12, err));
    *out = rbc__load_be32(hdlr.data + 8) == RBC__BOX_TYPE('v', 'i', 'd', 'e');
    return RBC_OK;
}

static rbc_status find_track(const rbc__box *moov, int32_t index, rbc__mp4_video *video,
                             rbc__box *out, rbc_error *err) {
    rbc__box box;
    uint64_t cursor = 0;
    out->data = NULL;
    for (;;) {
        bool is_one = false;
        RBC__TRY(rbc__box_next(moov, &cursor, &box, err));
        if (box.data == NULL) {
            break;
        }
        if (box.type == RBC__BOX_TYPE('t', 'r', 'a', 'k')) {
            RBC__TRY(is_video(&box, &is_one, err));
        }
        if (is_one && video->num_videos++ == index) {
            *out = box;
        }
    }
    return out->data != NULL
               ? RBC_OK
               : rbc__box_fail(moov, 0, err,
                               "found %" PRId32 " tracks of video, wanted number %" PRId32,
                               video->num_videos, index);
}

/* What samples of fragments are by default; `*is_fragmented` where there may be some. */
static rbc_status read_defaults(rbc__mp4_builder *builder, const rbc__box *moov,
                                bool *is_fragmented, rbc_error *err) {
    rbc__box mvex;
    rbc__box box;
    uint64_t cursor = 0;
    RBC__TRY(rbc__box_find(moov, RBC__BOX_TYPE('m', 'v', 'e', 'x'), &mvex, err));
    *is_fragmented = mvex.data != NULL;
    while (mvex.data != NULL) {
        RBC__TRY(rbc__box_next(&mvex, &cursor, &box, err));
        if (box.data == NULL) {
            break;
        }
        if (box.type == RBC__BOX_TYPE('t', 'r', 'e', 'x')) {
            RBC__TRY(rbc__box_need(&box, 24, err));
            if (rbc__load_be32(box.data + 4) == builder->track_id) {
                builder->description = rbc__load_be32(box.data + 8);
                builder->duration = rbc__load_be32(box.data + 12);
                builder->bytes = rbc__load_be32(box.data + 16);
                builder->flags = rbc__load_be32(box.data + 20);
            }
        }
    }
    return RBC_OK;
}

/* Reads the tables of the movie; `*elst` points into it, and has no data where there is none. */
static rbc_status read_movie(rbc__mp4_builder *builder, const rbc__box *moov, int32_t index,
                             bool *is_fragmented, rbc__box *elst, rbc_error *err) {
    rbc__box trak;
    rbc__box mdia;
    rbc__box box;
    rbc__box stbl;
    RBC__TRY(rbc__box_get(moov, RBC__BOX_TYPE('m', 'v', 'h', 'd'), &box, err));
    RBC__TRY(read_scale(&box, &builder->movie_scale, err));
    RBC__TRY(find_track(moov, index, builder->video, &trak, err));
    RBC__TRY(read_track_header(builder, &trak, err));
    RBC__TRY(rbc__box_get(&trak, RBC__BOX_TYPE('m', 'd', 'i', 'a'), &mdia, err));
    RBC__TRY(rbc__box_get(&mdia, RBC__BOX_TYPE('m', 'd', 'h', 'd'), &box, err));
    builder->video->time_base.numerator = 1;
    RBC__TRY(read_scale(&box, &builder->video->time_base.denominator, err));
    RBC__TRY(rbc__box_get(&mdia, RBC__BOX_TYPE('m', 'i', 'n', 'f'), &box, err));
    RBC__TRY(rbc__box_get(&box, RBC__BOX_TYPE('s', 't', 'b', 'l'), &stbl, err));
    RBC__TRY(rbc__box_get(&stbl, RBC__BOX_TYPE('s', 't', 's', 'd'), &box, err));
    RBC__TRY(rbc__mp4_read_description(&box, builder->video, err));
    RBC__TRY(rbc__mp4_read_samples(builder, &stbl, err));
    RBC__TRY(read_defaults(builder, moov, is_fragmented, err));
    RBC__TRY(rbc__box_find(&trak, RBC__BOX_TYPE('e', 'd', 't', 's'), &box, err));
    elst->data = NULL;
    if (box.data != NULL) {
        RBC__TRY(rbc__box_find(&box, RBC__BOX_TYPE('e', 'l', 's', 't'), elst, err));
    }
    return RBC_OK;
}

/* ---- the file -----------------------------------------------------------------------------------
 */

/* FORMAT where what stands at the file's beginning is known to be something else. */
static rbc_status check_foreign(rbc__source *source, uint64_t at, rbc_error *err) {
    uint8_t begin[RBC__FOREIGN_PEEK_BYTES];
    char what[RBC_ERROR_MESSAGE_BYTES / 2];
    const uint64_t bytes = rbc__source_bytes(source);
    const uint64_t peek = bytes < sizeof begin ? bytes : sizeof begin;
    if (at > 0) {
        return RBC_OK;
    }
    RBC__TRY(rbc__source_read(source, 0, peek, begin, err));
    return rbc__foreign_describe(begin, (size_t)peek, true, what, sizeof what)
               ? rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte 0: no MP4 file: it %s",
                           rbc__source_path(source), what)
               : RBC_OK;
}

/* The head of the box at byte `at` of the file. */
static rbc_status file_box(rbc__source *source, uint64_t at, rbc__box *out, uint64_t *end,
                           rbc_error *err) {
    const uint64_t left = rbc__source_bytes(source) - at;
    uint8_t head[16] = {0};
    uint64_t head_bytes = 8;
    *out = (rbc__box){.file = rbc__source_path(source), .at = at, .path = "of the file"};
    if (left < 8) {
        return rbc__box_fail(out, 0, err,
                             "found %" PRIu64 " bytes, wanted the 8 that a box begins with", left);
    }
    RBC__TRY(rbc__source_read(source, at, left < 16 ? left : 16, head, err));
    uint64_t bytes = rbc__load_be32(head);
    out->type = rbc__load_be32(head + 4);
    rbc__box_type_name(out->type, out->path);
    if (bytes == 1 && left >= 16) {
        bytes = rbc__load_be64(head + 8);
        head_bytes = 16;
    } else if (bytes == 0) {
        bytes = left;
    }
    if (strchr(out->path, '?') != NULL || bytes < head_bytes) {
        RBC__TRY(check_foreign(source, at, err));
        return rbc__box_fail(out, 0, err,
                             "found a size of %" PRIu64
                             " bytes, wanted the boxes of an MP4 or QuickTime file",
                             bytes);
    }
    if (bytes > left) {
        RBC__TRY(check_foreign(source, at, err));
        return rbc__box_fail(out, 0, err,
                             "found a size of %" PRIu64 " bytes, wanted at most the %" PRIu64
                             " that the file has left: it is cut short",
                             bytes, left);
    }
    out->at = at + head_bytes;
    out->bytes = bytes - head_bytes;
    *end = at + bytes;
    return RBC_OK;
}

static rbc_status load(rbc__source *source, rbc__scratch *scratch, rbc__box *box, rbc_error *err) {
    if (box->bytes > MAX_TABLE_BYTES) {
        return rbc__box_fail(box, 0, err, "found %" PRIu64 " bytes, wanted at most %" PRIu64,
                             box->bytes, MAX_TABLE_BYTES);
    }
    return rbc__source_view(source, box->at, box->bytes, scratch, &box->data, err);
}

/* The boxes of the file from its begin on that are of a type; the movie alone, or all fragments. */
static rbc_status find_movie(rbc__source *source, rbc__box *out, rbc_error *err) {
    const uint64_t file_bytes = rbc__source_bytes(source);
    uint64_t end = 0;
    for (uint64_t at = 0; at < file_bytes; at = end) {
        RBC__TRY(file_box(source, at, out, &end, err));
        if (out->type == RBC__BOX_TYPE('m', 'o', 'o', 'v')) {
            return RBC_OK;
        }
    }
    *out = (rbc__box){.file = rbc__source_path(source), .path = "of the file"};
    return rbc__box_fail(
        out, 0, err, "wanted a box moov, which says where packets lie, in its %" PRIu64 " bytes",
        file_bytes);
}

static rbc_status read_fragments(rbc__source *source, rbc__mp4_builder *builder,
                                 rbc__scratch *scratch, rbc_error *err) {
    uint64_t end = 0;
    for (uint64_t at = 0; at < builder->file_bytes; at = end) {
        rbc__box box;
        RBC__TRY(file_box(source, at, &box, &end, err));
        if (box.type == RBC__BOX_TYPE('m', 'o', 'o', 'f')) {
            RBC__TRY(load(source, scratch, &box, err));
            RBC__TRY(rbc__mp4_read_fragment(builder, &box, at, err));
        }
    }
    return RBC_OK;
}

static rbc_status read_all(rbc__source *source, int32_t index, rbc__mp4_builder *builder,
                           rbc__scratch *movie, rbc__scratch *fragment, rbc_error *err) {
    rbc__box moov;
    rbc__box elst;
    bool is_fragmented;
    RBC__TRY(find_movie(source, &moov, err));
    RBC__TRY(load(source, movie, &moov, err));
    RBC__TRY(read_movie(builder, &moov, index, &is_fragmented, &elst, err));
    if (is_fragmented) {
        RBC__TRY(read_fragments(source, builder, fragment, err));
    }
    if (builder->video->num_packets == 0) {
        return rbc__box_fail(&moov, 0, err, "found no packets of its video");
    }
    /* Decoding begins at the first packet, whatever the table of keys says of it. */
    builder->video->packets[0].is_key = true;
    return elst.data != NULL ? rbc__mp4_apply_edits(builder, &elst, err) : RBC_OK;
}

rbc_status rbc__mp4_read(rbc__source *source, int32_t index, rbc__mp4_video *out, rbc_error *err) {
    rbc__scratch movie = {0};
    rbc__scratch fragment = {0};
    rbc__mp4_builder builder = {
        .video = out, .file_bytes = rbc__source_bytes(source), .description = 1};
    *out = (rbc__mp4_video){0};
    const rbc_status status = read_all(source, index, &builder, &movie, &fragment, err);
    rbc__scratch_free(&movie);
    rbc__scratch_free(&fragment);
    for (int64_t i = 0; i < out->num_packets; ++i) {
        out->num_frames += out->packets[i].is_shown;
    }
    if (status != RBC_OK) {
        rbc__mp4_free(out);
    }
    return status;
}
