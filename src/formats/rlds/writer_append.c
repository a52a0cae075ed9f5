#include "formats/rlds/writer_append.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/rlds/features.h"
#include "formats/rlds/files.h"
#include "io/json.h"

#define METADATA_LIMIT_BYTES ((size_t)16 << 20)

static rbc_status load_leaves(const char *path, rbc__leaves *out, rbc_error *err) {
    char *text;
    size_t bytes = 0;
    *out = (rbc__leaves){0};
    RBC__TRY(rbc__file_load(path, METADATA_LIMIT_BYTES, &text, &bytes, err));
    const rbc_status status = rbc__features_parse(text, bytes, path, out, err);
    free(text);
    return status;
}

static const rbc__leaf *find_leaf(const rbc__leaves *leaves, const char *key) {
    for (int32_t i = 0; i < leaves->count; ++i) {
        if (strcmp(leaves->items[i].key, key) == 0) {
            return &leaves->items[i];
        }
    }
    return NULL;
}

static const char *describe(const rbc__leaf *leaf, char text[256]) {
    char shape[160];
    (void)snprintf(text, 256, "%s%s%s%s %s", rbc__leaf_is_ragged(leaf) ? "ragged " : "",
                   leaf->encoding, leaf->encoding[0] != '\0' ? " " : "",
                   leaf->kind == RBC_STREAM_TEXT ? "text" : rbc__dtype_name(leaf->dtype),
                   rbc__format_shape(shape, sizeof shape, leaf->ndim, leaf->shape));
    return text;
}

/* What is there and what is declared must be described alike. */
static rbc_status compare(const char *folder, const rbc__leaves *there, const rbc__leaves *declared,
                          rbc_error *err) {
    char found[256];
    char wanted[256];
    for (int32_t i = 0; i < declared->count; ++i) {
        const rbc__leaf *leaf = &declared->items[i];
        const rbc__leaf *same = find_leaf(there, leaf->key);
        if (same == NULL) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: has no feature '%s', which was declared", folder, leaf->name);
        }
        if (strcmp(describe(same, found), describe(leaf, wanted)) != 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: its feature '%s' is %s, %s was declared", folder, leaf->name,
                             found, wanted);
        }
    }
    for (int32_t i = 0; i < there->count; ++i) {
        if (!find_leaf(declared, there->items[i].key)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: has a feature '%s', which was not declared", folder,
                             there->items[i].name);
        }
    }
    return RBC_OK;
}

static rbc_status check_features(const char *folder, const char *features_path, rbc_error *err) {
    rbc__leaves there = {0};
    rbc__leaves declared = {0};
    char *path = NULL;
    rbc_status status = rbc__join_path(folder, "features.json", &path, err);
    if (status == RBC_OK) {
        status = load_leaves(path, &there, err);
    }
    if (status == RBC_OK) {
        status = load_leaves(features_path, &declared, err);
    }
    if (status == RBC_OK) {
        status = compare(folder, &there, &declared, err);
    }
    rbc__leaves_free(&there);
    rbc__leaves_free(&declared);
    free(path);
    return status;
}

static rbc_status load_info(const char *folder, rbc__dataset_info *info, rbc_error *err) {
    char *path;
    char *text = NULL;
    size_t bytes = 0;
    RBC__TRY(rbc__join_path(folder, "dataset_info.json", &path, err));
    rbc_status status = rbc__file_load(path, METADATA_LIMIT_BYTES, &text, &bytes, err);
    if (status == RBC_OK) {
        status = rbc__dataset_info_parse(text, bytes, path, info, err);
    }
    free(text);
    free(path);
    return status;
}

rbc_status rbc__writer_append_to(const char *folder, const char *name, const char *features_path,
                                 rbc__dataset_info *info, rbc_error *err) {
    *info = (rbc__dataset_info){0};
    RBC__TRY(load_info(folder, info, err));
    rbc_status status = RBC_OK;
    if (info->name == NULL || strcmp(info->name, name) != 0) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: is the dataset '%s', not '%s'",
                           folder, info->name ? info->name : "", name);
    }
    for (int64_t i = 0; i < info->num_splits && status == RBC_OK; ++i) {
        if (info->splits[i].num_shards == 0) {
            status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                               "%s: its dataset_info.json declares no shards of split '%s'", folder,
                               info->splits[i].name);
        }
    }
    if (status == RBC_OK) {
        status = check_features(folder, features_path, err);
    }
    if (status != RBC_OK) {
        rbc__dataset_info_free(info);
    }
    return status;
}
