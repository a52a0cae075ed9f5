#include "module/module.h"

PyObject *raise_error(module_state *state, const rbc_error *err) {
    const int status = (int)err->status;
    PyObject *type = status > 0 && status < NUM_STATUSES ? state->errors[status] : NULL;
    if (type == NULL) {
        type = state->errors[RBC_ERROR_INTERNAL];
    }
    PyObject *message =
        PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "backslashreplace");
    if (message == NULL) {
        return NULL;
    }
    PyObject *exception = PyObject_CallFunctionObjArgs(type, message, NULL);
    Py_DECREF(message);
    if (exception == NULL) {
        return NULL;
    }
    if (err->status == RBC_ERROR_IO && err->device_code != 0) {
        PyObject *code = PyLong_FromLong(err->device_code);
        if (code == NULL || PyObject_SetAttr(exception, state->names[NAME_errno], code) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(code);
    }
    PyErr_SetObject(type, exception);
    Py_DECREF(exception);
    return NULL;
}

PyObject *raise_value(module_state *state, const char *format, ...) {
    va_list args;
    va_start(args, format);
    PyErr_FormatV(state->errors[RBC_ERROR_INVALID_ARGUMENT], format, args);
    va_end(args);
    return NULL;
}

PyObject *raise_type(module_state *state, const char *format, ...) {
    va_list args;
    va_start(args, format);
    PyErr_FormatV(state->argument_type_error, format, args);
    va_end(args);
    return NULL;
}
