#include "objects/members.h"

#include "operations/resample.h"

static bool read_ticks(PyObject *object, int32_t **ticks, int32_t *count) {
    const Py_ssize_t size = PyList_Size(object);
    *ticks = PyMem_Calloc((size_t)size + 1, sizeof(**ticks));
    for (Py_ssize_t i = 0; *ticks != NULL && i < size; ++i) {
        const long value = PyLong_AsLong(PyList_GetItem(object, i));
        if ((value == -1 && PyErr_Occurred()) || value < INT32_MIN || value > INT32_MAX) {
            PyErr_SetString(PyExc_OverflowError, "a tick of the window has more than 32 bits");
            return false;
        }
        (*ticks)[i] = (int32_t)value;
    }
    *count = (int32_t)size;
    return *ticks != NULL || PyErr_NoMemory() != NULL;
}

static bool read_offsets(PyObject *object, int64_t **offsets, int32_t *count) {
    const Py_ssize_t size = PyList_Size(object);
    *offsets = PyMem_Calloc((size_t)size + 1, sizeof(**offsets));
    for (Py_ssize_t i = 0; *offsets != NULL && i < size; ++i) {
        (*offsets)[i] = PyLong_AsLongLong(PyList_GetItem(object, i));
        if ((*offsets)[i] == -1 && PyErr_Occurred()) {
            return false;
        }
    }
    *count = (int32_t)size;
    return *offsets != NULL || PyErr_NoMemory() != NULL;
}

/* Borrows float64 numbers, one a channel of the stream, or None. */
static bool read_numbers(PyObject *object, const double **numbers) {
    *numbers = object == Py_None ? NULL : (const double *)(void *)PyBytes_AsString(object);
    return object == Py_None || *numbers != NULL;
}

static bool read_matrix(PyObject *tuple, double *out, Py_ssize_t count) {
    if (PyTuple_Size(tuple) != count) {
        PyErr_Format(PyExc_ValueError, "a matrix of %zd numbers", PyTuple_Size(tuple));
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        out[i] = PyFloat_AsDouble(PyTuple_GetItem(tuple, i));
    }
    return !PyErr_Occurred();
}

/* (reduce, grid_size, voxel_size, origin or None, camera or None), where a camera is (depth_scale,
 * min_depth, max_depth, pixel_offset, intrinsics, pose or None) */
static bool read_voxels(PyObject *object, window_memory *memory) {
    rbc_voxelize_params *grid = &memory->grid;
    rbc_depth_params *depth = &memory->depth;
    PyObject *origin = NULL;
    PyObject *camera = NULL;
    PyObject *intrinsics = NULL;
    PyObject *pose = NULL;
    int reduce = 0;
    long long size[3];
    memory->voxels = (rbc_voxels)RBC_VOXELS_INIT;
    *grid = (rbc_voxelize_params)RBC_VOXELIZE_PARAMS_INIT;
    *depth = (rbc_depth_params)RBC_DEPTH_PARAMS_INIT;
    if (!PyArg_ParseTuple(object, "i(LLL)(ddd)OO", &reduce, &size[0], &size[1], &size[2],
                          &grid->voxel_size[0], &grid->voxel_size[1], &grid->voxel_size[2], &origin,
                          &camera)) {
        return false;
    }
    grid->reduce = (rbc_voxel_reduce)reduce;
    grid->has_origin = origin != Py_None;
    for (int axis = 0; axis < 3; ++axis) {
        grid->grid_size[axis] = size[axis];
    }
    memory->voxels.grid = grid;
    if (grid->has_origin && !read_matrix(origin, grid->origin, 3)) {
        return false;
    }
    if (camera == Py_None) {
        return true;
    }
    memory->voxels.depth = depth;
    memory->voxels.intrinsics = memory->intrinsics;
    if (!PyArg_ParseTuple(camera, "ddddO!O", &depth->depth_scale, &depth->min_depth,
                          &depth->max_depth, &depth->pixel_offset, &PyTuple_Type, &intrinsics,
                          &pose) ||
        !read_matrix(intrinsics, memory->intrinsics, 9)) {
        return false;
    }
    memory->voxels.pose = pose != Py_None ? memory->pose : NULL;
    return pose == Py_None || read_matrix(pose, memory->pose, 12);
}

/* (vector, scale, offset, clock_offset_ns, (first, last, share) or None), of what is padded or
 * voxelized pad_to and voxels too, or None */
static bool read_changes(PyObject *object, window_memory *memory, rbc_window *window) {
    PyObject *scale = NULL;
    PyObject *offset = NULL;
    PyObject *future = NULL;
    PyObject *voxels = NULL;
    long long clock_offset_ns = 0;
    long long pad_to = 0;
    int vector = 0;
    if (object == Py_None) {
        return true;
    }
    if (!PyArg_ParseTuple(object, "iOOLO|LO", &vector, &scale, &offset, &clock_offset_ns, &future,
                          &pad_to, &voxels)) {
        return false;
    }
    if (future != Py_None) {
        rbc_future *drawn = &memory->future;
        if (!PyArg_ParseTuple(future, "iii", &drawn->first, &drawn->last, &drawn->share)) {
            return false;
        }
        window->future = drawn;
    }
    if (voxels != NULL) {
        if (!read_voxels(voxels, memory)) {
            return false;
        }
        window->voxels = &memory->voxels;
    }
    window->vector = vector;
    window->pad_to = pad_to;
    window->clock_offset_ns = clock_offset_ns;
    return read_numbers(scale, &window->scale) && read_numbers(offset, &window->offset);
}

/* (stream, name, ticks, offsets_ns, mode, outside, channels, width, max_gap_ns, tolerance_ns,
 * max_points, squeeze, image, changes) */
static bool read_window(module_state *state, PyObject *object, window_memory *memory,
                        rbc_window *window) {
    PyObject *ticks = NULL;
    PyObject *offsets = NULL;
    PyObject *mode = NULL;
    PyObject *outside = NULL;
    PyObject *channels = NULL;
    PyObject *image = NULL;
    PyObject *changes = NULL;
    long long width = 0;
    long long max_points = 0;
    int squeeze = 0;
    *window = (rbc_window)RBC_WINDOW_INIT;
    if (!PyArg_ParseTuple(object, "zzOOOOOLddLpOO", &window->stream, &window->name, &ticks,
                          &offsets, &mode, &outside, &channels, &width, &window->max_gap_ns,
                          &window->tolerance_ns, &max_points, &squeeze, &image, &changes) ||
        !parse_resample_mode(state, mode, &window->mode) ||
        !parse_outside(state, outside, &window->outside) ||
        !read_changes(changes, memory, window)) {
        return false;
    }
    window->max_points = max_points;
    window->squeeze = squeeze;
    if (ticks != Py_None && !read_ticks(ticks, &memory->ticks, &window->count)) {
        return false;
    }
    if (offsets != Py_None && !read_offsets(offsets, &memory->offsets_ns, &window->count)) {
        return false;
    }
    if (channels != Py_None &&
        !parse_channels(state, channels, width, &memory->groups, &window->num_groups)) {
        return false;
    }
    if (image != Py_None) {
        if (!read_image_params(state, image, &memory->image)) {
            return false;
        }
        window->image = &memory->image;
    }
    window->ticks = memory->ticks;
    window->offsets_ns = memory->offsets_ns;
    window->groups = memory->groups;
    return true;
}

/* Borrows the texts of a list of str. */
static bool read_names(PyObject *list, const char ***names, int32_t *count) {
    const Py_ssize_t size = PyList_Size(list);
    *names = PyMem_Calloc((size_t)size + 1, sizeof(**names));
    if (*names == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < size; ++i) {
        (*names)[i] = PyUnicode_AsUTF8AndSize(PyList_GetItem(list, i), NULL);
        if ((*names)[i] == NULL) {
            return false;
        }
    }
    *count = (int32_t)size;
    return true;
}

static void free_windows(window_memory *memory, rbc_window *windows, int32_t count) {
    for (int32_t i = 0; memory != NULL && i < count; ++i) {
        PyMem_Free(memory[i].ticks);
        PyMem_Free(memory[i].offsets_ns);
        PyMem_Free(memory[i].groups);
    }
    PyMem_Free(memory);
    PyMem_Free(windows);
}

static bool read_windows(module_state *state, PyObject *list, member_memory *memory,
                         rbc_mixture_member *member) {
    const Py_ssize_t count = PyList_Size(list);
    memory->windows = PyMem_Calloc((size_t)count + 1, sizeof(*memory->windows));
    memory->of_windows = PyMem_Calloc((size_t)count + 1, sizeof(*memory->of_windows));
    if (memory->windows == NULL || memory->of_windows == NULL) {
        PyErr_NoMemory();
        return false;
    }
    memory->num_windows = (int32_t)count;
    member->windows = memory->windows;
    member->num_windows = (int32_t)count;
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!read_window(state, PyList_GetItem(list, i), &memory->of_windows[i],
                         &memory->windows[i])) {
            return false;
        }
    }
    return true;
}

/* (name, selection, weight, windows, rate_hz, clock, require) */
static bool read_member(module_state *state, PyObject *object, member_memory *memory,
                        rbc_mixture_member *member) {
    PyObject *selection = NULL;
    PyObject *windows = NULL;
    PyObject *clock = NULL;
    PyObject *require = NULL;
    long long weight = 0;
    *member = (rbc_mixture_member)RBC_MIXTURE_MEMBER_INIT;
    if (!PyArg_ParseTuple(object, "zO!LO!dO!O!", &member->name, state->selection_type, &selection,
                          &weight, &PyList_Type, &windows, &member->rate_hz, &PyList_Type, &clock,
                          &PyList_Type, &require)) {
        return false;
    }
    member->selection = ((selection_object *)(void *)selection)->handle;
    member->weight = weight;
    const bool ok = read_windows(state, windows, memory, member) &&
                    read_names(clock, &memory->clock, &member->num_clock) &&
                    read_names(require, &memory->require, &member->num_require);
    member->clock = memory->clock;
    member->require = memory->require;
    return ok;
}

bool members_read(module_state *state, PyObject *list, members *out) {
    const Py_ssize_t count = PyList_Size(list);
    *out = (members){.items = PyMem_Calloc((size_t)count + 1, sizeof(*out->items)),
                     .memory = PyMem_Calloc((size_t)count + 1, sizeof(*out->memory)),
                     .count = (int32_t)count};
    if (out->items == NULL || out->memory == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!read_member(state, PyList_GetItem(list, i), &out->memory[i], &out->items[i])) {
            return false;
        }
    }
    return true;
}

void members_free(members *read) {
    for (int32_t i = 0; read->memory != NULL && i < read->count; ++i) {
        member_memory *memory = &read->memory[i];
        free_windows(memory->of_windows, memory->windows, memory->num_windows);
        PyMem_Free(memory->clock);
        PyMem_Free(memory->require);
    }
    PyMem_Free(read->memory);
    PyMem_Free(read->items);
}
