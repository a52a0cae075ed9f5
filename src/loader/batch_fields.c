#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "loader/voxels.h"

static rbc_status add_field(rbc__batch_spec *spec, const char *name, const char *suffix,
                            rbc_field_kind kind, DLDataType dtype, int32_t ndim,
                            const int64_t *shape, int32_t *index, rbc_error *err) {
    rbc__field_spec *field = &spec->fields[spec->num_fields];
    memset(field, 0, sizeof *field);
    const size_t bytes = strlen(name) + strlen(suffix) + 1;
    field->name = malloc(bytes);
    if (field->name == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a field's name");
    }
    snprintf(field->name, bytes, "%s%s", name, suffix);
    *index = spec->num_fields++;
    for (int32_t i = 0; i < *index; ++i) {
        if (strcmp(spec->fields[i].name, field->name) == 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "two fields of the batch are named '%s': give a window another name "
                             "(name=)",
                             field->name);
        }
    }
    field->kind = kind;
    field->dtype = dtype;
    field->ndim = ndim + 1;
    field->shape[0] = spec->batch_size;
    field->text_index = kind == RBC_FIELD_TEXT ? spec->num_text_fields++ : -1;
    field->row_elements = 1;
    bool fits = true;
    for (int32_t i = 0; i < ndim; ++i) {
        field->shape[i + 1] = shape[i];
        fits = fits && rbc__mul_size(field->row_elements, shape[i], &field->row_elements);
    }
    int64_t slot_bytes = 0;
    if (kind == RBC_FIELD_TENSOR) {
        const int64_t element_bytes = dtype.bits / 8;
        fits = fits && rbc__mul_size(field->row_elements, element_bytes, &field->row_bytes) &&
               rbc__mul_size(field->row_bytes, spec->batch_size, &slot_bytes);
    }
    field->offset = spec->slot_bytes;
    fits = fits && rbc__add_size(spec->slot_bytes, slot_bytes, &spec->slot_bytes) &&
           rbc__add_size(spec->slot_bytes, RBC__FIELD_ALIGN - 1, &spec->slot_bytes);
    if (!fits) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "field '%s' of %lld rows makes a batch too large to address", field->name,
                         (long long)spec->batch_size);
    }
    spec->slot_bytes -= spec->slot_bytes % RBC__FIELD_ALIGN;
    return RBC_OK;
}

/* Extents of what is made of an image, behind the first `ndim`. */
static rbc_status add_made_extents(rbc__window_spec *window, const rbc__stream_schema *schema,
                                   const rbc_window *asked, int64_t *shape, int32_t *ndim,
                                   rbc_error *err) {
    const rbc__image_shape *image = &window->image;
    char name[160];
    int64_t height;
    int64_t width;
    (void)snprintf(name, sizeof name, "stream '%s': image: ", schema->name);
    RBC__TRY(rbc__image_spec_init(window->made, asked->image, schema->dtype, image->channels, name,
                                  err));
    RBC__TRY(rbc__image_spec_size(window->made, image->height, image->width, name, &height, &width,
                                  err));
    const bool has_channels = schema->kind == RBC_STREAM_IMAGE || schema->ndim == 3;
    const bool is_first = window->made->params.channels_first != 0;
    if (has_channels && is_first) {
        shape[(*ndim)++] = image->channels;
    }
    shape[(*ndim)++] = height;
    shape[(*ndim)++] = width;
    if (has_channels && !is_first) {
        shape[(*ndim)++] = image->channels;
    }
    return RBC_OK;
}

static rbc_status add_window_fields(rbc__batch_spec *spec, rbc__window_spec *window,
                                    const rbc_window *asked, rbc_error *err) {
    const char *name = asked->name != NULL ? asked->name : asked->stream;
    const rbc__used_stream *used = &spec->used[window->stream_at];
    const rbc__stream_schema *schema = used->schema;
    int64_t shape[RBC__FIELD_MAX_DIMS] = {window->width};
    int32_t ndim = 1;
    if (window->made != NULL) {
        RBC__TRY(add_made_extents(window, schema, asked, shape, &ndim, err));
    } else if (window->voxels != NULL) {
        RBC__TRY(rbc__voxels_extents(window, used, shape, &ndim, err));
    } else if (schema->kind == RBC_STREAM_IMAGE) {
        shape[ndim++] = window->image.height;
        shape[ndim++] = window->image.width;
        shape[ndim++] = window->image.channels;
    } else if (schema->kind == RBC_STREAM_NUMERIC) {
        if (used->is_cloud) {
            shape[ndim++] = window->max_points;
        }
        for (int32_t i = 0; i < schema->ndim && !window->is_vector; ++i) {
            shape[ndim++] = schema->shape[i];
        }
        if (window->is_vector) {
            shape[ndim++] = window->target_channels;
        }
    }
    if (asked->squeeze != 0 && window->width != 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "window '%s' has %lld ticks; it must have 1 to be squeezed", name,
                         (long long)window->width);
    }
    const int32_t first = asked->squeeze != 0 ? 1 : 0;
    const DLDataType boolean = rbc__dtype_to_dlpack(RBC__BOOL);
    const bool is_text = schema->kind == RBC_STREAM_TEXT;
    RBC__TRY(add_field(spec, name, "", is_text ? RBC_FIELD_TEXT : RBC_FIELD_TENSOR,
                       rbc__dtype_to_dlpack(is_text ? RBC__U8 : window->dtype), ndim - first,
                       shape + first, &window->value_field, err));
    window->target_bytes = spec->fields[window->value_field].row_bytes / window->width;
    if (window->voxels != NULL) {
        window->voxels->grid_bytes = window->target_bytes;
    }
    RBC__TRY(add_field(spec, name, "_is_pad", RBC_FIELD_TENSOR, boolean, 1 - first, shape,
                       &window->pad_field, err));
    RBC__TRY(add_field(spec, name, "_valid", RBC_FIELD_TENSOR, boolean, 1 - first, shape,
                       &window->valid_field, err));
    window->lengths_field = window->dropped_field = -1;
    window->future_field = -1;
    if (window->is_future) {
        RBC__TRY(add_field(spec, name, "_step_index", RBC_FIELD_TENSOR,
                           rbc__dtype_to_dlpack(RBC__I64), 1 - first, shape, &window->future_field,
                           err));
    }
    if (window->voxels != NULL) {
        RBC__TRY(add_field(spec, name, "_dropped", RBC_FIELD_TENSOR, rbc__dtype_to_dlpack(RBC__I64),
                           1 - first, shape, &window->dropped_field, err));
    } else if (used->is_cloud) {
        RBC__TRY(add_field(spec, name, "_lengths", RBC_FIELD_TENSOR, rbc__dtype_to_dlpack(RBC__I64),
                           1 - first, shape, &window->lengths_field, err));
    }
    return RBC_OK;
}

rbc_status rbc__batch_fields_add(rbc__batch_spec *spec, const rbc_window *windows, bool is_mixture,
                                 rbc_error *err) {
    const DLDataType i64 = rbc__dtype_to_dlpack(RBC__I64);
    spec->fields = calloc(5 * (size_t)spec->num_windows + 7, sizeof *spec->fields);
    if (spec->fields == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the fields of a batch");
    }
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc_window window;
        RBC__TRY(rbc__window_at(windows, i, &window, err));
        rbc__window_spec *out = &spec->windows[i];
        const rbc__window_spec *head = &spec->windows[out->head];
        if (out->head == i) {
            RBC__TRY(add_window_fields(spec, out, &window, err));
        } else {
            out->value_field = head->value_field;
            out->pad_field = head->pad_field;
            out->valid_field = head->valid_field;
            out->lengths_field = head->lengths_field;
            out->dropped_field = head->dropped_field;
            out->future_field = head->future_field;
            out->target_bytes = head->target_bytes;
        }
    }
    RBC__TRY(add_field(spec, "episode_index", "", RBC_FIELD_TENSOR, i64, 0, NULL,
                       &spec->index_field, err));
    RBC__TRY(
        add_field(spec, "episode_id", "", RBC_FIELD_TENSOR, i64, 0, NULL, &spec->id_field, err));
    RBC__TRY(
        add_field(spec, "step_index", "", RBC_FIELD_TENSOR, i64, 0, NULL, &spec->step_field, err));
    RBC__TRY(
        add_field(spec, "time_ns", "", RBC_FIELD_TENSOR, i64, 0, NULL, &spec->time_field, err));
    RBC__TRY(add_field(spec, "task", "", RBC_FIELD_TEXT, rbc__dtype_to_dlpack(RBC__U8), 0, NULL,
                       &spec->task_field, err));
    if (is_mixture) {
        RBC__TRY(add_field(spec, "dataset", "", RBC_FIELD_TEXT, rbc__dtype_to_dlpack(RBC__U8), 0,
                           NULL, &spec->dataset_field, err));
        RBC__TRY(add_field(spec, "dataset_index", "", RBC_FIELD_TENSOR, i64, 0, NULL,
                           &spec->number_field, err));
    }
    spec->host_bytes = spec->slot_bytes;
    return RBC_OK;
}

/* Whether a window's images come one by one, each to be decoded or made. */
static bool has_images(const rbc__batch_spec *spec, const rbc__window_spec *window) {
    const rbc__stream_schema *schema = spec->used[window->stream_at].schema;
    const uint8_t encoding = schema->stored.encoding;
    return window->voxels == NULL && (window->made != NULL || (schema->kind == RBC_STREAM_IMAGE &&
                                                               (encoding == RBC__ENCODING_IMAGE ||
                                                                encoding == RBC__ENCODING_FRAME ||
                                                                encoding == RBC__ENCODING_ROS)));
}

/* Whether field `field` is of images that a device may decode, in some spec, and of images in all. */
static bool is_decoded(rbc__batch_spec *const *specs, int32_t count, int32_t field) {
    bool is_any = false;
    for (int32_t i = 0; i < count; ++i) {
        for (int32_t w = 0; w < specs[i]->num_windows; ++w) {
            const rbc__window_spec *window = &specs[i]->windows[w];
            const rbc__stream_schema *schema = specs[i]->used[window->stream_at].schema;
            if (window->value_field != field) {
                continue;
            }
            if (!has_images(specs[i], window)) {
                return false;
            }
            is_any = is_any || (schema->kind == RBC_STREAM_IMAGE && schema->dtype == RBC__U8 &&
                                schema->stored.encoding == RBC__ENCODING_IMAGE);
        }
    }
    return is_any;
}

/* Whether field `field` is of grids, in all specs. */
static bool is_voxelized(rbc__batch_spec *const *specs, int32_t count, int32_t field) {
    bool is_any = false;
    for (int32_t i = 0; i < count; ++i) {
        for (int32_t w = 0; w < specs[i]->num_windows; ++w) {
            const rbc__window_spec *window = &specs[i]->windows[w];
            if (window->value_field == field && window->voxels == NULL) {
                return false;
            }
            is_any = is_any || window->value_field == field;
        }
    }
    return is_any;
}

/* Whether field `field` is of numbers, in all specs, and in some they are not just copied. */
static bool is_aligned(rbc__batch_spec *const *specs, int32_t count, int32_t field) {
    bool is_any = false;
    for (int32_t i = 0; i < count; ++i) {
        for (int32_t w = 0; w < specs[i]->num_windows; ++w) {
            const rbc__window_spec *window = &specs[i]->windows[w];
            if (window->value_field != field) {
                continue;
            }
            if (rbc__window_takes_samples(window, &specs[i]->used[window->stream_at])) {
                return false;
            }
            is_any = is_any || !window->is_exact || !window->is_plain;
        }
    }
    return is_any;
}

/* Puts fields one behind the other, from `at` on, and returns where they end. */
static int64_t place(rbc__batch_spec *spec, bool are_there, int64_t at) {
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        rbc__field_spec *field = &spec->fields[i];
        if (field->is_there == are_there) {
            const int64_t end = at + field->row_bytes * spec->batch_size + RBC__FIELD_ALIGN - 1;
            field->offset = at;
            at = end - end % RBC__FIELD_ALIGN;
        }
    }
    return at;
}

bool rbc__batch_fields_split(rbc__batch_spec *const *specs, int32_t count, bool decodes,
                             bool aligns) {
    bool has_any = false;
    for (int32_t f = 0; f < specs[0]->num_fields; ++f) {
        const bool is_there = is_voxelized(specs, count, f) ||
                              (decodes && is_decoded(specs, count, f)) ||
                              (aligns && is_aligned(specs, count, f));
        for (int32_t i = 0; i < count; ++i) {
            specs[i]->fields[f].is_there = is_there;
        }
        has_any = has_any || is_there;
    }
    for (int32_t i = 0; i < count; ++i) {
        specs[i]->host_bytes = place(specs[i], false, 0);
        (void)place(specs[i], true, specs[i]->host_bytes);
    }
    return has_any;
}

int32_t rbc__slots_default(int32_t num_threads, int64_t slot_bytes) {
    const int64_t wanted = (int64_t)num_threads + 2;
    const int64_t affordable = RBC__SLOTS_DEFAULT_BYTES / (slot_bytes > 0 ? slot_bytes : 1);
    const int64_t slots = wanted < affordable ? wanted : affordable;
    return (int32_t)(slots > 3 ? slots : 3);
}
