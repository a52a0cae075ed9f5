#include "layout/object.h"

#include <string.h>

#include "core/error.h"
#include "layout/blobs.h"

void rbc__array_object_encode(const rbc__packing *packing, const void *array, size_t bytes,
                              rbc__bytes *out) {
    rbc__bytes_varint(out, packing->num_steps);
    for (uint32_t i = 0; i < packing->num_steps; ++i) {
        rbc__bytes_varint(out, packing->steps[i].kind);
        rbc__bytes_varint(out, packing->steps[i].parameter);
    }
    rbc__bytes_append(out, array, bytes);
}

static bool take_u32(const uint8_t *data, size_t end, uint64_t *at, uint32_t *out) {
    uint64_t value;
    if (!rbc__varint_read(data, end, at, &value) || value > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

rbc_status rbc__array_object_decode(const uint8_t *data, size_t bytes, rbc__array_object *out,
                                    rbc_error *err) {
    uint64_t at = 0;
    bool ok = take_u32(data, bytes, &at, &out->packing.num_steps) &&
              out->packing.num_steps <= RBC__PACKING_MAX_STEPS;
    for (uint32_t i = 0; ok && i < out->packing.num_steps; ++i) {
        ok = take_u32(data, bytes, &at, &out->packing.steps[i].kind) &&
             take_u32(data, bytes, &at, &out->packing.steps[i].parameter);
    }
    if (!ok) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "the packing of an array is damaged");
    }
    RBC__TRY(rbc__packing_check(&out->packing, err));
    return rbc__array_decode(data + at, bytes - (size_t)at, 1, RBC__COLUMN_BLOB + 1, &out->array,
                             err);
}

void rbc__track_object_encode(const char *codec, const void *track, size_t bytes, rbc__bytes *out) {
    rbc__bytes_varint(out, strlen(codec));
    rbc__bytes_append(out, codec, strlen(codec));
    rbc__bytes_append(out, track, bytes);
}

rbc_status rbc__track_object_decode(const uint8_t *data, size_t bytes, rbc__track_object *out,
                                    rbc_error *err) {
    uint64_t at = 0;
    uint64_t length;
    *out = (rbc__track_object){0};
    if (!rbc__varint_read(data, bytes, &at, &length) || length >= sizeof out->codec_name ||
        length > bytes - at) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "the codec of a track is damaged");
    }
    memcpy(out->codec_name, data + at, (size_t)length);
    at += length;
    (void)rbc__video_codec_find(out->codec_name, &out->codec, NULL);
    return rbc__track_decode(data + at, bytes - (size_t)at, RBC__COLUMN_BLOB + 1, 0, &out->track,
                             err);
}
