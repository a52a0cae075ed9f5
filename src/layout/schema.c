#include "layout/schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ros_image.h"
#include "core/error.h"
#include "io/utf8.h"

bool rbc__unit_check(const char *unit, size_t bytes) {
    uint64_t bad_at;
    return bytes <= RBC__UNIT_BYTES && rbc__utf8_check((const uint8_t *)unit, bytes, &bad_at);
}

bool rbc__value_map_check(const rbc__value_map *map) {
    return isfinite(map->scale) && isfinite(map->offset) && map->scale != 0.0;
}

static rbc_status check_map(const rbc__stream_schema *stream, rbc_error *err) {
    const char *end = memchr(stream->unit, '\0', sizeof stream->unit);
    const size_t bytes = end != NULL ? (size_t)(end - stream->unit) : sizeof stream->unit;
    if (!rbc__unit_check(stream->unit, bytes)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': unit: wanted UTF-8 of at most %d bytes", stream->name,
                         RBC__UNIT_BYTES);
    }
    if (stream->has_map && !rbc__value_map_check(&stream->map)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': found scale %g and offset %g, wanted finite numbers and a "
                         "scale that is not 0",
                         stream->name, stream->map.scale, stream->map.offset);
    }
    if (stream->kind == RBC_STREAM_TEXT && (stream->has_map || bytes > 0)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': wanted no unit, scale or offset of a text", stream->name);
    }
    return RBC_OK;
}

rbc_status rbc__stream_check_image(const rbc__stream_schema *stream, rbc__encoding encoding,
                                   uint8_t stored, rbc_error *err) {
    if (encoding == RBC__ENCODING_IMAGE) {
        return RBC_OK;
    }
    const bool is_declared = stream->ndim == 3 && stream->shape[0] > 0 && stream->shape[1] > 0 &&
                             (stream->dtype == RBC__U8 || stream->dtype == RBC__U16);
    if (encoding != RBC__ENCODING_ROS || stream->kind != RBC_STREAM_IMAGE || !is_declared ||
        !rbc__ros_pixels_can(stored, stream->shape[2], stream->dtype == RBC__U16 ? 16 : 8)) {
        char shape[256];
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': found samples of encoding '%s', %s, wanted such that can "
                         "become images of %s %s",
                         stream->name, rbc__encoding_name(encoding),
                         rbc__stored_name(encoding, stored), rbc__dtype_name(stream->dtype),
                         rbc__format_shape(shape, sizeof shape, stream->ndim, stream->shape));
    }
    return RBC_OK;
}

static rbc_status check_cloud(const rbc__stream_schema *stream, rbc_error *err) {
    const rbc_status status = rbc__fields_check(&stream->fields, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "stream '%s'", stream->name);
    }
    if (stream->kind != RBC_STREAM_NUMERIC || stream->ndim != 1 ||
        stream->shape[0] != (int64_t)stream->fields.count ||
        (stream->dtype != RBC__F32 && stream->dtype != RBC__F64) ||
        stream->stored.sample_bytes != rbc__fields_extent(&stream->fields)) {
        char shape[256];
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': found %s %s of encoding 'cloud', wanted numbers of float32 "
                         "or float64, and of shape (%u,): one a field",
                         stream->name, rbc__dtype_name(stream->dtype),
                         rbc__format_shape(shape, sizeof shape, stream->ndim, stream->shape),
                         (unsigned)stream->fields.count);
    }
    return RBC_OK;
}

rbc_status rbc__stream_check(const rbc__stream_schema *stream, rbc_error *err) {
    RBC__TRY(check_map(stream, err));
    const rbc__encoding encoding = (rbc__encoding)stream->stored.encoding;
    const rbc__dtype stored = (rbc__dtype)stream->stored.dtype;
    const bool is_mapped = rbc__stream_map(stream) != NULL;
    if (encoding == RBC__ENCODING_CLOUD) {
        return check_cloud(stream, err);
    }
    if (encoding == RBC__ENCODING_ROS) {
        return rbc__stream_check_image(stream, encoding, stream->stored.dtype, err);
    }
    const bool can = is_mapped ? rbc__values_can_map(encoding, stored, stream->dtype)
                               : rbc__values_can(encoding, stored, stream->dtype);
    if (rbc__stream_has_numbers(stream) && stream->unsupported == NULL && !can) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': %s numbers stored as %s cannot be read as %s%s",
                         stream->name, rbc__encoding_name(stream->stored.encoding),
                         rbc__dtype_name(stored), rbc__dtype_name(stream->dtype),
                         is_mapped ? " with a scale and an offset, wanted float32 or float64" : "");
    }
    return RBC_OK;
}

bool rbc__stream_is_action(const rbc__stream_schema *stream) {
    for (const char *part = stream->name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/' ? 1 : 0;
        const size_t length = strcspn(part, "/");
        if ((length == 6 || length == 7) && strncmp(part, "actions", length) == 0) {
            return true;
        }
    }
    return false;
}

void rbc__schema_set_reference(rbc__schema *schema) {
    bool has_action = false;
    bool has_steps = false;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        has_action = has_action || (stream->times >= 0 && rbc__stream_is_action(stream));
        has_steps = has_steps || (stream->times >= 0 && !stream->is_ragged);
    }
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        rbc__stream_schema *stream = &schema->streams[i];
        stream->is_reference = stream->times >= 0 && (has_action  ? rbc__stream_is_action(stream)
                                                      : has_steps ? !stream->is_ragged
                                                                  : true);
    }
}

void rbc__schema_free(rbc__schema *schema) {
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        free(schema->streams[i].name);
        free(schema->streams[i].encoding);
    }
    for (int64_t i = 0; i < schema->num_parts; ++i) {
        free(schema->parts[i].path);
        free(schema->parts[i].split);
    }
    free(schema->streams);
    free(schema->parts);
    free(schema->name);
    free(schema->version);
    free(schema->root);
}
