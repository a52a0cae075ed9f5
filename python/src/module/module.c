/* robocache._core: the native half of the Python package. */
#include "module/module.h"

#include <stdlib.h>

#include "module/docs.h"
#include "objects/objects.h"

module_state *state_of_module(PyObject *module) {
    return PyModule_GetState(module);
}

static const char *const name_texts[NUM_NAMES] = {
#define X(name) [NAME_##name] = #name,
    ALL_NAMES(X)
#undef X
};

static bool intern_names(module_state *state) {
    for (int i = 0; i < NUM_NAMES; ++i) {
        state->names[i] = PyUnicode_InternFromString(name_texts[i]);
        if (state->names[i] == NULL) {
            return false;
        }
    }
    return true;
}

static bool import_errors(module_state *state) {
    static const char *const classes[NUM_STATUSES] = {
        [RBC_ERROR_INVALID_ARGUMENT] = "InvalidArgumentError",
        [RBC_ERROR_OUT_OF_MEMORY] = "OutOfMemoryError",
        [RBC_ERROR_IO] = "IoError",
        [RBC_ERROR_FORMAT] = "FormatError",
        [RBC_ERROR_NOT_FOUND] = "NotFoundError",
        [RBC_ERROR_UNSUPPORTED] = "UnsupportedError",
        [RBC_ERROR_CANCELLED] = "CancelledError",
        [RBC_ERROR_DEVICE] = "DeviceError",
        [RBC_ERROR_INTERNAL] = "InternalError",
    };
    PyObject *errors = PyImport_ImportModule("robocache.errors");
    if (errors == NULL) {
        return false;
    }
    bool ok = true;
    for (int i = 0; ok && i < NUM_STATUSES; ++i) {
        if (classes[i] != NULL) {
            state->errors[i] = PyObject_GetAttrString(errors, classes[i]);
            ok = state->errors[i] != NULL;
        }
    }
    state->argument_type_error = ok ? PyObject_GetAttrString(errors, "ArgumentTypeError") : NULL;
    Py_DECREF(errors);
    return state->argument_type_error != NULL;
}

static bool add_data_types(PyObject *module) {
    module_state *state = state_of_module(module);
    const struct {
        PyType_Spec *spec;
        PyTypeObject **type;
    } types[] = {
        {&dataset_spec, &state->dataset_type},   {&selection_spec, &state->selection_type},
        {&episode_spec, &state->episode_type},   {&loader_spec, &state->loader_type},
        {&iterator_spec, &state->iterator_type}, {&field_spec, &state->field_type},
        {&writer_spec, &state->writer_type},     {&part_spec, &state->part_type},
        {&plan_spec, &state->plan_type},         {&statistics_spec, &state->statistics_type}};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); ++i) {
        PyObject *type = PyType_FromModuleAndSpec(module, types[i].spec, NULL);
        if (type == NULL) {
            return false;
        }
        *types[i].type = (PyTypeObject *)(void *)type;
        if (PyModule_AddType(module, *types[i].type) < 0) {
            return false;
        }
    }
    return true;
}

static int exec_module(PyObject *module) {
    module_state *state = state_of_module(module);
    state->cpu_features = UINT64_MAX;
    if (!intern_names(state) || !import_errors(state) || !add_data_types(module)) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "__version__", rbc_version());
}

static int traverse_module(PyObject *module, visitproc visit, void *arg) {
    module_state *state = state_of_module(module);
    for (int i = 0; i < NUM_STATUSES; ++i) {
        Py_VISIT(state->errors[i]);
    }
    Py_VISIT(state->argument_type_error);
    for (int i = 0; i < state->num_frameworks; ++i) {
        Py_VISIT(state->frameworks[i].type);
    }
    Py_VISIT(state->dataset_type);
    Py_VISIT(state->selection_type);
    Py_VISIT(state->episode_type);
    Py_VISIT(state->loader_type);
    Py_VISIT(state->iterator_type);
    Py_VISIT(state->field_type);
    Py_VISIT(state->writer_type);
    Py_VISIT(state->part_type);
    Py_VISIT(state->plan_type);
    Py_VISIT(state->statistics_type);
    Py_VISIT(state->numpy_empty);
    Py_VISIT(state->torch_forward_ad);
    Py_VISIT(state->torch_empty_strided);
    Py_VISIT(state->frameworks_module);
    return 0;
}

static int clear_module(PyObject *module) {
    module_state *state = state_of_module(module);
    for (int i = 0; i < NUM_NAMES; ++i) {
        Py_CLEAR(state->names[i]);
    }
    for (int i = 0; i < NUM_STATUSES; ++i) {
        Py_CLEAR(state->errors[i]);
    }
    Py_CLEAR(state->argument_type_error);
    Py_CLEAR(state->context);
    for (int i = 0; i < state->num_frameworks; ++i) {
        Py_CLEAR(state->frameworks[i].type);
    }
    state->num_frameworks = 0;
    Py_CLEAR(state->dataset_type);
    Py_CLEAR(state->selection_type);
    Py_CLEAR(state->episode_type);
    Py_CLEAR(state->loader_type);
    Py_CLEAR(state->iterator_type);
    Py_CLEAR(state->field_type);
    Py_CLEAR(state->writer_type);
    Py_CLEAR(state->part_type);
    Py_CLEAR(state->plan_type);
    Py_CLEAR(state->statistics_type);
    Py_CLEAR(state->numpy_empty);
    Py_CLEAR(state->torch_forward_ad);
    Py_CLEAR(state->torch_empty_strided);
    for (int i = 0; i < RBC__NUM_DTYPES; ++i) {
        Py_CLEAR(state->numpy_dtypes[i]);
        Py_CLEAR(state->torch_dtypes[i]);
    }
    Py_CLEAR(state->frameworks_module);
    free(state->spare);
    state->spare = NULL;
    state->spare_bytes = 0;
    return 0;
}

static void free_module(void *module) {
    clear_module(module);
}

#define FASTCALL(function)                                                                         \
    {#function, (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS,            \
     doc_##function}

static PyMethodDef methods[] = {
    FASTCALL(resample_trajectories),
    FASTCALL(resample_backward),
    FASTCALL(fuse_streams),
    FASTCALL(fuse_multimodal),
    FASTCALL(voxelize_point_cloud),
    FASTCALL(voxelize_sparse),
    FASTCALL(voxelize_depth),
    FASTCALL(depth_to_points),
    FASTCALL(create_plan),
    {"set_num_threads", set_num_threads, METH_O, doc_set_num_threads},
    {"get_num_threads", get_num_threads, METH_NOARGS, doc_get_num_threads},
    {"set_cpu_features", set_cpu_features, METH_O, doc_set_cpu_features},
    FASTCALL(set_image_limits),
    {"get_image_limits", get_image_limits, METH_NOARGS, doc_get_image_limits},
    {"image_key", image_key, METH_VARARGS, NULL},
    {"image_output", image_output, METH_VARARGS, NULL},
    {"batch_order", batch_order, METH_VARARGS, NULL},
    {"image_apply", image_apply, METH_VARARGS, NULL},
    {"open_dataset", open_dataset, METH_VARARGS, NULL},
    {"register_format", register_format, METH_VARARGS, NULL},
    {"create_loader", (PyCFunction)(void (*)(void))create_loader, METH_VARARGS | METH_KEYWORDS,
     NULL},
    {"create_writer", create_writer, METH_VARARGS, NULL},
    {"read_mp4", read_mp4, METH_VARARGS, NULL},
    {"video_decoders", video_decoders, METH_NOARGS, NULL},
    {"zip_members", zip_members, METH_VARARGS, NULL},
    {"npz_read_steps", npz_read_steps, METH_VARARGS, NULL},
    {"npy_header", npy_header, METH_VARARGS, NULL},
    {"describe_foreign", describe_foreign, METH_VARARGS, NULL},
    {"unpack", unpack_bytes, METH_VARARGS, NULL},
    {"load_statistics", load_statistics, METH_O, NULL},
    {"merge_statistics", merge_statistics, METH_O, NULL},
    {"jpeg_create", jpeg_create, METH_VARARGS, NULL},
    {"jpeg_infos", jpeg_infos, METH_O, NULL},
    {"jpeg_decode", jpeg_decode, METH_VARARGS, NULL},
    {"native_info", native_info, METH_NOARGS, doc_native_info},
    {NULL, NULL, 0, NULL}};

/* The slot's value is a function kept in a void *, as CPython's interface wants it. */
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)exec_module}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "robocache._core",
    .m_doc = "The native half of robocache.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse_module,
    .m_clear = clear_module,
    .m_free = free_module,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
