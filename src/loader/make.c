/* Stages 7 to 9: what has been read becomes the fields of a batch. */
#include "loader/make.h"

#include <string.h>

#include "core/error.h"
#include "io/utf8.h"

void rbc__deliver_nothing(const rbc__window_spec *window, uint8_t *dst) {
    rbc__put_nothing(window->dtype, window->outside == RBC_OUTSIDE_NAN, window->target_bytes, dst);
}

/* What the request failed at. */
static void take_failures(rbc__rows *rows) {
    if (rbc__request_num_failures(rows->request) == 0) {
        return;
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        int32_t rank;
        const rbc_error *problem = rbc__request_failure(rows->request, (int32_t)i, &rank);
        if (problem != NULL) {
            rbc__row_fail(&rows->rows[i], rank, 0, problem);
        }
    }
}

rbc_status rbc__no_job_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the jobs of a batch");
}

const char *rbc__rows_blob_name(const rbc__rows *rows, int64_t blob, char *buffer, size_t bytes) {
    rbc__store *store = rows->params.requests.store;
    return store->ops->name(store, blob, buffer, bytes);
}

/* ---- text ---------------------------------------------------------------------------------------
 */

static rbc_status put_texts(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__field_spec *field = &spec->fields[window->value_field];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    for (int64_t i = 0; i < window->width; ++i) {
        rbc__sample text = {0};
        uint64_t bad_at = 0;
        if (cell->wants[i] != UINT32_MAX) {
            rbc__request_get(rows->request, cell->wants[i], &text);
        }
        if (!rbc__utf8_check(text.bytes, text.num_bytes, &bad_at)) {
            char name[1024];
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: byte %llu: stream '%s': sample %lld is not UTF-8",
                             rbc__rows_blob_name(rows, text.blob, name, sizeof name),
                             (unsigned long long)(text.offset + bad_at),
                             spec->used[window->stream_at].schema->name, (long long)cell->picks[i]);
        }
        RBC__TRY(rbc__batch_put_text(rows->batch, rows->text_arena, field->text_index,
                                     row->index * field->row_elements + i, text.bytes,
                                     text.num_bytes, err));
    }
    return RBC_OK;
}

/* ---- the stages ---------------------------------------------------------------------------------
 */

static rbc_status make_cell(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    if (window->voxels != NULL) {
        return rbc__add_grids(rows, row_at, w, err);
    }
    if (cell->pixels != NULL) {
        return rbc__add_pixels(rows, row_at, w, err);
    }
    if (cell->wants != NULL) {
        return used->schema->kind == RBC_STREAM_TEXT ? put_texts(rows, row_at, w, err)
                                                     : rbc__add_images(rows, row_at, w, err);
    }
    return rbc__add_numbers(rows, row_at, w, err);
}

static void put_i64(const rbc__rows *rows, const rbc__row *row, int32_t field, int64_t value) {
    memcpy(rbc__batch_row(rows->batch, &rows->params.spec->fields[field], row->index), &value,
           sizeof value);
}

/* A field of a stream that the dataset lacks. */
static rbc_status put_absent(rbc__rows *rows, const rbc__row *row, const rbc__field_spec *field,
                             rbc_error *err) {
    if (field->text_index < 0) {
        if (!field->is_there) {
            memset(rbc__batch_row(rows->batch, field, row->index), 0, (size_t)field->row_bytes);
        }
        return RBC_OK;
    }
    for (int64_t i = 0; i < field->row_elements; ++i) {
        RBC__TRY(rbc__batch_put_text(rows->batch, rows->text_arena, field->text_index,
                                     row->index * field->row_elements + i, "", 0, err));
    }
    return RBC_OK;
}

/* What is said of each row, whether it could be made or not. */
static void put_facts(rbc__rows *rows, rbc__row *row) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc_error problem;
    rbc_status status = RBC_OK;
    const char *task = row->episode != NULL ? row->episode->task : "";
    const uint64_t task_bytes = row->episode != NULL ? row->episode->task_bytes : 0;
    put_i64(rows, row, spec->index_field, row->episode_at);
    put_i64(rows, row, spec->id_field, rbc__episodes_id(rows->params.episodes, row->episode_at));
    put_i64(rows, row, spec->step_field, row->tick);
    put_i64(rows, row, spec->time_field, row->tick_ns);
    status = rbc__batch_put_text(rows->batch, rows->text_arena,
                                 spec->fields[spec->task_field].text_index, row->index, task,
                                 task_bytes, &problem);
    if (status == RBC_OK && spec->dataset_field >= 0) {
        const char *name = rows->params.name;
        put_i64(rows, row, spec->number_field, rows->params.number);
        status = rbc__batch_put_text(rows->batch, rows->text_arena,
                                     spec->fields[spec->dataset_field].text_index, row->index, name,
                                     strlen(name), &problem);
    }
    for (int32_t i = 0; i < spec->num_absent && status == RBC_OK; ++i) {
        status = put_absent(rows, row, &spec->fields[spec->absent[i]], &problem);
    }
    if (status != RBC_OK) {
        rbc__row_fail(row, spec->num_windows, 0, &problem);
    }
}

/* What was fetched before there was a batch to go to. */
static void move_to_batch(rbc__rows *rows, rbc_batch *batch) {
    const rbc__batch_spec *spec = rows->params.spec;
    rows->batch = batch;
    for (int32_t f = 0; f < rows->num_aside; ++f) {
        const rbc__field_spec *field = &spec->fields[f];
        for (int64_t i = 0; rows->aside[f] != NULL && i < rows->num_rows; ++i) {
            memcpy(rbc__batch_row(batch, field, rows->rows[i].index),
                   rows->aside[f] + i * field->row_bytes, (size_t)field->row_bytes);
        }
    }
}

void rbc__rows_make(rbc__rows *rows, rbc__maker *maker, rbc_batch *batch, int32_t text_arena,
                    const atomic_bool *cancel) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc_error problem;
    rows->text_arena = text_arena;
    rbc__put_frames(rows, batch);
    rbc__request_finish(rows->request, cancel);
    take_failures(rows);
    if (rows->batch != batch) {
        move_to_batch(rows, batch);
    }
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        for (int64_t i = 0; i < rows->num_rows; ++i) {
            if (rows->rows[i].failed_rank > w && make_cell(rows, i, w, &problem) != RBC_OK) {
                rbc__row_fail(&rows->rows[i], w, 0, &problem);
            }
        }
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        if (rbc__add_absent(rows, i, &problem) != RBC_OK) {
            rbc__row_fail(&rows->rows[i], spec->num_windows, 0, &problem);
        }
    }
    rbc__align_numbers(rows, maker);
    rbc__align_there(rows, maker);
    if (rows->jobs.num_decode > 0) {
        rbc__decode_images(rows, maker);
    }
    if (rows->jobs.num_voxel > 0) {
        rbc__make_grids(rows, maker);
    }
    rbc__await_there(rows, maker);
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        put_facts(rows, &rows->rows[i]);
    }
}

rbc_status rbc__rows_mask(rbc__rows *rows, int64_t i, rbc__maker *maker, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const int64_t row = rows->rows[i].index;
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        const rbc__window_spec *window = &spec->windows[w];
        const rbc__field_spec *field = &spec->fields[window->value_field];
        memset(rbc__batch_row(rows->batch, &spec->fields[window->pad_field], row), 0,
               (size_t)window->width);
        memset(rbc__batch_row(rows->batch, &spec->fields[window->valid_field], row), 0,
               (size_t)window->width);
        if (window->lengths_field >= 0) {
            memset(rbc__batch_row(rows->batch, &spec->fields[window->lengths_field], row), 0,
                   (size_t)window->width * sizeof(int64_t));
        }
        if (window->dropped_field >= 0) {
            memset(rbc__batch_row(rows->batch, &spec->fields[window->dropped_field], row), 0,
                   (size_t)window->width * sizeof(int64_t));
        }
        if (window->future_field >= 0) {
            memset(rbc__batch_row(rows->batch, &spec->fields[window->future_field], row), 0,
                   sizeof(int64_t));
        }
        if (field->is_there) {
            RBC__TRY(rbc__mask_there(rows, window, row, maker, err));
            continue;
        }
        for (int64_t k = 0; k < window->width; ++k) {
            if (field->text_index < 0) {
                rbc__deliver_nothing(window, rbc__batch_row(rows->batch, field, row) +
                                                 k * window->target_bytes);
            } else {
                RBC__TRY(rbc__batch_put_text(rows->batch, rows->text_arena, field->text_index,
                                             row * field->row_elements + k, "", 0, err));
            }
        }
    }
    return RBC_OK;
}
