/* Tensors with __dlpack__ but neither a C exchange API nor NumPy's structure: CuPy, JAX, older
 * torch; and numbers that become a tensor. What differs between these frameworks is in
 * robocache/_frameworks.py. */
#include "tensors/tensor.h"

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

static const char versioned[] = "dltensor_versioned", used_versioned[] = "used_dltensor_versioned";
static const char legacy[] = "dltensor", used_legacy[] = "used_dltensor";

/* Takes the tensor out of a DLPack capsule, so that nobody else does; dlpack_release() frees it. */
static bool take(PyObject *capsule, const char *used_name, tensor *out) {
    if (PyCapsule_SetName(capsule, used_name) != 0) {
        return false;
    }
    Py_INCREF(capsule);
    out->capsule = capsule;
    return true;
}

static bool view_capsule(module_state *state, PyObject *capsule, const char *param, tensor *out) {
    if (PyCapsule_IsValid(capsule, versioned)) {
        const DLManagedTensorVersioned *managed = PyCapsule_GetPointer(capsule, versioned);
        if (managed->version.major != DLPACK_MAJOR_VERSION) {
            raise_type(state, "%s: DLPack version %u.%u found, %d wanted", param,
                       (unsigned)managed->version.major, (unsigned)managed->version.minor,
                       DLPACK_MAJOR_VERSION);
            return false;
        }
        out->dl = managed->dl_tensor;
        out->read_only = (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0;
        if (!take(capsule, used_versioned, out)) {
            return false;
        }
    } else if (PyCapsule_IsValid(capsule, legacy)) {
        const DLManagedTensor *managed = PyCapsule_GetPointer(capsule, legacy);
        out->dl = managed->dl_tensor;
        if (!take(capsule, used_legacy, out)) {
            return false;
        }
    } else if (PyCapsule_IsValid(capsule, used_versioned) ||
               PyCapsule_IsValid(capsule, used_legacy)) {
        raise_type(state,
                   "%s: __dlpack__() returned a capsule that was used before, wanted a new "
                   "one at each call",
                   param);
        return false;
    } else {
        raise_type(state, "%s: __dlpack__() returned %R, wanted a DLPack capsule", param, capsule);
        return false;
    }
    rbc__dtype dtype;
    rbc_error err;
    if (rbc__tensor_check(&out->dl, param, &dtype, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    return true;
}

void dlpack_release(PyObject *capsule) {
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyCapsule_IsValid(capsule, used_versioned)) {
        DLManagedTensorVersioned *managed = PyCapsule_GetPointer(capsule, used_versioned);
        if (managed->deleter != NULL) {
            managed->deleter(managed);
        }
    } else if (PyCapsule_IsValid(capsule, used_legacy)) {
        DLManagedTensor *managed = PyCapsule_GetPointer(capsule, used_legacy);
        if (managed->deleter != NULL) {
            managed->deleter(managed);
        }
    }
    PyErr_Restore(type, value, traceback);
}

bool dlpack_read(module_state *state, PyObject *object, const char *param, tensor *out) {
    PyObject *pair = frameworks_call(state, "export", Py_BuildValue("(Os)", object, param));
    PyObject *capsule = NULL;
    unsigned long long stream = 0;
    int is_immutable = 0;
    const bool ok = pair != NULL &&
                    PyArg_ParseTuple(pair, "OKp", &capsule, &stream, &is_immutable) &&
                    view_capsule(state, capsule, param, out);
    Py_XDECREF(pair);
    out->cu_stream = (void *)(uintptr_t)stream;
    out->read_only = out->read_only || is_immutable != 0;
    return ok;
}

bool dlpack_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                   const int64_t *shape, tensor *out) {
    PyObject *extents = PyList_New(0);
    for (int32_t i = 0; extents != NULL && i < ndim; ++i) {
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

bool dlpack_cu_stream(module_state *state, tensor *t) {
    PyObject *pointer = frameworks_call(state, "stream_of", Py_BuildValue("(O)", t->object));
    if (pointer == NULL) {
        return false;
    }
    t->cu_stream = (void *)(uintptr_t)PyLong_AsUnsignedLongLong(pointer);
    Py_DECREF(pointer);
    return !PyErr_Occurred();
}

PyObject *dlpack_finish(module_state *state, tensor *t) {
    return frameworks_call(state, "finish",
                           Py_BuildValue("(OO)", (PyObject *)t->framework.type, t->object));
}

PyObject *dlpack_convert(module_state *state, PyObject *object, const char *param, rbc__dtype dtype,
                         const tensor *like) {
    return frameworks_call(
        state, "convert",
        Py_BuildValue("(OOss)", object, like->object, rbc__dtype_name(dtype), param));
}
