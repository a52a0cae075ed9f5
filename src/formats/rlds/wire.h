/* Going through protobuf's wire format, every length checked against what is there. */
#ifndef RBC_FORMATS_RLDS_WIRE_H
#define RBC_FORMATS_RLDS_WIRE_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "io/bytes.h"

enum { RBC__WIRE_VARINT = 0, RBC__WIRE_FIXED64 = 1, RBC__WIRE_LEN = 2, RBC__WIRE_FIXED32 = 5 };

/* Part [pos, end) of a record's payload that is being gone through. */
typedef struct rbc__wire {
    const uint8_t *data; /* the payload */
    uint64_t pos, end;   /* in the payload */
    uint64_t base;       /* offset of the payload in the file, for messages */
    const char *path;
} rbc__wire;

typedef struct rbc__wire_field {
    uint32_t number;
    uint32_t type;
    uint64_t start;  /* of the tag, in the payload */
    uint64_t offset; /* of the value, in the payload; for LEN of its bytes */
    uint64_t bytes;  /* of the value */
} rbc__wire_field;

/* The next field; call while pos < end. FORMAT with file and byte offset when a tag, varint or
 * length is cut short or reaches past the end, and for groups and unknown wire types. */
rbc_status rbc__wire_next(rbc__wire *wire, rbc__wire_field *out, rbc_error *err);

/* The part of `wire` that is a LEN field's bytes. */
rbc__wire rbc__wire_inside(const rbc__wire *wire, const rbc__wire_field *field);

/* FORMAT: "path: byte N: message". `at` is in the payload. */
rbc_status rbc__wire_fail(const rbc__wire *wire, uint64_t at, rbc_error *err, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));

const char *rbc__wire_type_name(uint32_t type);

#endif
