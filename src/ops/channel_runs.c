#include "ops/channel_runs.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"

static const char *const mode_names[] = {"linear", "hold", "nearest", "cubic", "slerp",
                                         "angle",  "mean", "max",     "min"};

enum { NUM_MODES = sizeof mode_names / sizeof *mode_names };

const char *rbc__mode_name(rbc_resample_mode mode) {
    return (unsigned)mode < NUM_MODES ? mode_names[mode] : NULL;
}

static rbc_status check_mode(const rbc__channel_modes *modes, rbc_resample_mode mode, int64_t width,
                             rbc_error *err) {
    const char *prefix = modes->prefix;
    const char *name = rbc__mode_name(mode);
    if (name == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%smode is %d; wanted 0 to %d", prefix,
                         (int)mode, NUM_MODES - 1);
    }
    const bool takes_integers = mode == RBC_RESAMPLE_HOLD || mode == RBC_RESAMPLE_NEAREST ||
                                mode == RBC_RESAMPLE_MAX || mode == RBC_RESAMPLE_MIN;
    if (!takes_integers && !rbc__dtype_is_float(modes->dtype)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%smode is %s, which needs float values, but they are %s; wanted hold, "
                         "nearest, max or min",
                         prefix, name, rbc__dtype_name(modes->dtype));
    }
    if (mode == RBC_RESAMPLE_SLERP && width % 4 != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%smode is slerp over %" PRId64 " channels; wanted four, a quaternion",
                         prefix, width);
    }
    if (modes->outside == RBC_OUTSIDE_EXTRAPOLATE && mode != RBC_RESAMPLE_LINEAR) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%soutside is extrapolate and mode is %s; wanted linear for every channel",
                         prefix, name);
    }
    return RBC_OK;
}

static int by_begin(const void *a, const void *b) {
    const int64_t begin_a = ((const rbc__channel_run *)a)->begin;
    const int64_t begin_b = ((const rbc__channel_run *)b)->begin;
    return (begin_a > begin_b) - (begin_a < begin_b);
}

/* Appends [begin, end), a slerp run quaternion by quaternion. */
static int32_t append_run(rbc__channel_run *runs, int32_t count, int64_t begin, int64_t end,
                          rbc_resample_mode mode) {
    const int64_t step = mode == RBC_RESAMPLE_SLERP ? 4 : end - begin;
    for (; begin < end; begin += step) {
        runs[count++] = (rbc__channel_run){begin, begin + step, mode};
    }
    return count;
}

int64_t rbc__max_runs(const rbc__channel_modes *modes) {
    const int64_t num_channels = modes->num_channels;
    const int64_t quaternions = modes->mode == RBC_RESAMPLE_SLERP ? num_channels / 4 : 0;
    const int64_t num_groups = modes->num_groups < num_channels ? modes->num_groups : num_channels;
    return 2 * num_groups + 1 + quaternions;
}

rbc_status rbc__make_runs(const rbc__channel_modes *modes, rbc__channel_run *runs,
                          int32_t *num_runs, rbc_error *err) {
    const int32_t num_groups = modes->num_groups;
    const int64_t num_channels = modes->num_channels;
    if (num_groups > num_channels) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: %d groups for %" PRId64 " channels; wanted no more than channels",
                         modes->groups_name, num_groups, num_channels);
    }
    rbc__channel_run *sorted = runs + rbc__max_runs(modes) - num_groups;
    for (int32_t i = 0; i < num_groups; ++i) {
        const rbc_channel_group *group = &modes->groups[i];
        if (group->begin < 0 || group->begin >= group->end || group->end > num_channels) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: group %d is [%" PRId64 ", %" PRId64
                             "); wanted at least one channel of [0, %" PRId64 ")",
                             modes->groups_name, i, group->begin, group->end, num_channels);
        }
        if (group->mode == RBC_RESAMPLE_SLERP && group->end - group->begin != 4) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: group %d is slerp over %" PRId64 " channels; wanted four",
                             modes->groups_name, i, group->end - group->begin);
        }
        RBC__TRY(check_mode(modes, group->mode, group->end - group->begin, err));
        sorted[i] = (rbc__channel_run){group->begin, group->end, group->mode};
    }
    if (num_groups > 1) {
        qsort(sorted, (size_t)num_groups, sizeof *sorted, by_begin);
    }
    int32_t count = 0;
    int64_t done = 0;
    for (int32_t i = 0; i <= num_groups; ++i) {
        const int64_t begin = i < num_groups ? sorted[i].begin : num_channels;
        if (begin < done) {
            return rbc__fail(
                err, RBC_ERROR_INVALID_ARGUMENT,
                "%s: groups [%" PRId64 ", %" PRId64 ") and [%" PRId64 ", %" PRId64 ") overlap",
                modes->groups_name, sorted[i - 1].begin, sorted[i - 1].end, begin, sorted[i].end);
        }
        if (begin > done || num_channels == 0) {
            RBC__TRY(check_mode(modes, modes->mode, begin - done, err));
            count = append_run(runs, count, done, begin, modes->mode);
        }
        if (i < num_groups) {
            const rbc__channel_run group = sorted[i];
            count = append_run(runs, count, group.begin, group.end, group.mode);
            done = group.end;
        }
    }
    if (count == 0) {
        runs[count++] = (rbc__channel_run){0, 0, modes->mode};
    }
    *num_runs = count;
    return RBC_OK;
}
