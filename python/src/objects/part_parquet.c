/* Where the byte strings of a parquet column lie. */
#define _POSIX_C_SOURCE 200809L

#include "objects/part.h"

static PyObject *bytes_object(const rbc__bytes *bytes) {
    return PyBytes_FromStringAndSize((const char *)bytes->data, (Py_ssize_t)bytes->size);
}

/* parquet(path, offset, bytes, rows, level of definition, packing) -> int64 [n, 3] of pages: offset,
 * packed and unpacked bytes; and int64 [rows, 3] of values: page, offset, bytes; as bytes */
PyObject *part_parquet(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    const char *path;
    long long offset;
    long long bytes;
    long long rows;
    int level;
    long long number;
    if (!PyArg_ParseTuple(args, "sLLLiL", &path, &offset, &bytes, &rows, &level, &number)) {
        return NULL;
    }
    rbc__parquet_chunk chunk = {
        .offset = offset, .bytes = bytes, .num_rows = rows, .max_definition = level};
    const rbc__packing *packing;
    part_call call;
    if (begin_part_call(self, &call)) {
        call.status = rbc__batch_packing(call.part->writer, number, &packing, &call.err);
        if (call.status == RBC_OK) {
            chunk.packing = *packing;
        }
    }
    if (!end_part_call(&call)) {
        return NULL;
    }
    rbc__bytes pages = {0};
    rbc__bytes values = {0};
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    rbc__forks_hold();
    const rbc_status status = rbc__parquet_scan(path, &chunk, &pages, &values, &err);
    rbc__forks_release(NULL);
    PyEval_RestoreThread(thread);
    PyObject *result = status == RBC_OK
                           ? Py_BuildValue("(NN)", bytes_object(&pages), bytes_object(&values))
                           : raise_error(state, &err);
    rbc__bytes_free(&pages);
    rbc__bytes_free(&values);
    return result;
}
