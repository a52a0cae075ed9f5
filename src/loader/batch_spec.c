#include "loader/batch_spec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/params.h"
#include "loader/future.h"
#include "loader/vector.h"
#include "loader/voxels.h"
#include "ops/channel_runs.h"

enum { NAME_BYTES = 160 };

rbc_status rbc__window_at(const rbc_window *windows, int32_t index, rbc_window *out,
                          rbc_error *err) {
    *out = (rbc_window)RBC_WINDOW_INIT;
    return rbc__params_read_item(windows, index, out, sizeof *out, "windows", err);
}

static bool is_pick(rbc_resample_mode mode) {
    return mode == RBC_RESAMPLE_HOLD || mode == RBC_RESAMPLE_NEAREST;
}

static bool is_reduction(rbc_resample_mode mode) {
    return mode == RBC_RESAMPLE_MEAN || mode == RBC_RESAMPLE_MAX || mode == RBC_RESAMPLE_MIN;
}

static rbc_status check_mode(const rbc_window *window, rbc_resample_mode mode,
                             const rbc__used_stream *used, rbc_error *err) {
    const char *name = rbc__mode_name(mode);
    const rbc__dtype dtype = used->schema->dtype;
    if (is_pick(mode)) {
        return RBC_OK;
    }
    if (used->schema->kind != RBC_STREAM_NUMERIC || used->is_cloud) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' holds %s: its mode is hold or nearest, not %s",
                         window->stream,
                         used->is_cloud                           ? "rows of any length"
                         : used->schema->kind == RBC_STREAM_IMAGE ? "images"
                                                                  : "text",
                         name);
    }
    const bool orders = mode == RBC_RESAMPLE_MAX || mode == RBC_RESAMPLE_MIN;
    if (!rbc__dtype_is_float(dtype) && !orders) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' is %s: mode %s needs a float dtype; take hold or nearest",
                         window->stream, rbc__dtype_name(dtype), name);
    }
    if (dtype == RBC__U16 || dtype == RBC__U32 || dtype == RBC__U64) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "stream '%s' is %s: mode %s cannot be had for it; take hold or nearest",
                         window->stream, rbc__dtype_name(dtype), name);
    }
    return RBC_OK;
}

/* Turns the caller's groups into runs that cover every channel. */
static rbc_status build_runs(const rbc_window *window, const rbc__used_stream *used,
                             rbc__window_spec *out, rbc_error *err) {
    const int32_t num_groups = window->num_groups;
    if (num_groups < 0 || (num_groups > 0 && window->groups == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': num_groups is %d, groups is %s", window->stream, num_groups,
                         window->groups == NULL ? "NULL" : "set");
    }
    char prefix[NAME_BYTES], groups_name[NAME_BYTES];
    (void)snprintf(prefix, sizeof prefix, "stream '%s': ", window->stream);
    (void)snprintf(groups_name, sizeof groups_name, "stream '%s': channels", window->stream);
    const rbc__channel_modes modes = {
        .groups_name = groups_name,
        .prefix = prefix,
        .mode = window->mode,
        .groups = window->groups,
        .num_groups = num_groups,
        .dtype = RBC__F32, /* what the stream's own goes with is told below */
        .num_channels = out->num_channels,
    };
    const size_t most = (size_t)rbc__max_runs(&modes);
    out->runs = calloc(most, sizeof *out->runs);
    out->empty_runs = calloc(most, sizeof *out->empty_runs);
    if (out->runs == NULL || out->empty_runs == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d channel groups",
                         num_groups);
    }
    rbc_status status = rbc__make_runs(&modes, out->runs, &out->num_runs, err);
    for (int32_t i = 0; i < out->num_runs && status == RBC_OK; ++i) {
        const rbc__channel_run *run = &out->runs[i];
        status = check_mode(window, run->mode, used, err);
        out->empty_runs[i] = (rbc__channel_run){0, 0, run->mode};
        out->has_reduction = out->has_reduction || is_reduction(run->mode);
        out->has_nearest = out->has_nearest || run->mode == RBC_RESAMPLE_NEAREST;
        out->is_held = out->is_held && run->mode == RBC_RESAMPLE_HOLD;
    }
    out->held_run = (rbc__channel_run){0, out->num_channels, RBC_RESAMPLE_HOLD};
    return status;
}

/* What lies no more than the snap beyond a limit is within it, as what lies on it is. */
static rbc_status check_limit(const rbc_window *window, const char *name, double limit,
                              int64_t snap_ns, int64_t *out, rbc_error *err) {
    if (isnan(limit)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream '%s': %s is not a number",
                         window->stream, name);
    }
    const int64_t whole = limit >= 0x1p63 ? INT64_MAX : (int64_t)limit;
    *out = limit < 0.0 ? -1 : rbc__time_add_ns(whole, snap_ns);
    return RBC_OK;
}

static rbc_status copy_offsets(const rbc_window *window, const rbc__clock *clock,
                               rbc__window_spec *out, rbc_error *err) {
    static const int32_t now[] = {0};
    const int32_t *ticks = window->future != NULL ? now : window->ticks;
    const int32_t count = window->future != NULL ? 1 : window->count;
    if (window->future != NULL) {
        if (window->ticks != NULL || window->offsets_ns != NULL) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "stream '%s': future and ticks or offsets_ns are set, wanted one",
                             window->stream);
        }
        RBC__TRY(rbc__future_check(window->future, window->stream, err));
        out->is_future = true;
        out->future = *window->future;
    } else if ((window->ticks == NULL) == (window->offsets_ns == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': %s of ticks and offsets_ns are set, wanted one",
                         window->stream, window->ticks == NULL ? "none" : "both");
    }
    if (count < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': the window has %d offsets; it must have at least 1",
                         window->stream, window->count);
    }
    out->width = count;
    out->ticks = calloc((size_t)out->width, sizeof *out->ticks);
    out->offsets_ns = calloc((size_t)out->width, sizeof *out->offsets_ns);
    if (out->ticks == NULL || out->offsets_ns == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d offsets", window->count);
    }
    out->is_consecutive = true;
    out->is_exact = true;
    for (int64_t i = 0; i < out->width; ++i) {
        if (ticks != NULL) {
            out->ticks[i] = ticks[i];
        } else if (!rbc__rate_tick_at(&clock->rate, window->offsets_ns[i], clock->snap_ns,
                                      &out->ticks[i])) {
            out->offsets_ns[i] = window->offsets_ns[i];
            out->is_exact = false;
        }
        if (out->offsets_ns[i] != 0 || (i > 0 && out->ticks[i] != out->ticks[i - 1] + 1)) {
            out->is_consecutive = false;
        }
    }
    return RBC_OK;
}

static rbc_status check_shape(const rbc_window *window, const rbc__used_stream *used,
                              rbc__window_spec *out, rbc_error *err) {
    const rbc__stream_schema *schema = used->schema;
    if (schema->unsupported != NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s' cannot be read: %s",
                         window->stream, schema->unsupported);
    }
    char shape[128];
    rbc__format_shape(shape, sizeof shape, schema->ndim, schema->shape);
    out->num_channels = 1;
    if (schema->kind == RBC_STREAM_TEXT) {
        return RBC_OK;
    }
    if (schema->kind == RBC_STREAM_IMAGE) {
        if (schema->ndim != 3 || (schema->dtype != RBC__U8 && schema->dtype != RBC__U16)) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "stream '%s' has images of shape %s and dtype %s; a loader takes "
                             "[height, width, channels] of uint8 or uint16",
                             window->stream, shape, rbc__dtype_name(schema->dtype));
        }
        out->image = (rbc__image_shape){.height = schema->shape[0],
                                        .width = schema->shape[1],
                                        .channels = schema->shape[2],
                                        .bits = schema->dtype == RBC__U8 ? 8 : 16};
        return RBC_OK;
    }
    for (int32_t i = 0; i < schema->ndim; ++i) {
        if (schema->shape[i] < 0) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "stream '%s' declares no full shape, %s; a loader needs one",
                             window->stream, shape);
        }
        if (!rbc__mul_size(out->num_channels, schema->shape[i], &out->num_channels)) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s': shape %s is too large",
                             window->stream, shape);
        }
    }
    return RBC_OK;
}

static rbc_status check_cloud(const rbc_window *window, const rbc__used_stream *used,
                              rbc__window_spec *out, rbc_error *err) {
    if (used->is_cloud && used->schema->kind != RBC_STREAM_NUMERIC) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "stream '%s' has any number of %s a step and no stamps; a loader cannot "
                         "batch that",
                         window->stream,
                         used->schema->kind == RBC_STREAM_IMAGE ? "images" : "strings");
    }
    if (window->voxels == NULL && used->is_cloud != (window->max_points > 0)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         used->is_cloud
                             ? "stream '%s' has any number of rows a step: max_points is "
                               "%lld, set it to the most that a step holds"
                             : "stream '%s' has no rows of any length: max_points is "
                               "%lld; wanted 0",
                         window->stream, (long long)window->max_points);
    }
    out->max_points = window->max_points;
    return RBC_OK;
}

/* Images that are made of others: streams of images, and arrays that can be taken for some. */
static rbc_status check_made(const rbc_window *window, const rbc__used_stream *used,
                             rbc__window_spec *out, rbc_error *err) {
    const rbc__stream_schema *schema = used->schema;
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "stream '%s': image: ", window->stream);
    if (window->image == NULL) {
        return RBC_OK;
    }
    const bool is_array = schema->kind == RBC_STREAM_NUMERIC && !used->is_cloud &&
                          (schema->ndim == 2 || schema->ndim == 3);
    if (schema->kind != RBC_STREAM_IMAGE && !is_array) {
        char shape[128];
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%sits samples are of shape %s; wanted images, or arrays of [height, "
                         "width] or [height, width, channels]",
                         name, rbc__format_shape(shape, sizeof shape, schema->ndim, schema->shape));
    }
    if (!is_pick(window->mode) || window->num_groups > 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%smode %s%s; images are taken with hold or nearest", name,
                         rbc__mode_name(window->mode),
                         window->num_groups > 0 ? " and modes of channels" : "");
    }
    if (is_array) {
        out->image = (rbc__image_shape){.height = schema->shape[0],
                                        .width = schema->shape[1],
                                        .channels = schema->ndim == 3 ? schema->shape[2] : 1};
    }
    out->made = calloc(1, sizeof *out->made);
    if (out->made == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the windows of a batch");
    }
    RBC__TRY(rbc__image_spec_init(out->made, window->image, schema->dtype, out->image.channels,
                                  name, err));
    out->dtype = out->made->dtype;
    return RBC_OK;
}

bool rbc__window_needs_shape(const rbc__window_spec *window, const rbc__used_stream *used) {
    const rbc__image_shape *image = &window->image;
    const bool has_size = image->height >= 0 && image->width >= 0;
    const bool is_free = window->made != NULL && !rbc__image_spec_keeps_size(window->made) &&
                         used->schema->stored.encoding == RBC__ENCODING_IMAGE;
    return used->schema->kind == RBC_STREAM_IMAGE &&
           (image->channels < 0 || (!has_size && !is_free));
}

static rbc__dtype signed_dtype(rbc__dtype dtype) {
    switch (dtype) {
    case RBC__U16:
        return RBC__I16;
    case RBC__U32:
        return RBC__I32;
    case RBC__U64:
        return RBC__I64;
    default:
        return dtype;
    }
}

static rbc_status set_window(rbc__batch_spec *spec, const rbc__batch_spec_params *params,
                             int32_t index, rbc_error *err) {
    rbc_window window;
    RBC__TRY(rbc__window_at(params->windows, index, &window, err));
    rbc__window_spec *out = &spec->windows[index];
    const rbc__used_stream *used = &spec->used[out->stream_at];
    const rbc__clock *clock = params->clock;
    RBC__TRY(copy_offsets(&window, clock, out, err));
    RBC__TRY(check_shape(&window, used, out, err));
    RBC__TRY(check_cloud(&window, used, out, err));
    out->dtype = used->schema->dtype;
    out->stored = out->dtype;
    out->job_dtype = signed_dtype(out->dtype);
    out->outside = window.outside;
    out->is_held = true;
    out->target_channels = out->num_channels;
    RBC__TRY(rbc__voxels_set(&window, used, out, err));
    RBC__TRY(check_made(&window, used, out, err));
    RBC__TRY(rbc__vector_set(&window, used, out, err));
    RBC__TRY(build_runs(&window, used, out, err));
    RBC__TRY(check_limit(&window, "max_gap_ns", window.max_gap_ns, clock->snap_ns, &out->max_gap_ns,
                         err));
    RBC__TRY(check_limit(&window, "tolerance_ns", window.tolerance_ns, clock->snap_ns,
                         &out->tolerance_ns, err));
    if (used->times < 0 && !clock->has_control) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' has no stamps and the control rate of dataset '%s', which "
                         "would give it some, is unknown: open the dataset with control_rate_hz",
                         window.stream, params->dataset_name);
    }
    out->is_exact = out->is_exact && used->times < 0 && used->clock_offset_ns == 0 &&
                    clock->ticks_are_steps && !out->has_reduction && out->tolerance_ns < 0 &&
                    out->max_gap_ns < 0 && out->outside != RBC_OUTSIDE_EXTRAPOLATE;
    spec->max_width = out->width > spec->max_width ? out->width : spec->max_width;
    if (used->schema->kind == RBC_STREAM_IMAGE || out->made != NULL || out->voxels != NULL) {
        spec->images_per_sample += out->width;
    }
    return RBC_OK;
}

static rbc_status check_outside(const rbc__batch_spec *spec, const rbc__batch_spec_params *params,
                                int32_t index, rbc_error *err) {
    rbc_window window;
    RBC__TRY(rbc__window_at(params->windows, index, &window, err));
    const rbc__window_spec *out = &spec->windows[index];
    const rbc__used_stream *used = &spec->used[out->stream_at];
    const bool is_numeric =
        (used->schema->kind == RBC_STREAM_NUMERIC || out->made != NULL) && !used->is_cloud;
    switch (window.outside) {
    case RBC_OUTSIDE_HOLD:
    case RBC_OUTSIDE_ZERO:
        return RBC_OK;
    case RBC_OUTSIDE_NAN:
        if (!is_numeric || !rbc__dtype_is_float(out->dtype)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "stream '%s' is %s: outside nan needs a float dtype", window.stream,
                             used->is_cloud ? "ragged" : rbc__dtype_name(out->dtype));
        }
        return RBC_OK;
    case RBC_OUTSIDE_EXTRAPOLATE:
        for (int32_t i = 0; i < out->num_runs; ++i) {
            if (!is_numeric || out->runs[i].mode != RBC_RESAMPLE_LINEAR) {
                return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                                 "stream '%s': outside extrapolate needs mode linear, not %s",
                                 window.stream, rbc__mode_name(out->runs[i].mode));
            }
        }
        return RBC_OK;
    }
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "stream '%s': outside %d is none of rbc_outside", window.stream,
                     (int)window.outside);
}

static rbc_status add_used(rbc__batch_spec *spec, const rbc__batch_spec_params *params,
                           int32_t index, rbc_error *err) {
    rbc_window window;
    RBC__TRY(rbc__window_at(params->windows, index, &window, err));
    if (window.stream == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "windows[%d].stream is NULL", index);
    }
    const rbc__schema *schema = params->schema;
    int32_t stream = 0;
    while (stream < schema->num_streams &&
           strcmp(schema->streams[stream].name, window.stream) != 0) {
        ++stream;
    }
    if (stream == schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "dataset '%s' has no stream '%s'",
                         params->dataset_name, window.stream);
    }
    for (int32_t i = 0; i < spec->num_used; ++i) {
        if (spec->used[i].stream == stream &&
            spec->used[i].clock_offset_ns == window.clock_offset_ns) {
            spec->windows[index].stream_at = i;
            return RBC_OK;
        }
    }
    const rbc__stream_schema *found = &schema->streams[stream];
    rbc__used_stream *used = &spec->used[spec->num_used];
    *used = (rbc__used_stream){.stream = stream,
                               .schema = found,
                               .times = found->times,
                               .clock_offset_ns = window.clock_offset_ns,
                               .is_cloud = found->is_ragged && found->times < 0};
    if (found->kind == RBC_STREAM_NUMERIC) {
        used->sample_bytes = rbc__dtype_bytes(found->dtype);
        for (int32_t i = 0; i < found->ndim; ++i) {
            if (found->shape[i] >= 0 &&
                !rbc__mul_size(used->sample_bytes, found->shape[i], &used->sample_bytes)) {
                return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s': a sample is too large",
                                 window.stream);
            }
        }
    }
    spec->windows[index].stream_at = spec->num_used++;
    return RBC_OK;
}

rbc_status rbc__batch_spec_create(const rbc__batch_spec_params *params, rbc__batch_spec **out,
                                  rbc_error *err) {
    *out = NULL;
    if (params->num_windows < 0 || (params->num_windows > 0 && params->windows == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_windows is %d, windows is %s",
                         params->num_windows, params->windows == NULL ? "NULL" : "set");
    }
    rbc__batch_spec *spec = calloc(1, sizeof *spec);
    if (spec != NULL) {
        spec->batch_size = params->batch_size;
        spec->jpeg_dct = params->jpeg_dct;
        spec->max_width = 1;
        spec->dataset_field = spec->number_field = -1;
        spec->num_windows = params->num_windows;
        spec->windows = calloc((size_t)params->num_windows + 1, sizeof *spec->windows);
        spec->used = calloc((size_t)params->num_windows + 1, sizeof *spec->used);
    }
    if (spec == NULL || spec->windows == NULL || spec->used == NULL) {
        rbc__batch_spec_destroy(&spec);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d windows",
                         params->num_windows);
    }
    rbc_status status = RBC_OK;
    for (int32_t i = 0; i < params->num_windows && status == RBC_OK; ++i) {
        status = add_used(spec, params, i, err);
        if (status == RBC_OK) {
            status = set_window(spec, params, i, err);
        }
    }
    if (status == RBC_OK) {
        status = rbc__vectors_join(spec, params->windows, err);
    }
    for (int32_t i = 0; i < params->num_windows && status == RBC_OK; ++i) {
        status = check_outside(spec, params, i, err);
    }
    if (status != RBC_OK) {
        rbc__batch_spec_destroy(&spec);
        return status;
    }
    *out = spec;
    return RBC_OK;
}

void rbc__batch_spec_destroy(rbc__batch_spec **spec) {
    rbc__batch_spec *p = *spec;
    if (p == NULL) {
        return;
    }
    for (int32_t i = 0; p->windows != NULL && i < p->num_windows; ++i) {
        free(p->windows[i].ticks);
        free(p->windows[i].offsets_ns);
        free(p->windows[i].runs);
        free(p->windows[i].empty_runs);
        free(p->windows[i].made);
        free(p->windows[i].voxels);
        free(p->windows[i].scale);
        free(p->windows[i].offset);
    }
    for (int32_t i = 0; i < p->num_fields; ++i) {
        free(p->fields[i].name);
    }
    free(p->fields);
    free(p->absent);
    free(p->windows);
    free(p->used);
    free(p);
    *spec = NULL;
}
