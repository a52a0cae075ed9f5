#define _POSIX_C_SOURCE 200809L

#include "loader/episodes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* A whole stream of at most this many bytes costs about as much to read as a window of it. */
#define KEEP_VALUES_BYTES (INT64_C(32) << 10)

struct rbc__episodes {
    const rbc__batch_spec *spec;
    rbc_dataset *dataset;
    const int64_t *ids;
    int64_t max_episodes, max_bytes;
    pthread_mutex_t lock; /* of all below */
    int64_t num_episodes, bytes;
    rbc__loaded_episode *newest, *oldest;
    rbc__loaded_episode **buckets; /* [mask + 1] */
    uint64_t mask;
};

rbc_status rbc__episodes_create(const rbc__batch_spec *spec, const rbc_selection *selection,
                                int64_t max_episodes, int64_t max_bytes, rbc__episodes **out,
                                rbc_error *err) {
    *out = NULL;
    rbc__episodes *episodes = calloc(1, sizeof *episodes);
    uint64_t buckets = 1;
    while (buckets < 2 * (uint64_t)max_episodes) {
        buckets *= 2;
    }
    if (episodes != NULL) {
        episodes->buckets = calloc(buckets, sizeof(rbc__loaded_episode *));
    }
    if (episodes == NULL || episodes->buckets == NULL ||
        pthread_mutex_init(&episodes->lock, NULL) != 0) {
        if (episodes != NULL) {
            free(episodes->buckets);
        }
        free(episodes);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a cache of %lld episodes",
                         (long long)max_episodes);
    }
    episodes->spec = spec;
    episodes->dataset = rbc_selection_dataset(selection);
    episodes->ids = rbc__selection_ids(selection);
    episodes->max_episodes = max_episodes;
    episodes->max_bytes = max_bytes;
    episodes->mask = buckets - 1;
    *out = episodes;
    return RBC_OK;
}

static void free_episode(const rbc__episodes *episodes, rbc__loaded_episode *episode) {
    for (int32_t i = 0; i < episodes->spec->num_used; ++i) {
        free(episode->streams[i].times);
        free(episode->streams[i].row_begins);
        free(episode->streams[i].values);
        free(episode->streams[i].problem);
    }
    free(episode->layout);
    free(episode->task);
    free(episode);
}

/* ---- with the lock held -------------------------------------------------------------------------
 */

static rbc__loaded_episode **bucket_of(rbc__episodes *episodes, int64_t position) {
    return &episodes->buckets[(uint64_t)position & episodes->mask];
}

static void unlink_use(rbc__episodes *episodes, rbc__loaded_episode *episode) {
    *(episode->newer != NULL ? &episode->newer->older : &episodes->newest) = episode->older;
    *(episode->older != NULL ? &episode->older->newer : &episodes->oldest) = episode->newer;
}

static void link_newest(rbc__episodes *episodes, rbc__loaded_episode *episode) {
    episode->newer = NULL;
    episode->older = episodes->newest;
    *(episodes->newest != NULL ? &episodes->newest->newer : &episodes->oldest) = episode;
    episodes->newest = episode;
}

static rbc__loaded_episode *find(rbc__episodes *episodes, int64_t position) {
    rbc__loaded_episode *episode = *bucket_of(episodes, position);
    while (episode != NULL && episode->position != position) {
        episode = episode->chain;
    }
    return episode;
}

static void drop_oldest(rbc__episodes *episodes) {
    rbc__loaded_episode *episode = episodes->oldest;
    rbc__loaded_episode **at = bucket_of(episodes, episode->position);
    while (*at != episode) {
        at = &(*at)->chain;
    }
    *at = episode->chain;
    episodes->oldest = episode->newer; /* there is none older */
    *(episode->newer != NULL ? &episode->newer->older : &episodes->newest) = NULL;
    --episodes->num_episodes;
    episodes->bytes -= episode->bytes;
    free_episode(episodes, episode);
}

static void keep_bounds(rbc__episodes *episodes) {
    while (episodes->oldest != NULL && (episodes->num_episodes > episodes->max_episodes ||
                                        episodes->bytes > episodes->max_bytes)) {
        drop_oldest(episodes);
    }
}

/* ---- */

void rbc__episodes_destroy(rbc__episodes **handle) {
    rbc__episodes *episodes = *handle;
    *handle = NULL;
    if (episodes == NULL) {
        return;
    }
    while (episodes->oldest != NULL) {
        drop_oldest(episodes);
    }
    pthread_mutex_destroy(&episodes->lock);
    free(episodes->buckets);
    free(episodes);
}

void rbc__episodes_find(rbc__episodes *episodes, const int64_t *positions, int64_t count,
                        rbc__loaded_episode **out) {
    pthread_mutex_lock(&episodes->lock);
    for (int64_t i = 0; i < count; ++i) {
        out[i] = find(episodes, positions[i]);
        if (out[i] != NULL && out[i]->num_users++ == 0) {
            unlink_use(episodes, out[i]);
        }
    }
    pthread_mutex_unlock(&episodes->lock);
}

void rbc__episodes_give(rbc__episodes *episodes, rbc__loaded_episode *const *used, int64_t count) {
    pthread_mutex_lock(&episodes->lock);
    for (int64_t i = 0; i < count; ++i) {
        rbc__loaded_episode *episode = used[i];
        if (episode == NULL || --episode->num_users > 0) {
            continue;
        }
        if (episode->is_listed) {
            link_newest(episodes, episode);
        } else {
            free_episode(episodes, episode);
        }
    }
    keep_bounds(episodes);
    pthread_mutex_unlock(&episodes->lock);
}

int64_t rbc__episodes_id(const rbc__episodes *episodes, int64_t position) {
    return episodes->ids[position];
}

void rbc__episodes_count(rbc__episodes *episodes, int64_t *num_episodes, int64_t *bytes) {
    pthread_mutex_lock(&episodes->lock);
    *num_episodes = episodes->num_episodes;
    *bytes = episodes->bytes;
    pthread_mutex_unlock(&episodes->lock);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static rbc_status read_row(rbc__episodes *episodes, rbc__cursor *cursor,
                           rbc__loaded_episode *episode, rbc_error *err) {
    rbc__episode_row row;
    const char *task = "";
    RBC__TRY(rbc__cursor_episode(cursor, episode->id, &row, err));
    episode->num_steps = row.entry.num_steps;
    RBC__TRY(rbc__dataset_parse_layout(episodes->dataset, &row, &episode->layout, err));
    episode->parsed = (rbc__parsed_episode){episode->layout, row.part, row.entry.record};
    RBC__TRY(rbc__cursor_task(cursor, row.task, &task, err));
    episode->task_bytes = strlen(task);
    episode->task = malloc(episode->task_bytes + 1);
    if (episode->task == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a task of %llu bytes",
                         (unsigned long long)episode->task_bytes);
    }
    memcpy(episode->task, task, episode->task_bytes + 1);
    episode->bytes += (int64_t)episode->task_bytes + (int64_t)episode->layout->bytes;
    return RBC_OK;
}

static rbc_status open_episode(rbc__episodes *episodes, rbc__cursor *cursor, int64_t position,
                               rbc__loaded_episode **out, rbc_error *err) {
    const size_t bytes =
        sizeof **out + (size_t)episodes->spec->num_used * sizeof(rbc__loaded_stream);
    rbc__loaded_episode *episode = calloc(1, bytes);
    if (episode == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for an episode");
    }
    episode->position = position;
    episode->id = episodes->ids[position];
    episode->bytes = (int64_t)bytes;
    episode->num_users = 1;
    const rbc_status status = read_row(episodes, cursor, episode, err);
    if (status != RBC_OK) {
        free_episode(episodes, episode);
        return status;
    }
    *out = episode;
    return RBC_OK;
}

static rbc_error *copy_of(const rbc_error *problem) {
    rbc_error *copy = malloc(sizeof *copy);
    if (copy != NULL) {
        *copy = *problem;
    }
    return copy;
}

static void fail_stream(rbc__loaded_stream *loaded, const rbc_error *problem) {
    loaded->has_failed = true;
    loaded->problem = copy_of(problem);
}

rbc_status rbc__loaded_check(const rbc__loaded_stream *loaded, rbc_error *err) {
    if (loaded->has_failed && loaded->problem == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for what went wrong");
    }
    return loaded->has_failed ? rbc__pass_on(loaded->problem, err) : RBC_OK;
}

void rbc__episodes_open(rbc__episodes *episodes, const int64_t *positions, int64_t count,
                        rbc__loaded_episode **out, rbc_error **problems) {
    rbc_error problem;
    rbc__cursor *cursor = NULL;
    const rbc_status taken = rbc__cursor_take(episodes->dataset, &cursor, &problem);
    for (int64_t i = 0; i < count; ++i) {
        out[i] = NULL;
        problems[i] = NULL;
        if (taken != RBC_OK ||
            open_episode(episodes, cursor, positions[i], &out[i], &problem) != RBC_OK) {
            problems[i] = copy_of(&problem);
        }
    }
    rbc__cursor_give(&cursor);
}

/* ---- what has to be at hand ---------------------------------------------------------------------
 */

/* Memory that belongs to an episode and counts as its. */
static void *hold(rbc__loaded_episode *episode, int64_t count, int64_t element_bytes,
                  rbc_error *err) {
    int64_t bytes = 0;
    void *data = NULL;
    if (rbc__mul_size(count, element_bytes, &bytes)) {
        data = malloc(bytes > 0 ? (size_t)bytes : 1);
    }
    if (data == NULL) {
        rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %lld samples of %lld bytes",
                  (long long)count, (long long)element_bytes);
        return NULL;
    }
    episode->bytes += bytes;
    return data;
}

static const char *path_of(const rbc__episodes *episodes, const rbc__loaded_episode *episode,
                           char *buffer, size_t bytes) {
    rbc__store *store = rbc__dataset_requests(episodes->dataset).store;
    return store->ops->name(store, rbc__blob_id(episode->parsed.part, 0), buffer, bytes);
}

static rbc_status want_times(rbc__episodes *episodes, rbc__loaded_episode *episode,
                             const rbc__used_stream *used, rbc__loaded_stream *loaded,
                             rbc__request *request, rbc_error *err) {
    const int64_t num_times =
        (int64_t)rbc__layout_num_samples(episode->layout, (uint32_t)used->times);
    if (num_times != loaded->num_samples) {
        char path[1024];
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: stream '%s' has %lld samples and %lld stamps",
                         path_of(episodes, episode, path, sizeof path), used->schema->name,
                         (long long)loaded->num_samples, (long long)num_times);
    }
    loaded->times = hold(episode, num_times, sizeof *loaded->times, err);
    if (loaded->times == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    return num_times > 0 ? rbc__request_values(request, &episode->parsed, used->times, 0, num_times,
                                               loaded->times, err)
                         : RBC_OK;
}

static rbc_status want_stream(rbc__episodes *episodes, rbc__loaded_episode *episode, int32_t at,
                              rbc__request *request, rbc_error *err) {
    const rbc__used_stream *used = &episodes->spec->used[at];
    rbc__loaded_stream *loaded = &episode->streams[at];
    if (used->is_cloud) {
        loaded->num_samples = episode->num_steps;
        loaded->row_begins = hold(episode, episode->num_steps + 1, sizeof(int64_t), err);
        return loaded->row_begins != NULL
                   ? rbc__request_row_lengths(request, &episode->parsed, used->stream,
                                              loaded->row_begins + 1, err)
                   : RBC_ERROR_OUT_OF_MEMORY;
    }
    loaded->num_samples = (int64_t)rbc__layout_num_samples(episode->layout, (uint32_t)used->stream);
    if (used->times >= 0) {
        RBC__TRY(want_times(episodes, episode, used, loaded, request, err));
    }
    int64_t bytes = 0;
    if (used->schema->kind == RBC_STREAM_NUMERIC &&
        rbc__mul_size(loaded->num_samples, used->sample_bytes, &bytes) &&
        bytes <= KEEP_VALUES_BYTES && bytes > 0) {
        loaded->values = hold(episode, 1, bytes, err);
        return loaded->values != NULL
                   ? rbc__request_values(request, &episode->parsed, used->stream, 0,
                                         loaded->num_samples, loaded->values, err)
                   : RBC_ERROR_OUT_OF_MEMORY;
    }
    return RBC_OK;
}

void rbc__episodes_want(rbc__episodes *episodes, rbc__loaded_episode *const *opened, int64_t count,
                        rbc__request *request) {
    rbc_error problem;
    for (int64_t i = 0; i < count; ++i) {
        for (int32_t k = 0; opened[i] != NULL && k < episodes->spec->num_used; ++k) {
            rbc__request_for(request, (int32_t)(i * episodes->spec->num_used + k), 0);
            if (want_stream(episodes, opened[i], k, request, &problem) != RBC_OK) {
                fail_stream(&opened[i]->streams[k], &problem);
            }
        }
    }
}

static rbc_status check_times(const rbc__episodes *episodes, const rbc__loaded_episode *episode,
                              const rbc__used_stream *used, const rbc__loaded_stream *loaded,
                              rbc_error *err) {
    const int64_t *times = loaded->times;
    for (int64_t i = 1; i < loaded->num_samples; ++i) {
        if (times[i] < times[i - 1]) {
            char path[1024];
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: stream '%s': stamp %lld is %lld ns, less than %lld before it",
                             path_of(episodes, episode, path, sizeof path), used->schema->name,
                             (long long)i, (long long)times[i], (long long)times[i - 1]);
        }
    }
    return RBC_OK;
}

static rbc_status add_up_rows(const rbc__episodes *episodes, const rbc__loaded_episode *episode,
                              const rbc__used_stream *used, rbc__loaded_stream *loaded,
                              rbc_error *err) {
    const int64_t num_points =
        (int64_t)rbc__layout_num_samples(episode->layout, (uint32_t)used->stream);
    int64_t *begins = loaded->row_begins;
    begins[0] = 0;
    for (int64_t i = 0; i < episode->num_steps; ++i) {
        const int64_t length = begins[i + 1];
        if (length < 0 || length > num_points - begins[i]) {
            char path[1024];
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: stream '%s': step %lld has %lld rows of the episode's %lld",
                             path_of(episodes, episode, path, sizeof path), used->schema->name,
                             (long long)i, (long long)length, (long long)num_points);
        }
        begins[i + 1] = begins[i] + length;
    }
    return RBC_OK;
}

static rbc_status settle_stream(const rbc__episodes *episodes, rbc__loaded_episode *episode,
                                int32_t at, const rbc_error *failure, rbc_error *err) {
    const rbc__used_stream *used = &episodes->spec->used[at];
    rbc__loaded_stream *loaded = &episode->streams[at];
    if (failure != NULL) {
        return rbc__pass_on(failure, err);
    }
    if (loaded->times != NULL) {
        RBC__TRY(check_times(episodes, episode, used, loaded, err));
        for (int64_t i = 0; used->clock_offset_ns != 0 && i < loaded->num_samples; ++i) {
            loaded->times[i] = rbc__time_add_ns(loaded->times[i], used->clock_offset_ns);
        }
    }
    return loaded->row_begins != NULL ? add_up_rows(episodes, episode, used, loaded, err) : RBC_OK;
}

void rbc__episodes_settle(rbc__episodes *episodes, rbc__loaded_episode *const *opened,
                          int64_t count, const rbc__request *request) {
    rbc_error problem;
    const int32_t num_used = episodes->spec->num_used;
    const bool any_failed = rbc__request_num_failures(request) > 0;
    for (int64_t i = 0; i < count; ++i) {
        rbc__loaded_episode *episode = opened[i];
        if (episode == NULL) {
            continue;
        }
        bool is_whole = true;
        for (int32_t k = 0; k < num_used; ++k) {
            rbc__loaded_stream *loaded = &episode->streams[k];
            int32_t rank;
            const rbc_error *failure =
                any_failed ? rbc__request_failure(request, (int32_t)(i * num_used + k), &rank)
                           : NULL;
            if (!loaded->has_failed &&
                settle_stream(episodes, episode, k, failure, &problem) != RBC_OK) {
                fail_stream(loaded, &problem);
            }
            is_whole = is_whole && !loaded->has_failed;
        }
        pthread_mutex_lock(&episodes->lock);
        if (is_whole && find(episodes, episode->position) == NULL) {
            rbc__loaded_episode **bucket = bucket_of(episodes, episode->position);
            episode->chain = *bucket;
            *bucket = episode;
            episode->is_listed = true;
            ++episodes->num_episodes;
            episodes->bytes += episode->bytes;
            keep_bounds(episodes);
        }
        pthread_mutex_unlock(&episodes->lock);
    }
}
