/* What of FFmpeg is installed. Interface of src/codec/ffmpeg. */
#ifndef RBC_FFMPEG_INSTALLED_H
#define RBC_FFMPEG_INSTALLED_H

#include <robocache/robocache.h>

typedef struct rbc__ffmpeg_installed {
    const char *path;    /* of libavcodec */
    const char *licence; /* "LGPL version 2.1 or later" */
    int version[3];      /* of libavcodec: 59.37.100 */
} rbc__ffmpeg_installed;

/* UNSUPPORTED: it is not there; the message says what to install. */
rbc_status rbc__ffmpeg_find(rbc__ffmpeg_installed *out, rbc_error *err);

/* The codecs of video that FFmpeg decodes, number `index`, NULL behind the last; `*is_there`: this one
 * does. */
const char *rbc__ffmpeg_codec(int index, int *is_there);

#endif
