#include "ops/resample_job.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "ops/channel_runs.h"
#include "ops/resample_names.h"
#include "ops/resample_overlap.h"

static const char *const time_type_names[] = {"int64", "float64", "float32"};

/* Strides of axes with fewer than two entries may be anything; kernels want what a packed tensor
 * has along the last axis, and 0 where one row serves all. */
static int64_t stride_of(const DLTensor *tensor, int32_t axis) {
    if (tensor->shape[axis] > 1) {
        return rbc__tensor_stride_bytes(tensor, axis);
    }
    return axis == tensor->ndim - 1 ? tensor->dtype.bits / 8 : 0;
}

static rbc_status check_device(const rbc__resample_request *request, const DLTensor *tensor,
                               const char *name, rbc_error *err) {
    if (tensor->device.device_type != request->device.device_type ||
        tensor->device.device_id != request->device.device_id) {
        char found[64], wanted[64];
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s is on %s, the values on %s; wanted one device", name,
                         rbc__format_device(found, sizeof found, tensor->device),
                         rbc__format_device(wanted, sizeof wanted, request->device));
    }
    return RBC_OK;
}

static rbc_status shape_error(const DLTensor *tensor, const char *name, const char *wanted,
                              rbc_error *err) {
    char found[256];
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s has shape %s; wanted %s", name,
                     rbc__format_shape(found, sizeof found, tensor->ndim, tensor->shape), wanted);
}

/* A tensor of [B, n] or, where one row may serve all or B is 1, of [n]. */
static rbc_status check_rows(const DLTensor *tensor, const char *name, int64_t batch, int64_t n,
                             bool may_share, rbc_error *err) {
    const bool fits = (tensor->ndim == 2 && tensor->shape[0] == batch && tensor->shape[1] == n) ||
                      (tensor->ndim == 1 && tensor->shape[0] == n && (may_share || batch == 1));
    if (fits) {
        return RBC_OK;
    }
    char wanted[80];
    snprintf(wanted, sizeof wanted,
             may_share || batch == 1 ? "[%" PRId64 ", %" PRId64 "] or [%" PRId64 "]"
                                     : "[%" PRId64 ", %" PRId64 "]",
             batch, n, n);
    return shape_error(tensor, name, wanted, err);
}

static int64_t row_stride(const DLTensor *tensor) {
    return tensor->ndim == 2 ? stride_of(tensor, 0) : 0;
}

/* The first axis of a tensor that may lack the batch. */
static int32_t inner_axis(const DLTensor *tensor, int32_t inner_ndim) {
    return tensor->ndim - inner_ndim;
}

static bool time_type_of(rbc__dtype dtype, rbc__time_type *out) {
    switch (dtype) {
    case RBC__I64:
        *out = RBC__TIME_I64;
        return true;
    case RBC__F64:
        *out = RBC__TIME_F64;
        return true;
    case RBC__F32:
        *out = RBC__TIME_F32;
        return true;
    default:
        return false;
    }
}

static rbc_status check_times_dtype(const char *name, rbc__dtype dtype, rbc__time_type *out,
                                    rbc_error *err) {
    if (!time_type_of(dtype, out)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s is %s; wanted int64 (nanoseconds), float64 or float32 (seconds)", name,
                         rbc__dtype_name(dtype));
    }
    return RBC_OK;
}

static rbc_status check_limit(const char *prefix, const char *name, double limit, double *seconds,
                              int64_t *ns, rbc_error *err) {
    if (isnan(limit)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s%s is NaN; wanted a number, negative for no limit", prefix, name);
    }
    *seconds = limit < 0.0 ? -1.0 : limit;
    *ns = limit < 0.0 ? -1 : limit >= 9.2233720368547758e18 ? INT64_MAX : (int64_t)limit;
    return RBC_OK;
}

static rbc_status check_lengths(const rbc__resample_request *request, const rbc__resample_names *n,
                                const DLTensor *lengths, rbc__resample_source *source,
                                rbc_error *err) {
    rbc__dtype dtype;
    RBC__TRY(rbc__tensor_check(lengths, n->lengths, &dtype, err));
    RBC__TRY(check_device(request, lengths, n->lengths, err));
    RBC__TRY(rbc__tensor_check_shape(lengths, n->lengths, 1, &request->job.batch, err));
    if (dtype != RBC__I32 && dtype != RBC__I64) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is %s; wanted int32 or int64",
                         n->lengths, rbc__dtype_name(dtype));
    }
    source->lengths = rbc__tensor_data(lengths);
    source->lengths_stride_bytes = stride_of(lengths, 0);
    source->lengths_are_i64 = dtype == RBC__I64;
    for (int64_t b = 0; request->device.device_type == kDLCPU && b < request->job.batch; ++b) {
        const void *item = source->lengths + b * source->lengths_stride_bytes;
        const int64_t length =
            source->lengths_are_i64 ? *(const int64_t *)item : *(const int32_t *)item;
        if (length < 0 || length > source->num_samples) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s[%" PRId64 "] is %" PRId64 "; wanted 0 to %" PRId64
                             ", the samples of a row",
                             n->lengths, b, length, source->num_samples);
        }
    }
    return RBC_OK;
}

/* The source's own fields, and its values, whose width says how much room is needed. */
static rbc_status check_source(const rbc__resample_names *n, const rbc_resample_source *source,
                               rbc_error *err) {
    if ((int)source->outside < 0 || (int)source->outside > (int)RBC_OUTSIDE_EXTRAPOLATE) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%soutside is %d; wanted 0 to %d",
                         n->prefix, (int)source->outside, (int)RBC_OUTSIDE_EXTRAPOLATE);
    }
    if ((source->flags & ~(RBC_NAN_IS_MISSING | RBC_CHECK_TIMES)) != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%sflags is 0x%" PRIx32 "; wanted RBC_NAN_IS_MISSING and RBC_CHECK_TIMES "
                         "alone",
                         n->prefix, source->flags);
    }
    if (source->num_groups < 0 || (source->num_groups > 0 && source->groups == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: %d groups at %s; wanted an array",
                         n->channels, source->num_groups,
                         source->groups == NULL ? "NULL" : "an address");
    }
    rbc__dtype dtype;
    return rbc__tensor_check(source->values, n->values, &dtype, err);
}

/* Everything of one source but its runs. The first source sets B and the dtype. */
static rbc_status read_source(rbc__resample_request *request, const rbc__resample_names *n,
                              const rbc_resample_source *source, rbc__resample_source *out,
                              bool is_first, rbc_error *err) {
    rbc__resample_job *job = &request->job;
    const DLTensor *values = source->values, *times = source->times;
    rbc__dtype dtype, times_dtype;
    rbc__time_type time_type = job->time_type;
    (void)rbc__dtype_from_dlpack(values->dtype, &dtype);
    if (is_first) {
        request->device = values->device;
    }
    RBC__TRY(check_device(request, values, n->values, err));
    if (values->ndim != 3 && values->ndim != 2) {
        return shape_error(values, n->values, "[B, S, D] or [S, D]", err);
    }
    const int32_t axis = inner_axis(values, 2);
    const int64_t batch = axis == 1 ? values->shape[0] : 1;
    if (is_first) {
        job->batch = batch;
        job->dtype = dtype;
    } else if (batch != job->batch) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s is a batch of %" PRId64 "; wanted %" PRId64 " as in sources[0].values",
                         n->values, batch, job->batch);
    } else if (dtype != job->dtype) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s is %s; wanted %s as in sources[0].values", n->values,
                         rbc__dtype_name(dtype), rbc__dtype_name(job->dtype));
    }
    if (source->outside == RBC_OUTSIDE_NAN && !rbc__dtype_is_float(dtype)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%soutside is nan but values are %s; wanted hold or zero", n->prefix,
                         rbc__dtype_name(dtype));
    }
    RBC__TRY(rbc__tensor_check(times, n->times, &times_dtype, err));
    RBC__TRY(check_device(request, times, n->times, err));
    RBC__TRY(check_times_dtype(n->times, times_dtype, &time_type, err));
    if (is_first) {
        job->time_type = time_type;
    } else if (time_type != job->time_type) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s is %s; wanted %s as in sources[0].times", n->times,
                         rbc__dtype_name(times_dtype), time_type_names[job->time_type]);
    }
    RBC__TRY(check_rows(times, n->times, batch, values->shape[axis], true, err));
    *out = (rbc__resample_source){
        .values = rbc__tensor_data(values),
        .batch_stride_bytes = axis == 1 ? stride_of(values, 0) : 0,
        .sample_stride_bytes = stride_of(values, axis),
        .channel_stride_bytes = stride_of(values, axis + 1),
        .times = rbc__tensor_data(times),
        .times_batch_stride_bytes = row_stride(times),
        .times_stride_bytes = stride_of(times, times->ndim - 1),
        .num_samples = values->shape[axis],
        .num_channels = values->shape[axis + 1],
        .outside = source->outside,
        .flags = source->flags,
    };
    RBC__TRY(
        check_limit(n->prefix, "max_gap", source->max_gap, &out->max_gap, &out->max_gap_ns, err));
    RBC__TRY(check_limit(n->prefix, "tolerance", source->tolerance, &out->tolerance,
                         &out->tolerance_ns, err));
    if (source->lengths != NULL) {
        RBC__TRY(check_lengths(request, n, source->lengths, out, err));
    }
    return RBC_OK;
}

static rbc_status read_targets(rbc__resample_request *request, const DLTensor *targets,
                               rbc_error *err) {
    rbc__resample_job *job = &request->job;
    rbc__dtype dtype;
    rbc__time_type time_type = job->time_type;
    RBC__TRY(rbc__tensor_check(targets, "target_times", &dtype, err));
    RBC__TRY(check_device(request, targets, "target_times", err));
    if (!time_type_of(dtype, &time_type) || time_type != job->time_type) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "target_times is %s; wanted %s as the times of the source",
                         rbc__dtype_name(dtype), time_type_names[job->time_type]);
    }
    if (targets->ndim < 1) {
        return shape_error(targets, "target_times", "[B, T] or [T]", err);
    }
    job->num_targets = targets->shape[targets->ndim - 1];
    RBC__TRY(check_rows(targets, "target_times", job->batch, job->num_targets, true, err));
    job->targets = rbc__tensor_data(targets);
    job->targets_batch_stride_bytes = row_stride(targets);
    job->targets_stride_bytes = stride_of(targets, targets->ndim - 1);
    return RBC_OK;
}

static rbc_status read_valid(rbc__resample_request *request, bool is_fuse, const DLTensor *valid,
                             rbc_error *err) {
    rbc__resample_job *job = &request->job;
    rbc__dtype dtype;
    RBC__TRY(rbc__tensor_check(valid, "valid", &dtype, err));
    if (dtype != RBC__BOOL && dtype != RBC__U8) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "valid is %s; wanted bool or uint8",
                         rbc__dtype_name(dtype));
    }
    if (!is_fuse) {
        RBC__TRY(check_rows(valid, "valid", job->batch, job->num_targets, false, err));
    } else {
        const int64_t shape[3] = {job->batch, job->num_targets, job->num_sources};
        const bool lacks_batch = valid->ndim == 2 && job->batch == 1;
        RBC__TRY(
            rbc__tensor_check_shape(valid, "valid", lacks_batch ? 2 : 3, shape + lacks_batch, err));
    }
    RBC__TRY(check_device(request, valid, "valid", err));
    const int32_t inner = is_fuse ? 2 : 1, axis = inner_axis(valid, inner);
    job->valid = rbc__tensor_data(valid);
    job->valid_batch_stride_bytes = axis == 1 ? stride_of(valid, 0) : 0;
    job->valid_target_stride_bytes = stride_of(valid, axis);
    job->valid_source_stride_bytes = is_fuse ? stride_of(valid, axis + 1) : 0;
    return RBC_OK;
}

static rbc_status read_dt(rbc__resample_request *request, const DLTensor *dt, rbc_error *err) {
    rbc__resample_job *job = &request->job;
    rbc__dtype dtype;
    rbc__time_type time_type;
    RBC__TRY(rbc__tensor_check(dt, "dt", &dtype, err));
    if (!time_type_of(dtype, &time_type) || time_type != job->time_type) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "dt is %s; wanted the type of the times",
                         rbc__dtype_name(dtype));
    }
    RBC__TRY(check_rows(dt, "dt", job->batch, job->num_targets, false, err));
    RBC__TRY(check_device(request, dt, "dt", err));
    job->dt = rbc__tensor_data(dt);
    job->dt_batch_stride_bytes = row_stride(dt);
    job->dt_target_stride_bytes = stride_of(dt, dt->ndim - 1);
    return RBC_OK;
}

static rbc_status read_out(rbc__resample_request *request, const DLTensor *out,
                           int64_t num_channels, rbc_error *err) {
    rbc__resample_job *job = &request->job;
    rbc__dtype dtype;
    RBC__TRY(rbc__tensor_check(out, "out", &dtype, err));
    if (dtype != job->dtype) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "out is %s; wanted %s as the values are",
                         rbc__dtype_name(dtype), rbc__dtype_name(job->dtype));
    }
    const int64_t shape[3] = {job->batch, job->num_targets, num_channels};
    const bool lacks_batch = out->ndim == 2 && job->batch == 1;
    RBC__TRY(rbc__tensor_check_shape(out, "out", lacks_batch ? 2 : 3, shape + lacks_batch, err));
    RBC__TRY(check_device(request, out, "out", err));
    const int32_t axis = inner_axis(out, 2);
    job->out = rbc__tensor_data(out);
    job->out_batch_stride_bytes = axis == 1 ? stride_of(out, 0) : 0;
    job->out_target_stride_bytes = stride_of(out, axis);
    job->out_channel_stride_bytes = stride_of(out, axis + 1);
    return RBC_OK;
}

static rbc__channel_modes modes_of(const rbc__resample_names *n, const rbc_resample_source *source,
                                   rbc__dtype dtype, int64_t num_channels) {
    return (rbc__channel_modes){
        .groups_name = n->channels,
        .prefix = n->prefix,
        .mode = source->mode,
        .outside = source->outside,
        .groups = source->groups,
        .num_groups = source->num_groups,
        .dtype = dtype,
        .num_channels = num_channels,
    };
}

/* Room for the sources and runs, in the request or beyond it. */
static rbc_status make_room(rbc__resample_request *request, const rbc_resample_source *sources,
                            int32_t num_sources, rbc__resample_source **room,
                            rbc__channel_run **runs, rbc_error *err) {
    int64_t total = 0;
    for (int32_t s = 0; s < num_sources; ++s) {
        const DLTensor *values = sources[s].values;
        const int64_t width = values->ndim > 0 ? values->shape[values->ndim - 1] : 0;
        const rbc__channel_modes modes = {
            .mode = sources[s].mode, .num_groups = sources[s].num_groups, .num_channels = width};
        if (!rbc__add_size(total, rbc__max_runs(&modes), &total)) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the channel groups");
        }
    }
    *room = request->sources;
    *runs = request->runs;
    if (num_sources <= RBC__JOB_SOURCES && total <= RBC__JOB_RUNS) {
        return RBC_OK;
    }
    int64_t run_bytes, bytes;
    const int64_t source_bytes = (int64_t)sizeof(rbc__resample_source) * num_sources;
    if (rbc__mul_size(total, (int64_t)sizeof(rbc__channel_run), &run_bytes) &&
        rbc__add_size(run_bytes, source_bytes, &bytes)) {
        request->more = malloc((size_t)bytes);
    }
    if (request->more == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d sources", num_sources);
    }
    *room = request->more;
    *runs = (rbc__channel_run *)(void *)((char *)request->more + source_bytes);
    return RBC_OK;
}

rbc_status rbc__resample_request_init(rbc__resample_request *request, bool is_fuse,
                                      const rbc_resample_source *sources, int32_t num_sources,
                                      const DLTensor *target_times, const DLTensor *out,
                                      const DLTensor *valid, const DLTensor *dt, rbc_error *err) {
    rbc__resample_job *job = &request->job;
    request->more = NULL;
    *job = (rbc__resample_job){0};
    if (num_sources < 1 || sources == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s %d; wanted at least one",
                         sources == NULL ? "sources are NULL, their number" : "num_sources is",
                         num_sources);
    }
    rbc__resample_source *room = NULL;
    rbc__channel_run *runs = NULL;
    rbc__resample_names n;
    for (int32_t s = 0; s < num_sources; ++s) {
        rbc__resample_names_set(&n, is_fuse, s);
        RBC__TRY(check_source(&n, &sources[s], err));
    }
    RBC__TRY(make_room(request, sources, num_sources, &room, &runs, err));
    int64_t num_channels = 0;
    for (int32_t s = 0; s < num_sources; ++s) {
        rbc__resample_names_set(&n, is_fuse, s);
        RBC__TRY(read_source(request, &n, &sources[s], &room[s], s == 0, err));
        room[s].runs = runs;
        const rbc__channel_modes modes =
            modes_of(&n, &sources[s], job->dtype, room[s].num_channels);
        RBC__TRY(rbc__make_runs(&modes, runs, &room[s].num_runs, err));
        runs += rbc__max_runs(&modes);
        room[s].out_channel = num_channels;
        if (!rbc__add_size(num_channels, room[s].num_channels, &num_channels)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "the sources have more than 2^63 - 1 channels together");
        }
    }
    job->sources = room;
    job->num_sources = num_sources;
    RBC__TRY(read_targets(request, target_times, err));
    RBC__TRY(read_out(request, out, num_channels, err));
    RBC__TRY(
        rbc__resample_check_output(out, "out", sources, num_sources, is_fuse, target_times, err));
    if (valid != NULL) {
        RBC__TRY(read_valid(request, is_fuse, valid, err));
        RBC__TRY(rbc__resample_check_output(valid, "valid", sources, num_sources, is_fuse,
                                            target_times, err));
    }
    if (dt != NULL) {
        RBC__TRY(read_dt(request, dt, err));
        RBC__TRY(
            rbc__resample_check_output(dt, "dt", sources, num_sources, is_fuse, target_times, err));
    }
    return rbc__resample_check_outputs(out, valid, dt, err);
}

void rbc__resample_request_free(rbc__resample_request *request) {
    free(request->more);
    request->more = NULL;
}
