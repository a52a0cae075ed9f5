/* What a track is encoded with: the box stsd, and the configuration of the codec in it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/mp4/tables.h"

enum { ENTRY_BYTES = 78 }; /* of a description of video, before the boxes in it */

typedef struct known_entry {
    uint32_t type;
    uint32_t configuration; /* box that has the extradata; 0: none */
    const char *codec;
} known_entry;

static const known_entry entries[] = {
    {RBC__BOX_TYPE('a', 'v', 'c', '1'), RBC__BOX_TYPE('a', 'v', 'c', 'C'), "h264"},
    {RBC__BOX_TYPE('a', 'v', 'c', '3'), RBC__BOX_TYPE('a', 'v', 'c', 'C'), "h264"},
    {RBC__BOX_TYPE('h', 'v', 'c', '1'), RBC__BOX_TYPE('h', 'v', 'c', 'C'), "hevc"},
    {RBC__BOX_TYPE('h', 'e', 'v', '1'), RBC__BOX_TYPE('h', 'v', 'c', 'C'), "hevc"},
    {RBC__BOX_TYPE('a', 'v', '0', '1'), RBC__BOX_TYPE('a', 'v', '1', 'C'), "av1"},
    {RBC__BOX_TYPE('v', 'p', '0', '9'), 0, "vp9"},
    {RBC__BOX_TYPE('v', 'p', '0', '8'), 0, "vp8"},
    {RBC__BOX_TYPE('j', 'p', 'e', 'g'), 0, "mjpeg"},
    {RBC__BOX_TYPE('m', 'p', '4', 'v'), RBC__BOX_TYPE('e', 's', 'd', 's'), ""},
};

static void set_pixel_format(rbc__mp4_video *video, unsigned chroma, unsigned bits) {
    static const char *const names[] = {"gray", "yuv420p", "yuv422p", "yuv444p"};
    char *out = video->pixel_format;
    if (bits == 8) {
        (void)snprintf(out, sizeof video->pixel_format, "%s", names[chroma & 3]);
    } else {
        (void)snprintf(out, sizeof video->pixel_format, "%s%ule", names[chroma & 3], bits & 15);
    }
}

static void read_avc(const rbc__box *avcc, rbc__mp4_video *video) {
    const uint8_t *data = avcc->data;
    uint64_t at = 6;
    if (avcc->bytes < 7) {
        return;
    }
    const unsigned profile = data[1];
    if (profile == 66 || profile == 77 || profile == 88) {
        set_pixel_format(video, 1, 8);
        return;
    }
    unsigned sets = data[5] & 31;
    for (int kind = 0; kind < 2; ++kind) {
        for (; sets > 0; --sets) {
            if (avcc->bytes - at < 2 || avcc->bytes - at - 2 < rbc__load_be16(data + at)) {
                return;
            }
            at += 2 + (uint64_t)rbc__load_be16(data + at);
        }
        if (kind == 0) {
            if (at == avcc->bytes) {
                return;
            }
            sets = data[at++];
        }
    }
    if (avcc->bytes - at >= 3) {
        set_pixel_format(video, data[at] & 3, 8 + (data[at + 1] & 7));
    }
}

static void read_hevc(const rbc__box *hvcc, rbc__mp4_video *video) {
    if (hvcc->bytes >= 18) {
        set_pixel_format(video, hvcc->data[16] & 3, 8 + (hvcc->data[17] & 7));
    }
}

static void read_av1(const rbc__box *av1c, rbc__mp4_video *video) {
    if (av1c->bytes < 4) {
        return;
    }
    const unsigned flags = av1c->data[2];
    const bool is_high = (flags & 0x40) != 0;
    const bool is_mono = (flags & 0x10) != 0;
    const bool halves_x = (flags & 0x08) != 0;
    const bool halves_y = (flags & 0x04) != 0;
    set_pixel_format(video,
                     is_mono    ? 0
                     : halves_y ? 1
                     : halves_x ? 2
                                : 3,
                     !is_high              ? 8
                     : (flags & 0x20) != 0 ? 12
                                           : 10);
}

/* A descriptor of MPEG-4: u8 tag, its size in 7 bits a byte. False where it does not fit. */
static bool descriptor(const rbc__box *esds, uint64_t *at, uint8_t *tag, uint64_t *bytes) {
    if (esds->bytes - *at < 2) {
        return false;
    }
    *tag = esds->data[(*at)++];
    *bytes = 0;
    for (int i = 0; i < 4 && *at < esds->bytes; ++i) {
        const uint8_t byte = esds->data[(*at)++];
        *bytes = *bytes << 7 | (byte & 0x7f);
        if (byte < 0x80) {
            return *bytes <= esds->bytes - *at;
        }
    }
    return false;
}

static rbc_status keep_extradata(rbc__mp4_video *video, const uint8_t *data, uint64_t bytes,
                                 rbc_error *err) {
    if (bytes == 0) {
        return RBC_OK;
    }
    video->extradata = malloc((size_t)bytes);
    if (video->extradata == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the head of a video");
    }
    memcpy(video->extradata, data, (size_t)bytes);
    video->params.extradata = video->extradata;
    video->params.extradata_bytes = (uint32_t)bytes;
    return RBC_OK;
}

/* The kind of stream and the head of it, out of nested descriptors. */
static rbc_status read_esds(const rbc__box *esds, rbc__mp4_video *video, rbc_error *err) {
    enum { ES = 3, CONFIGURATION = 4, SPECIFIC = 5 };
    uint64_t at = 4;
    uint64_t bytes;
    uint8_t tag;
    RBC__TRY(rbc__box_need(esds, 4, err));
    bool ok = descriptor(esds, &at, &tag, &bytes);
    if (ok && tag == ES) {
        ok = bytes >= 3;
        const uint8_t flags = ok ? esds->data[at + 2] : 0;
        at += 3;
        at += (flags & 0x80) != 0 ? 2 : 0;
        if (ok && (flags & 0x40) != 0) {
            at += at < esds->bytes ? 1 + (uint64_t)esds->data[at] : 1;
        }
        at += (flags & 0x20) != 0 ? 2 : 0;
        ok = ok && at <= esds->bytes && descriptor(esds, &at, &tag, &bytes);
    }
    if (!ok || tag != CONFIGURATION || bytes < 13) {
        return rbc__box_fail(esds, at < esds->bytes ? at : 0, err,
                             "its descriptors do not fit: wanted one of a decoder's configuration");
    }
    const uint8_t kind = esds->data[at];
    at += 13;
    if (kind == 0x20) {
        memcpy(video->codec, "mpeg4", sizeof "mpeg4");
    } else {
        (void)snprintf(video->codec, sizeof video->codec, "%s",
                       kind >= 0x60 && kind <= 0x65 ? "mpeg2video"
                       : kind == 0x6a               ? "mpeg1video"
                       : kind == 0x6c               ? "mjpeg"
                                                    : "mp4v of an unknown kind");
    }
    set_pixel_format(video, 1, 8);
    if (bytes > 13 && descriptor(esds, &at, &tag, &bytes) && tag == SPECIFIC) {
        RBC__TRY(keep_extradata(video, esds->data + at, bytes, err));
    }
    return RBC_OK;
}

/* Matrix and range, where the container says them: nclx, or nclc of QuickTime, which has no range. */
static rbc_status read_colour(const rbc__box *boxes, rbc__mp4_video *video, rbc_error *err) {
    rbc__box colr;
    RBC__TRY(rbc__box_find(boxes, RBC__BOX_TYPE('c', 'o', 'l', 'r'), &colr, err));
    if (colr.data == NULL || colr.bytes < 10) {
        return RBC_OK;
    }
    const uint32_t kind = rbc__load_be32(colr.data);
    const bool is_nclx = kind == RBC__BOX_TYPE('n', 'c', 'l', 'x');
    if (is_nclx || kind == RBC__BOX_TYPE('n', 'c', 'l', 'c')) {
        const uint16_t matrix = rbc__load_be16(colr.data + 8);
        video->params.matrix = matrix <= UINT8_MAX ? (uint8_t)matrix : 0;
    }
    if (is_nclx && colr.bytes >= 11) {
        video->params.range =
            (colr.data[10] & 0x80) != 0 ? RBC__VIDEO_RANGE_FULL : RBC__VIDEO_RANGE_LIMITED;
    }
    return RBC_OK;
}

static rbc_status read_configuration(const rbc__box *boxes, size_t which, rbc__mp4_video *video,
                                     rbc_error *err) {
    rbc__box box;
    RBC__TRY(rbc__box_get(boxes, entries[which].configuration, &box, err));
    if (entries[which].codec[0] == '\0') {
        return read_esds(&box, video, err);
    }
    if (strcmp(video->codec, "h264") == 0) {
        read_avc(&box, video);
    } else if (strcmp(video->codec, "hevc") == 0) {
        read_hevc(&box, video);
    } else {
        read_av1(&box, video);
    }
    if (box.bytes > UINT16_MAX) {
        return rbc__box_fail(&box, 0, err, "found %" PRIu64 " bytes, wanted at most %d", box.bytes,
                             UINT16_MAX);
    }
    return keep_extradata(video, box.data, box.bytes, err);
}

rbc_status rbc__mp4_read_description(const rbc__box *stsd, rbc__mp4_video *video, rbc_error *err) {
    rbc__box entry;
    rbc__box list = *stsd;
    uint64_t cursor = 0;
    uint32_t count;
    RBC__TRY(rbc__box_table(stsd, 8, 16, &count, err));
    list.data += 8;
    list.bytes -= 8;
    list.at += 8;
    RBC__TRY(rbc__box_next(&list, &cursor, &entry, err));
    if (entry.data == NULL) {
        return rbc__box_fail(stsd, 4, err, "wanted a sample description");
    }
    RBC__TRY(rbc__box_need(&entry, ENTRY_BYTES, err));
    video->params.width = rbc__load_be16(entry.data + 24);
    video->params.height = rbc__load_be16(entry.data + 26);
    if (video->params.width == 0 || video->params.height == 0) {
        return rbc__box_fail(&entry, 24, err, "found pictures of %d x %d pixels",
                             video->params.width, video->params.height);
    }
    rbc__box boxes = entry;
    boxes.data += ENTRY_BYTES;
    boxes.bytes -= ENTRY_BYTES;
    boxes.at += ENTRY_BYTES;
    video->params.codec = video->codec;
    video->params.pixel_format = video->pixel_format;
    RBC__TRY(read_colour(&boxes, video, err));
    for (size_t i = 0; i < sizeof entries / sizeof *entries; ++i) {
        if (entries[i].type == entry.type) {
            memcpy(video->codec, entries[i].codec, strlen(entries[i].codec) + 1);
            return entries[i].configuration != 0 ? read_configuration(&boxes, i, video, err)
                                                 : RBC_OK;
        }
    }
    char name[5];
    rbc__box_type_name(entry.type, name);
    if (strcmp(name, "encv") == 0) {
        return rbc__box_refuse(&entry, 0, err, "the video is encrypted");
    }
    /* QuickTime's pixels that are not encoded, RGB as they are delivered. */
    const bool is_raw = strcmp(name, "raw ") == 0 && rbc__load_be16(entry.data + 74) == 24;
    (void)snprintf(video->codec, sizeof video->codec, "%s", is_raw ? "raw" : name);
    return RBC_OK;
}
