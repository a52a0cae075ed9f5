#include "operations/grid.h"
#include "operations/operation.h"
#include "operations/workspace.h"

enum {
    POINTS,
    VOXEL_SIZE,
    ORIGIN,
    GRID_SIZE,
    FEATURES,
    MODE,
    PRESET,
    UPPER,
    SCALE,
    MAX_POINTS,
    MAX_VOXELS,
    LENGTHS,
    OUTPUTS,
    BACKEND,
    NUM_VALUES
};

static const signature sparse_signature = {
    "voxelize_sparse",
    3,
    1,
    NUM_VALUES,
    {NAME_points, NAME_voxel_size, NAME_origin, NAME_grid_size, NAME_features, NAME_mode,
     NAME_preset, NAME_upper, NAME_scale, NAME_max_points, NAME_max_voxels, NAME_lengths,
     NAME_outputs, NAME_backend}};

/* Outputs in the order of rbc_voxelize_sparse_outputs. */
enum {
    COORDINATES,
    NUM_VOXELS,
    COUNTS,
    REDUCED,
    VOXELS,
    POINT_INDICES,
    POINT_TO_VOXEL,
    POINT_COORDINATES,
    DROPPED,
    ORIGINS,
    NUM_OUTPUTS
};

static const name_id output_names[NUM_OUTPUTS] = {
    NAME_coordinates, NAME_num_voxels,    NAME_counts,         NAME_features,
    NAME_voxels,      NAME_point_indices, NAME_point_to_voxel, NAME_point_coordinates,
    NAME_dropped,     NAME_origins};

typedef struct sparse_call {
    tensor points, features, lengths;
    bool has_features, has_lengths;
    rbc_voxelize_sparse_params params;
    int64_t max_voxels;
    bool wanted[NUM_OUTPUTS];
    tensor outputs[NUM_OUTPUTS];
    workspace scratch;
} sparse_call;

_Static_assert(sizeof(sparse_call) <= OPERATION_CALL_BYTES, "room for a call");

static bool parse_preset(module_state *state, PyObject *object, rbc_voxel_preset *preset) {
    static const choice choices[] = {{NAME_robocache, RBC_VOXEL_PRESET_ROBOCACHE},
                                     {NAME_mmcv, RBC_VOXEL_PRESET_MMCV},
                                     {NAME_spconv, RBC_VOXEL_PRESET_SPCONV},
                                     {NAME_open3d_voxelize, RBC_VOXEL_PRESET_OPEN3D_VOXELIZE},
                                     {NAME_open3d_down_sample, RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE},
                                     {NAME_kaolin, RBC_VOXEL_PRESET_KAOLIN}};
    int chosen = (int)*preset;
    const bool ok = PARSE_CHOICE(state, object, "preset", choices, &chosen);
    *preset = (rbc_voxel_preset)chosen;
    return ok;
}

static bool read_params(module_state *state, PyObject *const *values, sparse_call *call) {
    rbc_voxelize_sparse_params *params = &call->params;
    *params = (rbc_voxelize_sparse_params)RBC_VOXELIZE_SPARSE_PARAMS_INIT;
    params->has_origin = values[ORIGIN] != NULL;
    params->reduce = call->has_features ? RBC_VOXEL_MEAN : RBC_VOXEL_COUNT;
    call->max_voxels = -1;
    return parse_preset(state, values[PRESET], &params->preset) &&
           parse_reduce(state, values[MODE], &params->reduce) &&
           (values[GRID_SIZE] == NULL ||
            parse_int3(state, values[GRID_SIZE], "grid_size", params->grid_size)) &&
           (values[VOXEL_SIZE] == NULL ||
            parse_double3(state, values[VOXEL_SIZE], "voxel_size", params->voxel_size)) &&
           (values[ORIGIN] == NULL ||
            parse_double3(state, values[ORIGIN], "origin", params->origin)) &&
           (values[UPPER] == NULL || parse_double3(state, values[UPPER], "upper", params->upper)) &&
           parse_double(state, values[SCALE], "scale", &params->scale) &&
           parse_int(state, values[MAX_POINTS], "max_points", &params->max_points) &&
           parse_int(state, values[MAX_VOXELS], "max_voxels", &call->max_voxels);
}

/* Which outputs are made: those that `outputs` lists, else all but those padded to max_points. */
static bool read_wanted(module_state *state, PyObject *names, sparse_call *call) {
    call->wanted[COORDINATES] = call->wanted[NUM_VOXELS] = true;
    if (names == NULL) {
        call->wanted[COUNTS] = call->wanted[POINT_TO_VOXEL] = call->wanted[DROPPED] = true;
        call->wanted[REDUCED] = call->has_features;
        return true;
    }
    choice choices[NUM_OUTPUTS];
    for (int i = 0; i < NUM_OUTPUTS; ++i) {
        choices[i] = (choice){output_names[i], i};
    }
    PyObject *list = PySequence_List(names);
    if (list == NULL) {
        PyErr_Clear();
        raise_type(state, "outputs: found %R, wanted a list of names", names);
        return false;
    }
    bool ok = true;
    for (Py_ssize_t i = 0; ok && i < PyList_Size(list); ++i) {
        int chosen = 0;
        ok = PARSE_CHOICE(state, PyList_GetItem(list, i), "outputs", choices, &chosen);
        call->wanted[chosen] = true;
    }
    Py_DECREF(list);
    return ok;
}

static bool read_inputs(module_state *state, PyObject **values, void *memory, bool *needs_grad) {
    sparse_call *call = memory;
    call->has_features = values[FEATURES] != NULL;
    call->has_lengths = values[LENGTHS] != NULL;
    if (!tensor_read(state, values[POINTS], "points", NULL, &call->points) ||
        (call->has_features &&
         !tensor_read(state, values[FEATURES], "features", &call->points, &call->features)) ||
        (call->has_lengths && !tensor_read_small(state, values[LENGTHS], "lengths", RBC__I64,
                                                 &call->points, &call->lengths)) ||
        !read_params(state, values, call) || !read_wanted(state, values[OUTPUTS], call)) {
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
    if (!call->has_features && (call->wanted[REDUCED] || call->wanted[VOXELS])) {
        raise_value(state, "outputs: 'features' and 'voxels' need features");
        return false;
    }
    if (call->params.max_points < 0 ||
        (call->params.max_points == 0 && (call->wanted[VOXELS] || call->wanted[POINT_INDICES]))) {
        raise_value(state,
                    "max_points: %lld found, wanted at least 1 for 'voxels' and "
                    "'point_indices', which are padded to it",
                    (long long)call->params.max_points);
        return false;
    }
    if (values[MAX_VOXELS] != NULL && call->max_voxels < 0) {
        raise_value(state, "max_voxels: %lld found, wanted at least 0",
                    (long long)call->max_voxels);
        return false;
    }
    return tensor_refuse_grad(state, &call->points, "points") &&
           (!call->has_features || tensor_needs_grad(state, &call->features, needs_grad));
}

/* Extents after the batch axis; -1 ends them. */
static bool create_output(module_state *state, sparse_call *call, int index, DLDataType dtype,
                          const int64_t extents[3]) {
    if (!call->wanted[index]) {
        return true;
    }
    const DLTensor *points = &call->points.dl;
    int64_t shape[4];
    int32_t ndim = 0;
    if (points->ndim == 3) {
        shape[ndim++] = points->shape[0];
    } else if (index == NUM_VOXELS || index == DROPPED) {
        shape[ndim++] = 1;
    }
    for (int i = 0; i < 3 && extents[i] >= 0; ++i) {
        shape[ndim++] = extents[i];
    }
    return tensor_create(state, &call->points, dtype, ndim, shape, &call->outputs[index]);
}

static bool create(module_state *state, PyObject *const *values, void *memory) {
    (void)values;
    sparse_call *call = memory;
    const DLDataType i32 = {kDLInt, 32, 1};
    const DLDataType i64 = {kDLInt, 64, 1};
    const DLDataType f64 = {kDLFloat, 64, 1};
    const DLTensor *points = &call->points.dl;
    const DLTensor *features = &call->features.dl;
    const int64_t n = points->shape[points->ndim - 2];
    const int64_t m = call->max_voxels >= 0 ? call->max_voxels : n;
    const int64_t k = call->params.max_points;
    const int64_t f = call->has_features ? features->shape[features->ndim - 1] : 0;
    const DLDataType dtype = features->dtype;
    return create_output(state, call, COORDINATES, i32, (int64_t[]){m, 3, -1}) &&
           create_output(state, call, NUM_VOXELS, i32, (int64_t[]){-1, -1, -1}) &&
           create_output(state, call, COUNTS, i32, (int64_t[]){m, -1, -1}) &&
           create_output(state, call, REDUCED, dtype, (int64_t[]){m, f, -1}) &&
           create_output(state, call, VOXELS, dtype, (int64_t[]){m, k, f}) &&
           create_output(state, call, POINT_INDICES, i32, (int64_t[]){m, k, -1}) &&
           create_output(state, call, POINT_TO_VOXEL, i32, (int64_t[]){n, -1, -1}) &&
           create_output(state, call, POINT_COORDINATES, i32, (int64_t[]){n, 3, -1}) &&
           create_output(state, call, DROPPED, i64, (int64_t[]){-1, -1, -1}) &&
           create_output(state, call, ORIGINS, f64, (int64_t[]){3, -1, -1});
}

static bool run(module_state *state, void *memory) {
    sparse_call *call = memory;
    const DLTensor *made[NUM_OUTPUTS];
    for (int i = 0; i < NUM_OUTPUTS; ++i) {
        made[i] = call->wanted[i] ? &call->outputs[i].dl : NULL;
    }
    rbc_voxelize_sparse_outputs outputs = RBC_VOXELIZE_SPARSE_OUTPUTS_INIT;
    outputs.coordinates = made[COORDINATES];
    outputs.num_voxels = made[NUM_VOXELS];
    outputs.counts = made[COUNTS];
    outputs.features = made[REDUCED];
    outputs.voxels = made[VOXELS];
    outputs.point_indices = made[POINT_INDICES];
    outputs.point_to_voxel = made[POINT_TO_VOXEL];
    outputs.point_coordinates = made[POINT_COORDINATES];
    outputs.dropped = made[DROPPED];
    outputs.origins = made[ORIGINS];
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    const DLTensor *points = &call->points.dl;
    const DLTensor *features = call->has_features ? &call->features.dl : NULL;
    uint64_t bytes = 0;
    rbc_error err;
    rbc_status status = rbc_voxelize_sparse_workspace(context, points, features, &call->params,
                                                      &outputs, &bytes, &err);
    if (status == RBC_OK && call->scratch.bytes == 0 &&
        !workspace_create(state, &call->points, bytes, &call->scratch)) {
        Py_DECREF(capsule);
        return false;
    }
    if (status == RBC_OK) {
        PyThreadState *thread = PyEval_SaveThread();
        status = rbc_voxelize_sparse(
            context, points, features, call->has_lengths ? &call->lengths.dl : NULL, &call->params,
            &outputs, workspace_tensor(&call->scratch), call->points.cu_stream, &err);
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

static PyObject *pack(module_state *state, void *memory) {
    sparse_call *call = memory;
    PyObject *dict = PyDict_New();
    for (int i = 0; dict != NULL && i < NUM_OUTPUTS; ++i) {
        if (!call->wanted[i]) {
            continue;
        }
        PyObject *value = tensor_object(state, &call->outputs[i]);
        if (value == NULL || PyDict_SetItem(dict, state->names[output_names[i]], value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

static void release(void *memory) {
    sparse_call *call = memory;
    tensor_release(&call->points);
    tensor_release(&call->features);
    tensor_release(&call->lengths);
    for (int i = 0; i < NUM_OUTPUTS; ++i) {
        tensor_release(&call->outputs[i]);
    }
    workspace_release(&call->scratch);
}

static bool keep(void *memory) {
    sparse_call *call = memory;
    bool ok =
        tensor_keep(&call->points) && tensor_keep(&call->features) && tensor_keep(&call->lengths);
    for (int i = 0; ok && i < NUM_OUTPUTS; ++i) {
        ok = tensor_keep(&call->outputs[i]);
    }
    return ok;
}

static tensor *like(void *memory) {
    return &((sparse_call *)memory)->points;
}

const operation sparse_operation = {
    .name = NAME_voxelize_sparse,
    .signature = &sparse_signature,
    .backend_at = BACKEND,
    .call_bytes = sizeof(sparse_call),
    .read = read_inputs,
    .create = create,
    .run = run,
    .pack = pack,
    .keep = keep,
    .release = release,
    .like = like,
    .like_name = "points",
};

PyObject *voxelize_sparse(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames) {
    return operation_call(&sparse_operation, module, args, nargs, kwnames);
}
