#include "objects/objects.h"

#include <string.h>

module_state *state_of_type(PyObject *self) {
    return PyType_GetModuleState(Py_TYPE(self));
}

void free_instance(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

PyObject *text_object(const char *text) {
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

static rbc_dataset *handle_of(PyObject *self) {
    return ((dataset_object *)(void *)self)->handle;
}

static void dataset_dealloc(PyObject *self) {
    dataset_object *dataset = (dataset_object *)(void *)self;
    PyThreadState *thread = PyEval_SaveThread();
    rbc_dataset_close(&dataset->handle);
    PyEval_RestoreThread(thread);
    free_instance(self);
}

int tell_progress(progress_call *call, const long long *counts, int num_counts) {
    PyEval_RestoreThread(call->thread);
    int stop = PyErr_Occurred() != NULL || PyErr_CheckSignals() < 0;
    if (!stop && call->callable != NULL) {
        PyObject *arguments = PyTuple_New(num_counts);
        for (int i = 0; arguments != NULL && i < num_counts; ++i) {
            PyObject *count = PyLong_FromLongLong(counts[i]);
            if (count == NULL || PyTuple_SetItem(arguments, i, count) < 0) {
                Py_CLEAR(arguments);
            }
        }
        PyObject *result =
            arguments != NULL ? PyObject_CallObject(call->callable, arguments) : NULL;
        stop = result == NULL || result == Py_False;
        Py_XDECREF(arguments);
        Py_XDECREF(result);
    }
    call->thread = PyEval_SaveThread();
    return stop;
}

static int report_progress(const rbc_progress *progress, void *user) {
    const long long counts[] = {progress->files_done, progress->files_total, progress->bytes_done,
                                progress->bytes_total, progress->episodes};
    return tell_progress(user, counts, 5);
}

typedef struct unpack_call {
    PyObject *callable;
    progress_call *opening; /* has the thread */
} unpack_call;

/* Likewise. */
static int report_unpacking(const rbc_unpack_plan *plan, void *user) {
    unpack_call *call = user;
    PyEval_RestoreThread(call->opening->thread);
    PyObject *result = PyObject_CallFunction(
        call->callable, "NLLLLL", text_object(plan->folder), (long long)plan->num_files,
        (long long)plan->packed_bytes, (long long)plan->unpacked_bytes, (long long)plan->num_unsaid,
        (long long)plan->free_bytes);
    const int stop = result == NULL;
    Py_XDECREF(result);
    call->opening->thread = PyEval_SaveThread();
    return stop;
}

int hear_signals(void *user) {
    PyThreadState **thread = user;
    PyEval_RestoreThread(*thread);
    const int stop = PyErr_Occurred() != NULL || PyErr_CheckSignals() < 0;
    *thread = PyEval_SaveThread();
    return stop;
}

static bool parse_on_error(module_state *state, PyObject *object, rbc_on_error *value) {
    static const choice choices[] = {{NAME_raise, RBC_ON_ERROR_RAISE},
                                     {NAME_skip, RBC_ON_ERROR_SKIP}};
    int chosen = (int)*value;
    const bool ok = PARSE_CHOICE(state, object, "on_error", choices, &chosen);
    *value = (rbc_on_error)chosen;
    return ok;
}

bool parse_jpeg_dct(module_state *state, PyObject *object, rbc_jpeg_dct *value) {
    static const choice choices[] = {{NAME_accurate, RBC_JPEG_DCT_ACCURATE},
                                     {NAME_fast, RBC_JPEG_DCT_FAST}};
    int chosen = (int)*value;
    const bool ok = object == Py_None || PARSE_CHOICE(state, object, "jpeg_dct", choices, &chosen);
    *value = (rbc_jpeg_dct)chosen;
    return ok;
}

static rbc_status open_as(const char *path, const char *name, const rbc_open_params *params,
                          rbc_dataset **out, rbc_error *err) {
    const rbc__format *format = NULL;
    const rbc_status status = rbc__format_find(path, name, &format, err);
    return status == RBC_OK ? rbc__dataset_open_with(format, path, params, out, err) : status;
}

/* open_dataset(path, catalog, progress, on_error, control_rate_hz, rebuild, num_threads, jpeg_dct,
 * format, unpack, unpacking) */
PyObject *open_dataset(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    PyObject *path = NULL;
    PyObject *catalog = NULL;
    PyObject *progress = NULL;
    PyObject *on_error = NULL;
    PyObject *jpeg_dct = NULL;
    PyObject *unpack = NULL;
    PyObject *unpacking = NULL;
    const char *format = NULL;
    int rebuild = 0;
    int num_threads = 0;
    if (!PyArg_ParseTuple(args, "O&O&OOdpiOzO&O", PyUnicode_FSConverter, &path,
                          PyUnicode_FSConverter, &catalog, &progress, &on_error,
                          &params.control_rate_hz, &rebuild, &num_threads, &jpeg_dct, &format,
                          PyUnicode_FSConverter, &unpack, &unpacking)) {
        Py_XDECREF(path);
        return NULL;
    }
    progress_call call = {.callable = progress == Py_None ? NULL : progress};
    const char *catalog_path = PyBytes_AsString(catalog);
    params.catalog_path = *catalog_path == '\0' ? NULL : catalog_path;
    params.num_threads = num_threads;
    params.rebuild = rebuild;
    params.progress = report_progress;
    params.progress_user = &call;
    unpack_call unpack_told = {.callable = unpacking, .opening = &call};
    const char *unpack_folder = PyBytes_AsString(unpack);
    params.unpack_folder = *unpack_folder == '\0' ? NULL : unpack_folder;
    params.unpacking = report_unpacking;
    params.unpacking_user = &unpack_told;
    PyObject *result = NULL;
    rbc_dataset *handle = NULL;
    if (parse_on_error(state, on_error, &params.on_error) &&
        parse_jpeg_dct(state, jpeg_dct, &params.jpeg_dct)) {
        rbc_error err;
        const char *path_bytes = PyBytes_AsString(path);
        call.thread = PyEval_SaveThread();
        const rbc_status status = open_as(path_bytes, format, &params, &handle, &err);
        PyEval_RestoreThread(call.thread);
        if (PyErr_Occurred()) {
            rbc_dataset_close(&handle);
        } else if (status != RBC_OK) {
            raise_error(state, &err);
        }
    }
    Py_DECREF(path);
    Py_DECREF(catalog);
    Py_DECREF(unpack);
    if (handle != NULL) {
        dataset_object *dataset = PyObject_New(dataset_object, state->dataset_type);
        if (dataset == NULL) {
            rbc_dataset_close(&handle);
            return NULL;
        }
        dataset->handle = handle;
        result = (PyObject *)dataset;
    }
    return result;
}

static PyObject *dataset_info(PyObject *self, PyObject *unused) {
    (void)unused;
    rbc_dataset_info info;
    rbc_dataset_get_info(handle_of(self), &info);
    return Py_BuildValue(
        "{s:N,s:N,s:s,s:N,s:N,s:N,s:d,s:L,s:L,s:L,s:L,s:L,s:i,s:i,s:L}", "name",
        text_object(info.name), "version", text_object(info.version), "format", info.format, "path",
        text_object(info.path), "catalog_path", text_object(info.catalog_path),
        "catalog_passed_over",
        text_object(info.catalog_passed_over != NULL ? info.catalog_passed_over : ""),
        "control_rate_hz", info.control_rate_hz, "num_episodes", (long long)info.num_episodes,
        "num_steps", (long long)info.num_steps, "num_bytes", (long long)info.num_bytes, "num_files",
        (long long)info.num_files, "num_skipped", (long long)info.num_skipped, "num_streams",
        (int)info.num_streams, "num_splits", (int)info.num_splits, "num_tasks",
        (long long)info.num_tasks);
}

static const char *stream_kind_name(rbc_stream_kind kind) {
    switch (kind) {
    case RBC_STREAM_IMAGE:
        return "image";
    case RBC_STREAM_TEXT:
        return "text";
    default:
        return "numeric";
    }
}

static PyObject *shape_tuple(const rbc_stream_info *info) {
    PyObject *shape = PyTuple_New(info->ndim);
    for (int32_t i = 0; shape != NULL && i < info->ndim; ++i) {
        PyObject *extent = PyLong_FromLongLong(info->shape[i]);
        if (extent == NULL || PyTuple_SetItem(shape, i, extent) < 0) {
            Py_CLEAR(shape);
        }
    }
    return shape;
}

static PyObject *dataset_stream(PyObject *self, PyObject *index) {
    module_state *state = state_of_type(self);
    const long position = PyLong_AsLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    rbc_stream_info info;
    rbc_error err;
    const int32_t stream = position < 0 || position > INT32_MAX ? -1 : (int32_t)position;
    if (rbc_dataset_stream(handle_of(self), stream, &info, &err) != RBC_OK) {
        return raise_error(state, &err);
    }
    rbc__dtype known;
    const char *dtype =
        rbc__dtype_from_dlpack(info.dtype, &known) ? rbc__dtype_name(known) : "unknown";
    return Py_BuildValue(
        "{s:N,s:s,s:s,s:N,s:s,s:z,s:O,s:d,s:z,s:s,s:d,s:d}", "name", text_object(info.name), "kind",
        stream_kind_name(info.kind), "dtype", info.kind == RBC_STREAM_TEXT ? "str" : dtype, "shape",
        shape_tuple(&info), "encoding", info.encoding, "times", info.times, "is_ragged",
        info.is_ragged ? Py_True : Py_False, "rate_hz", info.rate_hz, "unsupported",
        info.unsupported, "unit", info.unit, "scale", info.scale, "offset", info.offset);
}

static PyObject *dataset_split(PyObject *self, PyObject *index) {
    const long position = PyLong_AsLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    rbc_split_info info;
    rbc_error err;
    const int32_t split = position < 0 || position > INT32_MAX ? -1 : (int32_t)position;
    if (rbc_dataset_split(handle_of(self), split, &info, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    return Py_BuildValue("(NLL)", text_object(info.name), (long long)info.num_episodes,
                         (long long)info.num_steps);
}

static PyObject *dataset_task(PyObject *self, PyObject *index) {
    const long long position = PyLong_AsLongLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const char *text = NULL;
    int64_t episodes = 0;
    rbc_error err;
    if (rbc_dataset_task(handle_of(self), position, &text, &episodes, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    return Py_BuildValue("(NL)", text_object(text), (long long)episodes);
}

static PyObject *dataset_skipped(PyObject *self, PyObject *index) {
    const long long position = PyLong_AsLongLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    const char *message = NULL;
    rbc_error err;
    if (rbc_dataset_skipped(handle_of(self), position, &message, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    return text_object(message);
}

/* told(index) -> (JSON, path of the part, id of its first episode), or None past the last */
static PyObject *dataset_told(PyObject *self, PyObject *index) {
    const long long position = PyLong_AsLongLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    rbc_dataset *dataset = handle_of(self);
    const char *json = NULL;
    int64_t part = 0;
    rbc_error err;
    if (rbc__dataset_told(dataset, position, &json, &part, &err) != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    if (json == NULL) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    return Py_BuildValue("(NNL)", text_object(json),
                         text_object(rbc__dataset_schema(dataset)->parts[part].path),
                         (long long)rbc__dataset_catalog(dataset)->parts[part].first_id);
}

/* select(split | None, where | None) -> Selection */
static PyObject *dataset_select(PyObject *self, PyObject *args) {
    const char *split = NULL;
    const char *where = NULL;
    if (!PyArg_ParseTuple(args, "zz", &split, &where)) {
        return NULL;
    }
    rbc_selection *selection = NULL;
    rbc_error err;
    rbc_dataset *dataset = handle_of(self);
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status =
        rbc_selection_create(dataset, split, where, hear_signals, &thread, &selection, &err);
    PyEval_RestoreThread(thread);
    module_state *state = state_of_type(self);
    if (PyErr_Occurred()) {
        rbc_selection_destroy(&selection);
        return NULL;
    }
    return status == RBC_OK ? selection_wrap(state, selection) : raise_error(state, &err);
}

typedef struct verify_call {
    PyObject *problems; /* list */
    PyThreadState *thread;
} verify_call;

static int take_problem(const rbc_file_problem *problem, void *user) {
    static const char *const kinds[] = {[RBC_FILE_MISSING] = "missing",
                                        [RBC_FILE_CHANGED] = "changed",
                                        [RBC_FILE_UNREADABLE] = "unreadable"};
    verify_call *call = user;
    PyEval_RestoreThread(call->thread);
    PyObject *item = Py_BuildValue("(sNN)", kinds[problem->kind], text_object(problem->path),
                                   text_object(problem->message));
    const int stop = item == NULL || PyList_Append(call->problems, item) != 0;
    Py_XDECREF(item);
    call->thread = PyEval_SaveThread();
    return stop;
}

static int hear_in_verify(void *user) {
    verify_call *call = user;
    return hear_signals(&call->thread);
}

/* verify() -> (files, bytes, files of no known size, [(kind, path, message)]) */
static PyObject *dataset_verify(PyObject *self, PyObject *unused) {
    (void)unused;
    verify_call call = {.problems = PyList_New(0)};
    if (call.problems == NULL) {
        return NULL;
    }
    rbc_verify_report report;
    rbc_error err;
    rbc_dataset *dataset = handle_of(self);
    call.thread = PyEval_SaveThread();
    const rbc_status status =
        rbc_dataset_verify(dataset, take_problem, hear_in_verify, &call, &report, &err);
    PyEval_RestoreThread(call.thread);
    if (PyErr_Occurred() || status != RBC_OK) {
        Py_DECREF(call.problems);
        return PyErr_Occurred() ? NULL : raise_error(state_of_type(self), &err);
    }
    return Py_BuildValue("LLLN", (long long)report.num_files, (long long)report.num_bytes,
                         (long long)report.num_unsized, call.problems);
}

static PyMethodDef dataset_methods[] = {
    {"info", dataset_info, METH_NOARGS, NULL},
    {"stream", dataset_stream, METH_O, NULL},
    {"split", dataset_split, METH_O, NULL},
    {"task", dataset_task, METH_O, NULL},
    {"skipped", dataset_skipped, METH_O, NULL},
    {"told", dataset_told, METH_O, NULL},
    {"select", dataset_select, METH_VARARGS, NULL},
    {"verify", dataset_verify, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot dataset_slots[] = {
    {Py_tp_dealloc, (void *)dataset_dealloc},
    {Py_tp_methods, dataset_methods},
    {0, NULL},
};

PyType_Spec dataset_spec = {
    .name = "robocache._core.Dataset",
    .basicsize = sizeof(dataset_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = dataset_slots,
};
