#include <string.h>

#include "operations/grid.h"
#include "operations/operation.h"
#include "operations/workspace.h"

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
    tensor points, features, lengths;
    bool has_features, has_lengths;
    grid_outputs grid;
    workspace scratch;
} voxelize_call;

_Static_assert(sizeof(voxelize_call) <= OPERATION_CALL_BYTES, "room for a call");

static bool read_inputs(module_state *state, PyObject **values, void *memory, bool *needs_grad) {
    voxelize_call *call = memory;
    const grid_args args = {.grid_size = values[GRID_SIZE],
                            .voxel_size = values[VOXEL_SIZE],
                            .origin = values[ORIGIN],
                            .mode = values[MODE],
                            .return_counts = values[RETURN_COUNTS],
                            .return_dropped = values[RETURN_DROPPED]};
    call->has_features = values[FEATURES] != NULL;
    call->has_lengths = values[LENGTHS] != NULL;
    if (!grid_read(state, &args, &call->grid) ||
        !tensor_read(state, values[POINTS], "points", NULL, &call->points) ||
        (call->has_features &&
         !tensor_read(state, values[FEATURES], "features", &call->points, &call->features)) ||
        (call->has_lengths && !tensor_read_small(state, values[LENGTHS], "lengths", RBC__I64,
                                                 &call->points, &call->lengths)) ||
        !grid_check_features(state, &call->grid, call->has_features ? &call->features : NULL)) {
        return false;
    }
    const int32_t ndim = call->points.dl.ndim;
    if (ndim != 2 && ndim != 3) {
        raise_value(state, "points: %d axes found, wanted [N, 3] or [B, N, 3]", (int)ndim);
        return false;
    }
    if (call->has_features && call->features.dl.ndim != ndim) {
        raise_value(state, "features: %d axes found, wanted %d as points have",
                    (int)call->features.dl.ndim, (int)ndim);
        return false;
    }
    return tensor_refuse_grad(state, &call->points, "points") &&
           (!call->has_features || tensor_needs_grad(state, &call->features, needs_grad));
}

static bool create(module_state *state, PyObject *const *values, void *memory) {
    voxelize_call *call = memory;
    const DLTensor *points = &call->points.dl;
    return grid_create(state, &call->points, points->ndim - 2, points->shape,
                       call->has_features ? &call->features : NULL, values[OUT], &call->grid);
}

static bool run(module_state *state, void *memory) {
    voxelize_call *call = memory;
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    const DLTensor *points = &call->points.dl;
    const DLTensor *features = call->has_features ? &call->features.dl : NULL;
    grid_outputs *grid = &call->grid;
    uint64_t bytes = 0;
    rbc_error err;
    rbc_status status =
        rbc_voxelize_workspace(context, points, features, &grid->params, &bytes, &err);
    if (status == RBC_OK && call->scratch.bytes == 0 &&
        !workspace_create(state, &call->points, bytes, &call->scratch)) {
        Py_DECREF(capsule);
        return false;
    }
    if (status == RBC_OK) {
        const int64_t elements =
            rbc__tensor_num_elements(points) + rbc__tensor_num_elements(&grid->out.dl);
        PyThreadState *thread = worth_releasing(elements) ? PyEval_SaveThread() : NULL;
        status =
            rbc_voxelize(context, points, features, call->has_lengths ? &call->lengths.dl : NULL,
                         &grid->params, &grid->out.dl, grid->has_counts ? &grid->counts.dl : NULL,
                         grid->has_dropped ? &grid->dropped.dl : NULL,
                         workspace_tensor(&call->scratch), call->points.cu_stream, &err);
        if (thread != NULL) {
            PyEval_RestoreThread(thread);
        }
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

static PyObject *pack(module_state *state, void *memory) {
    return grid_pack(state, &((voxelize_call *)memory)->grid);
}

static bool keep(void *memory) {
    voxelize_call *call = memory;
    return tensor_keep(&call->points) && tensor_keep(&call->features) &&
           tensor_keep(&call->lengths) && grid_keep(&call->grid);
}

static void release(void *memory) {
    voxelize_call *call = memory;
    tensor_release(&call->points);
    tensor_release(&call->features);
    tensor_release(&call->lengths);
    grid_release(&call->grid);
    workspace_release(&call->scratch);
}

static tensor *like(void *memory) {
    return &((voxelize_call *)memory)->points;
}

const operation voxelize_operation = {
    .name = NAME_voxelize_point_cloud,
    .signature = &voxelize_signature,
    .backend_at = BACKEND,
    .call_bytes = sizeof(voxelize_call),
    .read = read_inputs,
    .create = create,
    .run = run,
    .pack = pack,
    .keep = keep,
    .release = release,
    .like = like,
    .like_name = "points",
};

PyObject *voxelize_point_cloud(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames) {
    return operation_call(&voxelize_operation, module, args, nargs, kwnames);
}
