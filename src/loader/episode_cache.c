#define _POSIX_C_SOURCE 200809L

#include "loader/episode_cache.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/error.h"
#include "core/monotonic.h"

/* A whole stream of at most this many bytes costs about as much to read as a window of it. */
#define KEEP_VALUES_BYTES (INT64_C(32) << 10)

struct rbc__episode_cache {
    const rbc__batch_spec *spec;
    rbc_dataset *dataset;
    const rbc__format *ops;
    const rbc__reader *reader;
    const int64_t *ids;
    int64_t max_episodes, max_bytes;
    int64_t num_episodes, bytes;
    rbc__cached_episode *newest, *oldest;
    rbc__cached_episode **buckets; /* [bucket_mask + 1] */
    uint64_t bucket_mask;
    rbc__scratch values, encoded, working;
    rbc__episode_cache_stats stats;
};

rbc_status rbc__episode_cache_create(const rbc__batch_spec *spec, const rbc_selection *selection,
                                     int64_t max_episodes, int64_t max_bytes,
                                     rbc__episode_cache **out, rbc_error *err) {
    *out = NULL;
    rbc__episode_cache *cache = calloc(1, sizeof *cache);
    uint64_t buckets = 1;
    while (buckets < 2 * (uint64_t)max_episodes) {
        buckets *= 2;
    }
    if (cache != NULL) {
        cache->buckets = calloc(buckets, sizeof(rbc__cached_episode *));
    }
    if (cache == NULL || cache->buckets == NULL) {
        free(cache);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a cache of %lld episodes",
                         (long long)max_episodes);
    }
    cache->spec = spec;
    cache->dataset = rbc_selection_dataset(selection);
    cache->ops = rbc__dataset_format(cache->dataset);
    cache->reader = rbc__dataset_reader(cache->dataset);
    cache->ids = rbc__selection_ids(selection);
    cache->max_episodes = max_episodes;
    cache->max_bytes = max_bytes;
    cache->bucket_mask = buckets - 1;
    *out = cache;
    return RBC_OK;
}

static rbc__cached_episode **bucket_of(rbc__episode_cache *cache, int64_t position) {
    return &cache->buckets[(uint64_t)position & cache->bucket_mask];
}

static void unlink_use(rbc__episode_cache *cache, rbc__cached_episode *episode) {
    *(episode->newer != NULL ? &episode->newer->older : &cache->newest) = episode->older;
    *(episode->older != NULL ? &episode->older->newer : &cache->oldest) = episode->newer;
}

static void link_newest(rbc__episode_cache *cache, rbc__cached_episode *episode) {
    episode->newer = NULL;
    episode->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = episode;
    cache->newest = episode;
}

static void close_episode(rbc__episode_cache *cache, rbc__cached_episode *episode) {
    for (int32_t i = 0; i < cache->spec->num_used; ++i) {
        free(episode->streams[i].times);
        free(episode->streams[i].row_begins);
        free(episode->streams[i].values);
    }
    if (episode->parsed != NULL) {
        cache->ops->episode_close(&episode->parsed);
    }
    free(episode->task);
    free(episode);
}

static void drop_oldest(rbc__episode_cache *cache) {
    rbc__cached_episode *episode = cache->oldest;
    rbc__cached_episode **at = bucket_of(cache, episode->position);
    while (*at != episode) {
        at = &(*at)->chain;
    }
    *at = episode->chain;
    unlink_use(cache, episode);
    cache->num_episodes--;
    cache->bytes -= episode->bytes;
    close_episode(cache, episode);
}

void rbc__episode_cache_destroy(rbc__episode_cache **handle) {
    rbc__episode_cache *cache = *handle;
    *handle = NULL;
    if (cache == NULL) {
        return;
    }
    while (cache->oldest != NULL) {
        drop_oldest(cache);
    }
    rbc__scratch_free(&cache->values);
    rbc__scratch_free(&cache->encoded);
    rbc__scratch_free(&cache->working);
    free(cache->buckets);
    free(cache);
}

static rbc_status read_row(rbc__episode_cache *cache, rbc__cursor *cursor,
                           rbc__cached_episode *episode, rbc_error *err) {
    rbc__episode_row row;
    RBC__TRY(rbc__cursor_episode(cursor, episode->id, &row, err));
    episode->file = row.file;
    episode->num_steps = row.entry.num_steps;
    RBC__TRY(rbc__dataset_source(cache->dataset, row.file, &episode->source, err));
    RBC__TRY(cache->ops->episode_open(cache->reader, episode->source, &row.entry, &episode->parsed,
                                      err));
    const char *task = "";
    RBC__TRY(rbc__cursor_task(cursor, row.task, &task, err));
    episode->task_bytes = strlen(task);
    episode->task = malloc(episode->task_bytes + 1);
    if (episode->task == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a task of %llu bytes",
                         (unsigned long long)episode->task_bytes);
    }
    memcpy(episode->task, task, episode->task_bytes + 1);
    episode->bytes += (int64_t)episode->task_bytes + (int64_t)row.entry.layout_bytes;
    return RBC_OK;
}

static rbc_status open_episode(rbc__episode_cache *cache, rbc__cached_episode *episode,
                               rbc_error *err) {
    rbc__cursor *cursor;
    RBC__TRY(rbc__cursor_take(cache->dataset, &cursor, err));
    const rbc_status status = read_row(cache, cursor, episode, err);
    rbc__cursor_give(&cursor);
    return status;
}

static rbc_status add_episode(rbc__episode_cache *cache, int64_t position,
                              rbc__cached_episode **out, rbc_error *err) {
    while (cache->oldest != NULL &&
           (cache->num_episodes >= cache->max_episodes || cache->bytes > cache->max_bytes)) {
        drop_oldest(cache);
    }
    const size_t bytes = sizeof **out + (size_t)cache->spec->num_used * sizeof(rbc__cached_stream);
    rbc__cached_episode *episode = calloc(1, bytes);
    if (episode == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for an episode");
    }
    episode->position = position;
    episode->id = cache->ids[position];
    episode->bytes = (int64_t)bytes;
    const rbc_status status = open_episode(cache, episode, err);
    if (status != RBC_OK) {
        close_episode(cache, episode);
        return status;
    }
    rbc__cached_episode **bucket = bucket_of(cache, position);
    episode->chain = *bucket;
    *bucket = episode;
    link_newest(cache, episode);
    ++cache->num_episodes;
    cache->bytes += episode->bytes;
    *out = episode;
    return RBC_OK;
}

rbc_status rbc__episode_cache_get(rbc__episode_cache *cache, int64_t position,
                                  rbc__cached_episode **out, rbc_error *err) {
    for (rbc__cached_episode *r = *bucket_of(cache, position); r != NULL; r = r->chain) {
        if (r->position == position) {
            if (r != cache->newest) {
                unlink_use(cache, r);
                link_newest(cache, r);
            }
            *out = r;
            return RBC_OK;
        }
    }
    const int64_t begin = rbc__now_ns();
    const rbc_status status = add_episode(cache, position, out, err);
    cache->stats.read_ns += rbc__now_ns() - begin;
    return status;
}

/* Memory that belongs to an episode and counts as its. */
static rbc_status hold(rbc__episode_cache *cache, rbc__cached_episode *episode, int64_t count,
                       int64_t element_bytes, void *out, rbc_error *err) {
    int64_t bytes = 0;
    void *data = NULL;
    if (rbc__mul_size(count, element_bytes, &bytes)) {
        data = malloc(bytes > 0 ? (size_t)bytes : 1);
    }
    if (data == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %lld samples of %lld bytes",
                         (long long)count, (long long)element_bytes);
    }
    memcpy(out, &data, sizeof data);
    episode->bytes += bytes;
    cache->bytes += bytes;
    return RBC_OK;
}

static rbc_status read_times(rbc__episode_cache *cache, rbc__cached_episode *episode,
                             int32_t stream_at, rbc_error *err) {
    const rbc__used_stream *used = &cache->spec->used[stream_at];
    rbc__cached_stream *cached = &episode->streams[stream_at];
    int64_t num_times = 0;
    RBC__TRY(cache->ops->count(episode->parsed, used->times, &num_times, NULL, err));
    if (num_times != cached->num_samples) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: stream '%s' has %lld samples and %lld stamps",
                         rbc__cached_episode_path(episode), used->schema->name,
                         (long long)cached->num_samples, (long long)num_times);
    }
    RBC__TRY(hold(cache, episode, num_times, sizeof *cached->times, &cached->times, err));
    if (num_times > 0) {
        RBC__TRY(cache->ops->read(episode->parsed, used->times, 0, num_times, cached->times,
                                  &cache->working, err));
    }
    for (int64_t i = 1; i < num_times; ++i) {
        if (cached->times[i] < cached->times[i - 1]) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: stream '%s': stamp %lld is %lld ns, less than %lld before it",
                             rbc__cached_episode_path(episode), used->schema->name, (long long)i,
                             (long long)cached->times[i], (long long)cached->times[i - 1]);
        }
    }
    return RBC_OK;
}

static rbc_status read_rows(rbc__episode_cache *cache, rbc__cached_episode *episode,
                            int32_t stream_at, rbc_error *err) {
    const rbc__used_stream *used = &cache->spec->used[stream_at];
    rbc__cached_stream *cached = &episode->streams[stream_at];
    RBC__TRY(
        hold(cache, episode, episode->num_steps + 1, sizeof(int64_t), &cached->row_begins, err));
    int64_t num_points = 0;
    cached->row_begins[0] = 0;
    RBC__TRY(
        cache->ops->count(episode->parsed, used->stream, &num_points, cached->row_begins + 1, err));
    for (int64_t i = 0; i < episode->num_steps; ++i) {
        const int64_t length = cached->row_begins[i + 1];
        if (length < 0 || length > num_points - cached->row_begins[i]) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: stream '%s': step %lld has %lld rows of the episode's %lld",
                             rbc__cached_episode_path(episode), used->schema->name, (long long)i,
                             (long long)length, (long long)num_points);
        }
        cached->row_begins[i + 1] = cached->row_begins[i] + length;
    }
    cached->num_samples = episode->num_steps;
    return RBC_OK;
}

static rbc_status prepare(rbc__episode_cache *cache, rbc__cached_episode *episode,
                          int32_t stream_at, rbc_error *err) {
    const rbc__used_stream *used = &cache->spec->used[stream_at];
    rbc__cached_stream *cached = &episode->streams[stream_at];
    if (used->is_cloud) {
        RBC__TRY(read_rows(cache, episode, stream_at, err));
        cached->is_counted = true;
        return RBC_OK;
    }
    RBC__TRY(cache->ops->count(episode->parsed, used->stream, &cached->num_samples, NULL, err));
    if (used->times >= 0) {
        RBC__TRY(read_times(cache, episode, stream_at, err));
    }
    int64_t bytes = 0;
    if (used->schema->kind == RBC_STREAM_NUMERIC &&
        rbc__mul_size(cached->num_samples, used->sample_bytes, &bytes) &&
        bytes <= KEEP_VALUES_BYTES && bytes > 0) {
        uint8_t *values = NULL;
        RBC__TRY(hold(cache, episode, 1, bytes, &values, err));
        const rbc_status status = cache->ops->read(
            episode->parsed, used->stream, 0, cached->num_samples, values, &cache->working, err);
        if (status != RBC_OK) {
            free(values);
            return status;
        }
        cached->values = values;
        cache->stats.bytes_read += bytes;
    }
    cached->is_counted = true;
    return RBC_OK;
}

rbc_status rbc__episode_cache_prepare(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                      int32_t stream_at, rbc_error *err) {
    if (episode->streams[stream_at].is_counted) {
        return RBC_OK;
    }
    const int64_t begin = rbc__now_ns();
    const int64_t bytes_before = episode->bytes;
    const rbc_status status = prepare(cache, episode, stream_at, err);
    cache->stats.read_ns += rbc__now_ns() - begin;
    if (status != RBC_OK) {
        rbc__cached_stream *cached = &episode->streams[stream_at];
        free(cached->times);
        free(cached->row_begins);
        *cached = (rbc__cached_stream){0};
        cache->bytes -= episode->bytes - bytes_before;
        episode->bytes = bytes_before;
    }
    return status;
}

rbc_status rbc__episode_cache_read(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                   int32_t stream_at, int64_t first, int64_t count, void *dst,
                                   rbc_error *err) {
    const rbc__used_stream *used = &cache->spec->used[stream_at];
    const uint8_t *values = episode->streams[stream_at].values;
    if (values != NULL) {
        memcpy(dst, values + first * used->sample_bytes, (size_t)(count * used->sample_bytes));
        return RBC_OK;
    }
    const int64_t begin = rbc__now_ns();
    const rbc_status status =
        cache->ops->read(episode->parsed, used->stream, first, count, dst, &cache->working, err);
    cache->stats.read_ns += rbc__now_ns() - begin;
    cache->stats.bytes_read += count * used->sample_bytes;
    return status;
}

rbc_status rbc__episode_cache_values(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                     int32_t stream_at, int64_t first, int64_t count,
                                     const uint8_t **out, rbc_error *err) {
    const rbc__used_stream *used = &cache->spec->used[stream_at];
    const uint8_t *values = episode->streams[stream_at].values;
    if (values != NULL) {
        *out = values + first * used->sample_bytes;
        return RBC_OK;
    }
    int64_t bytes = 0;
    if (!rbc__mul_size(count, used->sample_bytes, &bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: stream '%s': %lld samples are too many",
                         rbc__cached_episode_path(episode), used->schema->name, (long long)count);
    }
    RBC__TRY(rbc__scratch_reserve(&cache->values, bytes > 0 ? (size_t)bytes : 1, err));
    *out = cache->values.data;
    return rbc__episode_cache_read(cache, episode, stream_at, first, count, cache->values.data,
                                   err);
}

rbc_status rbc__episode_cache_locate(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                     int32_t stream_at, int64_t sample, rbc__span *out,
                                     rbc_error *err) {
    return cache->ops->locate(episode->parsed, cache->spec->used[stream_at].stream, sample,
                              &out->offset, &out->bytes, err);
}

rbc_status rbc__episode_cache_view(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                   const rbc__span *span, const uint8_t **out, rbc_error *err) {
    *out = NULL;
    if (span->bytes == 0) {
        return RBC_OK;
    }
    const int64_t begin = rbc__now_ns();
    const rbc_status status =
        rbc__source_view(episode->source, span->offset, span->bytes, &cache->encoded, out, err);
    cache->stats.read_ns += rbc__now_ns() - begin;
    cache->stats.bytes_read += (int64_t)span->bytes;
    return status;
}

int64_t rbc__episode_cache_id(const rbc__episode_cache *cache, int64_t position) {
    return cache->ids[position];
}

const char *rbc__cached_episode_path(const rbc__cached_episode *episode) {
    return rbc__source_path(episode->source);
}

rbc__episode_cache_stats rbc__episode_cache_take_stats(rbc__episode_cache *cache) {
    const rbc__episode_cache_stats stats = cache->stats;
    cache->stats = (rbc__episode_cache_stats){0};
    return stats;
}
