/* Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include "layout/npy.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "io/foreign.h"

#define MAX_HEADER 65536

/* The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. */
typedef struct text {
    const char *at, *end;
} text;

static void skip_spaces(text *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t')) {
        ++t->at;
    }
}

static bool take(text *t, const char *token) {
    const size_t length = strlen(token);
    skip_spaces(t);
    if ((size_t)(t->end - t->at) < length || memcmp(t->at, token, length) != 0) {
        return false;
    }
    t->at += length;
    return true;
}

/* A string in single or double quotes. */
static bool take_string(text *t, char *out, size_t room) {
    skip_spaces(t);
    if (t->at == t->end || (*t->at != '\'' && *t->at != '"')) {
        return false;
    }
    const char quote = *t->at++;
    size_t length = 0;
    while (t->at < t->end && *t->at != quote && length + 1 < room) {
        out[length++] = *t->at++;
    }
    out[length] = '\0';
    if (t->at == t->end || *t->at != quote) {
        return false;
    }
    ++t->at;
    return true;
}

static bool take_extent(text *t, int64_t *out) {
    skip_spaces(t);
    const char *begin = t->at;
    *out = 0;
    while (t->at < t->end && *t->at >= '0' && *t->at <= '9') {
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, *t->at - '0', out)) {
            return false;
        }
        ++t->at;
    }
    (void)take(t, "L"); /* Python 2 */
    return t->at > begin;
}

static bool take_shape(text *t, rbc__npy_header *out) {
    if (!take(t, "(")) {
        return false;
    }
    while (!take(t, ")")) {
        if (out->ndim == RBC__NPY_MAX_DIMS || !take_extent(t, &out->shape[out->ndim])) {
            return false;
        }
        ++out->ndim;
        if (!take(t, ",")) {
            return take(t, ")");
        }
    }
    return true;
}

static bool find_dtype(const char *descr, rbc__npy *out) {
    static const struct {
        const char *name;
        rbc__dtype dtype;
    } known[] = {{"f4", RBC__F32},  {"f8", RBC__F64}, {"f2", RBC__F16}, {"u1", RBC__U8},
                 {"i1", RBC__I8},   {"i2", RBC__I16}, {"i4", RBC__I32}, {"i8", RBC__I64},
                 {"b1", RBC__BOOL}, {"u2", RBC__U16}, {"u4", RBC__U32}, {"u8", RBC__U64}};
    const bool has_order = strchr("<>|=", descr[0]) != NULL && descr[0] != '\0';
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        if (strcmp(descr + has_order, known[i].name) == 0) {
            out->dtype = known[i].dtype;
            out->is_swapped = descr[0] == '>' && rbc__dtype_bytes(out->dtype) > 1;
            return true;
        }
    }
    return false;
}

static rbc_status parse_text(text t, rbc__npy_header *out, rbc_error *err) {
    char key[32];
    bool has_shape = false;
    bool has_order = false;
    bool ok = take(&t, "{");
    while (ok && !take(&t, "}")) {
        ok = take_string(&t, key, sizeof key) && take(&t, ":");
        if (ok && strcmp(key, "descr") == 0) {
            if (!take_string(&t, out->descr, sizeof out->descr)) {
                return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                                 "a .npy array of records; plain numbers are supported");
            }
        } else if (ok && strcmp(key, "fortran_order") == 0) {
            out->is_fortran = take(&t, "True");
            ok = out->is_fortran || take(&t, "False");
            has_order = ok;
        } else if (ok && strcmp(key, "shape") == 0) {
            ok = !has_shape && take_shape(&t, out);
            has_shape = ok;
        } else {
            ok = false;
        }
        ok = ok && (take(&t, ",") || (t.at < t.end && *t.at == '}'));
    }
    return ok && has_shape && has_order && out->descr[0] != '\0'
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_FORMAT, "the header of a .npy array is damaged");
}

rbc_status rbc__npy_read_header(const uint8_t *data, uint64_t bytes, rbc__npy_header *out,
                                rbc_error *err) {
    static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    *out = (rbc__npy_header){0};
    if (bytes < 10 || memcmp(data, magic, sizeof magic) != 0 || data[6] < 1 || data[6] > 3) {
        char what[RBC_ERROR_MESSAGE_BYTES / 2];
        return rbc__foreign_describe(data, (size_t)bytes, true, what, sizeof what)
                   ? rbc__fail(err, RBC_ERROR_FORMAT, "no .npy array: it %s", what)
                   : rbc__fail(err, RBC_ERROR_FORMAT, "no .npy array");
    }
    const unsigned width = data[6] == 1 ? 2 : 4;
    const uint64_t begin = 8 + width;
    const uint64_t header = bytes >= begin ? rbc__load_uint(data + 8, width) : MAX_HEADER + 1;
    if (header > MAX_HEADER || header > bytes - begin) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "the header of a .npy array is cut off: %" PRIu64 " bytes of %" PRIu64,
                         header, bytes);
    }
    const char *at = (const char *)data + begin;
    out->bytes = begin + header;
    return parse_text((text){at, at + header}, out, err);
}

rbc_status rbc__npy_parse(const uint8_t *data, uint64_t bytes, rbc__npy *out, rbc_error *err) {
    rbc__npy_header header;
    RBC__TRY(rbc__npy_read_header(data, bytes, &header, err));
    *out = (rbc__npy){.is_fortran = header.is_fortran, .ndim = header.ndim, .offset = header.bytes};
    memcpy(out->shape, header.shape, sizeof out->shape);
    if (!find_dtype(header.descr, out)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "a .npy array of dtype '%s'", header.descr);
    }
    int64_t values = rbc__dtype_bytes(out->dtype);
    for (int32_t i = 0; i < out->ndim; ++i) {
        if (!rbc__mul_size(values, out->shape[i], &values)) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "a .npy array is larger than 2^63 bytes");
        }
    }
    out->bytes = (uint64_t)values;
    if (out->bytes > bytes - out->offset) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "a .npy array is cut off: %" PRIu64 " bytes, wanted %" PRIu64,
                         bytes - out->offset, out->bytes);
    }
    return RBC_OK;
}

rbc_status rbc__npy_check(const rbc__npy *npy, rbc__dtype dtype, int32_t ndim, const int64_t *shape,
                          rbc_error *err) {
    char found[256];
    char wanted[256];
    bool is_same = npy->dtype == dtype && npy->ndim == ndim;
    for (int32_t i = 0; is_same && i < ndim; ++i) {
        is_same = npy->shape[i] == shape[i];
    }
    if (!is_same || (npy->is_fortran && ndim > 1)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "a .npy array of %s %s%s, wanted is %s %s",
                         rbc__dtype_name(npy->dtype),
                         rbc__format_shape(found, sizeof found, npy->ndim, npy->shape),
                         npy->is_fortran ? " in Fortran order" : "", rbc__dtype_name(dtype),
                         rbc__format_shape(wanted, sizeof wanted, ndim, shape));
    }
    return RBC_OK;
}
