#include "loader/rows.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static rbc_status make_room(rbc__rows *rows, int64_t room, rbc_error *err) {
    const size_t num_windows = (size_t)rows->params.spec->num_windows;
    rbc__row *grown = realloc(rows->rows, (size_t)room * sizeof *grown);
    rbc__cell *cells = calloc(num_windows * (size_t)room + 1, sizeof *cells);
    if (grown != NULL) {
        rows->rows = grown;
    }
    if (grown == NULL || cells == NULL) {
        free(cells);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %lld rows", (long long)room);
    }
    free(rows->cells); /* nothing is in them before rows are fetched */
    rows->cells = cells;
    rows->room = room;
    return RBC_OK;
}

static rbc_status prepare(rbc__rows *rows, int64_t room, rbc__timeline *timeline, rbc_error *err) {
    const int32_t num_fields = rows->params.spec->num_fields;
    rows->aside = calloc((size_t)num_fields + 1, sizeof(uint8_t *));
    if (rows->aside == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    rows->num_aside = num_fields;
    RBC__TRY(make_room(rows, room, err));
    RBC__TRY(rbc__request_create(&rows->params.requests, &rows->request, err));
    if (timeline != NULL) {
        rbc__request_share_timeline(rows->request, timeline);
    }
    return RBC_OK;
}

rbc_status rbc__rows_create(const rbc__rows_params *params, int64_t room, rbc__timeline *timeline,
                            rbc__rows **out, rbc_error *err) {
    rbc__rows *rows = calloc(1, sizeof *rows);
    *out = NULL;
    if (rows == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    rows->params = *params;
    const rbc_status status = prepare(rows, room, timeline, err);
    if (status != RBC_OK) {
        rbc__rows_destroy(&rows);
        return status;
    }
    *out = rows;
    return RBC_OK;
}

void rbc__rows_destroy(rbc__rows **handle) {
    rbc__rows *rows = *handle;
    *handle = NULL;
    if (rows == NULL) {
        return;
    }
    rbc__rows_end(rows);
    rbc__request_destroy(&rows->request);
    rbc__jobs_free(&rows->jobs);
    rbc__arena_free(&rows->arena);
    rbc__scratch_free(&rows->indices);
    rbc__scratch_free(&rows->intervals);
    free(rows->rows);
    free(rows->cells);
    free(rows->aside);
    free(rows);
}

void rbc__rows_end(rbc__rows *rows) {
    rbc__loaded_episode *used[64];
    int64_t count = 0;
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        used[count++] = rows->rows[i].episode;
        if (count == 64 || i + 1 == rows->num_rows) {
            rbc__episodes_give(rows->params.episodes, used, count);
            count = 0;
        }
        free(rows->rows[i].problem);
    }
    rows->num_rows = 0;
    rows->batch = NULL;
    if (rows->request != NULL) {
        rbc__request_begin(rows->request);
    }
    rbc__jobs_clear(&rows->jobs);
    rbc__arena_reset(&rows->arena);
    for (int32_t i = 0; i < rows->num_aside; ++i) {
        rows->aside[i] = NULL;
    }
}

rbc_status rbc__rows_add(rbc__rows *rows, int64_t index, int64_t epoch, int64_t position,
                         rbc_error *err) {
    if (rows->num_rows == rows->room) {
        RBC__TRY(make_room(rows, 2 * rows->room, err));
    }
    rows->rows[rows->num_rows++] = (rbc__row){
        .index = index, .epoch = epoch, .position = position, .failed_rank = RBC__RANK_NONE};
    return RBC_OK;
}

/* ---- failures -----------------------------------------------------------------------------------
 */

void rbc__row_fail(rbc__row *row, int32_t rank, int64_t target, const rbc_error *problem) {
    if (rank > row->failed_rank || (rank == row->failed_rank && target >= row->failed_target)) {
        return;
    }
    row->failed_rank = rank;
    row->failed_target = target;
    if (row->problem == NULL) {
        row->problem = malloc(sizeof *row->problem);
    }
    if (row->problem != NULL && problem != NULL) {
        *row->problem = *problem;
    } else {
        free(row->problem);
        row->problem = NULL;
    }
}

const rbc_error *rbc__rows_failure(rbc__rows *rows, int64_t i, rbc_error *no_memory) {
    rbc__row *row = &rows->rows[i];
    if (row->failed_rank == RBC__RANK_NONE) {
        return NULL;
    }
    rbc_error *problem = row->problem;
    if (problem == NULL) {
        problem = no_memory;
        rbc__fail(problem, RBC_ERROR_OUT_OF_MEMORY, "no memory for what went wrong");
    }
    const long long id = rbc__episodes_id(rows->params.episodes, row->episode_at);
    if (rows->params.name != NULL) {
        rbc__fail_within(problem, problem->status, "dataset '%s', episode %lld, step %lld",
                         rows->params.name, id, (long long)row->tick);
    } else {
        rbc__fail_within(problem, problem->status, "episode %lld, step %lld", id,
                         (long long)row->tick);
    }
    return problem;
}

uint8_t *rbc__rows_field(rbc__rows *rows, int32_t field_at, const rbc__row *row) {
    const rbc__field_spec *field = &rows->params.spec->fields[field_at];
    if (rows->batch != NULL) {
        return rbc__batch_row(rows->batch, field, row->index);
    }
    uint8_t **aside = &rows->aside[field_at];
    if (*aside == NULL) {
        *aside = rbc__arena_take(&rows->arena, (size_t)(rows->num_rows * field->row_bytes));
    }
    return *aside != NULL ? *aside + (row - rows->rows) * field->row_bytes : NULL;
}

/* ---- what they took -----------------------------------------------------------------------------
 */

int64_t rbc__rows_bytes(const rbc__rows *rows) {
    return rbc__request_bytes(rows->request) + (int64_t)rows->arena.bytes;
}

rbc__rows_stats rbc__rows_take_stats(rbc__rows *rows) {
    const rbc__request_stats read = rbc__request_take_stats(rows->request);
    rbc__rows_stats stats = rows->stats;
    stats.bytes_read += read.bytes_read;
    stats.fetch_ns += read.read_ns;
    stats.unpack_ns += read.unpack_ns;
    stats.decode_ns += read.decode_ns;
    stats.images_decoded += read.num_frames;
    stats.num_reads += read.num_reads;
    stats.read_ns += read.read_ns;
    stats.bytes_unpacked += read.bytes_unpacked;
    stats.bytes_decoded += read.bytes_decoded;
    rbc__timeline *timeline = rbc__rows_timeline(rows);
    memcpy(stats.spent_ns, timeline->spent_ns, sizeof stats.spent_ns);
    memset(timeline->spent_ns, 0, sizeof timeline->spent_ns);
    rows->stats = (rbc__rows_stats){0};
    return stats;
}
