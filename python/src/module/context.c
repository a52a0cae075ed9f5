#include "module/module.h"

#include "extension.h"

#define CONTEXT_CAPSULE "robocache.context"

static void destroy_context(PyObject *capsule) {
    rbc_context *context = PyCapsule_GetPointer(capsule, CONTEXT_CAPSULE);
    rbc_context_destroy(&context);
}

/* Threads from robocache.set_num_threads(), else $ROBOCACHE_NUM_THREADS, else all cores. */
static bool wanted_threads(module_state *state, int32_t *num_threads) {
    *num_threads = state->num_threads;
    const char *text = getenv("ROBOCACHE_NUM_THREADS");
    if (*num_threads > 0 || text == NULL || *text == '\0') {
        return true;
    }
    char *end = NULL;
    const long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > 1024) {
        raise_value(state, "ROBOCACHE_NUM_THREADS: found '%s', wanted a number from 1 to 1024",
                    text);
        return false;
    }
    *num_threads = (int32_t)value;
    return true;
}

PyObject *context_acquire(module_state *state, rbc_context **context) {
    if (state->context == NULL) {
        rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
        rbc_context *made = NULL;
        rbc_error err;
        if (!wanted_threads(state, &params.num_threads)) {
            return NULL;
        }
        params.cpu_features = state->cpu_features;
        if (rbc_context_create(&params, &made, &err) != RBC_OK) {
            return raise_error(state, &err);
        }
        state->context = PyCapsule_New(made, CONTEXT_CAPSULE, destroy_context);
        if (state->context == NULL) {
            rbc_context_destroy(&made);
            return NULL;
        }
    }
    *context = PyCapsule_GetPointer(state->context, CONTEXT_CAPSULE);
    Py_INCREF(state->context);
    return state->context;
}

PyObject *set_num_threads(PyObject *module, PyObject *object) {
    module_state *state = state_of_module(module);
    const long value = PyLong_AsLong(object);
    if (value == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return raise_type(state, "num_threads: found %R, wanted an integer", object);
    }
    if (value < 0 || value > 1024) {
        return raise_value(state, "num_threads: found %ld, wanted 0 (all cores) to 1024", value);
    }
    state->num_threads = (int32_t)value;
    /* Operations that are running hold the old context until they are done. */
    Py_CLEAR(state->context);
    Py_RETURN_NONE;
}

PyObject *get_num_threads(PyObject *module, PyObject *unused) {
    (void)unused;
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state_of_module(module), &context);
    if (capsule == NULL) {
        return NULL;
    }
    const int32_t num_threads = rbc_context_num_threads(context);
    Py_DECREF(capsule);
    return PyLong_FromLong(num_threads);
}

PyObject *set_cpu_features(PyObject *module, PyObject *object) {
    static const struct {
        const char *name;
        uint64_t bit;
    } known[] = {{"avx2", RBC_CPU_AVX2}, {"avx512", RBC_CPU_AVX512}, {"neon", RBC_CPU_NEON}};
    module_state *state = state_of_module(module);
    uint64_t features = object == Py_None ? UINT64_MAX : RBC_CPU_BASELINE;
    PyObject *names = object == Py_None ? PyTuple_New(0) : PySequence_Tuple(object);
    if (names == NULL) {
        PyErr_Clear();
        return raise_type(state, "features: found %R, wanted names, or None", object);
    }
    const Py_ssize_t count = PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject *name = PyTuple_GetItem(names, i);
        uint64_t bit = 0;
        for (size_t k = 0; PyUnicode_Check(name) && k < sizeof known / sizeof *known; ++k) {
            if (PyUnicode_CompareWithASCIIString(name, known[k].name) == 0) {
                bit = known[k].bit;
            }
        }
        if (bit == 0) {
            raise_value(state, "features: found %R, wanted 'avx2', 'avx512' or 'neon'", name);
            Py_DECREF(names);
            return NULL;
        }
        features |= bit;
    }
    Py_DECREF(names);
    state->cpu_features = features;
    Py_CLEAR(state->context);
    Py_RETURN_NONE;
}

PyObject *set_image_limits(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
    static const signature limits_signature = {
        "set_image_limits", 0, 0, 3, {NAME_max_pixels, NAME_max_scans, NAME_max_scan_pixels}};
    module_state *state = state_of_module(module);
    PyObject *values[3];
    rbc_image_limits limits = RBC_IMAGE_LIMITS_INIT;
    if (!parse_args(state, &limits_signature, args, nargs, kwnames, values) ||
        !parse_int(state, values[0], "max_pixels", &limits.max_pixels) ||
        !parse_int(state, values[1], "max_scans", &limits.max_scans) ||
        !parse_int(state, values[2], "max_scan_pixels", &limits.max_scan_pixels)) {
        return NULL;
    }
    rbc_error err;
    if (rbc_image_limits_set(&limits, &err) != RBC_OK) {
        return raise_error(state, &err);
    }
    Py_RETURN_NONE;
}

PyObject *get_image_limits(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    rbc_image_limits limits;
    rbc_image_limits_get(&limits);
    return Py_BuildValue("{s:L,s:L,s:L}", "max_pixels", (long long)limits.max_pixels, "max_scans",
                         (long long)limits.max_scans, "max_scan_pixels",
                         (long long)limits.max_scan_pixels);
}

static bool append_feature(PyObject *list, uint64_t features, uint64_t bit, const char *name) {
    if ((features & bit) == 0) {
        return true;
    }
    PyObject *text = PyUnicode_FromString(name);
    const bool ok = text != NULL && PyList_Append(list, text) == 0;
    Py_XDECREF(text);
    return ok;
}

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

PyObject *native_info(PyObject *module, PyObject *unused) {
    (void)unused;
    rbc_context *context = NULL;
    PyObject *capsule = context_acquire(state_of_module(module), &context);
    if (capsule == NULL) {
        return NULL;
    }
    const uint64_t features = rbc_context_cpu_features(context);
    const int32_t num_threads = rbc_context_num_threads(context);
    Py_DECREF(capsule);
    PyObject *list = PyList_New(0);
    if (list == NULL || !append_feature(list, features, RBC_CPU_AVX2, "avx2") ||
        !append_feature(list, features, RBC_CPU_AVX512, "avx512") ||
        !append_feature(list, features, RBC_CPU_NEON, "neon")) {
        Py_XDECREF(list);
        return NULL;
    }
    PyObject *has_cuda = PyBool_FromLong(rbc__cuda_has_kernels());
    return Py_BuildValue("{s:s,s:s,s:s,s:N,s:N,s:i}", "version", rbc_version(), "compiler",
                         COMPILER, "libjpeg_turbo", rbc__turbojpeg_version(), "cuda_backend",
                         has_cuda, "cpu_features", list, "num_threads", (int)num_threads);
}
