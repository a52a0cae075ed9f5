/* A loader as Python has it. Shared within python/src/objects. */
#ifndef RBC_PYTHON_LOADER_H
#define RBC_PYTHON_LOADER_H

#include <sys/types.h>

#include "objects/objects.h"

typedef struct loader_object {
    PyObject_HEAD rbc_loader *handle; /* NULL: closed */
    pid_t process;
    delivery how;
    const char *memory; /* whose it is on the device: "torch", "driver"; NULL: there is none */
    PyObject *names;    /* list of the fields' names, filled with the first batch */
    bool busy;          /* a call waits without the GIL: a loader has one consumer */
    bool closing;       /* another thread waits for that call to end */
    bool is_fresh;      /* nothing was handed out since the last seek: iterations begin there */
    bool is_asked;      /* and a batch was asked for, in this iteration */
    int64_t begun_at;   /* position of the last seek */
    int64_t iteration;
    rbc_batch *kept; /* taken out, and then an exception came: the next to be handed out */
    int64_t kept_epoch;
    /* Where the consumer's time goes, from an iteration's first call to its end. */
    int64_t called_from_ns, outside_from_ns; /* a call goes on, or is to come, since; 0: not */
    int64_t called_ns, outside_ns, deliver_ns;
} loader_object;

static inline loader_object *as_loader(PyObject *self) {
    return (loader_object *)(void *)self;
}

/* The handle, or NULL with an exception where the loader is closed. */
rbc_loader *loader_handle(PyObject *self);

/* Drops what it refers to; all of it may be NULL. */
void loader_release_delivery(delivery *how);

/* Of the clock that the consumer's time is counted by. */
int64_t loader_now_ns(void);

/* Methods without arguments, in loader_stats.c.
 * stages() -> dict of where the time goes, see rbc_loader_stages. "wait_ns" is the sum of its parts.
 * stats() -> dict of rbc_loader_stats.
 * memory() -> dict of what is held and unpacked, see rbc_loader_memory.
 * members() -> [(num_samples, segment_samples, group_segments)] of the datasets. */
PyObject *loader_stages(PyObject *self, PyObject *unused);
PyObject *loader_stats(PyObject *self, PyObject *unused);
PyObject *loader_memory(PyObject *self, PyObject *unused);
PyObject *loader_members(PyObject *self, PyObject *unused);

#endif
