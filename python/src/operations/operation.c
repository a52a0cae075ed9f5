#include "operations/operation.h"

#include <stdalign.h>
#include <stddef.h>
#include <string.h>

static bool read_call(const operation *op, module_state *state, PyObject **values,
                      backend_choice backend, void *call, bool *needs_grad) {
    return op->read(state, values, call, needs_grad) &&
           check_backend(state, backend, op->like(call), op->like_name);
}

/* Whether torch differentiates forwards now, in the course of the computation. */
static bool is_forward_mode(module_state *state, const tensor *like) {
    if (!like->framework.is_torch) {
        return false;
    }
    if (state->torch_forward_ad == NULL) {
        state->torch_forward_ad = PyImport_ImportModule("torch.autograd.forward_ad");
    }
    PyObject *level =
        state->torch_forward_ad == NULL
            ? NULL
            : PyObject_GetAttr(state->torch_forward_ad, state->names[NAME__current_level]);
    const bool is_on = level != NULL && PyLong_AsLong(level) >= 0;
    Py_XDECREF(level);
    PyErr_Clear();
    return is_on;
}

PyObject *operation_call(const operation *op, PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames) {
    module_state *state = state_of_module(module);
    PyObject *values[MAX_PARAMS];
    backend_choice backend = BACKEND_AUTO;
    if (!parse_args(state, op->signature, args, nargs, kwnames, values) ||
        !parse_backend(state, values[op->backend_at], &backend)) {
        return NULL;
    }
    if (backend == BACKEND_PYTORCH) {
        return call_reference(state, op->signature, values);
    }
    alignas(max_align_t) unsigned char call[OPERATION_CALL_BYTES];
    memset(call, 0, op->call_bytes);
    bool needs_grad = false;
    PyObject *result = NULL;
    state->has_no_memory = false;
    if (read_call(op, state, values, backend, call, &needs_grad)) {
        if (needs_grad || (backend == BACKEND_AUTO && is_forward_mode(state, op->like(call)))) {
            result = call_differentiable(state, op->signature, values);
        } else if (op->create(state, values, call) && op->run(state, call)) {
            result = op->pack(state, call);
        }
    }
    if (result == NULL && state->has_no_memory && backend == BACKEND_AUTO &&
        PyErr_ExceptionMatches(state->errors[RBC_ERROR_INVALID_ARGUMENT])) {
        /* The operator of robocache.torch calls with a backend once there are values. */
        state->has_no_memory = false;
        PyErr_Clear();
        result = call_differentiable(state, op->signature, values);
    }
    op->release(call);
    return result;
}

PyObject *operation_bind(const operation *op, module_state *state, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames, void *call) {
    PyObject *values[MAX_PARAMS];
    backend_choice backend = BACKEND_AUTO;
    bool needs_grad = false;
    if (!parse_args(state, op->signature, args, nargs, kwnames, values) ||
        !parse_backend(state, values[op->backend_at], &backend)) {
        return NULL;
    }
    if (backend == BACKEND_PYTORCH) {
        return raise_value(state,
                           "backend: 'pytorch' found, wanted 'cpu', 'cuda' or None for a plan");
    }
    if (!read_call(op, state, values, backend, call, &needs_grad)) {
        return NULL;
    }
    if (needs_grad) {
        return raise_value(state,
                           "Plan: a tensor requires a gradient, and plans record none: detach it");
    }
    PyObject *outputs = op->create(state, values, call) ? op->pack(state, call) : NULL;
    if (outputs != NULL && (!op->keep(call) || !op->run(state, call))) {
        Py_CLEAR(outputs);
    }
    return outputs;
}
