/* What is made of images, for robocache.image and for the windows of loaders. */
#include "tensors/tensor.h"

#include <stdlib.h>
#include <string.h>

#include "objects/objects.h"
#include "operations/workspace.h"

static bool read_dtype(module_state *state, const char *name, DLDataType *out) {
    *out = (DLDataType){0};
    for (int i = 0; name != NULL && i < RBC__NUM_DTYPES; ++i) {
        if (strcmp(rbc__dtype_name((rbc__dtype)i), name) == 0) {
            const DLDataType found = rbc__dtype_to_dlpack((rbc__dtype)i);
            *out = found;
            return true;
        }
    }
    if (name != NULL) {
        raise_value(state, "Image: dtype: found %s", name);
    }
    return name == NULL;
}

static bool read_numbers(PyObject *list, double *out, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; ++i) {
        out[i] = PyFloat_AsDouble(PyList_GetItem(list, i));
    }
    return !PyErr_Occurred();
}

bool read_image_params(module_state *state, PyObject *object, rbc_image_params *out) {
    const char *dtype = NULL;
    PyObject *mean = NULL;
    PyObject *std = NULL;
    int is_first = 0;
    *out = (rbc_image_params)RBC_IMAGE_PARAMS_INIT;
    if (!PyArg_ParseTuple(
            object, "ii(dd)(dd)(ii)(iiii)(ii)id(dd)(dd)(dd)(dd)O!O!zpi", &out->orient, &out->crop,
            &out->crop_scale[0], &out->crop_scale[1], &out->crop_aspect[0], &out->crop_aspect[1],
            &out->crop_size[0], &out->crop_size[1], &out->crop_box[0], &out->crop_box[1],
            &out->crop_box[2], &out->crop_box[3], &out->size[0], &out->size[1], &out->filter,
            &out->flip, &out->brightness[0], &out->brightness[1], &out->contrast[0],
            &out->contrast[1], &out->saturation[0], &out->saturation[1], &out->hue[0], &out->hue[1],
            &PyList_Type, &mean, &PyList_Type, &std, &dtype, &is_first, &out->share)) {
        return false;
    }
    const Py_ssize_t count = PyList_Size(mean);
    if (count > 4 || PyList_Size(std) != count) {
        raise_value(state, "Image: mean and std: found %zd and %zd values", count,
                    PyList_Size(std));
        return false;
    }
    out->num_mean = (int32_t)count;
    out->channels_first = is_first;
    return read_numbers(mean, out->mean, count) && read_numbers(std, out->std, count) &&
           read_dtype(state, dtype, &out->dtype);
}

PyObject *image_key(PyObject *module, PyObject *args) {
    (void)module;
    unsigned long long seed = 0;
    long long epoch = 0;
    long long episode = 0;
    long long tick = 0;
    long long frame = 0;
    int share = 0;
    const char *name = NULL;
    if (!PyArg_ParseTuple(args, "KLLLizL", &seed, &epoch, &episode, &tick, &share, &name, &frame)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(
        rbc_image_key(seed, epoch, episode, tick, (rbc_image_share)share, name, frame));
}

PyObject *image_output(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    PyObject *object = NULL;
    PyObject *given = NULL;
    rbc_image_params params;
    tensor images = {0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "OO", &object, &given) ||
        !read_image_params(state, object, &params) ||
        !tensor_read(state, given, "images", NULL, &images)) {
        return NULL;
    }
    const DLTensor *dl = &images.dl;
    int64_t shape[3] = {0};
    DLDataType dtype = {0};
    rbc__dtype made = RBC__U8;
    rbc_error err;
    if (dl->ndim != 4) {
        raise_value(state, "images: found %d axes, wanted [B, H, W, C]", (int)dl->ndim);
    } else if (rbc_image_output(&params, dl->dtype, dl->shape[1], dl->shape[2], dl->shape[3], shape,
                                &dtype, &err) != RBC_OK) {
        raise_error(state, &err);
    } else if (rbc__dtype_from_dlpack(dtype, &made)) {
        result = Py_BuildValue("((LLL)s)", (long long)shape[0], (long long)shape[1],
                               (long long)shape[2], rbc__dtype_name(made));
    }
    tensor_release(&images);
    return result;
}

static bool apply(module_state *state, const rbc_image_params *params, const tensor *images,
                  const uint64_t *keys, const tensor *out) {
    rbc_context *context = NULL;
    workspace scratch = {0};
    uint64_t bytes = 0;
    rbc_error err;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    rbc_status status = rbc_image_workspace(context, params, &images->dl, keys, &bytes, &err);
    const bool has_scratch = status == RBC_OK && workspace_create(state, images, bytes, &scratch);
    if (has_scratch) {
        PyThreadState *thread = PyEval_SaveThread();
        status = rbc_image_apply(context, params, &images->dl, keys, &out->dl,
                                 workspace_tensor(&scratch), images->cu_stream, &err);
        PyEval_RestoreThread(thread);
        workspace_release(&scratch);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return has_scratch && status == RBC_OK;
}

PyObject *image_apply(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    PyObject *object = NULL;
    PyObject *given = NULL;
    PyObject *numbers = NULL;
    PyObject *made = NULL;
    rbc_image_params params;
    tensor images = {0};
    tensor out = {0};
    if (!PyArg_ParseTuple(args, "OOO!O", &object, &given, &PyList_Type, &numbers, &made) ||
        !read_image_params(state, object, &params)) {
        return NULL;
    }
    const Py_ssize_t count = PyList_Size(numbers);
    uint64_t *keys = calloc((size_t)count + 1, sizeof *keys);
    if (keys == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        keys[i] = PyLong_AsUnsignedLongLong(PyList_GetItem(numbers, i));
    }
    bool ok = !PyErr_Occurred() && tensor_read(state, given, "images", NULL, &images) &&
              tensor_read(state, made, "out", &images, &out);
    if (ok && (images.dl.ndim < 1 || images.dl.shape[0] != count)) {
        raise_value(state, "key: found %zd for images of another number", count);
        ok = false;
    }
    ok = ok && apply(state, &params, &images, keys, &out);
    tensor_release(&images);
    tensor_release(&out);
    free(keys);
    if (!ok) {
        return NULL;
    }
    Py_RETURN_NONE;
}
