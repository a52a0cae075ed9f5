/* DLPack's C exchange API: no Python object is touched between a tensor and its DLTensor. */
#include "tensors/tensor.h"

#include <string.h>

bool exchange_find(module_state *state, PyTypeObject *type, framework *out) {
    PyObject *capsule =
        PyObject_GetAttr((PyObject *)type, state->names[NAME___dlpack_c_exchange_api__]);
    if (capsule == NULL) {
        return false;
    }
    /* The protocol lets the table live as long as the process, so it outlives its capsule. */
    const DLPackExchangeAPI *api = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    Py_DECREF(capsule);
    if (api == NULL) {
        return false;
    }
    const DLPackExchangeAPIHeader *header = &api->header;
    while (header != NULL && header->version.major != DLPACK_MAJOR_VERSION) {
        header = header->prev_api;
    }
    /* The header is the first member of every version of the table. */
    api = (const DLPackExchangeAPI *)(const void *)header;
    if (api != NULL && api->dltensor_from_py_object_no_sync != NULL) {
        out->kind = FRAMEWORK_EXCHANGE;
        out->api = api;
    }
    return true;
}

/* False with an error where PyTorch keeps the sign of the values apart from their memory, as in
   z.conj().imag: always a view of every second number, so that no other tensor is asked. */
static bool has_its_signs(module_state *state, PyObject *object, const char *param,
                          const tensor *t) {
    if (!t->framework.is_torch || t->dl.dtype.code != kDLFloat ||
        (rbc__tensor_is_contiguous(&t->dl) && rbc__tensor_num_elements(&t->dl) != 1)) {
        return true;
    }
    PyObject *is_negated = PyObject_CallMethodObjArgs(object, state->names[NAME_is_neg], NULL);
    const int truth = is_negated != NULL ? PyObject_IsTrue(is_negated) : -1;
    Py_XDECREF(is_negated);
    if (truth > 0) {
        raise_value(state,
                    "%s: the tensor is a negated view, wanted its values in memory: "
                    "resolve_neg() gives them",
                    param);
    }
    return truth == 0;
}

bool exchange_read(module_state *state, PyObject *object, const char *param, tensor *out) {
    const int code = out->framework.api->dltensor_from_py_object_no_sync(object, &out->dl);
    if (code == 0 && out->dl.data == NULL && rbc__tensor_num_elements(&out->dl) > 0) {
        state->has_no_memory = out->framework.is_torch;
        raise_value(state, "%s: the tensor has no memory that could be read", param);
        return false;
    }
    if (code != 0) {
        state->has_no_memory = out->framework.is_torch;
        PyObject *type = NULL;
        PyObject *value = NULL;
        PyObject *traceback = NULL;
        PyErr_Fetch(&type, &value, &traceback);
        /* What follows the first line is where in PyTorch it was found. */
        PyObject *text = PyObject_Str(value != NULL ? value : Py_None);
        PyObject *newline = PyUnicode_FromString("\n");
        PyObject *lines =
            text == NULL || newline == NULL ? NULL : PyUnicode_Split(text, newline, 1);
        PyObject *first = lines == NULL ? NULL : PyList_GetItem(lines, 0);
        PyErr_Clear();
        raise_value(state, "%s: the tensor cannot be read: %S", param,
                    first != NULL ? first : Py_None);
        Py_XDECREF(lines);
        Py_XDECREF(newline);
        Py_XDECREF(text);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return false;
    }
    return has_its_signs(state, object, param, out);
}

bool exchange_cu_stream(tensor *t) {
    const DLDevice device = t->dl.device;
    return device.device_type == kDLCPU ||
           t->framework.api->current_work_stream(device.device_type, device.device_id,
                                                 &t->cu_stream) == 0;
}

static void set_allocation_error(void *context, const char *kind, const char *message) {
    module_state *state = context;
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyErr_Format(state->errors[RBC_ERROR_OUT_OF_MEMORY], "output: %s: %s", kind, message);
    PyGILState_Release(gil);
}

bool exchange_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                     const int64_t *shape, tensor *out) {
    memcpy(out->shape, shape, (size_t)ndim * sizeof(*shape));
    DLTensor prototype = {
        .device = like->dl.device, .ndim = ndim, .dtype = dtype, .shape = out->shape};
    if (like->framework.api->managed_tensor_allocator(&prototype, &out->managed, state,
                                                      set_allocation_error) != 0) {
        return false;
    }
    out->dl = out->managed->dl_tensor;
    return true;
}
