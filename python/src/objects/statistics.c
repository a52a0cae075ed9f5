/* Statistics of streams. Numbers go over as bytes: Python above makes arrays of them. */
#include "objects/objects.h"

#include <stdlib.h>
#include <string.h>

#include "extension.h"

typedef struct statistics_object {
    PyObject_HEAD rbc_statistics *handle;
} statistics_object;

static rbc_statistics *handle_of(PyObject *self) {
    return ((statistics_object *)(void *)self)->handle;
}

static void statistics_dealloc(PyObject *self) {
    rbc_statistics_destroy(&((statistics_object *)(void *)self)->handle);
    free_instance(self);
}

static PyObject *statistics_wrap(module_state *state, rbc_statistics *handle) {
    statistics_object *statistics = PyObject_New(statistics_object, state->statistics_type);
    if (statistics == NULL) {
        rbc_statistics_destroy(&handle);
        return NULL;
    }
    statistics->handle = handle;
    return (PyObject *)statistics;
}

/* info() -> dict */
static PyObject *statistics_info(PyObject *self, PyObject *unused) {
    (void)unused;
    rbc_statistics_info info;
    rbc__dtype dtype;
    rbc_statistics_get_info(handle_of(self), &info);
    PyObject *shape = PyTuple_New(info.ndim);
    for (int32_t i = 0; shape != NULL && i < info.ndim; ++i) {
        PyObject *extent = PyLong_FromLongLong(info.shape[i]);
        if (extent == NULL || PyTuple_SetItem(shape, i, extent) < 0) {
            Py_CLEAR(shape);
        }
    }
    if (shape == NULL || !rbc__dtype_from_dlpack(info.dtype, &dtype)) {
        return NULL;
    }
    return Py_BuildValue("{s:N,s:s,s:N,s:L,s:L,s:L,s:N,s:O,s:O,s:d}", "stream",
                         text_object(info.stream), "dtype", rbc__dtype_name(dtype), "shape", shape,
                         "num_samples", (long long)info.num_samples, "num_episodes",
                         (long long)info.num_episodes, "num_skipped", (long long)info.num_skipped,
                         "problem", text_object(info.problem != NULL ? info.problem : ""),
                         "has_quantiles", info.has_quantiles != 0 ? Py_True : Py_False, "is_image",
                         info.is_image != 0 ? Py_True : Py_False, "rank_error", info.rank_error);
}

/* channels() -> bytes, each of [4, channels]: int64 count, nan, inf, -inf; float64 mean, std, min,
 * max */
static PyObject *statistics_channels(PyObject *self, PyObject *unused) {
    (void)unused;
    rbc_statistics_info info;
    rbc_statistics_get_info(handle_of(self), &info);
    const Py_ssize_t size = (Py_ssize_t)info.num_channels;
    int64_t *counts = calloc((size_t)size * 4 + 1, sizeof *counts);
    double *values = calloc((size_t)size * 4 + 1, sizeof *values);
    PyObject *result = NULL;
    if (counts == NULL || values == NULL) {
        PyErr_NoMemory();
    } else {
        for (Py_ssize_t c = 0; c < size; ++c) {
            rbc_statistics_channel found;
            (void)rbc_statistics_channel_get(handle_of(self), c, &found, NULL);
            counts[c] = found.count;
            counts[size + c] = found.num_nan;
            counts[2 * size + c] = found.num_positive_infinite;
            counts[3 * size + c] = found.num_negative_infinite;
            values[c] = found.mean;
            values[size + c] = found.std;
            values[2 * size + c] = found.min;
            values[3 * size + c] = found.max;
        }
        const Py_ssize_t bytes = size * 4 * (Py_ssize_t)sizeof(double);
        result = Py_BuildValue("(y#y#)", (const char *)counts, bytes, (const char *)values, bytes);
    }
    free(counts);
    free(values);
    return result;
}

/* quantile(share) -> bytes, float64 [channels] */
static PyObject *statistics_quantile(PyObject *self, PyObject *object) {
    const double share = PyFloat_AsDouble(object);
    if (PyErr_Occurred()) {
        return NULL;
    }
    rbc_statistics_info info;
    rbc_error err;
    rbc_statistics_get_info(handle_of(self), &info);
    double *values = calloc((size_t)info.num_channels + 1, sizeof *values);
    if (values == NULL) {
        return PyErr_NoMemory();
    }
    rbc_status status = RBC_OK;
    for (int64_t c = 0; c < info.num_channels && status == RBC_OK; ++c) {
        status = rbc_statistics_quantile(handle_of(self), c, share, &values[c], &err);
    }
    PyObject *result =
        status == RBC_OK
            ? PyBytes_FromStringAndSize((const char *)values,
                                        (Py_ssize_t)info.num_channels * (Py_ssize_t)sizeof *values)
            : raise_error(state_of_type(self), &err);
    free(values);
    return result;
}

/* save() -> bytes */
static PyObject *statistics_save(PyObject *self, PyObject *unused) {
    (void)unused;
    void *data = NULL;
    uint64_t bytes = 0;
    rbc_error err;
    if (rbc_statistics_save(handle_of(self), &data, &bytes, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    PyObject *result = PyBytes_FromStringAndSize(data, (Py_ssize_t)bytes);
    free(data);
    return result;
}

/* load_statistics(bytes) -> Statistics */
PyObject *load_statistics(PyObject *module, PyObject *object) {
    module_state *state = state_of_module(module);
    char *data = NULL;
    Py_ssize_t bytes = 0;
    if (PyBytes_AsStringAndSize(object, &data, &bytes) < 0) {
        return NULL;
    }
    rbc_statistics *loaded = NULL;
    rbc_error err;
    return rbc_statistics_load(data, (uint64_t)bytes, &loaded, &err) == RBC_OK
               ? statistics_wrap(state, loaded)
               : raise_error(state, &err);
}

/* merge_statistics([Statistics, ...]) -> Statistics */
PyObject *merge_statistics(PyObject *module, PyObject *object) {
    module_state *state = state_of_module(module);
    PyObject *items = PySequence_List(object);
    if (items == NULL) {
        return NULL;
    }
    const Py_ssize_t count = PyList_Size(items);
    const rbc_statistics **parts = calloc((size_t)count + 1, sizeof(rbc_statistics *));
    bool ok = parts != NULL;
    if (!ok) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        PyObject *item = PyList_GetItem(items, i);
        ok = Py_TYPE(item) == state->statistics_type;
        if (ok) {
            parts[i] = handle_of(item);
        } else {
            raise_type(state, "merge: part %zd found %R, wanted statistics", i, item);
        }
    }
    PyObject *result = NULL;
    if (ok) {
        rbc_statistics *merged = NULL;
        rbc_error err;
        PyThreadState *thread = PyEval_SaveThread();
        const rbc_status status = rbc_statistics_merge(parts, count, &merged, &err);
        PyEval_RestoreThread(thread);
        result = status == RBC_OK ? statistics_wrap(state, merged) : raise_error(state, &err);
    }
    free((void *)parts);
    Py_DECREF(items);
    return result;
}

static PyObject *wrap_all(module_state *state, rbc_statistics **found, Py_ssize_t count) {
    PyObject *result = PyList_New(count);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject *item = result != NULL ? statistics_wrap(state, found[i]) : NULL;
        if (result == NULL) {
            rbc_statistics_destroy(&found[i]);
        } else if (item == NULL || PyList_SetItem(result, i, item) < 0) {
            Py_CLEAR(result);
        }
    }
    return result;
}

static int report_statistics(const rbc_statistics_progress *progress, void *user) {
    const long long counts[] = {progress->episodes_done, progress->episodes_total,
                                progress->images_done, progress->images_total};
    return tell_progress(user, counts, 4);
}

/* statistics([name, ...], images, threads, skip, keep, progress) -> [Statistics, ...], of a
 * Selection */
PyObject *selection_statistics(PyObject *self, PyObject *args) {
    PyObject *names = NULL;
    long long images = 0;
    int threads = 0;
    int skip = 0;
    int keep = 1;
    PyObject *progress = NULL;
    if (!PyArg_ParseTuple(args, "OLippO", &names, &images, &threads, &skip, &keep, &progress)) {
        return NULL;
    }
    PyObject *items = PySequence_List(names);
    if (items == NULL) {
        return NULL;
    }
    module_state *state = state_of_type(self);
    const Py_ssize_t count = PyList_Size(items);
    const char **streams = calloc((size_t)count + 1, sizeof(char *));
    rbc_statistics **found = calloc((size_t)count + 1, sizeof(rbc_statistics *));
    bool ok = streams != NULL && found != NULL;
    if (!ok) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        streams[i] = PyUnicode_AsUTF8AndSize(PyList_GetItem(items, i), NULL);
        ok = streams[i] != NULL;
    }
    PyObject *result = NULL;
    if (ok) {
        rbc_error err;
        progress_call call = {progress == Py_None ? NULL : progress, PyEval_SaveThread()};
        const rbc_statistics_params params = {
            .struct_size = sizeof params,
            .streams = streams,
            .num_streams = (int32_t)count,
            .num_threads = threads,
            .num_images = images,
            .on_error = skip != 0 ? RBC_ON_ERROR_SKIP : RBC_ON_ERROR_RAISE,
            .keep = keep,
            .progress = report_statistics,
            .user = &call,
        };
        const rbc_status status = rbc_statistics_compute(((selection_object *)(void *)self)->handle,
                                                         &params, found, &err);
        PyEval_RestoreThread(call.thread);
        if (PyErr_Occurred()) {
            for (Py_ssize_t i = 0; i < count && status == RBC_OK; ++i) {
                rbc_statistics_destroy(&found[i]);
            }
        } else {
            result = status == RBC_OK ? wrap_all(state, found, count) : raise_error(state, &err);
        }
    }
    free((void *)streams);
    free((void *)found);
    Py_DECREF(items);
    return result;
}

static PyMethodDef statistics_methods[] = {
    {"info", statistics_info, METH_NOARGS, NULL},
    {"channels", statistics_channels, METH_NOARGS, NULL},
    {"quantile", statistics_quantile, METH_O, NULL},
    {"save", statistics_save, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot statistics_slots[] = {
    {Py_tp_dealloc, (void *)statistics_dealloc},
    {Py_tp_methods, statistics_methods},
    {0, NULL},
};

PyType_Spec statistics_spec = {
    .name = "robocache._core.Statistics",
    .basicsize = sizeof(statistics_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = statistics_slots,
};
