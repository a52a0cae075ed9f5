#include "layout/object.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "layout/blobs.h"
#include "layout/layout.h"

static void put_packing(const rbc__packing *packing, rbc__bytes *out) {
    rbc__bytes_varint(out, packing->num_steps);
    for (uint32_t i = 0; i < packing->num_steps; ++i) {
        rbc__bytes_varint(out, packing->steps[i].kind);
        rbc__bytes_varint(out, packing->steps[i].parameter);
    }
}

static bool take_u32(const uint8_t *data, size_t end, uint64_t *at, uint32_t *out) {
    uint64_t value;
    if (!rbc__varint_read(data, end, at, &value) || value > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static rbc_status take_packing(const uint8_t *data, size_t end, uint64_t *at, rbc__packing *out,
                               const char *whose, rbc_error *err) {
    *out = (rbc__packing){0};
    bool ok = take_u32(data, end, at, &out->num_steps) && out->num_steps <= RBC__PACKING_MAX_STEPS;
    for (uint32_t i = 0; ok && i < out->num_steps; ++i) {
        ok = take_u32(data, end, at, &out->steps[i].kind) &&
             take_u32(data, end, at, &out->steps[i].parameter);
    }
    return ok ? rbc__packing_check(out, err)
              : rbc__fail(err, RBC_ERROR_FORMAT, "the packing of %s is damaged", whose);
}

void rbc__array_object_encode(const rbc__packing *packing, const void *array, size_t bytes,
                              rbc__bytes *out) {
    put_packing(packing, out);
    rbc__bytes_append(out, array, bytes);
}

rbc_status rbc__array_object_decode(const uint8_t *data, size_t bytes, rbc__array_object *out,
                                    rbc_error *err) {
    uint64_t at = 0;
    RBC__TRY(take_packing(data, bytes, &at, &out->packing, "an array", err));
    return rbc__array_decode(data + at, bytes - (size_t)at, 1, RBC__COLUMN_BLOB + 1, &out->array,
                             err);
}

/* ---- tracks -------------------------------------------------------------------------------------
 */

enum { BLOB, OFFSET, PACKED, UNPACKED, NUM_BLOCK_COLUMNS };
enum { PACKING_SHIFT = 4 };

static int64_t block_value(const void *source, int64_t row, int32_t column) {
    const rbc__block *block = (const rbc__block *)source + row;
    return column == BLOB     ? (int64_t)block->blob << PACKING_SHIFT | block->packing
           : column == OFFSET ? (int64_t)block->offset
           : column == PACKED ? (int64_t)block->packed_bytes
                              : (int64_t)block->unpacked_bytes;
}

static void put_text(const char *text, rbc__bytes *out) {
    rbc__bytes_varint(out, strlen(text));
    rbc__bytes_append(out, text, strlen(text));
}

static rbc_status check_description(const rbc__track_description *track, rbc_error *err) {
    const rbc__video_params *video = &track->video;
    if (strlen(video->codec) >= RBC__CODEC_NAME_BYTES ||
        strlen(video->pixel_format) >= RBC__PIXEL_FORMAT_BYTES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "codec: found '%.60s' and pixel format '%.60s', wanted fewer than %d and "
                         "%d bytes",
                         video->codec, video->pixel_format, RBC__CODEC_NAME_BYTES,
                         RBC__PIXEL_FORMAT_BYTES);
    }
    if (video->width < 0 || video->height < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "width and height: found %d and %d, wanted 0 or more", video->width,
                         video->height);
    }
    if (video->extradata_bytes > RBC__MAX_EXTRADATA_BYTES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "extradata: found %zu bytes, wanted at most %d", video->extradata_bytes,
                         RBC__MAX_EXTRADATA_BYTES);
    }
    if (track->num_packings > RBC__TRACK_MAX_PACKINGS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found packets in blocks of %u packings, wanted at most %d",
                         (unsigned)track->num_packings, RBC__TRACK_MAX_PACKINGS);
    }
    return RBC_OK;
}

rbc_status rbc__track_object_encode(const rbc__track_description *track, rbc__bytes *out,
                                    rbc_error *err) {
    const rbc__video_params *video = &track->video;
    RBC__TRY(check_description(track, err));
    put_text(video->codec, out);
    put_text(video->pixel_format, out);
    rbc__bytes_varint(out, (uint64_t)video->width);
    rbc__bytes_varint(out, (uint64_t)video->height);
    rbc__bytes_byte(out, video->matrix);
    rbc__bytes_byte(out, video->range);
    rbc__bytes_varint(out, video->extradata_bytes);
    rbc__bytes_append(out, video->extradata, video->extradata_bytes);
    rbc__bytes_varint(out, track->num_packings);
    for (uint32_t i = 0; i < track->num_packings; ++i) {
        put_packing(&track->packings[i], out);
    }
    rbc__bytes_varint(out, track->num_blocks);
    rbc__int_table_encode(block_value, track->blocks, track->num_blocks, NUM_BLOCK_COLUMNS, out);
    return rbc__track_encode(track->packets, track->num_packets, track->time_base, out, err);
}

static bool take_text(const uint8_t *data, size_t end, uint64_t *at, size_t room, char *out) {
    uint64_t length;
    if (!rbc__varint_read(data, end, at, &length) || length >= room || length > end - *at ||
        memchr(data + *at, '\0', (size_t)length) != NULL) {
        return false;
    }
    memcpy(out, data + *at, (size_t)length);
    out[length] = '\0';
    *at += length;
    return true;
}

static bool take_video(const uint8_t *data, size_t end, uint64_t *at, rbc__track_object *out) {
    uint32_t size[2];
    uint32_t extradata;
    if (!take_text(data, end, at, sizeof out->codec_name, out->codec_name) ||
        !take_text(data, end, at, sizeof out->pixel_format, out->pixel_format) ||
        !take_u32(data, end, at, &size[0]) || size[0] > INT32_MAX ||
        !take_u32(data, end, at, &size[1]) || size[1] > INT32_MAX || end - *at < 2) {
        return false;
    }
    const uint8_t matrix = data[(*at)++];
    const uint8_t range = data[(*at)++];
    if (range > RBC__VIDEO_RANGE_FULL || !take_u32(data, end, at, &extradata) ||
        extradata > RBC__MAX_EXTRADATA_BYTES || extradata > end - *at) {
        return false;
    }
    out->video = (rbc__video_params){.codec = out->codec_name,
                                     .pixel_format = out->pixel_format,
                                     .extradata = data + *at,
                                     .extradata_bytes = extradata,
                                     .width = (int32_t)size[0],
                                     .height = (int32_t)size[1],
                                     .matrix = matrix,
                                     .range = range};
    *at += extradata;
    return true;
}

rbc_status rbc__track_object_decode(const uint8_t *data, size_t bytes, rbc__track_object *out,
                                    rbc_error *err) {
    uint64_t at = 0;
    uint32_t num_blocks;
    *out = (rbc__track_object){0};
    if (!take_video(data, bytes, &at, out)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "the codec of a track is damaged");
    }
    (void)rbc__video_codec_find(out->codec_name, &out->codec, NULL);
    if (!take_u32(data, bytes, &at, &out->num_packings) ||
        out->num_packings > RBC__TRACK_MAX_PACKINGS) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "the packings of a track are damaged");
    }
    for (uint32_t i = 0; i < out->num_packings; ++i) {
        RBC__TRY(take_packing(data, bytes, &at, &out->packings[i], "a track", err));
    }
    if (!take_u32(data, bytes, &at, &num_blocks) || num_blocks > INT32_MAX ||
        !rbc__int_table_decode(data, bytes, &at, num_blocks, NUM_BLOCK_COLUMNS, &out->blocks)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "the blocks of a track are damaged");
    }
    return rbc__track_decode(data + at, bytes - (size_t)at, RBC__COLUMN_BLOB + 1, num_blocks,
                             &out->track, err);
}

rbc_status rbc__track_object_block(const rbc__track_object *track, uint32_t number, rbc__block *out,
                                   rbc_error *err) {
    const uint64_t source = (uint64_t)rbc__int_table_get(&track->blocks, number, BLOB);
    const int64_t offset = rbc__int_table_get(&track->blocks, number, OFFSET);
    const int64_t packed = rbc__int_table_get(&track->blocks, number, PACKED);
    const int64_t unpacked = rbc__int_table_get(&track->blocks, number, UNPACKED);
    const uint64_t packing = source & ((1U << PACKING_SHIFT) - 1);
    if (source >> PACKING_SHIFT > RBC__COLUMN_BLOB || packing >= track->num_packings ||
        offset < 0 || packed < 0 || packed > INT64_MAX - offset || unpacked < 0 ||
        (uint64_t)unpacked > RBC__LAYOUT_MAX_BLOCK_BYTES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "block %" PRIu32 " of a track in the catalog: it is damaged: found "
                         "%" PRId64 " bytes from byte %" PRId64 " on, unpacked %" PRId64,
                         number, packed, offset, unpacked);
    }
    *out = (rbc__block){.blob = (uint32_t)(source >> PACKING_SHIFT),
                        .packing = (uint8_t)packing,
                        .offset = (uint64_t)offset,
                        .packed_bytes = (uint64_t)packed,
                        .unpacked_bytes = (uint64_t)unpacked};
    return RBC_OK;
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
