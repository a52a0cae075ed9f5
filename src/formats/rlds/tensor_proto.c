#include "formats/rlds/tensor_proto.h"

#include <inttypes.h>

#include "core/error.h"

enum {
    FIELD_DTYPE = 1,
    FIELD_SHAPE = 2,
    FIELD_CONTENT = 4,
    FIELD_STRINGS = 8,
    TYPE_STRING = 7,
};

/* Numbers of tensorflow.DataType. */
static bool dtype_from_tensorflow(uint64_t type, rbc__dtype *out) {
    static const struct {
        uint8_t type;
        uint8_t dtype;
    } table[] = {{1, RBC__F32},  {2, RBC__F64},  {3, RBC__I32},   {4, RBC__U8},    {5, RBC__I16},
                 {6, RBC__I8},   {9, RBC__I64},  {10, RBC__BOOL}, {14, RBC__BF16}, {17, RBC__U16},
                 {19, RBC__F16}, {22, RBC__U32}, {23, RBC__U64}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        if (table[i].type == type) {
            *out = (rbc__dtype)table[i].dtype;
            return true;
        }
    }
    return false;
}

static uint64_t varint_value(const rbc__wire *wire, const rbc__wire_field *field) {
    uint64_t at = field->offset;
    uint64_t value = 0;
    (void)rbc__varint_read(wire->data, field->offset + field->bytes, &at, &value);
    return value;
}

static rbc_status parse_shape(const rbc__wire *message, const rbc__wire_field *field,
                              rbc__tensor_proto *out, rbc_error *err) {
    rbc__wire shape = rbc__wire_inside(message, field);
    rbc__wire_field dim;
    while (shape.pos < shape.end) {
        RBC__TRY(rbc__wire_next(&shape, &dim, err));
        if (dim.number != 2 || dim.type != RBC__WIRE_LEN) {
            continue;
        }
        if (out->ndim == RBC_STREAM_MAX_DIMS) {
            return rbc__wire_fail(message, dim.start, err, "a tensor has more than %d dimensions",
                                  RBC_STREAM_MAX_DIMS);
        }
        uint64_t extent = 0;
        rbc__wire size = rbc__wire_inside(&shape, &dim);
        while (size.pos < size.end) {
            rbc__wire_field number;
            RBC__TRY(rbc__wire_next(&size, &number, err));
            if (number.number == 1 && number.type == RBC__WIRE_VARINT) {
                extent = varint_value(&size, &number);
            }
        }
        if (extent > INT64_MAX / 16 ||
            !rbc__mul_size(out->elements, (int64_t)extent, &out->elements) ||
            out->elements > INT64_MAX / 16) {
            return rbc__wire_fail(message, dim.start, err, "a tensor has an extent of %" PRIu64,
                                  extent);
        }
        out->shape[out->ndim++] = (int64_t)extent;
    }
    return RBC_OK;
}

rbc_status rbc__tensor_proto_parse(const rbc__wire *payload, uint64_t offset, uint64_t bytes,
                                   rbc__tensor_proto *out, rbc_error *err) {
    rbc__wire wire = *payload;
    rbc__wire_field field;
    uint64_t type = 0;
    uint64_t strings = 0;
    wire.pos = offset;
    wire.end = offset + bytes;
    *out = (rbc__tensor_proto){.elements = 1, .offset = offset, .message = wire};
    while (wire.pos < wire.end) {
        RBC__TRY(rbc__wire_next(&wire, &field, err));
        if (field.number == FIELD_DTYPE && field.type == RBC__WIRE_VARINT) {
            type = varint_value(&wire, &field);
        } else if (field.number == FIELD_SHAPE && field.type == RBC__WIRE_LEN) {
            RBC__TRY(parse_shape(&wire, &field, out, err));
        } else if (field.number == FIELD_CONTENT && field.type == RBC__WIRE_LEN) {
            out->offset = field.offset;
            out->bytes = field.bytes;
        } else if (field.number == FIELD_STRINGS && field.type == RBC__WIRE_LEN) {
            ++strings;
        }
    }
    out->is_string = type == TYPE_STRING;
    if (out->is_string) {
        return strings == (uint64_t)out->elements
                   ? RBC_OK
                   : rbc__wire_fail(payload, offset, err,
                                    "a tensor has %" PRIu64 " strings, its shape wants %" PRId64,
                                    strings, out->elements);
    }
    if (!dtype_from_tensorflow(type, &out->dtype)) {
        return rbc__wire_fail(payload, offset, err,
                              "a TensorProto was expected, but its dtype is %" PRIu64, type);
    }
    const uint64_t want = (uint64_t)out->elements * (uint64_t)rbc__dtype_bytes(out->dtype);
    if (out->bytes != want) {
        return rbc__wire_fail(payload, offset, err,
                              "a tensor has %" PRIu64 " bytes of content, its shape and dtype want "
                              "%" PRIu64,
                              out->bytes, want);
    }
    return RBC_OK;
}

rbc_status rbc__tensor_proto_next_string(rbc__wire *message, rbc__wire_field *out, bool *more,
                                         rbc_error *err) {
    *more = false;
    while (message->pos < message->end) {
        RBC__TRY(rbc__wire_next(message, out, err));
        if (out->number == FIELD_STRINGS && out->type == RBC__WIRE_LEN) {
            *more = true;
            return RBC_OK;
        }
    }
    return RBC_OK;
}
