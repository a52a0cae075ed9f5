/* The message about a time stamp that may not be, the same from every backend. */
#include <inttypes.h>
#include <stdio.h>

#include "backend.h"
#include "core/error.h"

enum { TEXT_BYTES = 48 };

/* Where a row of stamps is said to be. */
typedef struct stamps {
    const char *name; /* of the argument: "source_times" */
    const char *row;
    int64_t stride_bytes, batch_row;
    bool is_shared; /* one row of stamps for the whole batch */
    rbc__time_type type;
} stamps;

/* "[3, 7]", or "[7]" for times that the batch shares. */
static const char *index_text(char *buffer, const stamps *times, int64_t index) {
    if (times->is_shared) {
        (void)snprintf(buffer, TEXT_BYTES, "[%" PRId64 "]", index);
    } else {
        (void)snprintf(buffer, TEXT_BYTES, "[%" PRId64 ", %" PRId64 "]", times->batch_row, index);
    }
    return buffer;
}

static const void *stamp_at(const stamps *times, int64_t index) {
    return times->row + index * times->stride_bytes;
}

static double seconds_at(const stamps *times, int64_t index) {
    const void *at = stamp_at(times, index);
    return times->type == RBC__TIME_F64 ? *(const double *)at : (double)*(const float *)at;
}

static const char *stamp_text(char *buffer, const stamps *times, int64_t index) {
    if (times->type == RBC__TIME_I64) {
        (void)snprintf(buffer, TEXT_BYTES, "%" PRId64, *(const int64_t *)stamp_at(times, index));
    } else {
        (void)snprintf(buffer, TEXT_BYTES, "%.*g", times->type == RBC__TIME_F64 ? 17 : 9,
                       seconds_at(times, index));
    }
    return buffer;
}

/* Whether sample i may follow sample i - 1; the message where it may not. */
static bool check_sample(const stamps *times, int64_t i, rbc_error *err) {
    char at[TEXT_BYTES], at_before[TEXT_BYTES], value[TEXT_BYTES], value_before[TEXT_BYTES];
    bool decreases;
    if (times->type == RBC__TIME_I64) {
        decreases = i > 0 &&
                    *(const int64_t *)stamp_at(times, i) < *(const int64_t *)stamp_at(times, i - 1);
    } else {
        const double t = seconds_at(times, i);
        if (!(t - t == 0.0)) {
            (void)rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s%s is %s; wanted a finite time",
                            times->name, index_text(at, times, i), stamp_text(value, times, i));
            return false;
        }
        decreases = i > 0 && t < seconds_at(times, i - 1);
    }
    if (decreases) {
        (void)rbc__fail(
            err, RBC_ERROR_INVALID_ARGUMENT,
            "%s%s is %s, less than %s%s, which is %s; wanted times that do not decrease",
            times->name, index_text(at, times, i), stamp_text(value, times, i), times->name,
            index_text(at_before, times, i - 1), stamp_text(value_before, times, i - 1));
    }
    return !decreases;
}

static int64_t samples_in(const rbc__resample_source *source, int64_t b) {
    int64_t length = source->num_samples;
    if (source->lengths != NULL) {
        const void *at = source->lengths + b * source->lengths_stride_bytes;
        length = source->lengths_are_i64 ? *(const int64_t *)at : *(const int32_t *)at;
    }
    return length < source->num_samples ? length : source->num_samples;
}

static bool check_source(const rbc__resample_job *job, int32_t s, int64_t b, rbc_error *err) {
    const rbc__resample_source *source = &job->sources[s];
    char name[40] = "source_times";
    if (job->num_sources > 1) {
        (void)snprintf(name, sizeof name, "sources[%" PRId32 "].times", s);
    }
    const stamps times = {.name = name,
                          .row = source->times + b * source->times_batch_stride_bytes,
                          .stride_bytes = source->times_stride_bytes,
                          .batch_row = b,
                          .is_shared = source->times_batch_stride_bytes == 0,
                          .type = job->time_type};
    const int64_t num_samples = samples_in(source, b);
    for (int64_t i = 0; i < num_samples; ++i) {
        if (!check_sample(&times, i, err)) {
            return false;
        }
    }
    return true;
}

static bool check_targets(const rbc__resample_job *job, int64_t b, rbc_error *err) {
    const stamps times = {.name = "target_times",
                          .row = job->targets + b * job->targets_batch_stride_bytes,
                          .stride_bytes = job->targets_stride_bytes,
                          .batch_row = b,
                          .is_shared = job->targets_batch_stride_bytes == 0,
                          .type = job->time_type};
    for (int64_t i = 0; job->time_type != RBC__TIME_I64 && i < job->num_targets; ++i) {
        const double t = seconds_at(&times, i);
        if (t != t) {
            char at[TEXT_BYTES];
            (void)rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s%s is NaN; wanted a time",
                            times.name, index_text(at, &times, i));
            return false;
        }
    }
    return true;
}

rbc_status rbc__report_bad_time(const rbc__resample_job *job, rbc_error *err) {
    for (int64_t b = 0; b < job->batch; ++b) {
        for (int32_t s = 0; s < job->num_sources; ++s) {
            if (!check_source(job, s, b, err)) {
                return RBC_ERROR_INVALID_ARGUMENT;
            }
        }
        if (!check_targets(job, b, err)) {
            return RBC_ERROR_INVALID_ARGUMENT;
        }
    }
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "the first and last source time are further apart than their type can hold");
}
