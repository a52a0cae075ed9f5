#define _POSIX_C_SOURCE 200809L

#include "loader/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/error.h"

/* Episodes in which an image is looked for whose stream declares no shape. */
#define PROBED_EPISODES 16

rbc_status rbc__fetch_create(const rbc__batch_spec *spec, const rbc__clock *clock,
                             const rbc_selection *selection, int64_t max_episodes,
                             int64_t max_bytes, rbc__fetch **out, rbc_error *err) {
    *out = NULL;
    rbc__fetch *fetch = calloc(1, sizeof *fetch);
    const size_t width = (size_t)spec->max_width;
    if (fetch != NULL) {
        fetch->spec = spec;
        fetch->clock = clock;
        fetch->targets = malloc(2 * width * sizeof *fetch->targets);
        fetch->picks = malloc(width * sizeof *fetch->picks);
        fetch->has_image = malloc(width);
        fetch->spans = malloc(width * sizeof *fetch->spans);
    }
    if (fetch == NULL || fetch->targets == NULL || fetch->picks == NULL ||
        fetch->has_image == NULL || fetch->spans == NULL) {
        rbc__fetch_destroy(&fetch);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    rbc_context_params alone = RBC_CONTEXT_PARAMS_INIT;
    alone.num_threads = 1;
    rbc_status status = rbc__backend_for((DLDevice){kDLCPU, 0}, &fetch->backend, err);
    if (status == RBC_OK) {
        status = rbc_context_create(&alone, &fetch->context, err);
    }
    if (status == RBC_OK) {
        status =
            rbc__episode_cache_create(spec, selection, max_episodes, max_bytes, &fetch->cache, err);
    }
    if (status == RBC_OK && spec->images_per_sample > 0) {
        status = rbc__decoder_create(spec->jpeg_dct, &fetch->decoder, err);
    }
    if (status != RBC_OK) {
        rbc__fetch_destroy(&fetch);
        return status;
    }
    *out = fetch;
    return RBC_OK;
}

void rbc__fetch_destroy(rbc__fetch **handle) {
    rbc__fetch *fetch = *handle;
    *handle = NULL;
    if (fetch == NULL) {
        return;
    }
    rbc__episode_cache_destroy(&fetch->cache);
    rbc__decoder_destroy(&fetch->decoder);
    rbc_context_destroy(&fetch->context);
    rbc__scratch_free(&fetch->times);
    rbc__scratch_free(&fetch->indices);
    rbc__scratch_free(&fetch->intervals);
    rbc__scratch_free(&fetch->judged);
    free(fetch->spans);
    free(fetch->has_image);
    free(fetch->picks);
    free(fetch->targets);
    free(fetch);
}

static rbc_status fill_window(rbc__fetch *fetch, const rbc__row *row,
                              const rbc__window_spec *window, rbc_error *err) {
    const rbc__batch_spec *spec = fetch->spec;
    rbc__cached_episode *episode = row->episode;
    uint8_t *is_pad = rbc__batch_row(row->batch, &spec->fields[window->pad_field], row->index);
    uint8_t *valid = rbc__batch_row(row->batch, &spec->fields[window->valid_field], row->index);
    RBC__TRY(rbc__episode_cache_prepare(fetch->cache, episode, window->stream_at, err));
    if (window->is_exact) {
        rbc__window_picks(window, episode->streams[window->stream_at].num_samples,
                          rbc__clock_num_ticks(fetch->clock, episode->position), row->tick,
                          fetch->picks, is_pad, valid);
        return rbc__deliver_picks(fetch, row, window, valid, err);
    }
    rbc__window_targets(window, fetch->clock, episode->position, row->tick, fetch->targets, is_pad);
    const rbc__used_stream *used = &spec->used[window->stream_at];
    if (used->schema->kind == RBC_STREAM_NUMERIC && !used->is_cloud) {
        return rbc__align_numeric(fetch, row, window, is_pad, valid, err);
    }
    RBC__TRY(rbc__align_picks(fetch, row, window, is_pad, valid, err));
    return rbc__deliver_picks(fetch, row, window, valid, err);
}

static void put_i64(const rbc__row *row, const rbc__field_spec *field, int64_t value) {
    memcpy(rbc__batch_row(row->batch, field, row->index), &value, sizeof value);
}

rbc_status rbc__fetch_row(rbc__fetch *fetch, int64_t sample, rbc_batch *batch, int32_t arena,
                          int64_t row_index, rbc_error *err) {
    const rbc__batch_spec *spec = fetch->spec;
    int64_t episode = 0;
    rbc__row row = {.batch = batch, .arena = arena, .index = row_index};
    rbc__clock_find(fetch->clock, sample, &episode, &row.tick);
    row.tick_ns = rbc__time_add_ns(rbc__clock_origin_ns(fetch->clock, episode),
                                   rbc__rate_time_ns(&fetch->clock->rate, row.tick));
    rbc_status status = rbc__episode_cache_get(fetch->cache, episode, &row.episode, err);
    for (int32_t i = 0; i < spec->num_windows && status == RBC_OK; ++i) {
        status = fill_window(fetch, &row, &spec->windows[i], err);
    }
    if (status == RBC_OK) {
        put_i64(&row, &spec->fields[spec->index_field], episode);
        put_i64(&row, &spec->fields[spec->id_field], row.episode->id);
        put_i64(&row, &spec->fields[spec->step_field], row.tick);
        put_i64(&row, &spec->fields[spec->time_field], row.tick_ns);
        status = rbc__batch_put_text(batch, arena, spec->fields[spec->task_field].text_index,
                                     row_index, row.episode->task, row.episode->task_bytes, err);
    }
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "episode %lld, step %lld",
                                (long long)rbc__episode_cache_id(fetch->cache, episode),
                                (long long)row.tick);
    }
    return RBC_OK;
}

/* Clears `valid` where the image taken is empty. */
static rbc_status check_images(rbc__fetch *fetch, rbc__cached_episode *episode,
                               const rbc__window_spec *window, uint8_t *valid, rbc_error *err) {
    for (int64_t i = 0; i < window->width; ++i) {
        rbc__span span = {0};
        if (valid[i]) {
            RBC__TRY(rbc__episode_cache_locate(fetch->cache, episode, window->stream_at,
                                               fetch->picks[i], &span, err));
            valid[i] = span.bytes > 0;
        }
    }
    return RBC_OK;
}

static rbc_status judge_window(rbc__fetch *fetch, const rbc__row *row,
                               const rbc__window_spec *window, uint8_t *is_pad, uint8_t *valid,
                               rbc_error *err) {
    rbc__cached_episode *episode = row->episode;
    const rbc__used_stream *used = &fetch->spec->used[window->stream_at];
    RBC__TRY(rbc__episode_cache_prepare(fetch->cache, episode, window->stream_at, err));
    if (window->is_exact) {
        rbc__window_picks(window, episode->streams[window->stream_at].num_samples,
                          rbc__clock_num_ticks(fetch->clock, episode->position), row->tick,
                          fetch->picks, is_pad, valid);
    } else {
        rbc__window_targets(window, fetch->clock, episode->position, row->tick, fetch->targets,
                            is_pad);
        if (used->schema->kind == RBC_STREAM_NUMERIC && !used->is_cloud) {
            return rbc__align_valid(fetch, row, window, valid, err);
        }
        RBC__TRY(rbc__align_picks(fetch, row, window, is_pad, valid, err));
    }
    return used->schema->kind == RBC_STREAM_IMAGE ? check_images(fetch, episode, window, valid, err)
                                                  : RBC_OK;
}

rbc_status rbc__fetch_valid(rbc__fetch *fetch, int64_t episode, int64_t tick, uint8_t *valid,
                            rbc_error *err) {
    const rbc__batch_spec *spec = fetch->spec;
    const size_t width = (size_t)spec->max_width;
    rbc__row row = {.tick = tick};
    RBC__TRY(rbc__episode_cache_get(fetch->cache, episode, &row.episode, err));
    RBC__TRY(rbc__scratch_reserve(&fetch->judged, 2 * width, err));
    uint8_t *is_pad = fetch->judged.data;
    uint8_t *window_valid = is_pad + width;
    memset(valid, 1, width);
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        const rbc_status status =
            judge_window(fetch, &row, &spec->windows[i], is_pad, window_valid, err);
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "episode %lld",
                                    (long long)rbc__episode_cache_id(fetch->cache, episode));
        }
        for (size_t k = 0; k < width; ++k) {
            valid[k] = valid[k] && window_valid[k];
        }
    }
    return RBC_OK;
}

static rbc_status probe_episode(rbc__fetch *fetch, rbc__cached_episode *episode, int32_t stream_at,
                                rbc__image_shape *out, bool *is_found, rbc_error *err) {
    RBC__TRY(rbc__episode_cache_prepare(fetch->cache, episode, stream_at, err));
    for (int64_t i = 0; i < episode->streams[stream_at].num_samples; ++i) {
        const uint8_t *bytes = NULL;
        rbc__span span;
        RBC__TRY(rbc__episode_cache_locate(fetch->cache, episode, stream_at, i, &span, err));
        RBC__TRY(rbc__episode_cache_view(fetch->cache, episode, &span, &bytes, err));
        if (span.bytes > 0) {
            *is_found = true;
            const rbc_status status =
                rbc__image_probe(fetch->decoder, bytes, span.bytes,
                                 fetch->spec->used[stream_at].schema->name, out, err);
            return status == RBC_OK
                       ? RBC_OK
                       : rbc__fail_within(err, status, "%s: byte %llu: sample %lld",
                                          rbc__cached_episode_path(episode),
                                          (unsigned long long)span.offset, (long long)i);
        }
    }
    return RBC_OK;
}

rbc_status rbc__fetch_image_shape(rbc__fetch *fetch, int32_t stream_at, rbc__image_shape *out,
                                  rbc_error *err) {
    bool is_found = false;
    for (int64_t i = 0; i < fetch->clock->from.num_episodes && i < PROBED_EPISODES && !is_found;
         ++i) {
        rbc__cached_episode *episode = NULL;
        RBC__TRY(rbc__episode_cache_get(fetch->cache, i, &episode, err));
        RBC__TRY(probe_episode(fetch, episode, stream_at, out, &is_found, err));
    }
    if (!is_found) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "stream '%s' declares no image shape, and the first %d episodes of the "
                         "selection hold no image of it that would tell",
                         fetch->spec->used[stream_at].schema->name, PROBED_EPISODES);
    }
    return RBC_OK;
}

rbc__fetch_stats rbc__fetch_take_stats(rbc__fetch *fetch) {
    const rbc__episode_cache_stats cached = rbc__episode_cache_take_stats(fetch->cache);
    rbc__fetch_stats stats = fetch->stats;
    stats.bytes_read += cached.bytes_read;
    stats.fetch_ns += cached.read_ns;
    fetch->stats = (rbc__fetch_stats){0};
    return stats;
}
