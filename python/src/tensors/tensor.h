/* Tensors of any framework as DLTensors, and outputs made by the framework of an input.
 * Interface of python/src/tensors. */
#ifndef RBC_PYTHON_TENSOR_H
#define RBC_PYTHON_TENSOR_H

#include "module/module.h"

#define TENSOR_MAX_DIMS 8

/* A view of a Python tensor, or a new one. Zero-initialise; tensor_release() at the end. It holds
 * what it views, and must not be moved: dl points into it. */
typedef struct tensor {
    DLTensor dl;
    framework framework;
    PyObject *object;                  /* the tensor; NULL while `managed` is not wrapped yet */
    PyObject *capsule;                 /* keeps memory, shape and strides, or NULL */
    DLManagedTensorVersioned *managed; /* new, not yet given to the framework */
    void *cu_stream;                   /* CUstream of the framework; of a call's first tensor */
    bool read_only;
    int64_t shape[TENSOR_MAX_DIMS], strides[TENSOR_MAX_DIMS];
} tensor;

/* Views `object`; `param` is for messages. With `like`, another framework than like's is an error:
 * nothing is copied. ArgumentTypeError where it is no tensor. */
bool tensor_read(module_state *state, PyObject *object, const char *param, const tensor *like,
                 tensor *out);
/* As tensor_read, for a few numbers (lengths, a matrix): a list, or an array of another framework,
 * becomes an array of like's, on its device and of `dtype`. */
bool tensor_read_small(module_state *state, PyObject *object, const char *param, rbc__dtype dtype,
                       const tensor *like, tensor *out);
/* As tensor_read; a list or tuple becomes an array of like's framework and of typed's dtype. */
bool tensor_read_list(module_state *state, PyObject *object, const char *param, const tensor *like,
                      const tensor *typed, tensor *out);
/* As tensor_read, for an output: the dtype and shape must be those given, and it must be writable.
 */
bool tensor_read_output(module_state *state, PyObject *object, const tensor *like, DLDataType dtype,
                        int32_t ndim, const int64_t *shape, tensor *out);

/* Allocates through the framework of `like`, on its device. */
bool tensor_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                   const int64_t *shape, tensor *out);
/* The Python object of a tensor, a new reference. */
PyObject *tensor_object(module_state *state, tensor *t);
/* Makes a tensor fit to be used after the call that read it: an output becomes its framework's
 * object, and extents are kept here. A tensor never read is left alone. */
bool tensor_keep(tensor *t);
void tensor_release(tensor *t);

/* Sets *needs where `values` is a torch tensor that requires a gradient and gradients are enabled.
 */
bool tensor_needs_grad(module_state *state, const tensor *values, bool *needs);
/* UnsupportedError where a tensor that voxels are made of requires one. */
bool tensor_refuse_grad(module_state *state, const tensor *t, const char *param);

/* Resolves `backend` for tensors where `data` is. */
bool check_backend(module_state *state, backend_choice backend, const tensor *data,
                   const char *param);

/* Whether so much work takes longer than to give up the GIL and take it again. */
static inline bool worth_releasing(int64_t elements) {
    return elements > 4096;
}

bool is_floating(DLDataType dtype);
const char *dtype_name(DLDataType dtype);

/* Frameworks: one source each. */
bool numpy_read(module_state *state, PyObject *object, const char *param, tensor *out);
/* The numpy.dtype of one element type, borrowed. */
PyObject *numpy_dtype(module_state *state, DLDataType dtype);
bool numpy_create(module_state *state, DLDataType dtype, int32_t ndim, const int64_t *shape,
                  tensor *out);
bool exchange_read(module_state *state, PyObject *object, const char *param, tensor *out);
/* Finds the stream that t's framework works on now. */
bool exchange_cu_stream(tensor *t);
bool exchange_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                     const int64_t *shape, tensor *out);
/* As exchange_create(), for torch on a CUDA device. */
bool torch_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                  const int64_t *shape, tensor *out);
bool exchange_find(module_state *state, PyTypeObject *type, framework *out);
bool dlpack_read(module_state *state, PyObject *object, const char *param, tensor *out);
bool dlpack_create(module_state *state, const tensor *like, DLDataType dtype, int32_t ndim,
                   const int64_t *shape, tensor *out);
/* Frees the tensor that dlpack_read() took out of a capsule; another object is left alone. */
void dlpack_release(PyObject *capsule);
/* Finds the stream of t's framework again. */
bool dlpack_cu_stream(module_state *state, tensor *t);
PyObject *dlpack_finish(module_state *state, tensor *t);
/* Numbers of any kind as a new array of like's framework, on its device. */
PyObject *dlpack_convert(module_state *state, PyObject *object, const char *param, rbc__dtype dtype,
                         const tensor *like);

#endif
