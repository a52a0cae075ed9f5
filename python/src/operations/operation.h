/* Operations as Python calls them: at once, or bound to their tensors by a plan. */
#ifndef RBC_PYTHON_OPERATION_H
#define RBC_PYTHON_OPERATION_H

#include "tensors/tensor.h"

/* Room for the state of any call. */
#define OPERATION_CALL_BYTES 8192

/* `call` is zeroed memory of `call_bytes`, released in any case. What the functions are given as
 * `values` are the borrowed arguments of `signature`. */
typedef struct operation {
    name_id name;
    const signature *signature;
    int backend_at; /* where the argument `backend` is */
    size_t call_bytes;
    /* Reads and checks the arguments; says whether a tensor requires a gradient. May put what
     * `call` holds in the place of an argument that can be read but once. */
    bool (*read)(module_state *state, PyObject **values, void *call, bool *needs_grad);
    /* Makes the outputs, or takes those given. */
    bool (*create)(module_state *state, PyObject *const *values, void *call);
    bool (*run)(module_state *state, void *call);
    /* The outputs as the caller gets them. */
    PyObject *(*pack)(module_state *state, void *call);
    /* tensor_keep() for all its tensors. */
    bool (*keep)(void *call);
    void (*release)(void *call);
    /* The tensor whose framework says where to work and on which stream, and its name in messages.
     */
    tensor *(*like)(void *call);
    const char *like_name;
} operation;

extern const operation resample_operation;
extern const operation fuse_operation;
extern const operation fuse_multimodal_operation;
extern const operation voxelize_operation;
extern const operation sparse_operation;
extern const operation voxelize_depth_operation;
extern const operation depth_to_points_operation;

PyObject *operation_call(const operation *op, PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames);

/* Reads the arguments, makes the outputs and runs once, so that op->run() can follow as often as
 * wanted. The outputs, or NULL; `call` is the caller's to release in either case. Refuses the
 * reference, and tensors that require a gradient. */
PyObject *operation_bind(const operation *op, module_state *state, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames, void *call);

#endif
