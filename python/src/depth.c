#include "operation.h"
#include "voxel.h"

/* A depth image with its camera, shared by both functions. */
typedef struct depth_input {
    tensor depth, intrinsics, pose;
    bool has_pose;
    rbc_depth_params params;
} depth_input;

typedef struct depth_args {
    PyObject *depth, *intrinsics, *pose, *depth_scale, *min_depth, *max_depth, *pixel_offset;
} depth_args;

static bool depth_read(module_state *state, const depth_args *args, depth_input *out) {
    out->params = (rbc_depth_params)RBC_DEPTH_PARAMS_INIT;
    out->has_pose = args->pose != NULL;
    if (!tensor_read(state, args->depth, "depth", NULL, &out->depth) ||
        !tensor_read(state, args->intrinsics, "intrinsics", &out->depth, &out->intrinsics) ||
        (out->has_pose && !tensor_read(state, args->pose, "pose", &out->depth, &out->pose))) {
        return false;
    }
    const DLTensor *depth = &out->depth.dl;
    if (depth->ndim != 2 && depth->ndim != 3) {
        raise_value(state, "depth: %d axes found, wanted [H, W] or [B, H, W]", (int)depth->ndim);
        return false;
    }
    if (is_floating(depth->dtype)) {
        out->params.depth_scale = 1.0;
    }
    return parse_double(state, args->depth_scale, "depth_scale", &out->params.depth_scale) &&
           parse_double(state, args->min_depth, "min_depth", &out->params.min_depth) &&
           parse_double(state, args->max_depth, "max_depth", &out->params.max_depth) &&
           parse_double(state, args->pixel_offset, "pixel_offset", &out->params.pixel_offset);
}

static void depth_release(depth_input *input) {
    tensor_release(&input->depth);
    tensor_release(&input->intrinsics);
    tensor_release(&input->pose);
}

static bool depth_pin(depth_input *input) {
    return tensor_pin(&input->depth) && tensor_pin(&input->intrinsics) && tensor_pin(&input->pose);
}

enum {
    DEPTH,
    INTRINSICS,
    POSE,
    DEPTH_SCALE,
    MIN_DEPTH,
    MAX_DEPTH,
    PIXEL_OFFSET,
    COMPACT,
    BACKEND,
    NUM_VALUES
};

static const signature points_signature = {"depth_to_points",
                                           3,
                                           2,
                                           NUM_VALUES,
                                           {NAME_depth, NAME_intrinsics, NAME_pose,
                                            NAME_depth_scale, NAME_min_depth, NAME_max_depth,
                                            NAME_pixel_offset, NAME_compact, NAME_backend}};

typedef struct points_call {
    depth_input input;
    tensor points, lengths;
    bool compact;
} points_call;

_Static_assert(sizeof(points_call) <= OPERATION_CALL_BYTES, "room for a call");

static bool create_points(module_state *state, PyObject *const *values, void *memory) {
    (void)values;
    points_call *call = memory;
    const DLTensor *depth = &call->input.depth.dl;
    const int32_t ndim = depth->ndim;
    const int64_t height = depth->shape[ndim - 2];
    const int64_t width = depth->shape[ndim - 1];
    const int64_t batch = ndim == 3 ? depth->shape[0] : 1;
    int64_t pixels = 0;
    if (!rbc__mul_size(height, width, &pixels)) {
        raise_value(state, "depth: more than 2^63 pixels");
        return false;
    }
    int64_t shape[4];
    int32_t axis = 0;
    if (ndim == 3) {
        shape[axis++] = batch;
    }
    if (call->compact) {
        shape[axis++] = pixels;
    } else {
        shape[axis++] = height;
        shape[axis++] = width;
    }
    shape[axis++] = 3;
    return tensor_create(state, &call->input.depth, (DLDataType){kDLFloat, 32, 1}, axis, shape,
                         &call->points) &&
           (!call->compact || tensor_create(state, &call->input.depth, (DLDataType){kDLInt, 32, 1},
                                            1, &batch, &call->lengths));
}

static bool run_points(module_state *state, void *memory) {
    points_call *call = memory;
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    depth_input *input = &call->input;
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = rbc_depth_to_points(
        context, &input->depth.dl, &input->intrinsics.dl, input->has_pose ? &input->pose.dl : NULL,
        &input->params, &call->points.dl, call->compact ? &call->lengths.dl : NULL,
        input->depth.stream, &err);
    PyEval_RestoreThread(thread);
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

static PyObject *pack_points(module_state *state, void *memory) {
    points_call *call = memory;
    PyObject *points = tensor_object(state, &call->points);
    if (points == NULL || !call->compact) {
        return points;
    }
    PyObject *lengths = tensor_object(state, &call->lengths);
    PyObject *result = lengths == NULL ? NULL : PyTuple_Pack(2, points, lengths);
    Py_DECREF(points);
    Py_XDECREF(lengths);
    return result;
}

static void release_points(void *memory) {
    points_call *call = memory;
    depth_release(&call->input);
    tensor_release(&call->points);
    tensor_release(&call->lengths);
}

static bool pin_points(void *memory) {
    points_call *call = memory;
    return depth_pin(&call->input) && tensor_pin(&call->points) && tensor_pin(&call->lengths);
}

static bool read_points(module_state *state, PyObject **v, void *memory, bool *needs_grad) {
    points_call *call = memory;
    const depth_args camera = {v[DEPTH],     v[INTRINSICS], v[POSE],        v[DEPTH_SCALE],
                               v[MIN_DEPTH], v[MAX_DEPTH],  v[PIXEL_OFFSET]};
    return depth_read(state, &camera, &call->input) && parse_bool(v[COMPACT], &call->compact) &&
           tensor_needs_grad(state, &call->input.depth, needs_grad);
}

static tensor *lead_of_points(void *memory) {
    return &((points_call *)memory)->input.depth;
}

const operation depth_to_points_operation = {
    .name = NAME_depth_to_points,
    .signature = &points_signature,
    .backend_at = BACKEND,
    .call_bytes = sizeof(points_call),
    .read = read_points,
    .create = create_points,
    .run = run_points,
    .pack = pack_points,
    .pin = pin_points,
    .release = release_points,
    .lead = lead_of_points,
    .lead_name = "depth",
    .with_gradient = call_reference,
};

PyObject *depth_to_points(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames) {
    return operation_call(&depth_to_points_operation, module, args, nargs, kwnames);
}

enum {
    VOXEL_DEPTH,
    VOXEL_INTRINSICS,
    VOXEL_GRID_SIZE,
    VOXEL_VOXEL_SIZE,
    VOXEL_ORIGIN,
    VOXEL_POSE,
    VOXEL_FEATURES,
    VOXEL_MODE,
    VOXEL_DEPTH_SCALE,
    VOXEL_MIN_DEPTH,
    VOXEL_MAX_DEPTH,
    VOXEL_PIXEL_OFFSET,
    VOXEL_RETURN_COUNTS,
    VOXEL_RETURN_DROPPED,
    VOXEL_BACKEND,
    VOXEL_OUT,
    VOXEL_VALUES
};

static const signature voxelize_signature = {
    "voxelize_depth",
    5,
    4,
    VOXEL_VALUES,
    {NAME_depth, NAME_intrinsics, NAME_grid_size, NAME_voxel_size, NAME_origin, NAME_pose,
     NAME_features, NAME_mode, NAME_depth_scale, NAME_min_depth, NAME_max_depth, NAME_pixel_offset,
     NAME_return_counts, NAME_return_dropped, NAME_backend, NAME_out}};

typedef struct voxelize_call {
    depth_input input;
    tensor features;
    bool has_features;
    grid_outputs grid;
    workspace space;
} voxelize_call;

_Static_assert(sizeof(voxelize_call) <= OPERATION_CALL_BYTES, "room for a call");

static bool run_voxelize(module_state *state, void *memory) {
    voxelize_call *call = memory;
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    depth_input *input = &call->input;
    grid_outputs *grid = &call->grid;
    const DLTensor *features = call->has_features ? &call->features.dl : NULL;
    uint64_t bytes = 0;
    rbc_error err;
    rbc_status status = rbc_voxelize_depth_workspace(context, &input->depth.dl, features,
                                                     &grid->params, &bytes, &err);
    if (status == RBC_OK && call->space.bytes == 0 &&
        !workspace_create(state, &input->depth, bytes, &call->space)) {
        Py_DECREF(capsule);
        return false;
    }
    if (status == RBC_OK) {
        PyThreadState *thread = PyEval_SaveThread();
        status = rbc_voxelize_depth(context, &input->depth.dl, &input->intrinsics.dl,
                                    input->has_pose ? &input->pose.dl : NULL, &input->params,
                                    features, &grid->params, &grid->out.dl,
                                    grid->has_counts ? &grid->counts.dl : NULL,
                                    grid->has_dropped ? &grid->dropped.dl : NULL,
                                    workspace_tensor(&call->space), input->depth.stream, &err);
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

static bool read_voxelize(module_state *state, PyObject **v, void *memory, bool *needs_grad) {
    voxelize_call *call = memory;
    const depth_args camera = {v[VOXEL_DEPTH],       v[VOXEL_INTRINSICS], v[VOXEL_POSE],
                               v[VOXEL_DEPTH_SCALE], v[VOXEL_MIN_DEPTH],  v[VOXEL_MAX_DEPTH],
                               v[VOXEL_PIXEL_OFFSET]};
    const grid_args args = {.grid_size = v[VOXEL_GRID_SIZE],
                            .voxel_size = v[VOXEL_VOXEL_SIZE],
                            .origin = v[VOXEL_ORIGIN],
                            .mode = v[VOXEL_MODE],
                            .return_counts = v[VOXEL_RETURN_COUNTS],
                            .return_dropped = v[VOXEL_RETURN_DROPPED]};
    call->has_features = v[VOXEL_FEATURES] != NULL;
    tensor *depth = &call->input.depth;
    tensor *features = call->has_features ? &call->features : NULL;
    return depth_read(state, &camera, &call->input) && grid_read(state, &args, &call->grid) &&
           (features == NULL ||
            tensor_read(state, v[VOXEL_FEATURES], "features", depth, features)) &&
           grid_check_features(state, &call->grid, features) &&
           (features == NULL || tensor_needs_grad(state, features, needs_grad));
}

static bool create_voxelize(module_state *state, PyObject *const *v, void *memory) {
    voxelize_call *call = memory;
    tensor *depth = &call->input.depth;
    const int64_t batch = depth->dl.ndim == 3 ? depth->dl.shape[0] : -1;
    return grid_create(state, depth, batch, call->has_features ? &call->features : NULL,
                       v[VOXEL_OUT], &call->grid);
}

static void release_voxelize(void *memory) {
    voxelize_call *call = memory;
    depth_release(&call->input);
    tensor_release(&call->features);
    grid_release(&call->grid);
    workspace_release(&call->space);
}

static PyObject *pack_voxelize(module_state *state, void *memory) {
    return grid_pack(state, &((voxelize_call *)memory)->grid);
}

static bool pin_voxelize(void *memory) {
    voxelize_call *call = memory;
    return depth_pin(&call->input) && tensor_pin(&call->features) && grid_pin(&call->grid);
}

static tensor *lead_of_voxelize(void *memory) {
    return &((voxelize_call *)memory)->input.depth;
}

const operation voxelize_depth_operation = {
    .name = NAME_voxelize_depth,
    .signature = &voxelize_signature,
    .backend_at = VOXEL_BACKEND,
    .call_bytes = sizeof(voxelize_call),
    .read = read_voxelize,
    .create = create_voxelize,
    .run = run_voxelize,
    .pack = pack_voxelize,
    .pin = pin_voxelize,
    .release = release_voxelize,
    .lead = lead_of_voxelize,
    .lead_name = "depth",
    .with_gradient = call_reference,
};

PyObject *voxelize_depth(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames) {
    return operation_call(&voxelize_depth_operation, module, args, nargs, kwnames);
}
