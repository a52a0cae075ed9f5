/* Arrays and tracks as the catalog keeps them: with what they are packed by, or encoded with. */
#ifndef RBC_LAYOUT_OBJECT_H
#define RBC_LAYOUT_OBJECT_H

#include "codec/video.h"
#include "layout/array.h"
#include "layout/layout.h"
#include "layout/track.h"
#include "packing/packing.h"

#define RBC__CODEC_NAME_BYTES    40 /* with the NUL */
#define RBC__PIXEL_FORMAT_BYTES  32
#define RBC__MAX_EXTRADATA_BYTES (1 << 20)
#define RBC__TRACK_MAX_PACKINGS  16

typedef struct rbc__array_object {
    rbc__array array;
    rbc__packing packing;
} rbc__array_object;

typedef struct rbc__track_object {
    rbc__track track;
    const rbc__video_codec *codec; /* NULL: this library has none of that name */
    rbc__video_params video;
    char codec_name[RBC__CODEC_NAME_BYTES];
    char pixel_format[RBC__PIXEL_FORMAT_BYTES];
    rbc__packing packings[RBC__TRACK_MAX_PACKINGS]; /* of its blocks */
    uint32_t num_packings;
    rbc__int_table blocks;
} rbc__track_object;

/* Texts that steps point to by their number, kept once a part: number of texts, u8 width of a number
 * of the table, where each ends, the texts. */
typedef struct rbc__strings {
    uint64_t count;
    unsigned width;
    const uint8_t *ends, *text;
} rbc__strings;

/* `texts` [count]; appends to `out`. */
void rbc__strings_encode(const char *const *texts, uint64_t count, rbc__bytes *out);
/* FORMAT: they are damaged. `data` has to outlive `out`. */
rbc_status rbc__strings_decode(const uint8_t *data, size_t bytes, rbc__strings *out,
                               rbc_error *err);
/* Text `index` < count, not terminated. False where the table is damaged. */
bool rbc__strings_get(const rbc__strings *strings, uint64_t index, const uint8_t **text,
                      uint64_t *bytes);

/* Appends what the catalog keeps of an array: its packing, and the array itself, encoded. */
void rbc__array_object_encode(const rbc__packing *packing, const void *array, size_t bytes,
                              rbc__bytes *out);
/* FORMAT: it is damaged. `data` has to outlive `out`. */
rbc_status rbc__array_object_decode(const uint8_t *data, size_t bytes, rbc__array_object *out,
                                    rbc_error *err);

/* What an indexer says of a track. */
typedef struct rbc__track_description {
    rbc__video_params video;
    rbc__time_base time_base;
    const rbc__track_packet *packets; /* [num_packets], in the order of decoding */
    int64_t num_packets;
    const rbc__block *blocks; /* [num_blocks] that packets lie in */
    uint32_t num_blocks;
    const rbc__packing *packings; /* [num_packings] of the blocks */
    uint32_t num_packings;
} rbc__track_description;

/* The same of a track: strings of codec and pixel format, width, height, u8 matrix, u8 range,
 * extradata, packings, and a table of blocks: blob << 4 | packing, offset, packed bytes, unpacked
 * bytes; then the track, encoded. INVALID_ARGUMENT names what cannot be. */
rbc_status rbc__track_object_encode(const rbc__track_description *track, rbc__bytes *out,
                                    rbc_error *err);
/* What `out` points to lies in `data` and in itself: it is not copied. */
rbc_status rbc__track_object_decode(const uint8_t *data, size_t bytes, rbc__track_object *out,
                                    rbc_error *err);
/* Block `number` < track.num_blocks: in a blob of a part, within int64. FORMAT: its entry is
 * damaged. */
rbc_status rbc__track_object_block(const rbc__track_object *track, uint32_t number, rbc__block *out,
                                   rbc_error *err);

#endif
