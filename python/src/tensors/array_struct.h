/* PyArrayInterface of NumPy's array interface protocol, version 3, and its flags.
 * Interface of python/src/tensors. */
#ifndef RBC_PYTHON_ARRAY_STRUCT_H
#define RBC_PYTHON_ARRAY_STRUCT_H

#include <Python.h>

typedef struct array_struct {
    int two;
    int nd;
    char typekind;
    int itemsize;
    int flags;
    Py_ssize_t *shape;
    Py_ssize_t *strides; /* bytes */
    void *data;
    PyObject *descr;
} array_struct;

#define ARRAY_C_CONTIGUOUS 0x001
#define ARRAY_ALIGNED      0x100
#define ARRAY_NOTSWAPPED   0x200
#define ARRAY_WRITEABLE    0x400
#define ARRAY_HAS_DESCR    0x800

#endif
