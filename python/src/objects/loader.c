#define _POSIX_C_SOURCE 200809L

#include "objects/loader.h"
#include "objects/objects.h"
#include "tensors/tensor.h"

#include <time.h>
#include <unistd.h>

/* Python's signal handlers run at least this often while a batch is waited for. */
#define POLL_NS INT64_C(50000000)

#define CLOSE_POLL_NS 1000000L

/* One pass over the rest of an epoch. */
typedef struct iterator_object {
    PyObject_HEAD PyObject *loader;
    int64_t iteration;
    bool is_over;
} iterator_object;

static iterator_object *as_iterator(PyObject *self) {
    return (iterator_object *)(void *)self;
}

void loader_release_delivery(delivery *how) {
    Py_CLEAR(how->batch_type);
    Py_CLEAR(how->text_type);
    Py_CLEAR(how->from_dlpack);
    Py_CLEAR(how->asarray);
    Py_CLEAR(how->cu_stream);
}

static void loader_dealloc(PyObject *self) {
    loader_object *loader = as_loader(self);
    PyThreadState *thread = PyEval_SaveThread();
    rbc_batch_release(&loader->kept);
    rbc_loader_destroy(&loader->handle);
    PyEval_RestoreThread(thread);
    loader_release_delivery(&loader->how);
    Py_CLEAR(loader->names);
    free_instance(self);
}

rbc_loader *loader_handle(PyObject *self) {
    loader_object *loader = as_loader(self);
    if (loader->handle == NULL || loader->closing) {
        raise_value(state_of_type(self), "the loader is closed");
        return NULL;
    }
    return loader->handle;
}

/* In a child made by fork() the thread that waited is not there. */
static bool is_busy(const loader_object *loader) {
    return loader->busy && loader->process == getpid();
}

/* The same for the consumer's calls, of which there is one at a time. */
static rbc_loader *enter(PyObject *self) {
    rbc_loader *handle = loader_handle(self);
    if (handle != NULL && is_busy(as_loader(self))) {
        raise_value(state_of_type(self), "the loader is being used by another thread");
        return NULL;
    }
    return handle;
}

/* Names of the fields, made once: they are the same in every batch. */
static PyObject *field_names(loader_object *loader, const rbc_batch *batch) {
    if (loader->names != NULL) {
        return loader->names;
    }
    const int32_t count = rbc_batch_num_fields(batch);
    PyObject *names = PyList_New(count);
    for (int32_t i = 0; names != NULL && i < count; ++i) {
        PyObject *name = PyUnicode_InternFromString(rbc_batch_field(batch, i)->name);
        if (name == NULL || PyList_SetItem(names, i, name) < 0) {
            Py_CLEAR(names);
        }
    }
    loader->names = names;
    return names;
}

/* Orders a batch on a device before what comes on the stream that is current, and lets its dict hold
 * it, for other streams. */
static bool deliver_on_device(module_state *state, const loader_object *loader, rbc_batch *batch,
                              PyObject *dict) {
    rbc_error err;
    PyObject *number = PyObject_CallFunctionObjArgs(loader->how.cu_stream, NULL);
    void *stream = number == NULL ? NULL : PyLong_AsVoidPtr(number);
    Py_XDECREF(number);
    if (PyErr_Occurred()) {
        return false;
    }
    if (rbc_batch_order(batch, stream, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    return batch_hold(batch, dict);
}

static PyObject *batch_dict(module_state *state, loader_object *loader, rbc_batch *batch) {
    PyObject *names = field_names(loader, batch);
    PyObject *dict =
        names == NULL ? NULL : PyObject_CallFunctionObjArgs(loader->how.batch_type, NULL);
    if (dict != NULL && loader->how.cu_stream != NULL &&
        !deliver_on_device(state, loader, batch, dict)) {
        Py_CLEAR(dict);
    }
    const int32_t count = rbc_batch_num_fields(batch);
    for (int32_t i = 0; dict != NULL && i < count; ++i) {
        const rbc_field *field = rbc_batch_field(batch, i);
        PyObject *value = field->kind == RBC_FIELD_TEXT
                              ? field_text(loader->how.text_type, batch, i, field)
                              : field_tensor(state, &loader->how, batch, field);
        if (value == NULL || PyDict_SetItem(dict, PyList_GetItem(names, i), value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

/* Begins another iteration at `position` of `epoch`; one that nothing was asked of moves there. */
static bool seek(PyObject *self, rbc_loader *handle, int64_t epoch, int64_t position) {
    loader_object *loader = as_loader(self);
    rbc_error err;
    loader->busy = true;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = rbc_loader_seek(handle, epoch, position, &err);
    PyEval_RestoreThread(thread);
    loader->busy = false;
    if (status != RBC_OK) {
        raise_error(state_of_type(self), &err);
        return false;
    }
    rbc_batch_release(&loader->kept); /* with the GIL: tell() looks at it */
    loader->iteration += loader->is_asked ? 1 : 0;
    loader->is_asked = false;
    loader->is_fresh = true;
    loader->begun_at = position;
    return true;
}

/* seek(epoch, position): the next iteration begins there */
static PyObject *loader_seek(PyObject *self, PyObject *args) {
    long long epoch = 0;
    long long position = 0;
    rbc_loader *handle = enter(self);
    if (handle == NULL || !PyArg_ParseTuple(args, "LL", &epoch, &position) ||
        !seek(self, handle, epoch, position)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Epoch and position of the batch that is handed out next. One that was kept counts no more once
 * another thread has sought another epoch. */
static void tell(PyObject *self, const rbc_loader *handle, int64_t *epoch, int64_t *position) {
    const loader_object *loader = as_loader(self);
    rbc_loader_tell(handle, epoch, position);
    if (loader->kept != NULL && loader->kept_epoch == *epoch) {
        *position = rbc_batch_position(loader->kept);
    }
}

/* tell() -> (epoch, position, whether nothing was handed out since the last seek) */
static PyObject *loader_tell(PyObject *self, PyObject *unused) {
    (void)unused;
    int64_t epoch = 0;
    int64_t position = 0;
    const rbc_loader *handle = loader_handle(self);
    if (handle == NULL) {
        return NULL;
    }
    tell(self, handle, &epoch, &position);
    return Py_BuildValue("(LLO)", (long long)epoch, (long long)position,
                         as_loader(self)->is_fresh ? Py_True : Py_False);
}

/* iterate() -> iterator over the rest of the epoch sought, or over the next epoch. An iteration
 * that has handed out nothing is begun again: an exception may have come before anyone had it. */
static PyObject *loader_iterate(PyObject *self, PyObject *unused) {
    (void)unused;
    loader_object *loader = as_loader(self);
    rbc_loader *handle = enter(self);
    int64_t epoch = 0;
    int64_t position = 0;
    if (handle == NULL) {
        return NULL;
    }
    tell(self, handle, &epoch, &position);
    module_state *state = state_of_type(self);
    iterator_object *iterator = PyObject_New(iterator_object, state->iterator_type);
    if (iterator == NULL) {
        return NULL;
    }
    Py_INCREF(self);
    iterator->loader = self;
    iterator->iteration = -1; /* none yet */
    iterator->is_over = false;
    if (!loader->is_fresh && !seek(self, handle, epoch + 1, 0)) {
        Py_DECREF(iterator);
        return NULL;
    }
    iterator->iteration = ++loader->iteration;
    loader->is_asked = false;
    return (PyObject *)iterator;
}

/* Keeps a batch that was taken out and could not be handed out. */
static void keep(loader_object *loader, rbc_batch *batch, int64_t iteration) {
    if (loader->handle != NULL && loader->iteration == iteration && loader->kept == NULL) {
        int64_t position = 0;
        rbc_loader_tell(loader->handle, &loader->kept_epoch, &position);
        loader->kept = batch;
        return;
    }
    rbc_batch_release(&batch);
}

/* The next batch: RBC_OK, RBC_END, or another status with an exception set. Handlers of signals run
 * meanwhile; they may close the loader or iterate themselves. */
static rbc_status take(PyObject *self, int64_t iteration, rbc_batch **batch) {
    loader_object *loader = as_loader(self);
    rbc_error err;
    rbc_status status = RBC_TIMEOUT;
    int64_t timeout_ns = 0;
    while (status == RBC_TIMEOUT) {
        rbc_loader *handle = enter(self);
        if (handle == NULL) {
            return RBC_ERROR_INVALID_ARGUMENT;
        }
        if (loader->iteration != iteration) {
            raise_value(state_of_type(self),
                        "the loader has begun another epoch: iterators cannot be used in turns");
            return RBC_ERROR_INVALID_ARGUMENT;
        }
        loader->is_asked = true;
        if (loader->kept != NULL) {
            *batch = loader->kept;
            loader->kept = NULL;
            return RBC_OK;
        }
        if (timeout_ns == 0) {
            status = rbc_loader_next(handle, 0, batch, &err);
            timeout_ns = POLL_NS;
            continue;
        }
        loader->busy = true;
        PyThreadState *thread = PyEval_SaveThread();
        status = rbc_loader_next(handle, timeout_ns, batch, &err);
        PyEval_RestoreThread(thread);
        loader->busy = false;
        if (status == RBC_TIMEOUT && PyErr_CheckSignals() < 0) {
            return RBC_ERROR_CANCELLED;
        }
    }
    if (status != RBC_OK && status != RBC_END) {
        int64_t epoch = 0;
        int64_t position = 0;
        rbc_loader_tell(loader->handle, &epoch, &position);
        loader->is_fresh = loader->is_fresh && position == loader->begun_at;
        raise_error(state_of_type(self), &err);
    }
    return status;
}

/* A batch that is not handed out, because an exception came between, comes with the next call:
 * signals are answered here for a last time, so that a handler's exception finds it. */
static PyObject *hand_out(PyObject *self) {
    iterator_object *iterator = as_iterator(self);
    PyObject *owner = iterator->loader;
    loader_object *loader = as_loader(owner);
    rbc_batch *batch = NULL;
    const rbc_status status = take(owner, iterator->iteration, &batch);
    if (status == RBC_END) {
        loader->is_fresh = false;
        iterator->is_over = true;
    }
    if (status != RBC_OK) {
        return NULL;
    }
    PyObject *dict = batch_dict(state_of_type(owner), loader, batch);
    if (dict == NULL || PyErr_CheckSignals() < 0) {
        keep(loader, batch, iterator->iteration);
        Py_XDECREF(dict);
        return NULL;
    }
    loader->is_fresh = false;
    rbc_batch_release(&batch);
    return dict;
}

int64_t loader_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The time between calls is over. */
static int64_t end_outside(loader_object *loader) {
    const int64_t now = loader_now_ns();
    if (loader->outside_from_ns > 0) {
        loader->outside_ns += now - loader->outside_from_ns;
        loader->outside_from_ns = 0;
    }
    return now;
}

static PyObject *iterator_next(PyObject *self) {
    iterator_object *iterator = as_iterator(self);
    loader_object *loader = as_loader(iterator->loader);
    if (iterator->is_over) {
        return NULL;
    }
    if (is_busy(loader)) {
        return hand_out(self); /* which says why not */
    }
    const int64_t from_ns = end_outside(loader);
    loader->called_from_ns = from_ns;
    PyObject *batch = hand_out(self);
    if (loader->called_from_ns == from_ns) { /* else a handler of signals has iterated meanwhile */
        const int64_t now = loader_now_ns();
        loader->called_ns += now - from_ns;
        loader->called_from_ns = 0;
        loader->outside_from_ns = iterator->is_over ? 0 : now;
    }
    return batch;
}

static PyObject *iterator_self(PyObject *self) {
    Py_INCREF(self);
    return self;
}

static void iterator_dealloc(PyObject *self) {
    loader_object *loader = as_loader(as_iterator(self)->loader);
    if (loader != NULL && loader->iteration == as_iterator(self)->iteration) {
        end_outside(loader);
    }
    Py_CLEAR(as_iterator(self)->loader);
    free_instance(self);
}

/* A call that waits in another thread ends within its poll, as of a closed loader. */
static PyObject *loader_close(PyObject *self, PyObject *unused) {
    (void)unused;
    loader_object *loader = as_loader(self);
    const struct timespec pause = {.tv_nsec = CLOSE_POLL_NS};
    loader->closing = true;
    while (is_busy(loader)) {
        PyThreadState *thread = PyEval_SaveThread();
        nanosleep(&pause, NULL);
        PyEval_RestoreThread(thread);
        if (PyErr_CheckSignals() < 0) {
            return NULL;
        }
    }
    rbc_loader *handle = loader->handle;
    rbc_batch *kept = loader->kept;
    loader->handle = NULL;
    loader->kept = NULL;
    PyThreadState *thread = PyEval_SaveThread();
    rbc_batch_release(&kept);
    rbc_loader_destroy(&handle);
    PyEval_RestoreThread(thread);
    Py_RETURN_NONE;
}

static PyObject *loader_num_samples(PyObject *self, PyObject *unused) {
    (void)unused;
    const rbc_loader *handle = loader_handle(self);
    return handle == NULL ? NULL : PyLong_FromLongLong(rbc_loader_num_samples(handle));
}

static PyObject *loader_num_batches(PyObject *self, PyObject *unused) {
    (void)unused;
    const rbc_loader *handle = loader_handle(self);
    return handle == NULL ? NULL : PyLong_FromLongLong(rbc_loader_num_batches(handle));
}

static PyObject *loader_batches_left(PyObject *self, PyObject *unused) {
    (void)unused;
    const loader_object *loader = as_loader(self);
    const rbc_loader *handle = loader_handle(self);
    return handle == NULL ? NULL
                          : PyLong_FromLongLong(rbc_loader_batches_left(handle) +
                                                (loader->kept != NULL ? 1 : 0));
}

/* warning(index) -> message, or None past the last */
static PyObject *loader_warning(PyObject *self, PyObject *index) {
    const rbc_loader *handle = enter(self);
    const long long position = handle == NULL ? -1 : PyLong_AsLongLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    char message[RBC_ERROR_MESSAGE_BYTES];
    if (rbc_loader_warning(handle, position, message, sizeof(message), NULL) != RBC_OK) {
        Py_RETURN_NONE;
    }
    return text_object(message);
}

/* skipped(index) -> message, or None past the last */
static PyObject *loader_skipped(PyObject *self, PyObject *index) {
    const rbc_loader *handle = loader_handle(self);
    const long long position = handle == NULL ? -1 : PyLong_AsLongLong(index);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    char message[RBC_ERROR_MESSAGE_BYTES];
    rbc_error err;
    const rbc_status status = rbc_loader_skipped(handle, position, message, sizeof(message), &err);
    if (status == RBC_ERROR_NOT_FOUND) {
        Py_RETURN_NONE;
    }
    return status == RBC_OK ? text_object(message) : raise_error(state_of_type(self), &err);
}

static PyMethodDef loader_methods[] = {
    {"iterate", loader_iterate, METH_NOARGS, NULL},
    {"seek", loader_seek, METH_VARARGS, NULL},
    {"tell", loader_tell, METH_NOARGS, NULL},
    {"close", loader_close, METH_NOARGS, NULL},
    {"num_samples", loader_num_samples, METH_NOARGS, NULL},
    {"num_batches", loader_num_batches, METH_NOARGS, NULL},
    {"batches_left", loader_batches_left, METH_NOARGS, NULL},
    {"stats", loader_stats, METH_NOARGS, NULL},
    {"stages", loader_stages, METH_NOARGS, NULL},
    {"memory", loader_memory, METH_NOARGS, NULL},
    {"members", loader_members, METH_NOARGS, NULL},
    {"warning", loader_warning, METH_O, NULL},
    {"skipped", loader_skipped, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot loader_slots[] = {
    {Py_tp_dealloc, (void *)loader_dealloc},
    {Py_tp_methods, loader_methods},
    {0, NULL},
};

PyType_Spec loader_spec = {
    .name = "robocache._core.Loader",
    .basicsize = sizeof(loader_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = loader_slots,
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, (void *)iterator_dealloc},
    {Py_tp_iter, (void *)iterator_self},
    {Py_tp_iternext, (void *)iterator_next},
    {0, NULL},
};

PyType_Spec iterator_spec = {
    .name = "robocache._core.LoaderIterator",
    .basicsize = sizeof(iterator_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};
