#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"
#include "core/params.h"
#include "core/rate.h"
#include "formats/rlds/control_rates.h"
#include "formats/rlds/features.h"
#include "formats/rlds/files.h"
#include "formats/rlds/shards.h"
#include "formats/rlds/writer_append.h"
#include "formats/rlds/writer_check.h"
#include "formats/rlds/writer_episode.h"
#include "formats/rlds/writer_features.h"

#define DEFAULT_SHARD_BYTES (UINT64_C(256) << 20)

enum { MAX_NAME_BYTES = 512 };

struct rbc_rlds_writer {
    rbc__shards *shards;
    rbc__writer_feature *features; /* streams, then metadata */
    int32_t num_streams, num_features;
    char *name, *version, *description; /* no description: NULL */
    double control_rate_hz;
    rbc__writer_checker checker; /* kept from episode to episode */
    rbc__bytes record;           /* likewise */
};

/* ---- what is declared ---------------------------------------------------------------------------
 */

static bool is_word(const char *text) {
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return text && text[0] != '\0' && strspn(text, allowed) == strlen(text);
}

/* Names joined by '/', none of them empty. */
static bool is_feature_name(const char *name) {
    const size_t length = name ? strlen(name) : 0;
    return length > 0 && length < MAX_NAME_BYTES && name[0] != '/' && name[length - 1] != '/' &&
           !strstr(name, "//");
}

static rbc_status check_feature(const rbc_stream_info *info, bool in_steps, const char *what,
                                int32_t index, rbc_error *err) {
    if (!is_feature_name(info->name)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s[%d].name is '%s'; wanted names joined by '/', %d bytes at most", what,
                         index, info->name ? info->name : "NULL", MAX_NAME_BYTES);
    }
    if (info->ndim < 0 || info->ndim >= RBC_STREAM_MAX_DIMS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s '%s': ndim is %d; wanted 0 to %d",
                         what, info->name, info->ndim, RBC_STREAM_MAX_DIMS - 1);
    }
    for (int32_t i = 0; i < info->ndim; ++i) {
        if (info->shape[i] < (info->kind == RBC_STREAM_IMAGE ? -1 : 0)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s '%s': extent %d of its shape is %" PRId64, what, info->name, i,
                             info->shape[i]);
        }
    }
    if (!in_steps && (info->is_ragged || info->kind == RBC_STREAM_IMAGE)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s '%s': metadata can be neither ragged nor images", what, info->name);
    }
    return RBC_OK;
}

static rbc_status check_kind(const rbc_stream_info *info, rbc__dtype *dtype, rbc_error *err) {
    if (info->kind == RBC_STREAM_TEXT) {
        *dtype = RBC__U8;
        return info->ndim == 0 ? RBC_OK
                               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                                           "stream '%s': text has no shape, ndim is %d", info->name,
                                           info->ndim);
    }
    if (!rbc__dtype_from_dlpack(info->dtype, dtype)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': its dtype (code %d, %d bits, %d lanes) is not known",
                         info->name, info->dtype.code, info->dtype.bits, info->dtype.lanes);
    }
    if (info->kind == RBC_STREAM_NUMERIC) {
        return RBC_OK;
    }
    if (info->kind != RBC_STREAM_IMAGE || info->ndim != 3 ||
        (*dtype != RBC__U8 && *dtype != RBC__U16)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': images have shape [H, W, C] and dtype uint8 or uint16",
                         info->name);
    }
    if (info->encoding == NULL ||
        (strcmp(info->encoding, "jpeg") != 0 && strcmp(info->encoding, "png") != 0)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': its encoding is '%s'; wanted 'jpeg' or 'png'", info->name,
                         info->encoding ? info->encoding : "NULL");
    }
    return RBC_OK;
}

/* One feature may not be named like a folder of another. */
static rbc_status check_unique(const rbc__writer_feature *features, int32_t count, rbc_error *err) {
    const char *key = features[count].key;
    for (int32_t i = 0; i < count; ++i) {
        const char *other = features[i].key;
        const size_t length = strlen(key) < strlen(other) ? strlen(key) : strlen(other);
        if (strncmp(key, other, length) == 0 && (key[length] == '\0' || key[length] == '/') &&
            (other[length] == '\0' || other[length] == '/')) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "'%s' and '%s' cannot both be there",
                             other, key);
        }
    }
    return RBC_OK;
}

static rbc_status add_feature(rbc_rlds_writer *writer, const rbc_stream_info *info, bool in_steps,
                              int32_t index, rbc_error *err) {
    const char *prefix = in_steps ? "steps/" : "episode_metadata/";
    rbc__writer_feature *feature = &writer->features[writer->num_features];
    RBC__TRY(check_feature(info, in_steps, in_steps ? "streams" : "metadata", index, err));
    *feature = (rbc__writer_feature){.in_steps = in_steps,
                                     .kind = info->kind,
                                     .ndim = info->ndim,
                                     .is_ragged = info->is_ragged != 0};
    RBC__TRY(check_kind(info, &feature->dtype, err));
    memcpy(feature->shape, info->shape, sizeof feature->shape);
    feature->encoding = strdup(info->encoding ? info->encoding : "");
    RBC__TRY(rbc__join_path(prefix, info->name, &feature->key, err));
    feature->name = feature->key + strlen(prefix);
    ++writer->num_features;
    if (feature->encoding == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "stream '%s'", info->name);
    }
    return check_unique(writer->features, writer->num_features - 1, err);
}

static rbc_status check_params(const rbc_rlds_writer_params *params, rbc_error *err) {
    if (params->path == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "path is NULL");
    }
    if (!is_word(params->name)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "name is '%s'; wanted letters, digits and '_'",
                         params->name ? params->name : "NULL");
    }
    if (params->version && !rbc__is_version(params->version)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "version is '%s'; wanted three numbers such as '1.0.0'", params->version);
    }
    if (params->num_streams < 1 || params->streams == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_streams is %d; wanted at least 1",
                         params->num_streams);
    }
    rbc__rate rate;
    if (params->control_rate_hz != 0.0 && !rbc__rate_from_hz(params->control_rate_hz, &rate)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "control_rate_hz is %g; wanted 0 or a rate within %g and %g",
                         params->control_rate_hz, RBC__RATE_MIN_HZ, RBC__RATE_MAX_HZ);
    }
    if (params->num_metadata < 0 || (params->num_metadata > 0 && params->metadata == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_metadata is %d and metadata %s",
                         params->num_metadata, params->metadata ? "is set" : "is NULL");
    }
    if ((int64_t)params->num_streams + params->num_metadata > RBC__MAX_LEAVES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%d streams and %d of metadata; wanted at most %d together",
                         params->num_streams, params->num_metadata, RBC__MAX_LEAVES);
    }
    return RBC_OK;
}

/* ---- the interface ------------------------------------------------------------------------------
 */

/* The rate that is stored already may be left out, and must not be another. */
static rbc_status settle_rate(rbc_rlds_writer *writer, const char *replaced, rbc_error *err) {
    double stored_hz;
    RBC__TRY(rbc__stored_control_rate(replaced, &stored_hz, err));
    if (writer->control_rate_hz != 0.0 && stored_hz != 0.0 &&
        writer->control_rate_hz != stored_hz) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "control_rate_hz is %g; the episodes in %s have %g",
                         writer->control_rate_hz, replaced, stored_hz);
    }
    return RBC_OK;
}

/* Writes features.json and, where a dataset is added to, checks that it has the same and takes what
 * it holds. */
static rbc_status write_features(rbc_rlds_writer *writer, rbc_error *err) {
    const char *replaced = rbc__shards_replaced(writer->shards);
    char *path;
    RBC__TRY(rbc__join_path(rbc__shards_folder(writer->shards), "features.json", &path, err));
    rbc_status status =
        rbc__writer_features_json(writer->features, writer->num_features, path, err);
    if (status == RBC_OK && replaced) {
        rbc__dataset_info info;
        status = settle_rate(writer, replaced, err);
        if (status == RBC_OK) {
            status = rbc__writer_append_to(replaced, writer->name, path, &info, err);
        }
        if (status == RBC_OK) {
            status = rbc__shards_adopt(writer->shards, &info, err);
            rbc__dataset_info_free(&info);
        }
    }
    free(path);
    return status;
}

static rbc_status fill(rbc_rlds_writer *writer, const rbc_rlds_writer_params *params,
                       rbc_error *err) {
    const size_t count = (size_t)params->num_streams + (size_t)params->num_metadata;
    writer->name = strdup(params->name);
    writer->version = strdup(params->version ? params->version : "1.0.0");
    writer->description = params->description ? strdup(params->description) : NULL;
    writer->control_rate_hz = params->control_rate_hz;
    writer->features = calloc(count, sizeof *writer->features);
    if (writer->name == NULL || writer->version == NULL ||
        (params->description && writer->description == NULL) || writer->features == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a writer of %zu features", count);
    }
    for (int32_t i = 0; i < params->num_streams; ++i) {
        RBC__TRY(add_feature(writer, &params->streams[i], true, i, err));
    }
    writer->num_streams = params->num_streams;
    for (int32_t i = 0; i < params->num_metadata; ++i) {
        RBC__TRY(add_feature(writer, &params->metadata[i], false, i, err));
    }
    RBC__TRY(rbc__writer_find_stamps(writer->features, writer->num_features, err));
    RBC__TRY(rbc__shards_create(params->path, writer->name, writer->version,
                                params->shard_bytes ? params->shard_bytes : DEFAULT_SHARD_BYTES,
                                params->append != 0, &writer->shards, err));
    return write_features(writer, err);
}

rbc_status rbc_rlds_writer_create(const rbc_rlds_writer_params *params, rbc_rlds_writer **out,
                                  rbc_error *err) {
    *out = NULL;
    rbc_rlds_writer_params known = RBC_RLDS_WRITER_PARAMS_INIT;
    RBC__TRY(rbc__params_read(params, &known, sizeof known, "params", err));
    RBC__TRY(check_params(&known, err));
    rbc_rlds_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a writer");
    }
    const rbc_status status = fill(writer, &known, err);
    if (status != RBC_OK) {
        rbc_rlds_writer_destroy(&writer);
        return status;
    }
    *out = writer;
    return RBC_OK;
}

rbc_status rbc_rlds_writer_add(rbc_rlds_writer *writer, const char *split, int64_t num_steps,
                               const rbc_rlds_data *streams, const rbc_rlds_data *metadata,
                               rbc_error *err) {
    if (!is_word(split)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "split is '%s'; wanted letters, digits and '_'", split ? split : "NULL");
    }
    if (num_steps < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "num_steps is %" PRId64 "; wanted at least 1", num_steps);
    }
    if (streams == NULL || (metadata == NULL && writer->num_features > writer->num_streams)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is NULL",
                         streams ? "metadata" : "streams");
    }
    RBC__TRY(rbc__writer_check(&writer->checker, writer->features, writer->num_features, num_steps,
                               streams, writer->num_streams, metadata, err));
    writer->record.size = 0;
    writer->record.failed = 0;
    RBC__TRY(rbc__writer_episode(writer->features, writer->num_features, num_steps, streams,
                                 writer->num_streams, metadata, &writer->record, err));
    return rbc__shards_append(writer->shards, split, writer->record.data, writer->record.size, err);
}

static rbc_status finish(rbc_rlds_writer *writer, rbc_error *err) {
    rbc__dataset_info info;
    uint64_t *num_bytes;
    const char *folder = rbc__shards_folder(writer->shards);
    const char *replaced = rbc__shards_replaced(writer->shards);
    RBC__TRY(rbc__shards_finish(writer->shards, &info, &num_bytes, err));
    info.name = writer->name;
    info.version = writer->version;
    rbc_status status =
        rbc__writer_info_json(&info, num_bytes, writer->description, replaced, folder, err);
    if (status == RBC_OK) {
        status = rbc__writer_metadata_json(writer->control_rate_hz, replaced, folder, err);
    }
    if (status == RBC_OK) {
        status = rbc__shards_publish(writer->shards, err);
    }
    info.name = NULL;
    info.version = NULL;
    rbc__dataset_info_free(&info);
    free(num_bytes);
    return status;
}

rbc_status rbc_rlds_writer_close(rbc_rlds_writer **writer, rbc_error *err) {
    if (!*writer) {
        return RBC_OK;
    }
    const rbc_status status = finish(*writer, err);
    rbc_rlds_writer_destroy(writer);
    return status;
}

void rbc_rlds_writer_destroy(rbc_rlds_writer **writer) {
    rbc_rlds_writer *closing = *writer;
    *writer = NULL;
    if (closing == NULL) {
        return;
    }
    rbc__shards_destroy(&closing->shards);
    for (int32_t i = 0; i < closing->num_features; ++i) {
        free(closing->features[i].key);
        free(closing->features[i].encoding);
    }
    free(closing->features);
    free(closing->name);
    free(closing->version);
    free(closing->description);
    rbc__writer_checker_free(&closing->checker);
    rbc__bytes_free(&closing->record);
    free(closing);
}
