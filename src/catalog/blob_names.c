#define _GNU_SOURCE

#include "catalog/blob_names.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/columns.h"
#include "catalog/dataset_state.h"
#include "core/error.h"
#include "core/fork.h"

struct rbc__blob_names {
    rbc_dataset *dataset;
    pthread_mutex_t lock;
    rbc__blobs **of_part; /* [num_parts]; NULL: not read yet */
};

rbc_status rbc__blob_names_create(rbc_dataset *dataset, rbc__blob_names **out, rbc_error *err) {
    rbc__blob_names *names = calloc(1, sizeof *names);
    *out = NULL;
    if (names != NULL) {
        names->of_part = calloc((size_t)dataset->schema->num_parts + 1, sizeof(rbc__blobs *));
    }
    if (names == NULL || names->of_part == NULL) {
        free(names);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", dataset->root);
    }
    names->dataset = dataset;
    pthread_mutex_init(&names->lock, NULL);
    *out = names;
    return RBC_OK;
}

void rbc__blob_names_destroy(rbc__blob_names **names) {
    if (*names == NULL) {
        return;
    }
    for (int64_t i = 0; i < (*names)->dataset->schema->num_parts; ++i) {
        free((*names)->of_part[i]);
    }
    pthread_mutex_destroy(&(*names)->lock);
    free((*names)->of_part);
    free(*names);
    *names = NULL;
}

static rbc_status load(rbc__blob_names *names, int64_t part, rbc__blobs **out, rbc_error *err) {
    rbc_dataset *dataset = names->dataset;
    rbc__cursor *cursor;
    uint8_t *data = NULL;
    size_t bytes = 0;
    RBC__TRY(rbc__cursor_take(dataset, &cursor, err));
    rbc_status status = rbc__cursor_blobs(cursor, part, &data, &bytes, err);
    rbc__cursor_give(&cursor);
    if (status == RBC_OK) {
        status = rbc__blobs_parse(data, bytes, dataset->schema->parts[part].path, out, err);
    }
    free(data);
    return status;
}

static rbc_status blobs_of(rbc__blob_names *names, int64_t part, const rbc__blobs **out,
                           rbc_error *err) {
    RBC__HOLD_FORKS();
    rbc__blobs *loaded = NULL;
    pthread_mutex_lock(&names->lock);
    *out = names->of_part[part];
    pthread_mutex_unlock(&names->lock);
    if (*out != NULL) {
        return RBC_OK;
    }
    RBC__TRY(load(names, part, &loaded, err)); /* without the lock: it may wait for a cursor */
    pthread_mutex_lock(&names->lock);
    if (names->of_part[part] == NULL) {
        names->of_part[part] = loaded;
        loaded = NULL;
    }
    *out = names->of_part[part];
    pthread_mutex_unlock(&names->lock);
    free(loaded);
    return RBC_OK;
}

static rbc_status join(const char *root, const char *path, char **out, rbc_error *err) {
    if (asprintf(out, "%s/%s", root, path) < 0) {
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    return RBC_OK;
}

rbc_status rbc__blob_names_find(void *user, int64_t blob, rbc__named_file *out, rbc_error *err) {
    rbc__blob_names *names = user;
    const rbc_dataset *dataset = names->dataset;
    const int64_t part = rbc__blob_part(blob);
    const uint32_t number = rbc__blob_number(blob);
    *out = (rbc__named_file){.bytes = -1};
    if (part < 0 || part >= dataset->schema->num_parts) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "no part %lld: '%s' has %lld", (long long)part,
                         dataset->root, (long long)dataset->schema->num_parts);
    }
    const rbc__catalog_part *known = &dataset->catalog->parts[part];
    if (number == 0 && known->unpacked != NULL) {
        out->expected = &known->unpacked_identity;
        out->path = strdup(known->unpacked);
        return out->path != NULL ? RBC_OK
                                 : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory",
                                             known->unpacked);
    }
    if (number == 0) {
        if (!dataset->schema->parts[part].is_virtual) {
            out->expected = &known->identity;
        }
        return join(dataset->root, dataset->schema->parts[part].path, &out->path, err);
    }
    if (number == RBC__COLUMN_BLOB) {
        const rbc__column_file file = {known->column_bytes, known->column_digest};
        out->bytes = file.bytes;
        return rbc__columns_path(dataset->catalog->path, &file, &out->path, err);
    }
    const rbc__blobs *blobs;
    char *path;
    RBC__TRY(blobs_of(names, part, &blobs, err));
    const rbc_status status = rbc__blobs_path(blobs, number, &path, &out->bytes, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "catalog '%s'", dataset->catalog->path);
    }
    const rbc_status joined = join(dataset->root, path, &out->path, err);
    free(path);
    return joined;
}

rbc_status rbc__blob_names_count(rbc__blob_names *names, int64_t part, uint64_t *out,
                                 rbc_error *err) {
    const rbc__blobs *blobs;
    RBC__TRY(blobs_of(names, part, &blobs, err));
    *out = rbc__blobs_count(blobs);
    return RBC_OK;
}

rbc_status rbc__blob_names_first(rbc__blob_names *names, int64_t part, char **path,
                                 rbc_error *err) {
    const rbc__part_schema *schema = &names->dataset->schema->parts[part];
    const rbc__blobs *blobs = NULL;
    int64_t bytes;
    *path = NULL;
    if (schema->is_virtual) {
        RBC__TRY(blobs_of(names, part, &blobs, err));
        if (rbc__blobs_count(blobs) > 0) {
            return rbc__blobs_path(blobs, 1, path, &bytes, err);
        }
    }
    *path = strdup(schema->path);
    return *path != NULL ? RBC_OK
                         : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory",
                                     names->dataset->root);
}
