/* The episodes of a part, described by arrays. */
#define _POSIX_C_SOURCE 200809L

#include "objects/part.h"

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

/* How samples of the source are stored, where that is not as the stream's are. */
static bool read_encoding(module_state *state, const char *encoding, const char *stored,
                          rbc__batch_source *source) {
    rbc__encoding found;
    rbc_error err;
    if (rbc__encoding_find(encoding, &found, &err) != RBC_OK ||
        rbc__stored_find(found, stored, &source->stored, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    source->encoding = (uint8_t)found;
    source->has_encoding = true;
    return true;
}

/* (stream, kind, encoding or None, stored, number, packing, count, offset, bytes, blob, block, stride, episode, values) */
static bool read_source(module_state *state, const part_object *part, PyObject *object,
                        rbc__batch_source *source, ints_memory *memory, tensor *values) {
    static const char *const names[SOURCE_INTS] = {"count", "offset", "bytes",  "blob",
                                                   "block", "stride", "episode"};
    int stream;
    int kind;
    const char *encoding;
    const char *stored;
    long long number;
    long long packing;
    PyObject *given[SOURCE_INTS + 1];
    if (!PyArg_ParseTuple(object, "iizsLLOOOOOOOO", &stream, &kind, &encoding, &stored, &number,
                          &packing, &given[0], &given[1], &given[2], &given[3], &given[4],
                          &given[5], &given[6], &given[7]) ||
        (encoding != NULL && !read_encoding(state, encoding, stored, source))) {
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
    memory->sources = allocate_zeros(count, sizeof *memory->sources);
    memory->source_ints = allocate_zeros(count * SOURCE_INTS, sizeof *memory->source_ints);
    memory->source_values = allocate_zeros(count, sizeof *memory->source_values);
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
    memory->row_lengths = allocate_zeros(count, sizeof *memory->row_lengths);
    memory->row_ints = allocate_zeros(count, sizeof *memory->row_ints);
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
    memory->stamps = allocate_zeros(count, sizeof *memory->stamps);
    memory->stamp_ints = allocate_zeros(2 * count, sizeof *memory->stamp_ints);
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

/* episodes(number of them, num_steps, record, offset, bytes, tasks, metadata, sources, row lengths,
 * stamps) */
PyObject *part_episodes(PyObject *self, PyObject *args) {
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
        if (begin_part_call(self, &call)) {
            call.status = rbc__batch_add_episodes(call.part->writer, &batch, &call.err);
        }
        ok = end_part_call(&call);
    }
    release_episodes(&memory);
    if (!ok) {
        return NULL;
    }
    Py_INCREF(Py_None);
    return Py_None;
}
