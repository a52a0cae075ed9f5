#include "formats/rlds/wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/error.h"

rbc_status rbc__wire_fail(const rbc__wire *wire, uint64_t at, rbc_error *err, const char *format,
                          ...) {
    char text[RBC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte %" PRIu64 ": %s", wire->path, wire->base + at,
                     text);
}

const char *rbc__wire_type_name(uint32_t type) {
    static const char *const names[8] = {
        "varint", "fixed64", "length-delimited", "start group", "end group", "fixed32", "6", "7"};
    return names[type & 7];
}

rbc_status rbc__wire_next(rbc__wire *wire, rbc__wire_field *out, rbc_error *err) {
    uint64_t tag;
    uint64_t value;
    out->start = wire->pos;
    if (!rbc__varint_read(wire->data, wire->end, &wire->pos, &tag)) {
        return rbc__wire_fail(wire, out->start, err, "a tag is cut short or longer than 10 bytes");
    }
    out->number = (uint32_t)(tag >> 3);
    out->type = (uint32_t)(tag & 7);
    if (tag > UINT32_MAX || out->number == 0) {
        return rbc__wire_fail(wire, out->start, err, "%" PRIu64 " is no protobuf tag", tag);
    }
    out->offset = wire->pos;
    switch (out->type) {
    case RBC__WIRE_VARINT:
        if (!rbc__varint_read(wire->data, wire->end, &wire->pos, &value)) {
            return rbc__wire_fail(wire, out->offset, err,
                                  "a varint is cut short or longer than 10 bytes");
        }
        out->bytes = wire->pos - out->offset;
        return RBC_OK;
    case RBC__WIRE_LEN:
        if (!rbc__varint_read(wire->data, wire->end, &wire->pos, &value)) {
            return rbc__wire_fail(wire, out->offset, err,
                                  "a length is cut short or longer than 10 bytes");
        }
        out->offset = wire->pos;
        out->bytes = value;
        break;
    case RBC__WIRE_FIXED64:
        out->bytes = 8;
        break;
    case RBC__WIRE_FIXED32:
        out->bytes = 4;
        break;
    default:
        return rbc__wire_fail(wire, out->start, err, "field %" PRIu32 " has wire type %s",
                              out->number, rbc__wire_type_name(out->type));
    }
    if (out->bytes > wire->end - wire->pos) {
        return rbc__wire_fail(wire, out->start, err,
                              "field %" PRIu32 " has %" PRIu64 " bytes, but only %" PRIu64
                              " are left in its message",
                              out->number, out->bytes, wire->end - wire->pos);
    }
    wire->pos += out->bytes;
    return RBC_OK;
}

rbc__wire rbc__wire_inside(const rbc__wire *wire, const rbc__wire_field *field) {
    rbc__wire inside = *wire;
    inside.pos = field->offset;
    inside.end = field->offset + field->bytes;
    return inside;
}
