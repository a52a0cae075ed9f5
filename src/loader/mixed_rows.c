#include "loader/mixed_rows.h"

#include <stdlib.h>

#include "core/error.h"

/* Rows that there is room for at first, of one dataset of several. */
#define FEW_ROWS 8

rbc_status rbc__mixed_rows_create(const rbc__mixture *mixture,
                                  const rbc__rows_params *const *params, bool is_split,
                                  int64_t max_rows, rbc__mixed_rows **out, rbc_error *err) {
    rbc__mixed_rows *rows = calloc(1, sizeof *rows);
    *out = NULL;
    if (rows != NULL) {
        rows->mixture = mixture;
        rows->params = params;
        rows->is_split = is_split;
        rows->room = max_rows;
        rbc__timeline_init(&rows->timeline);
        rows->rows = calloc((size_t)max_rows, sizeof *rows->rows);
        rows->of = calloc((size_t)mixture->num_members, sizeof(rbc__rows *));
    }
    if (rows == NULL || rows->rows == NULL || rows->of == NULL) {
        rbc__mixed_rows_destroy(&rows);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    *out = rows;
    return RBC_OK;
}

void rbc__mixed_rows_destroy(rbc__mixed_rows **handle) {
    rbc__mixed_rows *rows = *handle;
    *handle = NULL;
    if (rows == NULL) {
        return;
    }
    for (int32_t i = 0; rows->of != NULL && i < rows->mixture->num_members; ++i) {
        rbc__rows_destroy(&rows->of[i]);
    }
    free(rows->of);
    free(rows->rows);
    free(rows);
}

void rbc__mixed_rows_end(rbc__mixed_rows *rows) {
    for (int32_t i = 0; i < rows->mixture->num_members; ++i) {
        if (rows->of[i] != NULL) {
            rbc__rows_end(rows->of[i]);
        }
    }
    rows->num_rows = 0;
    rows->error.status = RBC_OK;
}

/* The rows of a member, made when it has its first. */
static rbc_status rows_of(rbc__mixed_rows *rows, int32_t member, rbc__rows **out, rbc_error *err) {
    if (rows->of[member] == NULL) {
        rbc__rows_params params = *rows->params[member];
        params.requests.is_split = rows->is_split;
        const bool is_alone = rows->mixture->num_members == 1;
        const int64_t room = is_alone || rows->room < FEW_ROWS ? rows->room : FEW_ROWS;
        RBC__TRY(rbc__rows_create(&params, room, &rows->timeline, &rows->of[member], err));
    }
    *out = rows->of[member];
    return RBC_OK;
}

void rbc__mixed_rows_fetch(rbc__mixed_rows *rows, rbc__maker *maker, int64_t epoch,
                           int64_t position, rbc_batch *batch, int64_t first, int64_t count,
                           const atomic_bool *cancel) {
    rows->first = first;
    for (int64_t i = 0; i < count; ++i) {
        rbc__mixture_sample sample;
        rbc__rows *own;
        rbc__mixture_find(rows->mixture, &rows->cursor, epoch, position + first + i, &sample);
        rbc_status status = rows_of(rows, sample.member, &own, &rows->error);
        if (status == RBC_OK) {
            rows->rows[i] = (rbc__mixed_row){sample.member, own->num_rows};
            status = rbc__rows_add(own, first + i, sample.epoch, sample.position, &rows->error);
        }
        if (status != RBC_OK) {
            const rbc_error error = rows->error;
            rbc__mixed_rows_end(rows);
            rows->error = error;
            return;
        }
    }
    rows->num_rows = count;
    for (int32_t i = 0; i < rows->mixture->num_members; ++i) {
        if (rows->of[i] != NULL && rows->of[i]->num_rows > 0) {
            rbc__rows_fetch(rows->of[i], maker, batch, cancel);
        }
    }
}

void rbc__mixed_rows_make(rbc__mixed_rows *rows, rbc__maker *maker, rbc_batch *batch,
                          int32_t text_arena, const atomic_bool *cancel) {
    for (int32_t i = 0; i < rows->mixture->num_members; ++i) {
        if (rows->of[i] != NULL && rows->of[i]->num_rows > 0) {
            rbc__rows_make(rows->of[i], maker, batch, text_arena, cancel);
        }
    }
}

const rbc_error *rbc__mixed_rows_failure(rbc__mixed_rows *rows, int64_t i, rbc_error *no_memory) {
    return rbc__rows_failure(rows->of[rows->rows[i].member], rows->rows[i].at, no_memory);
}

rbc_status rbc__mixed_rows_mask(rbc__mixed_rows *rows, int64_t i, rbc__maker *maker,
                                rbc_error *err) {
    return rbc__rows_mask(rows->of[rows->rows[i].member], rows->rows[i].at, maker, err);
}

int64_t rbc__mixed_rows_bytes(const rbc__mixed_rows *rows) {
    int64_t bytes = 0;
    for (int32_t i = 0; i < rows->mixture->num_members; ++i) {
        bytes += rows->of[i] != NULL ? rbc__rows_bytes(rows->of[i]) : 0;
    }
    return bytes;
}

static void add(rbc__rows_stats *sum, const rbc__rows_stats *more) {
    sum->images_decoded += more->images_decoded;
    sum->bytes_read += more->bytes_read;
    sum->images_there += more->images_there;
    sum->fetch_ns += more->fetch_ns;
    sum->unpack_ns += more->unpack_ns;
    sum->decode_ns += more->decode_ns;
    sum->num_reads += more->num_reads;
    sum->read_ns += more->read_ns;
    sum->bytes_unpacked += more->bytes_unpacked;
    sum->bytes_decoded += more->bytes_decoded;
    for (int32_t i = 0; i < RBC_NUM_STAGES; ++i) {
        sum->spent_ns[i] += more->spent_ns[i];
    }
}

rbc__rows_stats rbc__mixed_rows_take_stats(rbc__mixed_rows *rows) {
    rbc__rows_stats sum = {0};
    for (int32_t i = 0; i < rows->mixture->num_members; ++i) {
        if (rows->of[i] != NULL) { /* the first has what all of them spent */
            const rbc__rows_stats own = rbc__rows_take_stats(rows->of[i]);
            add(&sum, &own);
        }
    }
    return sum;
}
