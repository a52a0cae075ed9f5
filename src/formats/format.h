/* What a format must provide: probe a path, tell the schema, index a file into episodes, and reach
 * the samples of an episode again from the layout it wrote then.
 *
 * Adding a format is a folder src/formats/<format>/ with one rbc__format, and one line in the table
 * of src/formats/format.c. Interface of src/formats. */
#ifndef RBC_FORMATS_FORMAT_H
#define RBC_FORMATS_FORMAT_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"
#include "io/source.h"

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
} rbc__stream_schema;

typedef struct rbc__file_schema {
    char *path; /* relative to the schema's root */
    char *split;
    int64_t num_records; /* as declared, -1 when it is not */
} rbc__file_schema;

/* Owned by the reader, constant after open. */
typedef struct rbc__schema {
    char *root; /* folder the files' paths begin at, such as the version folder that open() chose;
                   NULL: the path given to open() */
    char *name;
    char *version;
    double control_rate_hz; /* 0: unknown */
    rbc__stream_schema *streams;
    int32_t num_streams;
    rbc__file_schema *files;
    int64_t num_files;
} rbc__schema;

/* The stamps in stream `times` of one episode. */
typedef struct rbc__stamp_span {
    int32_t times;
    int64_t num_samples;
    int64_t first_ns, last_ns; /* 0, -1 where there are none */
} rbc__stamp_span;

/* One episode found while indexing; everything is borrowed for the call. */
typedef struct rbc__episode_entry {
    int64_t record;  /* index in the file */
    uint64_t offset; /* of the record's payload in the file */
    uint64_t bytes;
    int64_t num_steps;
    /* Earliest and latest stamp of the reference streams; 0, -1 where they have none. */
    int64_t start_ns, end_ns;
    const rbc__stamp_span *spans; /* [num_spans], of every stream of stamps, by its index */
    int32_t num_spans;
    const char *task;      /* UTF-8, "" when there is none */
    const uint8_t *layout; /* where the samples lie, in the format's own compact encoding */
    size_t layout_bytes;
} rbc__episode_entry;

typedef struct rbc__index_sink {
    /* A failure returned here ends the indexing of the file with that status. */
    rbc_status (*episode)(void *user, const rbc__episode_entry *entry, rbc_error *err);
    /* A damaged record, as `problem` says (file and offset named). OK: go on behind it where the
     * framing still allows; anything else ends the indexing with that status. */
    rbc_status (*damaged)(void *user, int64_t record, const rbc_error *problem, rbc_error *err);
    /* Bytes of the file gone through so far; non-zero cancels. */
    int (*progress)(void *user, uint64_t bytes_done);
    void *user;
} rbc__index_sink;

typedef struct rbc__reader rbc__reader;
typedef struct rbc__parsed_episode rbc__parsed_episode;

typedef struct rbc__format {
    const char *format; /* "rlds" */

    /* True when `path` (a folder or file) looks like this format; cheap, reads no data. */
    bool (*probe)(const char *path);

    /* Parses the metadata of the dataset at `path`. */
    rbc_status (*open)(const char *path, rbc__reader **out, rbc_error *err);
    void (*close)(rbc__reader **reader);
    const rbc__schema *(*schema)(const rbc__reader *reader);

    /* Goes through one file, checks it, and emits its episodes in order. Called from several
     * threads for different files at once. */
    rbc_status (*index_file)(rbc__reader *reader, int64_t file, const rbc__index_sink *sink,
                             rbc_error *err);

    /* An episode again, from what index_file() emitted. Reads nothing from the file yet but checks
     * the layout against `source`'s size. `layout` is copied or fully parsed; `source` is borrowed
     * and outlives the episode, which is used by one thread at a time. */
    rbc_status (*episode_open)(const rbc__reader *reader, rbc__source *source,
                               const rbc__episode_entry *entry, rbc__parsed_episode **out,
                               rbc_error *err);
    void (*episode_close)(rbc__parsed_episode **episode);

    /* Samples of a stream; `row_lengths` [num_steps] int64 or NULL. */
    rbc_status (*count)(rbc__parsed_episode *episode, int32_t stream, int64_t *num_samples,
                        int64_t *row_lengths, rbc_error *err);

    /* Numeric samples [first, first + count), converted to the stream's dtype, C order. */
    rbc_status (*read)(rbc__parsed_episode *episode, int32_t stream, int64_t first, int64_t count,
                       void *dst, rbc__scratch *scratch, rbc_error *err);

    /* Image or text sample: where its bytes lie in the file. bytes 0: there is none. */
    rbc_status (*locate)(rbc__parsed_episode *episode, int32_t stream, int64_t sample,
                         uint64_t *offset, uint64_t *bytes, rbc_error *err);

    /* Episode metadata as a JSON object; malloc'ed, the caller frees it. */
    rbc_status (*metadata)(rbc__parsed_episode *episode, rbc__scratch *scratch, char **json,
                           rbc_error *err);
} rbc__format;

/* Marks the reference streams: those of the action that have stamps; without such, those with
 * stamps that have one sample a step; without such, all that have stamps. A reader calls it once
 * its streams are known. */
void rbc__schema_set_reference(rbc__schema *schema);

/* Whether "action" or "actions" is a part of its name. */
bool rbc__stream_is_action(const rbc__stream_schema *stream);

/* The reader for `path`; NOT_FOUND when the path is not there, UNSUPPORTED, listing the formats and
 * what each looked for, when none knows it. */
rbc_status rbc__format_find(const char *path, const rbc__format **out, rbc_error *err);

extern const rbc__format rbc__rlds_format;

#endif
