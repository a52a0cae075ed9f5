#include "operations/grid.h"
#include "operations/operation.h"
#include "operations/workspace.h"

/* A depth image with its camera, shared by both functions. A trailing axis of one is the channel of
 * a depth image; up to two axes may come before height and width, the library takes one. */
typedef struct depth_input {
    tensor depth, intrinsics, pose;
    bool has_pose;
    int32_t num_outer; /* axes before height and width */
    int64_t height, width;
    rbc_depth_params params;
} depth_input;

typedef struct depth_args {
    PyObject *depth, *intrinsics, *pose, *depth_scale, *min_depth, *max_depth, *pixel_offset;
} depth_args;

/* A tensor as the library takes it; shape and strides lie in it. */
typedef struct image_view {
    DLTensor dl;
    int64_t shape[TENSOR_MAX_DIMS], strides[TENSOR_MAX_DIMS];
} image_view;

/* The first two axes become one where there are `num_outer` 2; the axes behind `num_axes` go. */
static bool view_images(module_state *state, const DLTensor *t, const char *param,
                        int32_t num_outer, int32_t num_axes, image_view *out) {
    out->dl = *t;
    out->dl.shape = out->shape;
    out->dl.strides = out->strides;
    int64_t stride = 1;
    for (int32_t i = t->ndim - 1; i >= 0; --i) {
        out->shape[i] = t->shape[i];
        out->strides[i] = t->strides != NULL ? t->strides[i] : stride;
        stride *= t->shape[i];
    }
    out->dl.ndim = num_axes;
    if (num_outer < 2) {
        return true;
    }
    if (out->shape[0] > 1 && out->shape[1] > 1 &&
        out->strides[0] != out->shape[1] * out->strides[1]) {
        raise_value(state,
                    "%s: the first two axes have strides %lld and %lld, wanted images that follow "
                    "each other evenly: make it contiguous",
                    param, (long long)out->strides[0], (long long)out->strides[1]);
        return false;
    }
    /* The sizes' product was checked with the tensor. */
    out->strides[0] = out->shape[1] > 1 ? out->strides[1] : out->strides[0];
    out->shape[0] *= out->shape[1];
    for (int32_t i = 1; i + 1 < num_axes; ++i) {
        out->shape[i] = out->shape[i + 1];
        out->strides[i] = out->strides[i + 1];
    }
    out->dl.ndim = num_axes - 1;
    return true;
}

static bool read_images(module_state *state, depth_input *out) {
    const DLTensor *depth = &out->depth.dl;
    int32_t ndim = depth->ndim;
    if (ndim >= 3 && ndim <= TENSOR_MAX_DIMS && depth->shape[ndim - 1] == 1) {
        ndim--;
    }
    if (ndim < 2 || ndim > 4) {
        raise_value(
            state,
            "depth: %d axes found, wanted [H, W] or [H, W, 1], or with [B] or [B, T] before "
            "them",
            (int)depth->ndim);
        return false;
    }
    out->num_outer = ndim - 2;
    out->height = depth->shape[ndim - 2];
    out->width = depth->shape[ndim - 1];
    return true;
}

/* Intrinsics or a pose: one matrix, or one for each image. */
static bool check_matrix(module_state *state, const tensor *matrix, const char *param,
                         const depth_input *input) {
    const DLTensor *m = &matrix->dl;
    const DLTensor *depth = &input->depth.dl;
    bool ok = m->ndim == 2 || m->ndim == input->num_outer + 2;
    for (int32_t i = 0; ok && m->ndim > 2 && i < input->num_outer; ++i) {
        ok = m->shape[i] == depth->shape[i];
    }
    if (!ok) {
        char found[256];
        char wanted[256];
        raise_value(state, "%s: shape %s found, wanted one matrix, or one for each image of %s",
                    param, rbc__format_shape(found, sizeof found, m->ndim, m->shape),
                    rbc__format_shape(wanted, sizeof wanted, input->num_outer, depth->shape));
    }
    return ok;
}

static bool depth_read(module_state *state, const depth_args *args, depth_input *out) {
    out->params = (rbc_depth_params)RBC_DEPTH_PARAMS_INIT;
    out->has_pose = args->pose != NULL;
    if (!tensor_read(state, args->depth, "depth", NULL, &out->depth) || !read_images(state, out) ||
        !tensor_read_small(state, args->intrinsics, "intrinsics", RBC__F64, &out->depth,
                           &out->intrinsics) ||
        !check_matrix(state, &out->intrinsics, "intrinsics", out) ||
        (out->has_pose &&
         (!tensor_read_small(state, args->pose, "pose", RBC__F64, &out->depth, &out->pose) ||
          !check_matrix(state, &out->pose, "pose", out)))) {
        return false;
    }
    if (is_floating(out->depth.dl.dtype)) {
        out->params.depth_scale = 1.0;
    }
    return parse_double(state, args->depth_scale, "depth_scale", &out->params.depth_scale) &&
           parse_double(state, args->min_depth, "min_depth", &out->params.min_depth) &&
           parse_double(state, args->max_depth, "max_depth", &out->params.max_depth) &&
           parse_double(state, args->pixel_offset, "pixel_offset", &out->params.pixel_offset);
}

/* The images and matrices of a call as the library takes them. */
typedef struct depth_views {
    image_view depth, intrinsics, pose;
} depth_views;

static bool view_matrix(module_state *state, const tensor *matrix, const char *param,
                        int32_t num_outer, image_view *out) {
    return view_images(state, &matrix->dl, param, matrix->dl.ndim > 2 ? num_outer : 0,
                       matrix->dl.ndim, out);
}

static bool depth_view(module_state *state, const depth_input *input, depth_views *out) {
    return view_images(state, &input->depth.dl, "depth", input->num_outer, input->num_outer + 2,
                       &out->depth) &&
           view_matrix(state, &input->intrinsics, "intrinsics", input->num_outer,
                       &out->intrinsics) &&
           (!input->has_pose ||
            view_matrix(state, &input->pose, "pose", input->num_outer, &out->pose));
}

static void depth_release(depth_input *input) {
    tensor_release(&input->depth);
    tensor_release(&input->intrinsics);
    tensor_release(&input->pose);
}

static bool depth_pin(depth_input *input) {
    return tensor_keep(&input->depth) && tensor_keep(&input->intrinsics) &&
           tensor_keep(&input->pose);
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
    const depth_input *input = &call->input;
    int64_t pixels = 0;
    if (!rbc__mul_size(input->height, input->width, &pixels)) {
        raise_value(state, "depth: more than 2^63 pixels");
        return false;
    }
    int64_t shape[5] = {1};
    int32_t axis = 0;
    for (; axis < input->num_outer; ++axis) {
        shape[axis] = input->depth.dl.shape[axis];
    }
    if (call->compact && !tensor_create(state, &input->depth, (DLDataType){kDLInt, 32, 1},
                                        axis > 0 ? axis : 1, shape, &call->lengths)) {
        return false;
    }
    if (call->compact) {
        shape[axis++] = pixels;
    } else {
        shape[axis++] = input->height;
        shape[axis++] = input->width;
    }
    shape[axis++] = 3;
    return tensor_create(state, &input->depth, (DLDataType){kDLFloat, 32, 1}, axis, shape,
                         &call->points);
}

static bool run_points(module_state *state, void *memory) {
    points_call *call = memory;
    depth_input *input = &call->input;
    depth_views views;
    image_view points;
    image_view lengths;
    if (!depth_view(state, input, &views) ||
        !view_images(state, &call->points.dl, "points", input->num_outer, call->points.dl.ndim,
                     &points) ||
        (call->compact && !view_images(state, &call->lengths.dl, "lengths", input->num_outer,
                                       call->lengths.dl.ndim, &lengths))) {
        return false;
    }
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status =
        rbc_depth_to_points(context, &views.depth.dl, &views.intrinsics.dl,
                            input->has_pose ? &views.pose.dl : NULL, &input->params, &points.dl,
                            call->compact ? &lengths.dl : NULL, input->depth.cu_stream, &err);
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
    return depth_pin(&call->input) && tensor_keep(&call->points) && tensor_keep(&call->lengths);
}

static bool read_points(module_state *state, PyObject **v, void *memory, bool *needs_grad) {
    points_call *call = memory;
    const depth_args camera = {v[DEPTH],     v[INTRINSICS], v[POSE],        v[DEPTH_SCALE],
                               v[MIN_DEPTH], v[MAX_DEPTH],  v[PIXEL_OFFSET]};
    return depth_read(state, &camera, &call->input) &&
           parse_bool(state, v[COMPACT], "compact", &call->compact) &&
           tensor_needs_grad(state, &call->input.depth, needs_grad) &&
           tensor_needs_grad(state, &call->input.intrinsics, needs_grad) &&
           (!call->input.has_pose || tensor_needs_grad(state, &call->input.pose, needs_grad));
}

static tensor *like_of_points(void *memory) {
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
    .keep = pin_points,
    .release = release_points,
    .like = like_of_points,
    .like_name = "depth",
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
    workspace scratch;
} voxelize_call;

_Static_assert(sizeof(voxelize_call) <= OPERATION_CALL_BYTES, "room for a call");

static bool run_voxelize(module_state *state, void *memory) {
    voxelize_call *call = memory;
    depth_input *input = &call->input;
    grid_outputs *grid = &call->grid;
    const int32_t outer = input->num_outer;
    depth_views views;
    image_view features;
    image_view out;
    image_view counts;
    image_view dropped;
    if (!depth_view(state, input, &views) ||
        (call->has_features && !view_images(state, &call->features.dl, "features", outer,
                                            call->features.dl.ndim, &features)) ||
        !view_images(state, &grid->out.dl, "out", outer, grid->out.dl.ndim, &out) ||
        (grid->has_counts &&
         !view_images(state, &grid->counts.dl, "counts", outer, grid->counts.dl.ndim, &counts)) ||
        (grid->has_dropped && !view_images(state, &grid->dropped.dl, "dropped", outer,
                                           grid->dropped.dl.ndim, &dropped))) {
        return false;
    }
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    const DLTensor *given = call->has_features ? &features.dl : NULL;
    uint64_t bytes = 0;
    rbc_error err;
    rbc_status status =
        rbc_voxelize_depth_workspace(context, &views.depth.dl, given, &grid->params, &bytes, &err);
    if (status == RBC_OK && call->scratch.bytes == 0 &&
        !workspace_create(state, &input->depth, bytes, &call->scratch)) {
        Py_DECREF(capsule);
        return false;
    }
    if (status == RBC_OK) {
        PyThreadState *thread = PyEval_SaveThread();
        status = rbc_voxelize_depth(context, &views.depth.dl, &views.intrinsics.dl,
                                    input->has_pose ? &views.pose.dl : NULL, &input->params, given,
                                    &grid->params, &out.dl, grid->has_counts ? &counts.dl : NULL,
                                    grid->has_dropped ? &dropped.dl : NULL,
                                    workspace_tensor(&call->scratch), input->depth.cu_stream, &err);
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

/* Features are [H, W, F] with the axes before them that depth has. */
static bool check_features_of_images(module_state *state, const voxelize_call *call) {
    const DLTensor *features = &call->features.dl;
    const depth_input *input = &call->input;
    bool ok = features->ndim == input->num_outer + 3;
    for (int32_t i = 0; ok && i < input->num_outer + 2; ++i) {
        ok = features->shape[i] == input->depth.dl.shape[i];
    }
    if (!ok) {
        char found[256];
        char wanted[256];
        raise_value(
            state, "features: shape %s found, wanted channels behind %s",
            rbc__format_shape(found, sizeof found, features->ndim, features->shape),
            rbc__format_shape(wanted, sizeof wanted, input->num_outer + 2, input->depth.dl.shape));
    }
    return ok;
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
           (features == NULL || check_features_of_images(state, call)) &&
           tensor_refuse_grad(state, depth, "depth") &&
           (features == NULL || tensor_needs_grad(state, features, needs_grad));
}

static bool create_voxelize(module_state *state, PyObject *const *v, void *memory) {
    voxelize_call *call = memory;
    tensor *depth = &call->input.depth;
    return grid_create(state, depth, call->input.num_outer, depth->dl.shape,
                       call->has_features ? &call->features : NULL, v[VOXEL_OUT], &call->grid);
}

static void release_voxelize(void *memory) {
    voxelize_call *call = memory;
    depth_release(&call->input);
    tensor_release(&call->features);
    grid_release(&call->grid);
    workspace_release(&call->scratch);
}

static PyObject *pack_voxelize(module_state *state, void *memory) {
    return grid_pack(state, &((voxelize_call *)memory)->grid);
}

static bool pin_voxelize(void *memory) {
    voxelize_call *call = memory;
    return depth_pin(&call->input) && tensor_keep(&call->features) && grid_keep(&call->grid);
}

static tensor *like_of_voxelize(void *memory) {
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
    .keep = pin_voxelize,
    .release = release_voxelize,
    .like = like_of_voxelize,
    .like_name = "depth",
};

PyObject *voxelize_depth(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames) {
    return operation_call(&voxelize_depth_operation, module, args, nargs, kwnames);
}
