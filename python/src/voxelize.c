#include "resample.h"

#include <stdlib.h>

enum {
    POINTS,
    GRID_SIZE,
    VOXEL_SIZE,
    ORIGIN,
    FEATURES,
    MODE,
    LENGTHS,
    RETURN_COUNTS,
    RETURN_DROPPED,
    BACKEND,
    OUT,
    NUM_VALUES
};

static const signature voxelize_signature = {
    "voxelize_point_cloud",
    4,
    3,
    NUM_VALUES,
    {NAME_points, NAME_grid_size, NAME_voxel_size, NAME_origin, NAME_features, NAME_mode,
     NAME_lengths, NAME_return_counts, NAME_return_dropped, NAME_backend, NAME_out}};

typedef struct voxelize_call {
    rbc_voxelize_params params;
    tensor points, features, lengths;
    tensor out, counts, dropped;
    tensor workspace;     /* on a device */
    void *host_workspace; /* on the CPU */
    bool has_features, has_lengths, has_counts, has_dropped;
} voxelize_call;

static bool parse_reduce(module_state *state, PyObject *object, rbc_voxel_reduce *reduce) {
    static const choice choices[] = {{NAME_occupancy, RBC_VOXEL_OCCUPANCY},
                                     {NAME_count, RBC_VOXEL_COUNT},
                                     {NAME_sum, RBC_VOXEL_SUM},
                                     {NAME_mean, RBC_VOXEL_MEAN},
                                     {NAME_max, RBC_VOXEL_MAX},
                                     {NAME_min, RBC_VOXEL_MIN}};
    int chosen = (int)*reduce;
    const bool ok = PARSE_CHOICE(state, object, "mode", choices, &chosen);
    *reduce = (rbc_voxel_reduce)chosen;
    return ok;
}

static bool read_inputs(module_state *state, PyObject *const *values, voxelize_call *call) {
    rbc_voxelize_params *params = &call->params;
    *params = (rbc_voxelize_params)RBC_VOXELIZE_PARAMS_INIT;
    params->has_origin = values[ORIGIN] != NULL;
    call->has_features = values[FEATURES] != NULL;
    call->has_lengths = values[LENGTHS] != NULL;
    return parse_reduce(state, values[MODE], &params->reduce) &&
           parse_int3(state, values[GRID_SIZE], "grid_size", params->grid_size) &&
           parse_double3(state, values[VOXEL_SIZE], "voxel_size", params->voxel_size) &&
           (!params->has_origin ||
            parse_double3(state, values[ORIGIN], "origin", params->origin)) &&
           parse_bool(values[RETURN_COUNTS], &call->has_counts) &&
           parse_bool(values[RETURN_DROPPED], &call->has_dropped) &&
           tensor_read(state, values[POINTS], "points", NULL, &call->points) &&
           (!call->has_features ||
            tensor_read(state, values[FEATURES], "features", &call->points, &call->features)) &&
           (!call->has_lengths ||
            tensor_read_lengths(state, values[LENGTHS], "lengths", &call->points, &call->lengths));
}

static DLDataType output_dtype(const voxelize_call *call) {
    switch (call->params.reduce) {
    case RBC_VOXEL_OCCUPANCY:
        return (DLDataType){kDLUInt, 8, 1};
    case RBC_VOXEL_COUNT:
        return (DLDataType){kDLInt, 32, 1};
    default:
        return call->features.dl.dtype;
    }
}

/* What the library checks too, but outputs are allocated before it is called. */
static bool output_shape(module_state *state, const voxelize_call *call, int64_t shape[5],
                         int32_t *grid_ndim, int32_t *ndim) {
    const DLTensor *points = &call->points.dl;
    const bool reduces_features = call->params.reduce >= RBC_VOXEL_SUM;
    if (points->ndim != 2 && points->ndim != 3) {
        raise_value(state, "points: %d axes found, wanted [N, 3] or [B, N, 3]", (int)points->ndim);
        return false;
    }
    if (reduces_features && !call->has_features) {
        raise_value(state, "features: none found, wanted [N, F] or [B, N, F] for this mode");
        return false;
    }
    if (!reduces_features && call->has_features) {
        raise_value(state, "features: modes 'occupancy' and 'count' take none");
        return false;
    }
    if (reduces_features && call->features.dl.ndim != points->ndim) {
        raise_value(state, "features: %d axes found, wanted %d as points have",
                    (int)call->features.dl.ndim, (int)points->ndim);
        return false;
    }
    int32_t axis = 0;
    int64_t cells = 1;
    if (points->ndim == 3) {
        shape[axis++] = points->shape[0];
    }
    for (int i = 0; i < 3; i++) {
        const int64_t extent = call->params.grid_size[i];
        if (extent < 1 || !rbc__mul_size(cells, extent, &cells)) {
            raise_value(state,
                        "grid_size[%d]: %lld found, wanted at least 1 and 2^63 cells at most", i,
                        (long long)extent);
            return false;
        }
        shape[axis++] = extent;
    }
    *grid_ndim = axis;
    if (reduces_features) {
        shape[axis++] = call->features.dl.shape[call->features.dl.ndim - 1];
    }
    *ndim = axis;
    return true;
}

static bool make_outputs(module_state *state, PyObject *out, voxelize_call *call) {
    int64_t shape[5];
    int32_t grid_ndim = 0;
    int32_t ndim = 0;
    if (!output_shape(state, call, shape, &grid_ndim, &ndim)) {
        return false;
    }
    const tensor *points = &call->points;
    const DLDataType dtype = output_dtype(call);
    const int64_t batch = points->dl.ndim == 3 ? points->dl.shape[0] : 1;
    return (out != NULL ? tensor_read_output(state, out, points, dtype, ndim, shape, &call->out)
                        : tensor_create(state, points, dtype, ndim, shape, &call->out)) &&
           (!call->has_counts || tensor_create(state, points, (DLDataType){kDLInt, 32, 1},
                                               grid_ndim, shape, &call->counts)) &&
           (!call->has_dropped ||
            tensor_create(state, points, (DLDataType){kDLInt, 64, 1}, 1, &batch, &call->dropped));
}

/* Scratch memory: plain on the CPU, from the framework's allocator elsewhere. */
static bool make_workspace(module_state *state, rbc_context *context, voxelize_call *call,
                           int64_t *bytes, DLTensor *workspace) {
    uint64_t needed = 0;
    rbc_error err;
    if (rbc_voxelize_workspace(context, &call->points.dl,
                               call->has_features ? &call->features.dl : NULL, &call->params,
                               &needed, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    *bytes = (int64_t)needed;
    if (needed == 0) {
        return true;
    }
    const DLDataType byte = {kDLUInt, 8, 1};
    if (call->points.dl.device.device_type != kDLCPU) {
        const bool ok = tensor_create(state, &call->points, byte, 1, bytes, &call->workspace);
        *workspace = call->workspace.dl;
        return ok;
    }
    if (needed > INT64_MAX - 64) {
        PyErr_NoMemory();
        return false;
    }
    call->host_workspace = aligned_alloc(64, ((size_t)needed + 63) / 64 * 64);
    if (call->host_workspace == NULL) {
        PyErr_NoMemory();
        return false;
    }
    *workspace = (DLTensor){.data = call->host_workspace,
                            .device = {kDLCPU, 0},
                            .ndim = 1,
                            .dtype = byte,
                            .shape = bytes};
    return true;
}

static bool run(module_state *state, voxelize_call *call) {
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    int64_t bytes = 0;
    DLTensor workspace = {0};
    if (!make_workspace(state, context, call, &bytes, &workspace)) {
        Py_DECREF(capsule);
        return false;
    }
    const int64_t elements =
        rbc__tensor_num_elements(&call->points.dl) + rbc__tensor_num_elements(&call->out.dl);
    PyThreadState *thread = worth_releasing(elements) ? PyEval_SaveThread() : NULL;
    rbc_error err;
    const rbc_status status = rbc_voxelize(
        context, &call->points.dl, call->has_features ? &call->features.dl : NULL,
        call->has_lengths ? &call->lengths.dl : NULL, &call->params, &call->out.dl,
        call->has_counts ? &call->counts.dl : NULL, call->has_dropped ? &call->dropped.dl : NULL,
        bytes > 0 ? &workspace : NULL, call->points.stream, &err);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

static PyObject *pack_outputs(module_state *state, voxelize_call *call) {
    PyObject *out = tensor_object(state, &call->out);
    if (out == NULL || (!call->has_counts && !call->has_dropped)) {
        return out;
    }
    PyObject *counts = call->has_counts ? tensor_object(state, &call->counts) : NULL;
    PyObject *dropped = call->has_dropped ? tensor_object(state, &call->dropped) : NULL;
    PyObject *result = NULL;
    if (!PyErr_Occurred()) {
        result = counts != NULL && dropped != NULL
                     ? PyTuple_Pack(3, out, counts, dropped)
                     : PyTuple_Pack(2, out, counts != NULL ? counts : dropped);
    }
    Py_DECREF(out);
    Py_XDECREF(counts);
    Py_XDECREF(dropped);
    return result;
}

static PyObject *call_native(module_state *state, PyObject *const *values, backend_choice backend,
                             voxelize_call *call) {
    bool needs_grad = false;
    if (!read_inputs(state, values, call) ||
        !check_backend(state, backend, &call->points, "points") ||
        (call->has_features && !tensor_needs_grad(state, &call->features, &needs_grad))) {
        return NULL;
    }
    if (needs_grad) {
        return call_differentiable(state, &voxelize_signature, values);
    }
    if (!make_outputs(state, values[OUT], call) || !run(state, call)) {
        return NULL;
    }
    return pack_outputs(state, call);
}

PyObject *voxelize_point_cloud(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    module_state *state = state_of_module(module);
    PyObject *values[NUM_VALUES];
    backend_choice backend = BACKEND_AUTO;
    if (!parse_args(state, &voxelize_signature, args, nargs, kwnames, values) ||
        !parse_backend(state, values[BACKEND], &backend)) {
        return NULL;
    }
    if (backend == BACKEND_PYTORCH) {
        return call_reference(state, &voxelize_signature, values);
    }
    voxelize_call call = {0};
    PyObject *result = call_native(state, values, backend, &call);
    tensor_release(&call.points);
    tensor_release(&call.features);
    tensor_release(&call.lengths);
    tensor_release(&call.out);
    tensor_release(&call.counts);
    tensor_release(&call.dropped);
    tensor_release(&call.workspace);
    free(call.host_workspace);
    return result;
}
