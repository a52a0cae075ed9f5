/* Some rows of a batch on their way: the stages that they go through.
 *
 *   FETCH (fetch.c)  1 order   position -> sample -> episode, tick
 *                    2 layouts of the episodes, and
 *                    3 stamps, at hand or read
 *                    4 choose  windows -> numbers of samples (choose.c)
 *                    5 locate  -> ranges of blobs, blocks (store/locate.c)
 *                    6 read    all at once (store/reads.c)
 *   MAKE  (make*.c)  7 unpack  each block once (store/unpack.c)
 *                    8 decode  all images of the rows; then clouds become grids
 *                    9 align   all numbers that are resampled
 *
 * Fetching waits for stores and needs no core; making needs one. A row that fails goes no further
 * with the window that failed, and with those after it. Its failure is that of the first window that
 * failed, in the order of the spec, whichever stage found it; in that window, what fails in an earlier
 * stage goes before, and in one stage the first target. So it is the same whatever rows are worked on
 * together. Shared within src/loader. */
#ifndef RBC_LOADER_ROWS_H
#define RBC_LOADER_ROWS_H

#include <stdatomic.h>

#include <robocache/robocache.h>

#include "codec/codec.h"
#include "io/source.h"
#include "loader/arena.h"
#include "loader/batch_spec.h"
#include "loader/clock.h"
#include "loader/episodes.h"
#include "loader/maker.h"
#include "loader/sampler.h"
#include "loader/slot.h"
#include "loader/window.h"

/* What the rows of a dataset share. */
typedef struct rbc__rows_params {
    const rbc__batch_spec *spec;
    const rbc__clock *clock;
    rbc__episodes *episodes;
    rbc__request_params requests;
    rbc__order order; /* of its own epochs */
    const char *name; /* of the dataset in its mixture; NULL: it is the only one */
    int64_t number;   /* in the mixture */
} rbc__rows_params;

/* One window of one row. */
typedef struct rbc__cell {
    int64_t *picks;   /* [width] samples to be delivered as they are, -1: none; NULL: resampled */
    int64_t *targets; /* of what is resampled */
    const int64_t *times; /* of samples [begin, end) */
    const uint8_t *values;
    int64_t begin, end;
    uint32_t *wants; /* [width] images and texts */
    const uint8_t *
        *pixels;         /* [width] images and clouds stored as numbers, of which others are made */
    int64_t *num_points; /* [width] of ragged clouds; NULL: as many as the window says */
    uint8_t *valid;      /* [width] of a part of a vector of several; NULL: the field's */
} rbc__cell;

#define RBC__RANK_NONE INT32_MAX

typedef struct rbc__row {
    int64_t index;           /* in the batch */
    int64_t epoch, position; /* of its dataset */
    int64_t episode_at;      /* position of the episode in the selection */
    rbc__loaded_episode *episode;
    int64_t tick, tick_ns;
    int32_t failed_rank;   /* window that failed, -1: all of it; RBC__RANK_NONE */
    int64_t failed_target; /* of that window */
    rbc_error *problem;    /* NULL: there was no memory for it */
} rbc__row;

typedef struct rbc__rows_stats {
    int64_t images_decoded, bytes_read;
    int64_t images_there; /* decoded on the batch's device */
    int64_t fetch_ns, unpack_ns, decode_ns;
    int64_t num_reads, read_ns; /* of the store alone */
    int64_t bytes_unpacked, bytes_decoded;
    int64_t spent_ns[RBC_NUM_STAGES]; /* in each stage */
} rbc__rows_stats;

typedef struct rbc__rows rbc__rows;
struct rbc__rows {
    rbc__rows_params params;
    rbc__request *request;
    rbc__arena arena;
    int64_t num_rows, room;
    rbc__row *rows;    /* [room] */
    rbc__cell *cells;  /* [num_windows][room] */
    bool has_order;    /* params.order is that of the epoch of a row before */
    rbc_batch *batch;  /* NULL: there is none yet, and fields are kept aside */
    uint8_t **aside;   /* [num_aside] of [num_rows]; NULL: nothing of the field is fetched */
    int32_t num_aside; /* the fields, once they are known */
    int32_t text_arena;
    rbc__list_of_jobs jobs;
    rbc__scratch indices, intervals;
    rbc__rows_stats stats;
    rbc__maker *chooser; /* of the thread that fetches */
};

/* With room for `room` rows at a time, at least 1. Borrows what the params point to. `timeline` is
 * that of other rows that are worked on with these, or NULL. */
rbc_status rbc__rows_create(const rbc__rows_params *params, int64_t room, rbc__timeline *timeline,
                            rbc__rows **out, rbc_error *err);
void rbc__rows_destroy(rbc__rows **handle);

/* One more row, which is at `position` of the dataset's own epoch. OUT_OF_MEMORY. */
rbc_status rbc__rows_add(rbc__rows *rows, int64_t index, int64_t epoch, int64_t position,
                         rbc_error *err);
/* Stages 1 to 6 of the rows that were added. `batch` NULL: there is no slot for it yet. `maker`
 * chooses. */
void rbc__rows_fetch(rbc__rows *rows, rbc__maker *maker, rbc_batch *batch,
                     const atomic_bool *cancel);
/* Stages 7 to 9, into `batch`. Strings go through its arena `text_arena`. */
void rbc__rows_make(rbc__rows *rows, rbc__maker *maker, rbc_batch *batch, int32_t text_arena,
                    const atomic_bool *cancel);
/* Lets go of episodes and blocks. */
void rbc__rows_end(rbc__rows *rows);

/* The failure of row `i` of them, with its episode and step before it, or NULL. Valid until they
 * end. `no_memory` is filled in and returned where it could not be kept. */
const rbc_error *rbc__rows_failure(rbc__rows *rows, int64_t i, rbc_error *no_memory);

/* Makes row `i` of them one with nothing in it: masks false, numbers 0 (NaN where that stands for
 * nothing), texts empty. `maker` does so where that is on a device. OUT_OF_MEMORY, DEVICE. */
rbc_status rbc__rows_mask(rbc__rows *rows, int64_t i, rbc__maker *maker, rbc_error *err);

/* Bytes that fetched rows hold in memory. */
int64_t rbc__rows_bytes(const rbc__rows *rows);

/* When they were in which stage: the thread that has them begins it, fetching and making enter the
 * stages. */
static inline rbc__timeline *rbc__rows_timeline(const rbc__rows *rows) {
    return rbc__request_timeline(rows->request);
}

/* Counted since the last call. */
rbc__rows_stats rbc__rows_take_stats(rbc__rows *rows);

/* ---- outside of batches: probe.c ---- */

/* Has an episode of the selection at hand, as rows[0]. */
rbc_status rbc__rows_open(rbc__rows *rows, rbc__maker *maker, int64_t episode, rbc_error *err);

/* Whether all windows of the spec, which are of one width, have a value at each of their targets,
 * for a sample at `tick` of the episode: valid [width]. Values are not read. */
rbc_status rbc__rows_valid(rbc__rows *rows, rbc__maker *maker, int64_t episode, int64_t tick,
                           uint8_t *valid, rbc_error *err);

/* Header of the first image of stream `stream_at` that is not empty, over the first episodes of the
 * selection; FORMAT where there is none. */
rbc_status rbc__rows_image_shape(rbc__rows *rows, rbc__maker *maker, int32_t stream_at,
                                 rbc__image_shape *out, rbc_error *err);

/* ---- between fetch.c, choose.c, make.c and probe.c ---- */

/* Stages 2 and 3: the episodes of the rows that were added, at hand or read. What fails is theirs. */
void rbc__rows_find_episodes(rbc__rows *rows, const atomic_bool *cancel);

/* First byte of the row in a field, in the batch or aside; NULL: no memory. */
uint8_t *rbc__rows_field(rbc__rows *rows, int32_t field, const rbc__row *row);

/* Notes the failure of a target of window `rank`, unless an earlier window or target has failed; of
 * all of a window at target 0. */
void rbc__row_fail(rbc__row *row, int32_t rank, int64_t target, const rbc_error *problem);

static inline rbc__cell *rbc__rows_cell(const rbc__rows *rows, int32_t window, int64_t row) {
    return &rows->cells[window * rows->room + row];
}

/* Stage 4 for one window of one row: which samples, and the masks. Fills picks, or times and
 * targets. */
rbc_status rbc__choose(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                       rbc__cell *cell, uint8_t *is_pad, uint8_t *valid, rbc_error *err);
/* Where a resampled window has a value, without making it. */
rbc_status rbc__choose_valid(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                             const rbc__cell *cell, uint8_t *valid, rbc_error *err);
/* Its samples, `count` of them with stamps, as the kernel takes them. */
void rbc__choose_source(const rbc__window_spec *window, const void *values, int64_t sample_bytes,
                        const int64_t *times, int64_t count, rbc__resample_source *out);
/* The job that makes the numbers of a resampled window, targets `out_bytes` apart. */
void rbc__choose_job(const rbc__window_spec *window, const rbc__cell *cell, int64_t sample_bytes,
                     void *out, int64_t out_bytes, uint8_t *valid, rbc__align_job *job);
/* Writes what outside nan or zero stands for to one target. */
void rbc__deliver_nothing(const rbc__window_spec *window, uint8_t *dst);

#endif
