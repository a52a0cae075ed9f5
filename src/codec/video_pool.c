#define _POSIX_C_SOURCE 200809L

#include "codec/video_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define PIXEL_FORMAT_BYTES 32

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
    int64_t max_bytes;
    pooled *idle; /* the one used last first */
    rbc__video_pool_counts counts;
};

rbc_status rbc__video_pool_create(int64_t max_bytes, rbc__video_pool **out, rbc_error *err) {
    rbc__video_pool *pool = calloc(1, sizeof *pool);
    *out = pool;
    if (pool == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for decoders of video");
    }
    pool->max_bytes = max_bytes;
    pthread_mutex_init(&pool->lock, NULL);
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
    pthread_mutex_destroy(&closing->lock);
    free(closing);
}

static bool is_of(const pooled *idle, const rbc__video_codec *codec,
                  const rbc__video_params *params) {
    return idle->decoder->codec == codec && idle->width == params->width &&
           idle->height == params->height && idle->matrix == params->matrix &&
           idle->range == params->range && strcmp(idle->pixel_format, params->pixel_format) == 0 &&
           idle->extradata_bytes == params->extradata_bytes &&
           (params->extradata_bytes == 0 ||
            memcmp(idle->extradata, params->extradata, params->extradata_bytes) == 0);
}

static void account(rbc__video_pool *pool, int64_t bytes) {
    rbc__video_pool_counts *counts = &pool->counts;
    counts->bytes += bytes;
    counts->peak_bytes = counts->bytes > counts->peak_bytes ? counts->bytes : counts->peak_bytes;
}

/* One that is idle, taken out of the list: the one that has gone farthest through the group, else the
 * one not used for longest, for others may be gone on with. NULL: none is. */
static pooled *take(rbc__video_pool *pool, const rbc__video_codec *codec,
                    const rbc__video_params *params, const rbc__video_group *group) {
    pooled **best = NULL;
    int64_t most = 0;
    pthread_mutex_lock(&pool->lock);
    for (pooled **at = &pool->idle; *at != NULL; at = &(*at)->next) {
        if (is_of(*at, codec, params)) {
            const int64_t progress = codec->progress((*at)->decoder, group);
            if (progress > most || most == 0) {
                best = at;
                most = progress;
            }
        }
    }
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
    pthread_mutex_unlock(&pool->lock);
    *out = opened;
    return RBC_OK;
}

/* Takes idle decoders, last used first ones kept, out of the list until the rest is within the
 * bound. With the lock held. */
static pooled *drop(rbc__video_pool *pool) {
    pooled *dropped = NULL;
    while (pool->counts.bytes > pool->max_bytes && pool->idle != NULL) {
        pooled **at = &pool->idle;
        while ((*at)->next != NULL) {
            at = &(*at)->next;
        }
        pooled *oldest = *at;
        *at = NULL;
        oldest->next = dropped;
        dropped = oldest;
        account(pool, -oldest->bytes);
    }
    return dropped;
}

static void give(rbc__video_pool *pool, pooled *used, bool is_sound, int64_t num_frames) {
    const int64_t bytes = used->decoder->codec->bytes(used->decoder);
    pthread_mutex_lock(&pool->lock);
    account(pool, bytes - used->bytes);
    used->bytes = bytes;
    pool->counts.num_groups += 1;
    pool->counts.num_frames += num_frames;
    if (is_sound) {
        used->next = pool->idle;
        pool->idle = used;
    } else {
        account(pool, -bytes);
    }
    pooled *dropped = drop(pool);
    pthread_mutex_unlock(&pool->lock);
    close_list(dropped);
    if (!is_sound) {
        close_pooled(used);
    }
}

rbc_status rbc__video_pool_decode(rbc__video_pool *pool, const rbc__video_codec *codec,
                                  const rbc__video_params *params, const rbc__video_group *group,
                                  rbc_error *err) {
    pooled *used = take(pool, codec, params, group);
    if (used == NULL) {
        RBC__TRY(open_new(pool, codec, params, &used, err));
    }
    const rbc_status status = codec->decode(used->decoder, group, err);
    give(pool, used, status == RBC_OK, group->num_frames);
    return status;
}

void rbc__video_pool_count(rbc__video_pool *pool, rbc__video_pool_counts *out) {
    pthread_mutex_lock(&pool->lock);
    *out = pool->counts;
    pthread_mutex_unlock(&pool->lock);
}
