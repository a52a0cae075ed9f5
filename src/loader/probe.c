/* Rows outside of batches: what a loader looks at while it is made. */
#include <string.h>

#include "core/error.h"
#include "loader/rows.h"

/* Episodes in which an image is looked for whose stream declares no shape. */
#define PROBED_EPISODES 16

static rbc_status no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a row");
}

/* One row for an episode: it is at hand, or the failure told. */
static rbc_status open_one(rbc__rows *rows, rbc__maker *maker, int64_t episode, int64_t tick,
                           rbc_error *err) {
    rbc__rows_end(rows);
    rows->chooser = maker;
    rows->num_rows = 1;
    rows->rows[0] = (rbc__row){.episode_at = episode, .tick = tick, .failed_rank = RBC__RANK_NONE};
    rbc__rows_find_episodes(rows, NULL);
    rbc__request_begin(rows->request);
    const rbc__row *row = &rows->rows[0];
    if (row->episode != NULL) {
        return RBC_OK;
    }
    return row->problem != NULL ? rbc__pass_on(row->problem, err) : no_memory(err);
}

rbc_status rbc__rows_open(rbc__rows *rows, rbc__maker *maker, int64_t episode, rbc_error *err) {
    return open_one(rows, maker, episode, 0, err);
}

/* Clears `valid` where the image taken is empty. */
static rbc_status check_images(rbc__rows *rows, const rbc__window_spec *window,
                               const rbc__cell *cell, uint8_t *valid, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    for (int64_t i = 0; i < window->width; ++i) {
        uint32_t want;
        rbc__sample sample;
        if (valid[i]) {
            RBC__TRY(rbc__request_sample(rows->request, &rows->rows[0].episode->parsed,
                                         used->stream, cell->picks[i], &want, err));
            rbc__request_get(rows->request, want, &sample);
            valid[i] = sample.num_bytes > 0;
        }
    }
    rbc__request_begin(rows->request);
    return RBC_OK;
}

static rbc_status judge_window(rbc__rows *rows, const rbc__window_spec *window, uint8_t *is_pad,
                               uint8_t *valid, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    rbc__cell cell;
    RBC__TRY(rbc__choose(rows, &rows->rows[0], window, &cell, is_pad, valid, err));
    if (cell.picks == NULL) {
        return rbc__choose_valid(rows, &rows->rows[0], window, &cell, valid, err);
    }
    return used->schema->kind == RBC_STREAM_IMAGE && !rbc__stream_has_numbers(used->schema)
               ? check_images(rows, window, &cell, valid, err)
               : RBC_OK;
}

rbc_status rbc__rows_valid(rbc__rows *rows, rbc__maker *maker, int64_t episode, int64_t tick,
                           uint8_t *valid, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const size_t width = (size_t)spec->max_width;
    RBC__TRY(open_one(rows, maker, episode, tick, err));
    uint8_t *is_pad = rbc__arena_take(&rows->arena, 2 * width);
    if (is_pad == NULL) {
        return no_memory(err);
    }
    uint8_t *window_valid = is_pad + width;
    memset(valid, 1, width);
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        const rbc_status status = judge_window(rows, &spec->windows[i], is_pad, window_valid, err);
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "episode %lld",
                                    (long long)rbc__episodes_id(rows->params.episodes, episode));
        }
        for (size_t k = 0; k < width; ++k) {
            valid[k] = valid[k] && window_valid[k];
        }
    }
    return RBC_OK;
}

static rbc_status probe_sample(rbc__rows *rows, rbc__maker *maker, int32_t stream_at,
                               int64_t number, rbc__image_shape *out, bool *is_found,
                               rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[stream_at];
    uint32_t want;
    int32_t rank;
    rbc__sample sample;
    rbc__request_begin(rows->request);
    RBC__TRY(rbc__request_sample(rows->request, &rows->rows[0].episode->parsed, used->stream,
                                 number, &want, err));
    rbc__request_read(rows->request, NULL);
    rbc__request_finish(rows->request, NULL);
    const rbc_error *problem = rbc__request_failure(rows->request, 0, &rank);
    if (problem != NULL) {
        return rbc__pass_on(problem, err);
    }
    rbc__request_get(rows->request, want, &sample);
    if (sample.num_bytes == 0) {
        return RBC_OK;
    }
    *is_found = true;
    const rbc_status status = rbc__image_probe(maker->decoder, sample.bytes, sample.num_bytes,
                                               used->schema->name, out, err);
    if (status != RBC_OK) {
        char name[1024];
        rbc__store *store = rows->params.requests.store;
        return rbc__fail_within(err, status, "%s: byte %llu: sample %lld",
                                store->ops->name(store, sample.blob, name, sizeof name),
                                (unsigned long long)sample.offset, (long long)number);
    }
    return RBC_OK;
}

rbc_status rbc__rows_image_shape(rbc__rows *rows, rbc__maker *maker, int32_t stream_at,
                                 rbc__image_shape *out, rbc_error *err) {
    const rbc__clock *clock = rows->params.clock;
    bool is_found = false;
    for (int64_t i = 0; i < clock->from.num_episodes && i < PROBED_EPISODES && !is_found; ++i) {
        RBC__TRY(open_one(rows, maker, i, 0, err));
        const rbc__loaded_stream *loaded = &rows->rows[0].episode->streams[stream_at];
        RBC__TRY(rbc__loaded_check(loaded, err));
        for (int64_t k = 0; k < loaded->num_samples && !is_found; ++k) {
            RBC__TRY(probe_sample(rows, maker, stream_at, k, out, &is_found, err));
        }
    }
    rbc__rows_end(rows);
    if (!is_found) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "stream '%s' declares no image shape, and the first %d episodes of the "
                         "selection hold no image of it that would tell",
                         rows->params.spec->used[stream_at].schema->name, PROBED_EPISODES);
    }
    return RBC_OK;
}
