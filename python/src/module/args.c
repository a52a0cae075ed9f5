#include "module/module.h"

#include <math.h>
#include <string.h>

/* Position of parameter `name`, -1 where there is none. */
static int find_param(const module_state *state, const signature *sig, PyObject *name) {
    for (int i = 0; i < sig->num_params; ++i) {
        if (state->names[sig->params[i]] == name) {
            return i;
        }
    }
    for (int i = 0; i < sig->num_params; ++i) {
        if (PyUnicode_Compare(state->names[sig->params[i]], name) == 0) {
            return i;
        }
    }
    return -1;
}

bool parse_args(module_state *state, const signature *sig, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, PyObject **values) {
    if (nargs > sig->num_positional) {
        raise_type(state, "%s() takes at most %d positional arguments, %zd given", sig->function,
                   sig->num_positional, nargs);
        return false;
    }
    memset(values, 0, (size_t)sig->num_params * sizeof(*values));
    for (Py_ssize_t i = 0; i < nargs; ++i) {
        values[i] = args[i];
    }
    const Py_ssize_t num_keywords = kwnames == NULL ? 0 : PyTuple_Size(kwnames);
    for (Py_ssize_t k = 0; k < num_keywords; ++k) {
        PyObject *name = PyTuple_GetItem(kwnames, k);
        const int i = find_param(state, sig, name);
        if (i < 0) {
            raise_type(state, "%s() got an unexpected keyword argument '%U'", sig->function, name);
            return false;
        }
        if (values[i] != NULL) {
            raise_type(state, "%s() got multiple values for argument '%U'", sig->function, name);
            return false;
        }
        values[i] = args[nargs + k];
    }
    for (int i = 0; i < sig->num_params; ++i) {
        if (i < sig->num_required && (values[i] == NULL || values[i] == Py_None)) {
            raise_type(state, "%s() needs argument '%U'", sig->function,
                       state->names[sig->params[i]]);
            return false;
        }
        if (values[i] == Py_None) {
            values[i] = NULL;
        }
    }
    return true;
}

static PyObject *join_choices(module_state *state, const choice *choices, int num_choices) {
    PyObject *text = PyUnicode_FromString("");
    for (int i = 0; i < num_choices && text != NULL; ++i) {
        PyObject *longer = PyUnicode_FromFormat("%U%s'%U'", text, i == 0 ? "" : ", ",
                                                state->names[choices[i].name]);
        Py_DECREF(text);
        text = longer;
    }
    return text;
}

bool parse_choice(module_state *state, PyObject *object, const char *param, const choice *choices,
                  int num_choices, int *value) {
    if (object == NULL) {
        return true;
    }
    for (int i = 0; i < num_choices; ++i) {
        if (state->names[choices[i].name] == object) {
            *value = choices[i].value;
            return true;
        }
    }
    if (!PyUnicode_Check(object)) {
        raise_type(state, "%s: found %R, wanted a string", param, object);
        return false;
    }
    for (int i = 0; i < num_choices; ++i) {
        if (PyUnicode_Compare(state->names[choices[i].name], object) == 0) {
            *value = choices[i].value;
            return true;
        }
    }
    PyObject *wanted = join_choices(state, choices, num_choices);
    if (wanted != NULL) {
        raise_value(state, "%s: found %R, wanted one of %U", param, object, wanted);
        Py_DECREF(wanted);
    }
    return false;
}

bool parse_double(module_state *state, PyObject *object, const char *param, double *value) {
    if (object == NULL) {
        return true;
    }
    const double number = PyFloat_AsDouble(object);
    if (number == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        raise_type(state, "%s: found %R, wanted a number", param, object);
        return false;
    }
    *value = number;
    return true;
}

/* An integer, or a number of another type that is one. */
static bool to_int(PyObject *object, int64_t *value) {
    PyObject *index = PyNumber_Index(object);
    if (index != NULL) {
        *value = PyLong_AsLongLong(index);
        Py_DECREF(index);
        return *value != -1 || !PyErr_Occurred();
    }
    PyErr_Clear();
    const double number = PyFloat_AsDouble(object);
    if ((number == -1.0 && PyErr_Occurred()) || !(fabs(number) < 0x1p63) ||
        number != floor(number)) {
        return false;
    }
    *value = (int64_t)number;
    return true;
}

bool parse_int(module_state *state, PyObject *object, const char *param, int64_t *value) {
    if (object != NULL && !to_int(object, value)) {
        PyErr_Clear();
        raise_type(state, "%s: found %R, wanted an integer of at most 64 bits", param, object);
        return false;
    }
    return true;
}

bool parse_bool(module_state *state, PyObject *object, const char *param, bool *value) {
    if (object == NULL) {
        return true;
    }
    const int truth = PyObject_IsTrue(object);
    if (truth < 0) {
        PyErr_Clear();
        raise_type(state, "%s: found %R, wanted True or False", param, object);
        return false;
    }
    *value = truth > 0;
    return true;
}

/* The elements of a sequence or one-dimensional array of three, as a list; NULL with an exception
 * where it is none of three, without one where it is a single number. */
static PyObject *three_items(module_state *state, PyObject *object, const char *param) {
    const Py_ssize_t count = PyObject_Size(object);
    if (count < 0) {
        PyErr_Clear();
        return NULL;
    }
    PyObject *items = count == 3 ? PySequence_List(object) : NULL;
    if (items == NULL || PyList_Size(items) != 3) {
        Py_XDECREF(items);
        PyErr_Clear();
        return raise_type(state, "%s: found %R, wanted one number or three", param, object);
    }
    return items;
}

bool parse_int3(module_state *state, PyObject *object, const char *param, int64_t value[3]) {
    PyObject *items = three_items(state, object, param);
    if (items == NULL) {
        value[0] = 0;
        const bool is_one = !PyErr_Occurred() && parse_int(state, object, param, &value[0]);
        value[1] = value[2] = value[0];
        return is_one;
    }
    bool ok = true;
    for (Py_ssize_t i = 0; ok && i < 3; ++i) {
        ok = parse_int(state, PyList_GetItem(items, i), param, &value[i]);
    }
    Py_DECREF(items);
    return ok;
}

bool parse_double3(module_state *state, PyObject *object, const char *param, double value[3]) {
    PyObject *items = three_items(state, object, param);
    if (items == NULL) {
        value[0] = 0;
        const bool is_one = !PyErr_Occurred() && parse_double(state, object, param, &value[0]);
        value[1] = value[2] = value[0];
        return is_one;
    }
    bool ok = true;
    for (Py_ssize_t i = 0; ok && i < 3; ++i) {
        ok = parse_double(state, PyList_GetItem(items, i), param, &value[i]);
    }
    Py_DECREF(items);
    return ok;
}

bool parse_backend(module_state *state, PyObject *object, backend_choice *value) {
    static const choice choices[] = {
        {NAME_cpu, BACKEND_CPU}, {NAME_cuda, BACKEND_CUDA}, {NAME_pytorch, BACKEND_PYTORCH}};
    int chosen = BACKEND_AUTO;
    if (!PARSE_CHOICE(state, object, "backend", choices, &chosen)) {
        return false;
    }
    *value = (backend_choice)chosen;
    return true;
}

static PyObject *call_python(module_state *state, const char *module_name, const signature *sig,
                             PyObject *const *values) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *function = module == NULL ? NULL : PyObject_GetAttrString(module, sig->function);
    PyObject *args = PyTuple_New(0);
    PyObject *kwargs = PyDict_New();
    PyObject *result = NULL;
    bool ok = function != NULL && args != NULL && kwargs != NULL;
    for (int i = 0; ok && i < sig->num_params; ++i) {
        if (values[i] != NULL && sig->params[i] != NAME_backend) {
            ok = PyDict_SetItem(kwargs, state->names[sig->params[i]], values[i]) == 0;
        }
    }
    if (ok) {
        result = PyObject_Call(function, args, kwargs);
    }
    Py_XDECREF(module);
    Py_XDECREF(function);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return result;
}

PyObject *call_reference(module_state *state, const signature *sig, PyObject *const *values) {
    return call_python(state, "robocache.pytorch", sig, values);
}

PyObject *call_differentiable(module_state *state, const signature *sig, PyObject *const *values) {
    return call_python(state, "robocache.torch", sig, values);
}
