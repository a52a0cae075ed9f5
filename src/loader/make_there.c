/* Numbers of rows that the batch's device makes: what it is told of each window. */
#include "loader/make.h"

#include <string.h>

#include "core/error.h"
#include "loader/vector.h"

/* The samples that a window takes as they are, as those of a stream whose stamps are their numbers:
 * side by side where they lie so, else one for each element. */
static rbc_status set_picks(rbc__rows *rows, const rbc__window_spec *window, const rbc__cell *cell,
                            int64_t bytes, rbc__align_item *item, rbc_error *err) {
    const int64_t width = window->width;
    int64_t *targets = rbc__arena_take(&rows->arena, 2 * (size_t)width * sizeof *targets);
    if (targets == NULL) {
        return rbc__no_job_memory(err);
    }
    int64_t *times = targets + width;
    int64_t first = INT64_MAX;
    int64_t last = -1;
    for (int64_t i = 0; i < width; ++i) {
        const int64_t pick = cell->picks[i];
        first = pick >= 0 && pick < first ? pick : first;
        last = pick > last ? pick : last;
        times[i] = i;
    }
    const uint8_t *values = cell->values;
    int64_t count = last < 0 ? 0 : last - first + 1;
    if (count > width) {
        uint8_t *gathered = rbc__arena_take(&rows->arena, (size_t)(width * bytes));
        if (gathered == NULL) {
            return rbc__no_job_memory(err);
        }
        for (int64_t i = 0; i < width; ++i) {
            const int64_t pick = cell->picks[i] < 0 ? first : cell->picks[i];
            memcpy(gathered + i * bytes, values + (pick - cell->begin) * bytes, (size_t)bytes);
            targets[i] = i;
        }
        values = gathered;
        count = width;
    } else {
        for (int64_t i = 0; i < width; ++i) {
            targets[i] = cell->picks[i] < 0 ? 0 : cell->picks[i] - first;
        }
        values = count > 0 ? values + (first - cell->begin) * bytes : NULL;
    }
    rbc__choose_source(window, values, bytes, times, count, &item->source);
    item->source.runs = &window->held_run;
    item->source.num_runs = 1;
    item->targets = targets;
    item->num_targets = width;
    item->step = 1;
    return RBC_OK;
}

static void set_samples(const rbc__window_spec *window, const rbc__cell *cell, int64_t bytes,
                        rbc__align_item *item) {
    rbc__choose_source(window, cell->values, bytes, cell->times, cell->end - cell->begin,
                       &item->source);
    item->targets = cell->targets;
    item->num_targets = rbc__window_num_targets(window);
    item->first = rbc__window_target_index(window, 0);
    item->step = window->width > 1 ? rbc__window_target_index(window, 1) - item->first : 1;
}

/* Where nothing stands in place of a value. */
static rbc_status set_nothing(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                              const rbc__cell *cell, rbc__align_item *item, rbc_error *err) {
    const rbc__field_spec *fields = rows->params.spec->fields;
    /* Of a plain window that is resampled the kernel fills the channels that have no value. */
    const bool fills_invalid = !window->is_plain || cell->picks != NULL;
    if (!rbc__window_fills(window)) {
        return RBC_OK;
    }
    const uint8_t *is_pad = rbc__batch_row(rows->batch, &fields[window->pad_field], row->index);
    const uint8_t *valid = rbc__batch_row(rows->batch, &fields[window->valid_field], row->index);
    uint8_t *nothing = rbc__arena_take(&rows->arena, (size_t)window->width);
    if (nothing == NULL) {
        return rbc__no_job_memory(err);
    }
    for (int64_t i = 0; i < window->width; ++i) {
        nothing[i] = is_pad[i] || (fills_invalid && !valid[i]);
    }
    item->nothing = nothing;
    return RBC_OK;
}

static rbc_status set_item(rbc__rows *rows, int64_t row_at, int32_t w, rbc__align_item *item,
                           rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    const int64_t bytes = spec->used[window->stream_at].sample_bytes;
    *item = (rbc__align_item){
        .stored = window->stored,
        .count = window->width,
        .is_nan = window->outside == RBC_OUTSIDE_NAN,
        .scale = window->scale,
        .offset = window->offset,
        .dtype = window->dtype,
        .out = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index) +
               window->begin_bytes,
        .out_stride_bytes = window->target_bytes,
        .tail_bytes = window->tail_bytes,
    };
    if (cell->picks != NULL) {
        RBC__TRY(set_picks(rows, window, cell, bytes, item, err));
    } else {
        set_samples(window, cell, bytes, item);
    }
    return set_nothing(rows, row, window, cell, item, err);
}

static int32_t num_windows_there(const rbc__batch_spec *spec) {
    int32_t count = 0;
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        count += rbc__window_is_aligned_there(spec, &spec->windows[w]);
    }
    return count;
}

void rbc__align_there(rbc__rows *rows, rbc__maker *maker) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc_error problem;
    const size_t room = (size_t)num_windows_there(spec) * (size_t)rows->num_rows;
    if (room == 0) {
        return;
    }
    rbc_status status = RBC_OK;
    int64_t count = 0;
    rbc__align_item *items = rbc__arena_take(&rows->arena, room * sizeof *items);
    if (items == NULL) {
        status = rbc__no_job_memory(&problem);
    }
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        const bool is_there = rbc__window_is_aligned_there(spec, &spec->windows[w]);
        for (int64_t i = 0; is_there && i < rows->num_rows && status == RBC_OK; ++i) {
            if (rows->rows[i].failed_rank == RBC__RANK_NONE) {
                status = set_item(rows, i, w, &items[count++], &problem);
            }
        }
    }
    if (status == RBC_OK && count > 0) {
        status = maker->ops->align_there(maker, rows->batch, items, count, &problem);
    }
    for (int64_t i = 0; i < rows->num_rows && status != RBC_OK; ++i) {
        rbc__row_fail(&rows->rows[i], spec->num_windows, 0, &problem);
    }
}
