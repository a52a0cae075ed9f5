#define _POSIX_C_SOURCE 200809L

#include "codec/video_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define PIXEL_FORMAT_BYTES 32

/* A call under way: frames of a group that a thread wants. */
typedef struct call {
    struct call *next;
    const rbc__video_codec *codec;
    const rbc__video_params *params;
    const rbc__video_group *group;
    bool is_waiting; /* for a decoder; else it has one */
} call;

typedef struct pooled {
    struct pooled *next; /* used before */
    rbc__video_decoder *decoder;
    int64_t bytes; /* as it was last counted */
    int32_t width, height;
    uint8_t matrix, range;
    char pixel_format[PIXEL_FORMAT_BYTES];
    size_t extradata_bytes;
    uint8_t extradata[];
} pooled;

struct rbc__video_pool {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a call has ended */
    int64_t max_bytes;
    int32_t num_kept, num_decoders;
    pooled *idle; /* the one used last first */
    call *calls;
    rbc__video_pool_counts counts;
};

rbc_status rbc__video_pool_create(int64_t max_bytes, int32_t num_kept, rbc__video_pool **out,
                                  rbc_error *err) {
    rbc__video_pool *pool = calloc(1, sizeof *pool);
    *out = pool;
    if (pool == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for decoders of video");
    }
    pool->max_bytes = max_bytes;
    pool->num_kept = num_kept;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    return RBC_OK;
}

static void close_pooled(pooled *closing) {
    closing->decoder->codec->close(closing->decoder);
    free(closing);
}

static void close_list(pooled *list) {
    while (list != NULL) {
        pooled *closing = list;
        list = list->next;
        close_pooled(closing);
    }
}

void rbc__video_pool_destroy(rbc__video_pool **pool) {
    rbc__video_pool *closing = *pool;
    *pool = NULL;
    if (closing == NULL) {
        return;
    }
    close_list(closing->idle);
    pthread_cond_destroy(&closing->changed);
    pthread_mutex_destroy(&closing->lock);
    free(closing);
}

/* ---- which decoder, with the lock held --------------------------------------------------------
 */

static bool is_of(const pooled *idle, const rbc__video_codec *codec,
                  const rbc__video_params *params) {
    return idle->decoder->codec == codec && idle->width == params->width &&
           idle->height == params->height && idle->matrix == params->matrix &&
           idle->range == params->range && strcmp(idle->pixel_format, params->pixel_format) == 0 &&
           idle->extradata_bytes == params->extradata_bytes &&
           (params->extradata_bytes == 0 ||
            memcmp(idle->extradata, params->extradata, params->extradata_bytes) == 0);
}

/* Their frames are of one group, all of `first` shown before those of `then`. */
static bool is_followed_by(const call *first, const call *then) {
    const rbc__video_group *a = first->group;
    const rbc__video_group *b = then->group;
    return a->id.part == b->id.part && a->id.track == b->id.track && a->id.group == b->id.group &&
           a->frames[a->num_frames - 1].pts < b->frames[0].pts;
}

static int64_t progress_for(const pooled *idle, const call *wanted) {
    return idle->decoder->codec == wanted->codec
               ? wanted->codec->progress(idle->decoder, wanted->group)
               : 0;
}

/* One who waits is to go on with it, for frames ahead of those of `mine`, or where it is of no use to
 * `mine` but to begin anew. */
static bool is_for_another(const rbc__video_pool *pool, const pooled *idle, const call *mine,
                           int64_t progress) {
    for (const call *other = pool->calls; other != NULL; other = other->next) {
        if (other != mine && other->is_waiting && (progress == 0 || is_followed_by(other, mine)) &&
            progress_for(idle, other) > 0) {
            return true;
        }
    }
    return false;
}

/* The decoder of another call gets on its way to the frames of `mine`, farther than `progress`. */
static bool is_worth_waiting(const rbc__video_pool *pool, const call *mine, int64_t progress) {
    for (const call *other = pool->calls; other != NULL; other = other->next) {
        const rbc__video_group *group = other->group;
        if (is_followed_by(other, mine) &&
            group->frames[group->num_frames - 1].packet >= progress) {
            return true;
        }
    }
    return false;
}

/* One that is idle: the one that has gone farthest through the group, else the one not used for
 * longest, for others may be gone on with. NULL: none is. */
static pooled **best_idle(rbc__video_pool *pool, const call *mine, int64_t *progress) {
    pooled **best = NULL;
    *progress = 0;
    for (pooled **at = &pool->idle; *at != NULL; at = &(*at)->next) {
        if (is_of(*at, mine->codec, mine->params)) {
            const int64_t found = progress_for(*at, mine);
            if ((found > *progress || *progress == 0) && !is_for_another(pool, *at, mine, found)) {
                best = at;
                *progress = found;
            }
        }
    }
    return best;
}

static void end_call(rbc__video_pool *pool, const call *mine) {
    call **at = &pool->calls;
    while (*at != mine) {
        at = &(*at)->next;
    }
    *at = mine->next;
    pthread_cond_broadcast(&pool->changed);
}

static void account(rbc__video_pool *pool, int64_t bytes) {
    rbc__video_pool_counts *counts = &pool->counts;
    counts->bytes += bytes;
    counts->peak_bytes = counts->bytes > counts->peak_bytes ? counts->bytes : counts->peak_bytes;
}

/* ---- taking and giving back -------------------------------------------------------------------
 */

/* Begins a call. NULL: no decoder is idle. */
static pooled *take(rbc__video_pool *pool, call *mine) {
    int64_t progress;
    pthread_mutex_lock(&pool->lock);
    pooled **best = best_idle(pool, mine, &progress);
    mine->next = pool->calls;
    pool->calls = mine;
    while (is_worth_waiting(pool, mine, progress)) {
        mine->is_waiting = true;
        pthread_cond_wait(&pool->changed, &pool->lock);
        best = best_idle(pool, mine, &progress);
    }
    mine->is_waiting = false;
    pooled *found = best != NULL ? *best : NULL;
    if (found != NULL) {
        *best = found->next;
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

static rbc_status open_new(rbc__video_pool *pool, const rbc__video_codec *codec,
                           const rbc__video_params *params, pooled **out, rbc_error *err) {
    pooled *opened = calloc(1, sizeof *opened + params->extradata_bytes);
    if (opened == NULL || strlen(params->pixel_format) >= PIXEL_FORMAT_BYTES) {
        free(opened);
        return opened == NULL ? rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a decoder")
                              : rbc__fail(err, RBC_ERROR_FORMAT,
                                          "pixel format '%.40s': wanted fewer than %d "
                                          "bytes",
                                          params->pixel_format, PIXEL_FORMAT_BYTES);
    }
    const rbc_status status = codec->open(params, &opened->decoder, err);
    if (status != RBC_OK) {
        free(opened);
        return status;
    }
    opened->width = params->width;
    opened->height = params->height;
    opened->matrix = params->matrix;
    opened->range = params->range;
    memcpy(opened->pixel_format, params->pixel_format, strlen(params->pixel_format));
    opened->extradata_bytes = params->extradata_bytes;
    if (params->extradata_bytes > 0) {
        memcpy(opened->extradata, params->extradata, params->extradata_bytes);
    }
    opened->bytes = codec->bytes(opened->decoder);
    pthread_mutex_lock(&pool->lock);
    account(pool, opened->bytes);
    ++pool->counts.num_opened;
    ++pool->num_decoders;
    pthread_mutex_unlock(&pool->lock);
    *out = opened;
    return RBC_OK;
}

/* Takes idle decoders, last used first ones kept, out of the list until the rest is within the
 * bound. With the lock held. */
static pooled *drop(rbc__video_pool *pool) {
    pooled *dropped = NULL;
    while (pool->counts.bytes > pool->max_bytes && pool->num_decoders > pool->num_kept &&
           pool->idle != NULL) {
        pooled **at = &pool->idle;
        while ((*at)->next != NULL) {
            at = &(*at)->next;
        }
        pooled *oldest = *at;
        *at = NULL;
        oldest->next = dropped;
        dropped = oldest;
        account(pool, -oldest->bytes);
        --pool->num_decoders;
    }
    return dropped;
}

/* Ends a call. */
static void give(rbc__video_pool *pool, const call *mine, pooled *used, bool is_sound,
                 int64_t num_packets) {
    const int64_t bytes = used->decoder->codec->bytes(used->decoder);
    pthread_mutex_lock(&pool->lock);
    account(pool, bytes - used->bytes);
    used->bytes = bytes;
    ++pool->counts.num_groups;
    pool->counts.num_packets += num_packets;
    if (is_sound) {
        used->next = pool->idle;
        pool->idle = used;
    } else {
        account(pool, -bytes);
        --pool->num_decoders;
    }
    pooled *dropped = drop(pool);
    end_call(pool, mine);
    pthread_mutex_unlock(&pool->lock);
    close_list(dropped);
    if (!is_sound) {
        close_pooled(used);
    }
}

rbc_status rbc__video_pool_decode(rbc__video_pool *pool, const rbc__video_codec *codec,
                                  const rbc__video_params *params, const rbc__video_group *group,
                                  rbc_error *err) {
    call mine = {.codec = codec, .params = params, .group = group};
    int64_t num_packets = 0;
    rbc_status status = RBC_OK;
    pooled *used = take(pool, &mine);
    if (used == NULL) {
        status = open_new(pool, codec, params, &used, err);
    }
    if (status != RBC_OK) {
        pthread_mutex_lock(&pool->lock);
        end_call(pool, &mine);
        pthread_mutex_unlock(&pool->lock);
        return status;
    }
    status = codec->decode(used->decoder, group, &num_packets, err);
    give(pool, &mine, used, status == RBC_OK, num_packets);
    return status;
}

void rbc__video_pool_count(rbc__video_pool *pool, rbc__video_pool_counts *out) {
    pthread_mutex_lock(&pool->lock);
    *out = pool->counts;
    pthread_mutex_unlock(&pool->lock);
}
