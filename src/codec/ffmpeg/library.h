/* FFmpeg's libraries, loaded at run time: RoboCache works without them, and decodes no video then.
 * They are those of the major versions that the headers are of: in the folder that the environment's
 * ROBOCACHE_FFMPEG names, else those that a wheel has beside the module, else the system's. Shared within src/codec. */
#ifndef RBC_FFMPEG_LIBRARY_H
#define RBC_FFMPEG_LIBRARY_H

#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>

#include <robocache/robocache.h>

typedef struct rbc__ffmpeg {
    char path[512]; /* of libavcodec as it was loaded */
#define X(library, result, name, parameters) result(*name) parameters;
#include "codec/ffmpeg/symbols.def"
#undef X
} rbc__ffmpeg;

/* Loaded on the first call; later calls return the same, or the same error. UNSUPPORTED: they are
 * not there, or of another version; the message says what to install. */
rbc_status rbc__ffmpeg_get(const rbc__ffmpeg **out, rbc_error *err);

/* FORMAT, with FFmpeg's text of `code` behind `what`; OUT_OF_MEMORY where that is what it says. */
rbc_status rbc__ffmpeg_fail(const rbc__ffmpeg *from, int code, rbc_error *err, const char *what);

#endif
