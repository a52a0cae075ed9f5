/* Decoders of video that are kept for groups to come, bounded in number and bytes.
 *
 * As many decoders are at work as there are groups decoded at a time; those that are idle are kept
 * while all together stay within the bound, the ones not used for longest going first. Where frames
 * are wanted behind those that a decoder of the same group is at work for, it is waited for, since
 * what it has left to do would have to be done in any case: a group that many threads go through in
 * order is decoded once. */
#ifndef RBC_CODEC_VIDEO_POOL_H
#define RBC_CODEC_VIDEO_POOL_H

#include "codec/video.h"

typedef struct rbc__video_pool rbc__video_pool;

/* Keeps decoders while they take up to `max_bytes`, and `num_kept` of them however many bytes they
 * take: what is at work at a time is no less. */
rbc_status rbc__video_pool_create(int64_t max_bytes, int32_t num_kept, rbc__video_pool **out,
                                  rbc_error *err);
/* No decoder is at work any more. */
void rbc__video_pool_destroy(rbc__video_pool **pool);

/* Decodes a group with a decoder of such parameters: one that is in the midst of it, ahead of the
 * frames that are wanted, else one that is idle, else a new one. Any thread. Errors are the
 * codec's. */
rbc_status rbc__video_pool_decode(rbc__video_pool *pool, const rbc__video_codec *codec,
                                  const rbc__video_params *params, const rbc__video_group *group,
                                  rbc_error *err);

typedef struct rbc__video_pool_counts {
    int64_t bytes, peak_bytes; /* of all decoders, idle and at work */
    int64_t num_opened, num_groups;
    int64_t num_packets; /* that decoders went through */
} rbc__video_pool_counts;
void rbc__video_pool_count(rbc__video_pool *pool, rbc__video_pool_counts *out);

#endif
