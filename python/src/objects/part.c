/* What a part of a format in Python is read into: hands arrays to formats/batch.h. */
#define _POSIX_C_SOURCE 200809L

#include "objects/objects.h"
#include "tensors/tensor.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

typedef struct part_object {
    PyObject_HEAD rbc__batch_writer *writer; /* NULL: the part has been read */
    const rbc__schema *schema;
    const rbc__index_sink *sink;
    pthread_mutex_t lock; /* guards the writer; taken without Python's lock */
    pid_t process;
    char prefix[256];
} part_object;

static part_object *as_part(PyObject *self) {
    return (part_object *)(void *)self;
}

PyObject *part_create(module_state *state, const rbc__schema *schema, int64_t file_bytes,
                      const rbc__index_sink *sink, const char *prefix) {
    rbc_error err;
    rbc__batch_writer *writer;
    if (rbc__batch_writer_create(schema, file_bytes, sink, &writer, &err) != RBC_OK) {
        return raise_error(state, &err);
    }
    part_object *part = PyObject_New(part_object, state->part_type);
    if (part == NULL) {
        rbc__batch_writer_destroy(&writer);
        return NULL;
    }
    part->writer = writer;
    part->schema = schema;
    part->sink = sink;
    part->process = getpid();
    pthread_mutex_init(&part->lock, NULL);
    strncpy(part->prefix, prefix, sizeof part->prefix - 1);
    part->prefix[sizeof part->prefix - 1] = '\0';
    return (PyObject *)part;
}

void part_close(PyObject *self) {
    part_object *part = as_part(self);
    PyThreadState *thread = PyEval_SaveThread();
    pthread_mutex_lock(&part->lock);
    rbc__batch_writer_destroy(&part->writer);
    pthread_mutex_unlock(&part->lock);
    PyEval_RestoreThread(thread);
}

static void part_dealloc(PyObject *self) {
    part_object *part = as_part(self);
    rbc__batch_writer_destroy(&part->writer);
    pthread_mutex_destroy(&part->lock);
    free_instance(self);
}

/* ---- calls of the writer ------------------------------------------------------------------------
 * Between begin_call() and end_call() no other thread uses the writer, and Python goes on. */

typedef struct part_call {
    part_object *part;
    PyThreadState *thread;
    rbc_status status;
    rbc_error err;
} part_call;

/* Whether the writer may be used; end_call() follows in any case. */
static bool begin_call(PyObject *self, part_call *call) {
    call->part = as_part(self);
    call->status = RBC_OK;
    call->thread = PyEval_SaveThread();
    if (call->part->process != getpid()) {
        call->status = rbc__fail(&call->err, RBC_ERROR_INVALID_ARGUMENT,
                                 "is read by the process that this one was forked from");
        return false;
    }
    pthread_mutex_lock(&call->part->lock);
    if (call->part->writer == NULL) {
        call->status = rbc__fail(&call->err, RBC_ERROR_INVALID_ARGUMENT, "has been read already");
    }
    return call->status == RBC_OK;
}

/* False, with the exception set, where the call failed. */
static bool end_call(part_call *call) {
    if (call->part->process == getpid()) {
        pthread_mutex_unlock(&call->part->lock);
    }
    PyEval_RestoreThread(call->thread);
    if (call->status != RBC_OK) {
        if (call->status != RBC_ERROR_CANCELLED) {
            rbc__fail_within(&call->err, call->status, "%s", call->part->prefix);
        }
        raise_error(state_of_type((PyObject *)call->part), &call->err);
    }
    return call->status == RBC_OK;
}

static PyObject *number_result(part_call *call, int64_t number) {
    return end_call(call) ? PyLong_FromLongLong(number) : NULL;
}

/* ---- arguments ----------------------------------------------------------------------------------
 */

/* One number for all, or an array of them, which it holds. Zero-initialise; release_ints(). */
typedef struct ints_memory {
    tensor tensor;
    int64_t one;
} ints_memory;

/* None, int, or int64 [N]. */
static bool read_ints(module_state *state, PyObject *object, const char *name, ints_memory *memory,
                      rbc__ints *out) {
    *out = (rbc__ints){NULL, 0};
    if (object == Py_None) {
        return true;
    }
    if (PyLong_Check(object)) {
        memory->one = PyLong_AsLongLong(object);
        *out = (rbc__ints){&memory->one, RBC__INTS_ALL};
        return memory->one != -1 || !PyErr_Occurred();
    }
    rbc__dtype dtype;
    if (!tensor_read(state, object, name, NULL, &memory->tensor)) {
        return false;
    }
    const DLTensor *dl = &memory->tensor.dl;
    if (!rbc__dtype_from_dlpack(dl->dtype, &dtype) || dtype != RBC__I64 || dl->ndim != 1 ||
        dl->device.device_type != kDLCPU || !rbc__tensor_is_contiguous(dl)) {
        raise_type(state, "%s: wanted int64 [N]", name);
        return false;
    }
    *out = (rbc__ints){rbc__tensor_data(dl), dl->shape[0]};
    if (out->data == NULL) { /* of none */
        out->data = &memory->one;
    }
    return true;
}

static void release_ints(ints_memory *memory, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        tensor_release(&memory[i].tensor);
    }
}

static void *allocate(Py_ssize_t count, size_t bytes) {
    void *memory = PyMem_Calloc((size_t)count + 1, bytes);
    if (memory == NULL) {
        PyErr_NoMemory();
    }
    return memory;
}

/* ---- what episodes point to ---------------------------------------------------------------------
 */

/* blobs(pattern, first, count, sizes or None) -> number of the first */
static PyObject *part_blobs(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    const char *pattern;
    long long first;
    long long count;
    PyObject *sizes;
    ints_memory memory = {0};
    rbc__ints ints;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "sLLO", &pattern, &first, &count, &sizes)) {
        return NULL;
    }
    if (read_ints(state, sizes, "sizes", &memory, &ints)) {
        const rbc__blob_group group = {pattern, first, count, ints.data};
        int64_t number = 0;
        part_call call;
        if (begin_call(self, &call)) {
            call.status =
                ints.data != NULL && ints.length != count
                    ? rbc__fail(&call.err, RBC_ERROR_INVALID_ARGUMENT,
                                "blobs '%s': sizes: found %lld numbers, wanted %lld, one a blob",
                                pattern, (long long)ints.length, count)
                    : rbc__batch_add_blobs(call.part->writer, &group, &number, &call.err);
        }
        result = number_result(&call, number);
    }
    release_ints(&memory, 1);
    return result;
}

/* packing([(name, parameter, elements)]) -> its number */
static PyObject *part_packing(PyObject *self, PyObject *steps) {
    module_state *state = state_of_type(self);
    rbc__packing packing = {0};
    rbc_error err;
    const Py_ssize_t count = PyList_Check(steps) ? PyList_Size(steps) : 0;
    if (count > RBC__PACKING_MAX_STEPS) {
        return raise_value(state, "packing: found %zd steps, wanted at most %d", count,
                           RBC__PACKING_MAX_STEPS);
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        const char *name;
        unsigned int parameter;
        unsigned int elements;
        rbc__packing_kind kind;
        if (!PyArg_ParseTuple(PyList_GetItem(steps, i), "sII", &name, &parameter, &elements)) {
            return NULL;
        }
        if (rbc__packing_find(name, &kind, &err) != RBC_OK) {
            return raise_error(state, &err);
        }
        packing.steps[packing.num_steps++] = (rbc__packing_step){
            kind, kind == RBC__PACKING_BITSHUFFLE ? rbc__packing_bitshuffle(parameter, elements)
                                                  : parameter};
    }
    int64_t number = 0;
    part_call call;
    if (begin_call(self, &call)) {
        call.status = rbc__batch_add_packing(call.part->writer, &packing, &number, &call.err);
    }
    return number_result(&call, number);
}

/* blocks(count, blob, offset, packed bytes, unpacked bytes, packing) -> number of the first */
static PyObject *part_blocks(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    long long count;
    long long packing;
    PyObject *given[4];
    ints_memory memory[4] = {0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "LOOOOL", &count, &given[0], &given[1], &given[2], &given[3],
                          &packing)) {
        return NULL;
    }
    rbc__batch_blocks blocks = {.count = count, .packing = packing};
    rbc__ints *const ints[] = {&blocks.blob, &blocks.offset, &blocks.packed_bytes,
                               &blocks.unpacked_bytes};
    static const char *const names[] = {"blob", "offset", "bytes", "unpacked_bytes"};
    bool ok = true;
    for (int i = 0; ok && i < 4; ++i) {
        ok = read_ints(state, given[i], names[i], &memory[i], ints[i]);
        if (ok && ints[i]->length != RBC__INTS_ALL && ints[i]->length != count) {
            raise_value(state, "block: %s: found %lld numbers, wanted %lld", names[i],
                        (long long)ints[i]->length, count);
            ok = false;
        }
    }
    if (ok) {
        int64_t first = 0;
        part_call call;
        if (begin_call(self, &call)) {
            call.status = rbc__batch_add_blocks(call.part->writer, &blocks, &first, &call.err);
        }
        result = number_result(&call, first);
    }
    release_ints(memory, 4);
    return result;
}

static bool read_extents(module_state *state, PyObject *tuple, const char *name, int32_t ndim,
                         int64_t *out) {
    if (PyTuple_Size(tuple) != ndim) {
        raise_value(state, "array: %s: found %zd axes, wanted %d", name, PyTuple_Size(tuple),
                    (int)ndim);
        return false;
    }
    for (int32_t i = 0; i < ndim; ++i) {
        out[i] = PyLong_AsLongLong(PyTuple_GetItem(tuple, i));
        if (out[i] == -1 && PyErr_Occurred()) {
            return false;
        }
    }
    return true;
}

static rbc_status add_array(rbc__batch_writer *writer, const rbc__array_description *given,
                            int64_t packing_number, int64_t *number, rbc_error *err) {
    rbc__bytes encoded = {0};
    rbc__bytes object = {0};
    const rbc__packing *packing;
    rbc__array_object check;
    rbc__array_description array = *given; /* the object has one packing, its own */
    RBC__TRY(rbc__batch_packing(writer, packing_number, &packing, err));
    rbc_status status = rbc__array_encode(&array, &encoded, err);
    if (status == RBC_OK) {
        rbc__array_object_encode(packing, encoded.data, encoded.size, &object);
        status = rbc__bytes_check(&object, err);
    }
    if (status == RBC_OK) {
        status = rbc__array_object_decode(object.data, object.size, &check, err);
    }
    if (status == RBC_OK) {
        array.packing = (uint32_t)packing_number;
        status = rbc__batch_add_array(writer, &array, &object, number, err);
    }
    rbc__bytes_free(&encoded);
    rbc__bytes_free(&object);
    return status;
}

/* Chunks out of arrays [num_chunks]; freed with PyMem_Free(). */
static rbc__array_chunk *make_chunks(module_state *state, const rbc__ints *blob,
                                     const rbc__ints *offsets, const rbc__ints *sizes,
                                     const rbc__ints *skipped, int64_t count) {
    const struct {
        const rbc__ints *ints;
        const char *name;
    } given[] = {{blob, "blob"}, {offsets, "offsets"}, {sizes, "sizes"}, {skipped, "skipped"}};
    for (int i = 0; i < 4; ++i) {
        const rbc__ints *ints = given[i].ints;
        if (ints->data != NULL && ints->length != RBC__INTS_ALL && ints->length != count) {
            raise_value(state, "array: %s: found %lld numbers, wanted %lld, one a chunk",
                        given[i].name, (long long)ints->length, (long long)count);
            return NULL;
        }
    }
    if (offsets->data == NULL || sizes->data == NULL) {
        raise_value(state, "array: offsets and sizes are wanted");
        return NULL;
    }
    rbc__array_chunk *chunks = allocate(count, sizeof *chunks);
    for (int64_t i = 0; chunks != NULL && i < count; ++i) {
        const int64_t values[] = {
            blob->data != NULL ? blob->data[blob->length == RBC__INTS_ALL ? 0 : i] : 0,
            skipped->data != NULL ? skipped->data[skipped->length == RBC__INTS_ALL ? 0 : i] : 0};
        if (values[0] < 0 || values[0] >= RBC__COLUMN_BLOB || values[1] < 0 ||
            values[1] > UINT32_MAX) {
            raise_value(state, "array: chunk %lld: found blob %lld and skipped %lld", (long long)i,
                        (long long)values[0], (long long)values[1]);
            PyMem_Free(chunks);
            return NULL;
        }
        chunks[i] =
            (rbc__array_chunk){.blob = (uint32_t)values[0],
                               .skipped = (uint32_t)values[1],
                               .offset = offsets->data[offsets->length == RBC__INTS_ALL ? 0 : i],
                               .bytes = sizes->data[sizes->length == RBC__INTS_ALL ? 0 : i]};
    }
    return chunks;
}

/* array(shape, chunks, bytes of an element, packing, blob, offsets, sizes, skipped or None, fill or
 * None, order or None) -> its number */
static PyObject *part_array(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    PyObject *shape;
    PyObject *chunk_shape;
    PyObject *given[4];
    long long packing;
    long long element_bytes;
    const char *fill = NULL;
    const char *order = NULL;
    Py_ssize_t fill_bytes = 0;
    Py_ssize_t order_bytes = 0;
    ints_memory memory[4] = {0};
    rbc__ints ints[4];
    static const char *const names[] = {"blob", "offsets", "sizes", "skipped"};
    if (!PyArg_ParseTuple(args, "O!O!LLOOOOz#z#", &PyTuple_Type, &shape, &PyTuple_Type,
                          &chunk_shape, &element_bytes, &packing, &given[0], &given[1], &given[2],
                          &given[3], &fill, &fill_bytes, &order, &order_bytes)) {
        return NULL;
    }
    rbc__array_description array = {
        .element_bytes = element_bytes, .fill = fill, .order = (const uint8_t *)order};
    if (PyTuple_Size(shape) < 1 || PyTuple_Size(shape) > RBC__ARRAY_MAX_DIMS) {
        return raise_value(state, "array: shape: found %zd axes, wanted 1 to %d",
                           PyTuple_Size(shape), RBC__ARRAY_MAX_DIMS);
    }
    if (fill != NULL && fill_bytes != element_bytes) {
        return raise_value(state, "array: fill: found %zd bytes, wanted %lld", fill_bytes,
                           element_bytes);
    }
    if (order != NULL && order_bytes != PyTuple_Size(shape)) {
        return raise_value(state, "array: order: found %zd axes, wanted %zd", order_bytes,
                           PyTuple_Size(shape));
    }
    array.ndim = (int32_t)PyTuple_Size(shape);
    bool ok = read_extents(state, shape, "shape", array.ndim, array.shape) &&
              read_extents(state, chunk_shape, "chunks", array.ndim, array.chunk_shape);
    rbc_error err;
    if (ok && rbc__array_num_chunks(&array, &array.num_chunks, &err) != RBC_OK) {
        raise_error(state, &err);
        ok = false;
    }
    for (int i = 0; ok && i < 4; ++i) {
        ok = read_ints(state, given[i], names[i], &memory[i], &ints[i]);
    }
    rbc__array_chunk *chunks =
        ok ? make_chunks(state, &ints[0], &ints[1], &ints[2], &ints[3], array.num_chunks) : NULL;
    PyObject *result = NULL;
    if (chunks != NULL) {
        int64_t number = 0;
        part_call call;
        array.chunks = chunks;
        if (begin_call(self, &call)) {
            call.status = add_array(call.part->writer, &array, packing, &number, &call.err);
        }
        result = number_result(&call, number);
    }
    PyMem_Free(chunks);
    release_ints(memory, 4);
    return result;
}

/* track(codec, count, blob, offset, bytes, pts, key, shown or None, numerator, denominator) */
static PyObject *part_track(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    static const char *const names[] = {"blob", "offset", "bytes", "pts", "key", "shown"};
    const char *codec;
    long long count;
    PyObject *given[6];
    unsigned int numerator;
    unsigned int denominator;
    ints_memory memory[6] = {0};
    rbc__ints ints[6];
    if (!PyArg_ParseTuple(args, "sLOOOOOOII", &codec, &count, &given[0], &given[1], &given[2],
                          &given[3], &given[4], &given[5], &numerator, &denominator)) {
        return NULL;
    }
    bool ok = true;
    for (int i = 0; ok && i < 6; ++i) {
        ok = read_ints(state, given[i], names[i], &memory[i], &ints[i]);
        if (ok && ints[i].data != NULL && ints[i].length != RBC__INTS_ALL &&
            ints[i].length != count) {
            raise_value(state, "track: %s: found %lld numbers, wanted %lld, one a packet", names[i],
                        (long long)ints[i].length, count);
            ok = false;
        }
    }
    rbc__track_packet *packets = ok ? allocate(count, sizeof *packets) : NULL;
    for (int64_t i = 0; packets != NULL && ok && i < count; ++i) {
        int64_t values[6];
        for (int k = 0; k < 6; ++k) {
            values[k] = ints[k].data == NULL
                            ? k == 5
                            : ints[k].data[ints[k].length == RBC__INTS_ALL ? 0 : i];
        }
        if (values[0] < 0 || values[0] >= RBC__COLUMN_BLOB) {
            raise_value(state, "track: packet %lld: found blob %lld", (long long)i,
                        (long long)values[0]);
            ok = false;
            break;
        }
        packets[i] = (rbc__track_packet){.number = (uint32_t)values[0],
                                         .is_key = values[4] != 0,
                                         .is_shown = values[5] != 0,
                                         .offset = values[1],
                                         .bytes = values[2],
                                         .pts = values[3]};
    }
    PyObject *result = NULL;
    if (packets != NULL && ok) {
        int64_t number = 0;
        part_call call;
        if (begin_call(self, &call)) {
            call.status =
                rbc__batch_add_track(call.part->writer, codec, packets, count,
                                     (rbc__time_base){numerator, denominator}, &number, &call.err);
        }
        result = number_result(&call, number);
    }
    PyMem_Free(packets);
    release_ints(memory, 6);
    return result;
}

/* ---- episodes -----------------------------------------------------------------------------------
 */

#define SOURCE_INTS 7

/* What a call of episodes() borrows from Python. */
typedef struct episodes_memory {
    ints_memory episode[4];
    rbc__batch_source *sources;
    ints_memory *source_ints; /* [SOURCE_INTS] each */
    tensor *source_values;
    Py_ssize_t num_sources;
    rbc__batch_row_lengths *row_lengths;
    ints_memory *row_ints;
    Py_ssize_t num_row_lengths;
    rbc__batch_stamps *stamps;
    ints_memory *stamp_ints; /* [2] each */
    Py_ssize_t num_stamps;
    const char **tasks, **metadata;
} episodes_memory;

static void release_episodes(episodes_memory *memory) {
    release_ints(memory->episode, 4);
    if (memory->source_ints != NULL) {
        release_ints(memory->source_ints, (size_t)memory->num_sources * SOURCE_INTS);
    }
    for (Py_ssize_t i = 0; memory->source_values != NULL && i < memory->num_sources; ++i) {
        tensor_release(&memory->source_values[i]);
    }
    if (memory->row_ints != NULL) {
        release_ints(memory->row_ints, (size_t)memory->num_row_lengths);
    }
    if (memory->stamp_ints != NULL) {
        release_ints(memory->stamp_ints, (size_t)memory->num_stamps * 2);
    }
    PyMem_Free(memory->sources);
    PyMem_Free(memory->source_ints);
    PyMem_Free(memory->source_values);
    PyMem_Free(memory->row_lengths);
    PyMem_Free(memory->row_ints);
    PyMem_Free(memory->stamps);
    PyMem_Free(memory->stamp_ints);
    PyMem_Free((void *)memory->tasks);
    PyMem_Free((void *)memory->metadata);
}

/* The values of a column: an array [N, *shape] of the stream's dtype. */
static bool read_values(module_state *state, const part_object *part, PyObject *object,
                        tensor *values, rbc__batch_source *source) {
    rbc__dtype dtype;
    if (object == Py_None) {
        return true;
    }
    if (source->stream < 0 || source->stream >= part->schema->num_streams) {
        raise_value(state, "stream: found number %d", (int)source->stream);
        return false;
    }
    const rbc__stream_schema *stream = &part->schema->streams[source->stream];
    if (!tensor_read(state, object, stream->name, NULL, values)) {
        return false;
    }
    const DLTensor *dl = &values->dl;
    const rbc__dtype wanted_dtype = rbc__stream_column_dtype(stream);
    bool fits = rbc__dtype_from_dlpack(dl->dtype, &dtype) && dtype == wanted_dtype &&
                dl->ndim == stream->ndim + 1 && dl->device.device_type == kDLCPU &&
                rbc__tensor_is_contiguous(dl);
    for (int32_t i = 0; fits && i < stream->ndim; ++i) {
        fits = dl->shape[i + 1] == stream->shape[i];
    }
    if (!fits) {
        char found[128];
        char wanted[128];
        raise_value(state, "%s: stream '%s': Column: found %s %s, wanted %s [N] of %s",
                    part->prefix, stream->name, dtype_name(dl->dtype),
                    rbc__format_shape(found, sizeof found, dl->ndim, dl->shape),
                    rbc__dtype_name(wanted_dtype),
                    rbc__format_shape(wanted, sizeof wanted, stream->ndim, stream->shape));
        return false;
    }
    source->values = rbc__tensor_data(dl);
    source->num_values = dl->shape[0];
    return true;
}

/* (stream, kind, number, packing, count, offset, bytes, blob, block, stride, episode, values) */
static bool read_source(module_state *state, const part_object *part, PyObject *object,
                        rbc__batch_source *source, ints_memory *memory, tensor *values) {
    static const char *const names[SOURCE_INTS] = {"count", "offset", "bytes",  "blob",
                                                   "block", "stride", "episode"};
    int stream;
    int kind;
    long long number;
    long long packing;
    PyObject *given[SOURCE_INTS + 1];
    if (!PyArg_ParseTuple(object, "iiLLOOOOOOOO", &stream, &kind, &number, &packing, &given[0],
                          &given[1], &given[2], &given[3], &given[4], &given[5], &given[6],
                          &given[7])) {
        return false;
    }
    if (kind < 0 || kind >= RBC__BATCH_NUM_KINDS) {
        raise_value(state, "kind of a source: found %d", kind);
        return false;
    }
    source->stream = stream;
    source->kind = (rbc__batch_kind)kind;
    source->number = number;
    source->packing = packing;
    rbc__ints *const ints[SOURCE_INTS] = {&source->count,  &source->offset, &source->bytes,
                                          &source->blob,   &source->block,  &source->stride,
                                          &source->episode};
    for (int i = 0; i < SOURCE_INTS; ++i) {
        if (!read_ints(state, given[i], names[i], &memory[i], ints[i])) {
            return false;
        }
    }
    if (source->episode.length == RBC__INTS_ALL) {
        raise_type(state, "episode: wanted int64 [R]");
        return false;
    }
    return read_values(state, part, given[SOURCE_INTS], values, source);
}

static bool read_sources(module_state *state, const part_object *part, PyObject *list,
                         episodes_memory *memory) {
    const Py_ssize_t count = PyList_Size(list);
    memory->num_sources = count;
    memory->sources = allocate(count, sizeof *memory->sources);
    memory->source_ints = allocate(count * SOURCE_INTS, sizeof *memory->source_ints);
    memory->source_values = allocate(count, sizeof *memory->source_values);
    bool ok =
        memory->sources != NULL && memory->source_ints != NULL && memory->source_values != NULL;
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        ok = read_source(state, part, PyList_GetItem(list, i), &memory->sources[i],
                         &memory->source_ints[i * SOURCE_INTS], &memory->source_values[i]);
    }
    return ok;
}

/* [(stream, samples of each step)] */
static bool read_row_lengths(module_state *state, PyObject *list, episodes_memory *memory) {
    const Py_ssize_t count = PyList_Size(list);
    memory->num_row_lengths = count;
    memory->row_lengths = allocate(count, sizeof *memory->row_lengths);
    memory->row_ints = allocate(count, sizeof *memory->row_ints);
    bool ok = memory->row_lengths != NULL && memory->row_ints != NULL;
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        int stream;
        PyObject *samples;
        ok = PyArg_ParseTuple(PyList_GetItem(list, i), "iO", &stream, &samples) &&
             read_ints(state, samples, "row_lengths", &memory->row_ints[i],
                       &memory->row_lengths[i].samples);
        memory->row_lengths[i].stream = ok ? stream : 0;
    }
    return ok;
}

/* [(stream, first stamps, last stamps)] */
static bool read_stamps(module_state *state, PyObject *list, episodes_memory *memory) {
    const Py_ssize_t count = PyList_Size(list);
    memory->num_stamps = count;
    memory->stamps = allocate(count, sizeof *memory->stamps);
    memory->stamp_ints = allocate(2 * count, sizeof *memory->stamp_ints);
    bool ok = memory->stamps != NULL && memory->stamp_ints != NULL;
    for (Py_ssize_t i = 0; ok && i < count; ++i) {
        int stream;
        PyObject *first;
        PyObject *last;
        ok = PyArg_ParseTuple(PyList_GetItem(list, i), "iOO", &stream, &first, &last) &&
             read_ints(state, first, "first stamps", &memory->stamp_ints[2 * i],
                       &memory->stamps[i].first_ns) &&
             read_ints(state, last, "last stamps", &memory->stamp_ints[2 * i + 1],
                       &memory->stamps[i].last_ns);
        memory->stamps[i].stream = ok ? stream : 0;
    }
    return ok;
}

/* A list of str, or None, that is held by the caller; NULL for None. */
static bool read_texts(module_state *state, PyObject *list, const char *name, int64_t count,
                       const char ***out) {
    *out = NULL;
    if (list == Py_None) {
        return true;
    }
    if (!PyList_Check(list) || PyList_Size(list) != count) {
        raise_value(state, "%s: wanted a list of %lld, one an episode", name, (long long)count);
        return false;
    }
    *out = allocate(count, sizeof **out);
    for (int64_t i = 0; *out != NULL && i < count; ++i) {
        PyObject *text = PyList_GetItem(list, i);
        Py_ssize_t bytes;
        if (text == Py_None) {
            continue;
        }
        (*out)[i] = PyUnicode_AsUTF8AndSize(text, &bytes);
        if ((*out)[i] == NULL) {
            return false;
        }
        if (strlen((*out)[i]) != (size_t)bytes) {
            raise_value(state, "%s: episode %lld: found NUL in the text", name, (long long)i);
            return false;
        }
    }
    return *out != NULL;
}

/* strings(list of str) */
static PyObject *part_strings(PyObject *self, PyObject *list) {
    module_state *state = state_of_type(self);
    const char **texts = NULL;
    const Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : 0;
    if (!read_texts(state, list, "strings", count, &texts)) {
        PyMem_Free((void *)texts);
        return NULL;
    }
    part_call call;
    if (begin_call(self, &call)) {
        call.status = rbc__batch_set_strings(call.part->writer, texts, count, &call.err);
    }
    PyObject *result = number_result(&call, 0);
    PyMem_Free((void *)texts);
    return result;
}

/* episodes(number of them, num_steps, record, offset, bytes, tasks, metadata, sources, row lengths,
 * stamps) */
static PyObject *part_episodes(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    long long count;
    PyObject *given[4];
    PyObject *tasks;
    PyObject *metadata;
    PyObject *sources;
    PyObject *row_lengths;
    PyObject *stamps;
    if (!PyArg_ParseTuple(args, "LOOOOOOO!O!O!", &count, &given[0], &given[1], &given[2], &given[3],
                          &tasks, &metadata, &PyList_Type, &sources, &PyList_Type, &row_lengths,
                          &PyList_Type, &stamps)) {
        return NULL;
    }
    episodes_memory memory = {0};
    rbc__batch batch = {.num_episodes = count};
    bool ok = read_ints(state, given[0], "num_steps", &memory.episode[0], &batch.num_steps) &&
              read_ints(state, given[1], "record", &memory.episode[1], &batch.record) &&
              read_ints(state, given[2], "offset", &memory.episode[2], &batch.offset) &&
              read_ints(state, given[3], "bytes", &memory.episode[3], &batch.bytes) &&
              read_texts(state, tasks, "tasks", count, &memory.tasks) &&
              read_texts(state, metadata, "metadata", count, &memory.metadata) &&
              read_sources(state, as_part(self), sources, &memory) &&
              read_row_lengths(state, row_lengths, &memory) && read_stamps(state, stamps, &memory);
    if (ok) {
        batch.tasks = memory.tasks;
        batch.metadata = memory.metadata;
        batch.sources = memory.sources;
        batch.num_sources = memory.num_sources;
        batch.row_lengths = memory.row_lengths;
        batch.num_row_lengths = memory.num_row_lengths;
        batch.stamps = memory.stamps;
        batch.num_stamps = memory.num_stamps;
        part_call call;
        if (begin_call(self, &call)) {
            call.status = rbc__batch_add_episodes(call.part->writer, &batch, &call.err);
        }
        ok = end_call(&call);
    }
    release_episodes(&memory);
    if (!ok) {
        return NULL;
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/* ---- the rest -----------------------------------------------------------------------------------
 */

/* skip(record, message) */
static PyObject *part_skip(PyObject *self, PyObject *args) {
    long long record;
    const char *message;
    if (!PyArg_ParseTuple(args, "Ls", &record, &message)) {
        return NULL;
    }
    part_call call;
    if (begin_call(self, &call)) {
        rbc_error problem;
        rbc__fail(&problem, RBC_ERROR_FORMAT, "%s: record %lld: %s", call.part->prefix, record,
                  message);
        call.status = call.part->sink->damaged(call.part->sink->user, record, &problem, &call.err);
    }
    const bool is_told = call.status == RBC_ERROR_FORMAT; /* raised as it is */
    if (is_told) {
        call.status = RBC_OK;
    }
    if (!end_call(&call)) {
        return NULL;
    }
    if (is_told) {
        return raise_error(state_of_type(self), &call.err);
    }
    Py_INCREF(Py_None);
    return Py_None;
}

/* progress(bytes done) */
static PyObject *part_progress(PyObject *self, PyObject *bytes) {
    const unsigned long long done = PyLong_AsUnsignedLongLong(bytes);
    if (done == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    part_call call;
    if (begin_call(self, &call) && call.part->sink->progress(call.part->sink->user, done) != 0) {
        call.status = rbc__fail(&call.err, RBC_ERROR_CANCELLED, "indexing was stopped");
    }
    if (!end_call(&call)) {
        return NULL;
    }
    Py_INCREF(Py_None);
    return Py_None;
}

static PyMethodDef part_methods[] = {
    {"blobs", part_blobs, METH_VARARGS, NULL},       {"packing", part_packing, METH_O, NULL},
    {"blocks", part_blocks, METH_VARARGS, NULL},     {"array", part_array, METH_VARARGS, NULL},
    {"track", part_track, METH_VARARGS, NULL},       {"strings", part_strings, METH_O, NULL},
    {"episodes", part_episodes, METH_VARARGS, NULL}, {"skip", part_skip, METH_VARARGS, NULL},
    {"progress", part_progress, METH_O, NULL},       {NULL, NULL, 0, NULL}};

static PyType_Slot part_slots[] = {
    {Py_tp_dealloc, (void *)part_dealloc}, {Py_tp_methods, part_methods}, {0, NULL}};

PyType_Spec part_spec = {
    .name = "robocache._core.Part",
    .basicsize = sizeof(part_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = part_slots,
};
