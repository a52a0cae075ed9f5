/* Batches of JPEGs, for robocache.jpeg. */
#include <stdlib.h>

#include "tensors/tensor.h"

#define BATCH_CAPSULE "robocache.jpeg_batch"

/* Lives in a capsule. */
typedef struct jpegs {
    rbc_jpeg_batch *batch;
    PyObject *context; /* capsule */
    PyObject *images;  /* what holds the bytes */
    tensor data;       /* the same, where it is a tensor */
} jpegs;

static void destroy(PyObject *capsule) {
    jpegs *j = PyCapsule_GetPointer(capsule, BATCH_CAPSULE);
    rbc_jpeg_batch_destroy(&j->batch);
    tensor_release(&j->data);
    Py_XDECREF(j->context);
    Py_XDECREF(j->images);
    free(j);
}

/* Where images lie: `count` of bytes, or ends of parts of a tensor. */
typedef struct streams {
    const void **bytes;
    uint64_t *num_bytes;
    int64_t *offsets;
    Py_ssize_t count;
} streams;

static bool allocate(void *out, Py_ssize_t count, size_t bytes) {
    void **memory = out;
    *memory = calloc((size_t)count + 1, bytes);
    if (*memory == NULL) {
        PyErr_NoMemory();
    }
    return *memory != NULL;
}

static bool read_list(module_state *state, PyObject *images, streams *out) {
    out->count = PyList_Size(images);
    if (!allocate(&out->bytes, out->count, sizeof *out->bytes) ||
        !allocate(&out->num_bytes, out->count, sizeof *out->num_bytes)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < out->count; ++i) {
        PyObject *image = PyList_GetItem(images, i);
        char *bytes = NULL;
        Py_ssize_t num_bytes = 0;
        if (!PyBytes_Check(image)) {
            raise_type(state, "images: found %R at [%zd], wanted bytes", (PyObject *)Py_TYPE(image),
                       i);
            return false;
        }
        if (PyBytes_AsStringAndSize(image, &bytes, &num_bytes) < 0) {
            return false;
        }
        out->bytes[i] = bytes;
        out->num_bytes[i] = (uint64_t)num_bytes;
    }
    return true;
}

static int64_t offset_at(const DLTensor *offsets, int64_t index) {
    const char *at =
        (const char *)rbc__tensor_data(offsets) + index * rbc__tensor_stride_bytes(offsets, 0);
    return offsets->dtype.bits == 64 ? *(const int64_t *)(const void *)at
                                     : *(const int32_t *)(const void *)at;
}

/* Image i is data[offsets[i]:offsets[i + 1]]. */
static bool divide(module_state *state, const DLTensor *data, const DLTensor *offsets,
                   streams *out) {
    if (data->ndim != 1 || data->dtype.code != kDLUInt || data->dtype.bits != 8 ||
        !rbc__tensor_is_contiguous(data)) {
        raise_value(state, "images: wanted a contiguous tensor uint8 [N]");
        return false;
    }
    if (offsets->ndim != 1 || offsets->shape[0] < 1 || offsets->dtype.code != kDLInt ||
        (offsets->dtype.bits != 64 && offsets->dtype.bits != 32) ||
        offsets->device.device_type == kDLCUDA) {
        raise_value(state, "offsets: wanted int64 or int32 [B + 1] in host memory");
        return false;
    }
    out->count = (Py_ssize_t)offsets->shape[0] - 1;
    if (!allocate(&out->offsets, out->count, sizeof *out->offsets)) {
        return false;
    }
    for (Py_ssize_t i = 0; i <= out->count; ++i) {
        out->offsets[i] = offset_at(offsets, i);
    }
    for (Py_ssize_t i = 0; i < out->count; ++i) {
        const int64_t begin = out->offsets[i];
        const int64_t end = out->offsets[i + 1];
        if (begin < 0 || end < begin || end > data->shape[0]) {
            raise_value(state,
                        "offsets: found %lld to %lld for image %zd, wanted them to ascend within "
                        "[0, %lld]",
                        (long long)begin, (long long)end, i, (long long)data->shape[0]);
            return false;
        }
    }
    return true;
}

/* Offsets stay on the host: those of data on a device are a tensor of any framework. */
static bool read_offsets(module_state *state, PyObject *offsets, const tensor *data, tensor *out) {
    return data->dl.device.device_type == kDLCUDA
               ? tensor_read(state, offsets, "offsets", NULL, out)
               : tensor_read_small(state, offsets, "offsets", RBC__I64, data, out);
}

static bool read_streams(module_state *state, PyObject *images, PyObject *offsets, jpegs *j,
                         streams *out) {
    if (offsets == Py_None) {
        return read_list(state, images, out);
    }
    tensor bounds = {0};
    const bool ok = tensor_read(state, images, "images", NULL, &j->data) &&
                    read_offsets(state, offsets, &j->data, &bounds) &&
                    divide(state, &j->data.dl, &bounds.dl, out);
    tensor_release(&bounds);
    return ok;
}

static rbc_status create(rbc_context *context, const streams *s, const rbc_jpeg_params *params,
                         jpegs *j, rbc_error *err) {
    return s->offsets != NULL
               ? rbc_jpeg_batch_create_from(context, &j->data.dl, s->offsets, s->count, params,
                                            j->data.cu_stream, &j->batch, err)
               : rbc_jpeg_batch_create(context, s->bytes, s->num_bytes, s->count, params, &j->batch,
                                       err);
}

PyObject *jpeg_create(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    PyObject *images = NULL;
    PyObject *offsets = NULL;
    long long height = 0;
    long long width = 0;
    rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    int is_fast = 0;
    if (!PyArg_ParseTuple(args, "OOLLip", &images, &offsets, &height, &width, &params.channels,
                          &is_fast)) {
        return NULL;
    }
    params.height = height;
    params.width = width;
    params.dct = is_fast ? RBC_JPEG_DCT_FAST : RBC_JPEG_DCT_ACCURATE;
    jpegs *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(j, BATCH_CAPSULE, destroy);
    if (capsule == NULL) {
        free(j);
        return NULL;
    }
    Py_INCREF(images);
    j->images = images;
    rbc_context *context = NULL;
    j->context = context_acquire(state, &context);
    streams s = {0};
    bool ok = j->context != NULL && read_streams(state, images, offsets, j, &s);
    if (ok) {
        rbc_error err;
        rbc_status status;
        Py_BEGIN_ALLOW_THREADS;
        status = create(context, &s, &params, j, &err);
        Py_END_ALLOW_THREADS;
        ok = status == RBC_OK;
        if (!ok) {
            raise_error(state, &err);
        }
    }
    free(s.bytes);
    free(s.num_bytes);
    free(s.offsets);
    if (!ok) {
        Py_CLEAR(capsule);
    }
    return capsule;
}

PyObject *jpeg_infos(PyObject *module, PyObject *capsule) {
    (void)module;
    const jpegs *j = PyCapsule_GetPointer(capsule, BATCH_CAPSULE);
    const Py_ssize_t count = j == NULL ? -1 : (Py_ssize_t)rbc_jpeg_batch_size(j->batch);
    PyObject *list = j == NULL ? NULL : PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; ++i) {
        rbc_jpeg_info info;
        rbc_jpeg_batch_info(j->batch, i, &info);
        PyObject *item = Py_BuildValue("(LLiNN)", (long long)info.height, (long long)info.width,
                                       (int)info.channels, PyBool_FromLong(info.status == RBC_OK),
                                       PyBool_FromLong(info.on_cpu));
        if (item == NULL || PyList_SetItem(list, i, item) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

typedef struct call {
    tensor *outs;
    const DLTensor **views;
    Py_ssize_t count, num_read;
} call;

static bool read_outs(module_state *state, PyObject *outs, call *c) {
    const bool is_list = PyList_Check(outs);
    const Py_ssize_t count = is_list ? PyList_Size(outs) : 1;
    c->outs = calloc((size_t)count + 1, sizeof *c->outs);
    c->views = calloc((size_t)count + 1, sizeof *c->views);
    if (c->outs == NULL || c->views == NULL) {
        PyErr_NoMemory();
        return false;
    }
    c->count = count;
    for (Py_ssize_t i = 0; i < count; ++i) {
        tensor *out = &c->outs[i];
        c->num_read = i + 1;
        if (!tensor_read(state, is_list ? PyList_GetItem(outs, i) : outs, "out",
                         i == 0 ? NULL : &c->outs[0], out) ||
            !tensor_keep(out)) {
            return false;
        }
        if (out->read_only) {
            raise_value(state, "out: the array is read-only");
            return false;
        }
        c->views[i] = &out->dl;
    }
    return true;
}

static bool run(module_state *state, const jpegs *j, const call *c, tensor *valid, tensor *space) {
    rbc_context *context = PyCapsule_GetPointer(j->context, "robocache.context");
    rbc_error err;
    uint64_t bytes = 0;
    if (c->count == 0) {
        return true;
    }
    if (rbc_decode_jpeg_workspace(context, j->batch, c->outs[0].dl.device, &bytes, &err) !=
        RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    const int64_t shape = (int64_t)bytes;
    if (bytes > 0 &&
        !tensor_create(state, &c->outs[0], rbc__dtype_to_dlpack(RBC__U8), 1, &shape, space)) {
        return false;
    }
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = rbc_decode_jpeg(
        context, j->batch, c->views, c->count, valid->object == NULL ? NULL : &valid->dl,
        bytes > 0 ? &space->dl : NULL, c->outs[0].cu_stream, &err);
    PyEval_RestoreThread(thread);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

PyObject *jpeg_decode(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    PyObject *capsule = NULL;
    PyObject *outs = NULL;
    PyObject *mask = NULL;
    if (!PyArg_ParseTuple(args, "OOO", &capsule, &outs, &mask)) {
        return NULL;
    }
    const jpegs *j = PyCapsule_GetPointer(capsule, BATCH_CAPSULE);
    call c = {0};
    tensor valid = {0};
    tensor space = {0};
    const bool ok = j != NULL && read_outs(state, outs, &c) &&
                    (mask == Py_None ||
                     tensor_read(state, mask, "valid", c.count > 0 ? &c.outs[0] : NULL, &valid)) &&
                    run(state, j, &c, &valid, &space);
    for (Py_ssize_t i = 0; i < c.num_read; ++i) {
        tensor_release(&c.outs[i]);
    }
    tensor_release(&valid);
    tensor_release(&space);
    free(c.outs);
    free(c.views);
    if (!ok) {
        return NULL;
    }
    Py_RETURN_NONE;
}
