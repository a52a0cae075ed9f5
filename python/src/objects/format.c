/* Formats whose indexer is written in Python: robocache/formats/register.py is the other side. */
#define _GNU_SOURCE

#include "objects/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Lives as long as the process: datasets that are open have it. */
typedef struct python_format {
    rbc__format ops;
    module_state *state; /* of a module that is held */
    PyObject *adapter;   /* robocache.formats.register._Adapter */
} python_format;

typedef struct python_reader {
    const python_format *format;
    rbc__schema schema;
    long long handle; /* of what the adapter keeps of this opening */
} python_reader;

/* ---- errors -------------------------------------------------------------------------------------
 */

/* Takes the exception that is set, which the adapter has made one of robocache's. */
static rbc_status take_exception(const python_format *format, rbc_error *err) {
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;
    rbc_error unused = {0};
    rbc_error *out = err != NULL ? err : &unused;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    *out = (rbc_error){.status = RBC_ERROR_INTERNAL};
    for (int i = 0; i < NUM_STATUSES; ++i) {
        if (format->state->errors[i] != NULL && type == format->state->errors[i]) {
            out->status = (rbc_status)i;
        }
    }
    if (out->status == RBC_ERROR_INTERNAL && PyErr_GivenExceptionMatches(type, PyExc_MemoryError)) {
        out->status = RBC_ERROR_OUT_OF_MEMORY;
    }
    PyObject *text = value != NULL ? PyObject_Str(value) : NULL;
    PyObject *bytes = text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "replace") : NULL;
    (void)snprintf(out->message, sizeof out->message, "%s",
                   bytes != NULL && PyBytes_Size(bytes) > 0 ? PyBytes_AsString(bytes)
                   : out->status == RBC_ERROR_OUT_OF_MEMORY ? "out of memory in a format"
                                                            : "an error of a format");
    PyObject *code = value != NULL && out->status == RBC_ERROR_IO
                         ? PyObject_GetAttr(value, format->state->names[NAME_errno])
                         : NULL;
    if (code != NULL && PyLong_Check(code)) {
        out->device_code = (int32_t)PyLong_AsLong(code);
    }
    PyErr_Clear();
    Py_XDECREF(code);
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return out->status;
}

/* ---- the schema ---------------------------------------------------------------------------------
 */

static bool copy_text(const char *text, char **out) {
    *out = strdup(text);
    if (*out == NULL) {
        PyErr_NoMemory();
    }
    return *out != NULL;
}

static bool find_dtype(module_state *state, const char *text, rbc__dtype *dtype) {
    for (int i = 0; i < RBC__NUM_DTYPES; ++i) {
        if (strcmp(text, rbc__dtype_name((rbc__dtype)i)) == 0) {
            *dtype = (rbc__dtype)i;
            return true;
        }
    }
    raise_value(state, "dtype: found '%s', which is none of robocache's", text);
    return false;
}

static bool read_shape(module_state *state, PyObject *shape, rbc__stream_schema *stream) {
    const Py_ssize_t ndim = PyTuple_Size(shape);
    if (ndim > RBC_STREAM_MAX_DIMS - 1) {
        raise_value(state, "shape: found %zd axes, wanted at most %d", ndim,
                    RBC_STREAM_MAX_DIMS - 1);
        return false;
    }
    stream->ndim = (int32_t)ndim;
    for (Py_ssize_t i = 0; i < ndim; ++i) {
        stream->shape[i] = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
        if (stream->shape[i] < -1 || (stream->shape[i] == -1 && PyErr_Occurred())) {
            return false;
        }
    }
    return true;
}

/* Bytes of a sample as stored where they follow from the shape, else 0. */
static uint64_t stored_bytes(const rbc__stream_schema *stream) {
    const uint8_t encoding = stream->stored.encoding;
    if (encoding == RBC__ENCODING_STRING) {
        return sizeof(int32_t);
    }
    if (encoding == RBC__ENCODING_CLOUD) {
        return rbc__fields_extent(&stream->fields);
    }
    if (encoding != RBC__ENCODING_PLAIN && encoding != RBC__ENCODING_SWAPPED &&
        encoding != RBC__ENCODING_PIXELS) {
        return 0;
    }
    /* of other encodings it may be no dtype, but a kind of pixels */
    int64_t bytes = rbc__dtype_bytes((rbc__dtype)stream->stored.dtype);
    for (int32_t i = 0; i < stream->ndim; ++i) {
        if (stream->shape[i] < 0 || !rbc__mul_size(bytes, stream->shape[i], &bytes)) {
            return 0;
        }
    }
    return (uint64_t)bytes;
}

/* ((offset, dtype, is big-endian), ...) */
static bool read_fields(module_state *state, PyObject *tuple, rbc__fields *fields) {
    const Py_ssize_t count = PyTuple_Size(tuple);
    if (count > RBC__MAX_FIELDS) {
        raise_value(state, "fields: found %zd of them, wanted at most %d", count, RBC__MAX_FIELDS);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        rbc__field *field = &fields->items[i];
        const char *dtype;
        unsigned int offset;
        int is_swapped;
        rbc__dtype found;
        if (!PyArg_ParseTuple(PyTuple_GetItem(tuple, i), "Isp", &offset, &dtype, &is_swapped) ||
            !find_dtype(state, dtype, &found)) {
            return false;
        }
        *field = (rbc__field){offset, (uint8_t)found, is_swapped != 0};
    }
    fields->count = (uint32_t)count;
    return true;
}

/* (name, kind, dtype, shape, encoding, stored dtype or pixels, number of the times or -1, is ragged,
 * unit, scale, offset, fields) */
static bool read_stream(module_state *state, PyObject *object, int32_t num_streams,
                        rbc__stream_schema *stream) {
    static const char *const kinds[] = {"numeric", "image", "text"};
    const char *name;
    const char *kind;
    const char *dtype;
    const char *encoding;
    const char *stored;
    const char *unit;
    PyObject *shape;
    PyObject *fields;
    int times;
    int is_ragged;
    rbc__encoding found;
    rbc_error err;
    if (!PyArg_ParseTuple(object, "sssO!ssipsddO!", &name, &kind, &dtype, &PyTuple_Type, &shape,
                          &encoding, &stored, &times, &is_ragged, &unit, &stream->map.scale,
                          &stream->map.offset, &PyTuple_Type, &fields) ||
        !copy_text(name, &stream->name) || !copy_text("", &stream->encoding) ||
        !find_dtype(state, dtype, &stream->dtype) || !read_shape(state, shape, stream) ||
        !read_fields(state, fields, &stream->fields)) {
        return false;
    }
    for (int i = 0; i < 3; ++i) {
        if (strcmp(kind, kinds[i]) == 0) {
            stream->kind = (rbc_stream_kind)i;
        }
    }
    if (rbc__encoding_find(encoding, &found, &err) != RBC_OK ||
        rbc__stored_find(found, stored, &stream->stored.dtype, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    if (times < -1 || times >= num_streams) {
        raise_value(state, "times: found stream %d", times);
        return false;
    }
    stream->times = times;
    stream->is_ragged = is_ragged;
    stream->stored.encoding = (uint8_t)found;
    stream->stored.sample_bytes = stored_bytes(stream);
    /* numbers that are no others of the dtype become so by their value */
    stream->has_map = stream->map.scale != 1.0 || stream->map.offset != 0.0 ||
                      (stream->kind == RBC_STREAM_NUMERIC &&
                       !rbc__values_can(found, (rbc__dtype)stream->stored.dtype, stream->dtype) &&
                       rbc__values_can_map(found, (rbc__dtype)stream->stored.dtype, stream->dtype));
    if (strlen(unit) > RBC__UNIT_BYTES) {
        raise_value(state, "stream '%s': unit: found %zu bytes, wanted at most %d", name,
                    strlen(unit), RBC__UNIT_BYTES);
        return false;
    }
    memcpy(stream->unit, unit, strlen(unit));
    if (rbc__stream_check(stream, &err) != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    return true;
}

/* (path, split, stamp or None) */
static bool read_part(PyObject *object, rbc__part_schema *part) {
    const char *path;
    const char *split;
    PyObject *stamp;
    if (!PyArg_ParseTuple(object, "ssO", &path, &split, &stamp) || !copy_text(path, &part->path) ||
        !copy_text(split, &part->split)) {
        return false;
    }
    part->num_records = -1;
    part->is_virtual = stamp != Py_None;
    part->stamp = part->is_virtual ? PyLong_AsLongLong(stamp) : 0;
    return part->stamp != -1 || !PyErr_Occurred();
}

/* (handle, root, name, version, control rate, streams, parts) */
static bool read_schema(const python_format *format, PyObject *object, python_reader *reader) {
    rbc__schema *schema = &reader->schema;
    const char *root;
    const char *name;
    const char *version;
    PyObject *streams;
    PyObject *parts;
    if (!PyArg_ParseTuple(object, "LsssdO!O!", &reader->handle, &root, &name, &version,
                          &schema->control_rate_hz, &PyList_Type, &streams, &PyList_Type, &parts) ||
        !copy_text(root, &schema->root) || !copy_text(name, &schema->name) ||
        !copy_text(version, &schema->version)) {
        return false;
    }
    const Py_ssize_t num_streams = PyList_Size(streams);
    const Py_ssize_t num_parts = PyList_Size(parts);
    schema->streams = calloc((size_t)num_streams + 1, sizeof *schema->streams);
    schema->parts = calloc((size_t)num_parts + 1, sizeof *schema->parts);
    if (schema->streams == NULL || schema->parts == NULL || num_streams > INT32_MAX / 2) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < num_streams; ++i) {
        schema->num_streams = (int32_t)i + 1;
        if (!read_stream(format->state, PyList_GetItem(streams, i), (int32_t)num_streams,
                         &schema->streams[i])) {
            return false;
        }
    }
    for (Py_ssize_t i = 0; i < num_parts; ++i) {
        schema->num_parts = i + 1;
        if (!read_part(PyList_GetItem(parts, i), &schema->parts[i])) {
            return false;
        }
    }
    rbc__schema_set_reference(schema);
    return true;
}

/* ---- the format ---------------------------------------------------------------------------------
 */

/* A thread that forks has Python's lock: forks are let through while it is waited for. */
typedef struct python_call {
    int forks_held;
    PyGILState_STATE gil;
} python_call;

static python_call enter_python(void) {
    python_call call = {.forks_held = rbc__forks_let()};
    call.gil = PyGILState_Ensure();
    return call;
}

static void leave_python(const python_call *call) {
    PyGILState_Release(call->gil);
    rbc__forks_hold_again(call->forks_held);
}

static PyObject *path_object(const char *path) {
    return PyUnicode_DecodeFSDefault(path);
}

static rbc_status python_probe(const rbc__format *self, const char *path, bool *accepts,
                               rbc_error *err) {
    const python_format *format = self->user;
    const python_call call = enter_python();
    rbc_status status = RBC_OK;
    PyObject *result = PyObject_CallMethod(format->adapter, "probe", "N", path_object(path));
    *accepts = result == Py_True;
    if (result == NULL) {
        status = take_exception(format, err);
    }
    Py_XDECREF(result);
    leave_python(&call);
    return status;
}

static void python_close(rbc__reader **reader) {
    python_reader *closing = (python_reader *)*reader;
    *reader = NULL;
    if (closing != NULL) {
        rbc__schema_free(&closing->schema);
        free(closing);
    }
}

static rbc_status python_open(const rbc__format *self, const char *path, const char *told,
                              rbc__reader **out, rbc_error *err) {
    const python_format *format = self->user;
    *out = NULL;
    const python_call call = enter_python();
    rbc_status status = RBC_OK;
    python_reader *reader = calloc(1, sizeof *reader);
    PyObject *schema = NULL;
    if (reader == NULL) {
        PyErr_NoMemory();
    } else {
        reader->format = format;
        schema = PyObject_CallMethod(format->adapter, "open", "NN", path_object(path),
                                     text_object(told != NULL ? told : ""));
    }
    if (schema == NULL || !read_schema(format, schema, reader)) {
        status = take_exception(format, err);
        rbc__reader *failed = (rbc__reader *)reader;
        python_close(&failed);
        reader = NULL;
    }
    Py_XDECREF(schema);
    leave_python(&call);
    *out = (rbc__reader *)reader;
    return status;
}

static const rbc__schema *python_schema(const rbc__reader *reader) {
    return &((const python_reader *)reader)->schema;
}

/* Bytes of the part's file; -1: it is none. */
static rbc_status look_at_file(const python_reader *reader, const rbc__part_schema *part,
                               int64_t *bytes, rbc_error *err) {
    char *path = NULL;
    struct stat info;
    *bytes = -1;
    if (part->is_virtual) {
        return RBC_OK;
    }
    if (asprintf(&path, "%s/%s", reader->schema.root, part->path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", part->path);
    }
    rbc_status status = RBC_OK;
    if (stat(path, &info) != 0) {
        status = rbc__fail_errno(err, errno, "%s: cannot be opened", path);
    } else if (!S_ISREG(info.st_mode)) {
        status = rbc__fail_errno(err, EINVAL, "%s: is no file", path);
    } else {
        *bytes = info.st_size;
    }
    free(path);
    return status;
}

static rbc_status python_index_part(rbc__reader *indexed, int64_t part, const rbc__index_sink *sink,
                                    rbc_error *err) {
    const python_reader *reader = (const python_reader *)indexed;
    const python_format *format = reader->format;
    const rbc__part_schema *schema = &reader->schema.parts[part];
    int64_t file_bytes;
    char prefix[256];
    RBC__TRY(look_at_file(reader, schema, &file_bytes, err));
    (void)snprintf(prefix, sizeof prefix, "format '%s', part '%s'", format->ops.format,
                   schema->path);
    const python_call call = enter_python();
    rbc_status status = RBC_OK;
    PyObject *native = part_create(format->state, &reader->schema, file_bytes, sink, prefix);
    PyObject *result = native != NULL
                           ? PyObject_CallMethod(format->adapter, "read", "LLOs", reader->handle,
                                                 (long long)part, native, prefix)
                           : NULL;
    if (result == NULL) {
        status = take_exception(format, err);
    }
    if (native != NULL) {
        part_close(native);
    }
    Py_XDECREF(native);
    Py_XDECREF(result);
    leave_python(&call);
    return status;
}

/* register_format(name, what it looks for, adapter, replace) */
PyObject *register_format(PyObject *module, PyObject *args) {
    module_state *state = state_of_module(module);
    const char *name;
    const char *looks_for;
    PyObject *adapter;
    int replace;
    char *own_name = NULL;
    char *own_looks_for = NULL;
    rbc_error err;
    if (!PyArg_ParseTuple(args, "ssOp", &name, &looks_for, &adapter, &replace)) {
        return NULL;
    }
    python_format *format = calloc(1, sizeof *format);
    if (format == NULL || !copy_text(name, &own_name) || !copy_text(looks_for, &own_looks_for)) {
        free(format);
        free(own_name);
        return PyErr_NoMemory();
    }
    *format = (python_format){
        .ops = {.format = own_name,
                .looks_for = own_looks_for,
                .user = format,
                .is_told = true,
                .probe = python_probe,
                .open = python_open,
                .close = python_close,
                .schema = python_schema,
                .index_part = python_index_part},
        .state = state,
        .adapter = adapter,
    };
    PyThreadState *thread = PyEval_SaveThread(); /* a fork is waited for */
    const rbc_status status = rbc__format_register(&format->ops, replace, &err);
    PyEval_RestoreThread(thread);
    if (status != RBC_OK) {
        free(own_name);
        free(own_looks_for);
        free(format);
        return raise_error(state, &err);
    }
    Py_INCREF(module);
    Py_INCREF(adapter);
    Py_INCREF(Py_None);
    return Py_None;
}
