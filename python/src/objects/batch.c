/* Tensors over the memory of a delivered batch, each of which keeps the batch alive. */
#include "objects/objects.h"
#include "tensors/array_struct.h"
#include "tensors/tensor.h"

#include <stdlib.h>
#include <string.h>

#define FIELD_MAX_DIMS 16

/* What NumPy takes as the owner of an array: the batch, and the array's structure. */
typedef struct field_object {
    PyObject_HEAD rbc_batch *batch;
    array_struct array;
    Py_ssize_t shape[FIELD_MAX_DIMS], strides[FIELD_MAX_DIMS];
} field_object;

static void field_dealloc(PyObject *self) {
    rbc_batch_release(&((field_object *)(void *)self)->batch);
    free_instance(self);
}

static PyObject *field_array_struct(PyObject *self, void *unused) {
    (void)unused;
    /* The structure lives in `self`, which NumPy keeps as the array's base. */
    return PyCapsule_New(&((field_object *)(void *)self)->array, NULL, NULL);
}

static PyGetSetDef field_getset[] = {
    {"__array_struct__", field_array_struct, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot field_slots[] = {
    {Py_tp_dealloc, (void *)field_dealloc},
    {Py_tp_getset, field_getset},
    {0, NULL},
};

PyType_Spec field_spec = {
    .name = "robocache._core.Field",
    .basicsize = sizeof(field_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = field_slots,
};

static char type_kind(DLDataType dtype) {
    switch (dtype.code) {
    case kDLFloat:
        return 'f';
    case kDLInt:
        return 'i';
    case kDLBool:
        return 'b';
    default:
        return 'u';
    }
}

static PyObject *numpy_field(module_state *state, PyObject *asarray, rbc_batch *batch,
                             const DLTensor *dl) {
    if (dl->ndim > FIELD_MAX_DIMS) {
        return raise_value(state, "a field has %d axes, at most %d are wanted", (int)dl->ndim,
                           FIELD_MAX_DIMS);
    }
    /* Given as an object: NumPy would make one of letters for each array. */
    PyObject *dtype = numpy_dtype(state, dl->dtype);
    field_object *field = dtype == NULL ? NULL : PyObject_New(field_object, state->field_type);
    if (field == NULL) {
        return NULL;
    }
    rbc_batch_retain(batch);
    field->batch = batch;
    for (int32_t i = 0; i < dl->ndim; ++i) {
        field->shape[i] = (Py_ssize_t)dl->shape[i];
        field->strides[i] = (Py_ssize_t)rbc__tensor_stride_bytes(dl, i);
    }
    field->array = (array_struct){.two = 2,
                                  .nd = dl->ndim,
                                  .typekind = type_kind(dl->dtype),
                                  .itemsize = dl->dtype.bits / 8,
                                  .flags = ARRAY_ALIGNED | ARRAY_NOTSWAPPED | ARRAY_WRITEABLE |
                                           ARRAY_HAS_DESCR,
                                  .shape = field->shape,
                                  .strides = field->strides,
                                  .data = rbc__tensor_data(dl),
                                  .descr = dtype};
    if (rbc__tensor_is_contiguous(dl)) {
        field->array.flags |= ARRAY_C_CONTIGUOUS;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(asarray, (PyObject *)field, NULL);
    Py_DECREF(field);
    return result;
}

/* A DLPack tensor in one allocation with its extents; the deleter may run without the GIL. */
typedef struct batch_tensor {
    union {
        DLManagedTensorVersioned versioned;
        DLManagedTensor legacy;
    } managed;
    rbc_batch *batch;
    int64_t extents[]; /* shape, then strides */
} batch_tensor;

static void delete_versioned(DLManagedTensorVersioned *managed) {
    batch_tensor *self = managed->manager_ctx;
    rbc_batch_release(&self->batch);
    free(self);
}

static void delete_legacy(DLManagedTensor *managed) {
    batch_tensor *self = managed->manager_ctx;
    rbc_batch_release(&self->batch);
    free(self);
}

static batch_tensor *new_batch_tensor(rbc_batch *batch, const DLTensor *dl, DLTensor *copy) {
    const size_t ndim = (size_t)dl->ndim;
    batch_tensor *self = calloc(1, sizeof(*self) + 2 * ndim * sizeof(int64_t));
    if (self == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *copy = *dl;
    copy->shape = self->extents;
    copy->strides = self->extents + ndim;
    int64_t step = 1;
    for (size_t i = ndim; i-- > 0;) {
        copy->shape[i] = dl->shape[i];
        copy->strides[i] = dl->strides != NULL ? dl->strides[i] : step;
        step *= dl->shape[i];
    }
    rbc_batch_retain(batch);
    self->batch = batch;
    return self;
}

static PyObject *exchange_field(const DLPackExchangeAPI *api, rbc_batch *batch,
                                const DLTensor *dl) {
    DLTensor copy;
    batch_tensor *self = new_batch_tensor(batch, dl, &copy);
    if (self == NULL) {
        return NULL;
    }
    DLManagedTensorVersioned *managed = &self->managed.versioned;
    managed->version = (DLPackVersion){DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
    managed->manager_ctx = self;
    managed->deleter = delete_versioned;
    managed->dl_tensor = copy;
    void *object = NULL;
    if (api->managed_tensor_to_py_object_no_sync(managed, &object) != 0) {
        return NULL;
    }
    return object;
}

static void delete_capsule(PyObject *capsule) {
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        DLManagedTensor *managed = PyCapsule_GetPointer(capsule, "dltensor");
        managed->deleter(managed);
    }
}

static PyObject *legacy_field(PyObject *from_dlpack, rbc_batch *batch, const DLTensor *dl) {
    DLTensor copy;
    batch_tensor *self = new_batch_tensor(batch, dl, &copy);
    if (self == NULL) {
        return NULL;
    }
    DLManagedTensor *managed = &self->managed.legacy;
    managed->manager_ctx = self;
    managed->deleter = delete_legacy;
    managed->dl_tensor = copy;
    PyObject *capsule = PyCapsule_New(managed, "dltensor", delete_capsule);
    if (capsule == NULL) {
        delete_legacy(managed);
        return NULL;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(from_dlpack, capsule, NULL);
    Py_DECREF(capsule);
    return result;
}

PyObject *field_tensor(module_state *state, const delivery *how, rbc_batch *batch,
                       const rbc_field *field) {
    if (how->asarray != NULL) {
        return numpy_field(state, how->asarray, batch, &field->tensor);
    }
    return how->api != NULL ? exchange_field(how->api, batch, &field->tensor)
                            : legacy_field(how->from_dlpack, batch, &field->tensor);
}

static PyObject *text_list(rbc_batch *batch, int32_t index, int64_t first, int64_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (int64_t i = 0; list != NULL && i < count; ++i) {
        uint64_t num_bytes = 0;
        const char *text = rbc_batch_text(batch, index, first + i, &num_bytes);
        PyObject *string = PyUnicode_DecodeUTF8(text != NULL ? text : "", (Py_ssize_t)num_bytes,
                                                "backslashreplace");
        if (string == NULL || PyList_SetItem(list, (Py_ssize_t)i, string) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *text_rows(rbc_batch *batch, int32_t index, const DLTensor *dl) {
    const int64_t rows = dl->ndim > 0 ? dl->shape[0] : 1;
    if (dl->ndim < 2) {
        return text_list(batch, index, 0, rows);
    }
    PyObject *list = PyList_New((Py_ssize_t)rows);
    for (int64_t i = 0; list != NULL && i < rows; ++i) {
        PyObject *row = text_list(batch, index, i * dl->shape[1], dl->shape[1]);
        if (row == NULL || PyList_SetItem(list, (Py_ssize_t)i, row) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

PyObject *field_text(PyObject *text_type, rbc_batch *batch, int32_t index, const rbc_field *field) {
    PyObject *list = text_rows(batch, index, &field->tensor);
    PyObject *text =
        list == NULL ? NULL : PyObject_CallFunctionObjArgs(text_type, list, (PyObject *)NULL);
    Py_XDECREF(list);
    return text;
}

/* ---- batches on a device ------------------------------------------------------------------------
 */

#define HELD_CAPSULE "robocache.batch"

static void release_held(PyObject *capsule) {
    rbc_batch *batch = PyCapsule_GetPointer(capsule, HELD_CAPSULE);
    rbc_batch_release(&batch);
}

bool batch_hold(rbc_batch *batch, PyObject *dict) {
    PyObject *capsule = PyCapsule_New(batch, HELD_CAPSULE, release_held);
    if (capsule == NULL) {
        return false;
    }
    rbc_batch_retain(batch);
    const bool is_set = PyObject_SetAttrString(dict, "_native", capsule) == 0;
    Py_DECREF(capsule);
    return is_set;
}

PyObject *batch_order(PyObject *module, PyObject *args) {
    PyObject *capsule = NULL;
    unsigned long long stream = 0;
    rbc_error err;
    if (!PyArg_ParseTuple(args, "OK", &capsule, &stream)) {
        return NULL;
    }
    rbc_batch *batch = PyCapsule_GetPointer(capsule, HELD_CAPSULE);
    if (batch == NULL) {
        return NULL;
    }
    if (rbc_batch_order(batch, (void *)(uintptr_t)stream, &err) !=
        RBC_OK) { // NOLINT(performance-no-int-to-ptr)
        return raise_error(state_of_module(module), &err);
    }
    Py_RETURN_NONE;
}
