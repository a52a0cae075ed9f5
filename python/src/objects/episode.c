#include "objects/objects.h"
#include "tensors/tensor.h"

#include <pythread.h>
#include <stdlib.h>
#include <string.h>

#include "extension.h"

typedef struct episode_object {
    PyObject_HEAD rbc_episode *handle;
    PyThread_type_lock lock; /* an episode has one user at a time; taken without the GIL */
} episode_object;

static void episode_dealloc(PyObject *self) {
    episode_object *episode = (episode_object *)(void *)self;
    rbc_episode_close(&episode->handle);
    if (episode->lock != NULL) {
        PyThread_free_lock(episode->lock);
    }
    free_instance(self);
}

PyObject *episode_wrap(module_state *state, rbc_episode *handle) {
    episode_object *episode = PyObject_New(episode_object, state->episode_type);
    if (episode == NULL) {
        rbc_episode_close(&handle);
        return NULL;
    }
    episode->handle = handle;
    episode->lock = PyThread_allocate_lock();
    if (episode->lock == NULL) {
        Py_DECREF(episode);
        return PyErr_NoMemory();
    }
    return (PyObject *)episode;
}

static PyThreadState *begin(episode_object *episode) {
    PyThreadState *thread = PyEval_SaveThread();
    rbc__forks_hold();
    PyThread_acquire_lock(episode->lock, WAIT_LOCK);
    return thread;
}

static void end(episode_object *episode, PyThreadState *thread) {
    PyThread_release_lock(episode->lock);
    rbc__forks_release(NULL);
    PyEval_RestoreThread(thread);
}

static PyObject *episode_info(PyObject *self, PyObject *unused) {
    (void)unused;
    episode_object *episode = (episode_object *)(void *)self;
    rbc_episode_info info;
    PyThreadState *thread = begin(episode);
    rbc_episode_get_info(episode->handle, &info);
    end(episode, thread);
    return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L,s:L,s:N,s:N,s:N,s:N}", "id", (long long)info.id,
                         "num_steps", (long long)info.num_steps, "duration_ns",
                         (long long)info.duration_ns, "bytes", (long long)info.bytes, "record",
                         (long long)info.record, "offset", (long long)info.offset, "file",
                         text_object(info.file), "split", text_object(info.split), "task",
                         text_object(info.task), "metadata", text_object(info.metadata));
}

/* An int64 or byte destination of the caller's, of at least `bytes` bytes where that is >= 0. */
static bool read_destination(module_state *state, PyObject *object, int64_t bytes, tensor *out) {
    if (!tensor_read(state, object, "dst", NULL, out)) {
        return false;
    }
    const int64_t have =
        rbc__tensor_num_elements(&out->dl) * (int64_t)((out->dl.dtype.bits + 7) / 8);
    if (!rbc__tensor_is_contiguous(&out->dl) || out->read_only ||
        out->dl.device.device_type != kDLCPU || (bytes >= 0 && have != bytes)) {
        raise_value(state, "dst: wanted a writable contiguous array of %lld bytes",
                    (long long)bytes);
        return false;
    }
    return true;
}

/* count(stream, row_lengths: int64 array | None, num_rows) -> samples */
static PyObject *episode_count(PyObject *self, PyObject *args) {
    episode_object *episode = (episode_object *)(void *)self;
    module_state *state = state_of_type(self);
    int stream = 0;
    PyObject *rows = NULL;
    if (!PyArg_ParseTuple(args, "iO", &stream, &rows)) {
        return NULL;
    }
    rbc_episode_info info;
    PyThreadState *thread = begin(episode);
    rbc_episode_get_info(episode->handle, &info);
    end(episode, thread);
    tensor dst = {0};
    if (rows != Py_None &&
        !read_destination(state, rows, info.num_steps * (int64_t)sizeof(int64_t), &dst)) {
        tensor_release(&dst);
        return NULL;
    }
    int64_t samples = 0;
    rbc_error err;
    thread = begin(episode);
    const rbc_status status =
        rbc_episode_count(episode->handle, stream, &samples,
                          rows == Py_None ? NULL : rbc__tensor_data(&dst.dl), &err);
    end(episode, thread);
    tensor_release(&dst);
    return status == RBC_OK ? PyLong_FromLongLong(samples) : raise_error(state, &err);
}

/* read(stream, first, count, dst): decoded samples */
static PyObject *episode_read(PyObject *self, PyObject *args) {
    episode_object *episode = (episode_object *)(void *)self;
    module_state *state = state_of_type(self);
    int stream = 0;
    long long first = 0;
    long long count = 0;
    PyObject *object = NULL;
    if (!PyArg_ParseTuple(args, "iLLO", &stream, &first, &count, &object)) {
        return NULL;
    }
    tensor dst = {0};
    if (!read_destination(state, object, -1, &dst)) {
        tensor_release(&dst);
        return NULL;
    }
    const uint64_t bytes = (uint64_t)rbc__tensor_num_elements(&dst.dl) * (dst.dl.dtype.bits / 8u);
    rbc_error err;
    PyThreadState *thread = begin(episode);
    const rbc_status status = rbc_episode_read(episode->handle, stream, first, count,
                                               rbc__tensor_data(&dst.dl), bytes, &err);
    end(episode, thread);
    tensor_release(&dst);
    if (status != RBC_OK) {
        return raise_error(state, &err);
    }
    Py_RETURN_NONE;
}

/* times(stream, first, count, dst): int64 ns stamps */
static PyObject *episode_times(PyObject *self, PyObject *args) {
    episode_object *episode = (episode_object *)(void *)self;
    module_state *state = state_of_type(self);
    int stream = 0;
    long long first = 0;
    long long count = 0;
    PyObject *object = NULL;
    if (!PyArg_ParseTuple(args, "iLLO", &stream, &first, &count, &object)) {
        return NULL;
    }
    tensor dst = {0};
    int64_t bytes = 0;
    if (!rbc__mul_size(count, (int64_t)sizeof(int64_t), &bytes) ||
        !read_destination(state, object, bytes, &dst)) {
        tensor_release(&dst);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    rbc_error err;
    PyThreadState *thread = begin(episode);
    const rbc_status status =
        rbc_episode_times(episode->handle, stream, first, count, rbc__tensor_data(&dst.dl), &err);
    end(episode, thread);
    tensor_release(&dst);
    if (status != RBC_OK) {
        return raise_error(state, &err);
    }
    Py_RETURN_NONE;
}

/* image_shape(stream, sample) -> (height, width, channels) */
static PyObject *episode_image_shape(PyObject *self, PyObject *args) {
    episode_object *episode = (episode_object *)(void *)self;
    int stream = 0;
    long long sample = 0;
    if (!PyArg_ParseTuple(args, "iL", &stream, &sample)) {
        return NULL;
    }
    int64_t shape[3] = {0, 0, 0};
    rbc_error err;
    PyThreadState *thread = begin(episode);
    const rbc_status status = rbc_episode_image_shape(episode->handle, stream, sample, shape, &err);
    end(episode, thread);
    return status == RBC_OK ? Py_BuildValue("(LLL)", (long long)shape[0], (long long)shape[1],
                                            (long long)shape[2])
                            : raise_error(state_of_type(self), &err);
}

/* bytes(stream, sample) -> the sample as it lies in the file */
static PyObject *episode_bytes(PyObject *self, PyObject *args) {
    episode_object *episode = (episode_object *)(void *)self;
    int stream = 0;
    long long sample = 0;
    if (!PyArg_ParseTuple(args, "iL", &stream, &sample)) {
        return NULL;
    }
    const void *bytes = NULL;
    uint64_t num_bytes = 0;
    rbc_error err;
    void *copy = NULL;
    /* The bytes are borrowed until the next call, and nobody waits for the GIL with the lock. */
    PyThreadState *thread = begin(episode);
    const rbc_status status =
        rbc_episode_bytes(episode->handle, stream, sample, &bytes, &num_bytes, &err);
    if (status == RBC_OK) {
        copy = malloc((size_t)num_bytes + 1);
        if (copy != NULL) {
            memcpy(copy, bytes, (size_t)num_bytes);
        }
    }
    end(episode, thread);
    PyObject *result = NULL;
    if (status != RBC_OK) {
        raise_error(state_of_type(self), &err);
    } else if (copy == NULL) {
        PyErr_NoMemory();
    } else {
        result = PyBytes_FromStringAndSize(copy, (Py_ssize_t)num_bytes);
    }
    free(copy);
    return result;
}

static PyMethodDef episode_methods[] = {
    {"info", episode_info, METH_NOARGS, NULL},
    {"count", episode_count, METH_VARARGS, NULL},
    {"read", episode_read, METH_VARARGS, NULL},
    {"times", episode_times, METH_VARARGS, NULL},
    {"image_shape", episode_image_shape, METH_VARARGS, NULL},
    {"bytes", episode_bytes, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot episode_slots[] = {
    {Py_tp_dealloc, (void *)episode_dealloc},
    {Py_tp_methods, episode_methods},
    {0, NULL},
};

PyType_Spec episode_spec = {
    .name = "robocache._core.Episode",
    .basicsize = sizeof(episode_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = episode_slots,
};
