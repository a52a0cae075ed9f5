/* From the packets of a group of pictures to its frames.
 *
 * Pictures that are kept are decoded by whoever claims them, once, for all who want them: all of a
 * segment, into the cache. Others are decoded to where they go, and no further than to the last that
 * is wanted; so are those of a segment that is damaged, for which frames are there must not depend on
 * what is kept. All packets are at hand by then, so that nobody waits for them with a claim. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"
#include "store/wants.h"

#define MAX_TOGETHER 32 /* segments that are decoded in one go */

/* ---- what is decoded ----------------------------------------------------------------------------
 */

static const rbc__group_source *source_at(const rbc__request *request, size_t index) {
    return (const rbc__group_source *)request->sources.items + index;
}

static bool has_packet(const rbc__group_source *source, const rbc__track_packet *packet) {
    const uint64_t begin = (uint64_t)packet->offset;
    return source->in_block == packet->in_block && source->number == packet->number &&
           (source->in_block ||
            (begin >= source->offset && begin - source->offset <= source->bytes &&
             (uint64_t)packet->bytes <= source->bytes - (begin - source->offset)));
}

/* Packets in the order of decoding lie in sources that mostly follow each other. */
static rbc_status find_packets(const rbc__request *request, const rbc__wanted_group *group,
                               rbc__video_packet *packets, rbc_error *err) {
    size_t at = 0;
    for (int64_t i = 0; i < group->group.num_packets; ++i) {
        rbc__track_packet packet;
        RBC__TRY(rbc__track_packet_at(&group->track->track, group->group.first_packet + i, &packet,
                                      err));
        size_t tried = 0;
        while (tried < group->num_sources &&
               !has_packet(source_at(request, group->source + at), &packet)) {
            at = at + 1 < group->num_sources ? at + 1 : 0;
            ++tried;
        }
        if (tried == group->num_sources) {
            return rbc__fail(err, RBC_ERROR_INTERNAL, "packet %" PRId64 " has not been read", i);
        }
        const rbc__group_source *source = source_at(request, group->source + at);
        packets[i] = (rbc__video_packet){
            .data = rbc__request_block(request, source->block)->data +
                    ((uint64_t)packet.offset - (source->in_block ? 0 : source->offset)),
            .bytes = (size_t)packet.bytes,
            .pts = packet.pts};
    }
    return RBC_OK;
}

/* Frame `position` of the group. */
static rbc_status describe_frame(const rbc__wanted_group *group, int64_t position, uint8_t *dst,
                                 rbc__video_frame *out, rbc_error *err) {
    rbc__track_frame frame;
    RBC__TRY(rbc__track_frame_at(&group->track->track, group->group.first_frame + position, &frame,
                                 err));
    out->packet = frame.packet - group->group.first_packet;
    out->pts = frame.pts;
    out->dst = dst;
    return RBC_OK;
}

static rbc_status decode_packets(rbc__request *request, const rbc__wanted_group *group,
                                 const rbc__video_frame *frames, int64_t num_frames,
                                 const atomic_bool *cancel, rbc_error *err) {
    rbc__video_packet *packets = calloc((size_t)group->group.num_packets, sizeof *packets);
    rbc_status status = packets != NULL ? find_packets(request, group, packets, err)
                                        : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                                                    "no memory for a group of %" PRId64 " packets",
                                                    group->group.num_packets);
    if (status == RBC_OK) {
        const rbc__video_group decoded = {.packets = packets,
                                          .num_packets = group->group.num_packets,
                                          .frames = frames,
                                          .num_frames = num_frames,
                                          .id = {group->part, group->track_number, group->number},
                                          .first_packet = group->group.first_packet,
                                          .shape = group->shape,
                                          .cancel = cancel};
        status = rbc__video_pool_decode(request->params.videos, group->track->codec,
                                        &group->track->video, &decoded, err);
    }
    if (status == RBC_OK) {
        request->stats.num_frames += num_frames;
        request->stats.bytes_decoded += num_frames * (int64_t)group->frame_bytes;
    }
    free(packets);
    return status;
}

static rbc_status fail_group(const rbc__request *request, const rbc__wanted_group *group,
                             rbc_status status, rbc_error *err) {
    char name[1024];
    rbc__store *store = request->params.store;
    return rbc__fail_within(err, status, "%s: byte %" PRIu64,
                            store->ops->name(store, group->blob, name, sizeof name), group->offset);
}

/* The first of its blocks that failed, or NULL. */
static const rbc__wanted_block *failed_source(const rbc__request *request,
                                              const rbc__wanted_group *group) {
    for (size_t i = 0; i < group->num_sources; ++i) {
        const rbc__wanted_block *block =
            rbc__request_block(request, source_at(request, group->source + i)->block);
        if (block->status != RBC_OK) {
            return block;
        }
    }
    return NULL;
}

/* ---- frames that go to where they are wanted ----------------------------------------------------
 */

static rbc__want **list_wants(const rbc__request *request, const rbc__wanted_group *group,
                              size_t *count) {
    *count = 0;
    for (uint32_t i = group->last_want; i != UINT32_MAX;
         i = rbc__request_want(request, i)->next_want) {
        ++*count;
    }
    rbc__want **wants = calloc(*count + 1, sizeof(rbc__want *));
    size_t at = *count;
    for (uint32_t i = group->last_want; wants != NULL && i != UINT32_MAX;
         i = rbc__request_want(request, i)->next_want) {
        wants[--at] = rbc__request_want(request, i);
    }
    return wants;
}

static int compare_wants(const void *a, const void *b) {
    const rbc__want *left = *(rbc__want *const *)a;
    const rbc__want *right = *(rbc__want *const *)b;
    if (left->offset != right->offset) {
        return left->offset < right->offset ? -1 : 1;
    }
    return (left > right) - (left < right);
}

/* Memory of the request's own. */
static void *own_memory(rbc__request *request, uint64_t bytes) {
    uint8_t **made = rbc__list_add(&request->made_samples, sizeof(uint8_t *));
    if (made != NULL) {
        *made = malloc((size_t)bytes);
    }
    return made != NULL ? *made : NULL;
}

/* Each frame that is wanted once. */
static rbc_status list_frames(rbc__request *request, const rbc__wanted_group *group,
                              rbc__want *const *wants, size_t num_wants, rbc__video_frame *frames,
                              int64_t *num_frames, rbc_error *err) {
    *num_frames = 0;
    for (size_t i = 0; i < num_wants; ++i) {
        rbc__want *want = wants[i];
        if (i > 0 && want->offset == wants[i - 1]->offset) {
            want->data = wants[i - 1]->data;
            continue;
        }
        uint8_t *dst = want->dst != NULL ? want->dst : own_memory(request, group->frame_bytes);
        if (dst == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a frame");
        }
        want->data = dst;
        RBC__TRY(describe_frame(group, (int64_t)want->offset, dst, &frames[(*num_frames)++], err));
    }
    return RBC_OK;
}

/* What failed for frames together is decoded again for each, so that each has its own failure: those
 * before what is damaged are there whoever wants others. */
static rbc_status decode_apart(rbc__request *request, const rbc__wanted_group *group,
                               rbc__want *const *wants, size_t num_wants,
                               const rbc__video_frame *frames, const atomic_bool *cancel,
                               rbc_error *err) {
    rbc_error *problem = NULL;
    for (size_t i = 0; i < num_wants; ++i) {
        if (i == 0 || wants[i]->offset != wants[i - 1]->offset) {
            rbc_error found;
            problem = NULL;
            if (decode_packets(request, group, frames++, 1, cancel, &found) != RBC_OK) {
                (void)fail_group(request, group, found.status, &found);
                problem = own_memory(request, sizeof *problem);
                if (problem == NULL) {
                    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a frame");
                }
                *problem = found;
            }
        }
        wants[i]->problem = problem;
    }
    return RBC_OK;
}

static rbc_status decode_wanted(rbc__request *request, const rbc__wanted_group *group,
                                const atomic_bool *cancel, rbc_error *err) {
    size_t num_wants;
    int64_t num_frames = 0;
    rbc__want **wants = list_wants(request, group, &num_wants);
    rbc__video_frame *frames = calloc(num_wants + 1, sizeof *frames);
    rbc_status status = RBC_OK;
    if (wants == NULL || frames == NULL) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %zu frames", num_wants);
    } else if (num_wants > 0) {
        qsort(wants, num_wants, sizeof(rbc__want *), compare_wants);
        status = list_frames(request, group, wants, num_wants, frames, &num_frames, err);
        if (status == RBC_OK) {
            status = decode_packets(request, group, frames, num_frames, cancel, err);
        }
        if (status == RBC_ERROR_FORMAT && num_frames > 1) {
            status = decode_apart(request, group, wants, num_wants, frames, cancel, err);
        }
    }
    free(wants);
    free(frames);
    return status;
}

/* ---- frames that are kept -----------------------------------------------------------------------
 */

/* Segments of one group that the caller has claimed, in the order in which they are shown. */
typedef struct segments {
    rbc__wanted_group *of[MAX_TOGETHER];
    uint32_t claims[MAX_TOGETHER];
    uint8_t *pictures[MAX_TOGETHER]; /* [num_kept][frame_bytes], owned until they are published */
    size_t count;
} segments;

static void add_segment(segments *all, rbc__wanted_group *group, uint32_t claim) {
    size_t at = all->count++;
    for (; at > 0 && all->of[at - 1]->first > group->first; --at) {
        all->of[at] = all->of[at - 1];
        all->claims[at] = all->claims[at - 1];
    }
    all->of[at] = group;
    all->claims[at] = claim;
}

/* Those of the same group that the request wants after `index`, where nobody else makes them: they
 * are decoded in one go, so that no other thread comes in between with frames of behind them. */
static void claim_others(rbc__request *request, size_t index, segments *all,
                         const atomic_bool *cancel) {
    const rbc__wanted_group *group = rbc__request_group(request, index);
    for (size_t i = index + 1; i < request->groups.count && all->count < MAX_TOGETHER; ++i) {
        rbc__wanted_group *other = rbc__request_group(request, i);
        if (other->pin != NULL && other->num_sources > 0 && other->track == group->track &&
            other->number == group->number && other->frame_bytes == group->frame_bytes) {
            const uint32_t claim = rbc__block_claim(request->params.cache, other->pin, cancel);
            if (claim != 0) {
                add_segment(all, other, claim);
            }
        }
    }
}

/* Decodes `count` segments from `begin` on. */
static rbc_status decode_segments(rbc__request *request, segments *all, size_t begin, size_t count,
                                  const atomic_bool *cancel, rbc_error *err) {
    int64_t num_frames = 0;
    for (size_t i = begin; i < begin + count; ++i) {
        num_frames += all->of[i]->num_kept;
    }
    rbc__video_frame *frames = calloc((size_t)num_frames, sizeof *frames);
    rbc__video_frame *next = frames;
    rbc_status status = RBC_OK;
    for (size_t i = begin; i < begin + count && status == RBC_OK; ++i) {
        const rbc__wanted_group *group = all->of[i];
        if (all->pictures[i] == NULL) {
            all->pictures[i] = malloc((size_t)(group->frame_bytes * (uint64_t)group->num_kept));
        }
        if (all->pictures[i] == NULL || frames == NULL) {
            status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                               "no memory for %" PRId64 " frames of %" PRIu64 " bytes",
                               group->num_kept, group->frame_bytes);
        }
        for (int64_t k = 0; k < group->num_kept && status == RBC_OK; ++k) {
            status =
                describe_frame(group, group->first + k,
                               all->pictures[i] + (uint64_t)k * group->frame_bytes, next++, err);
        }
    }
    if (status == RBC_OK) {
        status = decode_packets(request, all->of[begin], frames, num_frames, cancel, err);
    }
    free(frames);
    return status;
}

/* Ends the claim of a segment. */
static rbc_status settle_segment(rbc__request *request, segments *all, size_t index,
                                 rbc_status status, rbc_error *problem) {
    rbc__block_cache *cache = request->params.cache;
    rbc__wanted_group *group = all->of[index];
    uint8_t *pictures = all->pictures[index];
    all->pictures[index] = NULL;
    if (status != RBC_OK) {
        free(pictures);
        (void)fail_group(request, group, status, problem);
        rbc__block_fail(cache, group->pin, all->claims[index], problem);
        return status;
    }
    const size_t bytes = (size_t)(group->frame_bytes * (uint64_t)group->num_kept);
    if (!rbc__block_publish(cache, group->pin, all->claims[index], pictures, bytes)) {
        free(pictures);
        return rbc__fail(problem, RBC_ERROR_CANCELLED, "decoding was stopped");
    }
    group->pictures = pictures;
    return RBC_OK;
}

/* The caller has claimed the pictures of group `index`. */
static rbc_status make_pictures(rbc__request *request, size_t index, uint32_t claim,
                                const atomic_bool *cancel, rbc_error *err) {
    rbc__wanted_group *group = rbc__request_group(request, index);
    const rbc__wanted_block *failed = failed_source(request, group);
    if (failed != NULL) { /* told by its own block, to all who want that */
        rbc__block_fail(request->params.cache, group->pin, claim, NULL);
        return failed->status;
    }
    segments all = {.count = 0};
    add_segment(&all, group, claim);
    claim_others(request, index, &all, cancel);
    rbc_error problem;
    rbc_status status = decode_segments(request, &all, 0, all.count, cancel, &problem);
    const bool is_apart = status != RBC_OK && all.count > 1; /* which of them cannot be decoded? */
    rbc_status found = status;
    for (size_t i = 0; i < all.count; ++i) {
        if (is_apart) {
            status = decode_segments(request, &all, i, 1, cancel, &problem);
        }
        const rbc_status settled = settle_segment(request, &all, i, status, &problem);
        if (all.of[i] == group) {
            found = settled == RBC_OK ? RBC_OK : rbc__pass_on(&problem, err);
        }
    }
    return found;
}

static rbc_status get_pictures(rbc__request *request, size_t index, const atomic_bool *cancel,
                               rbc_error *err) {
    rbc__wanted_group *group = rbc__request_group(request, index);
    rbc__block_cache *cache = request->params.cache;
    const uint64_t wanted = group->frame_bytes * (uint64_t)group->num_kept;
    bool again = true;
    while (again) {
        size_t bytes;
        const uint32_t claim = rbc__block_claim(cache, group->pin, cancel);
        if (claim != 0) {
            return make_pictures(request, index, claim, cancel, err);
        }
        RBC__TRY(rbc__block_get(cache, group->pin, NULL, NULL, cancel, NULL, &group->pictures,
                                &bytes, &again, err));
        if (!again && bytes != wanted) {
            rbc__fail(err, RBC_ERROR_FORMAT,
                      "a group of pictures of %" PRIu64 " bytes has %zu in another stream", wanted,
                      bytes);
            return fail_group(request, group, RBC_ERROR_FORMAT, err);
        }
    }
    return RBC_OK;
}

/* ---- all ----------------------------------------------------------------------------------------
 */

static rbc_status decode_group(rbc__request *request, size_t index, const atomic_bool *cancel,
                               rbc_error *err) {
    rbc__wanted_group *group = rbc__request_group(request, index);
    if (group->pin != NULL) {
        const rbc_status status = get_pictures(request, index, cancel, err);
        if (status != RBC_ERROR_FORMAT) {
            return status;
        }
        group->pictures = NULL; /* but frames of before what is damaged can be had */
    }
    const rbc__wanted_block *failed = failed_source(request, group);
    if (failed != NULL) {
        return failed->status;
    }
    const rbc_status status = decode_wanted(request, group, cancel, err);
    return status == RBC_OK ? RBC_OK : fail_group(request, group, status, err);
}

/* Makes all that nobody else makes, before others are waited for: they may wait for these. */
static void make_unclaimed(rbc__request *request, const atomic_bool *cancel) {
    for (size_t i = 0; i < request->groups.count; ++i) {
        const rbc__wanted_group *group = rbc__request_group(request, i);
        const uint32_t claim = group->pin != NULL && group->num_sources > 0
                                   ? rbc__block_claim(request->params.cache, group->pin, cancel)
                                   : 0;
        rbc_error problem; /* of a failure: told when the pictures are got */
        if (claim != 0) {
            (void)make_pictures(request, i, claim, cancel, &problem);
        }
    }
}

void rbc__request_decode(rbc__request *request, const atomic_bool *cancel) {
    make_unclaimed(request, cancel);
    for (size_t i = 0; i < request->groups.count; ++i) {
        rbc__wanted_group *group = rbc__request_group(request, i);
        rbc_error problem;
        group->status = decode_group(request, i, cancel, &problem);
        if (group->status != RBC_OK && failed_source(request, group) == NULL) {
            group->error = malloc(sizeof *group->error);
            if (group->error != NULL) {
                *group->error = problem;
            }
        }
    }
}

void rbc__request_put(rbc__request *request, uint32_t want_index, uint8_t *dst) {
    rbc__want *want = rbc__request_want(request, want_index);
    if (want->source == RBC__FROM_GROUP && want->dst == NULL) {
        want->dst = dst;
    }
}
