/* Numbers of rows that the batch's device makes: what it is told of each window. */
#include "loader/make.h"

#include <string.h>

#include "core/error.h"
#include "loader/vector.h"

/* Samples that a window takes as they are, one for each element, side by side; NULL: no memory. */
static const uint8_t *gather_picks(rbc__rows *rows, const rbc__window_spec *window,
                                   const rbc__cell *cell, int64_t bytes) {
    const int64_t *picks = cell->picks;
    bool are_there = true; /* as they lie */
    for (int64_t i = 0; i < window->width; ++i) {
        are_there = are_there && picks[i] >= 0 && picks[i] == picks[0] + i;
    }
    uint8_t *gathered =
        are_there ? NULL : rbc__arena_take(&rows->arena, (size_t)(window->width * bytes));
    for (int64_t i = 0; i < window->width && gathered != NULL; ++i) {
        uint8_t *to = gathered + i * bytes;
        if (picks[i] < 0) {
            memset(to, 0, (size_t)bytes);
        } else {
            memcpy(to, cell->values + (picks[i] - cell->begin) * bytes, (size_t)bytes);
        }
    }
    return are_there ? cell->values + (picks[0] - cell->begin) * bytes : gathered;
}

/* They are a stream whose stamps are the numbers of the elements. */
static rbc_status set_picks(rbc__rows *rows, const rbc__window_spec *window, const rbc__cell *cell,
                            int64_t bytes, rbc__align_item *item, rbc_error *err) {
    int64_t *numbers = rbc__arena_take(&rows->arena, (size_t)window->width * sizeof *numbers);
    const uint8_t *values = NULL;
    bool has_any = false;
    for (int64_t i = 0; i < window->width && numbers != NULL; ++i) {
        numbers[i] = i;
        has_any = has_any || cell->picks[i] >= 0;
    }
    if (has_any) {
        values = gather_picks(rows, window, cell, bytes);
    }
    if (numbers == NULL || (has_any && values == NULL)) {
        return rbc__no_job_memory(err);
    }
    rbc__choose_source(window, values, bytes, numbers, has_any ? window->width : 0, &item->source);
    item->source.runs = &window->held_run;
    item->source.num_runs = 1;
    item->targets = numbers;
    item->num_targets = window->width;
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

static rbc_status make(rbc__rows *rows, rbc__maker *maker, size_t room, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc__align_item *items = rbc__arena_take(&rows->arena, room * sizeof *items);
    int64_t count = 0;
    if (items == NULL) {
        return rbc__no_job_memory(err);
    }
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        const bool is_there = rbc__window_is_aligned_there(spec, &spec->windows[w]);
        for (int64_t i = 0; is_there && i < rows->num_rows; ++i) {
            if (rows->rows[i].failed_rank == RBC__RANK_NONE) {
                RBC__TRY(set_item(rows, i, w, &items[count++], err));
            }
        }
    }
    return count > 0 ? maker->ops->align_there(maker, rows->batch, items, count, err) : RBC_OK;
}

static void fail_all(rbc__rows *rows, const rbc_error *problem) {
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        rbc__row_fail(&rows->rows[i], rows->params.spec->num_windows, 0, problem);
    }
}

void rbc__align_there(rbc__rows *rows, rbc__maker *maker) {
    const size_t room = (size_t)num_windows_there(rows->params.spec) * (size_t)rows->num_rows;
    rbc_error problem;
    if (room > 0 && make(rows, maker, room, &problem) != RBC_OK) {
        fail_all(rows, &problem);
    }
}

void rbc__await_there(rbc__rows *rows, rbc__maker *maker) {
    rbc_error problem;
    if (num_windows_there(rows->params.spec) > 0 &&
        maker->ops->await_there(maker, &problem) != RBC_OK) {
        fail_all(rows, &problem);
    }
}
