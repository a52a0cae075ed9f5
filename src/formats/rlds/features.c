#include "formats/rlds/features.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/rlds/framing.h"
#include "io/json.h"

enum { MAX_DEPTH = 32, MAX_KEY_BYTES = 1024 };

/* The branch of the tree of features where the recursion is. */
typedef struct branch {
    const char *path;
    char key[MAX_KEY_BYTES];
    size_t key_bytes;
    int depth;
    int sequences; /* around it, the steps not counted */
    int64_t rows;  /* of the one sequence */
    rbc__leaves *leaves;
} branch;

static rbc_status walk_feature(branch *at, const json_t *feature, rbc_error *err);

static rbc_status fail_at(const branch *at, rbc_error *err, const char *problem) {
    return rbc__fail(err, RBC_ERROR_FORMAT, "%s: feature '%.*s': %s", at->path, (int)at->key_bytes,
                     at->key, problem);
}

static bool dtype_from_name(const char *name, rbc__dtype *out) {
    if (strcmp(name, "bool") == 0 || strcmp(name, "bool_") == 0) {
        *out = RBC__BOOL;
        return true;
    }
    for (int dtype = 0; dtype < RBC__NUM_DTYPES; ++dtype) {
        if (strcmp(name, rbc__dtype_name((rbc__dtype)dtype)) == 0) {
            *out = (rbc__dtype)dtype;
            return true;
        }
    }
    return false;
}

static bool is_string_dtype(const char *name) {
    return strcmp(name, "string") == 0 || strcmp(name, "object") == 0 || strcmp(name, "str") == 0;
}

static rbc_status parse_shape(const branch *at, const json_t *shape, rbc__leaf *leaf,
                              rbc_error *err) {
    const json_t *dimensions = json_object_get(shape, "dimensions");
    const size_t count = json_array_size(dimensions);
    if (count > RBC_STREAM_MAX_DIMS - 1) {
        leaf->unsupported = "it has too many dimensions";
        return RBC_OK;
    }
    leaf->ndim = (int32_t)count;
    for (size_t i = 0; i < count; ++i) {
        int64_t extent;
        if (!rbc__json_integer(json_array_get(dimensions, i), &extent) || extent < -1) {
            return fail_at(at, err, "its shape holds something that is no extent");
        }
        leaf->shape[i] = extent;
    }
    return RBC_OK;
}

static rbc_status parse_tensor(const branch *at, const json_t *tensor, rbc__leaf *leaf,
                               rbc_error *err) {
    const char *dtype = rbc__json_string(tensor, "dtype");
    const char *encoding = rbc__json_string(tensor, "encoding");
    if (dtype == NULL) {
        return fail_at(at, err, "its tensor has no dtype");
    }
    RBC__TRY(parse_shape(at, json_object_get(tensor, "shape"), leaf, err));
    if (is_string_dtype(dtype)) {
        leaf->kind = RBC_STREAM_TEXT;
        leaf->dtype = RBC__U8;
        leaf->list = RBC__LIST_BYTES;
        if (leaf->ndim > 0 && leaf->unsupported == NULL) {
            leaf->unsupported = "strings have a shape of their own";
        }
        return RBC_OK;
    }
    if (!dtype_from_name(dtype, &leaf->dtype)) {
        leaf->unsupported = "RoboCache does not have its dtype";
        return RBC_OK;
    }
    leaf->list = rbc__dtype_is_float(leaf->dtype) ? RBC__LIST_FLOAT : RBC__LIST_INT64;
    if (encoding && (strcmp(encoding, "bytes") == 0 || strcmp(encoding, "zlib") == 0)) {
        leaf->list = RBC__LIST_BYTES;
        leaf->storage = RBC__STORED_BYTES;
        leaf->is_zlib = encoding[0] == 'z';
    } else if (encoding && encoding[0] != '\0' && strcmp(encoding, "none") != 0) {
        leaf->unsupported = "its tensors are encoded in a way that RoboCache does not know";
    }
    return RBC_OK;
}

static rbc_status parse_image(const branch *at, const json_t *image, rbc__leaf *leaf,
                              rbc_error *err) {
    const char *dtype = rbc__json_string(image, "dtype");
    const char *encoding = rbc__json_string(image, "encodingFormat");
    leaf->kind = RBC_STREAM_IMAGE;
    leaf->list = RBC__LIST_BYTES;
    leaf->dtype = RBC__U8;
    RBC__TRY(parse_shape(at, json_object_get(image, "shape"), leaf, err));
    if (leaf->ndim == 0) {
        leaf->ndim = 3;
        leaf->shape[0] = leaf->shape[1] = leaf->shape[2] = -1;
    } else if (leaf->ndim != 3) {
        leaf->unsupported = "its images do not have three dimensions";
    }
    if (dtype && strcmp(dtype, "uint16") == 0) {
        leaf->dtype = RBC__U16;
    } else if (dtype && strcmp(dtype, "uint8") != 0) {
        leaf->unsupported = "its images are neither uint8 nor uint16";
    }
    if (encoding && strcmp(encoding, "jpeg") == 0) {
        leaf->encoding = "jpeg";
    } else if (encoding && strcmp(encoding, "png") == 0) {
        leaf->encoding = "png";
    } else if (encoding && encoding[0] != '\0') {
        leaf->unsupported = "its images are neither JPEG nor PNG";
    }
    return RBC_OK;
}

static rbc_status parse_leaf(branch *at, const json_t *feature, rbc_error *err) {
    rbc__leaf leaf = {.key = at->key, .rows = at->rows, .encoding = "", .dtype = RBC__U8};
    const json_t *content;
    if ((content = json_object_get(feature, "tensor"))) {
        RBC__TRY(parse_tensor(at, content, &leaf, err));
    } else if ((content = json_object_get(feature, "image"))) {
        RBC__TRY(parse_image(at, content, &leaf, err));
    } else if (json_object_get(feature, "text")) {
        leaf.kind = RBC_STREAM_TEXT;
        leaf.list = RBC__LIST_BYTES;
    } else if (json_object_get(feature, "classLabel")) {
        leaf.dtype = RBC__I64;
        leaf.list = RBC__LIST_INT64;
    } else if (json_object_get(feature, "boundingBox")) {
        leaf.dtype = RBC__F32;
        leaf.list = RBC__LIST_FLOAT;
        leaf.ndim = 1;
        leaf.shape[0] = 4;
    } else {
        leaf.unsupported = "RoboCache does not know this kind of feature";
    }
    leaf.is_sequence = at->sequences > 0;
    if (at->sequences > 1) {
        leaf.unsupported = "sequences are nested more than one deep in its steps";
    }
    return rbc__leaves_add(at->leaves, &leaf, err);
}

static rbc_status walk_children(branch *at, const json_t *features, rbc_error *err) {
    const char *name;
    json_t *child;
    if (features && !json_is_object(features)) {
        return fail_at(at, err, "'features' is no object");
    }
    /* jansson's iterators take the object without const but do not change it. */
    json_object_foreach((json_t *)(uintptr_t)features, name, child) {
        const size_t length = strlen(name);
        const size_t before = at->key_bytes;
        if (before + 1 + length >= MAX_KEY_BYTES) {
            return fail_at(at, err, "the names in it are too long");
        }
        if (before > 0) {
            at->key[at->key_bytes++] = '/';
        }
        memcpy(at->key + at->key_bytes, name, length + 1);
        at->key_bytes += length;
        RBC__TRY(walk_feature(at, child, err));
        at->key_bytes = before;
        at->key[before] = '\0';
    }
    return RBC_OK;
}

static rbc_status walk_feature(branch *at, const json_t *feature, rbc_error *err) {
    if (!json_is_object(feature)) {
        return fail_at(at, err, "it is no object");
    }
    if (at->depth >= MAX_DEPTH) {
        return fail_at(at, err, "features are nested too deep");
    }
    rbc_status status;
    ++at->depth;
    const json_t *content;
    if ((content = json_object_get(feature, "featuresDict"))) {
        status = walk_children(at, json_object_get(content, "features"), err);
    } else if ((content = json_object_get(feature, "sequence"))) {
        const bool is_steps = strcmp(at->key, "steps") == 0;
        const int64_t rows_before = at->rows;
        int64_t rows = -1;
        const json_t *length = json_object_get(content, "length");
        if (length && (!rbc__json_integer(length, &rows) || rows < -1)) {
            return fail_at(at, err, "the length of its sequence is no number");
        }
        at->sequences += !is_steps;
        at->rows = is_steps ? at->rows : rows;
        status = walk_feature(at, json_object_get(content, "feature"), err);
        at->sequences -= !is_steps;
        at->rows = rows_before;
    } else {
        status = parse_leaf(at, feature, err);
    }
    at->depth--;
    return status;
}

rbc_status rbc__features_parse(const char *text, size_t bytes, const char *path, rbc__leaves *out,
                               rbc_error *err) {
    *out = (rbc__leaves){0};
    json_t *root;
    RBC__TRY(rbc__json_parse(text, bytes, path, &root, err));
    rbc_status status;
    branch at = {.path = path, .rows = -1, .leaves = out};
    if (!json_object_get(root, "featuresDict")) {
        status = rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                           "%s: byte 0: there is no 'featuresDict'; datasets are read as TFDS 4.5 "
                           "and later write them",
                           path);
    } else {
        status = walk_feature(&at, root, err);
    }
    json_decref(root);
    if (status == RBC_OK) {
        status = rbc__leaves_finish(out, path, err);
    }
    if (status != RBC_OK) {
        rbc__leaves_free(out);
    }
    return status;
}
