/* What a format must provide: it recognises a dataset, tells its schema, and goes once through each
 * part of it to say where the samples of every episode lie. From then on nothing knows formats.
 *
 * Adding a format is a folder src/formats/<format>/ with one rbc__format, and one line in the table
 * of src/formats/format.c; or a call of rbc__format_register(). Interface of src/formats. */
#ifndef RBC_FORMATS_FORMAT_H
#define RBC_FORMATS_FORMAT_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "io/whole.h"
#include "layout/blobs.h"
#include "layout/layout.h"
#include "layout/schema.h"

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
    /* What the format tells of the part beyond its episodes, a JSON object; once at most. It is kept
     * in the catalog for as long as the part is what it is. */
    rbc_status (*told)(void *user, const char *json, rbc_error *err);
    /* Where the part's file lies unpacked, if it is compressed as a whole: that is blob 0 then.
     * NULL: it is not. */
    const char *unpacked;
    void *user;
} rbc__index_sink;

typedef struct rbc__reader rbc__reader;

typedef struct rbc__format rbc__format;

struct rbc__format {
    const char *format;    /* "rlds" */
    const char *looks_for; /* for the message where no format knows a path */
    void *user;            /* of who registered it */
    bool is_told;          /* open() takes what the first part told */

    /* Whether `path` (a folder or file) looks like this format; cheap, reads no data. */
    rbc_status (*probe)(const rbc__format *self, const char *path, bool *accepts, rbc_error *err);

    /* Parses the metadata of the dataset at `path`. `told`: what the first part told the catalog
     * when it was indexed, if that is there and the part's file is unchanged; NULL: nothing. A catalog is anybody's. */
    rbc_status (*open)(const rbc__format *self, const char *path, const char *told,
                       rbc__reader **out, rbc_error *err);
    void (*close)(rbc__reader **reader);
    const rbc__schema *(*schema)(const rbc__reader *reader);

    /* How the part's file is compressed as a whole, if it is: it is then unpacked somewhere, or
     * refused, before it is indexed. NULL: no file of the format is. Any thread. */
    rbc_status (*packed)(rbc__reader *reader, int64_t part, rbc__whole *whole, rbc_error *err);

    /* Goes through one part, checks it, and emits its episodes in order. Called from several
     * threads for different parts at once. */
    rbc_status (*index_part)(rbc__reader *reader, int64_t part, const rbc__index_sink *sink,
                             rbc_error *err);
};

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
