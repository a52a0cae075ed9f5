/* What a format must provide: it recognises a dataset, tells its schema, and goes once through each
 * part of it to say where the samples of every episode lie. From then on nothing knows formats.
 *
 * Adding a format is a folder src/formats/<format>/ with one rbc__format, and one line in the table
 * of src/formats/format.c; or a call of rbc__format_register(). Interface of src/formats. */
#ifndef RBC_FORMATS_FORMAT_H
#define RBC_FORMATS_FORMAT_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "layout/blobs.h"
#include "layout/layout.h"
#include "layout/values.h"

/* The longest unit, in bytes of UTF-8. */
#define RBC__UNIT_BYTES 32

typedef struct rbc__stream_schema {
    char *name; /* dataset's own, "steps/" left out */
    rbc_stream_kind kind;
    rbc__dtype dtype;
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of one sample; -1: not declared */
    char *encoding;                     /* "", "jpeg", "png" */
    int32_t times;                      /* index of the stream with this one's stamps, or -1 */
    bool is_ragged;
    bool is_reference; /* episodes begin and end with its stamps, see rbc__schema_set_reference() */
    const char
        *unsupported; /* why its samples cannot be read, or NULL; it is listed all the same */
    rbc__layout_stream stored;      /* what layouts need not say of each run */
    char unit[RBC__UNIT_BYTES + 1]; /* of the values, UTF-8: "m"; "": not said */
    bool has_map; /* numbers become values by `map`; with images, which are delivered as stored, it
                     only travels */
    rbc__value_map map;
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

/* The stamps in stream `times` of one episode. */
typedef struct rbc__stamp_span {
    int32_t times;
    int64_t num_samples;
    int64_t first_ns, last_ns; /* 0, -1 where there are none */
} rbc__stamp_span;

/* One episode found while indexing; everything is borrowed for the call. */
typedef struct rbc__episode_entry {
    int64_t record; /* number within its part */
    int64_t offset; /* of the record in blob 0, where it is one run of bytes; else -1 */
    int64_t bytes;  /* that it takes */
    int64_t num_steps;
    /* Earliest and latest stamp of the reference streams; 0, -1 where they have none. */
    int64_t start_ns, end_ns;
    const rbc__stamp_span *spans; /* [num_spans], of every stream of stamps, by its index */
    int32_t num_spans;
    const char *task;      /* UTF-8, "" when there is none */
    const char *metadata;  /* a JSON object, or NULL */
    const uint8_t *layout; /* where the samples lie: layout/layout.h */
    size_t layout_bytes;
} rbc__episode_entry;

typedef struct rbc__index_sink {
    /* A failure returned here ends the indexing of the part with that status. */
    rbc_status (*episode)(void *user, const rbc__episode_entry *entry, rbc_error *err);
    /* A damaged record, as `problem` says (file and offset named). OK: go on behind it where that
     * is still possible; anything else ends the indexing with that status. */
    rbc_status (*damaged)(void *user, int64_t record, const rbc_error *problem, rbc_error *err);
    /* Bytes of the part gone through so far; non-zero cancels. */
    int (*progress)(void *user, uint64_t bytes_done);
    /* Blobs of the part by their names (layout/blobs.h), which get the next numbers. */
    rbc_status (*blobs)(void *user, const rbc__blob_group *group, rbc_error *err);
    /* An array or a track of the part, encoded, with the next number of its kind; kind
     * RBC__IN_LAYOUT: the texts that steps point to, once at most (layout/object.h). */
    rbc_status (*object)(void *user, rbc__container kind, const uint8_t *data, size_t bytes,
                         rbc_error *err);
    /* Appends to the part's column file: `*offset` is where the bytes begin in it. It is the blob
     * with the number RBC__COLUMN_BLOB. */
    rbc_status (*column)(void *user, const void *data, size_t bytes, uint64_t *offset,
                         rbc_error *err);
    void *user;
} rbc__index_sink;

typedef struct rbc__reader rbc__reader;

typedef struct rbc__format rbc__format;

struct rbc__format {
    const char *format;    /* "rlds" */
    const char *looks_for; /* for the message where no format knows a path */
    void *user;            /* of who registered it */

    /* Whether `path` (a folder or file) looks like this format; cheap, reads no data. */
    rbc_status (*probe)(const rbc__format *self, const char *path, bool *accepts, rbc_error *err);

    /* Parses the metadata of the dataset at `path`. */
    rbc_status (*open)(const rbc__format *self, const char *path, rbc__reader **out,
                       rbc_error *err);
    void (*close)(rbc__reader **reader);
    const rbc__schema *(*schema)(const rbc__reader *reader);

    /* Goes through one part, checks it, and emits its episodes in order. Called from several
     * threads for different parts at once. */
    rbc_status (*index_part)(rbc__reader *reader, int64_t part, const rbc__index_sink *sink,
                             rbc_error *err);
};

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

/* INVALID_ARGUMENT: its numbers cannot become values of its dtype, or unit or map are none. */
rbc_status rbc__stream_check(const rbc__stream_schema *stream, rbc_error *err);

/* Marks the reference streams: those of the action that have stamps; without such, those with
 * stamps that have one sample a step; without such, all that have stamps. A reader calls it once
 * its streams are known. */
void rbc__schema_set_reference(rbc__schema *schema);

/* Whether "action" or "actions" is a part of its name. */
bool rbc__stream_is_action(const rbc__stream_schema *stream);

/* Adds a format to those that are known; any thread. It is borrowed for as long as the process
 * lives: datasets that are open have it. INVALID_ARGUMENT where there is one of its name, unless
 * `replace`, which takes its place for datasets opened later; built-in ones are never replaced. */
rbc_status rbc__format_register(const rbc__format *format, bool replace, rbc_error *err);

/* The format for `path`, or, with `name`, the one of that name. NOT_FOUND when the path is not
 * there; UNSUPPORTED, listing the formats and what each looked for, when none knows it or has that
 * name; INVALID_ARGUMENT when two know it. */
rbc_status rbc__format_find(const char *path, const char *name, const rbc__format **out,
                            rbc_error *err);

extern const rbc__format rbc__rlds_format;

#endif
