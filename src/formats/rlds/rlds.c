#define _GNU_SOURCE

#include "formats/rlds/rlds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"
#include "formats/rlds/control_rates.h"
#include "formats/rlds/dlimp.h"
#include "formats/rlds/files.h"
#include "formats/rlds/framing.h"
#include "formats/rlds/measure.h"
#include "io/endian.h"
#include "io/json.h"
#include "io/whole.h"

#define METADATA_LIMIT_BYTES     ((size_t)16 << 20)
#define FIRST_RECORD_LIMIT_BYTES ((uint64_t)1 << 30)

static const char stamps_suffix[] = "_time_ns";

/* Where the language instruction of an episode is looked for: the first of these that is there and
 * has a string that is not empty. Streams before metadata. */
static const char *const task_names[] = {
    "language_instruction",
    "observation/natural_language_instruction",
    "observation/language_instruction",
    "natural_language_instruction",
    "task/language_instruction",
    "language_instruction_2",
    "language_instruction_3",
    "instruction",
    "observation/instruction",
    "language",
    "lang",
    "task",
};

/* ---- the schema ---------------------------------------------------------------------------------
 */

static bool has_stamps_in(const rbc__leaf *leaf, const rbc__leaf *stamps) {
    const size_t length = strlen(leaf->name);
    return strncmp(stamps->name, leaf->name, length) == 0 &&
           strcmp(stamps->name + length, stamps_suffix) == 0 && stamps->unsupported == NULL &&
           stamps->kind == RBC_STREAM_NUMERIC && stamps->dtype == RBC__I64 &&
           stamps->list == RBC__LIST_INT64 && stamps->ndim == 0 &&
           rbc__leaf_is_ragged(stamps) == rbc__leaf_is_ragged(leaf);
}

static rbc_status fill_streams(rbc__rlds *reader, rbc_error *err) {
    const rbc__leaves *leaves = &reader->leaves;
    rbc__schema *schema = &reader->schema;
    schema->streams = calloc((size_t)leaves->num_streams + 1, sizeof *schema->streams);
    reader->stored = calloc((size_t)leaves->num_streams + 1, sizeof *reader->stored);
    if (schema->streams == NULL || reader->stored == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%d streams", leaves->num_streams);
    }
    for (int32_t i = 0; i < leaves->num_streams; ++i) {
        const rbc__leaf *leaf = &leaves->items[i];
        rbc__stream_schema *stream = &schema->streams[i];
        *stream = (rbc__stream_schema){.name = strdup(leaf->name),
                                       .kind = leaf->kind,
                                       .dtype = leaf->dtype,
                                       .ndim = leaf->ndim,
                                       .encoding = strdup(leaf->encoding),
                                       .times = -1,
                                       .is_ragged = rbc__leaf_is_ragged(leaf),
                                       .unsupported = leaf->unsupported};
        rbc__measure_describe(leaf, &stream->stored);
        reader->stored[i] = stream->stored;
        schema->num_streams = i + 1;
        if (stream->name == NULL || stream->encoding == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the name of a stream");
        }
        memcpy(stream->shape, leaf->shape, sizeof stream->shape);
        for (int32_t j = 0; j < leaves->num_streams && leaf->unsupported == NULL; ++j) {
            if (has_stamps_in(leaf, &leaves->items[j])) {
                stream->times = j;
            }
        }
    }
    rbc__schema_set_reference(schema);
    return RBC_OK;
}

static rbc_status find_task_leaves(rbc__rlds *reader, rbc_error *err) {
    const rbc__leaves *leaves = &reader->leaves;
    reader->task_leaves = calloc((size_t)leaves->count + 1, sizeof *reader->task_leaves);
    if (reader->task_leaves == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%d features", leaves->count);
    }
    for (int in_steps = 1; in_steps >= 0; --in_steps) {
        for (size_t i = 0; i < sizeof task_names / sizeof task_names[0]; ++i) {
            for (int32_t j = 0; j < leaves->count; ++j) {
                const rbc__leaf *leaf = &leaves->items[j];
                if (leaf->in_steps == in_steps && leaf->kind == RBC_STREAM_TEXT &&
                    leaf->unsupported == NULL && strcmp(leaf->name, task_names[i]) == 0) {
                    reader->task_leaves[reader->num_task_leaves++] = j;
                }
            }
        }
    }
    return RBC_OK;
}

rbc_status rbc__rlds_create(const char *path, rbc__leaves *leaves, rbc__rlds **out,
                            rbc_error *err) {
    rbc__rlds *reader = calloc(1, sizeof *reader);
    *out = NULL;
    if (reader == NULL) {
        rbc__leaves_free(leaves);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to open it", path);
    }
    reader->leaves = *leaves;
    *leaves = (rbc__leaves){0};
    reader->path = strdup(path);
    rbc_status status = reader->path
                            ? rbc__keys_create(&reader->leaves, &reader->keys, err)
                            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory", path);
    if (status == RBC_OK) {
        status = fill_streams(reader, err);
    }
    if (status == RBC_OK) {
        status = find_task_leaves(reader, err);
    }
    if (status != RBC_OK) {
        rbc__rlds_destroy(&reader);
        return status;
    }
    *out = reader;
    return RBC_OK;
}

void rbc__rlds_destroy(rbc__rlds **reader) {
    rbc__rlds *closing = *reader;
    *reader = NULL;
    if (closing == NULL) {
        return;
    }
    rbc__schema_free(&closing->schema);
    free(closing->task_leaves);
    free(closing->stored);
    free(closing->path);
    rbc__keys_free(&closing->keys);
    rbc__leaves_free(&closing->leaves);
    free(closing);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

/* Loads `name` in the dataset's folder; `*text` stays NULL when it is not there. */
static rbc_status load_metadata(const char *folder, const char *name, char **path, char **text,
                                size_t *bytes, rbc_error *err) {
    struct stat info;
    *text = NULL;
    RBC__TRY(rbc__join_path(folder, name, path, err));
    if (lstat(*path, &info) != 0 && errno == ENOENT) { /* a link that leads nowhere is there */
        return RBC_OK;
    }
    return rbc__file_load(*path, METADATA_LIMIT_BYTES, text, bytes, err);
}

static rbc_status load_info(const char *folder, rbc__dataset_info *info, bool *exists,
                            rbc_error *err) {
    char *path = NULL;
    char *text;
    size_t bytes = 0;
    *info = (rbc__dataset_info){0};
    rbc_status status = load_metadata(folder, "dataset_info.json", &path, &text, &bytes, err);
    *exists = status == RBC_OK && text;
    if (*exists) {
        status = rbc__dataset_info_parse(text, bytes, path, info, err);
    }
    free(text);
    free(path);
    return status;
}

static rbc_status load_features(const char *folder, rbc__leaves *leaves, rbc_error *err) {
    char *path = NULL;
    char *text;
    size_t bytes = 0;
    *leaves = (rbc__leaves){0};
    rbc_status status = load_metadata(folder, "features.json", &path, &text, &bytes, err);
    if (status == RBC_OK && text) {
        status = rbc__features_parse(text, bytes, path, leaves, err);
    }
    free(text);
    free(path);
    return status;
}

static const char *last_name(const char *path, size_t *length) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    *length = end - begin;
    return path + begin;
}

/* The dataset's name and version, from the folders above where the metadata does not tell them. */
static rbc_status name_dataset(const char *folder, const rbc__dataset_info *info,
                               rbc__schema *schema, rbc_error *err) {
    char *real = realpath(folder, NULL);
    if (real == NULL) {
        return rbc__fail_errno(err, errno, "%s: cannot be found", folder);
    }
    size_t length;
    const char *last = last_name(real, &length);
    schema->version =
        info->version ? strdup(info->version) : strdup(rbc__is_version(last) ? last : "");
    if (rbc__is_version(last) && last > real) {
        real[last - real - 1] = '\0';
        last = last_name(real, &length);
    }
    schema->name = info->name ? strdup(info->name) : strndup(last, length);
    free(real);
    if (schema->name == NULL || schema->version == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the name of a dataset");
    }
    schema->control_rate_hz = rbc__control_rate(schema->name);
    return RBC_OK;
}

/* The beginning of a file that is compressed as a whole, as far as its first record goes. */
typedef struct beginning {
    rbc__bytes bytes;
    const char *path;
} beginning;

static rbc_status take_record(void *user, const uint8_t *data, size_t bytes, uint64_t packed,
                              rbc_error *err) {
    beginning *b = user;
    (void)packed;
    rbc__bytes_append(&b->bytes, data, bytes);
    RBC__TRY(rbc__bytes_check(&b->bytes, err));
    if (b->bytes.size < RBC__TFRECORD_HEADER_BYTES) {
        return RBC_OK;
    }
    const uint64_t record = rbc__load_u64(b->bytes.data);
    if (rbc__load_u32(b->bytes.data + 8) != rbc__crc32c_masked(b->bytes.data, 8)) {
        return RBC_END; /* no record: whoever reads it says so */
    }
    if (record > FIRST_RECORD_LIMIT_BYTES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: the first record has %llu bytes; without features.json, at most %llu "
                         "of a compressed file are unpacked to derive its streams",
                         b->path, (unsigned long long)record,
                         (unsigned long long)FIRST_RECORD_LIMIT_BYTES);
    }
    return b->bytes.size >= RBC__TFRECORD_HEADER_BYTES + record + RBC__TFRECORD_FOOTER_BYTES
               ? RBC_END
               : RBC_OK;
}

static rbc_status leaves_of(rbc__source *source, rbc__leaves *leaves, rbc_error *err) {
    rbc__whole whole;
    rbc__source *unpacked;
    beginning b = {.path = rbc__source_path(source)};
    RBC__TRY(rbc__frame_packed(source, &whole, err));
    if (whole == RBC__WHOLE_PLAIN) {
        return rbc__dlimp_leaves(source, leaves, err);
    }
    rbc_status status = rbc__whole_unpack(source, whole, take_record, &b, err);
    if (status == RBC_OK) {
        status = rbc__source_from_memory(b.bytes.data, b.bytes.size, b.path, &unpacked, err);
    }
    if (status == RBC_OK) {
        status = rbc__dlimp_leaves(unpacked, leaves, err);
        rbc__source_close(&unpacked);
    }
    rbc__bytes_free(&b.bytes);
    return status;
}

/* Derives the leaves from the first file that has a record. */
static rbc_status derive_leaves(const char *path, const rbc__schema *schema, rbc__leaves *leaves,
                                rbc_error *err) {
    rbc_status status = rbc__fail(err, RBC_ERROR_FORMAT, "%s: all its files are empty", path);
    for (int64_t i = 0; i < schema->num_parts; ++i) {
        char *joined;
        rbc__source *source;
        RBC__TRY(rbc__join_path(path, schema->parts[i].path, &joined, err));
        const rbc_status opened = rbc__source_open(joined, RBC__SOURCE_FILE, &source, err);
        free(joined);
        RBC__TRY(opened);
        const bool is_empty = rbc__source_bytes(source) == 0;
        if (!is_empty) {
            status = leaves_of(source, leaves, err);
        }
        rbc__source_close(&source);
        if (!is_empty) {
            return status;
        }
    }
    return status;
}

/* Opens the dataset in `folder`; fills `schema` but for the streams. */
static rbc_status open_folder(const char *folder, rbc__schema *schema, rbc__leaves *leaves,
                              rbc_error *err) {
    rbc__dataset_info info;
    bool has_info;
    RBC__TRY(load_info(folder, &info, &has_info, err));
    rbc_status status = name_dataset(folder, &info, schema, err);
    double stored_hz = 0.0;
    if (status == RBC_OK) {
        status = rbc__stored_control_rate(folder, &stored_hz, err);
    }
    schema->control_rate_hz = stored_hz != 0.0 ? stored_hz : schema->control_rate_hz;
    if (status == RBC_OK) {
        status = rbc__rlds_list_files(folder, "", has_info ? &info : NULL, schema, err);
    }
    rbc__dataset_info_free(&info);
    if (status == RBC_OK) {
        status = load_features(folder, leaves, err);
    }
    if (status == RBC_OK && leaves->num_streams == 0) {
        rbc__leaves_free(leaves);
        status = derive_leaves(folder, schema, leaves, err);
    }
    return status;
}

static rbc_status rlds_open(const rbc__format *self, const char *path, const char *told,
                            rbc__reader **out, rbc_error *err) {
    rbc__schema schema = {0};
    rbc__leaves leaves = {0};
    rbc__rlds *reader = NULL;
    char *inside = NULL;
    char *folder = NULL;
    (void)self;
    (void)told;
    *out = NULL;
    rbc_status status = rbc__rlds_find_folder(path, &inside, err);
    if (status == RBC_OK) {
        status = rbc__join_path(path, inside, &folder, err);
    }
    free(inside);
    schema.root = folder;
    if (status == RBC_OK) {
        status = open_folder(folder, &schema, &leaves, err);
    }
    if (status == RBC_OK) {
        status = rbc__rlds_create(folder, &leaves, &reader, err);
    }
    if (status != RBC_OK) {
        rbc__schema_free(&schema);
        rbc__leaves_free(&leaves);
        return status;
    }
    schema.streams = reader->schema.streams;
    schema.num_streams = reader->schema.num_streams;
    reader->schema = schema;
    *out = (rbc__reader *)reader;
    return RBC_OK;
}

static rbc_status rlds_probe(const rbc__format *self, const char *path, bool *accepts,
                             rbc_error *err) {
    char *inside = NULL;
    rbc_error problem;
    (void)self;
    const rbc_status status = rbc__rlds_find_folder(path, &inside, &problem);
    free(inside);
    *accepts = false;
    if (status != RBC_OK && rbc__is_shortage(&problem)) {
        return rbc__pass_on(&problem, err);
    }
    /* what cannot be told is told by open(), with the reason */
    *accepts =
        status == RBC_OK || status == RBC_ERROR_INVALID_ARGUMENT || problem.device_code == EACCES;
    return RBC_OK;
}

static void rlds_close(rbc__reader **reader) {
    rbc__rlds *rlds = (rbc__rlds *)*reader;
    *reader = NULL;
    rbc__rlds_destroy(&rlds);
}

static const rbc__schema *rlds_schema(const rbc__reader *reader) {
    return &((const rbc__rlds *)reader)->schema;
}

static rbc_status rlds_packed(rbc__reader *reader, int64_t part, rbc__whole *whole,
                              rbc_error *err) {
    const rbc__rlds *rlds = (const rbc__rlds *)reader;
    char *path;
    rbc__source *source;
    RBC__TRY(rbc__join_path(rlds->path, rlds->schema.parts[part].path, &path, err));
    rbc_status status = rbc__source_open(path, RBC__SOURCE_FILE, &source, err);
    free(path);
    if (status == RBC_OK) {
        status = rbc__frame_packed(source, whole, err);
        rbc__source_close(&source);
    }
    return status;
}

static rbc_status rlds_index_part(rbc__reader *reader, int64_t part, const rbc__index_sink *sink,
                                  rbc_error *err) {
    const rbc__rlds *rlds = (const rbc__rlds *)reader;
    if (part < 0 || part >= rlds->schema.num_parts) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "part %lld: there are %lld parts",
                         (long long)part, (long long)rlds->schema.num_parts);
    }
    const rbc__part_schema *info = &rlds->schema.parts[part];
    char *path;
    rbc__source *source;
    RBC__TRY(sink->unpacked != NULL ? rbc__join_path(sink->unpacked, "", &path, err)
                                    : rbc__join_path(rlds->path, info->path, &path, err));
    rbc_status status = rbc__source_open(path, RBC__SOURCE_MAP, &source, err);
    free(path);
    if (status == RBC_OK) {
        status = rbc__rlds_index(rlds, source, info->num_records, sink, err);
        if (status == RBC_OK) {
            status = rbc__source_check_unchanged(source, err);
        }
        rbc__source_close(&source);
    }
    return status;
}

const rbc__format rbc__rlds_format = {
    .format = "rlds",
    .looks_for = "features.json, dataset_info.json or *.tfrecord*",
    .probe = rlds_probe,
    .open = rlds_open,
    .close = rlds_close,
    .schema = rlds_schema,
    .packed = rlds_packed,
    .index_part = rlds_index_part,
};
