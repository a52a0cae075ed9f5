#include "extension.h"
#include "objects/objects.h"
#include "operations/operation.h"

typedef struct plan_object {
    PyObject_HEAD const operation *operation;
    void *call;
    tensor *like; /* of `call` */
    PyObject *outputs;
    PyObject *owner; /* the module, whose state `call` uses */
    module_state *state;
    rbc__cuda_capture launches; /* empty on the CPU */
    bool is_captured;
    bool is_running; /* guarded by the GIL; a call leaves it while the operation runs */
} plan_object;

static const operation *const operations[] = {
    &resample_operation, &fuse_operation,           &fuse_multimodal_operation, &voxelize_operation,
    &sparse_operation,   &voxelize_depth_operation, &depth_to_points_operation};

static const operation *find_operation(module_state *state, PyObject *function) {
    PyObject *name = PyObject_GetAttrString(function, "__name__");
    PyErr_Clear();
    for (size_t i = 0; name != NULL && i < sizeof(operations) / sizeof(*operations); ++i) {
        if (PyUnicode_Check(name) &&
            PyUnicode_Compare(name, state->names[operations[i]->name]) == 0) {
            Py_DECREF(name);
            return operations[i];
        }
    }
    Py_XDECREF(name);
    raise_value(state,
                "function: found %R, wanted resample_trajectories, fuse_streams, fuse_multimodal, "
                "voxelize_point_cloud, voxelize_sparse, voxelize_depth or depth_to_points",
                function);
    return NULL;
}

static void plan_dealloc(PyObject *self) {
    plan_object *plan = (plan_object *)(void *)self;
    if (plan->call != NULL) {
        plan->operation->release(plan->call);
        PyMem_Free(plan->call);
    }
    rbc__cuda_capture_free(&plan->launches);
    Py_XDECREF(plan->outputs);
    Py_XDECREF(plan->owner);
    free_instance(self);
}

PyObject *create_plan(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames) {
    module_state *state = state_of_module(module);
    if (nargs < 1) {
        return raise_type(state, "Plan() needs a function and its arguments");
    }
    const operation *op = find_operation(state, args[0]);
    if (op == NULL) {
        return NULL;
    }
    plan_object *plan = PyObject_New(plan_object, state->plan_type);
    if (plan == NULL) {
        return NULL;
    }
    plan->operation = op;
    plan->outputs = NULL;
    Py_INCREF(module);
    plan->owner = module;
    plan->state = state;
    plan->launches = (rbc__cuda_capture){0};
    plan->is_running = false;
    plan->call = PyMem_Calloc(1, op->call_bytes);
    if (plan->call == NULL) {
        PyErr_NoMemory();
    } else {
        rbc__cuda_capture_begin(&plan->launches);
        plan->outputs = operation_bind(op, state, args + 1, nargs - 1, kwnames, plan->call);
        rbc__cuda_capture_end();
    }
    if (plan->outputs != NULL) {
        tensor *like = op->like(plan->call);
        plan->like = like;
        plan->is_captured = rbc__cuda_capture_is_whole(&plan->launches);
        if (like->framework.kind != FRAMEWORK_DLPACK || !like->read_only) {
            return (PyObject *)plan;
        }
        raise_type(state, "Plan: found %R, wanted arrays that can be written to",
                   (PyObject *)like->framework.type);
    }
    Py_DECREF(plan);
    return NULL;
}

/* The stream may be another one at each call. */
static bool find_cu_stream(module_state *state, tensor *like) {
    if (like->framework.kind == FRAMEWORK_EXCHANGE) {
        return exchange_cu_stream(like);
    }
    return like->dl.device.device_type == kDLCPU || dlpack_cu_stream(state, like);
}

static bool replay(module_state *state, plan_object *plan) {
    rbc_error err;
    if (rbc__cuda_replay(&plan->launches, plan->like->cu_stream, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    return true;
}

static PyObject *plan_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    plan_object *plan = (plan_object *)(void *)self;
    module_state *state = plan->state;
    if (PyTuple_Size(args) != 0 || (kwargs != NULL && PyDict_Size(kwargs) != 0)) {
        return raise_type(state, "a plan is called without arguments");
    }
    if (plan->is_running) {
        return raise_value(state, "Plan: found a call while another one runs, wanted one at a "
                                  "time: they share outputs and scratch memory, so make a plan "
                                  "for each thread");
    }
    plan->is_running = true;
    const bool ok =
        find_cu_stream(state, plan->like) &&
        (plan->is_captured ? replay(state, plan) : plan->operation->run(state, plan->call));
    plan->is_running = false;
    if (!ok) {
        return NULL;
    }
    Py_INCREF(plan->outputs);
    return plan->outputs;
}

static PyType_Slot plan_slots[] = {
    {Py_tp_dealloc, (void *)plan_dealloc},
    {Py_tp_call, (void *)plan_call},
    {0, NULL},
};

PyType_Spec plan_spec = {
    .name = "robocache._core.BoundPlan",
    .basicsize = sizeof(plan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = plan_slots,
};
