/* What the sources of the extension module share: its state, errors and argument parsing.
 *
 * Functions that return PyObject * return a new reference, or NULL with a Python exception set;
 * those that return bool set an exception where they return false. All need the GIL.
 * Interface of python/src/module. */
#ifndef RBC_PYTHON_MODULE_H
#define RBC_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include <robocache/robocache.h>

#include "extension.h"
#include "module/names.h"

#define NUM_STATUSES         12
#define FRAMEWORK_CACHE_SIZE 16

typedef enum framework_kind {
    FRAMEWORK_NONE = 0,     /* not a tensor */
    FRAMEWORK_EXCHANGE = 1, /* DLPack's C exchange API: torch from 2.10 */
    FRAMEWORK_NUMPY = 2,    /* __array_struct__ */
    FRAMEWORK_DLPACK = 3,   /* __dlpack__: CuPy, JAX, older torch */
} framework_kind;

/* How tensors of one Python type are read and made. */
typedef struct framework {
    PyTypeObject *type;
    framework_kind kind;
    bool is_torch;
    const DLPackExchangeAPI *api; /* FRAMEWORK_EXCHANGE */
} framework;

typedef struct module_state {
    PyObject *names[NUM_NAMES];
    PyObject *errors[NUM_STATUSES]; /* exception type of each rbc_status, NULL where none */
    PyObject *argument_type_error;
    bool has_no_memory; /* the last torch tensor that could not be read is one of torch's own making
                           that stands for others: compiled, exported, under vmap and its like */
    PyObject *context;  /* capsule, see context.c; NULL until an operation needs it */
    int32_t num_threads;
    uint64_t cpu_features;                      /* RBC_CPU_* that the context may use */
    framework frameworks[FRAMEWORK_CACHE_SIZE]; /* holds a reference to each type */
    int num_frameworks, next_framework;
    PyObject *numpy_empty;                   /* NULL until a NumPy output is made */
    PyObject *numpy_dtypes[RBC__NUM_DTYPES]; /* as above, each */
    PyObject *torch_forward_ad;              /* NULL until a torch tensor comes */
    PyObject *torch_empty_strided;           /* likewise for torch on CUDA */
    PyObject *torch_dtypes[RBC__NUM_DTYPES];
    PyTypeObject *dataset_type, *selection_type, *episode_type, *loader_type, *iterator_type,
        *field_type, *writer_type, *part_type, *plan_type, *statistics_type;
    void *spare; /* host memory of the last voxelization, for the next; see workspace.c */
    int64_t spare_bytes;
    PyObject *frameworks_module; /* robocache._frameworks, NULL until needed */
} module_state;

module_state *state_of_module(PyObject *module);

/* Raises the exception class of `err->status` with its message as it is, `errno` set for I/O.
 * Always returns NULL. */
PyObject *raise_error(module_state *state, const rbc_error *err);
/* InvalidArgumentError, ArgumentTypeError; formats as PyUnicode_FromFormat(). Always return NULL.
 */
PyObject *raise_value(module_state *state, const char *format, ...);
PyObject *raise_type(module_state *state, const char *format, ...);

#define MAX_PARAMS 20

/* Parameters of one function: the first num_positional may be given by position, the first
 * num_required must be given. */
typedef struct signature {
    const char *function;
    int num_positional;
    int num_required;
    int num_params;
    name_id params[MAX_PARAMS];
} signature;

/* Puts borrowed references into values[0..num_params), NULL for what was not given or None. */
bool parse_args(module_state *state, const signature *sig, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, PyObject **values);

typedef struct choice {
    name_id name;
    int value;
} choice;

/* The value of the choice that string `object` names; NULL leaves *value. `param` is for the
 * message. */
bool parse_choice(module_state *state, PyObject *object, const char *param, const choice *choices,
                  int num_choices, int *value);

#define PARSE_CHOICE(state, object, param, choices, value)                                         \
    parse_choice(state, object, param, choices, (int)(sizeof(choices) / sizeof(*(choices))), value)

/* NULL leaves *value. Numbers are Python's, NumPy's, or arrays and tensors of one; an integer may
 * be a float that is whole. */
bool parse_int(module_state *state, PyObject *object, const char *param, int64_t *value);
bool parse_double(module_state *state, PyObject *object, const char *param, double *value);
bool parse_bool(module_state *state, PyObject *object, const char *param, bool *value);
/* One integer for all three axes, or a sequence, array or tensor of three; likewise numbers. */
bool parse_int3(module_state *state, PyObject *object, const char *param, int64_t value[3]);
bool parse_double3(module_state *state, PyObject *object, const char *param, double value[3]);

typedef enum backend_choice {
    BACKEND_AUTO = 0,
    BACKEND_CPU = 1,
    BACKEND_CUDA = 2,
    BACKEND_PYTORCH = 3,
} backend_choice;

bool parse_backend(module_state *state, PyObject *object, backend_choice *value);

/* Calls robocache.pytorch.<sig->function> with the arguments given, `backend` left out. */
PyObject *call_reference(module_state *state, const signature *sig, PyObject *const *values);
/* Likewise robocache.torch.<sig->function>, which records gradients. */
PyObject *call_differentiable(module_state *state, const signature *sig, PyObject *const *values);

/* The default context, made on first use; the capsule keeps it alive while the GIL is released. */
PyObject *context_acquire(module_state *state, rbc_context **context);

PyObject *set_num_threads(PyObject *module, PyObject *object);
PyObject *get_num_threads(PyObject *module, PyObject *unused);
PyObject *set_cpu_features(PyObject *module, PyObject *object);
PyObject *set_image_limits(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames);
PyObject *get_image_limits(PyObject *module, PyObject *unused);
PyObject *native_info(PyObject *module, PyObject *unused);

/* Batches of JPEGs, see robocache/_core.pyi. */
PyObject *jpeg_create(PyObject *module, PyObject *args);
PyObject *jpeg_infos(PyObject *module, PyObject *capsule);
PyObject *jpeg_decode(PyObject *module, PyObject *args);

typedef PyObject *(*fastcall_function)(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames);

PyObject *create_plan(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *resample_backward(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *resample_trajectories(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);
PyObject *fuse_streams(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames);
PyObject *fuse_multimodal(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);
PyObject *voxelize_point_cloud(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *voxelize_sparse(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);
PyObject *voxelize_depth(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames);
PyObject *depth_to_points(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);

#endif
