/* What the episodes of a part point to: blobs, packings, blocks, arrays, tracks, texts. */
#define _POSIX_C_SOURCE 200809L

#include "objects/part.h"

/* blobs(pattern, first, count, sizes or None) -> number of the first */
PyObject *part_blobs(PyObject *self, PyObject *args) {
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
        if (begin_part_call(self, &call)) {
            call.status =
                ints.data != NULL && ints.length != count
                    ? rbc__fail(&call.err, RBC_ERROR_INVALID_ARGUMENT,
                                "blobs '%s': sizes: found %lld numbers, wanted %lld, one a blob",
                                pattern, (long long)ints.length, count)
                    : rbc__batch_add_blobs(call.part->writer, &group, &number, &call.err);
        }
        result = part_call_number(&call, number);
    }
    release_ints(&memory, 1);
    return result;
}

bool read_packing(module_state *state, PyObject *steps, rbc__packing *packing) {
    rbc_error err;
    const Py_ssize_t count = PyList_Check(steps) ? PyList_Size(steps) : 0;
    if (count > RBC__PACKING_MAX_STEPS) {
        raise_value(state, "packing: found %zd steps, wanted at most %d", count,
                    RBC__PACKING_MAX_STEPS);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        const char *name;
        unsigned int parameter;
        unsigned int elements;
        rbc__packing_kind kind;
        if (!PyArg_ParseTuple(PyList_GetItem(steps, i), "sII", &name, &parameter, &elements)) {
            return false;
        }
        if (rbc__packing_find(name, &kind, &err) != RBC_OK) {
            raise_error(state, &err);
            return false;
        }
        packing->steps[packing->num_steps++] = (rbc__packing_step){
            kind, kind == RBC__PACKING_BITSHUFFLE ? rbc__packing_bitshuffle(parameter, elements)
                                                  : parameter};
    }
    return true;
}

/* packing([(name, parameter, elements)]) -> its number */
PyObject *part_packing(PyObject *self, PyObject *steps) {
    rbc__packing packing = {0};
    if (!read_packing(state_of_type(self), steps, &packing)) {
        return NULL;
    }
    int64_t number = 0;
    part_call call;
    if (begin_part_call(self, &call)) {
        call.status = rbc__batch_add_packing(call.part->writer, &packing, &number, &call.err);
    }
    return part_call_number(&call, number);
}

/* blocks(count, blob, offset, packed bytes, unpacked bytes, packing) -> number of the first */
PyObject *part_blocks(PyObject *self, PyObject *args) {
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
        if (begin_part_call(self, &call)) {
            call.status = rbc__batch_add_blocks(call.part->writer, &blocks, &first, &call.err);
        }
        result = part_call_number(&call, first);
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
    rbc__array_chunk *chunks = allocate_zeros(count, sizeof *chunks);
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
PyObject *part_array(PyObject *self, PyObject *args) {
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
        if (begin_part_call(self, &call)) {
            call.status = add_array(call.part->writer, &array, packing, &number, &call.err);
        }
        result = part_call_number(&call, number);
    }
    PyMem_Free(chunks);
    release_ints(memory, 4);
    return result;
}

#define TRACK_INTS 7

/* Packets out of arrays [count]; freed with PyMem_Free(). */
static rbc__track_packet *make_packets(module_state *state, const rbc__ints *ints,
                                       const char *const *names, int64_t count) {
    for (int i = 0; i < TRACK_INTS; ++i) {
        if (ints[i].data != NULL && ints[i].length != RBC__INTS_ALL && ints[i].length != count) {
            raise_value(state, "track: %s: found %lld numbers, wanted %lld, one a packet", names[i],
                        (long long)ints[i].length, (long long)count);
            return NULL;
        }
    }
    rbc__track_packet *packets = allocate_zeros(count, sizeof *packets);
    for (int64_t i = 0; packets != NULL && i < count; ++i) {
        static const int64_t otherwise[TRACK_INTS] = {0, 0, 0, 0, 0, 1, -1};
        int64_t values[TRACK_INTS];
        for (int k = 0; k < TRACK_INTS; ++k) {
            values[k] = ints[k].data == NULL
                            ? otherwise[k]
                            : ints[k].data[ints[k].length == RBC__INTS_ALL ? 0 : i];
        }
        const bool in_block = values[6] != -1;
        const int64_t number = in_block ? values[6] : values[0];
        if (number < 0 || number >= RBC__COLUMN_BLOB) {
            raise_value(state, "track: packet %lld: found %s %lld", (long long)i,
                        in_block ? "block" : "blob", (long long)number);
            PyMem_Free(packets);
            return NULL;
        }
        packets[i] = (rbc__track_packet){.number = (uint32_t)number,
                                         .in_block = in_block,
                                         .is_key = values[4] != 0,
                                         .is_shown = values[5] != 0,
                                         .offset = values[1],
                                         .bytes = values[2],
                                         .pts = values[3]};
    }
    return packets;
}

/* track(codec, pixel format, width, height, extradata, count, blob, offset, bytes, pts, key, shown or
 * None, block or None, numerator, denominator) */
PyObject *part_track(PyObject *self, PyObject *args) {
    module_state *state = state_of_type(self);
    static const char *const names[] = {"blob", "offset", "bytes", "pts", "key", "shown", "block"};
    rbc__track_description track = {0};
    const char *extradata;
    Py_ssize_t extradata_bytes;
    long long count;
    PyObject *given[TRACK_INTS];
    unsigned int numerator;
    unsigned int denominator;
    ints_memory memory[TRACK_INTS] = {0};
    rbc__ints ints[TRACK_INTS];
    if (!PyArg_ParseTuple(args, "ssiiy#LOOOOOOOII", &track.video.codec, &track.video.pixel_format,
                          &track.video.width, &track.video.height, &extradata, &extradata_bytes,
                          &count, &given[0], &given[1], &given[2], &given[3], &given[4], &given[5],
                          &given[6], &numerator, &denominator)) {
        return NULL;
    }
    bool ok = true;
    for (int i = 0; ok && i < TRACK_INTS; ++i) {
        ok = read_ints(state, given[i], names[i], &memory[i], &ints[i]);
    }
    rbc__track_packet *packets = ok ? make_packets(state, ints, names, count) : NULL;
    PyObject *result = NULL;
    if (packets != NULL) {
        int64_t number = 0;
        part_call call;
        track.video.extradata = (const uint8_t *)extradata;
        track.video.extradata_bytes = (size_t)extradata_bytes;
        track.time_base = (rbc__time_base){numerator, denominator};
        track.packets = packets;
        track.num_packets = count;
        if (begin_part_call(self, &call)) {
            call.status = rbc__batch_add_track(call.part->writer, &track, &number, &call.err);
        }
        result = part_call_number(&call, number);
    }
    PyMem_Free(packets);
    release_ints(memory, TRACK_INTS);
    return result;
}

/* strings(list of str) */
PyObject *part_strings(PyObject *self, PyObject *list) {
    module_state *state = state_of_type(self);
    const char **texts = NULL;
    const Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : 0;
    if (!read_texts(state, list, "strings", count, &texts)) {
        PyMem_Free((void *)texts);
        return NULL;
    }
    part_call call;
    if (begin_part_call(self, &call)) {
        call.status = rbc__batch_set_strings(call.part->writer, texts, count, &call.err);
    }
    PyObject *result = part_call_number(&call, 0);
    PyMem_Free((void *)texts);
    return result;
}
