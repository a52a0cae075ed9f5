/* Datasets, selections, episodes, loaders and formats as Python objects: thin, typed in Python above.
 * Interface of python/src/objects. */
#ifndef RBC_PYTHON_OBJECTS_H
#define RBC_PYTHON_OBJECTS_H

#include "module/module.h"

typedef struct dataset_object {
    PyObject_HEAD rbc_dataset *handle;
} dataset_object;

typedef struct selection_object {
    PyObject_HEAD rbc_selection *handle;
} selection_object;

/* The module's state, from an object of one of its types. */
module_state *state_of_type(PyObject *self);

extern PyType_Spec dataset_spec;
extern PyType_Spec selection_spec;
extern PyType_Spec statistics_spec;
extern PyType_Spec episode_spec;
extern PyType_Spec loader_spec;
extern PyType_Spec iterator_spec;
extern PyType_Spec field_spec;
extern PyType_Spec writer_spec;
extern PyType_Spec part_spec;
extern PyType_Spec plan_spec;

/* A new object of `type` that owns the handle, which is released on failure. */
PyObject *selection_wrap(module_state *state, rbc_selection *handle);
PyObject *episode_wrap(module_state *state, rbc_episode *handle);

/* How a batch is delivered. */
typedef struct delivery {
    PyObject *batch_type;         /* a dict */
    PyObject *text_type;          /* a list */
    const DLPackExchangeAPI *api; /* torch with the C exchange API */
    PyObject *from_dlpack;        /* older torch: torch.utils.dlpack.from_dlpack */
    PyObject *asarray;            /* NumPy: numpy.asarray */
    PyObject *cu_stream;          /* of batches on a device: gives the stream that is current */
} delivery;

/* A tensor over the batch's memory, which it keeps alive. */
PyObject *field_tensor(module_state *state, const delivery *how, rbc_batch *batch,
                       const rbc_field *field);
/* Lets a dict hold a batch, as its attribute `_native`. */
bool batch_hold(rbc_batch *batch, PyObject *dict);
/* A `text_type` of str for [B], of list[str] for [B, W]. */
PyObject *field_text(PyObject *text_type, rbc_batch *batch, int32_t index, const rbc_field *field);

PyObject *selection_statistics(PyObject *self, PyObject *args);
PyObject *load_statistics(PyObject *module, PyObject *object);
PyObject *merge_statistics(PyObject *module, PyObject *object);
PyObject *open_dataset(PyObject *module, PyObject *args);
PyObject *register_format(PyObject *module, PyObject *args);
PyObject *create_loader(PyObject *module, PyObject *args, PyObject *kwargs);

/* image.c: (params, images [B, H, W, C]) to the shape and dtype of one result; (params, images,
 * keys, out); (seed, epoch, episode, tick, share, name, frame) to a key. */
PyObject *image_output(PyObject *module, PyObject *args);
PyObject *image_apply(PyObject *module, PyObject *args);
/* batch_order(batch, stream): `batch` is what a batch on a device holds as `_native`. */
PyObject *batch_order(PyObject *module, PyObject *args);
PyObject *image_key(PyObject *module, PyObject *args);
/* What Image._native() returns. */
bool read_image_params(module_state *state, PyObject *object, rbc_image_params *out);
/* "accurate" or "fast"; None leaves *value. */
bool parse_jpeg_dct(module_state *state, PyObject *object, rbc_jpeg_dct *value);
PyObject *create_writer(PyObject *module, PyObject *args);
PyObject *read_mp4(PyObject *module, PyObject *args);
PyObject *video_decoders(PyObject *module, PyObject *unused);
PyObject *zip_members(PyObject *module, PyObject *args);
PyObject *npy_header(PyObject *module, PyObject *args);
PyObject *describe_foreign(PyObject *module, PyObject *args);
PyObject *npz_read_steps(PyObject *module, PyObject *args);
PyObject *unpack_bytes(PyObject *module, PyObject *args);

/* What a part of a format in Python is read into; `prefix` begins its messages. It has to be closed
 * before the sink goes, and outlives that. */
PyObject *part_create(module_state *state, const rbc__schema *schema, int64_t file_bytes,
                      const rbc__index_sink *sink, const char *prefix);
void part_close(PyObject *self);

/* Frees a heap type's instance after its own members are released. */
void free_instance(PyObject *self);

/* An rbc_interrupt_fn: `user` points to the state of the thread that called, which gave up the GIL.
 * The exception of a signal's handler stays set for the caller. */
int hear_signals(void *user);

/* A callable that is told of progress, or NULL, and the state of the thread that called, which gave up
 * the GIL. */
typedef struct progress_call {
    PyObject *callable;
    PyThreadState *thread;
} progress_call;
/* Calls it with the counts, on that thread; non-zero to stop: it returned False, or raised, or a
 * signal's handler did, which stays set for the caller. */
int tell_progress(progress_call *call, const long long *counts, int num_counts);

/* UTF-8 text from files; what is not valid is shown escaped. */
PyObject *text_object(const char *text);

#endif
