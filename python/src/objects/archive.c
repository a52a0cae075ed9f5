/* What formats in Python read files with: zip archives, headers of NumPy's files, and bytes that are
 * packed. */
#include "objects/objects.h"
#include "tensors/tensor.h"

#include "objects/part.h"

#include <string.h>

/* ---- zip archives ------------------------------------------------------------------------------
 */

enum { NUM_NUMBERS = 5 };

/* Of the members of an archive, in the order of its directory. */
typedef struct members {
    int64_t count, room;
    int64_t *numbers[NUM_NUMBERS]; /* of headers, of data, packed and unpacked bytes, methods */
    char *names;                   /* each ended by a NUL */
    size_t names_bytes, names_room;
} members;

static void members_free(members *found) {
    for (int i = 0; i < NUM_NUMBERS; ++i) {
        free(found->numbers[i]);
    }
    free(found->names);
}

static bool members_reserve(members *found, uint64_t count, uint64_t names_bytes) {
    found->room = (int64_t)count;
    found->names_room = names_bytes;
    found->names = malloc(names_bytes + 1);
    bool ok = found->names != NULL;
    for (int i = 0; i < NUM_NUMBERS; ++i) {
        found->numbers[i] = malloc((count + 1) * sizeof(int64_t));
        ok = ok && found->numbers[i] != NULL;
    }
    return ok;
}

static rbc_status add_member(rbc__source *source, const rbc__zip *zip,
                             const rbc__zip_member *member, members *found, rbc_error *err) {
    if (found->count == found->room || memchr(member->name, 0, member->name_bytes) != NULL ||
        member->name_bytes + 1 > found->names_room - found->names_bytes) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %llu: zip archive: found more members than its end record says, "
                         "or a name with a NUL",
                         rbc__source_path(source), (unsigned long long)member->header_offset);
    }
    uint64_t offset;
    RBC__TRY(rbc__zip_locate(source, zip, member, &offset, err));
    const uint64_t numbers[] = {member->header_offset, offset, member->packed_bytes,
                                member->unpacked_bytes, member->method};
    for (int i = 0; i < NUM_NUMBERS; ++i) {
        if (numbers[i] > INT64_MAX) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: byte %llu: zip archive: found a size of %llu bytes",
                             rbc__source_path(source), (unsigned long long)member->header_offset,
                             (unsigned long long)numbers[i]);
        }
        found->numbers[i][found->count] = (int64_t)numbers[i];
    }
    memcpy(found->names + found->names_bytes, member->name, member->name_bytes);
    found->names_bytes += member->name_bytes;
    found->names[found->names_bytes++] = '\0';
    ++found->count;
    return RBC_OK;
}

/* Whether the name ends with one of the suffixes, which are each ended by a NUL; all do with none. */
static bool is_wanted(const rbc__zip_member *member, const char *suffixes, size_t suffixes_bytes) {
    const char *const end = suffixes + suffixes_bytes;
    for (const char *suffix = suffixes; suffix < end; suffix += strlen(suffix) + 1) {
        const size_t length = strlen(suffix);
        if (member->name_bytes >= length &&
            memcmp(member->name + member->name_bytes - length, suffix, length) == 0) {
            return true;
        }
    }
    return suffixes_bytes == 0;
}

static rbc_status read_members(const char *path, const char *suffixes, size_t suffixes_bytes,
                               members *found, rbc_error *err) {
    rbc__source *source;
    rbc__zip zip = {0};
    RBC__TRY(rbc__source_open(path, RBC__SOURCE_FILE, &source, err));
    rbc_status status = rbc__zip_read(source, &zip, err);
    if (status == RBC_OK && !members_reserve(found, zip.num_members, zip.directory_bytes)) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: a table of %llu members", path,
                           (unsigned long long)zip.num_members);
    }
    uint64_t at = 0;
    rbc__zip_member member;
    while (status == RBC_OK && rbc__zip_next(&zip, source, &at, &member, &status, err)) {
        if (is_wanted(&member, suffixes, suffixes_bytes)) {
            status = add_member(source, &zip, &member, found, err);
        }
    }
    rbc__zip_free(&zip);
    rbc__source_close(&source);
    return status;
}

/* zip_members(path, suffixes of names, each ended by a NUL, or none for all) -> (names, each ended by
 * a NUL; offsets of headers and of what is behind them, packed bytes, unpacked bytes and methods as
 * int64 in bytes) */
PyObject *zip_members(PyObject *module, PyObject *args) {
    const char *path;
    const char *suffixes;
    Py_ssize_t suffixes_bytes;
    if (!PyArg_ParseTuple(args, "sy#", &path, &suffixes, &suffixes_bytes)) {
        return NULL;
    }
    if (suffixes_bytes > 0 && suffixes[suffixes_bytes - 1] != '\0') {
        return raise_value(state_of_module(module), "suffixes: wanted a NUL behind each");
    }
    members found = {0};
    rbc_error err;
    PyThreadState *thread = PyEval_SaveThread();
    const rbc_status status = read_members(path, suffixes, (size_t)suffixes_bytes, &found, &err);
    PyEval_RestoreThread(thread);
    PyObject *result = NULL;
    if (status == RBC_OK) {
        const Py_ssize_t bytes = (Py_ssize_t)found.count * (Py_ssize_t)sizeof(int64_t);
        result = Py_BuildValue("y#y#y#y#y#y#", found.names, (Py_ssize_t)found.names_bytes,
                               (char *)found.numbers[0], bytes, (char *)found.numbers[1], bytes,
                               (char *)found.numbers[2], bytes, (char *)found.numbers[3], bytes,
                               (char *)found.numbers[4], bytes);
    } else {
        raise_error(state_of_module(module), &err);
    }
    members_free(&found);
    return result;
}

/* ---- an archive a step --------------------------------------------------------------------------
 */

/* The arrays that a key is read into. */
typedef struct key_memory {
    tensor values;
    ints_memory ints[2];
} key_memory;

/* int64 [count], which is written to. */
static bool read_room(module_state *state, PyObject *object, const char *name, int64_t count,
                      ints_memory *memory, int64_t **out) {
    rbc__ints ints;
    if (!read_ints(state, object, name, memory, &ints)) {
        return false;
    }
    if (ints.length != count || memory->tensor.read_only) {
        raise_value(state, "%s: wanted int64 [%lld] that can be written to", name,
                    (long long)count);
        return false;
    }
    *out = (int64_t *)(uintptr_t)ints.data;
    return true;
}

/* (name, values [n, *shape] or None, offsets, bytes) */
static bool read_key(module_state *state, PyObject *object, int64_t count, key_memory *memory,
                     rbc__npz_key *key) {
    PyObject *values;
    PyObject *ints[2];
    if (!PyArg_ParseTuple(object, "sOOO", &key->name, &values, &ints[0], &ints[1])) {
        return false;
    }
    if (values == Py_None) {
        return read_room(state, ints[0], "offsets", count, &memory->ints[0], &key->offsets) &&
               read_room(state, ints[1], "bytes", count, &memory->ints[1], &key->bytes);
    }
    if (!tensor_read(state, values, key->name, NULL, &memory->values)) {
        return false;
    }
    const DLTensor *dl = &memory->values.dl;
    if (!rbc__dtype_from_dlpack(dl->dtype, &key->dtype) || dl->ndim < 1 || dl->shape[0] != count ||
        dl->device.device_type != kDLCPU || !rbc__tensor_is_contiguous(dl) ||
        memory->values.read_only) {
        raise_value(state, "%s: wanted an array [%lld, ...] that can be written to", key->name,
                    (long long)count);
        return false;
    }
    key->values = rbc__tensor_data(dl);
    key->ndim = dl->ndim - 1;
    key->shape = dl->shape + 1;
    return true;
}

static bool read_keys(module_state *state, PyObject *list, int64_t count, key_memory *memory,
                      rbc__npz_key *keys) {
    for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
        if (!read_key(state, PyList_GetItem(list, i), count, &memory[i], &keys[i])) {
            return false;
        }
    }
    return true;
}

/* npz_read_steps(begin, end, digits, first, count, keys, file_bytes) fills arrays */
PyObject *npz_read_steps(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    rbc__npz_steps steps = {0};
    long long first;
    long long count;
    PyObject *list;
    PyObject *file_bytes;
    ints_memory sizes = {0};
    if (!PyArg_ParseTuple(args, "ssiLLO!O", &steps.begin, &steps.end, &steps.digits, &first, &count,
                          &PyList_Type, &list, &file_bytes)) {
        return NULL;
    }
    const Py_ssize_t num_keys = PyList_Size(list);
    rbc__npz_key *keys = allocate_zeros(num_keys, sizeof *keys);
    key_memory *memory = allocate_zeros(num_keys, sizeof *memory);
    bool ok = keys != NULL && memory != NULL &&
              read_room(state, file_bytes, "file_bytes", count, &sizes, &steps.file_bytes) &&
              read_keys(state, list, count, memory, keys);
    if (ok) {
        steps.first = first;
        steps.count = count;
        steps.keys = keys;
        steps.num_keys = (int32_t)num_keys;
        int64_t num_done;
        rbc_error err;
        PyThreadState *thread = PyEval_SaveThread();
        const rbc_status status = rbc__npz_read_steps(&steps, &num_done, &err);
        PyEval_RestoreThread(thread);
        ok = status == RBC_OK;
        if (!ok) {
            raise_error(state, &err);
        }
    }
    for (Py_ssize_t i = 0; memory != NULL && i < num_keys; ++i) {
        tensor_release(&memory[i].values);
        release_ints(memory[i].ints, 2);
    }
    release_ints(&sizes, 1);
    PyMem_Free(memory);
    PyMem_Free(keys);
    if (!ok) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- NumPy's files ------------------------------------------------------------------------------
 */

/* npy_header(bytes) -> (dtype as NumPy writes it, is Fortran order, shape, bytes of the header) */
PyObject *npy_header(PyObject *module, PyObject *args) {
    const char *data;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "y#", &data, &bytes)) {
        return NULL;
    }
    rbc__npy_header header;
    rbc_error err;
    if (rbc__npy_read_header((const uint8_t *)data, (uint64_t)bytes, &header, &err) != RBC_OK) {
        return raise_error(state_of_module(module), &err);
    }
    PyObject *descr = PyUnicode_DecodeLatin1(header.descr, (Py_ssize_t)strlen(header.descr), NULL);
    PyObject *shape = PyTuple_New(header.ndim);
    for (int32_t i = 0; shape != NULL && i < header.ndim; ++i) {
        PyObject *extent = PyLong_FromLongLong(header.shape[i]);
        if (extent == NULL || PyTuple_SetItem(shape, i, extent) != 0) {
            Py_CLEAR(shape);
        }
    }
    if (descr == NULL || shape == NULL) {
        Py_XDECREF(descr);
        Py_XDECREF(shape);
        return NULL;
    }
    return Py_BuildValue("NNNK", descr, PyBool_FromLong(header.is_fortran), shape,
                         (unsigned long long)header.bytes);
}

/* ---- files of other kinds -----------------------------------------------------------------------
 */

/* describe_foreign(the beginning of a file, whether text is foreign there) -> str, or None */
PyObject *describe_foreign(PyObject *module, PyObject *args) {
    (void)module;
    const char *data;
    Py_ssize_t bytes;
    int text_is_foreign;
    char what[RBC_ERROR_MESSAGE_BYTES];
    if (!PyArg_ParseTuple(args, "y#p", &data, &bytes, &text_is_foreign)) {
        return NULL;
    }
    if (!rbc__foreign_describe((const uint8_t *)data, (size_t)bytes, text_is_foreign != 0, what,
                               sizeof what)) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeLatin1(what, (Py_ssize_t)strlen(what), NULL);
}

/* ---- packed bytes -------------------------------------------------------------------------------
 */

/* unpack(steps as part.packing takes them, bytes, unpacked size) -> bytes */
PyObject *unpack_bytes(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    rbc__packing packing = {0};
    PyObject *steps;
    const char *packed;
    Py_ssize_t packed_bytes;
    Py_ssize_t unpacked_bytes;
    if (!PyArg_ParseTuple(args, "O!y#n", &PyList_Type, &steps, &packed, &packed_bytes,
                          &unpacked_bytes) ||
        !read_packing(state, steps, &packing)) {
        return NULL;
    }
    rbc_error err;
    if (unpacked_bytes < 0 || rbc__packing_check(&packing, &err) != RBC_OK ||
        rbc__packing_check_growth(&packing, (size_t)packed_bytes, (size_t)unpacked_bytes, &err) !=
            RBC_OK) {
        return unpacked_bytes < 0 ? raise_value(state, "unpack: found %zd bytes", unpacked_bytes)
                                  : raise_error(state, &err);
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, unpacked_bytes);
    if (result == NULL) {
        return NULL;
    }
    char *out = PyBytes_AsString(result);
    rbc__unpacker *unpacker = NULL;
    PyThreadState *thread = PyEval_SaveThread();
    rbc_status status = rbc__unpacker_create(&unpacker, &err);
    if (status == RBC_OK) {
        status = rbc__unpack(unpacker, &packing, packed, (size_t)packed_bytes, out,
                             (size_t)unpacked_bytes, &err);
        rbc__unpacker_destroy(&unpacker);
    }
    PyEval_RestoreThread(thread);
    if (status != RBC_OK) {
        Py_DECREF(result);
        return raise_error(state, &err);
    }
    return result;
}
