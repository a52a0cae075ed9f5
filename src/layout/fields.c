#include "layout/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

enum { BLOCK = 256 };

static uint64_t end_of(const rbc__field *field) {
    return (uint64_t)field->offset + (uint64_t)rbc__dtype_bytes((rbc__dtype)field->dtype);
}

uint64_t rbc__fields_extent(const rbc__fields *fields) {
    uint64_t extent = 0;
    for (uint32_t i = 0; i < fields->count; ++i) {
        const uint64_t end = end_of(&fields->items[i]);
        extent = end > extent ? end : extent;
    }
    return extent;
}

rbc_status rbc__fields_check(const rbc__fields *fields, rbc_error *err) {
    if (fields->count < 1 || fields->count > RBC__MAX_FIELDS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "fields: found %" PRIu32 " of them, wanted 1 to %d", fields->count,
                         RBC__MAX_FIELDS);
    }
    for (uint32_t i = 0; i < fields->count; ++i) {
        const rbc__field *field = &fields->items[i];
        if (field->dtype >= RBC__NUM_DTYPES || field->dtype == RBC__BOOL ||
            end_of(field) > RBC__MAX_FIELD_BYTES) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "fields: field %" PRIu32 ": found %s that begins at %" PRIu32
                             ", wanted numbers within the first %d bytes",
                             i,
                             field->dtype < RBC__NUM_DTYPES
                                 ? rbc__dtype_name((rbc__dtype)field->dtype)
                                 : "no dtype",
                             field->offset, RBC__MAX_FIELD_BYTES);
        }
    }
    return RBC_OK;
}

char *rbc__fields_text(const rbc__fields *fields, char *buffer, size_t bytes) {
    size_t length = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < fields->count && length + 1 < bytes; ++i) {
        const rbc__field *field = &fields->items[i];
        const int more = snprintf(buffer + length, bytes - length, "%s%" PRIu32 " %s%s",
                                  i > 0 ? ", " : "", field->offset, field->is_swapped ? ">" : "",
                                  rbc__dtype_name((rbc__dtype)field->dtype));
        length += more > 0 ? (size_t)more : 0;
    }
    return buffer;
}

/* One field of up to BLOCK records, one behind the other, little-endian. */
static void gather(const rbc__field *field, const uint8_t *src, uint64_t stride, uint64_t count,
                   uint8_t *out) {
    const uint64_t size = (uint64_t)rbc__dtype_bytes((rbc__dtype)field->dtype);
    for (uint64_t i = 0; i < count; ++i, out += size) {
        const uint8_t *at = src + i * stride + field->offset;
        for (uint64_t k = 0; k < size; ++k) {
            out[k] = at[field->is_swapped ? size - 1 - k : k];
        }
    }
}

static void put_block(const rbc__fields *fields, uint32_t f, const uint8_t *src, uint64_t stride,
                      uint64_t count, const rbc__value_map *map, rbc__dtype dtype, uint8_t *dst) {
    uint64_t gathered[BLOCK];
    double values[BLOCK];
    const rbc__field *field = &fields->items[f];
    const uint64_t size = (uint64_t)rbc__dtype_bytes(dtype);
    uint8_t *out = dst + f * size;
    gather(field, src, stride, count, (uint8_t *)gathered);
    if (map == NULL && field->dtype == (uint8_t)dtype) {
        for (uint64_t i = 0; i < count; ++i, out += fields->count * size) {
            memcpy(out, (uint8_t *)gathered + i * size, (size_t)size);
        }
        return;
    }
    rbc__values_widen((const uint8_t *)gathered, count, (rbc__dtype)field->dtype, values);
    for (uint64_t i = 0; i < count; ++i, out += fields->count * size) {
        const double value = map != NULL ? map->scale * values[i] + map->offset : values[i];
        const float narrow = (float)value;
        memcpy(out, dtype == RBC__F64 ? (const void *)&value : (const void *)&narrow, (size_t)size);
    }
}

void rbc__fields_read(const rbc__fields *fields, const uint8_t *src, uint64_t stride,
                      uint64_t count, const rbc__value_map *map, rbc__dtype dtype, void *dst) {
    const uint64_t row = fields->count * (uint64_t)rbc__dtype_bytes(dtype);
    for (uint64_t done = 0; done < count; done += BLOCK) {
        const uint64_t part = count - done < BLOCK ? count - done : BLOCK;
        for (uint32_t f = 0; f < fields->count; ++f) {
            put_block(fields, f, src + done * stride, stride, part, map, dtype,
                      (uint8_t *)dst + done * row);
        }
    }
}
