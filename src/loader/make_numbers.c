/* Numbers of rows, taken as they are or resampled. */
#include "loader/make.h"

#include <string.h>

#include "core/error.h"
#include "loader/vector.h"

/* Values that were read around those taken. */
static void copy_picks(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                       const rbc__cell *cell) {
    const int64_t bytes = window->target_bytes;
    uint8_t *dst =
        rbc__batch_row(rows->batch, &rows->params.spec->fields[window->value_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += bytes) {
        if (cell->picks[i] < 0) {
            rbc__deliver_nothing(window, dst);
        } else {
            memcpy(dst, cell->values + (cell->picks[i] - cell->begin) * bytes, (size_t)bytes);
        }
    }
}

/* The same of a window that is not plain. */
static void put_picks(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                      const rbc__cell *cell) {
    const int64_t bytes = rbc__vector_stored_bytes(window);
    uint8_t *dst =
        rbc__batch_row(rows->batch, &rows->params.spec->fields[window->value_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        const int64_t pick = cell->picks[i];
        rbc__vector_put(window, pick < 0 ? NULL : cell->values + (pick - cell->begin) * bytes, dst);
    }
}

static uint8_t *valid_of(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                         const rbc__cell *cell) {
    return cell->valid != NULL
               ? cell->valid
               : rbc__batch_row(rows->batch, &rows->params.spec->fields[window->valid_field],
                                row->index);
}

static rbc_status add_alignment(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    uint8_t *out = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index) +
                   window->begin_bytes;
    const bool is_there = spec->fields[window->value_field].is_there;
    uint8_t *valid = valid_of(rows, row, window, cell);
    int64_t out_bytes = window->target_bytes;
    if (window->has_reduction || (!is_there && window->dtype != window->stored)) {
        /* Of reductions the targets at which intervals begin have rows too, which are left behind. */
        const size_t num_targets = (size_t)rbc__window_num_targets(window);
        out_bytes = is_there ? 0 : rbc__vector_stored_bytes(window);
        out = rbc__arena_take(&rows->arena, num_targets * ((size_t)out_bytes + 1));
        if (out == NULL) {
            return rbc__no_job_memory(err);
        }
        valid = window->has_reduction ? out + num_targets * (size_t)out_bytes : valid;
    }
    rbc__align_job *job = rbc__jobs_add_align(&rows->jobs);
    if (job == NULL) {
        return rbc__no_job_memory(err);
    }
    job->window = w;
    job->row = row_at;
    rbc__choose_job(window, cell, spec->used[window->stream_at].sample_bytes, out, out_bytes, valid,
                    job);
    if (is_there) { /* the host says where there is a value, the device makes it */
        job->source.num_channels = 0;
        job->source.runs = window->empty_runs;
    }
    return RBC_OK;
}

static void finish_alignment(rbc__rows *rows, const rbc__align_job *job) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[job->window];
    rbc__row *row = &rows->rows[job->row];
    const rbc__field_spec *field = &spec->fields[window->value_field];
    uint8_t *out = rbc__batch_row(rows->batch, field, row->index);
    const rbc__cell *cell = rbc__rows_cell(rows, job->window, job->row);
    uint8_t *valid = valid_of(rows, row, window, cell);
    const uint8_t *is_pad =
        rbc__batch_row(rows->batch, &spec->fields[window->pad_field], row->index);
    const size_t bytes = (size_t)window->target_bytes;
    if (job->status != RBC_OK) {
        char name[1024];
        rbc_error problem;
        if (job->problem != NULL) {
            problem = *job->problem;
            rbc__fail_within(&problem, problem.status, "%s: stream '%s'",
                             rbc__rows_blob_name(rows, rbc__blob_id(row->episode->parsed.part, 0),
                                                 name, sizeof name),
                             spec->used[window->stream_at].schema->name);
        }
        rbc__row_fail(row, job->window, 0, job->problem != NULL ? &problem : NULL);
        return;
    }
    for (int64_t i = 0; window->has_reduction && i < window->width; ++i) {
        valid[i] = (uint8_t)job->job.valid[rbc__window_target_index(window, i)];
    }
    const bool is_moved = !field->is_there && (window->has_reduction || !window->is_plain);
    for (int64_t i = 0; is_moved && i < window->width; ++i) {
        const uint8_t *made = (const uint8_t *)job->job.out + rbc__window_target_index(window, i) *
                                                                  job->job.out_target_stride_bytes;
        if (window->is_plain) {
            memcpy(out + (size_t)i * bytes, made, bytes);
        } else {
            rbc__vector_put(window, cell->begin < cell->end ? made : NULL, out + (size_t)i * bytes);
        }
    }
    for (int64_t i = 0; i < window->width && window->is_plain && rbc__window_fills(window); ++i) {
        if (is_pad[i]) {
            valid[i] = 0;
            if (!field->is_there) {
                rbc__deliver_nothing(window, out + (size_t)i * bytes);
            }
        }
    }
}

/* Once all parts of the vector that begins at window `head` are there. */
static void finish_vector(rbc__rows *rows, int64_t row_at, int32_t head) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[head];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__field_spec *field = &spec->fields[window->value_field];
    uint8_t *out = rbc__batch_row(rows->batch, field, row->index);
    uint8_t *valid = rbc__batch_row(rows->batch, &spec->fields[window->valid_field], row->index);
    const uint8_t *is_pad =
        rbc__batch_row(rows->batch, &spec->fields[window->pad_field], row->index);
    if (row->failed_rank < head + window->num_parts) {
        return;
    }
    for (int64_t i = 0; i < window->width; ++i) {
        for (int32_t part = 0; window->num_parts > 1 && part < window->num_parts; ++part) {
            const bool is_valid = rbc__rows_cell(rows, head + part, row_at)->valid[i] != 0;
            valid[i] = is_valid && (part == 0 || valid[i]);
        }
        if (rbc__window_fills(window) && (is_pad[i] || !valid[i])) {
            valid[i] = 0;
            if (!field->is_there) {
                rbc__deliver_nothing(window, out + i * window->target_bytes);
            }
        }
    }
}

rbc_status rbc__add_numbers(rbc__rows *rows, int64_t row, int32_t w, rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row);
    if (cell->picks == NULL) {
        return add_alignment(rows, row, w, err);
    }
    if (rows->params.spec->fields[window->value_field].is_there) {
        return RBC_OK;
    }
    if (!window->is_plain) {
        put_picks(rows, &rows->rows[row], window, cell);
    } else if (cell->values != NULL) {
        copy_picks(rows, &rows->rows[row], window, cell);
    }
    return RBC_OK;
}

void rbc__align_numbers(rbc__rows *rows, rbc__maker *maker) {
    const rbc__batch_spec *spec = rows->params.spec;
    if (rows->jobs.num_align > 0) {
        maker->ops->align(maker, rows->jobs.align, rows->jobs.num_align);
    }
    for (int64_t i = 0; i < rows->jobs.num_align; ++i) {
        finish_alignment(rows, &rows->jobs.align[i]);
    }
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        for (int64_t i = 0; i < rows->num_rows && !spec->windows[w].is_plain; ++i) {
            if (spec->windows[w].head == w) {
                finish_vector(rows, i, w);
            }
        }
    }
}
