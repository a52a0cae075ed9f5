/* One worker: everything that turns (episode, tick) into a row of a batch.
 *
 * A worker is used by one thread at a time and shares nothing that changes with others but the
 * dataset's files. Shared within src/loader. */
#ifndef RBC_LOADER_FETCH_H
#define RBC_LOADER_FETCH_H

#include <robocache/robocache.h>

#include "backend.h"
#include "codec/codec.h"
#include "loader/batch_spec.h"
#include "loader/clock.h"
#include "loader/episode_cache.h"
#include "loader/slot.h"
#include "loader/window.h"

typedef struct rbc__fetch_stats {
    int64_t images_decoded;
    int64_t bytes_read;
    int64_t fetch_ns, decode_ns, align_ns;
} rbc__fetch_stats;

typedef struct rbc__fetch {
    const rbc__batch_spec *spec;
    const rbc__clock *clock;
    rbc__episode_cache *cache;
    rbc__decoder *decoder;       /* NULL without image windows */
    const rbc__backend *backend; /* that aligns, on the thread that fetches */
    rbc_context *context;        /* of one thread */
    int64_t *targets;            /* [2 * spec->max_width] */
    int64_t *picks;              /* [spec->max_width] */
    uint8_t *has_image;          /* [spec->max_width] */
    rbc__span *spans;            /* [spec->max_width] */
    rbc__scratch times;          /* of the samples a window needs */
    rbc__scratch indices;
    rbc__scratch intervals; /* rows of a window with reductions, and whether each is valid */
    rbc__scratch judged;    /* masks of one window */
    rbc__fetch_stats stats;
} rbc__fetch;

/* A row to be filled. */
typedef struct rbc__row {
    rbc_batch *batch;
    int32_t arena;
    int64_t index; /* in the batch */
    rbc__cached_episode *episode;
    int64_t tick;
    int64_t tick_ns;
} rbc__row;

/* Borrows spec, clock and selection. */
rbc_status rbc__fetch_create(const rbc__batch_spec *spec, const rbc__clock *clock,
                             const rbc_selection *selection, int64_t max_episodes,
                             int64_t max_bytes, rbc__fetch **out, rbc_error *err);
void rbc__fetch_destroy(rbc__fetch **handle);

/* Fills row `row` of `batch` with sample `sample` of the clock, strings through `arena`. Errors
 * name file, episode, step and stream; the row is then undefined. */
rbc_status rbc__fetch_row(rbc__fetch *fetch, int64_t sample, rbc_batch *batch, int32_t arena,
                          int64_t row, rbc_error *err);

/* Whether all windows of the spec, which are of one width, have a value at each of their targets,
 * for a sample at `tick` of the episode: valid [width]. Values are not read. */
rbc_status rbc__fetch_valid(rbc__fetch *fetch, int64_t episode, int64_t tick, uint8_t *valid,
                            rbc_error *err);

/* Header of the first image of stream `stream_at` that is not empty, over the first episodes of the
 * selection; FORMAT where there is none. */
rbc_status rbc__fetch_image_shape(rbc__fetch *fetch, int32_t stream_at, rbc__image_shape *out,
                                  rbc_error *err);

/* Counted since the last call. */
rbc__fetch_stats rbc__fetch_take_stats(rbc__fetch *fetch);

/* deliver.c: delivers the samples fetch->picks[0..width) of the window's stream, -1 meaning none,
 * as they are. Clears `valid` where an image turns out to be empty. */
rbc_status rbc__deliver_picks(rbc__fetch *fetch, const rbc__row *row,
                              const rbc__window_spec *window, uint8_t *valid, rbc_error *err);
/* Writes what outside nan or zero stands for to one target. */
void rbc__deliver_nothing(const rbc__window_spec *window, uint8_t *dst);

/* align.c: resamples a numeric window to fetch->targets, into the row. */
rbc_status rbc__align_numeric(rbc__fetch *fetch, const rbc__row *row,
                              const rbc__window_spec *window, const uint8_t *is_pad, uint8_t *valid,
                              rbc_error *err);
/* The same choice for samples that cannot be computed with: fills fetch->picks. */
rbc_status rbc__align_picks(rbc__fetch *fetch, const rbc__row *row, const rbc__window_spec *window,
                            const uint8_t *is_pad, uint8_t *valid, rbc_error *err);
/* Where a numeric window has a value, without making it. */
rbc_status rbc__align_valid(rbc__fetch *fetch, const rbc__row *row, const rbc__window_spec *window,
                            uint8_t *valid, rbc_error *err);

#endif
