#include "operations/operation.h"
#include "operations/resample.h"

/* Options that are one value for all streams or a list with one for each. */
typedef struct fuse_options {
    PyObject *mode, *modes, *outside, *lengths, *channels, *max_gap, *tolerance;
    PyObject *nan_missing, *check_times, *return_valid, *out;
} fuse_options;

/* Up to so many streams need no memory of their own. */
enum { FEW = 3, NUM_LISTS = 6 };

typedef struct fuse_call {
    stream_input *streams; /* `few_streams`, or allocated; so `sources` */
    rbc_resample_source *sources;
    int32_t count;
    tensor targets, out, valid;
    bool has_valid;
    int64_t shape[3];    /* of the output */
    PyObject *given_out; /* borrowed, NULL: none */
    PyObject *pairs;     /* what holds the streams' arrays; NULL: the arguments do */
    PyObject *held[NUM_LISTS];
    stream_input few_streams[FEW];
    rbc_resample_source few_sources[FEW];
} fuse_call;

_Static_assert(sizeof(fuse_call) <= OPERATION_CALL_BYTES, "room for a call");

/* Holds the options that are lists as tuples: Python code that runs while they are read may change
 * a list. */
static bool hold_lists(fuse_options *options, fuse_call *call) {
    PyObject **const lists[NUM_LISTS] = {&options->modes,   &options->outside,
                                         &options->lengths, &options->channels,
                                         &options->max_gap, &options->tolerance};
    for (int i = 0; i < NUM_LISTS; ++i) {
        if (*lists[i] != NULL && PyList_Check(*lists[i])) {
            call->held[i] = PyList_AsTuple(*lists[i]);
            if (call->held[i] == NULL) {
                return false;
            }
            *lists[i] = call->held[i];
        }
    }
    return true;
}

/* Element `index` of a tuple of `count` options, or the one option for all; borrowed. */
static bool option_at(module_state *state, PyObject *option, const char *name, int32_t count,
                      int32_t index, PyObject **value) {
    *value = option;
    if (option == NULL || !PyTuple_Check(option)) {
        return true;
    }
    const Py_ssize_t size = PyTuple_Size(option);
    if (size != count) {
        raise_value(state, "%s: %zd elements found, %d wanted, one for each stream", name, size,
                    (int)count);
        return false;
    }
    *value = PyTuple_GetItem(option, index);
    *value = *value == Py_None ? NULL : *value;
    return true;
}

/* Options whose single value is itself a list must be one per stream. */
static bool nested_option_at(module_state *state, PyObject *option, const char *name, int32_t count,
                             int32_t index, PyObject **value) {
    if (option != NULL && !PyTuple_Check(option)) {
        raise_type(state, "%s: found %R, wanted a list with one element (or None) a stream", name,
                   option);
        return false;
    }
    return option_at(state, option, name, count, index, value);
}

static bool read_stream(module_state *state, const fuse_options *options, int32_t index,
                        uint32_t flags, stream_args *args, fuse_call *call) {
    const int32_t n = call->count;
    PyObject *mode = NULL;
    if (!option_at(state, options->modes, "modes", n, index, &mode) ||
        !option_at(state, options->outside, "outside", n, index, &args->outside) ||
        !option_at(state, options->max_gap, "max_gap", n, index, &args->max_gap) ||
        !option_at(state, options->tolerance, "tolerance", n, index, &args->tolerance) ||
        !nested_option_at(state, options->lengths, "lengths", n, index, &args->lengths) ||
        !nested_option_at(state, options->channels, "channels", n, index, &args->channels)) {
        return false;
    }
    args->mode = mode != NULL ? mode : options->mode;
    const tensor *like = index == 0 ? NULL : &call->streams[0].values;
    if (!stream_read(state, args, like, flags, &call->streams[index])) {
        return false;
    }
    call->sources[index] = call->streams[index].source;
    return true;
}

static bool output_shape(module_state *state, const fuse_call *call, int64_t shape[3]) {
    const DLTensor *first = &call->streams[0].values.dl;
    const DLTensor *targets = &call->targets.dl;
    int64_t width = 0;
    for (int32_t i = 0; i < call->count; ++i) {
        const DLTensor *values = &call->streams[i].values.dl;
        if (values->ndim != first->ndim || (values->ndim != 2 && values->ndim != 3)) {
            raise_value(state,
                        "streams[%d]: values with %d axes found, wanted [B, S, D] or [S, D], all "
                        "alike",
                        (int)i, (int)values->ndim);
            return false;
        }
        if (!rbc__add_size(width, values->shape[values->ndim - 1], &width)) {
            raise_value(state, "streams: more than 2^63 channels");
            return false;
        }
    }
    if (targets->ndim < 1 || targets->ndim > first->ndim - 1) {
        raise_value(state, "target_times: %d axes found, wanted %s", (int)targets->ndim,
                    first->ndim == 3 ? "[B, T] or [T]" : "[T], as the values are [S, D]");
        return false;
    }
    int32_t axis = 0;
    if (first->ndim == 3) {
        shape[axis++] = first->shape[0];
    }
    shape[axis++] = targets->shape[targets->ndim - 1];
    shape[axis] = width;
    return true;
}

static bool create(module_state *state, PyObject *const *values, void *memory) {
    (void)values;
    fuse_call *call = memory;
    PyObject *out = call->given_out;
    const int64_t *shape = call->shape;
    const tensor *first = &call->streams[0].values;
    const int32_t ndim = first->dl.ndim;
    const bool ok =
        out != NULL
            ? tensor_read_output(state, out, first, first->dl.dtype, ndim, shape, &call->out)
            : tensor_create(state, first, first->dl.dtype, ndim, shape, &call->out);
    int64_t valid_shape[3] = {shape[0], shape[1], 0};
    valid_shape[ndim - 1] = call->count;
    return ok && (!call->has_valid || tensor_create(state, first, (DLDataType){kDLBool, 8, 1}, ndim,
                                                    valid_shape, &call->valid));
}

static bool run(module_state *state, void *memory) {
    fuse_call *call = memory;
    DLTensor out = call->out.dl;
    DLTensor valid = call->valid.dl;
    int64_t shapes[2][3];
    int64_t strides[2][3];
    if (out.ndim == 2) {
        out = add_batch_axis(&call->out.dl, shapes[0], strides[0]);
        if (call->has_valid) {
            valid = add_batch_axis(&call->valid.dl, shapes[1], strides[1]);
        }
    }
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    PyThreadState *thread =
        worth_releasing(rbc__tensor_num_elements(&out)) ? PyEval_SaveThread() : NULL;
    rbc_error err;
    const rbc_status status =
        rbc_fuse(context, call->sources, call->count, &call->targets.dl, &out,
                 call->has_valid ? &valid : NULL, call->streams[0].values.cu_stream, &err);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

static PyObject *pack(module_state *state, void *memory) {
    fuse_call *call = memory;
    PyObject *out = tensor_object(state, &call->out);
    if (out == NULL || !call->has_valid) {
        return out;
    }
    PyObject *valid = tensor_object(state, &call->valid);
    PyObject *result = valid == NULL ? NULL : PyTuple_Pack(2, out, valid);
    Py_DECREF(out);
    Py_XDECREF(valid);
    return result;
}

static bool parse_flags(module_state *state, const fuse_options *options, uint32_t *flags) {
    bool nan_missing = false;
    bool check_times = false;
    if (!parse_bool(state, options->nan_missing, "nan_missing", &nan_missing) ||
        !parse_bool(state, options->check_times, "check_times", &check_times)) {
        return false;
    }
    *flags = (nan_missing ? RBC_NAN_IS_MISSING : 0) | (check_times ? RBC_CHECK_TIMES : 0);
    return true;
}

static void release(void *memory) {
    fuse_call *call = memory;
    for (int32_t i = 0; call->streams != NULL && i < call->count; ++i) {
        stream_release(&call->streams[i]);
    }
    tensor_release(&call->targets);
    tensor_release(&call->out);
    tensor_release(&call->valid);
    if (call->count > FEW) {
        PyMem_Free(call->streams);
        PyMem_Free(call->sources);
    }
    Py_XDECREF(call->pairs);
    for (int i = 0; i < NUM_LISTS; ++i) {
        Py_XDECREF(call->held[i]);
    }
}

/* Reads streams from `args` (values, times and names set), the targets and the shape of the output.
 */
static bool read_inputs(module_state *state, stream_args *args, int32_t count,
                        fuse_options *options, PyObject *target_times, fuse_call *call,
                        bool *needs_grad) {
    uint32_t flags = 0;
    const bool is_few = count <= FEW;
    call->streams =
        is_few ? call->few_streams : PyMem_Calloc((size_t)count, sizeof(*call->streams));
    call->sources =
        is_few ? call->few_sources : PyMem_Calloc((size_t)count, sizeof(*call->sources));
    call->count = count;
    call->given_out = options->out;
    if (call->streams == NULL || call->sources == NULL) {
        PyErr_NoMemory();
        return false;
    }
    bool ok = hold_lists(options, call) && parse_flags(state, options, &flags) &&
              parse_bool(state, options->return_valid, "return_valid", &call->has_valid);
    for (int32_t i = 0; ok && i < count; ++i) {
        ok = read_stream(state, options, i, flags, &args[i], call);
        ok = ok && tensor_needs_grad(state, &call->streams[i].values, needs_grad) &&
             tensor_needs_grad(state, &call->streams[i].times, needs_grad);
    }
    return ok &&
           tensor_read_list(state, target_times, "target_times", &call->streams[0].values,
                            &call->streams[0].times, &call->targets) &&
           tensor_needs_grad(state, &call->targets, needs_grad) &&
           output_shape(state, call, call->shape);
}

static bool keep(void *memory) {
    fuse_call *call = memory;
    bool ok = tensor_keep(&call->targets) && tensor_keep(&call->out) && tensor_keep(&call->valid);
    for (int32_t i = 0; ok && i < call->count; ++i) {
        ok = stream_keep(&call->streams[i]);
    }
    return ok;
}

static tensor *like(void *memory) {
    return &((fuse_call *)memory)->streams[0].values;
}

enum {
    MULTI_TARGETS = 6,
    MULTI_MODE,
    MULTI_MODES,
    MULTI_OUTSIDE,
    MULTI_LENGTHS,
    MULTI_CHANNELS,
    MULTI_MAX_GAP,
    MULTI_TOLERANCE,
    MULTI_NAN_MISSING,
    MULTI_CHECK_TIMES,
    MULTI_RETURN_VALID,
    MULTI_BACKEND,
    MULTI_OUT,
    MULTI_VALUES
};

static const signature multimodal_signature = {
    "fuse_multimodal",
    7,
    7,
    MULTI_VALUES,
    {NAME_vision, NAME_vision_times, NAME_proprio, NAME_proprio_times, NAME_force, NAME_force_times,
     NAME_target_times, NAME_mode, NAME_modes, NAME_outside, NAME_lengths, NAME_channels,
     NAME_max_gap, NAME_tolerance, NAME_nan_missing, NAME_check_times, NAME_return_valid,
     NAME_backend, NAME_out}};

static bool read_multimodal(module_state *state, PyObject **v, void *memory, bool *needs_grad) {
    fuse_options options = {
        .mode = v[MULTI_MODE],
        .modes = v[MULTI_MODES],
        .outside = v[MULTI_OUTSIDE],
        .lengths = v[MULTI_LENGTHS],
        .channels = v[MULTI_CHANNELS],
        .max_gap = v[MULTI_MAX_GAP],
        .tolerance = v[MULTI_TOLERANCE],
        .nan_missing = v[MULTI_NAN_MISSING],
        .check_times = v[MULTI_CHECK_TIMES],
        .return_valid = v[MULTI_RETURN_VALID],
        .out = v[MULTI_OUT],
    };
    stream_args streams[3] = {
        {.values = v[0], .times = v[1], .values_name = "vision", .times_name = "vision_times"},
        {.values = v[2], .times = v[3], .values_name = "proprio", .times_name = "proprio_times"},
        {.values = v[4], .times = v[5], .values_name = "force", .times_name = "force_times"}};
    return read_inputs(state, streams, 3, &options, v[MULTI_TARGETS], memory, needs_grad);
}

const operation fuse_multimodal_operation = {
    .name = NAME_fuse_multimodal,
    .signature = &multimodal_signature,
    .backend_at = MULTI_BACKEND,
    .call_bytes = sizeof(fuse_call),
    .read = read_multimodal,
    .create = create,
    .run = run,
    .pack = pack,
    .keep = keep,
    .release = release,
    .like = like,
    .like_name = "vision",
};

PyObject *fuse_multimodal(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames) {
    return operation_call(&fuse_multimodal_operation, module, args, nargs, kwnames);
}

enum {
    FUSE_STREAMS,
    FUSE_TARGETS,
    FUSE_MODES,
    FUSE_OUTSIDE,
    FUSE_LENGTHS,
    FUSE_CHANNELS,
    FUSE_MAX_GAP,
    FUSE_TOLERANCE,
    FUSE_NAN_MISSING,
    FUSE_CHECK_TIMES,
    FUSE_RETURN_VALID,
    FUSE_BACKEND,
    FUSE_OUT,
    FUSE_VALUES
};

static const signature fuse_signature = {"fuse_streams",
                                         2,
                                         2,
                                         FUSE_VALUES,
                                         {NAME_streams, NAME_target_times, NAME_modes, NAME_outside,
                                          NAME_lengths, NAME_channels, NAME_max_gap, NAME_tolerance,
                                          NAME_nan_missing, NAME_check_times, NAME_return_valid,
                                          NAME_backend, NAME_out}};

/* Borrowed values and times of each (values, times) pair of list `pairs`. */
static bool read_pairs(module_state *state, PyObject *pairs, int32_t count, stream_args *args) {
    for (int32_t i = 0; i < count; ++i) {
        PyObject *pair = PyList_GetItem(pairs, i);
        if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
            raise_type(state, "streams[%d]: found %R, wanted a tuple (values, times)", (int)i,
                       (PyObject *)Py_TYPE(pair));
            return false;
        }
        args[i] = (stream_args){.values = PyTuple_GetItem(pair, 0),
                                .times = PyTuple_GetItem(pair, 1),
                                .values_name = "streams: values",
                                .times_name = "streams: times"};
    }
    return true;
}

static bool read_streams(module_state *state, PyObject **v, void *memory, bool *needs_grad) {
    fuse_call *call = memory;
    call->pairs = PySequence_List(v[FUSE_STREAMS]);
    if (call->pairs == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            raise_type(state, "streams: found %R, wanted a list of (values, times)",
                       v[FUSE_STREAMS]);
        }
        return false;
    }
    v[FUSE_STREAMS] = call->pairs; /* an iterator yields them but once */
    const Py_ssize_t count = PyList_Size(call->pairs);
    if (count < 1 || count > 4096) {
        raise_value(state, "streams: %zd streams found, wanted 1 to 4096", count);
        return false;
    }
    fuse_options options = {
        .modes = v[FUSE_MODES],
        .outside = v[FUSE_OUTSIDE],
        .lengths = v[FUSE_LENGTHS],
        .channels = v[FUSE_CHANNELS],
        .max_gap = v[FUSE_MAX_GAP],
        .tolerance = v[FUSE_TOLERANCE],
        .nan_missing = v[FUSE_NAN_MISSING],
        .check_times = v[FUSE_CHECK_TIMES],
        .return_valid = v[FUSE_RETURN_VALID],
        .out = v[FUSE_OUT],
    };
    stream_args few[FEW];
    stream_args *streams = count <= FEW ? few : PyMem_Calloc((size_t)count, sizeof(stream_args));
    if (streams == NULL) {
        PyErr_NoMemory();
        return false;
    }
    const bool ok =
        read_pairs(state, call->pairs, (int32_t)count, streams) &&
        read_inputs(state, streams, (int32_t)count, &options, v[FUSE_TARGETS], call, needs_grad);
    if (streams != few) {
        PyMem_Free(streams);
    }
    return ok;
}

const operation fuse_operation = {
    .name = NAME_fuse_streams,
    .signature = &fuse_signature,
    .backend_at = FUSE_BACKEND,
    .call_bytes = sizeof(fuse_call),
    .read = read_streams,
    .create = create,
    .run = run,
    .pack = pack,
    .keep = keep,
    .release = release,
    .like = like,
    .like_name = "streams: values",
};

PyObject *fuse_streams(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames) {
    return operation_call(&fuse_operation, module, args, nargs, kwnames);
}
