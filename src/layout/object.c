#include "layout/object.h"

#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "layout/blobs.h"
#include "layout/layout.h"

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

/* ---- texts --------------------------------------------------------------------------------------
 */

void rbc__strings_encode(const char *const *texts, uint64_t count, rbc__bytes *out) {
    uint64_t all = 0;
    for (uint64_t i = 0; i < count; ++i) {
        all += strlen(texts[i]);
    }
    const unsigned width = rbc__layout_width(all);
    uint64_t end = 0;
    rbc__bytes_varint(out, count);
    rbc__bytes_byte(out, (uint8_t)width);
    for (uint64_t i = 0; i < count; ++i) {
        end += strlen(texts[i]);
        rbc__bytes_fixed(out, end, width);
    }
    for (uint64_t i = 0; i < count; ++i) {
        rbc__bytes_append(out, texts[i], strlen(texts[i]));
    }
}

rbc_status rbc__strings_decode(const uint8_t *data, size_t bytes, rbc__strings *out,
                               rbc_error *err) {
    uint64_t at = 0;
    *out = (rbc__strings){0};
    bool ok = rbc__varint_read(data, bytes, &at, &out->count) && at < bytes;
    if (ok) {
        out->width = data[at++];
        ok = out->width >= 1 && out->width <= 8 && out->count <= (bytes - at) / out->width;
    }
    if (ok) {
        out->ends = data + at;
        out->text = out->ends + out->count * out->width;
        const uint64_t left = bytes - at - out->count * out->width;
        const uint64_t all =
            out->count > 0 ? rbc__load_uint(out->ends + (out->count - 1) * out->width, out->width)
                           : 0;
        ok = all == left;
    }
    return ok ? RBC_OK : rbc__fail(err, RBC_ERROR_FORMAT, "the texts of a part are damaged");
}

bool rbc__strings_get(const rbc__strings *strings, uint64_t index, const uint8_t **text,
                      uint64_t *bytes) {
    const unsigned width = strings->width;
    const uint64_t begin =
        index > 0 ? rbc__load_uint(strings->ends + (index - 1) * width, width) : 0;
    const uint64_t end = rbc__load_uint(strings->ends + index * width, width);
    const uint64_t all = rbc__load_uint(strings->ends + (strings->count - 1) * width, width);
    if (begin > end || end > all) {
        return false;
    }
    *text = strings->text + begin;
    *bytes = end - begin;
    return true;
}
