#define _GNU_SOURCE

#include "formats/rlds/dataset_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/bytes.h"
#include "io/json.h"

enum { MAX_SPLITS = 4096 }; /* all are compared with each other */

static const char default_template[] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}";

static rbc_status copy_string(const char *text, char **out, rbc_error *err) {
    *out = strdup(text);
    return *out ? RBC_OK : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a name of a dataset");
}

static rbc_status parse_lengths(const json_t *lengths, const char *path, rbc__split_shards *split,
                                rbc_error *err) {
    const size_t count = json_array_size(lengths);
    if (count == 0) {
        return RBC_OK;
    }
    split->lengths = malloc(count * sizeof *split->lengths);
    if (split->lengths == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: %zu shards", path, count);
    }
    for (size_t i = 0; i < count; ++i) {
        if (!rbc__json_integer(json_array_get(lengths, i), &split->lengths[i]) ||
            split->lengths[i] < 0) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: split '%s': 'shardLengths' [%zu] is no number of records", path,
                             split->name, i);
        }
    }
    split->num_shards = (int64_t)count;
    return RBC_OK;
}

static rbc_status parse_split(const json_t *json, const char *path, rbc__dataset_info *info,
                              rbc_error *err) {
    const char *name = rbc__json_string(json, "name");
    const char *filepath_template = rbc__json_string(json, "filepathTemplate");
    if (name == NULL || name[0] == '\0' || strchr(name, '/')) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: split %" PRId64 " has no name", path,
                         info->num_splits);
    }
    for (int64_t i = 0; i < info->num_splits; ++i) {
        if (strcmp(info->splits[i].name, name) == 0) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "%s: split '%s' is declared twice", path, name);
        }
    }
    rbc__split_shards *split = &info->splits[info->num_splits];
    RBC__TRY(copy_string(name, &split->name, err));
    ++info->num_splits;
    RBC__TRY(copy_string(filepath_template && filepath_template[0] != '\0' ? filepath_template
                                                                           : default_template,
                         &split->filepath_template, err));
    return parse_lengths(json_object_get(json, "shardLengths"), path, split, err);
}

static rbc_status parse_root(const json_t *root, const char *path, rbc__dataset_info *out,
                             rbc_error *err) {
    const char *format = rbc__json_string(root, "fileFormat");
    const char *name = rbc__json_string(root, "name");
    const char *version = rbc__json_string(root, "version");
    if (format && format[0] != '\0' && strcmp(format, "tfrecord") != 0) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "%s: 'fileFormat' is '%s', only 'tfrecord' can be read", path, format);
    }
    if (name && name[0] != '\0') {
        RBC__TRY(copy_string(name, &out->name, err));
    }
    if (version && version[0] != '\0') {
        RBC__TRY(copy_string(version, &out->version, err));
    }
    const json_t *splits = json_object_get(root, "splits");
    const size_t count = json_array_size(splits);
    if (count == 0) {
        return RBC_OK;
    }
    if (count > MAX_SPLITS) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: %zu splits, wanted at most %d", path, count,
                         MAX_SPLITS);
    }
    out->splits = calloc(count, sizeof *out->splits);
    if (out->splits == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: %zu splits", path, count);
    }
    for (size_t i = 0; i < count; ++i) {
        RBC__TRY(parse_split(json_array_get(splits, i), path, out, err));
    }
    return RBC_OK;
}

rbc_status rbc__dataset_info_parse(const char *text, size_t bytes, const char *path,
                                   rbc__dataset_info *out, rbc_error *err) {
    *out = (rbc__dataset_info){0};
    json_t *root;
    RBC__TRY(rbc__json_parse(text, bytes, path, &root, err));
    const rbc_status status = parse_root(root, path, out, err);
    json_decref(root);
    if (status != RBC_OK) {
        rbc__dataset_info_free(out);
    }
    return status;
}

void rbc__dataset_info_free(rbc__dataset_info *info) {
    for (int64_t i = 0; i < info->num_splits; ++i) {
        free(info->splits[i].name);
        free(info->splits[i].filepath_template);
        free(info->splits[i].lengths);
    }
    free(info->splits);
    free(info->name);
    free(info->version);
    *info = (rbc__dataset_info){0};
}

/* Appends what stands for the field "{...}" at `*at`, and steps over it. */
static bool append_field(rbc__bytes *name, const char **at, const char *dataset, const char *split,
                         int64_t shard, int64_t num_shards) {
    char number[64];
    const char *const fields[] = {"{DATASET}",      "{SPLIT}",       "{FILEFORMAT}",
                                  "{SHARD_X_OF_Y}", "{SHARD_INDEX}", "{NUM_SHARDS}"};
    const char *values[] = {dataset, split, "tfrecord", number, number, number};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; ++i) {
        if (strncmp(*at, fields[i], strlen(fields[i])) != 0) {
            continue;
        }
        if (i == 3) {
            (void)snprintf(number, sizeof number, "%05" PRId64 "-of-%05" PRId64, shard, num_shards);
        } else if (i > 3) {
            (void)snprintf(number, sizeof number, "%05" PRId64, i == 4 ? shard : num_shards);
        }
        rbc__bytes_append(name, values[i], strlen(values[i]));
        *at += strlen(fields[i]);
        return true;
    }
    return false;
}

rbc_status rbc__shard_name(const char *filepath_template, const char *dataset, const char *split,
                           int64_t shard, int64_t num_shards, const char *path, char **out,
                           rbc_error *err) {
    rbc__bytes name = {0};
    *out = NULL;
    for (const char *at = filepath_template; *at != '\0';) {
        if (*at != '{') {
            rbc__bytes_byte(&name, (uint8_t)*at++);
        } else if (!append_field(&name, &at, dataset, split, shard, num_shards)) {
            rbc__bytes_free(&name);
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: 'filepathTemplate' of split '%s' has an unknown field: %s", path,
                             split, at);
        }
    }
    rbc__bytes_byte(&name, '\0');
    const rbc_status status = rbc__bytes_check(&name, err);
    if (status != RBC_OK) {
        rbc__bytes_free(&name);
        return status;
    }
    *out = (char *)name.data;
    if (*out[0] == '/' || *out[0] == '\0' || strstr(*out, "..")) {
        rbc__fail(err, RBC_ERROR_FORMAT,
                  "%s: 'filepathTemplate' of split '%s' leads out of the dataset: %s", path, split,
                  *out);
        free(*out);
        *out = NULL;
        return RBC_ERROR_FORMAT;
    }
    return RBC_OK;
}
