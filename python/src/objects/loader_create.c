/* create_loader(): from what Python asks for to a loader, and how its batches are delivered. */
#define _POSIX_C_SOURCE 200809L

#include "objects/loader.h"
#include "objects/members.h"
#include "objects/objects.h"
#include "tensors/tensor.h"
#include "tensors/torch_memory.h"

#include <unistd.h>

/* (kind, batch type, text type, stream); kind: numpy.asarray for NumPy, the type torch.Tensor for torch;
 * stream: None, or what gives the stream that is current on the device, as a number. */
static bool find_delivery(module_state *state, PyObject *types, delivery *how) {
    PyObject *kind = NULL;
    PyObject *stream = NULL;
    if (!PyArg_ParseTuple(types, "OOOO", &kind, &how->batch_type, &how->text_type, &stream)) {
        return false;
    }
    if (stream != Py_None) {
        Py_INCREF(stream);
        how->cu_stream = stream;
    }
    Py_INCREF(how->batch_type);
    Py_INCREF(how->text_type);
    if (!PyType_Check(kind)) {
        Py_INCREF(kind);
        how->asarray = kind;
        return true;
    }
    framework torch = {0};
    if (PyObject_HasAttr(kind, state->names[NAME___dlpack_c_exchange_api__])) {
        if (!exchange_find(state, (PyTypeObject *)(void *)kind, &torch)) {
            return false;
        }
        how->api = torch.api;
    }
    if (how->api == NULL) {
        PyObject *module = PyImport_ImportModule("torch.utils.dlpack");
        how->from_dlpack = module == NULL ? NULL : PyObject_GetAttrString(module, "from_dlpack");
        Py_XDECREF(module);
    }
    return how->api != NULL || how->from_dlpack != NULL;
}

static bool parse_policies(module_state *state, PyObject *on_error, PyObject *remainder,
                           rbc_loader_params *params) {
    static const choice error_choices[] = {{NAME_raise, RBC_ON_ERROR_RAISE},
                                           {NAME_skip, RBC_ON_ERROR_SKIP},
                                           {NAME_mask, RBC_ON_ERROR_MASK}};
    static const choice remainder_choices[] = {{NAME_uneven, RBC_REMAINDER_UNEVEN},
                                               {NAME_drop, RBC_REMAINDER_DROP},
                                               {NAME_repeat, RBC_REMAINDER_REPEAT}};
    int chosen_error = (int)params->on_error;
    int chosen_remainder = (int)params->remainder;
    const bool ok =
        PARSE_CHOICE(state, on_error, "on_error", error_choices, &chosen_error) &&
        PARSE_CHOICE(state, remainder, "remainder", remainder_choices, &chosen_remainder);
    params->on_error = (rbc_on_error)chosen_error;
    params->remainder = (rbc_remainder)chosen_remainder;
    return ok;
}

/* A loader of a mixture, or of the only dataset, which has no name. */
static rbc_status create_handle(const members *from, int epoch, long long epoch_samples,
                                const rbc_loader_params *params, rbc_loader **out, rbc_error *err) {
    const rbc_mixture_member *first = from->items;
    if (from->count == 1 && first->name == NULL) {
        rbc_loader_params alone = *params;
        alone.windows = first->windows;
        alone.num_windows = first->num_windows;
        alone.rate_hz = first->rate_hz;
        alone.clock = first->clock;
        alone.num_clock = first->num_clock;
        alone.require = first->require;
        alone.num_require = first->num_require;
        return rbc_loader_create(first->selection, &alone, out, err);
    }
    rbc_mixture_params mixture = RBC_MIXTURE_PARAMS_INIT;
    mixture.members = from->items;
    mixture.num_members = from->count;
    mixture.epoch = epoch;
    mixture.epoch_samples = epoch_samples;
    return rbc_loader_create_mixture(&mixture, params, out, err);
}

/* What allocates on the device: the driver, or PyTorch where it can be asked and `wanted` does not say
 * "driver". */
static bool find_memory(module_state *state, const char *wanted, rbc_loader_params *params) {
    const char *why = NULL;
    if (params->device.device_type == kDLCPU || (wanted != NULL && strcmp(wanted, "driver") == 0)) {
        return true;
    }
    params->device_allocator = torch_memory_find(&why);
    if (params->device_allocator == NULL && wanted != NULL) {
        PyErr_Format(state->errors[RBC_ERROR_UNSUPPORTED],
                     "$ROBOCACHE_DEVICE_MEMORY: found 'torch', and %s; wanted 'driver'", why);
        return false;
    }
    return true;
}

static PyObject *create(module_state *state, const members *from, int epoch,
                        long long epoch_samples, const rbc_loader_params *params, PyObject *types) {
    delivery how = {0};
    if (!find_delivery(state, types, &how)) {
        loader_release_delivery(&how);
        return NULL;
    }
    rbc_loader *handle = NULL;
    rbc_error err;
    rbc_loader_params heard = *params;
    PyThreadState *thread = PyEval_SaveThread();
    heard.interrupt = hear_signals;
    heard.interrupt_user = &thread;
    const rbc_status status = create_handle(from, epoch, epoch_samples, &heard, &handle, &err);
    PyEval_RestoreThread(thread);
    if (status != RBC_OK || PyErr_Occurred()) {
        rbc_loader_destroy(&handle);
        loader_release_delivery(&how);
        return PyErr_Occurred() ? NULL : raise_error(state, &err);
    }
    loader_object *loader = PyObject_New(loader_object, state->loader_type);
    if (loader == NULL) {
        rbc_loader_destroy(&handle);
        loader_release_delivery(&how);
        return NULL;
    }
    loader->handle = handle;
    loader->how = how;
    loader->process = getpid();
    loader->memory = params->device.device_type == kDLCPU ? NULL
                     : params->device_allocator != NULL   ? "torch"
                                                          : "driver";
    loader->names = NULL;
    loader->busy = false;
    loader->closing = false;
    loader->is_fresh = true;
    loader->begun_at = 0;
    loader->is_asked = false;
    loader->iteration = 0;
    loader->kept = NULL;
    loader->called_from_ns = loader->outside_from_ns = 0;
    loader->called_ns = loader->outside_ns = loader->deliver_ns = 0;
    return (PyObject *)loader;
}

/* create_loader(members, types, *, batch_size, ...): `types` are the type of tensors, of batches and of
 * texts. Everything has to be given. */
PyObject *create_loader(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {
        "members",    "types",        "batch_size", "shuffle",       "seed",
        "drop_last",  "num_threads",  "num_slots",  "on_error",      "rank",
        "world_size", "part",         "num_parts",  "remainder",     "jpeg_dct",
        "snap_ns",    "memory_bytes", "epoch",      "epoch_samples", "device",
        "jpeg",       "fixed_slots",  "align",      "device_memory", NULL};
    module_state *state = state_of_module(module);
    PyObject *list = NULL;
    PyObject *types = NULL;
    PyObject *on_error = NULL;
    PyObject *remainder = NULL;
    PyObject *jpeg_dct = NULL;
    unsigned long long seed = 0;
    int batch_size = 0;
    int shuffle = 0;
    int drop_last = 0;
    int num_threads = 0;
    int num_slots = 0;
    int rank = 0;
    int world_size = 1;
    int part = 0;
    int num_parts = 1;
    int epoch = 0;
    long long snap_ns = 0;
    long long memory_bytes = 0;
    int device = -1;
    int jpeg = 0;
    int fixed_slots = 0;
    int align = 0;
    const char *device_memory = NULL;
    long long epoch_samples = 0;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!$iiKpiiOiiiiOOLLiLiipiz", keywords,
                                     &PyList_Type, &list, &PyTuple_Type, &types, &batch_size,
                                     &shuffle, &seed, &drop_last, &num_threads, &num_slots,
                                     &on_error, &rank, &world_size, &part, &num_parts, &remainder,
                                     &jpeg_dct, &snap_ns, &memory_bytes, &epoch, &epoch_samples,
                                     &device, &jpeg, &fixed_slots, &align, &device_memory) ||
        !parse_policies(state, on_error, remainder, &params) ||
        !parse_jpeg_dct(state, jpeg_dct, &params.jpeg_dct)) {
        return NULL;
    }
    params.batch_size = batch_size;
    params.shuffle = shuffle;
    params.seed = seed;
    params.drop_last = drop_last;
    params.num_threads = num_threads;
    params.num_slots = num_slots;
    params.rank = rank;
    params.world_size = world_size;
    params.snap_ns = snap_ns;
    params.memory_bytes = memory_bytes;
    params.jpeg = (rbc_jpeg_on)jpeg;
    params.fixed_slots = fixed_slots;
    params.align = (rbc_align_on)align;
    if (device >= 0) {
        params.device = (DLDevice){kDLCUDA, device};
    }
    if (!find_memory(state, device_memory, &params)) {
        return NULL;
    }
    params.part = part;
    params.num_parts = num_parts;
    members read;
    PyObject *result = members_read(state, list, &read)
                           ? create(state, &read, epoch, epoch_samples, &params, types)
                           : NULL;
    members_free(&read);
    return result;
}
