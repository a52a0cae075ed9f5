/* What a part of a format in Python is read into: hands arrays to formats/batch.h. */
#define _POSIX_C_SOURCE 200809L

#include "objects/part.h"

#include <string.h>

PyObject *part_create(module_state *state, const rbc__schema *schema, int64_t file_bytes,
                      const rbc__index_sink *sink, const char *prefix) {
    rbc_error err;
    rbc__batch_writer *writer;
    if (rbc__batch_writer_create(schema, file_bytes, sink, &writer, &err) != RBC_OK) {
        return raise_error(state, &err);
    }
    part_object *part = PyObject_New(part_object, state->part_type);
    if (part == NULL) {
        rbc__batch_writer_destroy(&writer);
        return NULL;
    }
    part->writer = writer;
    part->schema = schema;
    part->sink = sink;
    part->process = getpid();
    pthread_mutex_init(&part->lock, NULL);
    strncpy(part->prefix, prefix, sizeof part->prefix - 1);
    part->prefix[sizeof part->prefix - 1] = '\0';
    return (PyObject *)part;
}

void part_close(PyObject *self) {
    part_object *part = as_part(self);
    PyThreadState *thread = PyEval_SaveThread();
    pthread_mutex_lock(&part->lock);
    rbc__batch_writer_destroy(&part->writer);
    pthread_mutex_unlock(&part->lock);
    PyEval_RestoreThread(thread);
}

static void part_dealloc(PyObject *self) {
    part_object *part = as_part(self);
    rbc__batch_writer_destroy(&part->writer);
    pthread_mutex_destroy(&part->lock);
    free_instance(self);
}

/* ---- calls of the writer ---- */

bool begin_part_call(PyObject *self, part_call *call) {
    call->part = as_part(self);
    call->status = RBC_OK;
    call->thread = PyEval_SaveThread();
    if (call->part->process != getpid()) {
        call->status = rbc__fail(&call->err, RBC_ERROR_INVALID_ARGUMENT,
                                 "is read by the process that this one was forked from");
        return false;
    }
    pthread_mutex_lock(&call->part->lock);
    if (call->part->writer == NULL) {
        call->status = rbc__fail(&call->err, RBC_ERROR_INVALID_ARGUMENT, "has been read already");
    }
    return call->status == RBC_OK;
}

bool end_part_call(part_call *call) {
    if (call->part->process == getpid()) {
        pthread_mutex_unlock(&call->part->lock);
    }
    PyEval_RestoreThread(call->thread);
    if (call->status != RBC_OK) {
        if (call->status != RBC_ERROR_CANCELLED) {
            rbc__fail_within(&call->err, call->status, "%s", call->part->prefix);
        }
        raise_error(state_of_type((PyObject *)call->part), &call->err);
    }
    return call->status == RBC_OK;
}

PyObject *part_call_number(part_call *call, int64_t number) {
    return end_part_call(call) ? PyLong_FromLongLong(number) : NULL;
}

/* ---- arguments ---- */

bool read_ints(module_state *state, PyObject *object, const char *name, ints_memory *memory,
               rbc__ints *out) {
    *out = (rbc__ints){NULL, 0};
    if (object == Py_None) {
        return true;
    }
    if (PyLong_Check(object)) {
        memory->one = PyLong_AsLongLong(object);
        *out = (rbc__ints){&memory->one, RBC__INTS_ALL};
        return memory->one != -1 || !PyErr_Occurred();
    }
    rbc__dtype dtype;
    if (!tensor_read(state, object, name, NULL, &memory->tensor)) {
        return false;
    }
    const DLTensor *dl = &memory->tensor.dl;
    if (!rbc__dtype_from_dlpack(dl->dtype, &dtype) || dtype != RBC__I64 || dl->ndim != 1 ||
        dl->device.device_type != kDLCPU || !rbc__tensor_is_contiguous(dl)) {
        raise_type(state, "%s: wanted int64 [N]", name);
        return false;
    }
    *out = (rbc__ints){rbc__tensor_data(dl), dl->shape[0]};
    if (out->data == NULL) { /* of none */
        out->data = &memory->one;
    }
    return true;
}

void release_ints(ints_memory *memory, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        tensor_release(&memory[i].tensor);
    }
}

void *allocate_zeros(Py_ssize_t count, size_t bytes) {
    void *memory = PyMem_Calloc((size_t)count + 1, bytes);
    if (memory == NULL) {
        PyErr_NoMemory();
    }
    return memory;
}

bool read_texts(module_state *state, PyObject *list, const char *name, int64_t count,
                const char ***out) {
    *out = NULL;
    if (list == Py_None) {
        return true;
    }
    if (!PyList_Check(list) || PyList_Size(list) != count) {
        raise_value(state, "%s: wanted a list of %lld, one an episode", name, (long long)count);
        return false;
    }
    *out = allocate_zeros(count, sizeof **out);
    for (int64_t i = 0; *out != NULL && i < count; ++i) {
        PyObject *text = PyList_GetItem(list, i);
        Py_ssize_t bytes;
        if (text == Py_None) {
            continue;
        }
        (*out)[i] = PyUnicode_AsUTF8AndSize(text, &bytes);
        if ((*out)[i] == NULL) {
            return false;
        }
        if (strlen((*out)[i]) != (size_t)bytes) {
            raise_value(state, "%s: episode %lld: found NUL in the text", name, (long long)i);
            return false;
        }
    }
    return *out != NULL;
}

/* ---- the rest ---- */

/* skip(record, message) */
static PyObject *part_skip(PyObject *self, PyObject *args) {
    long long record;
    const char *message;
    if (!PyArg_ParseTuple(args, "Ls", &record, &message)) {
        return NULL;
    }
    part_call call;
    if (begin_part_call(self, &call)) {
        rbc_error problem;
        rbc__fail(&problem, RBC_ERROR_FORMAT, "%s: record %lld: %s", call.part->prefix, record,
                  message);
        call.status = call.part->sink->damaged(call.part->sink->user, record, &problem, &call.err);
    }
    const bool is_told = call.status == RBC_ERROR_FORMAT; /* raised as it is */
    if (is_told) {
        call.status = RBC_OK;
    }
    if (!end_part_call(&call)) {
        return NULL;
    }
    if (is_told) {
        return raise_error(state_of_type(self), &call.err);
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/* told(JSON) */
static PyObject *part_told(PyObject *self, PyObject *text) {
    const char *json = PyUnicode_AsUTF8AndSize(text, NULL);
    if (json == NULL) {
        return NULL;
    }
    part_call call;
    if (begin_part_call(self, &call)) {
        call.status = call.part->sink->told(call.part->sink->user, json, &call.err);
    }
    if (!end_part_call(&call)) {
        return NULL;
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/* progress(bytes done) */
static PyObject *part_progress(PyObject *self, PyObject *bytes) {
    const unsigned long long done = PyLong_AsUnsignedLongLong(bytes);
    if (done == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    part_call call;
    if (begin_part_call(self, &call) &&
        call.part->sink->progress(call.part->sink->user, done) != 0) {
        call.status = rbc__fail(&call.err, RBC_ERROR_CANCELLED, "indexing was stopped");
    }
    if (!end_part_call(&call)) {
        return NULL;
    }
    Py_INCREF(Py_None);
    return Py_None;
}

static PyMethodDef part_methods[] = {{"blobs", part_blobs, METH_VARARGS, NULL},
                                     {"packing", part_packing, METH_O, NULL},
                                     {"blocks", part_blocks, METH_VARARGS, NULL},
                                     {"array", part_array, METH_VARARGS, NULL},
                                     {"parquet", part_parquet, METH_VARARGS, NULL},
                                     {"track", part_track, METH_VARARGS, NULL},
                                     {"strings", part_strings, METH_O, NULL},
                                     {"episodes", part_episodes, METH_VARARGS, NULL},
                                     {"skip", part_skip, METH_VARARGS, NULL},
                                     {"progress", part_progress, METH_O, NULL},
                                     {"told", part_told, METH_O, NULL},
                                     {"mp4", part_mp4, METH_VARARGS, NULL},
                                     {NULL, NULL, 0, NULL}};

static PyType_Slot part_slots[] = {
    {Py_tp_dealloc, (void *)part_dealloc}, {Py_tp_methods, part_methods}, {0, NULL}};

PyType_Spec part_spec = {
    .name = "robocache._core.Part",
    .basicsize = sizeof(part_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = part_slots,
};
