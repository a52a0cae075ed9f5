#include "formats/rlds/example.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"

const char *rbc__list_kind_name(rbc__list_kind kind) {
    static const char *const names[] = {"no list", "bytes_list", "float_list", "int64_list"};
    return names[kind];
}

static rbc_status want_len(const rbc__wire *wire, const rbc__wire_field *field, const char *what,
                           rbc_error *err) {
    if (field->type != RBC__WIRE_LEN) {
        return rbc__wire_fail(wire, field->start, err, "%s has wire type %s, %s was expected", what,
                              rbc__wire_type_name(field->type), rbc__wire_type_name(RBC__WIRE_LEN));
    }
    return RBC_OK;
}

static rbc_status walk_entry(const rbc__wire *features, const rbc__wire_field *entry,
                             rbc__feature_fn found, void *user, rbc_error *err) {
    rbc__wire wire = rbc__wire_inside(features, entry);
    rbc__wire_field field;
    rbc__feature feature = {.key = "", .offset = entry->offset};
    bool has_value = false;
    while (wire.pos < wire.end) {
        RBC__TRY(rbc__wire_next(&wire, &field, err));
        if (field.number == 1) {
            RBC__TRY(want_len(&wire, &field, "the key of a feature", err));
            feature.key = (const char *)wire.data + field.offset;
            feature.key_bytes = field.bytes;
        } else if (field.number == 2) {
            RBC__TRY(want_len(&wire, &field, "a feature", err));
            if (has_value) {
                return rbc__wire_fail(&wire, field.start, err,
                                      "one entry of the feature map has two values");
            }
            has_value = true;
            feature.offset = field.offset;
            feature.bytes = field.bytes;
        }
    }
    return found(user, &feature, err);
}

rbc_status rbc__example_walk(const rbc__wire *payload, rbc__feature_fn found, void *user,
                             rbc_error *err) {
    rbc__wire example = *payload;
    rbc__wire_field field;
    while (example.pos < example.end) {
        RBC__TRY(rbc__wire_next(&example, &field, err));
        if (field.number != 1) {
            continue;
        }
        RBC__TRY(want_len(&example, &field, "Example.features", err));
        rbc__wire features = rbc__wire_inside(&example, &field);
        while (features.pos < features.end) {
            RBC__TRY(rbc__wire_next(&features, &field, err));
            if (field.number == 1) {
                RBC__TRY(want_len(&features, &field, "an entry of the feature map", err));
                RBC__TRY(walk_entry(&features, &field, found, user, err));
            }
        }
    }
    return RBC_OK;
}

rbc_status rbc__list_open(const rbc__wire *payload, uint64_t offset, uint64_t bytes, rbc__list *out,
                          rbc_error *err) {
    rbc__wire wire = *payload;
    rbc__wire_field field;
    wire.pos = offset;
    wire.end = offset + bytes;
    out->kind = RBC__LIST_NONE;
    out->feature = wire;
    out->values = wire;
    out->values.end = wire.pos;
    while (wire.pos < wire.end) {
        RBC__TRY(rbc__wire_next(&wire, &field, err));
        if (field.number < RBC__LIST_BYTES || field.number > RBC__LIST_INT64) {
            continue;
        }
        RBC__TRY(want_len(&wire, &field, rbc__list_kind_name((rbc__list_kind)field.number), err));
        if (field.number != out->kind) {
            out->kind = (rbc__list_kind)field.number;
            out->feature.pos = field.start;
        }
    }
    return RBC_OK;
}

rbc_status rbc__list_next(rbc__list *list, rbc__chunk *out, bool *more, rbc_error *err) {
    static const uint32_t unpacked_type[] = {0, RBC__WIRE_LEN, RBC__WIRE_FIXED32, RBC__WIRE_VARINT};
    rbc__wire_field field;
    *more = false;
    for (;;) {
        if (list->values.pos < list->values.end) {
            RBC__TRY(rbc__wire_next(&list->values, &field, err));
            if (field.number == 1) {
                break;
            }
        } else if (list->feature.pos < list->feature.end) {
            RBC__TRY(rbc__wire_next(&list->feature, &field, err));
            if (field.number == list->kind) {
                list->values = rbc__wire_inside(&list->feature, &field);
            }
        } else {
            return RBC_OK;
        }
    }
    if (field.type != RBC__WIRE_LEN && field.type != unpacked_type[list->kind]) {
        return rbc__wire_fail(&list->values, field.start, err,
                              "a value of a %s has wire type %s, %s or %s was expected",
                              rbc__list_kind_name(list->kind), rbc__wire_type_name(field.type),
                              rbc__wire_type_name(RBC__WIRE_LEN),
                              rbc__wire_type_name(unpacked_type[list->kind]));
    }
    if (list->kind == RBC__LIST_FLOAT && field.bytes % 4 != 0) {
        return rbc__wire_fail(&list->values, field.start, err,
                              "packed floats have %" PRIu64 " bytes, no multiple of 4",
                              field.bytes);
    }
    *out = (rbc__chunk){field.start, field.offset, field.bytes};
    *more = true;
    return RBC_OK;
}

/* Most lists are flags and small numbers: eight one-byte varints at a time. */
rbc_status rbc__varints_measure(const rbc__wire *payload, uint64_t offset, uint64_t bytes,
                                uint64_t *count, uint32_t *stride, rbc_error *err) {
    const uint8_t *data = payload->data + offset;
    uint64_t at = 0;
    uint64_t found = 0;
    uint32_t shortest = 10;
    uint32_t longest = 0;
    while (at < bytes) {
        if (bytes - at >= 8 && (rbc__load_u64(data + at) & UINT64_C(0x8080808080808080)) == 0) {
            at += 8;
            found += 8;
            shortest = 1;
            longest = longest < 1 ? 1 : longest;
            continue;
        }
        uint32_t length = 1;
        while (at + length <= bytes && (data[at + length - 1] & 0x80) != 0) {
            ++length;
        }
        if (at + length > bytes || length > 10) {
            return rbc__wire_fail(payload, offset + at, err,
                                  "a varint is cut short or longer than 10 bytes");
        }
        at += length;
        ++found;
        shortest = length < shortest ? length : shortest;
        longest = length > longest ? length : longest;
    }
    *count = found;
    *stride = found > 0 && shortest == longest ? longest : 0;
    return RBC_OK;
}

static rbc_status wrong_count(const rbc__list *list, uint64_t at, uint64_t count, const char *than,
                              rbc_error *err) {
    return rbc__wire_fail(&list->feature, at, err,
                          "a %s has %s than the %" PRIu64 " values expected",
                          rbc__list_kind_name(list->kind), than, count);
}

rbc_status rbc__list_ints(rbc__list *list, int64_t *dst, uint64_t count, rbc_error *err) {
    rbc__chunk chunk;
    bool more;
    uint64_t done = 0;
    for (;;) {
        RBC__TRY(rbc__list_next(list, &chunk, &more, err));
        if (!more) {
            break;
        }
        uint64_t at = chunk.offset;
        const uint64_t end = chunk.offset + chunk.bytes;
        while (at < end) {
            uint64_t value;
            if (done == count) {
                return wrong_count(list, at, count, "more", err);
            }
            if (!rbc__varint_read(list->feature.data, end, &at, &value)) {
                return rbc__wire_fail(&list->feature, at, err,
                                      "a varint is cut short or longer than 10 bytes");
            }
            dst[done++] = (int64_t)value;
        }
    }
    return done == count ? RBC_OK : wrong_count(list, list->feature.end, count, "fewer", err);
}

rbc_status rbc__list_floats(rbc__list *list, float *dst, uint64_t count, rbc_error *err) {
    rbc__chunk chunk;
    bool more;
    uint64_t done = 0;
    for (;;) {
        RBC__TRY(rbc__list_next(list, &chunk, &more, err));
        if (!more) {
            break;
        }
        const uint64_t values = chunk.bytes / 4;
        if (values > count - done) {
            return wrong_count(list, chunk.offset, count, "more", err);
        }
        if (values > 0) {
            memcpy(dst + done, list->feature.data + chunk.offset, (size_t)chunk.bytes);
        }
        done += values;
    }
    return done == count ? RBC_OK : wrong_count(list, list->feature.end, count, "fewer", err);
}
