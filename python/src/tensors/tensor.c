#include "tensors/tensor.h"

#include <string.h>

bool is_floating(DLDataType dtype) {
    return dtype.code == kDLFloat || dtype.code == kDLBfloat;
}

const char *dtype_name(DLDataType dtype) {
    rbc__dtype known;
    return rbc__dtype_from_dlpack(dtype, &known) ? rbc__dtype_name(known) : "another dtype";
}

/* Finds out how tensors of `type` are read; FRAMEWORK_NONE where they are not tensors. */
static bool probe_type(module_state *state, PyObject *object, framework *out) {
    PyTypeObject *type = Py_TYPE(object);
    memset(out, 0, sizeof(*out));
    out->type = type;
    if (PyObject_HasAttr((PyObject *)type, state->names[NAME___dlpack_c_exchange_api__])) {
        if (!exchange_find(state, type, out)) {
            return false;
        }
    }
    if (out->kind == FRAMEWORK_NONE &&
        PyObject_HasAttr((PyObject *)type, state->names[NAME___array_struct__])) {
        out->kind = FRAMEWORK_NUMPY;
    }
    if (out->kind == FRAMEWORK_NONE &&
        PyObject_HasAttr((PyObject *)type, state->names[NAME___dlpack__])) {
        out->kind = FRAMEWORK_DLPACK;
    }
    PyObject *module = PyObject_GetAttr((PyObject *)type, state->names[NAME___module__]);
    const char *text =
        module != NULL && PyUnicode_Check(module) ? PyUnicode_AsUTF8AndSize(module, NULL) : NULL;
    out->is_torch = out->kind != FRAMEWORK_NUMPY &&
                    (PyObject_HasAttr((PyObject *)type, state->names[NAME_requires_grad]) ||
                     (text != NULL && strncmp(text, "torch", 5) == 0));
    Py_XDECREF(module);
    PyErr_Clear();
    return true;
}

static bool find_framework(module_state *state, PyObject *object, framework *out) {
    PyTypeObject *type = Py_TYPE(object);
    for (int i = 0; i < state->num_frameworks; ++i) {
        if (state->frameworks[i].type == type) {
            *out = state->frameworks[i];
            return true;
        }
    }
    if (!probe_type(state, object, out)) {
        return false;
    }
    if (out->kind == FRAMEWORK_NONE) {
        return true;
    }
    int slot = state->num_frameworks;
    if (slot < FRAMEWORK_CACHE_SIZE) {
        ++state->num_frameworks;
    } else {
        slot = state->next_framework;
        state->next_framework = (slot + 1) % FRAMEWORK_CACHE_SIZE;
    }
    PyTypeObject *replaced = state->frameworks[slot].type;
    state->frameworks[slot] = *out;
    Py_INCREF(type);
    Py_XDECREF(replaced);
    return true;
}

static bool same_framework(const framework *a, const framework *b) {
    if (a->kind != b->kind) {
        return false;
    }
    return a->kind == FRAMEWORK_NUMPY || a->type == b->type ||
           (a->kind == FRAMEWORK_EXCHANGE && a->api == b->api);
}

bool tensor_read(module_state *state, PyObject *object, const char *param, const tensor *like,
                 tensor *out) {
    if (!find_framework(state, object, &out->framework)) {
        return false;
    }
    if (out->framework.kind == FRAMEWORK_NONE) {
        raise_type(state,
                   "%s: found %R, wanted a tensor: torch, NumPy, or anything with __dlpack__",
                   param, (PyObject *)Py_TYPE(object));
        return false;
    }
    if (like != NULL && !same_framework(&like->framework, &out->framework)) {
        raise_type(state, "%s: found %R, wanted %R as the first tensor: arguments are not mixed",
                   param, (PyObject *)out->framework.type, (PyObject *)like->framework.type);
        return false;
    }
    Py_INCREF(object);
    out->object = object;
    switch (out->framework.kind) {
    case FRAMEWORK_EXCHANGE:
        return exchange_read(state, object, param, out) &&
               (like != NULL || exchange_cu_stream(out));
    case FRAMEWORK_NUMPY:
        return numpy_read(state, object, param, out);
    default:
        return dlpack_read(state, object, param, out);
    }
}

bool tensor_read_small(module_state *state, PyObject *object, const char *param, rbc__dtype dtype,
                       const tensor *like, tensor *out) {
    framework found;
    if (!find_framework(state, object, &found)) {
        return false;
    }
    if (found.kind != FRAMEWORK_NONE && same_framework(&like->framework, &found)) {
        return tensor_read(state, object, param, like, out);
    }
    PyObject *made = dlpack_convert(state, object, param, dtype, like);
    const bool ok = made != NULL && tensor_read(state, made, param, like, out);
    Py_XDECREF(made);
    return ok;
}

bool tensor_read_list(module_state *state, PyObject *object, const char *param, const tensor *like,
                      const tensor *typed, tensor *out) {
    rbc__dtype dtype;
    if ((PyList_Check(object) || PyTuple_Check(object)) &&
        rbc__dtype_from_dlpack(typed->dl.dtype, &dtype)) {
        return tensor_read_small(state, object, param, dtype, like, out);
    }
    return tensor_read(state, object, param, like, out);
}

static PyObject *shape_text(int32_t ndim, const int64_t *shape) {
    char buffer[256];
    return PyUnicode_FromString(rbc__format_shape(buffer, sizeof(buffer), ndim, shape));
}

bool tensor_read_output(module_state *state, PyObject *object, const tensor *like, DLDataType dtype,
                        int32_t ndim, const int64_t *shape, tensor *out) {
    if (!tensor_read(state, object, "out", like, out)) {
        return false;
    }
    const DLTensor *dl = &out->dl;
    if (memcmp(&dl->dtype, &dtype, sizeof(dtype)) != 0) {
        raise_value(state, "out: dtype %s found, %s wanted", dtype_name(dl->dtype),
                    dtype_name(dtype));
        return false;
    }
    if (out->read_only) {
        raise_value(state, "out: the array is read-only");
        return false;
    }
    if (dl->ndim != ndim ||
        (ndim > 0 && memcmp(dl->shape, shape, (size_t)ndim * sizeof(*shape)) != 0)) {
        PyObject *found = shape_text(dl->ndim, dl->shape);
        PyObject *wanted = shape_text(ndim, shape);
        if (found != NULL && wanted != NULL) {
            raise_value(state, "out: shape %U found, %U wanted", found, wanted);
        }
        Py_XDECREF(found);
        Py_XDECREF(wanted);
        return false;
    }
    return true;
}

bool tensor_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                   const int64_t *shape, tensor *out) {
    out->framework = like->framework;
    switch (like->framework.kind) {
    case FRAMEWORK_EXCHANGE:
        return like->framework.is_torch && like->dl.device.device_type == kDLCUDA
                   ? torch_create(state, like, dtype, ndim, shape, out)
                   : exchange_create(state, like, dtype, ndim, shape, out);
    case FRAMEWORK_NUMPY:
        return numpy_create(state, dtype, ndim, shape, out);
    default:
        return dlpack_create(state, like, dtype, ndim, shape, out);
    }
}

PyObject *tensor_object(module_state *state, tensor *t) {
    if (t->managed != NULL) {
        void *object = NULL;
        DLManagedTensorVersioned *managed = t->managed;
        t->managed = NULL;
        if (t->framework.api->managed_tensor_to_py_object_no_sync(managed, &object) != 0) {
            return NULL;
        }
        t->object = object;
    }
    if (t->framework.kind == FRAMEWORK_DLPACK) {
        return dlpack_finish(state, t);
    }
    Py_INCREF(t->object);
    return t->object;
}

void tensor_release(tensor *t) {
    if (t->managed != NULL && t->managed->deleter != NULL) {
        t->managed->deleter(t->managed);
    }
    t->managed = NULL;
    if (t->capsule != NULL) {
        dlpack_release(t->capsule);
    }
    Py_CLEAR(t->capsule);
    Py_CLEAR(t->object);
}

bool tensor_needs_grad(module_state *state, const tensor *values, bool *needs) {
    if (*needs || !values->framework.is_torch || !is_floating(values->dl.dtype)) {
        return true;
    }
    PyObject *flag = PyObject_GetAttr(values->object, state->names[NAME_requires_grad]);
    if (flag == NULL) {
        return false;
    }
    const bool required = flag == Py_True;
    Py_DECREF(flag);
    if (!required) {
        return true;
    }
    PyObject *torch = PyImport_ImportModule("torch");
    PyObject *enabled =
        torch == NULL ? NULL
                      : PyObject_CallMethodObjArgs(torch, state->names[NAME_is_grad_enabled], NULL);
    Py_XDECREF(torch);
    if (enabled == NULL) {
        return false;
    }
    *needs = enabled == Py_True;
    Py_DECREF(enabled);
    return true;
}

bool tensor_refuse_grad(module_state *state, const tensor *t, const char *param) {
    bool needs = false;
    if (!tensor_needs_grad(state, t, &needs)) {
        return false;
    }
    if (needs) {
        PyErr_Format(state->errors[RBC_ERROR_UNSUPPORTED],
                     "%s: requires a gradient, and that of voxels is zero wherever there is one: "
                     "detach it",
                     param);
    }
    return !needs;
}

bool check_backend(module_state *state, backend_choice backend, const tensor *data,
                   const char *param) {
    const bool on_cuda = data->dl.device.device_type == kDLCUDA;
    if (backend == BACKEND_CUDA && !on_cuda) {
        raise_value(state,
                    "backend: 'cuda' found, but %s is not on a CUDA device: move it there, or "
                    "leave backend out",
                    param);
        return false;
    }
    if (backend == BACKEND_CPU && on_cuda) {
        raise_value(state,
                    "backend: 'cpu' found, but %s is on CUDA device %d: move it to the host, or "
                    "leave backend out",
                    param, (int)data->dl.device.device_id);
        return false;
    }
    return true;
}

bool tensor_keep(tensor *t) {
    if (t->object == NULL || t->framework.kind != FRAMEWORK_EXCHANGE) {
        return true;
    }
    DLTensor dl;
    if (t->framework.api->dltensor_from_py_object_no_sync(t->object, &dl) != 0) {
        return false;
    }
    if (dl.ndim > TENSOR_MAX_DIMS) {
        PyErr_SetString(PyExc_ValueError, "Plan: a tensor has too many axes");
        return false;
    }
    const size_t bytes = (size_t)dl.ndim * sizeof(*t->shape);
    memcpy(t->shape, dl.shape, bytes);
    dl.shape = t->shape;
    if (dl.strides != NULL) {
        memcpy(t->strides, dl.strides, bytes);
        dl.strides = t->strides;
    }
    t->dl = dl;
    return true;
}
