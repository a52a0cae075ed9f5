/* All samples of streams of numbers, of which a slot has those of one episode, or as many of them as
 * fit its share of a round; the others come in further rounds of the same episodes. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "statistics/count.h"
#include "statistics/result.h"

/* Episodes whose samples one request asks for. */
#define REQUEST_SLOTS 16

/* Samples of a stream that count: [first, end) each. */
typedef struct parts_of_stream {
    rbc_step_range whole;   /* where there are no others */
    rbc_step_range *ranges; /* owned; NULL: `whole` */
    int64_t num_ranges, num_samples;
} parts_of_stream;

typedef struct slot {
    int64_t position; /* in the selection */
    rbc__layout *layout;
    rbc__parsed_episode parsed;
    parts_of_stream *parts; /* [num_streams] */
    rbc_status status;
    rbc_error error;
} slot;

typedef struct round_of {
    rbc__counting *counting;
    rbc_dataset *dataset;
    slot *slots; /* [RBC__ROUND_SLOTS] */
    int64_t num_slots;
    int64_t pass;
    int64_t *most;           /* [num_streams] samples of a slot in one pass */
    rbc__request **requests; /* [num_lanes] */
    int64_t num_lanes;
    atomic_llong next;
} round_of;

static const int64_t *ids_of(const round_of *r) {
    return rbc__selection_ids(r->counting->selection);
}

/* ---- which samples ---- */

/* From ranges of steps to those of the samples that lie in them. */
static rbc_status map_ranges(const int64_t *lengths, int64_t num_steps, const rbc_step_range *kept,
                             int64_t num_kept, parts_of_stream *out, rbc_error *err) {
    out->ranges = calloc((size_t)num_kept + 1, sizeof *out->ranges);
    if (out->ranges == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
    }
    out->num_ranges = num_kept;
    int64_t at = 0;
    int64_t step = 0;
    for (int64_t i = 0; i < num_kept; ++i) {
        for (; step < kept[i].first && step < num_steps; ++step) {
            at += lengths != NULL ? lengths[step] : 1;
        }
        out->ranges[i].first = at;
        for (; step < kept[i].end && step < num_steps; ++step) {
            at += lengths != NULL ? lengths[step] : 1;
        }
        out->ranges[i].end = at;
        out->num_samples += at - out->ranges[i].first;
    }
    return RBC_OK;
}

static rbc_status find_parts(round_of *r, rbc__request *request, const slot *at,
                             const rbc__counted *counted, parts_of_stream *out, rbc_error *err) {
    const rbc__stream_schema *schema = counted->schema;
    const int64_t num_steps = (int64_t)at->layout->num_steps;
    const int64_t num_samples =
        (int64_t)rbc__layout_num_samples(at->layout, (uint32_t)counted->stream);
    int64_t num_kept;
    const rbc_step_range *kept =
        rbc_selection_ranges(r->counting->selection, at->position, &num_kept);
    if (kept == NULL) {
        *out = (parts_of_stream){
            .whole = {0, num_samples}, .num_ranges = 1, .num_samples = num_samples};
        return RBC_OK;
    }
    if (!schema->is_ragged) {
        if (num_samples != num_steps) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "stream '%s' has %lld samples in %lld steps, and nothing says which "
                             "lie in the steps that are kept",
                             schema->name, (long long)num_samples, (long long)num_steps);
        }
        return map_ranges(NULL, num_steps, kept, num_kept, out, err);
    }
    int64_t *lengths = calloc((size_t)num_steps + 1, sizeof *lengths);
    if (lengths == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
    }
    int32_t rank;
    rbc__request_begin(request);
    rbc__request_for(request, 0, 0);
    rbc_status status =
        rbc__request_row_lengths(request, &at->parsed, counted->stream, lengths, err);
    if (status == RBC_OK) {
        rbc__request_read(request, NULL);
        rbc__request_finish(request, NULL);
        const rbc_error *problem = rbc__request_failure(request, 0, &rank);
        status = problem != NULL ? rbc__pass_on(problem, err)
                                 : map_ranges(lengths, num_steps, kept, num_kept, out, err);
    }
    free(lengths);
    return status;
}

static rbc_status open_slot(round_of *r, rbc__request *request, slot *at, rbc_error *err) {
    rbc__cursor *cursor;
    rbc__episode_row row;
    RBC__TRY(rbc__cursor_take(r->dataset, &cursor, err));
    rbc_status status = rbc__cursor_episode(cursor, ids_of(r)[at->position], &row, err);
    if (status == RBC_OK) {
        status = rbc__dataset_parse_layout(r->dataset, &row, &at->layout, err);
    }
    rbc__cursor_give(&cursor);
    RBC__TRY(status);
    at->parsed = (rbc__parsed_episode){at->layout, row.part, row.entry.record};
    for (int32_t s = 0; s < r->counting->num_streams; ++s) {
        RBC__TRY(find_parts(r, request, at, &r->counting->streams[s], &at->parts[s], err));
    }
    return RBC_OK;
}

/* ---- filling ---- */

/* Asks for samples [first, first + count) of those that count. */
static rbc_status want(round_of *r, rbc__request *request, const slot *at, int32_t s, int64_t first,
                       int64_t count, uint8_t *dst, rbc_error *err) {
    const rbc__counted *counted = &r->counting->streams[s];
    const parts_of_stream *parts = &at->parts[s];
    const rbc_step_range *ranges = parts->ranges != NULL ? parts->ranges : &parts->whole;
    for (int64_t i = 0; i < parts->num_ranges && count > 0; ++i) {
        const int64_t size = ranges[i].end - ranges[i].first;
        if (first >= size) {
            first -= size;
            continue;
        }
        const int64_t taken = count < size - first ? count : size - first;
        RBC__TRY(rbc__request_values(request, &at->parsed, counted->stream, ranges[i].first + first,
                                     taken, dst, err));
        dst += taken * counted->sample_bytes;
        count -= taken;
        first = 0;
    }
    return RBC_OK;
}

static rbc_status want_all(round_of *r, rbc__request *request, slot *at, rbc_error *err) {
    const int64_t index = at - r->slots;
    for (int32_t s = 0; s < r->counting->num_streams; ++s) {
        const rbc__counted *counted = &r->counting->streams[s];
        rbc__filled *filled = &r->counting->filled[index * r->counting->num_streams + s];
        const int64_t first = r->pass * r->most[s];
        const int64_t left = at->parts[s].num_samples - first;
        const int64_t count = left < r->most[s] ? left : r->most[s];
        if (count <= 0 || counted->sample_bytes == 0) {
            continue;
        }
        RBC__TRY(rbc__scratch_reserve(&filled->data, (size_t)(count * counted->sample_bytes), err));
        rbc__request_for(request, (int32_t)index, s);
        RBC__TRY(want(r, request, at, s, first, count, filled->data.data, err));
        filled->num_rows =
            count * counted->sample_bytes /
            (counted->result->num_channels * rbc__dtype_bytes(counted->schema->dtype));
    }
    return RBC_OK;
}

static void empty_slot(const round_of *r, const slot *at) {
    rbc__filled *filled = &r->counting->filled[(at - r->slots) * r->counting->num_streams];
    for (int32_t s = 0; s < r->counting->num_streams; ++s) {
        filled[s].num_rows = 0;
    }
}

static void fill_slots(round_of *r, rbc__request *request, slot *first, int64_t count) {
    for (int64_t i = 0; i < count && r->pass == 0; ++i) {
        first[i].status = open_slot(r, request, &first[i], &first[i].error);
    }
    rbc__request_begin(request);
    for (int64_t i = 0; i < count; ++i) {
        empty_slot(r, &first[i]);
        if (first[i].status == RBC_OK) {
            first[i].status = want_all(r, request, &first[i], &first[i].error);
        }
    }
    rbc__request_read(request, NULL);
    rbc__request_finish(request, NULL);
    for (int64_t i = 0; i < count && rbc__request_num_failures(request) > 0; ++i) {
        int32_t rank;
        const rbc_error *problem =
            rbc__request_failure(request, (int32_t)(&first[i] - r->slots), &rank);
        if (problem != NULL && first[i].status == RBC_OK) {
            first[i].status = rbc__pass_on(problem, &first[i].error);
        }
    }
}

/* A thread's lane: a few slots after the other. */
static void run_lane(void *job, int64_t index) {
    round_of *r = job;
    for (;;) {
        const int64_t first = atomic_fetch_add(&r->next, REQUEST_SLOTS);
        if (first >= r->num_slots) {
            return;
        }
        const int64_t left = r->num_slots - first;
        fill_slots(r, r->requests[index], &r->slots[first],
                   left < REQUEST_SLOTS ? left : REQUEST_SLOTS);
    }
}

/* ---- rounds ---- */

/* The episodes of the next round: as many as fit it, at least one. */
static void choose_slots(round_of *r, int64_t *position) {
    const rbc_selection *selection = r->counting->selection;
    const int64_t *steps = rbc__selection_steps(selection);
    const int64_t size = rbc_selection_size(selection);
    double step_bytes = 0;
    double bytes = 0;
    for (int32_t s = 0; s < r->counting->num_streams; ++s) {
        step_bytes += (double)r->counting->streams[s].sample_bytes;
    }
    r->num_slots = 0;
    r->pass = 0;
    while (*position < size && r->num_slots < RBC__ROUND_SLOTS &&
           (r->num_slots == 0 || bytes < (double)RBC__ROUND_BYTES)) {
        bytes += step_bytes * (double)steps[*position];
        r->slots[r->num_slots++].position = (*position)++;
    }
    for (int32_t s = 0; s < r->counting->num_streams; ++s) {
        const int64_t parts = r->num_slots * r->counting->num_streams;
        const int64_t share = parts > 0 ? 4 * RBC__ROUND_BYTES / parts : 0;
        const int64_t bytes_of = r->counting->streams[s].sample_bytes;
        r->most[s] = bytes_of > 0 && share > bytes_of ? share / bytes_of : 1;
    }
}

static void close_slots(round_of *r) {
    for (int64_t i = 0; i < r->num_slots; ++i) {
        slot *at = &r->slots[i];
        for (int32_t s = 0; s < r->counting->num_streams; ++s) {
            free(at->parts[s].ranges);
            at->parts[s] = (parts_of_stream){0};
        }
        free(at->layout);
        at->layout = NULL;
    }
}

/* Says of the slots what failed, in their order, and whether another pass is due. */
static rbc_status look_at_slots(round_of *r, bool *more, rbc_error *err) {
    *more = false;
    for (int64_t i = 0; i < r->num_slots; ++i) {
        slot *at = &r->slots[i];
        if (at->status != RBC_OK && at->position >= 0) {
            empty_slot(r, at);
            RBC__TRY(rbc__counting_skip(r->counting, ids_of(r)[at->position], &at->error, err));
            at->position = -1; /* told */
        }
        for (int32_t s = 0; s < r->counting->num_streams && at->status == RBC_OK; ++s) {
            rbc_statistics *result = r->counting->streams[s].result;
            const int64_t total = at->parts[s].num_samples;
            const int64_t done = r->pass * r->most[s];
            const int64_t left = total > done ? total - done : 0;
            result->num_samples += left < r->most[s] ? left : r->most[s];
            result->num_episodes += r->pass == 0;
            *more = *more || left > r->most[s];
        }
    }
    return RBC_OK;
}

static rbc_status run_round(round_of *r, rbc_error *err) {
    bool more = true;
    while (more) {
        RBC__TRY(rbc__counting_report(r->counting, err));
        atomic_store(&r->next, 0);
        rbc__pool_run(r->counting->pool, r->num_lanes, run_lane, r);
        RBC__TRY(look_at_slots(r, &more, err));
        RBC__TRY(rbc__counting_add(r->counting, r->num_slots, err));
        ++r->pass;
    }
    return RBC_OK;
}

static rbc_status prepare(round_of *r, rbc_error *err) {
    const int32_t num_streams = r->counting->num_streams;
    const rbc__request_params requests = rbc__dataset_requests(r->dataset);
    parts_of_stream *parts =
        calloc((size_t)RBC__ROUND_SLOTS * (size_t)num_streams + 1, sizeof *parts);
    r->slots = calloc(RBC__ROUND_SLOTS, sizeof *r->slots);
    r->most = calloc((size_t)num_streams + 1, sizeof *r->most);
    r->requests = calloc((size_t)r->num_lanes, sizeof(rbc__request *));
    if (parts == NULL || r->slots == NULL || r->most == NULL || r->requests == NULL) {
        free(parts);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
    }
    for (int64_t i = 0; i < RBC__ROUND_SLOTS; ++i) {
        r->slots[i].parts = parts + i * num_streams;
    }
    for (int64_t i = 0; i < r->num_lanes; ++i) {
        RBC__TRY(rbc__request_create(&requests, &r->requests[i], err));
    }
    return rbc__counting_reserve(r->counting, err);
}

rbc_status rbc__count_numbers(rbc__counting *counting, rbc_error *err) {
    round_of r = {.counting = counting,
                  .dataset = rbc_selection_dataset(counting->selection),
                  .num_lanes = rbc__pool_num_threads(counting->pool)};
    rbc_status status = prepare(&r, err);
    const int64_t size = rbc_selection_size(counting->selection);
    for (int64_t position = 0; status == RBC_OK && position < size;) {
        choose_slots(&r, &position);
        status = run_round(&r, err);
        counting->progress->episodes_done += r.num_slots;
        close_slots(&r);
    }
    for (int64_t i = 0; r.requests != NULL && i < r.num_lanes; ++i) {
        rbc__request_destroy(&r.requests[i]);
    }
    free((void *)r.requests);
    free(r.slots != NULL ? r.slots[0].parts : NULL);
    free(r.slots);
    free(r.most);
    rbc__counting_free(counting);
    return status;
}
