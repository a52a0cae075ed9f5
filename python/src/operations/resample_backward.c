#include "operations/resample.h"

enum {
    GRAD_OUT,
    GRAD_VALUES,
    SOURCE_TIMES,
    TARGET_TIMES,
    MODE,
    OUTSIDE,
    LENGTHS,
    CHANNELS,
    MAX_GAP,
    TOLERANCE,
    NUM_VALUES
};

static const signature backward_signature = {
    "resample_backward",
    4,
    4,
    NUM_VALUES,
    {NAME_grad_out, NAME_grad_values, NAME_source_times, NAME_target_times, NAME_mode, NAME_outside,
     NAME_lengths, NAME_channels, NAME_max_gap, NAME_tolerance}};

static bool run(module_state *state, const stream_input *stream, const tensor *targets,
                const tensor *grad_out) {
    DLTensor grad = grad_out->dl;
    int64_t shape[TENSOR_MAX_DIMS + 1];
    int64_t strides[TENSOR_MAX_DIMS + 1];
    if (grad.ndim == 2) {
        grad = add_batch_axis(&grad_out->dl, shape, strides);
    }
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state, &context);
    if (capsule == NULL) {
        return false;
    }
    rbc_error err;
    PyThreadState *thread =
        worth_releasing(rbc__tensor_num_elements(&grad)) ? PyEval_SaveThread() : NULL;
    const rbc_status status =
        rbc_resample_backward(context, &stream->source, &targets->dl, &grad, &stream->values.dl,
                              stream->values.cu_stream, &err);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
    }
    Py_DECREF(capsule);
    if (status != RBC_OK) {
        raise_error(state, &err);
    }
    return status == RBC_OK;
}

PyObject *resample_backward(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames) {
    module_state *state = state_of_module(module);
    PyObject *values[NUM_VALUES];
    if (!parse_args(state, &backward_signature, args, nargs, kwnames, values)) {
        return NULL;
    }
    const stream_args stream_of = {.values = values[GRAD_VALUES],
                                   .times = values[SOURCE_TIMES],
                                   .lengths = values[LENGTHS],
                                   .mode = values[MODE],
                                   .outside = values[OUTSIDE],
                                   .channels = values[CHANNELS],
                                   .max_gap = values[MAX_GAP],
                                   .tolerance = values[TOLERANCE],
                                   .values_name = "grad_values",
                                   .times_name = "source_times"};
    stream_input stream = {0};
    tensor targets = {0};
    tensor grad_out = {0};
    const bool ok =
        stream_read(state, &stream_of, NULL, 0, &stream) &&
        tensor_read(state, values[TARGET_TIMES], "target_times", &stream.values, &targets) &&
        tensor_read(state, values[GRAD_OUT], "grad_out", &stream.values, &grad_out) &&
        run(state, &stream, &targets, &grad_out);
    stream_release(&stream);
    tensor_release(&targets);
    tensor_release(&grad_out);
    if (!ok) {
        return NULL;
    }
    Py_RETURN_NONE;
}
