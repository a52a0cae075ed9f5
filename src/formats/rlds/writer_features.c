#define _GNU_SOURCE

#include "formats/rlds/writer_features.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/error.h"
#include "formats/rlds/control_rates.h"
#include "formats/rlds/files.h"
#include "io/json.h"

#define METADATA_LIMIT_BYTES ((size_t)16 << 20)

#define TFDS "tensorflow_datasets.core.features."

/* What makes a part of a file gives NULL where there is no memory; who takes one takes that, too. */
static json_t *integer_string(int64_t value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return json_string(text);
}

/* protobuf's JSON leaves the dimensions of a scalar out. */
static json_t *shape_json(const rbc__writer_feature *feature) {
    if (feature->ndim == 0) {
        return json_object();
    }
    json_t *dimensions = json_array();
    for (int32_t i = 0; i < feature->ndim; ++i) {
        if (json_array_append_new(dimensions, integer_string(feature->shape[i])) != 0) {
            json_decref(dimensions);
            return NULL;
        }
    }
    return json_pack("{s:o}", "dimensions", dimensions);
}

static json_t *leaf_json(const rbc__writer_feature *feature) {
    json_t *leaf;
    if (feature->kind == RBC_STREAM_IMAGE) {
        leaf = json_pack("{s:s,s:{s:o,s:s,s:s}}", "pythonClassName", TFDS "image_feature.Image",
                         "image", "shape", shape_json(feature), "dtype",
                         rbc__dtype_name(feature->dtype), "encodingFormat", feature->encoding);
    } else if (feature->kind == RBC_STREAM_TEXT) {
        leaf = json_pack("{s:s,s:{}}", "pythonClassName", TFDS "text_feature.Text", "text");
    } else {
        leaf = json_pack("{s:s,s:{s:o,s:s,s:s}}", "pythonClassName",
                         feature->ndim == 0 ? TFDS "scalar.Scalar" : TFDS "tensor_feature.Tensor",
                         "tensor", "shape", shape_json(feature), "dtype",
                         rbc__dtype_name(feature->dtype), "encoding", "none");
    }
    if (!feature->is_ragged) {
        return leaf;
    }
    return json_pack("{s:s,s:{s:o,s:s}}", "pythonClassName", TFDS "sequence_feature.Sequence",
                     "sequence", "feature", leaf, "length", "-1");
}

static json_t *dict_json(json_t *features) {
    return json_pack("{s:s,s:{s:o}}", "pythonClassName", TFDS "features_dict.FeaturesDict",
                     "featuresDict", "features", features);
}

/* The object of the features in the dict called `name`[0..bytes), made when it is not there. */
static json_t *child_features(json_t *features, const char *name, size_t bytes) {
    char *key = strndup(name, bytes);
    json_t *dict = key ? json_object_get(features, key) : NULL;
    if (key && dict == NULL) {
        dict = dict_json(json_object());
        dict = json_object_set_new(features, key, dict) == 0 ? dict : NULL;
    }
    free(key);
    return json_object_get(json_object_get(dict, "featuresDict"), "features");
}

/* Puts `feature` where it belongs in the tree below `features`. */
static bool insert(json_t *features, const rbc__writer_feature *feature) {
    const char *name = feature->name;
    for (const char *slash; features && (slash = strchr(name, '/')); name = slash + 1) {
        features = child_features(features, name, (size_t)(slash - name));
    }
    return features && json_object_set_new(features, name, leaf_json(feature)) == 0;
}

static rbc_status write_json(json_t *json, const char *path, rbc_error *err) {
    FILE *file = fopen(path, "wbx");
    if (file == NULL) {
        return rbc__fail_errno(err, errno, "%s: cannot be written", path);
    }
    errno = 0;
    bool ok = json_dumpf(json, file, JSON_INDENT(4) | JSON_ENSURE_ASCII) == 0 &&
              fputc('\n', file) != EOF && fflush(file) == 0 && fsync(fileno(file)) == 0;
    const int saved_errno = errno;
    ok = fclose(file) == 0 && ok;
    return ok ? RBC_OK : rbc__fail_errno(err, saved_errno, "%s: cannot be written", path);
}

rbc_status rbc__writer_features_json(const rbc__writer_feature *features, int32_t count,
                                     const char *path, rbc_error *err) {
    json_t *steps = json_object();
    json_t *metadata = json_object();
    bool ok = true;
    bool has_metadata = false;
    for (int32_t i = 0; i < count && ok; ++i) {
        ok = insert(features[i].in_steps ? steps : metadata, &features[i]);
        has_metadata = has_metadata || !features[i].in_steps;
    }
    json_t *root = json_pack("{s:{s:s,s:{s:o,s:s}}}", "steps", "pythonClassName",
                             TFDS "dataset_feature.Dataset", "sequence", "feature",
                             dict_json(steps), "length", "-1");
    if (has_metadata) {
        ok = ok && json_object_set_new(root, "episode_metadata", dict_json(metadata)) == 0;
    } else {
        json_decref(metadata);
    }
    root = dict_json(root);
    const rbc_status status =
        ok && root ? write_json(root, path, err)
                   : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to write it", path);
    json_decref(root);
    return status;
}

/* The object in <replaced>/<name>, which is renewed; an empty one where there is none. */
static rbc_status load_replaced(const char *replaced, const char *name, json_t **out,
                                rbc_error *err) {
    char *path = NULL;
    char *text = NULL;
    size_t bytes = 0;
    *out = NULL;
    if (replaced) {
        RBC__TRY(rbc__join_path(replaced, name, &path, err));
    }
    rbc_status status = RBC_OK;
    if (path && (access(path, F_OK) == 0 || errno != ENOENT)) { /* loading says why it cannot */
        status = rbc__file_load(path, METADATA_LIMIT_BYTES, &text, &bytes, err);
        if (status == RBC_OK) {
            status = rbc__json_parse(text, bytes, path, out, err);
        }
    } else {
        *out = json_object();
    }
    free(text);
    free(path);
    return status;
}

/* `made`: there was memory for all of it. */
static rbc_status write_renewed(json_t *root, bool made, const char *folder, const char *name,
                                rbc_error *err) {
    char *path;
    RBC__TRY(rbc__join_path(folder, name, &path, err));
    const rbc_status status =
        made ? write_json(root, path, err)
             : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to write it", path);
    free(path);
    return status;
}

static json_t *split_json(const rbc__split_shards *split, uint64_t num_bytes) {
    json_t *lengths = json_array();
    for (int64_t j = 0; j < split->num_shards; ++j) {
        if (json_array_append_new(lengths, integer_string(split->lengths[j])) != 0) {
            json_decref(lengths);
            return NULL;
        }
    }
    return json_pack("{s:s,s:s,s:o,s:o}", "filepathTemplate", split->filepath_template, "name",
                     split->name, "numBytes", integer_string((int64_t)num_bytes), "shardLengths",
                     lengths);
}

static json_t *splits_json(const rbc__dataset_info *info, const uint64_t *num_bytes) {
    json_t *splits = json_array();
    for (int64_t i = 0; i < info->num_splits; ++i) {
        if (json_array_append_new(splits, split_json(&info->splits[i], num_bytes[i])) != 0) {
            json_decref(splits);
            return NULL;
        }
    }
    return splits;
}

static bool set(json_t *root, const char *key, json_t *value) {
    return json_object_set_new(root, key, value) == 0;
}

rbc_status rbc__writer_info_json(const rbc__dataset_info *info, const uint64_t *num_bytes,
                                 const char *description, const char *replaced, const char *folder,
                                 rbc_error *err) {
    json_t *root;
    RBC__TRY(load_replaced(replaced, "dataset_info.json", &root, err));
    const bool describes = description != NULL || json_object_get(root, "description") == NULL;
    const bool made =
        (!describes || set(root, "description", json_string(description ? description : ""))) &&
        set(root, "fileFormat", json_string("tfrecord")) &&
        set(root, "name", json_string(info->name)) &&
        set(root, "version", json_string(info->version)) &&
        set(root, "splits", splits_json(info, num_bytes));
    const rbc_status written = write_renewed(root, made, folder, "dataset_info.json", err);
    json_decref(root);
    return written;
}

rbc_status rbc__writer_metadata_json(double control_rate_hz, const char *replaced,
                                     const char *folder, rbc_error *err) {
    json_t *root;
    RBC__TRY(load_replaced(replaced, "metadata.json", &root, err));
    const bool made = root != NULL && (control_rate_hz <= 0.0 || set(root, RBC__CONTROL_RATE_KEY,
                                                                     json_real(control_rate_hz)));
    const rbc_status status = !made || json_object_size(root) > 0
                                  ? write_renewed(root, made, folder, "metadata.json", err)
                                  : RBC_OK;
    json_decref(root);
    return status;
}
