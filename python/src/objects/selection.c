#include "objects/objects.h"

#include <stdlib.h>
#include <string.h>

#include "extension.h"

static rbc_selection *handle_of(PyObject *self) {
    return ((selection_object *)(void *)self)->handle;
}

static void selection_dealloc(PyObject *self) {
    rbc_selection_destroy(&((selection_object *)(void *)self)->handle);
    free_instance(self);
}

PyObject *selection_wrap(module_state *state, rbc_selection *handle) {
    selection_object *selection = PyObject_New(selection_object, state->selection_type);
    if (selection == NULL) {
        rbc_selection_destroy(&handle);
        return NULL;
    }
    selection->handle = handle;
    return (PyObject *)selection;
}

static Py_ssize_t selection_length(PyObject *self) {
    return (Py_ssize_t)rbc_selection_size(handle_of(self));
}

static PyObject *selection_num_steps(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLongLong(rbc_selection_num_steps(handle_of(self)));
}

static PyObject *selection_fingerprint(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(rbc__selection_fingerprint(handle_of(self)));
}

/* Index of an episode, or -1 with an exception. */
static int64_t position_of(PyObject *self, PyObject *index) {
    const long long position = PyLong_AsLongLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return -1;
    }
    const int64_t size = rbc_selection_size(handle_of(self));
    if (position < 0 || position >= size) {
        PyErr_Format(state_of_type(self)->errors[RBC_ERROR_NOT_FOUND],
                     "episodes: index %lld found, wanted 0 to %lld", position, (long long)size - 1);
        return -1;
    }
    return position;
}

static PyObject *selection_id(PyObject *self, PyObject *index) {
    const int64_t position = position_of(self, index);
    return position < 0 ? NULL : PyLong_FromLongLong(rbc_selection_id(handle_of(self), position));
}

/* refine(split | None, where | None) -> Selection */
static PyObject *selection_refine(PyObject *self, PyObject *args) {
    const char *split = NULL;
    const char *where = NULL;
    if (!PyArg_ParseTuple(args, "zz", &split, &where)) {
        return NULL;
    }
    rbc_selection *refined = NULL;
    rbc_error err;
    const rbc_selection *selection = handle_of(self);
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status =
        rbc_selection_refine(selection, split, where, hear_signals, &thread, &refined, &err);
    PyEval_RestoreThread(thread);
    module_state *state = state_of_type(self);
    if (PyErr_Occurred()) {
        rbc_selection_destroy(&refined);
        return NULL;
    }
    return status == RBC_OK ? selection_wrap(state, refined) : raise_error(state, &err);
}

/* counts() -> bytes, files, [(episodes, steps) of each split of the dataset], [(task, episodes)] */
static PyObject *selection_counts(PyObject *self, PyObject *unused) {
    (void)unused;
    const rbc_selection *selection = handle_of(self);
    rbc__selection_counts counts;
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = rbc__selection_count(selection, &counts, &err);
    PyEval_RestoreThread(thread);
    if (status != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    rbc_dataset_info info;
    rbc_dataset_get_info(rbc_selection_dataset(selection), &info);
    PyObject *splits = PyList_New(info.num_splits);
    PyObject *tasks = PyList_New((Py_ssize_t)counts.num_tasks);
    bool ok = splits != NULL && tasks != NULL;
    for (int32_t i = 0; ok && i < info.num_splits; ++i) {
        PyObject *item = Py_BuildValue("(LL)", (long long)counts.split_episodes[i],
                                       (long long)counts.split_steps[i]);
        ok = item != NULL && PyList_SetItem(splits, i, item) == 0;
    }
    for (int64_t i = 0; ok && i < counts.num_tasks; ++i) {
        PyObject *item =
            Py_BuildValue("(NL)", text_object(counts.tasks[i]), (long long)counts.task_episodes[i]);
        ok = item != NULL && PyList_SetItem(tasks, (Py_ssize_t)i, item) == 0;
    }
    PyObject *result = ok ? Py_BuildValue("(LLOO)", (long long)counts.num_bytes,
                                          (long long)counts.num_files, splits, tasks)
                          : NULL;
    Py_XDECREF(splits);
    Py_XDECREF(tasks);
    rbc__selection_counts_free(&counts);
    return result;
}

/* take([index, ...]) -> Selection of those episodes, in that order */
static PyObject *selection_take(PyObject *self, PyObject *indices) {
    PyObject *items = PySequence_List(indices);
    if (items == NULL) {
        return NULL;
    }
    module_state *state = state_of_type(self);
    const Py_ssize_t count = PyList_Size(items);
    int64_t *positions = PyMem_Calloc((size_t)count + 1, sizeof(*positions));
    bool ok = positions != NULL;
    if (!ok) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        positions[i] = position_of(self, PyList_GetItem(items, i));
        ok = positions[i] >= 0;
    }
    Py_DECREF(items);
    PyObject *result = NULL;
    if (ok) {
        rbc_selection *taken = NULL;
        rbc_error err;
        result = rbc_selection_take(handle_of(self), positions, count, &taken, &err) == RBC_OK
                     ? selection_wrap(state, taken)
                     : raise_error(state, &err);
    }
    PyMem_Free(positions);
    return result;
}

/* keep_steps(bytes of int64 [episodes], bytes of int64 [ranges, 2]) -> Selection without the steps
 * that lie in none of the ranges, of which each episode has as many as the first says */
static PyObject *selection_keep_steps(PyObject *self, PyObject *args) {
    const char *counts = NULL;
    const char *bounds = NULL;
    Py_ssize_t counts_bytes = 0;
    Py_ssize_t bounds_bytes = 0;
    if (!PyArg_ParseTuple(args, "y#y#", &counts, &counts_bytes, &bounds, &bounds_bytes)) {
        return NULL;
    }
    module_state *state = state_of_type(self);
    const int64_t size = rbc_selection_size(handle_of(self));
    /* copies, since bytes are of no alignment */
    int64_t *num_ranges = PyMem_Calloc((size_t)size + 1, sizeof(*num_ranges));
    rbc_step_range *ranges =
        PyMem_Calloc((size_t)bounds_bytes / sizeof(*ranges) + 1, sizeof(*ranges));
    int64_t total = 0;
    bool ok = num_ranges != NULL && ranges != NULL;
    if (!ok) {
        PyErr_NoMemory();
    } else if (counts_bytes != (Py_ssize_t)sizeof(*num_ranges) * size) {
        ok = false;
        raise_value(state, "steps: found %zd bytes of counts, wanted 8 for each of %lld episodes",
                    counts_bytes, (long long)size);
    }
    if (ok) {
        memcpy(num_ranges, counts, (size_t)counts_bytes);
        memcpy(ranges, bounds, (size_t)bounds_bytes);
        for (int64_t i = 0; ok && i < size; ++i) {
            ok = rbc__add_size(total, num_ranges[i], &total);
        }
        if (!ok || total != bounds_bytes / (Py_ssize_t)sizeof(*ranges)) {
            ok = false;
            raise_value(state, "steps: found %zd bytes of ranges, wanted 16 for each of %lld",
                        bounds_bytes, (long long)total);
        }
    }
    PyObject *result = NULL;
    if (ok) {
        rbc_selection *kept = NULL;
        rbc_error err;
        result =
            rbc_selection_keep_steps(handle_of(self), num_ranges, ranges, &kept, &err) == RBC_OK
                ? selection_wrap(state, kept)
                : raise_error(state, &err);
    }
    PyMem_Free(num_ranges);
    PyMem_Free(ranges);
    return result;
}

/* ranges(index) -> [(first, end), ...] that are kept of an episode; None: all of all episodes */
static PyObject *selection_ranges(PyObject *self, PyObject *index) {
    const int64_t position = position_of(self, index);
    if (position < 0) {
        return NULL;
    }
    int64_t count;
    const rbc_step_range *ranges = rbc_selection_ranges(handle_of(self), position, &count);
    if (ranges == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *result = PyList_New((Py_ssize_t)count);
    for (int64_t i = 0; result != NULL && i < count; ++i) {
        PyObject *item =
            Py_BuildValue("(LL)", (long long)ranges[i].first, (long long)ranges[i].end);
        if (item == NULL || PyList_SetItem(result, (Py_ssize_t)i, item) < 0) {
            Py_CLEAR(result);
        }
    }
    return result;
}

/* metadata(index) -> JSON of an episode, from the catalog alone */
static PyObject *selection_metadata(PyObject *self, PyObject *index) {
    const int64_t position = position_of(self, index);
    if (position < 0) {
        return NULL;
    }
    rbc_error err;
    rbc__cursor *cursor = NULL;
    char *json = NULL;
    const int64_t id = rbc_selection_id(handle_of(self), position);
    PyThreadState *thread = PyEval_SaveThread();
    rbc_status status = rbc__cursor_take(rbc_selection_dataset(handle_of(self)), &cursor, &err);
    if (status == RBC_OK) {
        status = rbc__cursor_metadata(cursor, id, &json, &err);
        rbc__cursor_give(&cursor);
    }
    PyEval_RestoreThread(thread);
    PyObject *result =
        status == RBC_OK ? text_object(json) : raise_error(state_of_type(self), &err);
    free(json);
    return result;
}

/* open(index) -> Episode */
static PyObject *selection_open(PyObject *self, PyObject *index) {
    const int64_t position = position_of(self, index);
    if (position < 0) {
        return NULL;
    }
    rbc_episode *episode = NULL;
    rbc_error err;
    rbc_dataset *dataset = rbc_selection_dataset(handle_of(self));
    const int64_t id = rbc_selection_id(handle_of(self), position);
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = rbc_episode_open(dataset, id, &episode, &err);
    PyEval_RestoreThread(thread);
    module_state *state = state_of_type(self);
    return status == RBC_OK ? episode_wrap(state, episode) : raise_error(state, &err);
}

static PyMethodDef selection_methods[] = {
    {"num_steps", selection_num_steps, METH_NOARGS, NULL},
    {"fingerprint", selection_fingerprint, METH_NOARGS, NULL},
    {"counts", selection_counts, METH_NOARGS, NULL},
    {"id", selection_id, METH_O, NULL},
    {"refine", selection_refine, METH_VARARGS, NULL},
    {"take", selection_take, METH_O, NULL},
    {"keep_steps", selection_keep_steps, METH_VARARGS, NULL},
    {"ranges", selection_ranges, METH_O, NULL},
    {"metadata", selection_metadata, METH_O, NULL},
    {"statistics", selection_statistics, METH_VARARGS, NULL},
    {"open", selection_open, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot selection_slots[] = {
    {Py_tp_dealloc, (void *)selection_dealloc},
    {Py_sq_length, (void *)selection_length},
    {Py_tp_methods, selection_methods},
    {0, NULL},
};

PyType_Spec selection_spec = {
    .name = "robocache._core.Selection",
    .basicsize = sizeof(selection_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = selection_slots,
};
