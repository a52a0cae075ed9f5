/* Operations bound to their tensors: arguments are read once, then run as often as wanted. */
#ifndef RBC_PYTHON_PLAN_H
#define RBC_PYTHON_PLAN_H

#include "tensor.h"

/* How one operation is bound. `call` is zeroed memory of `call_bytes`, released in any case. */
typedef struct plan_operation {
    name_id name;
    size_t call_bytes;
    /* Reads the arguments and allocates what is to be; the outputs, or NULL. */
    PyObject *(*bind)(module_state *state, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, void *call);
    bool (*run)(module_state *state, void *call);
    void (*release)(void *call);
    /* The tensor whose framework says which stream to work on. */
    tensor *(*lead)(void *call);
} plan_operation;

extern const plan_operation resample_plan;
extern const plan_operation fuse_plan;
extern const plan_operation voxelize_plan;
extern const plan_operation sparse_plan;
extern const plan_operation voxelize_depth_plan;
extern const plan_operation depth_to_points_plan;

/* Makes a tensor fit to be used after the call that read it: an output becomes its framework's
 * object, and extents are kept here. A tensor never read is left alone. */
bool tensor_pin(tensor *t);
/* Refuses what a plan cannot do: the reference, and tensors that require a gradient. */
bool plan_check(module_state *state, backend_choice backend, bool needs_grad);

#endif
