#include "operations/resample.h"
#include "operations/operation.h"

enum {
    DATA,
    SOURCE_TIMES,
    TARGET_TIMES,
    MODE,
    OUTSIDE,
    LENGTHS,
    CHANNELS,
    MAX_GAP,
    TOLERANCE,
    NAN_MISSING,
    CHECK_TIMES,
    RETURN_VALID,
    RETURN_DT,
    BACKEND,
    OUT,
    NUM_VALUES
};

static const signature resample_signature = {
    "resample_trajectories",
    3,
    3,
    NUM_VALUES,
    {NAME_data, NAME_source_times, NAME_target_times, NAME_mode, NAME_outside, NAME_lengths,
     NAME_channels, NAME_max_gap, NAME_tolerance, NAME_nan_missing, NAME_check_times,
     NAME_return_valid, NAME_return_dt, NAME_backend, NAME_out}};

typedef struct resample_call {
    stream_input stream;
    tensor targets;
    tensor out, valid, dt;
    bool has_valid, has_dt;
    int64_t shape[3]; /* of the output */
} resample_call;

_Static_assert(sizeof(resample_call) <= OPERATION_CALL_BYTES, "room for a call");

static bool parse_flags(module_state *state, PyObject *const *values, uint32_t *flags) {
    bool nan_missing = false;
    bool check_times = false;
    if (!parse_bool(state, values[NAN_MISSING], "nan_missing", &nan_missing) ||
        !parse_bool(state, values[CHECK_TIMES], "check_times", &check_times)) {
        return false;
    }
    *flags = (nan_missing ? RBC_NAN_IS_MISSING : 0) | (check_times ? RBC_CHECK_TIMES : 0);
    return true;
}

/* Extents [B, T, D] of the output of `data` [B, S, D]; without the batch axis for [S, D]. */
static bool output_shape(module_state *state, const resample_call *call, int64_t shape[3]) {
    const DLTensor *data = &call->stream.values.dl;
    const DLTensor *targets = &call->targets.dl;
    if (data->ndim != 2 && data->ndim != 3) {
        raise_value(state, "data: %d axes found, wanted [B, S, D] or [S, D]", (int)data->ndim);
        return false;
    }
    if (targets->ndim < 1 || targets->ndim > data->ndim - 1) {
        raise_value(state, "target_times: %d axes found, wanted %s", (int)targets->ndim,
                    data->ndim == 3 ? "[B, T] or [T]" : "[T], as data is [S, D]");
        return false;
    }
    int32_t axis = 0;
    if (data->ndim == 3) {
        shape[axis++] = data->shape[0];
    }
    shape[axis++] = targets->shape[targets->ndim - 1];
    shape[axis] = data->shape[data->ndim - 1];
    return true;
}

static bool read_inputs(module_state *state, PyObject **values, void *memory, bool *needs_grad) {
    resample_call *call = memory;
    uint32_t flags = 0;
    const stream_args args = {.values = values[DATA],
                              .times = values[SOURCE_TIMES],
                              .lengths = values[LENGTHS],
                              .mode = values[MODE],
                              .outside = values[OUTSIDE],
                              .channels = values[CHANNELS],
                              .max_gap = values[MAX_GAP],
                              .tolerance = values[TOLERANCE],
                              .values_name = "data",
                              .times_name = "source_times"};
    return parse_flags(state, values, &flags) &&
           stream_read(state, &args, NULL, flags, &call->stream) &&
           tensor_read_list(state, values[TARGET_TIMES], "target_times", &call->stream.values,
                            &call->stream.times, &call->targets) &&
           parse_bool(state, values[RETURN_VALID], "return_valid", &call->has_valid) &&
           parse_bool(state, values[RETURN_DT], "return_dt", &call->has_dt) &&
           output_shape(state, call, call->shape) &&
           tensor_needs_grad(state, &call->stream.values, needs_grad) &&
           tensor_needs_grad(state, &call->stream.times, needs_grad) &&
           tensor_needs_grad(state, &call->targets, needs_grad);
}

static bool create(module_state *state, PyObject *const *values, void *memory) {
    resample_call *call = memory;
    PyObject *out = values[OUT];
    const int64_t *shape = call->shape;
    const tensor *data = &call->stream.values;
    const int32_t ndim = data->dl.ndim;
    const bool ok =
        out != NULL ? tensor_read_output(state, out, data, data->dl.dtype, ndim, shape, &call->out)
                    : tensor_create(state, data, data->dl.dtype, ndim, shape, &call->out);
    const DLDataType boolean = {kDLBool, 8, 1};
    return ok &&
           (!call->has_valid ||
            tensor_create(state, data, boolean, ndim - 1, shape, &call->valid)) &&
           (!call->has_dt ||
            tensor_create(state, data, call->targets.dl.dtype, ndim - 1, shape, &call->dt));
}

static bool run(module_state *state, void *memory) {
    resample_call *call = memory;
    DLTensor out = call->out.dl;
    DLTensor valid = call->valid.dl;
    DLTensor dt = call->dt.dl;
    int64_t shapes[3][3];
    int64_t strides[3][3];
    if (out.ndim == 2) {
        out = add_batch_axis(&call->out.dl, shapes[0], strides[0]);
        if (call->has_valid) {
            valid = add_batch_axis(&call->valid.dl, shapes[1], strides[1]);
        }
        if (call->has_dt) {
            dt = add_batch_axis(&call->dt.dl, shapes[2], strides[2]);
        }
    }
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    const bool release = worth_releasing(rbc__tensor_num_elements(&out) +
                                         rbc__tensor_num_elements(&call->stream.times.dl));
    PyThreadState *thread = release ? PyEval_SaveThread() : NULL;
    rbc_error err;
    const rbc_status status = rbc_resample(
        context, &call->stream.source, &call->targets.dl, &out, call->has_valid ? &valid : NULL,
        call->has_dt ? &dt : NULL, call->stream.values.cu_stream, &err);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

/* The output, or a tuple of it and the masks asked for. */
static PyObject *pack(module_state *state, void *memory) {
    resample_call *call = memory;
    PyObject *out = tensor_object(state, &call->out);
    if (out == NULL || (!call->has_valid && !call->has_dt)) {
        return out;
    }
    PyObject *valid = call->has_valid ? tensor_object(state, &call->valid) : NULL;
    PyObject *dt = call->has_dt ? tensor_object(state, &call->dt) : NULL;
    PyObject *result = NULL;
    if (!PyErr_Occurred()) {
        result = valid != NULL && dt != NULL ? PyTuple_Pack(3, out, valid, dt)
                                             : PyTuple_Pack(2, out, valid != NULL ? valid : dt);
    }
    Py_DECREF(out);
    Py_XDECREF(valid);
    Py_XDECREF(dt);
    return result;
}

static bool keep(void *memory) {
    resample_call *call = memory;
    return stream_keep(&call->stream) && tensor_keep(&call->targets) && tensor_keep(&call->out) &&
           tensor_keep(&call->valid) && tensor_keep(&call->dt);
}

static void release(void *memory) {
    resample_call *call = memory;
    stream_release(&call->stream);
    tensor_release(&call->targets);
    tensor_release(&call->out);
    tensor_release(&call->valid);
    tensor_release(&call->dt);
}

static tensor *like(void *memory) {
    return &((resample_call *)memory)->stream.values;
}

const operation resample_operation = {
    .name = NAME_resample_trajectories,
    .signature = &resample_signature,
    .backend_at = BACKEND,
    .call_bytes = sizeof(resample_call),
    .read = read_inputs,
    .create = create,
    .run = run,
    .pack = pack,
    .keep = keep,
    .release = release,
    .like = like,
    .like_name = "data",
};

PyObject *resample_trajectories(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames) {
    return operation_call(&resample_operation, module, args, nargs, kwnames);
}
