#define _GNU_SOURCE

#include "voxel.h"

#include <stdlib.h>
#include <sys/mman.h>

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

bool grid_create(module_state *state, const tensor *like, int32_t num_lead, const int64_t *lead,
                 const tensor *features, PyObject *out, grid_outputs *grid) {
    int64_t shape[6];
    int32_t ndim = 0;
    int64_t cells = 1;
    for (; ndim < num_lead; ndim++) {
        shape[ndim] = lead[ndim];
    }
    /* The library checks this too, but outputs are allocated before it is called. */
    for (int i = 0; i < 3; i++) {
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
            tensor_create(state, like, (DLDataType){kDLInt, 64, 1}, num_lead > 0 ? num_lead : 1,
                          num_lead > 0 ? lead : &one, &grid->dropped));
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

bool grid_pin(grid_outputs *grid) {
    return tensor_pin(&grid->out) && tensor_pin(&grid->counts) && tensor_pin(&grid->dropped);
}

void grid_release(grid_outputs *grid) {
    tensor_release(&grid->out);
    tensor_release(&grid->counts);
    tensor_release(&grid->dropped);
}

/* A fresh workspace is mostly page faults: one is kept for the next call unless it is larger than
 * this. */
#define MAX_SPARE_BYTES (INT64_C(256) << 20)
#define HUGE_PAGE_BYTES (INT64_C(2) << 20)

/* Points are dealt out all over a workspace, so huge pages spare it most misses in the TLB. */
static void *new_host_memory(int64_t bytes, int64_t *capacity) {
    const int64_t unit = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 64;
    *capacity = (bytes + unit - 1) / unit * unit;
    void *memory = aligned_alloc((size_t)unit, (size_t)*capacity);
#ifdef MADV_HUGEPAGE
    if (memory != NULL && unit == HUGE_PAGE_BYTES) {
        (void)madvise(memory, (size_t)*capacity, MADV_HUGEPAGE);
    }
#endif
    return memory;
}

bool workspace_create(module_state *state, const tensor *like, uint64_t bytes, workspace *out) {
    if (bytes > (uint64_t)(INT64_MAX - HUGE_PAGE_BYTES)) {
        PyErr_NoMemory();
        return false;
    }
    out->bytes = (int64_t)bytes;
    if (bytes == 0) {
        return true;
    }
    const DLDataType byte = {kDLUInt, 8, 1};
    if (like->dl.device.device_type != kDLCPU) {
        const bool ok = tensor_create(state, like, byte, 1, &out->bytes, &out->device);
        out->dl = out->device.dl;
        return ok;
    }
    out->state = state;
    if (state->spare_bytes >= out->bytes) {
        out->host = state->spare;
        out->capacity = state->spare_bytes;
        state->spare = NULL;
        state->spare_bytes = 0;
    } else {
        out->host = new_host_memory(out->bytes, &out->capacity);
    }
    if (out->host == NULL) {
        PyErr_NoMemory();
        return false;
    }
    out->dl = (DLTensor){
        .data = out->host, .device = {kDLCPU, 0}, .ndim = 1, .dtype = byte, .shape = &out->bytes};
    return true;
}

const DLTensor *workspace_tensor(const workspace *space) {
    return space->bytes > 0 ? &space->dl : NULL;
}

void workspace_release(workspace *space) {
    tensor_release(&space->device);
    if (space->host != NULL && space->capacity <= MAX_SPARE_BYTES &&
        space->capacity > space->state->spare_bytes) {
        free(space->state->spare);
        space->state->spare = space->host;
        space->state->spare_bytes = space->capacity;
    } else {
        free(space->host);
    }
    space->host = NULL;
}
