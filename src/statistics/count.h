/* Streams that are counted: what is read of them goes to their channels, round after round.
 *
 * A round is a number of slots. The threads fill them, each slot its own; then they go through them,
 * each channel its own, in the order of the slots. So what is found depends on no thread.
 * Shared within src/statistics. */
#ifndef RBC_STATISTICS_COUNT_H
#define RBC_STATISTICS_COUNT_H

#include "catalog/dataset.h"
#include "core/pool.h"
#include "io/source.h"
#include "statistics/channel.h"

/* What a round is to hold in memory, about. */
#define RBC__ROUND_BYTES (INT64_C(8) << 20)

/* Slots of a round at most. */
#define RBC__ROUND_SLOTS 512

typedef struct rbc__counted {
    int32_t stream;
    const rbc__stream_schema *schema;
    rbc_statistics *result;
    rbc__channel *channels; /* [result->num_channels] */
    int64_t sample_bytes;   /* of numbers */
} rbc__counted;

/* What a slot has of a stream: rows of one value a channel, C order. */
typedef struct rbc__filled {
    rbc__scratch data;
    int64_t num_rows;
} rbc__filled;

typedef struct rbc__counting {
    const rbc_selection *selection;
    rbc__pool *pool;
    rbc__counted *streams;
    int32_t num_streams;
    rbc_on_error on_error;
    rbc_statistics_progress_fn report; /* NULL: nobody is told */
    void *user;
    rbc_statistics_progress *progress;
    rbc__filled *filled; /* [RBC__ROUND_SLOTS][num_streams] */
} rbc__counting;

/* A stream whose samples have `ndim` extents `shape`: one channel an element, or, of large samples,
 * one a position along the last axis. On failure it has to be freed as well. */
rbc_status rbc__counted_init(rbc__counted *out, int32_t stream, const rbc__stream_schema *schema,
                             int32_t ndim, const int64_t *shape, rbc_error *err);
/* Puts what was found into the result. */
rbc_status rbc__counted_finish(rbc__counted *counted, rbc__pool *pool, rbc_error *err);
void rbc__counted_free(rbc__counted *counted);

rbc_status rbc__counting_reserve(rbc__counting *counting, rbc_error *err);
void rbc__counting_free(rbc__counting *counting);
/* Adds what the slots hold. */
rbc_status rbc__counting_add(rbc__counting *counting, int64_t num_slots, rbc_error *err);
/* Tells the caller of the progress; CANCELLED where he says so. */
rbc_status rbc__counting_report(const rbc__counting *counting, rbc_error *err);
/* What becomes of `problem`, which episode `id` had: raised, or counted as skipped. */
rbc_status rbc__counting_skip(rbc__counting *counting, int64_t id, const rbc_error *problem,
                              rbc_error *err);

/* numbers.c: all samples of streams of numbers. */
rbc_status rbc__count_numbers(rbc__counting *counting, rbc_error *err);
/* images.c: `num_images` images, evenly spaced over the selection, of one stream of images. */
rbc_status rbc__count_images(rbc__counting *counting, int32_t stream, int64_t num_images,
                             rbc_error *err);

#endif
