#include "objects/objects.h"
#include "tensors/tensor.h"

#include <string.h>

typedef struct writer_object {
    PyObject_HEAD rbc_rlds_writer *handle;
    int32_t num_streams, num_metadata;
} writer_object;

static writer_object *as_writer(PyObject *self) {
    return (writer_object *)(void *)self;
}

static void writer_dealloc(PyObject *self) {
    rbc_rlds_writer_destroy(&as_writer(self)->handle);
    free_instance(self);
}

static bool parse_kind(module_state *state, const char *text, rbc_stream_kind *kind) {
    static const char *const names[] = {"numeric", "image", "text"};
    for (int i = 0; i < 3; ++i) {
        if (strcmp(text, names[i]) == 0) {
            *kind = (rbc_stream_kind)i;
            return true;
        }
    }
    raise_value(state, "kind: '%s' found, wanted 'numeric', 'image' or 'text'", text);
    return false;
}

static bool parse_dtype(module_state *state, const char *name, const char *text,
                        DLDataType *dtype) {
    for (int i = 0; i < RBC__NUM_DTYPES; ++i) {
        if (strcmp(text, rbc__dtype_name((rbc__dtype)i)) == 0) {
            *dtype = rbc__dtype_to_dlpack((rbc__dtype)i);
            return true;
        }
    }
    raise_value(state, "features[%s]: dtype '%s' is not supported", name, text);
    return false;
}

/* (name, kind, dtype, shape, encoding, is_ragged) */
static bool read_feature(module_state *state, PyObject *object, rbc_stream_info *info) {
    const char *kind = NULL;
    const char *dtype = NULL;
    PyObject *shape = NULL;
    int is_ragged = 0;
    if (!PyArg_ParseTuple(object, "sssO!sp", &info->name, &kind, &dtype, &PyTuple_Type, &shape,
                          &info->encoding, &is_ragged) ||
        !parse_kind(state, kind, &info->kind) ||
        (info->kind != RBC_STREAM_TEXT && !parse_dtype(state, info->name, dtype, &info->dtype))) {
        return false;
    }
    info->is_ragged = is_ragged;
    const Py_ssize_t ndim = PyTuple_Size(shape);
    if (ndim > RBC_STREAM_MAX_DIMS) {
        raise_value(state, "features[%s]: %zd axes found, at most %d wanted", info->name, ndim,
                    RBC_STREAM_MAX_DIMS);
        return false;
    }
    info->ndim = (int32_t)ndim;
    for (Py_ssize_t i = 0; i < ndim; ++i) {
        info->shape[i] = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
        if (info->shape[i] == -1 && PyErr_Occurred()) {
            return false;
        }
    }
    return true;
}

/* Freed with PyMem_Free(); the strings are borrowed from the list. */
static rbc_stream_info *read_features(module_state *state, PyObject *list) {
    const Py_ssize_t count = PyList_Size(list);
    rbc_stream_info *infos = PyMem_Calloc((size_t)count + 1, sizeof(*infos));
    if (infos == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!read_feature(state, PyList_GetItem(list, i), &infos[i])) {
            PyMem_Free(infos);
            return NULL;
        }
    }
    return infos;
}

/* create_writer(path, name, version, description, streams, metadata, shard_bytes, control_rate_hz,
 * append) */
PyObject *create_writer(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    PyObject *path = NULL;
    PyObject *streams = NULL;
    PyObject *metadata = NULL;
    unsigned long long shard_bytes = 0;
    int append = 0;
    if (!PyArg_ParseTuple(args, "O&sszO!O!Kdp", PyUnicode_FSConverter, &path, &params.name,
                          &params.version, &params.description, &PyList_Type, &streams,
                          &PyList_Type, &metadata, &shard_bytes, &params.control_rate_hz,
                          &append)) {
        Py_XDECREF(path);
        return NULL;
    }
    rbc_stream_info *stream_infos = read_features(state, streams);
    rbc_stream_info *metadata_infos = stream_infos == NULL ? NULL : read_features(state, metadata);
    rbc_rlds_writer *handle = NULL;
    if (metadata_infos != NULL) {
        params.path = PyBytes_AsString(path);
        params.streams = stream_infos;
        params.num_streams = (int32_t)PyList_Size(streams);
        params.metadata = metadata_infos;
        params.num_metadata = (int32_t)PyList_Size(metadata);
        params.shard_bytes = shard_bytes;
        params.append = append;
        rbc_error err;
        if (rbc_rlds_writer_create(&params, &handle, &err) != RBC_OK) {
            raise_error(state, &err);
        }
    }
    PyMem_Free(stream_infos);
    PyMem_Free(metadata_infos);
    Py_DECREF(path);
    if (handle == NULL) {
        return NULL;
    }
    writer_object *writer = PyObject_New(writer_object, state->writer_type);
    if (writer == NULL) {
        rbc_rlds_writer_destroy(&handle);
        return NULL;
    }
    writer->handle = handle;
    writer->num_streams = params.num_streams;
    writer->num_metadata = params.num_metadata;
    return (PyObject *)writer;
}

/* What one stream of an episode borrows from Python. */
typedef struct data_memory {
    tensor values, rows;
    const void **bytes;
    uint64_t *num_bytes;
} data_memory;

static bool read_bytes(module_state *state, PyObject *list, data_memory *memory,
                       rbc_rlds_data *data) {
    const Py_ssize_t count = PyList_Size(list);
    memory->bytes = PyMem_Calloc((size_t)count + 1, sizeof(*memory->bytes));
    memory->num_bytes = PyMem_Calloc((size_t)count + 1, sizeof(*memory->num_bytes));
    if (memory->bytes == NULL || memory->num_bytes == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject *item = PyList_GetItem(list, i);
        if (!PyBytes_Check(item)) {
            raise_type(state, "samples[%zd]: found %R, wanted bytes", i, (PyObject *)Py_TYPE(item));
            return false;
        }
        memory->bytes[i] = PyBytes_AsString(item);
        memory->num_bytes[i] = (uint64_t)PyBytes_Size(item);
    }
    data->bytes = memory->bytes;
    data->num_bytes = memory->num_bytes;
    data->num_samples = count;
    return true;
}

/* (array | list of bytes, row_lengths: int64 array | None) */
static bool read_data(module_state *state, PyObject *object, data_memory *memory,
                      rbc_rlds_data *data) {
    PyObject *samples = NULL;
    PyObject *rows = NULL;
    if (!PyArg_ParseTuple(object, "OO", &samples, &rows)) {
        return false;
    }
    if (PyList_Check(samples)) {
        if (!read_bytes(state, samples, memory, data)) {
            return false;
        }
    } else {
        if (!tensor_read(state, samples, "values", NULL, &memory->values)) {
            return false;
        }
        data->values = &memory->values.dl;
    }
    if (rows != Py_None) {
        if (!tensor_read(state, rows, "row_lengths", NULL, &memory->rows)) {
            return false;
        }
        data->row_lengths = rbc__tensor_data(&memory->rows.dl);
    }
    return true;
}

static void release_data(data_memory *memory, Py_ssize_t count) {
    for (Py_ssize_t i = 0; memory != NULL && i < count; ++i) {
        tensor_release(&memory[i].values);
        tensor_release(&memory[i].rows);
        PyMem_Free(memory[i].bytes);
        PyMem_Free(memory[i].num_bytes);
    }
    PyMem_Free(memory);
}

static bool is_open(PyObject *self) {
    if (as_writer(self)->handle == NULL) {
        raise_value(state_of_type(self), "the writer is closed");
        return false;
    }
    return true;
}

/* add(split, num_steps, streams, metadata): lists in the order declared */
static PyObject *writer_add(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    writer_object *writer = as_writer(self);
    const char *split = NULL;
    long long num_steps = 0;
    PyObject *streams = NULL;
    PyObject *metadata = NULL;
    if (!is_open(self) || !PyArg_ParseTuple(args, "sLO!O!", &split, &num_steps, &PyList_Type,
                                            &streams, &PyList_Type, &metadata)) {
        return NULL;
    }
    if (PyList_Size(streams) != writer->num_streams ||
        PyList_Size(metadata) != writer->num_metadata) {
        return raise_value(state, "add: wanted %d streams and %d pieces of metadata",
                           (int)writer->num_streams, (int)writer->num_metadata);
    }
    const Py_ssize_t count = writer->num_streams + writer->num_metadata;
    data_memory *memory = PyMem_Calloc((size_t)count + 1, sizeof(*memory));
    rbc_rlds_data *data = PyMem_Calloc((size_t)count + 1, sizeof(*data));
    bool ok = memory != NULL && data != NULL;
    if (!ok) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        PyObject *item = i < writer->num_streams
                             ? PyList_GetItem(streams, i)
                             : PyList_GetItem(metadata, i - writer->num_streams);
        ok = read_data(state, item, &memory[i], &data[i]);
    }
    rbc_error err;
    /* The GIL is kept: the writer has one user at a time, and the arrays must not change. */
    if (ok && rbc_rlds_writer_add(writer->handle, split, num_steps, data,
                                  data + writer->num_streams, &err) != RBC_OK) {
        raise_error(state, &err);
        ok = false;
    }
    release_data(memory, count);
    PyMem_Free(data);
    if (!ok) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *writer_close(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!is_open(self)) {
        return NULL;
    }
    rbc_rlds_writer *handle = as_writer(self)->handle;
    as_writer(self)->handle = NULL;
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = rbc_rlds_writer_close(&handle, &err);
    PyEval_RestoreThread(thread);
    if (status != RBC_OK) {
        return raise_error(state_of_type(self), &err);
    }
    Py_RETURN_NONE;
}

static PyObject *writer_abort(PyObject *self, PyObject *unused) {
    (void)unused;
    rbc_rlds_writer_destroy(&as_writer(self)->handle);
    Py_RETURN_NONE;
}

static PyMethodDef writer_methods[] = {
    {"add", writer_add, METH_VARARGS, NULL},
    {"close", writer_close, METH_NOARGS, NULL},
    {"abort", writer_abort, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_dealloc, (void *)writer_dealloc},
    {Py_tp_methods, writer_methods},
    {0, NULL},
};

PyType_Spec writer_spec = {
    .name = "robocache._core.Writer",
    .basicsize = sizeof(writer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = writer_slots,
};
