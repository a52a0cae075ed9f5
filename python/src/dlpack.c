/* Tensors with __dlpack__ but neither a C exchange API nor NumPy's structure: CuPy, JAX, older
 * torch. What differs between these frameworks is in robocache/_frameworks.py. */
#include "tensor.h"

#include <string.h>

static PyObject *frameworks_call(module_state *state, const char *function, PyObject *args) {
    if (args == NULL) {
        return NULL;
    }
    if (state->frameworks_module == NULL) {
        state->frameworks_module = PyImport_ImportModule("robocache._frameworks");
    }
    PyObject *callable = state->frameworks_module == NULL
                             ? NULL
                             : PyObject_GetAttrString(state->frameworks_module, function);
    PyObject *result = callable == NULL ? NULL : PyObject_CallObject(callable, args);
    Py_XDECREF(callable);
    Py_DECREF(args);
    return result;
}

/* Views the tensor in a DLPack capsule, which stays alive as out->capsule and frees it. */
static bool view_capsule(module_state *state, PyObject *capsule, const char *param, tensor *out) {
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        const DLManagedTensorVersioned *managed =
            PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (managed->version.major != DLPACK_MAJOR_VERSION) {
            raise_type(state, "%s: DLPack version %u.%u found, %d wanted", param,
                       (unsigned)managed->version.major, (unsigned)managed->version.minor,
                       DLPACK_MAJOR_VERSION);
            return false;
        }
        out->dl = managed->dl_tensor;
        out->read_only = (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0;
    } else if (PyCapsule_IsValid(capsule, "dltensor")) {
        const DLManagedTensor *managed = PyCapsule_GetPointer(capsule, "dltensor");
        out->dl = managed->dl_tensor;
    } else {
        raise_type(state, "%s: __dlpack__() returned %R, wanted a DLPack capsule", param, capsule);
        return false;
    }
    Py_INCREF(capsule);
    out->capsule = capsule;
    return true;
}

bool dlpack_read(module_state *state, PyObject *object, const char *param, tensor *out) {
    PyObject *pair = frameworks_call(state, "export", Py_BuildValue("(O)", object));
    PyObject *capsule = NULL;
    unsigned long long stream = 0;
    int is_immutable = 0;
    const bool ok = pair != NULL &&
                    PyArg_ParseTuple(pair, "OKp", &capsule, &stream, &is_immutable) &&
                    view_capsule(state, capsule, param, out);
    Py_XDECREF(pair);
    out->stream = (void *)(uintptr_t)stream;
    out->read_only = out->read_only || is_immutable != 0;
    return ok;
}

bool dlpack_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                   const int64_t *shape, tensor *out) {
    PyObject *extents = PyList_New(0);
    for (int32_t i = 0; extents != NULL && i < ndim; i++) {
        PyObject *extent = PyLong_FromLongLong(shape[i]);
        if (extent == NULL || PyList_Append(extents, extent) < 0) {
            Py_CLEAR(extents);
        }
        Py_XDECREF(extent);
    }
    if (extents == NULL) {
        return false;
    }
    PyObject *made = frameworks_call(
        state, "empty", Py_BuildValue("(ONs)", like->object, extents, dtype_name(dtype)));
    if (made == NULL) {
        return false;
    }
    /* JAX arrays cannot be written, so `made` is a NumPy array there, see dlpack_finish(). */
    const framework wanted = like->framework;
    const bool ok = tensor_read(state, made, "out", NULL, out);
    Py_DECREF(made);
    out->framework = wanted;
    return ok;
}

bool dlpack_stream(module_state *state, tensor *t) {
    PyObject *pointer = frameworks_call(state, "stream_of", Py_BuildValue("(O)", t->object));
    if (pointer == NULL) {
        return false;
    }
    t->stream = (void *)(uintptr_t)PyLong_AsUnsignedLongLong(pointer);
    Py_DECREF(pointer);
    return !PyErr_Occurred();
}

PyObject *dlpack_finish(module_state *state, tensor *t) {
    return frameworks_call(state, "finish",
                           Py_BuildValue("(OO)", (PyObject *)t->framework.type, t->object));
}
