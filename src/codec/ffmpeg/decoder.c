#include "codec/ffmpeg/decoder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ffmpeg/installed.h"
#include "core/error.h"

/* What hides the messages of one context: nothing is written to standard error, and other users of
 * the library in this process keep the level that they set. Levels have a byte. */
#define LOG_NOTHING 100
/* Pictures are coded in blocks of up to 128 pixels a side, and some decoders have edges around. */
#define MAX_EDGE  256
#define MAX_DELAY 16 /* of a picture, in packets */

/* One decoder. */
typedef struct decoder {
    rbc__video_decoder base;
    const rbc__ffmpeg *ffmpeg;
    AVCodecContext *context;
    AVPacket *packet;
    AVFrame *frame;
    int64_t next_number; /* of a packet: each has another, for as long as it lives */

    /* The group that it is in the midst of; num_packets 0: in none. */
    rbc__video_group_id id;
    int64_t num_packets;
    int64_t num_sent;
    int64_t first;     /* number of its first packet */
    int64_t shown_pts; /* the last of the pictures that came out */
    bool is_key_intra; /* its key picture, once it is there, needs no other */
} decoder;

static decoder *as_decoder(rbc__video_decoder *base) {
    return (decoder *)(void *)base;
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static void close_decoder(rbc__video_decoder *base) {
    decoder *closing = as_decoder(base);
    closing->ffmpeg->av_frame_free(&closing->frame);
    closing->ffmpeg->av_packet_free(&closing->packet);
    closing->ffmpeg->avcodec_free_context(&closing->context);
    free(closing);
}

static rbc_status no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a decoder of video");
}

static rbc_status set_up(decoder *d, const AVCodec *codec, const rbc__video_params *params,
                         rbc_error *err) {
    const rbc__ffmpeg *ffmpeg = d->ffmpeg;
    d->context = ffmpeg->avcodec_alloc_context3(codec);
    d->packet = ffmpeg->av_packet_alloc();
    d->frame = ffmpeg->av_frame_alloc();
    if (d->context == NULL || d->packet == NULL || d->frame == NULL) {
        return no_memory(err);
    }
    AVCodecContext *context = d->context;
    context->log_level_offset = LOG_NOTHING;
    context->thread_count = 1;
    context->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT; /* take_picture() decides */
    if (params->width > 0 && params->height > 0) {
        context->width = params->width;
        context->height = params->height;
        context->max_pixels =
            ((int64_t)params->width + MAX_EDGE) * ((int64_t)params->height + MAX_EDGE);
    }
    if (params->matrix != 0) {
        context->colorspace = (enum AVColorSpace)params->matrix;
    }
    context->color_range = (enum AVColorRange)params->range;
    if (params->extradata_bytes > 0) {
        context->extradata =
            ffmpeg->av_mallocz(params->extradata_bytes + AV_INPUT_BUFFER_PADDING_SIZE);
        if (context->extradata == NULL) {
            return no_memory(err);
        }
        memcpy(context->extradata, params->extradata, params->extradata_bytes);
        context->extradata_size = (int)params->extradata_bytes;
    }
    const int code = ffmpeg->avcodec_open2(context, codec, NULL);
    return code >= 0 ? RBC_OK
                     : rbc__ffmpeg_fail(ffmpeg, code, err, "the head of a video is damaged");
}

/* MPEG-4 as DivX packs it for AVI, a B-frame in the packet of another and an empty packet after it:
 * user data "DivX", version and build, and "p". Which picture is of which packet is not to be told. */
static bool has_packed_frames(const rbc__video_params *params) {
    static const char name[] = "DivX";
    const size_t length = sizeof name - 1;
    for (size_t i = 0; i + length < params->extradata_bytes; ++i) {
        if (memcmp(params->extradata + i, name, length) == 0) {
            size_t end = i + length;
            while (end < params->extradata_bytes && params->extradata[end] != 0) {
                ++end;
            }
            return params->extradata[end - 1] == 'p';
        }
    }
    return false;
}

/* `name`: FFmpeg's, of the decoder. */
static rbc_status open_decoder(const rbc__video_codec *which, const char *name,
                               const rbc__video_params *params, rbc__video_decoder **out,
                               rbc_error *err) {
    const rbc__ffmpeg *ffmpeg;
    RBC__TRY(rbc__ffmpeg_get(&ffmpeg, err));
    const AVCodec *codec = ffmpeg->avcodec_find_decoder_by_name(name);
    if (codec == NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "video of codec '%s' cannot be decoded: %s has no decoder %s", which->name,
                         ffmpeg->path, name);
    }
    if (which == &rbc__ffmpeg_mpeg4 && has_packed_frames(params)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "MPEG-4 with packed B-frames cannot be decoded; ffmpeg -i FILE -c copy "
                         "-bsf:v mpeg4_unpack_bframes NEW.mp4 unpacks them");
    }
    decoder *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return no_memory(err);
    }
    opened->base.codec = which;
    opened->ffmpeg = ffmpeg;
    const rbc_status status = set_up(opened, codec, params, err);
    if (status != RBC_OK) {
        close_decoder(&opened->base);
        return status;
    }
    *out = &opened->base;
    return RBC_OK;
}

static int64_t bytes_of(const rbc__video_decoder *base) {
    const AVCodecContext *context = ((const decoder *)(const void *)base)->context;
    return rbc__video_decoder_bytes(context->height, context->width);
}

/* ---- a group ------------------------------------------------------------------------------------
 */

typedef struct run {
    decoder *decoder;
    const rbc__video_group *group;
    int64_t *frame_of;  /* [num_packets] which frame is wanted of it; -1: none */
    int64_t missing;    /* frames that are wanted and not there */
    int64_t bad_packet; /* the first that is damaged; num_packets: none */
    int bad_code;       /* FFmpeg's; 0: its picture is incomplete */
} run;

/* Pictures before the key packet are of the group before, whose pictures they may need: they go in,
 * for an H.264 decoder counts pictures, but what comes of them is of no matter. */
static bool is_of_group_before(const run *r, int64_t packet) {
    const rbc__video_group *group = r->group;
    return group->first_packet > 0 && group->packets[packet].pts < group->packets[0].pts;
}

static void note_damage(run *r, int64_t packet, int code) {
    if (packet < r->bad_packet && !is_of_group_before(r, packet)) {
        r->bad_packet = packet;
        r->bad_code = code;
    }
}

/* What came out of the decoder. */
static rbc_status take_picture(run *r, rbc_error *err) {
    const AVFrame *frame = r->decoder->frame;
    const int64_t packet = frame->pts - r->decoder->first;
    if (frame->pts < r->decoder->first || packet >= r->group->num_packets) {
        return RBC_OK; /* of a group before */
    }
    const int64_t pts = r->group->packets[packet].pts;
    r->decoder->shown_pts = pts > r->decoder->shown_pts ? pts : r->decoder->shown_pts;
    if (packet == 0) {
        r->decoder->is_key_intra = frame->pict_type == AV_PICTURE_TYPE_I;
    }
    /* Behind a key picture that is no IDR an H.264 decoder calls all corrupt that it was given
     * before that was shown, though none of it needs pictures of before. */
    const bool is_corrupt =
        (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0 && !r->decoder->is_key_intra;
    if (frame->decode_error_flags != 0 || is_corrupt) {
        note_damage(r, packet, 0);
    }
    const int64_t wanted = r->frame_of[packet];
    if (wanted < 0 || packet >= r->bad_packet) {
        return RBC_OK;
    }
    r->frame_of[packet] = -1;
    --r->missing;
    uint8_t *dst = r->group->frames[wanted].dst;
    const rbc_status status =
        rbc__picture_write(r->decoder->ffmpeg, frame, &r->group->shape, dst, err);
    return status == RBC_OK
               ? RBC_OK
               : rbc__fail_within(err, status, "packet %" PRId64, r->group->first_packet + packet);
}

/* Takes all pictures that are ready. `packet` went in last. */
static rbc_status take_pictures(run *r, int64_t packet, rbc_error *err) {
    const rbc__ffmpeg *ffmpeg = r->decoder->ffmpeg;
    while (r->missing > 0) {
        const int code = ffmpeg->avcodec_receive_frame(r->decoder->context, r->decoder->frame);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) {
            return RBC_OK;
        }
        if (code == AVERROR(ENOMEM)) {
            return rbc__ffmpeg_fail(ffmpeg, code, err, "");
        }
        if (code < 0) {
            note_damage(r, packet, code);
            return RBC_OK;
        }
        const rbc_status status = take_picture(r, err);
        ffmpeg->av_frame_unref(r->decoder->frame);
        RBC__TRY(status);
    }
    return RBC_OK;
}

/* How many packets a picture may wait for ones that are shown before it. */
static int delay_of(const rbc__video_group *group) {
    int longest = 0;
    for (int64_t i = 1; i < group->num_packets; ++i) {
        int delay = 0;
        for (int64_t k = i > MAX_DELAY ? i - MAX_DELAY : 0; k < i; ++k) {
            delay += group->packets[k].pts > group->packets[i].pts;
        }
        longest = delay > longest ? delay : longest;
    }
    return longest;
}

static rbc_status send(run *r, int64_t packet, rbc_error *err) {
    const rbc__ffmpeg *ffmpeg = r->decoder->ffmpeg;
    AVPacket *out = r->decoder->packet;
    const rbc__video_packet *in = &r->group->packets[packet];
    if (in->bytes > INT32_MAX - AV_INPUT_BUFFER_PADDING_SIZE) {
        note_damage(r, packet, AVERROR_INVALIDDATA);
        return RBC_OK;
    }
    out->data = (uint8_t *)(uintptr_t)in->data; /* copied by the call */
    out->size = (int)in->bytes;
    out->pts = out->dts = r->decoder->first + packet;
    out->flags = packet == 0 ? AV_PKT_FLAG_KEY : 0;
    const int code = ffmpeg->avcodec_send_packet(r->decoder->context, out);
    out->data = NULL;
    out->size = 0;
    if (code == AVERROR(ENOMEM)) {
        return rbc__ffmpeg_fail(ffmpeg, code, err, "");
    }
    if (code < 0) {
        note_damage(r, packet, code);
    }
    return take_pictures(r, packet, err);
}

static rbc_status fail_missing(const run *r, rbc_error *err) {
    const rbc__video_group *group = r->group;
    char what[64];
    if (r->bad_packet < group->num_packets) {
        const long long number = (long long)(group->first_packet + r->bad_packet);
        (void)snprintf(what, sizeof what, "packet %lld cannot be decoded", number);
        return r->bad_code != 0
                   ? rbc__ffmpeg_fail(r->decoder->ffmpeg, r->bad_code, err, what)
                   : rbc__fail(err, RBC_ERROR_FORMAT, "%s: parts of its picture are missing", what);
    }
    int64_t packet = 0;
    while (r->frame_of[packet] < 0) {
        ++packet;
    }
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "packet %" PRId64
                     " is a frame by the tables of its file, but the decoder made "
                     "no picture of it",
                     group->first_packet + packet);
}

static rbc_status run_group(run *r, rbc_error *err) {
    const rbc__video_group *group = r->group;
    const rbc__ffmpeg *ffmpeg = r->decoder->ffmpeg;
    AVCodecContext *context = r->decoder->context;
    const int delay = delay_of(group);
    if (context->has_b_frames < delay) {
        context->has_b_frames = delay;
    }
    decoder *d = r->decoder;
    RBC__TRY(take_pictures(r, d->num_sent - 1, err)); /* that were ready and not wanted then */
    while (d->num_sent < group->num_packets && r->missing > 0 && d->num_sent < r->bad_packet) {
        if (group->cancel != NULL && atomic_load_explicit(group->cancel, memory_order_relaxed)) {
            return rbc__fail(err, RBC_ERROR_CANCELLED, "decoding was stopped");
        }
        RBC__TRY(send(r, d->num_sent++, err));
    }
    if (r->missing > 0) { /* no packet can follow, only pictures that wait */
        (void)ffmpeg->avcodec_send_packet(context, NULL);
        RBC__TRY(take_pictures(r, group->num_packets - 1, err));
    }
    return r->missing > 0 ? fail_missing(r, err) : RBC_OK;
}

static int64_t progress(const rbc__video_decoder *base, const rbc__video_group *group) {
    const decoder *d = (const decoder *)(const void *)base;
    if (d->num_packets != group->num_packets || d->id.part != group->id.part ||
        d->id.track != group->id.track || d->id.group != group->id.group) {
        return 0;
    }
    for (int64_t i = 0; i < group->num_frames; ++i) {
        if (group->frames[i].pts <= d->shown_pts) {
            return 0;
        }
    }
    return d->num_sent;
}

static void begin(decoder *d, const rbc__video_group *group) {
    if (d->next_number > 0) {
        d->ffmpeg->avcodec_flush_buffers(d->context);
    }
    d->id = group->id;
    d->num_packets = group->num_packets;
    d->num_sent = 0;
    d->first = d->next_number;
    d->shown_pts = INT64_MIN;
    d->is_key_intra = false;
    d->next_number += group->num_packets;
}

static rbc_status decode(rbc__video_decoder *base, const rbc__video_group *group,
                         int64_t *num_packets, rbc_error *err) {
    decoder *d = as_decoder(base);
    run r = {.decoder = d,
             .group = group,
             .missing = group->num_frames,
             .bad_packet = group->num_packets,
             .frame_of = malloc(((size_t)group->num_packets + 1) * sizeof *r.frame_of)};
    *num_packets = 0;
    if (r.frame_of == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a group of pictures");
    }
    for (int64_t i = 0; i < group->num_packets; ++i) {
        r.frame_of[i] = -1;
    }
    for (int64_t i = 0; i < group->num_frames; ++i) {
        r.frame_of[group->frames[i].packet] = i;
    }
    if (progress(base, group) == 0) {
        begin(d, group);
    }
    const int64_t num_sent = d->num_sent;
    const rbc_status status = run_group(&r, err);
    *num_packets = d->num_sent - num_sent;
    free(r.frame_of);
    if (r.bad_packet < group->num_packets) {
        d->num_packets = 0; /* what follows is of no use */
    }
    return status;
}

/* ---- all ----------------------------------------------------------------------------------------
 */

/* X(codec, name of FFmpeg's decoder) */
#define CODECS(X)                                                                                  \
    X(h264, "h264")                                                                                \
    X(hevc, "hevc")                                                                                \
    X(av1, "libdav1d")                                                                             \
    X(mpeg4, "mpeg4")                                                                              \
    X(vp9, "vp9")

#define X(codec, decoder_name)                                                                     \
    static rbc_status open_##codec(const rbc__video_params *params, rbc__video_decoder **out,      \
                                   rbc_error *err) {                                               \
        return open_decoder(&rbc__ffmpeg_##codec, decoder_name, params, out, err);                 \
    }                                                                                              \
    const rbc__video_codec rbc__ffmpeg_##codec = {#codec,   open_##codec, decode,                  \
                                                  progress, bytes_of,     close_decoder};
CODECS(X)
#undef X

const char *rbc__ffmpeg_codec(int index, int *is_there) {
    static const struct {
        const char *codec, *decoder;
    } all[] = {
#define X(codec, decoder_name) {#codec, decoder_name},
        CODECS(X)
#undef X
    };
    const rbc__ffmpeg *ffmpeg;
    if (index < 0 || (size_t)index >= sizeof all / sizeof *all) {
        return NULL;
    }
    *is_there = rbc__ffmpeg_get(&ffmpeg, NULL) == RBC_OK &&
                ffmpeg->avcodec_find_decoder_by_name(all[index].decoder) != NULL;
    return all[index].codec;
}
