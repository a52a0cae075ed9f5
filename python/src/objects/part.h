/* The parts of a format in Python: one object, its methods in a file a subject.
 * Shared within python/src/objects. */
#ifndef RBC_PYTHON_PART_H
#define RBC_PYTHON_PART_H

#include "objects/objects.h"
#include "tensors/tensor.h"

#include <pthread.h>
#include <unistd.h>

typedef struct part_object {
    PyObject_HEAD rbc__batch_writer *writer; /* NULL: the part has been read */
    const rbc__schema *schema;
    const rbc__index_sink *sink;
    pthread_mutex_t lock; /* guards the writer; taken without Python's lock */
    pid_t process;
    char prefix[256];
} part_object;

static inline part_object *as_part(PyObject *self) {
    return (part_object *)(void *)self;
}

/* ---- calls of the writer ------------------------------------------------------------------------
 * Between begin_part_call() and end_part_call() no other thread uses the writer, and Python goes on. */

typedef struct part_call {
    part_object *part;
    PyThreadState *thread;
    rbc_status status;
    rbc_error err;
} part_call;

/* Whether the writer may be used; end_part_call() follows in any case. */
bool begin_part_call(PyObject *self, part_call *call);
/* False, with the exception set, where the call failed. */
bool end_part_call(part_call *call);
/* Ends the call with `number`, or NULL. */
PyObject *part_call_number(part_call *call, int64_t number);

/* ---- arguments ---- */

/* One number for all, or an array of them, which it holds. Zero-initialise; release_ints(). */
typedef struct ints_memory {
    tensor tensor;
    int64_t one;
} ints_memory;

/* None, int, or int64 [N]. */
bool read_ints(module_state *state, PyObject *object, const char *name, ints_memory *memory,
               rbc__ints *out);
void release_ints(ints_memory *memory, size_t count);
/* A list of str, or None, that is held by the caller; NULL for None. */
bool read_texts(module_state *state, PyObject *list, const char *name, int64_t count,
                const char ***out);
/* [(name, parameter, elements)], as Python's part.packing() makes them of names. */
bool read_packing(module_state *state, PyObject *steps, rbc__packing *packing);
/* Zeros, one element more than `count`; NULL with the exception set. PyMem_Free(). */
void *allocate_zeros(Py_ssize_t count, size_t bytes);

/* ---- part_objects.c: what episodes point to ---- */

PyObject *part_blobs(PyObject *self, PyObject *args);
PyObject *part_packing(PyObject *self, PyObject *steps);
PyObject *part_blocks(PyObject *self, PyObject *args);
PyObject *part_array(PyObject *self, PyObject *args);
PyObject *part_track(PyObject *self, PyObject *args);
PyObject *part_strings(PyObject *self, PyObject *list);

/* ---- video.c ---- */

PyObject *part_mp4(PyObject *self, PyObject *args);
/* ---- part_parquet.c ---- */

PyObject *part_parquet(PyObject *self, PyObject *args);

/* ---- part_episodes.c ---- */

PyObject *part_episodes(PyObject *self, PyObject *args);

#endif
