/* The episodes that one worker has at hand: catalog row, parsed episode, stamps and small numeric
 * streams, least recently used out first, bounded in number and bytes.
 *
 * Used by one thread at a time, without locks. */
#ifndef RBC_LOADER_EPISODE_CACHE_H
#define RBC_LOADER_EPISODE_CACHE_H

#include <robocache/robocache.h>

#include "catalog/catalog.h"
#include "catalog/dataset.h"
#include "formats/format.h"
#include "loader/batch_spec.h"

/* What is at hand of one stream of the spec. */
typedef struct rbc__cached_stream {
    bool is_counted;
    int64_t num_samples; /* steps, in a cloud */
    int64_t *times;      /* [num_samples], of a stream with stamps; non-decreasing */
    int64_t *row_begins; /* [num_steps + 1], of a cloud: first point of each step */
    uint8_t *values;     /* all of a numeric stream, or NULL: read what is needed */
} rbc__cached_stream;

typedef struct rbc__cached_episode rbc__cached_episode;
struct rbc__cached_episode {
    int64_t position; /* in the selection */
    int64_t id;
    int64_t file;
    int64_t num_steps;
    char *task;
    uint64_t task_bytes;
    rbc__source *source;
    rbc__parsed_episode *parsed;
    int64_t bytes;                      /* held in memory */
    rbc__cached_episode *newer, *older; /* by last use */
    rbc__cached_episode *chain;         /* in the same bucket */
    rbc__cached_stream streams[];       /* [spec->num_used] */
};

typedef struct rbc__episode_cache rbc__episode_cache;

/* `max_episodes` at least 1. Borrows the spec and the selection. */
rbc_status rbc__episode_cache_create(const rbc__batch_spec *spec, const rbc_selection *selection,
                                     int64_t max_episodes, int64_t max_bytes,
                                     rbc__episode_cache **out, rbc_error *err);
void rbc__episode_cache_destroy(rbc__episode_cache **handle);

/* The episode at `position` of the selection, from memory or opened. Borrowed until the next
 * call. Errors of the catalog, the file and the reader. */
rbc_status rbc__episode_cache_get(rbc__episode_cache *cache, int64_t position,
                                  rbc__cached_episode **out, rbc_error *err);

/* Fills in counts, stamps and row starts of stream `stream_at` of the spec, and its values where
 * the stream is small. FORMAT when its stamps decrease or are not as many as its samples. */
rbc_status rbc__episode_cache_prepare(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                      int32_t stream_at, rbc_error *err);

/* Points `out` at samples [first, first + count) of a numeric stream, where they are held or after
 * a read into scratch; valid until the next call. */
rbc_status rbc__episode_cache_values(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                     int32_t stream_at, int64_t first, int64_t count,
                                     const uint8_t **out, rbc_error *err);
/* Copies them to `dst`. */
rbc_status rbc__episode_cache_read(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                   int32_t stream_at, int64_t first, int64_t count, void *dst,
                                   rbc_error *err);

/* Where a run of bytes lies in an episode's file. */
typedef struct rbc__span {
    uint64_t offset;
    uint64_t bytes; /* 0: there is none */
} rbc__span;

/* The bytes of an image or text sample. */
rbc_status rbc__episode_cache_locate(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                     int32_t stream_at, int64_t sample, rbc__span *out,
                                     rbc_error *err);
/* Points `out` at the bytes of `span`, NULL where there are none; valid until the next call. */
rbc_status rbc__episode_cache_view(rbc__episode_cache *cache, rbc__cached_episode *episode,
                                   const rbc__span *span, const uint8_t **out, rbc_error *err);

/* Id of the episode at `position` of the selection. */
int64_t rbc__episode_cache_id(const rbc__episode_cache *cache, int64_t position);

/* Path of the episode's file, for messages. */
const char *rbc__cached_episode_path(const rbc__cached_episode *episode);

typedef struct rbc__episode_cache_stats {
    int64_t bytes_read; /* of samples, as they lie in the files or in memory */
    int64_t read_ns;
} rbc__episode_cache_stats;

/* Counted since the last call. */
rbc__episode_cache_stats rbc__episode_cache_take_stats(rbc__episode_cache *cache);

#endif
