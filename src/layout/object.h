/* Arrays and tracks as the catalog keeps them: with what they are packed by, or encoded with. */
#ifndef RBC_LAYOUT_OBJECT_H
#define RBC_LAYOUT_OBJECT_H

#include "codec/video.h"
#include "layout/array.h"
#include "layout/track.h"
#include "packing/packing.h"

#define RBC__CODEC_NAME_BYTES 40

typedef struct rbc__array_object {
    rbc__array array;
    rbc__packing packing;
} rbc__array_object;

typedef struct rbc__track_object {
    rbc__track track;
    const rbc__video_codec *codec; /* NULL: this library has none of `codec_name` */
    char codec_name[RBC__CODEC_NAME_BYTES];
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

/* The same of a track: the name of its codec, shorter than RBC__CODEC_NAME_BYTES, and the track, encoded. */
void rbc__track_object_encode(const char *codec, const void *track, size_t bytes, rbc__bytes *out);
rbc_status rbc__track_object_decode(const uint8_t *data, size_t bytes, rbc__track_object *out,
                                    rbc_error *err);

#endif
