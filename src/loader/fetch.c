/* Stages 1 to 6: what rows want, and reading it. */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "loader/rows.h"

/* A window that reaches further than this many samples per sample taken is read one by one. */
#define SPARSE_FACTOR 4
#define SPARSE_MIN    64

/* ---- 2, 3: episodes -----------------------------------------------------------------------------
 */

/* The positions that are not at hand, each once. */
static int64_t list_missing(const rbc__rows *rows, int64_t *positions) {
    int64_t count = 0;
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        const rbc__row *row = &rows->rows[i];
        int64_t k = row->episode != NULL ? count : 0;
        while (k < count && positions[k] != row->episode_at) {
            ++k;
        }
        if (row->episode == NULL && k == count) {
            positions[count++] = row->episode_at;
        }
    }
    return count;
}

static void give_to_rows(rbc__rows *rows, const int64_t *positions,
                         rbc__loaded_episode *const *opened, rbc_error *const *problems,
                         int64_t count) {
    for (int64_t k = 0; k < count; ++k) {
        int64_t num_users = 0;
        for (int64_t i = 0; i < rows->num_rows; ++i) {
            rbc__row *row = &rows->rows[i];
            if (row->episode != NULL || row->episode_at != positions[k]) {
                continue;
            }
            if (opened[k] != NULL) {
                row->episode = opened[k];
                ++num_users;
            } else {
                rbc__row_fail(row, -1, 0, problems[k]);
            }
        }
        if (opened[k] != NULL) {
            opened[k]->num_users = num_users;
        }
    }
}

static void open_missing(rbc__rows *rows, const int64_t *positions, int64_t count,
                         const atomic_bool *cancel, rbc__loaded_episode **opened,
                         rbc_error **problems) {
    rbc__episodes *episodes = rows->params.episodes;
    rbc__request *request = rows->request;
    rbc__episodes_open(episodes, positions, count, opened, problems);
    rbc__request_begin(request);
    rbc__request_cancel_by(request, cancel);
    rbc__episodes_want(episodes, opened, count, request);
    rbc__request_read(request, cancel);
    rbc__request_finish(request, cancel);
    give_to_rows(rows, positions, opened, problems, count);
    rbc__episodes_settle(episodes, opened, count, request);
    for (int64_t k = 0; k < count; ++k) {
        free(problems[k]);
    }
}

void rbc__rows_find_episodes(rbc__rows *rows, const atomic_bool *cancel) {
    const size_t room = (size_t)rows->num_rows;
    int64_t *positions = rbc__arena_take(&rows->arena, room * sizeof *positions);
    rbc__loaded_episode **found =
        rbc__arena_take(&rows->arena, room * sizeof(rbc__loaded_episode *));
    rbc_error **problems = rbc__arena_take(&rows->arena, room * sizeof(rbc_error *));
    if (positions == NULL || found == NULL || problems == NULL) {
        for (int64_t i = 0; i < rows->num_rows; ++i) {
            rbc__row_fail(&rows->rows[i], -1, 0, NULL);
        }
        return;
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        positions[i] = rows->rows[i].episode_at;
    }
    rbc__episodes_find(rows->params.episodes, positions, rows->num_rows, found);
    bool all = true;
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        rows->rows[i].episode = found[i];
        all = all && found[i] != NULL;
    }
    if (all) {
        return;
    }
    const int64_t begin = rbc__now_ns();
    open_missing(rows, positions, list_missing(rows, positions), cancel, found, problems);
    const rbc__request_stats read = rbc__request_take_stats(rows->request);
    rows->stats.fetch_ns += rbc__now_ns() - begin - read.unpack_ns;
    rows->stats.unpack_ns += read.unpack_ns;
    rows->stats.bytes_read += read.bytes_read;
    rows->stats.num_reads += read.num_reads;
    rows->stats.read_ns += read.read_ns;
    rows->stats.bytes_unpacked += read.bytes_unpacked;
}

/* ---- 5: locating --------------------------------------------------------------------------------
 */

static rbc_status no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the windows of a batch");
}

static void copy_picks(const rbc__window_spec *window, const rbc__cell *cell, const uint8_t *values,
                       int64_t first, uint8_t *dst) {
    const int64_t bytes = window->target_bytes;
    for (int64_t i = 0; i < window->width; i++, dst += bytes) {
        if (cell->picks[i] < 0 || values == NULL) {
            rbc__deliver_nothing(window, dst);
        } else {
            memcpy(dst, values + (cell->picks[i] - first) * bytes, (size_t)bytes);
        }
    }
}

/* The range of the samples taken; false: there are none. */
static bool find_picked(const rbc__cell *cell, int64_t width, int64_t *first, int64_t *last) {
    *first = INT64_MAX;
    *last = -1;
    for (int64_t i = 0; i < width; ++i) {
        const int64_t pick = cell->picks[i];
        *first = pick >= 0 && pick < *first ? pick : *first;
        *last = pick > *last ? pick : *last;
    }
    return *last >= 0;
}

/* Samples that something is made of on their way into the field: they lie at `values`, and the picks
 * count from there. */
static rbc_status locate_parts(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                               rbc__cell *cell, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const rbc__loaded_stream *loaded = &row->episode->streams[window->stream_at];
    const rbc__parsed_episode *parsed = &row->episode->parsed;
    const int64_t bytes = used->sample_bytes;
    int64_t first;
    int64_t last;
    cell->begin = 0;
    cell->values = loaded->values;
    if (loaded->values != NULL || !find_picked(cell, window->width, &first, &last)) {
        return RBC_OK;
    }
    const bool is_sparse = last - first > SPARSE_MIN + SPARSE_FACTOR * window->width;
    const int64_t count = is_sparse ? window->width : last - first + 1;
    uint8_t *values = rbc__arena_take(&rows->arena, (size_t)(count * bytes));
    if (values == NULL) {
        return no_memory(err);
    }
    cell->values = values;
    if (!is_sparse) {
        cell->begin = first;
        return rbc__request_values(rows->request, parsed, used->stream, first, count, values, err);
    }
    for (int64_t i = 0; i < window->width; i++, values += bytes) {
        if (cell->picks[i] >= 0) {
            RBC__TRY(rbc__request_values(rows->request, parsed, used->stream, cell->picks[i], 1,
                                         values, err));
            cell->picks[i] = i;
        }
    }
    return RBC_OK;
}

/* Samples of numbers, and images stored as such, as they are. */
static rbc_status locate_picks(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                               rbc__cell *cell, uint8_t *dst, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const rbc__loaded_stream *loaded = &row->episode->streams[window->stream_at];
    const rbc__parsed_episode *parsed = &row->episode->parsed;
    const int64_t *picks = cell->picks;
    const int64_t width = window->width;
    const int64_t bytes = window->target_bytes;
    if (loaded->values != NULL) {
        if (window->is_consecutive && picks[0] >= 0 && picks[width - 1] == picks[0] + width - 1) {
            memcpy(dst, loaded->values + picks[0] * bytes, (size_t)(width * bytes));
        } else {
            copy_picks(window, cell, loaded->values, 0, dst);
        }
        return RBC_OK;
    }
    if (window->is_consecutive && picks[0] >= 0 && picks[width - 1] == picks[0] + width - 1) {
        return rbc__request_values(rows->request, parsed, used->stream, picks[0], width, dst, err);
    }
    int64_t first;
    int64_t last;
    if (!find_picked(cell, width, &first, &last)) {
        copy_picks(window, cell, NULL, 0, dst);
        return RBC_OK;
    }
    if (last - first <= SPARSE_MIN + SPARSE_FACTOR * width) {
        uint8_t *values = rbc__arena_take(&rows->arena, (size_t)((last - first + 1) * bytes));
        if (values == NULL) {
            return no_memory(err);
        }
        cell->values = values;
        cell->begin = first;
        return rbc__request_values(rows->request, parsed, used->stream, first, last - first + 1,
                                   values, err);
    }
    for (int64_t i = 0; i < width; i++, dst += bytes) {
        if (picks[i] < 0) {
            rbc__deliver_nothing(window, dst);
        } else {
            RBC__TRY(
                rbc__request_values(rows->request, parsed, used->stream, picks[i], 1, dst, err));
        }
    }
    return RBC_OK;
}

static rbc_status refuse_cloud(const rbc__rows *rows, const rbc__row *row,
                               const rbc__window_spec *window, int64_t step, int64_t points,
                               const char *limit, int64_t most, rbc_error *err) {
    char name[1024];
    rbc__store *store = rows->params.requests.store;
    return rbc__fail(
        err, RBC_ERROR_INVALID_ARGUMENT, "%s: stream '%s': step %lld has %lld rows, %s is %lld",
        store->ops->name(store, rbc__blob_id(row->episode->parsed.part, 0), name, sizeof name),
        rows->params.spec->used[window->stream_at].schema->name, (long long)step, (long long)points,
        limit, (long long)most);
}

static rbc_status locate_clouds(rbc__rows *rows, const rbc__row *row,
                                const rbc__window_spec *window, const rbc__cell *cell, uint8_t *dst,
                                rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const int64_t *begins = row->episode->streams[window->stream_at].row_begins;
    uint8_t *lengths = rbc__rows_field(rows, window->lengths_field, row);
    if (lengths == NULL) {
        return no_memory(err);
    }
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        const int64_t step = cell->picks[i];
        const int64_t points = step < 0 ? 0 : begins[step + 1] - begins[step];
        if (points > window->max_points) {
            return refuse_cloud(rows, row, window, step, points, "max_points", window->max_points,
                                err);
        }
        const int64_t bytes = points * used->sample_bytes;
        if (points > 0) {
            RBC__TRY(rbc__request_values(rows->request, &row->episode->parsed, used->stream,
                                         begins[step], points, dst, err));
        }
        memset(dst + bytes, 0, (size_t)(window->target_bytes - bytes));
        memcpy(lengths + (size_t)i * sizeof points, &points, sizeof points);
    }
    return RBC_OK;
}

/* The first target that takes the same sample as target `index`. */
static int64_t same_sample_before(const int64_t *picks, int64_t index) {
    int64_t same = 0;
    while (picks[same] != picks[index]) {
        ++same;
    }
    return same;
}

/* Images and texts: each sample once. */
static rbc_status locate_samples(rbc__rows *rows, const rbc__row *row,
                                 const rbc__window_spec *window, rbc__cell *cell, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    cell->wants = rbc__arena_take(&rows->arena, (size_t)window->width * sizeof *cell->wants);
    if (cell->wants == NULL) {
        return no_memory(err);
    }
    for (int64_t i = 0; i < window->width; ++i) {
        cell->wants[i] = UINT32_MAX;
        if (cell->picks[i] < 0) {
            continue;
        }
        const int64_t same = same_sample_before(cell->picks, i);
        if (same < i) {
            cell->wants[i] = cell->wants[same];
        } else {
            RBC__TRY(rbc__request_sample(rows->request, &row->episode->parsed, used->stream,
                                         cell->picks[i], &cell->wants[i], err));
        }
    }
    return RBC_OK;
}

/* Which values of the stream a sample is, and their bytes. */
static void find_sample(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                        int64_t pick, int64_t *first, int64_t *count, int64_t *bytes) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const int64_t *begins = row->episode->streams[window->stream_at].row_begins;
    const rbc__image_shape *image = &window->image;
    if (begins != NULL) {
        *first = begins[pick];
        *count = begins[pick + 1] - begins[pick];
        *bytes = *count * used->sample_bytes;
        return;
    }
    *first = pick;
    *count = 1;
    *bytes = used->schema->kind == RBC_STREAM_NUMERIC
                 ? used->sample_bytes
                 : image->height * image->width * image->channels *
                       rbc__dtype_bytes(used->schema->dtype);
}

/* Images and clouds stored as numbers, of which others are made: each sample once. */
static rbc_status locate_pixels(rbc__rows *rows, const rbc__row *row,
                                const rbc__window_spec *window, rbc__cell *cell, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const rbc__loaded_stream *loaded = &row->episode->streams[window->stream_at];
    const size_t width = (size_t)window->width;
    cell->pixels = rbc__arena_take(&rows->arena, width * sizeof(uint8_t *));
    cell->num_points = loaded->row_begins == NULL
                           ? NULL
                           : rbc__arena_take(&rows->arena, width * sizeof *cell->num_points);
    if (cell->pixels == NULL || (loaded->row_begins != NULL && cell->num_points == NULL)) {
        return no_memory(err);
    }
    for (int64_t i = 0; i < window->width; ++i) {
        cell->pixels[i] = NULL;
        if (cell->picks[i] < 0) {
            continue;
        }
        int64_t first;
        int64_t count;
        int64_t bytes;
        find_sample(rows, row, window, cell->picks[i], &first, &count, &bytes);
        if (count > INT32_MAX) {
            return refuse_cloud(rows, row, window, cell->picks[i], count,
                                "the most that a grid counts", INT32_MAX, err);
        }
        if (cell->num_points != NULL) {
            cell->num_points[i] = count;
        }
        const int64_t same = same_sample_before(cell->picks, i);
        if (same < i) {
            cell->pixels[i] = cell->pixels[same];
        } else if (loaded->values != NULL) {
            cell->pixels[i] = loaded->values + first * bytes;
        } else {
            uint8_t *pixels = rbc__arena_take(&rows->arena, (size_t)bytes);
            if (pixels == NULL) {
                return no_memory(err);
            }
            cell->pixels[i] = pixels;
            RBC__TRY(count == 0 ? RBC_OK
                                : rbc__request_values(rows->request, &row->episode->parsed,
                                                      used->stream, first, count, pixels, err));
        }
    }
    return RBC_OK;
}

/* What a resampled window computes with. */
static rbc_status locate_values(rbc__rows *rows, const rbc__row *row,
                                const rbc__window_spec *window, rbc__cell *cell, rbc_error *err) {
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const rbc__loaded_stream *loaded = &row->episode->streams[window->stream_at];
    const int64_t count = cell->end - cell->begin;
    if (loaded->values != NULL) {
        cell->values = loaded->values + cell->begin * used->sample_bytes;
        return RBC_OK;
    }
    int64_t bytes = 0;
    uint8_t *values = NULL;
    if (rbc__mul_size(count, used->sample_bytes, &bytes)) {
        values = rbc__arena_take(&rows->arena, (size_t)bytes);
    }
    if (values == NULL) {
        return no_memory(err);
    }
    cell->values = values;
    return rbc__request_values(rows->request, &row->episode->parsed, used->stream, cell->begin,
                               count, values, err);
}

static rbc_status locate(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                         rbc__cell *cell, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__used_stream *used = &spec->used[window->stream_at];
    if (!rbc__stream_has_numbers(used->schema)) {
        return locate_samples(rows, row, window, cell, err);
    }
    if (window->made != NULL || window->voxels != NULL) {
        return locate_pixels(rows, row, window, cell, err);
    }
    if (cell->picks == NULL) {
        return locate_values(rows, row, window, cell, err);
    }
    if (!window->is_plain || spec->fields[window->value_field].is_there) {
        return locate_parts(rows, row, window, cell, err);
    }
    uint8_t *dst = rbc__rows_field(rows, window->value_field, row);
    if (dst == NULL) {
        return no_memory(err);
    }
    if (used->is_cloud) {
        return locate_clouds(rows, row, window, cell, dst, err);
    }
    return locate_picks(rows, row, window, cell, dst, err);
}

/* ---- the stages ---------------------------------------------------------------------------------
 */

static void choose_and_locate(rbc__rows *rows, const atomic_bool *cancel) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc_error problem;
    rbc__request_begin(rows->request);
    rbc__request_cancel_by(rows->request, cancel);
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        const rbc__window_spec *window = &spec->windows[w];
        for (int64_t i = 0; i < rows->num_rows; ++i) {
            rbc__row *row = &rows->rows[i];
            if (row->failed_rank <= w) {
                continue;
            }
            rbc__cell *cell = rbc__rows_cell(rows, w, i);
            uint8_t *is_pad = rbc__rows_field(rows, window->pad_field, row);
            uint8_t *valid = window->num_parts > 1
                                 ? rbc__arena_take(&rows->arena, (size_t)window->width)
                                 : rbc__rows_field(rows, window->valid_field, row);
            rbc__request_for(rows->request, (int32_t)i, w);
            rbc_status status = is_pad != NULL && valid != NULL
                                    ? rbc__choose(rows, row, window, cell, is_pad, valid, &problem)
                                    : no_memory(&problem);
            if (status == RBC_OK) {
                cell->valid = window->num_parts > 1 ? valid : NULL;
                status = locate(rows, row, window, cell, &problem);
            }
            if (status != RBC_OK) {
                rbc__row_fail(row, w, 0, &problem);
            }
        }
    }
}

void rbc__rows_fetch(rbc__rows *rows, rbc__maker *maker, rbc_batch *batch,
                     const atomic_bool *cancel) {
    const rbc__clock *clock = rows->params.clock;
    rbc__order *order = &rows->params.order;
    rows->batch = batch;
    rows->chooser = maker;
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        rbc__row *row = &rows->rows[i];
        if (!rows->has_order || order->epoch != (uint64_t)row->epoch) {
            rbc__order_begin(order, row->epoch);
            rows->has_order = true;
        }
        rbc__clock_find(clock, rbc__order_sample(order, row->position), &row->episode_at,
                        &row->tick);
        row->tick_ns = rbc__time_add_ns(rbc__clock_origin_ns(clock, row->episode_at),
                                        rbc__rate_time_ns(&clock->rate, row->tick));
    }
    rbc__rows_find_episodes(rows, cancel);
    choose_and_locate(rows, cancel);
    rbc__request_read(rows->request, cancel);
}
