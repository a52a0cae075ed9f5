/* Decoders of video that are kept for groups to come, bounded in bytes.
 *
 * As many decoders are at work as there are groups decoded at a time; those that are idle are kept
 * while all together stay within the bound, the ones not used for longest going first. */
#ifndef RBC_CODEC_VIDEO_POOL_H
#define RBC_CODEC_VIDEO_POOL_H

#include "codec/video.h"

typedef struct rbc__video_pool rbc__video_pool;

rbc_status rbc__video_pool_create(int64_t max_bytes, rbc__video_pool **out, rbc_error *err);
/* No decoder is at work any more. */
void rbc__video_pool_destroy(rbc__video_pool **pool);

/* Decodes a group with a decoder of such parameters: one that is idle, else a new one. Any thread.
 * Errors are the codec's. */
rbc_status rbc__video_pool_decode(rbc__video_pool *pool, const rbc__video_codec *codec,
                                  const rbc__video_params *params, const rbc__video_group *group,
                                  rbc_error *err);

typedef struct rbc__video_pool_counts {
    int64_t bytes, peak_bytes;                  /* of all decoders, idle and at work */
    int64_t num_opened, num_groups, num_frames; /* frames: that were wanted */
} rbc__video_pool_counts;
void rbc__video_pool_count(rbc__video_pool *pool, rbc__video_pool_counts *out);

#endif
