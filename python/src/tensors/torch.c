/* Outputs of torch's own making. Those of DLPack's exchange API borrow their memory, so that
 * Tensor.record_stream() does nothing on them, and take torch longer to make. */
#include "extension.h"
#include "tensors/tensor.h"

/* What PyTorch's compiled code allocates through, on the current device; None where this PyTorch
 * has it no more. Borrowed. */
static PyObject *quick_empty(module_state *state) {
    if (state->torch_empty_strided == NULL) {
        PyObject *guards = PyImport_ImportModule("torch._C._dynamo.guards");
        PyObject *found =
            guards == NULL ? NULL : PyObject_GetAttrString(guards, "_empty_strided_cuda");
        Py_XDECREF(guards);
        PyErr_Clear();
        if (found == NULL) {
            Py_INCREF(Py_None);
            found = Py_None;
        }
        state->torch_empty_strided = found;
    }
    return state->torch_empty_strided;
}

/* The torch.dtype of one element type, borrowed. */
static PyObject *torch_dtype(module_state *state, rbc__dtype dtype) {
    if (state->torch_dtypes[dtype] == NULL) {
        PyObject *torch = PyImport_ImportModule("torch");
        state->torch_dtypes[dtype] =
            torch == NULL ? NULL : PyObject_GetAttrString(torch, rbc__dtype_name(dtype));
        Py_XDECREF(torch);
    }
    return state->torch_dtypes[dtype];
}

static PyObject *tuple_of(int32_t count, const int64_t *values) {
    PyObject *tuple = PyTuple_New(count);
    for (int32_t i = 0; tuple != NULL && i < count; ++i) {
        PyObject *value = PyLong_FromLongLong(values[i]);
        if (value == NULL || PyTuple_SetItem(tuple, i, value) < 0) {
            Py_CLEAR(tuple);
        }
    }
    return tuple;
}

static PyObject *empty_here(PyObject *function, PyObject *dtype, int32_t ndim,
                            const int64_t *shape) {
    int64_t strides[TENSOR_MAX_DIMS];
    int64_t stride = 1;
    for (int32_t i = ndim - 1; i >= 0; --i) {
        strides[i] = stride;
        stride *= shape[i] > 1 ? shape[i] : 1;
    }
    PyObject *extents = tuple_of(ndim, shape);
    PyObject *steps = tuple_of(ndim, strides);
    PyObject *args =
        extents == NULL || steps == NULL ? NULL : PyTuple_Pack(3, extents, steps, dtype);
    Py_XDECREF(extents);
    Py_XDECREF(steps);
    PyObject *made = args == NULL ? NULL : PyObject_Call(function, args, NULL);
    Py_XDECREF(args);
    PyErr_Clear();
    return made;
}

static PyObject *empty_there(const tensor *like, PyObject *dtype, int32_t ndim,
                             const int64_t *shape) {
    PyObject *function = PyObject_GetAttrString(like->object, "new_empty");
    PyObject *args = Py_BuildValue("(N)", tuple_of(ndim, shape));
    PyObject *named = Py_BuildValue("{sO}", "dtype", dtype);
    PyObject *made = function == NULL || args == NULL || named == NULL
                         ? NULL
                         : PyObject_Call(function, args, named);
    Py_XDECREF(function);
    Py_XDECREF(args);
    Py_XDECREF(named);
    return made;
}

/* Makes an error of torch the library's own: that of a device, which torch tells apart since 2.8, or
 * of an allocation. Others (an interrupt) stay what they are. */
static void take_error(module_state *state) {
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    if (!PyErr_GivenExceptionMatches(type, PyExc_RuntimeError)) {
        PyErr_Restore(type, value, traceback);
        return;
    }
    PyObject *torch = PyImport_ImportModule("torch");
    PyObject *of_device = torch == NULL ? NULL : PyObject_GetAttrString(torch, "AcceleratorError");
    const bool is_of_device = of_device != NULL && PyErr_GivenExceptionMatches(type, of_device);
    PyErr_Clear();
    PyErr_Format(state->errors[is_of_device ? RBC_ERROR_DEVICE : RBC_ERROR_OUT_OF_MEMORY],
                 "output: %S", value != NULL ? value : Py_None);
    Py_XDECREF(torch);
    Py_XDECREF(of_device);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

bool torch_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                  const int64_t *shape, tensor *out) {
    rbc__dtype known;
    if (!rbc__dtype_from_dlpack(dtype, &known)) {
        /* The library refuses it later, and says what it takes. */
        return exchange_create(state, like, dtype, ndim, shape, out);
    }
    PyObject *kind = torch_dtype(state, known);
    if (kind == NULL) {
        return false;
    }
    PyObject *quick = quick_empty(state);
    PyObject *made = NULL;
    if (quick != Py_None && rbc__cuda_is_current(like->dl.device.device_id)) {
        made = empty_here(quick, kind, ndim, shape);
    }
    if (made == NULL) {
        made = empty_there(like, kind, ndim, shape);
    }
    if (made == NULL) {
        take_error(state);
        return false;
    }
    out->object = made;
    return exchange_read(state, made, "output", out);
}
