#include "operations/operation.h"
#include "operations/resample.h"

#include <string.h>

bool parse_resample_mode(module_state *state, PyObject *object, rbc_resample_mode *mode) {
    static const choice choices[] = {
        {NAME_linear, RBC_RESAMPLE_LINEAR},   {NAME_hold, RBC_RESAMPLE_HOLD},
        {NAME_nearest, RBC_RESAMPLE_NEAREST}, {NAME_cubic, RBC_RESAMPLE_CUBIC},
        {NAME_slerp, RBC_RESAMPLE_SLERP},     {NAME_angle, RBC_RESAMPLE_ANGLE},
        {NAME_mean, RBC_RESAMPLE_MEAN},       {NAME_max, RBC_RESAMPLE_MAX},
        {NAME_min, RBC_RESAMPLE_MIN}};
    int chosen = (int)*mode;
    const bool ok = PARSE_CHOICE(state, object, "mode", choices, &chosen);
    *mode = (rbc_resample_mode)chosen;
    return ok;
}

bool parse_outside(module_state *state, PyObject *object, rbc_outside *outside) {
    static const choice choices[] = {{NAME_hold, RBC_OUTSIDE_HOLD},
                                     {NAME_nan, RBC_OUTSIDE_NAN},
                                     {NAME_zero, RBC_OUTSIDE_ZERO},
                                     {NAME_extrapolate, RBC_OUTSIDE_EXTRAPOLATE}};
    int chosen = (int)*outside;
    const bool ok = PARSE_CHOICE(state, object, "outside", choices, &chosen);
    *outside = (rbc_outside)chosen;
    return ok;
}

static bool channel_error(module_state *state, PyObject *channels, Py_ssize_t index) {
    raise_type(state,
               "channels[%zd]: found %R, wanted (slice, mode), ((begin, end), mode) or "
               "(channel, mode)",
               index, channels);
    return false;
}

static bool parse_range(module_state *state, PyObject *object, Py_ssize_t index,
                        int64_t num_channels, rbc_channel_group *group) {
    Py_ssize_t begin = 0;
    Py_ssize_t end = 0;
    if (PySlice_Check(object)) {
        Py_ssize_t step = 1;
        if (PySlice_Unpack(object, &begin, &end, &step) < 0) {
            PyErr_Clear();
            return channel_error(state, object, index);
        }
        PySlice_AdjustIndices((Py_ssize_t)num_channels, &begin, &end, step);
        if (step != 1) {
            raise_value(state, "channels[%zd]: slice with step %zd found, 1 wanted", index, step);
            return false;
        }
    } else if (PyIndex_Check(object)) {
        begin = PyNumber_AsSsize_t(object, PyExc_OverflowError);
        if (begin == -1 && PyErr_Occurred()) {
            PyErr_Clear();
            return channel_error(state, object, index);
        }
        begin += begin < 0 ? (Py_ssize_t)num_channels : 0;
        if (begin == PY_SSIZE_T_MAX) {
            return channel_error(state, object, index);
        }
        end = begin + 1;
    } else if (PyTuple_Check(object) && PyTuple_Size(object) == 2) {
        begin = PyNumber_AsSsize_t(PyTuple_GetItem(object, 0), PyExc_OverflowError);
        end = PyNumber_AsSsize_t(PyTuple_GetItem(object, 1), PyExc_OverflowError);
        if (PyErr_Occurred()) {
            PyErr_Clear();
            return channel_error(state, object, index);
        }
    } else {
        return channel_error(state, object, index);
    }
    group->begin = begin;
    group->end = end;
    return true;
}

bool parse_channels(module_state *state, PyObject *object, int64_t num_channels,
                    rbc_channel_group **groups, int32_t *num_groups) {
    if (!PyList_Check(object) && !PyTuple_Check(object)) {
        raise_type(state, "channels: found %R, wanted a list of (channels, mode)", object);
        return false;
    }
    PyObject *items = PySequence_List(object);
    if (items == NULL) {
        return false;
    }
    const Py_ssize_t count = PyList_Size(items);
    *groups = PyMem_Calloc((size_t)count + 1, sizeof(**groups));
    bool ok = *groups != NULL && count < INT32_MAX;
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        PyObject *item = PyList_GetItem(items, i);
        rbc_channel_group *group = &(*groups)[i];
        ok = PyTuple_Check(item) && PyTuple_Size(item) == 2
                 ? parse_range(state, PyTuple_GetItem(item, 0), i, num_channels, group) &&
                       parse_resample_mode(state, PyTuple_GetItem(item, 1), &group->mode)
                 : channel_error(state, item, i);
    }
    *num_groups = (int32_t)count;
    Py_DECREF(items);
    if (!ok && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return ok;
}

static bool parse_limit(module_state *state, PyObject *object, const char *param, double *limit) {
    if (!parse_double(state, object, param, limit)) {
        return false;
    }
    if (object != NULL && !(*limit >= 0)) {
        raise_value(state, "%s: found %R, wanted 0 or more, or None for no limit", param, object);
        return false;
    }
    return true;
}

bool stream_read(module_state *state, const stream_args *args, const tensor *like, uint32_t flags,
                 stream_input *out) {
    out->source = (rbc_resample_source)RBC_RESAMPLE_SOURCE_INIT;
    rbc_resample_source *source = &out->source;
    source->flags = flags;
    if (!tensor_read(state, args->values, args->values_name, like, &out->values)) {
        return false;
    }
    const tensor *first = like != NULL ? like : &out->values;
    if (!tensor_read(state, args->times, args->times_name, first, &out->times)) {
        return false;
    }
    source->values = &out->values.dl;
    source->times = &out->times.dl;
    if (args->lengths != NULL) {
        if (!tensor_read_small(state, args->lengths, "lengths", RBC__I64, first, &out->lengths)) {
            return false;
        }
        source->lengths = &out->lengths.dl;
    }
    const int32_t ndim = out->values.dl.ndim;
    if (args->channels != NULL) {
        const int64_t num_channels = ndim > 0 ? out->values.dl.shape[ndim - 1] : 0;
        if (!parse_channels(state, args->channels, num_channels, &out->groups,
                            &source->num_groups)) {
            return false;
        }
        source->groups = out->groups;
    }
    return parse_resample_mode(state, args->mode, &source->mode) &&
           parse_outside(state, args->outside, &source->outside) &&
           parse_limit(state, args->max_gap, "max_gap", &source->max_gap) &&
           parse_limit(state, args->tolerance, "tolerance", &source->tolerance);
}

bool stream_keep(stream_input *stream) {
    return tensor_keep(&stream->values) && tensor_keep(&stream->times) &&
           tensor_keep(&stream->lengths);
}

void stream_release(stream_input *stream) {
    tensor_release(&stream->values);
    tensor_release(&stream->times);
    tensor_release(&stream->lengths);
    PyMem_Free(stream->groups);
    stream->groups = NULL;
}

DLTensor add_batch_axis(const DLTensor *t, int64_t *shape, int64_t *strides) {
    DLTensor view = *t;
    view.ndim = t->ndim + 1;
    view.shape = shape;
    shape[0] = 1;
    memcpy(shape + 1, t->shape, (size_t)t->ndim * sizeof(*shape));
    if (t->strides != NULL) {
        strides[0] = 0;
        memcpy(strides + 1, t->strides, (size_t)t->ndim * sizeof(*strides));
        view.strides = strides;
    }
    return view;
}
