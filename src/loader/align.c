#include <string.h>

#include "core/error.h"
#include "cpu/resample.h"
#include "loader/fetch.h"

/* The range of samples that the window needs, and their stamps in fetch->times. */
static rbc_status gather_times(rbc__fetch *fetch, const rbc__row *row,
                               const rbc__plan_window *window, int64_t *begin, int64_t *end,
                               const int64_t **times, rbc_error *err) {
    const rbc__held_stream *held = &row->record->streams[window->use];
    const rbc__stamps stamps = {.times = held->times,
                                .count = held->num_samples,
                                .rate = &fetch->clock->control,
                                .origin_ns =
                                    rbc__clock_origin_ns(fetch->clock, row->record->episode)};
    rbc__window_range(window, &stamps, fetch->targets, begin, end);
    if (held->times != NULL) {
        *times = held->times + *begin;
        return RBC_OK;
    }
    RBC__TRY(
        rbc__scratch_reserve(&fetch->times, (size_t)(*end - *begin + 1) * sizeof(int64_t), err));
    for (int64_t i = *begin; i < *end; i++) {
        const int64_t stamp = rbc__stamp_at(&stamps, i);
        memcpy(fetch->times.data + (size_t)(i - *begin) * sizeof stamp, &stamp, sizeof stamp);
    }
    *times = (const int64_t *)(const void *)fetch->times.data;
    return RBC_OK;
}

static rbc_status run(rbc__fetch *fetch, const rbc__row *row, const rbc__plan_window *window,
                      const rbc__resample_source *source, rbc__dtype dtype, void *out,
                      int64_t out_bytes, uint8_t *valid, rbc_error *err) {
    const rbc__resample_job job = {.batch = 1,
                                   .num_targets = window->width,
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
    const rbc_status status = rbc__cpu_resample(fetch->cpu_features, &job, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "%s: stream '%s'", rbc__records_path(row->record),
                                fetch->plan->uses[window->use].schema->name);
    }
    return RBC_OK;
}

rbc_status rbc__align_numeric(rbc__fetch *fetch, const rbc__row *row,
                              const rbc__plan_window *window, uint8_t *valid, rbc_error *err) {
    int64_t begin = 0;
    int64_t end = 0;
    const int64_t *times = NULL;
    const uint8_t *values = NULL;
    RBC__TRY(gather_times(fetch, row, window, &begin, &end, &times, err));
    RBC__TRY(rbc__records_values(fetch->records, row->record, window->use, begin, end - begin,
                                 &values, err));
    const int64_t sample_bytes = fetch->plan->uses[window->use].sample_bytes;
    const rbc__resample_source source = {.values = (const char *)values,
                                         .sample_stride_bytes = sample_bytes,
                                         .channel_stride_bytes = rbc__dtype_bytes(window->dtype),
                                         .times = (const char *)times,
                                         .times_stride_bytes = sizeof(int64_t),
                                         .num_samples = end - begin,
                                         .num_channels = window->num_channels,
                                         .runs = window->runs,
                                         .num_runs = window->num_runs,
                                         .outside = window->outside,
                                         .max_gap = (double)window->max_gap_ns,
                                         .tolerance = (double)window->tolerance_ns,
                                         .max_gap_ns = window->max_gap_ns,
                                         .tolerance_ns = window->tolerance_ns};
    const rbc__plan_field *field = &fetch->plan->fields[window->value_field];
    return run(fetch, row, window, &source, window->job_dtype,
               rbc__batch_row(row->batch, field, row->index), window->target_bytes, valid, err);
}

rbc_status rbc__align_picks(rbc__fetch *fetch, const rbc__row *row, const rbc__plan_window *window,
                            uint8_t *valid, rbc_error *err) {
    int64_t begin = 0;
    int64_t end = 0;
    const int64_t *times = NULL;
    RBC__TRY(gather_times(fetch, row, window, &begin, &end, &times, err));
    if (begin == end) {
        memset(valid, 0, (size_t)window->width);
        for (int64_t i = 0; i < window->width; i++) {
            fetch->picks[i] = -1;
        }
        return RBC_OK;
    }
    /* The samples' own indices are resampled in their place. */
    RBC__TRY(rbc__scratch_reserve(&fetch->indices, (size_t)(end - begin) * sizeof(int64_t), err));
    int64_t *indices = (int64_t *)(void *)fetch->indices.data;
    for (int64_t i = begin; i < end; i++) {
        indices[i - begin] = i;
    }
    const rbc__channel_run run_of_one = {0, 1, window->runs[0].mode};
    const rbc__resample_source source = {.values = (const char *)indices,
                                         .sample_stride_bytes = sizeof(int64_t),
                                         .channel_stride_bytes = sizeof(int64_t),
                                         .times = (const char *)times,
                                         .times_stride_bytes = sizeof(int64_t),
                                         .num_samples = end - begin,
                                         .num_channels = 1,
                                         .runs = &run_of_one,
                                         .num_runs = 1,
                                         .outside = RBC_OUTSIDE_HOLD,
                                         .max_gap = (double)window->max_gap_ns,
                                         .tolerance = (double)window->tolerance_ns,
                                         .max_gap_ns = window->max_gap_ns,
                                         .tolerance_ns = window->tolerance_ns};
    RBC__TRY(run(fetch, row, window, &source, RBC__I64, fetch->picks, sizeof(int64_t), valid, err));
    for (int64_t i = 0; i < window->width && window->outside != RBC_OUTSIDE_HOLD; i++) {
        fetch->picks[i] = valid[i] ? fetch->picks[i] : -1;
    }
    return RBC_OK;
}
