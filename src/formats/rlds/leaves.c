#define _GNU_SOURCE

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/rlds/features.h"

static const char steps_prefix[] = "steps/";
static const char metadata_prefix[] = "episode_metadata/";

/* The sequence inside the steps, when its length is fixed, is the first axis of a sample. In the
 * metadata a sequence is a list of any length. */
static void settle_shape(rbc__leaf *leaf) {
    if (leaf->is_sequence && (leaf->rows >= 0 || !leaf->in_steps)) {
        memmove(leaf->shape + 1, leaf->shape, (size_t)leaf->ndim * sizeof leaf->shape[0]);
        leaf->shape[0] = leaf->rows;
        ++leaf->ndim;
    }
    leaf->elements = 1;
    if (leaf->kind != RBC_STREAM_NUMERIC) {
        if (leaf->is_sequence && leaf->rows >= 0 && leaf->in_steps && leaf->unsupported == NULL) {
            leaf->unsupported = "it is a sequence of images or texts of fixed length";
        }
        return;
    }
    for (int32_t i = 0; i < leaf->ndim; ++i) {
        if (leaf->shape[i] < 0 || leaf->elements < 0) {
            leaf->elements = -1;
        } else if (!rbc__mul_size(leaf->elements, leaf->shape[i], &leaf->elements) ||
                   leaf->elements > INT64_MAX / 16) {
            leaf->unsupported = "it has too many elements";
            leaf->elements = 0;
        }
    }
    if (leaf->in_steps && leaf->elements < 0 && leaf->unsupported == NULL) {
        leaf->unsupported = "an extent of its shape is not declared";
    }
}

rbc_status rbc__leaves_add(rbc__leaves *leaves, const rbc__leaf *leaf, rbc_error *err) {
    if (leaves->count == leaves->capacity) {
        const int32_t capacity = leaves->capacity ? leaves->capacity * 2 : 32;
        rbc__leaf *items = leaves->count < INT32_MAX / 4
                               ? realloc(leaves->items, (size_t)capacity * sizeof *leaves->items)
                               : NULL;
        if (items == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%d features", leaves->count);
        }
        leaves->items = items;
        leaves->capacity = capacity;
    }
    rbc__leaf *added = &leaves->items[leaves->count];
    *added = *leaf;
    added->key = strdup(leaf->key);
    if (added->key == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the name of a feature");
    }
    ++leaves->count;
    added->name = added->key;
    added->in_steps = leaf->in_steps;
    if (strncmp(added->key, steps_prefix, strlen(steps_prefix)) == 0) {
        added->in_steps = true;
        added->name += strlen(steps_prefix);
    } else if (strncmp(added->key, metadata_prefix, strlen(metadata_prefix)) == 0) {
        added->name += strlen(metadata_prefix);
    }
    settle_shape(added);
    return RBC_OK;
}

static int compare_leaves(const void *a, const void *b) {
    const rbc__leaf *left = a;
    const rbc__leaf *right = b;
    if (left->in_steps != right->in_steps) {
        return left->in_steps ? -1 : 1;
    }
    return strcmp(left->key, right->key);
}

rbc_status rbc__leaves_finish(rbc__leaves *leaves, const char *path, rbc_error *err) {
    if (leaves->count > RBC__MAX_LEAVES) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: %d features, wanted at most %d", path,
                         leaves->count, RBC__MAX_LEAVES);
    }
    if (leaves->count > 0) {
        qsort(leaves->items, (size_t)leaves->count, sizeof *leaves->items, compare_leaves);
    }
    leaves->num_streams = 0;
    for (int32_t i = 0; i < leaves->count; ++i) {
        leaves->num_streams += leaves->items[i].in_steps;
        if (i > 0 && strcmp(leaves->items[i].key, leaves->items[i - 1].key) == 0) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "%s: feature '%s' is declared twice", path,
                             leaves->items[i].key);
        }
    }
    return RBC_OK;
}

void rbc__leaves_free(rbc__leaves *leaves) {
    for (int32_t i = 0; i < leaves->count; ++i) {
        free(leaves->items[i].key);
    }
    free(leaves->items);
    *leaves = (rbc__leaves){0};
}
