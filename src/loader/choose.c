/* Windows to samples: which of a stream a window wants, and what is computed of them. */
#include <string.h>

#include "core/error.h"
#include "loader/future.h"
#include "loader/rows.h"

static rbc_status no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the windows of a batch");
}

static const rbc__used_stream *used_by(const rbc__rows *rows, const rbc__window_spec *window) {
    return &rows->params.spec->used[window->stream_at];
}

/* The range of samples that the window needs, and their stamps; the targets are moved onto those
 * that they are within the snap of. */
static rbc_status gather_times(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                               rbc__cell *cell, rbc_error *err) {
    const rbc__loaded_stream *loaded = &row->episode->streams[window->stream_at];
    const rbc__clock *clock = rows->params.clock;
    const rbc__stamps stamps = {
        .times = loaded->times,
        .count = loaded->num_samples,
        .rate = &clock->control,
        .origin_ns = rbc__time_add_ns(rbc__clock_steps_start_ns(clock, row->episode_at),
                                      used_by(rows, window)->clock_offset_ns)};
    rbc__window_range(window, &stamps, clock->snap_ns, cell->targets, &cell->begin, &cell->end);
    if (loaded->times != NULL) {
        cell->times = loaded->times + cell->begin;
    } else {
        const size_t count = (size_t)(cell->end - cell->begin);
        int64_t *times = rbc__arena_take(&rows->arena, count * sizeof *times);
        if (times == NULL) {
            return no_memory(err);
        }
        for (size_t i = 0; i < count; ++i) {
            times[i] = rbc__stamp_at(&stamps, cell->begin + (int64_t)i);
        }
        cell->times = times;
    }
    rbc__window_snap(window, cell->times, cell->end - cell->begin, clock->snap_ns, cell->targets);
    return RBC_OK;
}

/* What is not plain is filled in the end, once it is known of all parts of its vector. */
static rbc_outside outside_of(const rbc__window_spec *window) {
    return !window->is_plain && rbc__window_fills(window) ? RBC_OUTSIDE_HOLD : window->outside;
}

void rbc__choose_source(const rbc__window_spec *window, const void *values, int64_t sample_bytes,
                        const int64_t *times, int64_t count, rbc__resample_source *out) {
    *out = (rbc__resample_source){.values = values,
                                  .sample_stride_bytes = sample_bytes,
                                  .channel_stride_bytes = rbc__dtype_bytes(window->stored),
                                  .times = (const char *)times,
                                  .times_stride_bytes = sizeof(int64_t),
                                  .num_samples = count,
                                  .num_channels = window->num_channels,
                                  .runs = window->runs,
                                  .num_runs = window->num_runs,
                                  .outside = outside_of(window),
                                  .max_gap = (double)window->max_gap_ns,
                                  .tolerance = (double)window->tolerance_ns,
                                  .max_gap_ns = window->max_gap_ns,
                                  .tolerance_ns = window->tolerance_ns};
}

static void fill_job(const rbc__window_spec *window, const int64_t *targets, rbc__dtype dtype,
                     void *out, int64_t out_bytes, uint8_t *valid, rbc__resample_job *job) {
    *job = (rbc__resample_job){.batch = 1,
                               .num_targets = rbc__window_num_targets(window),
                               .dtype = dtype,
                               .time_type = RBC__TIME_I64,
                               .targets = (const char *)targets,
                               .targets_stride_bytes = sizeof(int64_t),
                               .out = out,
                               .out_target_stride_bytes = out_bytes,
                               .out_channel_stride_bytes = rbc__dtype_bytes(dtype),
                               .valid_target_stride_bytes = 1,
                               .valid_source_stride_bytes = 1};
    job->valid = (char *)valid;
}

void rbc__choose_job(const rbc__window_spec *window, const rbc__cell *cell, int64_t sample_bytes,
                     void *out, int64_t out_bytes, uint8_t *valid, rbc__align_job *job) {
    rbc__choose_source(window, cell->values, sample_bytes, cell->times, cell->end - cell->begin,
                       &job->source);
    fill_job(window, cell->targets, window->job_dtype, out, out_bytes, valid, &job->job);
}

/* Runs a job of the chooser's own. */
static rbc_status run(rbc__rows *rows, const rbc__window_spec *window,
                      const rbc__resample_source *source, rbc__resample_job *job, rbc_error *err) {
    job->sources = source;
    job->num_sources = 1;
    const rbc_status status =
        rows->chooser->backend->resample(rows->chooser->context, job, 0, NULL, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "stream '%s'", used_by(rows, window)->schema->name);
    }
    return RBC_OK;
}

/* Which samples are taken, of those that cannot be computed with: their numbers are resampled in
 * their place. */
static rbc_status pick(rbc__rows *rows, const rbc__window_spec *window, rbc__cell *cell,
                       const uint8_t *is_pad, uint8_t *valid, rbc_error *err) {
    const int64_t count = cell->end - cell->begin;
    cell->picks = rbc__arena_take(&rows->arena, (size_t)window->width * sizeof *cell->picks);
    if (cell->picks == NULL) {
        return no_memory(err);
    }
    if (count == 0) {
        memset(valid, 0, (size_t)window->width);
        for (int64_t i = 0; i < window->width; ++i) {
            cell->picks[i] = -1;
        }
        return RBC_OK;
    }
    RBC__TRY(rbc__scratch_reserve(&rows->indices, (size_t)count * sizeof(int64_t), err));
    int64_t *indices = (int64_t *)(void *)rows->indices.data;
    for (int64_t i = 0; i < count; ++i) {
        indices[i] = cell->begin + i;
    }
    const rbc__channel_run run_of_one = {0, 1, window->runs[0].mode};
    rbc__resample_source source;
    rbc__resample_job job;
    rbc__choose_source(window, indices, sizeof(int64_t), cell->times, count, &source);
    source.channel_stride_bytes = sizeof(int64_t);
    source.num_channels = 1;
    source.runs = &run_of_one;
    source.num_runs = 1;
    source.outside = RBC_OUTSIDE_HOLD;
    fill_job(window, cell->targets, RBC__I64, cell->picks, sizeof(int64_t), valid, &job);
    RBC__TRY(run(rows, window, &source, &job, err));
    for (int64_t i = 0; i < window->width && rbc__window_fills(window); ++i) {
        valid[i] = valid[i] && !is_pad[i];
        cell->picks[i] = valid[i] ? cell->picks[i] : -1;
    }
    return RBC_OK;
}

/* The tick that a window is around: the sample's own, or one that is drawn for it. `is_there` false:
 * there was none to be drawn. */
static rbc_status find_tick(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                            int64_t *tick, bool *is_there, rbc_error *err) {
    *tick = row->tick;
    *is_there = true;
    if (!window->is_future) {
        return RBC_OK;
    }
    uint8_t *field = rbc__rows_field(rows, window->future_field, row);
    if (field == NULL) {
        return no_memory(err);
    }
    const uint64_t key = rbc_image_key(rows->params.order.seed, row->epoch,
                                       rbc__episodes_id(rows->params.episodes, row->episode_at),
                                       row->tick, (rbc_image_share)window->future.share,
                                       rows->params.spec->fields[window->value_field].name, 0);
    *is_there = rbc__future_draw(&window->future, key, row->tick,
                                 rbc__clock_num_ticks(rows->params.clock, row->episode_at), tick);
    memcpy(field, tick, sizeof *tick);
    return RBC_OK;
}

rbc_status rbc__choose(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                       rbc__cell *cell, uint8_t *is_pad, uint8_t *valid, rbc_error *err) {
    const rbc__loaded_stream *loaded = &row->episode->streams[window->stream_at];
    const rbc__used_stream *used = used_by(rows, window);
    const rbc__clock *clock = rows->params.clock;
    *cell = (rbc__cell){0};
    RBC__TRY(rbc__loaded_check(loaded, err));
    int64_t tick;
    bool is_there;
    RBC__TRY(find_tick(rows, row, window, &tick, &is_there, err));
    if (window->is_exact) {
        cell->picks = rbc__arena_take(&rows->arena, (size_t)window->width * sizeof *cell->picks);
        if (cell->picks == NULL) {
            return no_memory(err);
        }
        rbc__window_picks(window, loaded->num_samples, rbc__clock_num_ticks(clock, row->episode_at),
                          tick, cell->picks, is_pad, valid);
        if (!is_there) {
            is_pad[0] = 1;
            valid[0] = valid[0] && !rbc__window_fills(window);
            cell->picks[0] = rbc__window_fills(window) ? -1 : cell->picks[0];
        }
        return RBC_OK;
    }
    /* with reductions there is a target where each interval begins, too */
    cell->targets =
        rbc__arena_take(&rows->arena, 2 * (size_t)window->width * sizeof *cell->targets);
    if (cell->targets == NULL) {
        return no_memory(err);
    }
    rbc__window_targets(window, clock, row->episode_at, tick, cell->targets, is_pad);
    is_pad[0] = is_pad[0] || !is_there;
    RBC__TRY(gather_times(rows, row, window, cell, err));
    if (!rbc__window_takes_samples(window, used)) {
        return RBC_OK;
    }
    return pick(rows, window, cell, is_pad, valid, err);
}

rbc_status rbc__choose_valid(rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                             const rbc__cell *cell, uint8_t *valid, rbc_error *err) {
    (void)row;
    const size_t num_targets = (size_t)rbc__window_num_targets(window);
    RBC__TRY(rbc__scratch_reserve(&rows->intervals, num_targets, err));
    /* Of runs without channels the kernel only says where they have a value. */
    uint8_t *rows_valid = rows->intervals.data;
    rbc__resample_source source;
    rbc__resample_job job;
    rbc__choose_source(window, cell->times, 0, cell->times, cell->end - cell->begin, &source);
    source.num_channels = 0;
    source.runs = window->empty_runs;
    fill_job(window, cell->targets, window->job_dtype, rows_valid, 0, rows_valid, &job);
    RBC__TRY(run(rows, window, &source, &job, err));
    for (int64_t i = 0; i < window->width; ++i) {
        valid[i] = rows_valid[rbc__window_target_index(window, i)];
    }
    return RBC_OK;
}
