#define _POSIX_C_SOURCE 200809L

#include "loader/mixed_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* The fields of all datasets, each with the one that has it first. */
typedef struct layout {
    rbc__field_spec *fields;
    int32_t *owners;
    int32_t num_fields, num_text_fields;
    int64_t slot_bytes;
} layout;

/* What is said of each row comes behind the fields of windows. */
static int32_t num_window_fields(const rbc__batch_spec *spec) {
    return spec->index_field;
}

static int32_t find_field(const layout *all, const char *name) {
    for (int32_t i = 0; i < all->num_fields; ++i) {
        if (strcmp(all->fields[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool is_alike(const rbc__field_spec *a, const rbc__field_spec *b) {
    return a->kind == b->kind && a->dtype.code == b->dtype.code && a->dtype.bits == b->dtype.bits &&
           a->ndim == b->ndim &&
           memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

static const char *describe(char *text, size_t bytes, const rbc__field_spec *field) {
    char shape[128];
    rbc__dtype dtype;
    if (field->kind == RBC_FIELD_TEXT || !rbc__dtype_from_dlpack(field->dtype, &dtype)) {
        return "text";
    }
    rbc__format_shape(shape, sizeof shape, field->ndim - 1, field->shape + 1);
    (void)snprintf(text, bytes, "%s of shape %s a sample", rbc__dtype_name(dtype), shape);
    return text;
}

/* What makes two fields alike. */
static const char *remedy(const rbc__batch_spec *spec, int32_t index,
                          const rbc__field_spec *other) {
    const rbc__field_spec *field = &spec->fields[index];
    bool is_image = false;
    bool is_grid = false;
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        const rbc__window_spec *window = &spec->windows[i];
        is_image = is_image || (window->value_field == index &&
                                spec->used[window->stream_at].schema->kind == RBC_STREAM_IMAGE);
        is_grid = is_grid || (window->value_field == index && window->voxels != NULL);
    }
    if (is_grid) {
        return "give both windows voxelize=Voxels() of one grid_size and mode";
    }
    if (is_image) {
        return "give the window image=Image(size=, dtype=), which resizes both";
    }
    if (field->kind == RBC_FIELD_TENSOR && field->ndim == other->ndim && field->ndim > 1 &&
        field->shape[field->ndim - 1] != other->shape[field->ndim - 1]) {
        return "give the window pad_to=, which pads both, or leave channels out";
    }
    return "take streams of one kind, or give the window a scale, which makes floats of integers";
}

static rbc_status add_own(const rbc__mixed_spec *specs, int32_t at, layout *all, rbc_error *err) {
    const rbc__batch_spec *spec = specs[at].spec;
    char texts[2][200];
    for (int32_t i = 0; i < num_window_fields(spec); ++i) {
        const rbc__field_spec *field = &spec->fields[i];
        const int32_t same = find_field(all, field->name);
        if (same < 0) {
            all->fields[all->num_fields] = *field;
            all->owners[all->num_fields++] = at;
        } else if (!is_alike(field, &all->fields[same])) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "field '%s' is %s in dataset '%s' and %s in '%s': %s", field->name,
                             describe(texts[0], sizeof texts[0], &all->fields[same]),
                             specs[all->owners[same]].name,
                             describe(texts[1], sizeof texts[1], field), specs[at].name,
                             remedy(spec, i, &all->fields[same]));
        }
    }
    return RBC_OK;
}

/* Offsets of the fields, in their order. */
static rbc_status place(const rbc__mixed_spec *specs, layout *all, rbc_error *err) {
    for (int32_t i = 0; i < all->num_fields; ++i) {
        rbc__field_spec *field = &all->fields[i];
        int64_t bytes = 0;
        field->offset = all->slot_bytes;
        field->text_index = field->kind == RBC_FIELD_TEXT ? all->num_text_fields++ : -1;
        if (!rbc__mul_size(field->row_bytes, specs[0].spec->batch_size, &bytes) ||
            !rbc__add_size(all->slot_bytes, bytes, &all->slot_bytes) ||
            !rbc__add_size(all->slot_bytes, RBC__FIELD_ALIGN - 1, &all->slot_bytes)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "field '%s' of %lld rows makes a batch too large to address",
                             field->name, (long long)specs[0].spec->batch_size);
        }
        all->slot_bytes -= all->slot_bytes % RBC__FIELD_ALIGN;
    }
    return RBC_OK;
}

static int32_t moved(const layout *all, const rbc__batch_spec *spec, int32_t field) {
    return field < 0 ? field : find_field(all, spec->fields[field].name);
}

/* Whether `field` is one of those of window `name`. */
static bool is_of_window(const char *field, const char *name) {
    static const char *const suffixes[] = {"",         "_is_pad",  "_valid",
                                           "_lengths", "_dropped", "_step_index"};
    const size_t bytes = strlen(name);
    bool is = false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; ++i) {
        is = is || (strncmp(field, name, bytes) == 0 && strcmp(field + bytes, suffixes[i]) == 0);
    }
    return is;
}

/* Lists what the dataset lacks of all fields. */
static rbc_status list_absent(const rbc__mixed_spec *own, const layout *all, rbc_error *err) {
    rbc__batch_spec *spec = own->spec;
    for (int32_t k = 0; k < own->num_absent; ++k) {
        if (find_field(all, own->absent[k]) < 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "window '%s': no dataset of the mixture has a stream for it",
                             own->absent[k]);
        }
    }
    for (int32_t i = 0; i < all->num_fields; ++i) {
        bool is_own = false;
        for (int32_t k = 0; k < spec->num_fields; ++k) {
            is_own = is_own || strcmp(spec->fields[k].name, all->fields[i].name) == 0;
        }
        bool is_absent = false;
        for (int32_t k = 0; k < own->num_absent; ++k) {
            is_absent = is_absent || is_of_window(all->fields[i].name, own->absent[k]);
        }
        if (!is_own && !is_absent) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "dataset '%s' has no window '%s', which others of the mixture have",
                             own->name, all->fields[i].name);
        }
        if (!is_own) {
            spec->absent[spec->num_absent++] = i;
        }
    }
    return RBC_OK;
}

/* Puts the fields of all in the place of the dataset's own. */
static rbc_status adopt(const rbc__mixed_spec *own, const layout *all, rbc_error *err) {
    rbc__batch_spec *spec = own->spec;
    rbc__field_spec *fields = calloc((size_t)all->num_fields + 1, sizeof *fields);
    spec->absent = calloc((size_t)all->num_fields + 1, sizeof *spec->absent);
    bool has_memory = fields != NULL && spec->absent != NULL;
    for (int32_t i = 0; has_memory && i < all->num_fields; ++i) {
        fields[i] = all->fields[i];
        fields[i].name = strdup(all->fields[i].name);
        has_memory = fields[i].name != NULL;
    }
    rbc_status status =
        has_memory ? list_absent(own, all, err)
                   : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the fields of a batch");
    if (status != RBC_OK) {
        for (int32_t i = 0; fields != NULL && i < all->num_fields; ++i) {
            free(fields[i].name);
        }
        free(fields);
        return status;
    }
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc__window_spec *window = &spec->windows[i];
        window->value_field = moved(all, spec, window->value_field);
        window->pad_field = moved(all, spec, window->pad_field);
        window->valid_field = moved(all, spec, window->valid_field);
        window->lengths_field = moved(all, spec, window->lengths_field);
        window->dropped_field = moved(all, spec, window->dropped_field);
        window->future_field = moved(all, spec, window->future_field);
    }
    int32_t *const facts[] = {&spec->index_field, &spec->id_field,   &spec->step_field,
                              &spec->time_field,  &spec->task_field, &spec->dataset_field,
                              &spec->number_field};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; ++i) {
        *facts[i] = moved(all, spec, *facts[i]);
    }
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        free(spec->fields[i].name);
    }
    free(spec->fields);
    spec->fields = fields;
    spec->num_fields = all->num_fields;
    spec->num_text_fields = all->num_text_fields;
    spec->slot_bytes = spec->host_bytes = all->slot_bytes;
    return RBC_OK;
}

static rbc_status join(const rbc__mixed_spec *specs, int32_t count, layout *all, rbc_error *err) {
    for (int32_t i = 0; i < count; ++i) {
        RBC__TRY(add_own(specs, i, all, err));
    }
    const rbc__batch_spec *first = specs[0].spec;
    for (int32_t i = num_window_fields(first); i < first->num_fields; ++i) {
        if (find_field(all, first->fields[i].name) >= 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "two fields of the batch are named '%s': give a window another name "
                             "(name=)",
                             first->fields[i].name);
        }
        all->fields[all->num_fields++] = first->fields[i];
    }
    return place(specs, all, err);
}

rbc_status rbc__mixed_fields_join(const rbc__mixed_spec *specs, int32_t count, rbc_error *err) {
    size_t most = 0;
    for (int32_t i = 0; i < count; ++i) {
        most += (size_t)specs[i].spec->num_fields;
    }
    /* The names are those of the specs until each has its copies. */
    layout all = {.fields = calloc(most + 1, sizeof *all.fields),
                  .owners = calloc(most + 1, sizeof *all.owners)};
    char **names = calloc(most + 1, sizeof *names);
    rbc_status status =
        all.fields != NULL && all.owners != NULL && names != NULL
            ? join(specs, count, &all, err)
            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the fields of a batch");
    for (int32_t i = 0; i < all.num_fields && status == RBC_OK; ++i) {
        names[i] = strdup(all.fields[i].name);
        all.fields[i].name = names[i];
        if (names[i] == NULL) {
            status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a field's name");
        }
    }
    for (int32_t i = 0; i < count && status == RBC_OK; ++i) {
        status = adopt(&specs[i], &all, err);
    }
    for (size_t i = 0; names != NULL && i < most; ++i) {
        free(names[i]);
    }
    free(names);
    free(all.fields);
    free(all.owners);
    return status;
}
