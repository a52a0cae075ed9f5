#include <string.h>

#include "core/error.h"
#include "loader/fetch.h"

/* The range of samples that the window needs, and their stamps in fetch->times; the targets are
 * moved onto those that they are within the snap of. */
static rbc_status gather_times(rbc__fetch *fetch, const rbc__row *row,
                               const rbc__window_spec *window, int64_t *begin, int64_t *end,
                               const int64_t **times, rbc_error *err) {
    const rbc__cached_stream *cached = &row->episode->streams[window->stream_at];
    const rbc__clock *clock = fetch->clock;
    const rbc__stamps stamps = {.times = cached->times,
                                .count = cached->num_samples,
                                .rate = &clock->control,
                                .origin_ns =
                                    rbc__clock_steps_start_ns(clock, row->episode->position)};
    rbc__window_range(window, &stamps, clock->snap_ns, fetch->targets, begin, end);
    if (cached->times != NULL) {
        *times = cached->times + *begin;
    } else {
        RBC__TRY(rbc__scratch_reserve(&fetch->times, (size_t)(*end - *begin + 1) * sizeof(int64_t),
                                      err));
        for (int64_t i = *begin; i < *end; ++i) {
            const int64_t stamp = rbc__stamp_at(&stamps, i);
            memcpy(fetch->times.data + (size_t)(i - *begin) * sizeof stamp, &stamp, sizeof stamp);
        }
        *times = (const int64_t *)(const void *)fetch->times.data;
    }
    rbc__window_snap(window, *times, *end - *begin, clock->snap_ns, fetch->targets);
    return RBC_OK;
}

static rbc__resample_source source_of(const rbc__window_spec *window, const void *values,
                                      int64_t sample_bytes, const int64_t *times, int64_t count) {
    return (rbc__resample_source){.values = values,
                                  .sample_stride_bytes = sample_bytes,
                                  .channel_stride_bytes = rbc__dtype_bytes(window->dtype),
                                  .times = (const char *)times,
                                  .times_stride_bytes = sizeof(int64_t),
                                  .num_samples = count,
                                  .num_channels = window->num_channels,
                                  .runs = window->runs,
                                  .num_runs = window->num_runs,
                                  .outside = window->outside,
                                  .max_gap = (double)window->max_gap_ns,
                                  .tolerance = (double)window->tolerance_ns,
                                  .max_gap_ns = window->max_gap_ns,
                                  .tolerance_ns = window->tolerance_ns};
}

static rbc_status run(rbc__fetch *fetch, const rbc__row *row, const rbc__window_spec *window,
                      const rbc__resample_source *source, rbc__dtype dtype, void *out,
                      int64_t out_bytes, uint8_t *valid, rbc_error *err) {
    const rbc__resample_job job = {.batch = 1,
                                   .num_targets = rbc__window_num_targets(window),
                                   .dtype = dtype,
                                   .time_type = RBC__TIME_I64,
                                   .targets = (const char *)fetch->targets,
                                   .targets_stride_bytes = sizeof(int64_t),
                                   .out = out,
                                   .out_target_stride_bytes = out_bytes,
                                   .out_channel_stride_bytes = rbc__dtype_bytes(dtype),
                                   .valid = (char *)valid,
                                   .valid_target_stride_bytes = 1,
                                   .valid_source_stride_bytes = 1,
                                   .sources = source,
                                   .num_sources = 1};
    const rbc_status status = fetch->backend->resample(fetch->context, &job, 0, NULL, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "%s: stream '%s'",
                                rbc__cached_episode_path(row->episode),
                                fetch->spec->used[window->stream_at].schema->name);
    }
    return RBC_OK;
}

/* The targets at which intervals begin have rows too, which are left behind. */
static rbc_status run_intervals(rbc__fetch *fetch, const rbc__row *row,
                                const rbc__window_spec *window, const rbc__resample_source *source,
                                uint8_t *out, uint8_t *valid, rbc_error *err) {
    const size_t num_targets = (size_t)rbc__window_num_targets(window);
    const size_t bytes = (size_t)window->target_bytes;
    RBC__TRY(rbc__scratch_reserve(&fetch->intervals, num_targets * (bytes + 1), err));
    uint8_t *rows = fetch->intervals.data;
    uint8_t *rows_valid = rows + num_targets * bytes;
    RBC__TRY(run(fetch, row, window, source, window->job_dtype, rows, window->target_bytes,
                 rows_valid, err));
    for (int64_t i = 0; i < window->width; ++i) {
        const int64_t target = rbc__window_target_index(window, i);
        memcpy(out + (size_t)i * bytes, rows + (size_t)target * bytes, bytes);
        valid[i] = rows_valid[target];
    }
    return RBC_OK;
}

rbc_status rbc__align_numeric(rbc__fetch *fetch, const rbc__row *row,
                              const rbc__window_spec *window, const uint8_t *is_pad, uint8_t *valid,
                              rbc_error *err) {
    int64_t begin = 0;
    int64_t end = 0;
    const int64_t *times = NULL;
    const uint8_t *values = NULL;
    RBC__TRY(gather_times(fetch, row, window, &begin, &end, &times, err));
    RBC__TRY(rbc__episode_cache_values(fetch->cache, row->episode, window->stream_at, begin,
                                       end - begin, &values, err));
    const rbc__resample_source source = source_of(
        window, values, fetch->spec->used[window->stream_at].sample_bytes, times, end - begin);
    const rbc__field_spec *field = &fetch->spec->fields[window->value_field];
    uint8_t *out = rbc__batch_row(row->batch, field, row->index);
    RBC__TRY(window->has_reduction ? run_intervals(fetch, row, window, &source, out, valid, err)
                                   : run(fetch, row, window, &source, window->job_dtype, out,
                                         window->target_bytes, valid, err));
    for (int64_t i = 0; i < window->width && rbc__window_fills(window); ++i) {
        if (is_pad[i]) {
            valid[i] = 0;
            rbc__deliver_nothing(window, out + i * window->target_bytes);
        }
    }
    return RBC_OK;
}

rbc_status rbc__align_picks(rbc__fetch *fetch, const rbc__row *row, const rbc__window_spec *window,
                            const uint8_t *is_pad, uint8_t *valid, rbc_error *err) {
    int64_t begin = 0;
    int64_t end = 0;
    const int64_t *times = NULL;
    RBC__TRY(gather_times(fetch, row, window, &begin, &end, &times, err));
    if (begin == end) {
        memset(valid, 0, (size_t)window->width);
        for (int64_t i = 0; i < window->width; ++i) {
            fetch->picks[i] = -1;
        }
        return RBC_OK;
    }
    /* The samples' own indices are resampled in their place. */
    RBC__TRY(rbc__scratch_reserve(&fetch->indices, (size_t)(end - begin) * sizeof(int64_t), err));
    int64_t *indices = (int64_t *)(void *)fetch->indices.data;
    for (int64_t i = begin; i < end; ++i) {
        indices[i - begin] = i;
    }
    const rbc__channel_run run_of_one = {0, 1, window->runs[0].mode};
    rbc__resample_source source = source_of(window, indices, sizeof(int64_t), times, end - begin);
    source.channel_stride_bytes = sizeof(int64_t);
    source.num_channels = 1;
    source.runs = &run_of_one;
    source.num_runs = 1;
    source.outside = RBC_OUTSIDE_HOLD;
    RBC__TRY(run(fetch, row, window, &source, RBC__I64, fetch->picks, sizeof(int64_t), valid, err));
    for (int64_t i = 0; i < window->width && rbc__window_fills(window); ++i) {
        valid[i] = valid[i] && !is_pad[i];
        fetch->picks[i] = valid[i] ? fetch->picks[i] : -1;
    }
    return RBC_OK;
}

rbc_status rbc__align_valid(rbc__fetch *fetch, const rbc__row *row, const rbc__window_spec *window,
                            uint8_t *valid, rbc_error *err) {
    int64_t begin = 0;
    int64_t end = 0;
    const int64_t *times = NULL;
    RBC__TRY(gather_times(fetch, row, window, &begin, &end, &times, err));
    const size_t num_targets = (size_t)rbc__window_num_targets(window);
    const size_t runs_bytes = (size_t)window->num_runs * sizeof *window->runs;
    RBC__TRY(rbc__scratch_reserve(&fetch->intervals, runs_bytes + num_targets, err));
    /* Of runs without channels the kernel only says where they have a value. */
    rbc__channel_run *runs = (rbc__channel_run *)(void *)fetch->intervals.data;
    for (int32_t i = 0; i < window->num_runs; ++i) {
        runs[i] = (rbc__channel_run){0, 0, window->runs[i].mode};
    }
    uint8_t *rows_valid = fetch->intervals.data + runs_bytes;
    rbc__resample_source source = source_of(window, times, 0, times, end - begin);
    source.num_channels = 0;
    source.runs = runs;
    RBC__TRY(run(fetch, row, window, &source, window->job_dtype, rows_valid, 0, rows_valid, err));
    for (int64_t i = 0; i < window->width; ++i) {
        valid[i] = rows_valid[rbc__window_target_index(window, i)];
    }
    return RBC_OK;
}
