/* The schema of a dataset: its streams, how layouts store them, and its parts.
 * Interface of src/layout. */
#ifndef RBC_LAYOUT_SCHEMA_H
#define RBC_LAYOUT_SCHEMA_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "layout/fields.h"
#include "layout/layout.h"
#include "layout/values.h"

/* The longest unit, in bytes of UTF-8. */
#define RBC__UNIT_BYTES 32

typedef struct rbc__stream_schema {
    char *name;     /* dataset's own, "steps/" left out */
    char *encoding; /* "", "jpeg", "png" */
    const char
        *unsupported; /* why its samples cannot be read, or NULL; it is listed all the same */
    rbc__layout_stream stored;          /* what layouts need not say of each run */
    rbc__value_map map;                 /* see has_map */
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of one sample; -1: not declared */
    rbc_stream_kind kind;
    rbc__dtype dtype;
    int32_t ndim;
    int32_t times;      /* index of the stream with this one's stamps, or -1 */
    rbc__fields fields; /* of the encoding "cloud" */
    bool has_map; /* numbers become values by `map`; with images, which are delivered as stored, it
                     only travels */
    bool is_ragged;
    bool is_reference; /* episodes begin and end with its stamps, see rbc__schema_set_reference() */
    char unit[RBC__UNIT_BYTES + 1]; /* of the values, UTF-8: "m"; "": not said */
} rbc__stream_schema;

/* A unit of indexing. Mostly it is a file, which is then blob 0 of its layouts. */
typedef struct rbc__part_schema {
    char *path; /* relative to the schema's root; of a part that is no file, a name of its own */
    char *split;
    int64_t num_records; /* as declared, -1 when it is not */
    bool is_virtual;     /* no file: `stamp` is what changes when it does */
    int64_t stamp;
} rbc__part_schema;

/* Owned by the reader, constant after open. */
typedef struct rbc__schema {
    char *root; /* folder the parts' paths begin at, such as the version folder that open() chose;
                   NULL: the path given to open() */
    char *name;
    char *version;
    double control_rate_hz; /* 0: unknown */
    rbc__stream_schema *streams;
    int32_t num_streams;
    rbc__part_schema *parts;
    int64_t num_parts;
} rbc__schema;

/* Whether its samples are stored as numbers, which includes images that are stored as pixels. */
static inline bool rbc__stream_has_numbers(const rbc__stream_schema *stream) {
    return stream->kind == RBC_STREAM_NUMERIC || stream->stored.encoding == RBC__ENCODING_PIXELS ||
           (stream->kind == RBC_STREAM_IMAGE && stream->stored.encoding == RBC__ENCODING_NPY);
}

/* The map that its samples are read through; NULL: none. */
static inline const rbc__value_map *rbc__stream_map(const rbc__stream_schema *stream) {
    return stream->has_map && stream->kind == RBC_STREAM_NUMERIC ? &stream->map : NULL;
}

/* Of its samples in a column: as stored where there is a map, the numbers of texts, else its own. */
static inline rbc__dtype rbc__stream_column_dtype(const rbc__stream_schema *stream) {
    return stream->stored.encoding == RBC__ENCODING_STRING ? RBC__I32
           : rbc__stream_map(stream) != NULL               ? (rbc__dtype)stream->stored.dtype
                                                           : stream->dtype;
}

/* Whether a unit of so many bytes, and a map, are such. */
bool rbc__unit_check(const char *unit, size_t bytes);
bool rbc__value_map_check(const rbc__value_map *map);

/* Whether samples of an image stream may be stored so: "image", or "ros_image" of pixels that can
 * become the stream's. INVALID_ARGUMENT says what cannot. */
rbc_status rbc__stream_check_image(const rbc__stream_schema *stream, rbc__encoding encoding,
                                   uint8_t stored, rbc_error *err);

/* INVALID_ARGUMENT: its numbers cannot become values of its dtype, or unit or map are none. */
rbc_status rbc__stream_check(const rbc__stream_schema *stream, rbc_error *err);

/* Frees what it points to, all malloc'ed; zeros are a schema of nothing. */
void rbc__schema_free(rbc__schema *schema);

/* Marks the reference streams: those of the action that have stamps; without such, those with
 * stamps that have one sample a step; without such, all that have stamps. A reader calls it once
 * its streams are known. */
void rbc__schema_set_reference(rbc__schema *schema);

/* Whether "action" or "actions" is a part of its name. */
bool rbc__stream_is_action(const rbc__stream_schema *stream);

#endif
