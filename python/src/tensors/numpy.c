/* NumPy arrays by their C structure; NumPy's headers are not needed, nor NumPy until it is used. */
#include "tensors/array_struct.h"
#include "tensors/tensor.h"

#include <string.h>

/* Whether the dtype of `object` is ml_dtypes.bfloat16, which NumPy shows as two raw bytes. */
static bool is_bfloat16(module_state *state, PyObject *object) {
    PyObject *dtype = PyObject_GetAttr(object, state->names[NAME_dtype]);
    PyObject *name = dtype == NULL ? NULL : PyObject_GetAttr(dtype, state->names[NAME_name]);
    const bool result = name != NULL && PyUnicode_Check(name) &&
                        PyUnicode_CompareWithASCIIString(name, "bfloat16") == 0;
    Py_XDECREF(dtype);
    Py_XDECREF(name);
    PyErr_Clear();
    return result;
}

static bool to_dlpack_dtype(module_state *state, PyObject *object, const array_struct *array,
                            DLDataType *out) {
    uint8_t code;
    switch (array->typekind) {
    case 'f':
        code = kDLFloat;
        break;
    case 'i':
        code = kDLInt;
        break;
    case 'u':
        code = kDLUInt;
        break;
    case 'b':
        code = kDLBool;
        break;
    case 'V':
        if (array->itemsize != 2 || !is_bfloat16(state, object)) {
            return false;
        }
        code = kDLBfloat;
        break;
    default:
        return false;
    }
    *out = (DLDataType){code, (uint8_t)(array->itemsize * 8), 1};
    rbc__dtype known;
    return array->itemsize <= 8 && rbc__dtype_from_dlpack(*out, &known);
}

static bool fill_dltensor(module_state *state, PyObject *object, const char *param,
                          const array_struct *array, tensor *out) {
    DLDataType dtype;
    if (array->two != 2 || (array->flags & ARRAY_NOTSWAPPED) == 0 ||
        !to_dlpack_dtype(state, object, array, &dtype)) {
        PyObject *found = PyObject_GetAttr(object, state->names[NAME_dtype]);
        PyErr_Clear();
        raise_type(state, "%s: dtype %R found, wanted a native float, integer or bool", param,
                   found != NULL ? found : Py_None);
        Py_XDECREF(found);
        return false;
    }
    if (array->nd > TENSOR_MAX_DIMS) {
        raise_value(state, "%s: %d axes found, at most %d wanted", param, array->nd,
                    TENSOR_MAX_DIMS);
        return false;
    }
    if ((array->flags & ARRAY_ALIGNED) == 0) {
        raise_value(state, "%s: the array is not aligned to its element size", param);
        return false;
    }
    for (int i = 0; i < array->nd; ++i) {
        out->shape[i] = array->shape[i];
        if (array->strides[i] % array->itemsize != 0) {
            raise_value(state,
                        "%s: stride of %zd bytes along axis %d is no multiple of the "
                        "%d bytes of an element",
                        param, array->strides[i], i, array->itemsize);
            return false;
        }
        out->strides[i] = array->strides[i] / array->itemsize;
    }
    out->read_only = (array->flags & ARRAY_WRITEABLE) == 0;
    out->dl = (DLTensor){.data = array->data,
                         .device = {kDLCPU, 0},
                         .ndim = array->nd,
                         .dtype = dtype,
                         .shape = out->shape,
                         .strides = out->strides};
    return true;
}

bool numpy_read(module_state *state, PyObject *object, const char *param, tensor *out) {
    PyObject *capsule = PyObject_GetAttr(object, state->names[NAME___array_struct__]);
    if (capsule == NULL) {
        return false;
    }
    const array_struct *array = PyCapsule_GetPointer(capsule, NULL);
    const bool ok = array != NULL && fill_dltensor(state, object, param, array, out);
    Py_DECREF(capsule);
    return ok;
}

PyObject *numpy_dtype(module_state *state, DLDataType dtype) {
    rbc__dtype known;
    if (!rbc__dtype_from_dlpack(dtype, &known)) {
        return raise_type(state, "output: NumPy has no such dtype");
    }
    if (state->numpy_dtypes[known] != NULL) {
        return state->numpy_dtypes[known];
    }
    PyObject *numpy = PyImport_ImportModule("numpy");
    PyObject *name = NULL;
    if (known == RBC__BF16) {
        PyObject *module = PyImport_ImportModule("ml_dtypes");
        name = module == NULL ? NULL : PyObject_GetAttrString(module, "bfloat16");
        Py_XDECREF(module);
    } else {
        name = PyUnicode_FromString(rbc__dtype_name(known));
    }
    if (numpy != NULL && name != NULL) {
        PyObject *function = PyObject_GetAttr(numpy, state->names[NAME_dtype]);
        if (function != NULL) {
            state->numpy_dtypes[known] = PyObject_CallFunctionObjArgs(function, name, NULL);
            Py_DECREF(function);
        }
    }
    Py_XDECREF(numpy);
    Py_XDECREF(name);
    return state->numpy_dtypes[known];
}

bool numpy_create(module_state *state, DLDataType dtype, int32_t ndim, const int64_t *shape,
                  tensor *out) {
    PyObject *element = numpy_dtype(state, dtype);
    if (element == NULL) {
        return false;
    }
    if (state->numpy_empty == NULL) {
        PyObject *numpy = PyImport_ImportModule("numpy");
        state->numpy_empty = numpy == NULL ? NULL : PyObject_GetAttrString(numpy, "empty");
        Py_XDECREF(numpy);
        if (state->numpy_empty == NULL) {
            return false;
        }
    }
    PyObject *extents = PyTuple_New(ndim);
    for (int32_t i = 0; extents != NULL && i < ndim; ++i) {
        PyObject *extent = PyLong_FromLongLong(shape[i]);
        if (extent == NULL || PyTuple_SetItem(extents, i, extent) < 0) {
            Py_CLEAR(extents);
        }
    }
    if (extents == NULL) {
        return false;
    }
    out->object = PyObject_CallFunctionObjArgs(state->numpy_empty, extents, element, NULL);
    Py_DECREF(extents);
    return out->object != NULL && numpy_read(state, out->object, "out", out);
}
