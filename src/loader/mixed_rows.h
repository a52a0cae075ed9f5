/* The rows of a range of a batch, of whichever datasets: each is one of the rows of its dataset, and
 * goes through the stages with these. Used by one thread at a time. Shared within src/loader. */
#ifndef RBC_LOADER_MIXED_ROWS_H
#define RBC_LOADER_MIXED_ROWS_H

#include "core/timeline.h"
#include "loader/mixture.h"
#include "loader/rows.h"

/* Which row of which dataset's. */
typedef struct rbc__mixed_row {
    int32_t member;
    int64_t at;
} rbc__mixed_row;

typedef struct rbc__mixed_rows {
    const rbc__mixture *mixture;
    const rbc__rows_params *const *params; /* [num_members] */
    bool is_split;
    rbc__timeline timeline;
    rbc__mixture_cursor cursor;
    int64_t first, num_rows;
    int64_t room;
    rbc_error error;      /* why there are none; status RBC_OK: nothing is wrong */
    rbc__mixed_row *rows; /* [room] in the order of the batch */
    rbc__rows **of;       /* [num_members]; NULL: has had no row */
} rbc__mixed_rows;

/* Up to `max_rows` rows at a time. Borrows the mixture and the params, which are read with
 * requests.is_split as said here. */
rbc_status rbc__mixed_rows_create(const rbc__mixture *mixture,
                                  const rbc__rows_params *const *params, bool is_split,
                                  int64_t max_rows, rbc__mixed_rows **out, rbc_error *err);
void rbc__mixed_rows_destroy(rbc__mixed_rows **handle);

/* Stages 1 to 6 of rows [first, first + count) of a batch whose samples are those at `position` and
 * after it of the epoch. `batch` NULL: there is no slot for it yet. Without memory for them there are
 * no rows, and `error` says so. */
void rbc__mixed_rows_fetch(rbc__mixed_rows *rows, rbc__maker *maker, int64_t epoch,
                           int64_t position, rbc_batch *batch, int64_t first, int64_t count,
                           const atomic_bool *cancel);
/* Stages 7 to 9, into `batch`. Strings go through its arena `text_arena`. */
void rbc__mixed_rows_make(rbc__mixed_rows *rows, rbc__maker *maker, rbc_batch *batch,
                          int32_t text_arena, const atomic_bool *cancel);
/* Lets go of episodes and blocks. */
void rbc__mixed_rows_end(rbc__mixed_rows *rows);

/* As of rows, of row `i` of them in the order of the batch. */
const rbc_error *rbc__mixed_rows_failure(rbc__mixed_rows *rows, int64_t i, rbc_error *no_memory);
rbc_status rbc__mixed_rows_mask(rbc__mixed_rows *rows, int64_t i, rbc__maker *maker,
                                rbc_error *err);

int64_t rbc__mixed_rows_bytes(const rbc__mixed_rows *rows);
rbc__rows_stats rbc__mixed_rows_take_stats(rbc__mixed_rows *rows);

#endif
