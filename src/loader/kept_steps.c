#include "loader/kept_steps.h"

#include <stdlib.h>

#include "core/error.h"
#include "loader/tick_runs.h"

/* The times of the steps of one episode after the other. */
typedef struct step_times {
    rbc_dataset *dataset;
    const rbc__clock *clock;
    int32_t stream;        /* of numbers that are stamps, one a step; -1: not looked for yet */
    rbc__request *request; /* NULL: not needed yet */
    int64_t *times_ns;     /* [room] */
    int64_t room;
} step_times;

/* A stream with a stamp for each step: one that the episode's beginning is taken from, if any. */
static rbc_status find_stamps(step_times *t, rbc_error *err) {
    const rbc__schema *schema = rbc__dataset_schema(t->dataset);
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        if (stream->times >= 0 && !stream->is_ragged &&
            (t->stream < 0 || (stream->is_reference && !schema->streams[t->stream].is_reference))) {
            t->stream = i;
        }
    }
    return t->stream >= 0
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                           "dataset '%s': no stream has a stamp for each step, so nothing "
                           "says which ticks of the clock lie in the steps that are kept",
                           schema->name);
}

static rbc_status want_stamps(step_times *t, const rbc__parsed_episode *parsed, int64_t id,
                              int64_t num_steps, rbc_error *err) {
    const rbc__stream_schema *schema = &rbc__dataset_schema(t->dataset)->streams[t->stream];
    const int64_t num_samples =
        (int64_t)rbc__layout_num_samples(parsed->layout, (uint32_t)t->stream);
    if (num_samples != num_steps) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "episode %lld: stream '%s' has %lld stamps, wanted one for each of %lld "
                         "steps, since some steps are not kept",
                         (long long)id, schema->name, (long long)num_samples, (long long)num_steps);
    }
    rbc__request_begin(t->request);
    rbc__request_for(t->request, 0, 0);
    RBC__TRY(
        rbc__request_values(t->request, parsed, schema->times, 0, num_steps, t->times_ns, err));
    rbc__request_read(t->request, NULL);
    rbc__request_finish(t->request, NULL);
    int32_t rank;
    const rbc_error *problem = rbc__request_failure(t->request, 0, &rank);
    return problem != NULL ? rbc__pass_on(problem, err) : RBC_OK;
}

static rbc_status read_stamps(step_times *t, int64_t id, int64_t num_steps, rbc_error *err) {
    rbc__cursor *cursor;
    rbc__episode_row row;
    rbc__layout *layout = NULL;
    if (t->request == NULL) {
        const rbc__request_params requests = rbc__dataset_requests(t->dataset);
        RBC__TRY(rbc__request_create(&requests, &t->request, err));
    }
    RBC__TRY(rbc__cursor_take(t->dataset, &cursor, err));
    rbc_status status = rbc__cursor_episode(cursor, id, &row, err);
    if (status == RBC_OK) {
        status = rbc__dataset_parse_layout(t->dataset, &row, &layout, err);
    }
    rbc__cursor_give(&cursor);
    if (status == RBC_OK) {
        const rbc__parsed_episode parsed = {layout, row.part, row.entry.record};
        status = want_stamps(t, &parsed, id, num_steps, err);
    }
    free(layout);
    return status;
}

static rbc_status get_times(step_times *t, int64_t position, int64_t id, rbc_error *err) {
    const rbc__clock *clock = t->clock;
    const int64_t num_steps = clock->from.steps[position];
    if (num_steps > t->room) {
        int64_t *grown = realloc(t->times_ns, (size_t)num_steps * sizeof *grown);
        if (grown == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %lld steps",
                             (long long)num_steps);
        }
        t->times_ns = grown;
        t->room = num_steps;
    }
    if (clock->from.steps_end_ns[position] >= clock->from.steps_start_ns[position]) {
        if (t->stream < 0) {
            RBC__TRY(find_stamps(t, err));
        }
        return read_stamps(t, id, num_steps, err);
    }
    for (int64_t i = 0; i < num_steps; ++i) {
        t->times_ns[i] = rbc__rate_time_ns(&clock->control, i);
    }
    return RBC_OK;
}

static bool is_kept(const rbc_step_range *ranges, int64_t count, int64_t step, int64_t *range) {
    while (*range < count && step >= ranges[*range].end) {
        ++*range;
    }
    return *range < count && step >= ranges[*range].first;
}

/* The step of each tick is the last whose time is not after it. */
static rbc_status add_episode(step_times *t, int64_t position, int64_t id,
                              const rbc_step_range *ranges, int64_t count, rbc__tick_runs *runs,
                              rbc_error *err) {
    const rbc__clock *clock = t->clock;
    const int64_t num_steps = clock->from.steps[position];
    const int64_t origin_ns = rbc__clock_origin_ns(clock, position);
    if (!clock->ticks_are_steps) {
        RBC__TRY(get_times(t, position, id, err));
    }
    int64_t step = 0;
    int64_t range = 0;
    for (int64_t tick = 0; tick < rbc__clock_num_ticks(clock, position); ++tick) {
        if (clock->ticks_are_steps) {
            step = tick;
        } else {
            const int64_t at_ns = rbc__time_add_ns(
                rbc__time_add_ns(origin_ns, rbc__rate_time_ns(&clock->rate, tick)), clock->snap_ns);
            while (step + 1 < num_steps && t->times_ns[step + 1] <= at_ns) {
                ++step;
            }
        }
        if (is_kept(ranges, count, step, &range)) {
            RBC__TRY(rbc__tick_runs_add(runs, clock->first_tick[position] + tick, err));
        }
    }
    return RBC_OK;
}

rbc_status rbc__keep_steps(rbc__clock *clock, const rbc_selection *selection, rbc_error *err) {
    const int64_t *ids = rbc__selection_ids(selection);
    int64_t count;
    if (rbc_selection_ranges(selection, 0, &count) == NULL) {
        return RBC_OK;
    }
    step_times t = {.dataset = rbc_selection_dataset(selection), .clock = clock, .stream = -1};
    rbc__tick_runs runs;
    rbc_status status = rbc__tick_runs_begin(&runs, err);
    for (int64_t i = 0; i < rbc_selection_size(selection) && status == RBC_OK; ++i) {
        const rbc_step_range *ranges = rbc_selection_ranges(selection, i, &count);
        status = add_episode(&t, i, ids[i], ranges, count, &runs, err);
    }
    if (status == RBC_OK) {
        rbc__tick_runs_give(&runs, clock);
    }
    rbc__tick_runs_free(&runs);
    rbc__request_destroy(&t.request);
    free(t.times_ns);
    return status;
}
