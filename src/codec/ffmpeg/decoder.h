/* Decoders of FFmpeg, and pictures out of them. Interface of src/codec/ffmpeg. */
#ifndef RBC_FFMPEG_DECODER_H
#define RBC_FFMPEG_DECODER_H

#include "codec/ffmpeg/library.h"
#include "codec/video.h"

extern const rbc__video_codec rbc__ffmpeg_h264;
extern const rbc__video_codec rbc__ffmpeg_hevc;
extern const rbc__video_codec rbc__ffmpeg_av1;
extern const rbc__video_codec rbc__ffmpeg_mpeg4;
extern const rbc__video_codec rbc__ffmpeg_vp9;

/* picture.c. A decoded picture to `dst`, as `shape` has it. FORMAT: it has another size;
 * UNSUPPORTED: its pixels cannot be made into what is wanted. */
rbc_status rbc__picture_write(const rbc__ffmpeg *ffmpeg, const AVFrame *frame,
                              const rbc__image_shape *shape, uint8_t *dst, rbc_error *err);

#endif
