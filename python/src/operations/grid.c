#include "operations/grid.h"

bool parse_reduce(module_state *state, PyObject *object, rbc_voxel_reduce *reduce) {
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

bool grid_read(module_state *state, const grid_args *args, grid_outputs *grid) {
    rbc_voxelize_params *params = &grid->params;
    *params = (rbc_voxelize_params)RBC_VOXELIZE_PARAMS_INIT;
    params->has_origin = args->origin != NULL;
    return parse_reduce(state, args->mode, &params->reduce) &&
           parse_int3(state, args->grid_size, "grid_size", params->grid_size) &&
           parse_double3(state, args->voxel_size, "voxel_size", params->voxel_size) &&
           (!params->has_origin || parse_double3(state, args->origin, "origin", params->origin)) &&
           parse_bool(state, args->return_counts, "return_counts", &grid->has_counts) &&
           parse_bool(state, args->return_dropped, "return_dropped", &grid->has_dropped);
}

bool grid_check_features(module_state *state, const grid_outputs *grid, const tensor *features) {
    const bool reduces = grid->params.reduce >= RBC_VOXEL_SUM;
    if (reduces && features == NULL) {
        raise_value(state, "features: none found, wanted [N, F] or [B, N, F] for this mode");
        return false;
    }
    if (!reduces && features != NULL) {
        raise_value(state, "features: modes 'occupancy' and 'count' take none");
        return false;
    }
    if (features != NULL && features->dl.ndim < 1) {
        raise_value(state, "features: 0 axes found, wanted [N, F] or [B, N, F]");
        return false;
    }
    return true;
}

static DLDataType output_dtype(rbc_voxel_reduce reduce, const tensor *features) {
    if (features != NULL) {
        return features->dl.dtype;
    }
    return reduce == RBC_VOXEL_OCCUPANCY ? (DLDataType){kDLUInt, 8, 1}
                                         : (DLDataType){kDLInt, 32, 1};
}

bool grid_create(module_state *state, const tensor *like, int32_t num_outer, const int64_t *outer,
                 const tensor *features, PyObject *out, grid_outputs *grid) {
    int64_t shape[6];
    int32_t ndim = 0;
    int64_t cells = 1;
    for (; ndim < num_outer; ++ndim) {
        shape[ndim] = outer[ndim];
    }
    /* The library checks this too, but outputs are allocated before it is called. */
    for (int i = 0; i < 3; ++i) {
        const int64_t extent = grid->params.grid_size[i];
        if (extent < 1 || !rbc__mul_size(cells, extent, &cells)) {
            raise_value(state,
                        "grid_size[%d]: %lld found, wanted at least 1 and 2^63 cells at most", i,
                        (long long)extent);
            return false;
        }
        shape[ndim++] = extent;
    }
    const int32_t grid_ndim = ndim;
    if (features != NULL) {
        shape[ndim++] = features->dl.shape[features->dl.ndim - 1];
    }
    const DLDataType dtype = output_dtype(grid->params.reduce, features);
    const int64_t one = 1;
    return (out != NULL ? tensor_read_output(state, out, like, dtype, ndim, shape, &grid->out)
                        : tensor_create(state, like, dtype, ndim, shape, &grid->out)) &&
           (!grid->has_counts || tensor_create(state, like, (DLDataType){kDLInt, 32, 1}, grid_ndim,
                                               shape, &grid->counts)) &&
           (!grid->has_dropped ||
            tensor_create(state, like, (DLDataType){kDLInt, 64, 1}, num_outer > 0 ? num_outer : 1,
                          num_outer > 0 ? outer : &one, &grid->dropped));
}

PyObject *grid_pack(module_state *state, grid_outputs *grid) {
    PyObject *out = tensor_object(state, &grid->out);
    if (out == NULL || (!grid->has_counts && !grid->has_dropped)) {
        return out;
    }
    PyObject *counts = grid->has_counts ? tensor_object(state, &grid->counts) : NULL;
    PyObject *dropped =
        grid->has_dropped && !PyErr_Occurred() ? tensor_object(state, &grid->dropped) : NULL;
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

bool grid_keep(grid_outputs *grid) {
    return tensor_keep(&grid->out) && tensor_keep(&grid->counts) && tensor_keep(&grid->dropped);
}

void grid_release(grid_outputs *grid) {
    tensor_release(&grid->out);
    tensor_release(&grid->counts);
    tensor_release(&grid->dropped);
}
