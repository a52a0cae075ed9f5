#include "codec/video.h"

#include <string.h>

#include "codec/ffmpeg/decoder.h"
#include "core/error.h"

/* ---- raw ---- */

static const rbc__video_codec raw;

static rbc_status open_raw(const rbc__video_params *params, rbc__video_decoder **out,
                           rbc_error *err) {
    static rbc__video_decoder decoder = {&raw}; /* it knows nothing */
    (void)params;
    (void)err;
    *out = &decoder;
    return RBC_OK;
}

static rbc_status decode_raw(rbc__video_decoder *decoder, const rbc__video_group *group,
                             int64_t *num_packets, rbc_error *err) {
    const int64_t wanted = rbc__video_frame_bytes(&group->shape);
    (void)decoder;
    *num_packets = group->num_frames;
    for (int64_t i = 0; i < group->num_frames; ++i) {
        const rbc__video_frame *frame = &group->frames[i];
        const rbc__video_packet *packet = &group->packets[frame->packet];
        if (packet->bytes != (size_t)wanted) {
            return rbc__fail(
                err, RBC_ERROR_FORMAT, "packet %lld, of raw pixels, has %zu bytes, wanted %lld",
                (long long)(group->first_packet + frame->packet), packet->bytes, (long long)wanted);
        }
        if (group->cancel != NULL && atomic_load_explicit(group->cancel, memory_order_relaxed)) {
            return rbc__fail(err, RBC_ERROR_CANCELLED, "decoding was stopped");
        }
        memcpy(frame->dst, packet->data, packet->bytes);
    }
    return RBC_OK;
}

static int64_t progress_raw(const rbc__video_decoder *decoder, const rbc__video_group *group) {
    (void)decoder;
    (void)group;
    return 0;
}

static int64_t bytes_raw(const rbc__video_decoder *decoder) {
    (void)decoder;
    return 0;
}

static void close_raw(rbc__video_decoder *decoder) {
    (void)decoder;
}

static const rbc__video_codec raw = {"raw",        open_raw,  decode_raw,
                                     progress_raw, bytes_raw, close_raw};

/* ---- all ---- */

static const rbc__video_codec *const codecs[] = {
    &raw,
    &rbc__ffmpeg_h264,
    &rbc__ffmpeg_hevc,
    &rbc__ffmpeg_av1,
    &rbc__ffmpeg_mpeg4,
    &rbc__ffmpeg_vp9,
};

rbc_status rbc__video_codec_find(const char *name, const rbc__video_codec **out, rbc_error *err) {
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; ++i) {
        if (strcmp(codecs[i]->name, name) == 0) {
            *out = codecs[i];
            return RBC_OK;
        }
    }
    return rbc__fail(
        err, RBC_ERROR_UNSUPPORTED,
        "video of codec '%.40s' cannot be decoded; raw, h264, hevc, av1, mpeg4 and vp9 "
        "can",
        name);
}
