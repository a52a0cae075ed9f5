#define _GNU_SOURCE

#include "catalog/sources.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/fork.h"

struct rbc__sources {
    const char *root;
    const rbc__schema *schema;
    const rbc__catalog *catalog;
    pthread_mutex_t lock;
    rbc__source **sources; /* [num_files]; NULL: not asked for yet */
};

rbc_status rbc__sources_create(const char *root, const rbc__schema *schema,
                               const rbc__catalog *catalog, rbc__sources **out, rbc_error *err) {
    rbc__sources *sources = calloc(1, sizeof *sources);
    *out = sources;
    if (sources != NULL) {
        sources->sources = calloc((size_t)schema->num_files + 1, sizeof(rbc__source *));
    }
    if (sources == NULL || sources->sources == NULL) {
        free(sources);
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    sources->root = root;
    sources->schema = schema;
    sources->catalog = catalog;
    pthread_mutex_init(&sources->lock, NULL);
    return RBC_OK;
}

void rbc__sources_destroy(rbc__sources **sources) {
    if (*sources == NULL) {
        return;
    }
    for (int64_t i = 0; i < (*sources)->schema->num_files; ++i) {
        rbc__source_close(&(*sources)->sources[i]);
    }
    pthread_mutex_destroy(&(*sources)->lock);
    free((*sources)->sources);
    free(*sources);
    *sources = NULL;
}

static rbc_status open_file(rbc__sources *sources, int64_t file, rbc_error *err) {
    char *path;
    if (asprintf(&path, "%s/%s", sources->root, sources->schema->files[file].path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", sources->root);
    }
    rbc__source **opened = &sources->sources[file];
    rbc_status status = rbc__source_open(path, RBC__SOURCE_FILE, opened, err);
    if (status == RBC_OK && !rbc__file_identity_equal(rbc__source_identity(*opened),
                                                      &sources->catalog->files[file].identity)) {
        status = rbc__fail(err, RBC_ERROR_IO,
                           "'%s' has been written to or replaced since the dataset was opened "
                           "(%lld bytes then, %llu now); open the dataset again",
                           path, (long long)sources->catalog->files[file].identity.bytes,
                           (unsigned long long)rbc__source_bytes(*opened));
        rbc__source_close(opened);
    }
    free(path);
    return status;
}

rbc_status rbc__sources_get(rbc__sources *sources, int64_t file, rbc__source **out,
                            rbc_error *err) {
    RBC__HOLD_FORKS();
    rbc_status status = RBC_OK;
    pthread_mutex_lock(&sources->lock);
    if (sources->sources[file] == NULL) {
        status = open_file(sources, file, err);
    }
    *out = sources->sources[file];
    pthread_mutex_unlock(&sources->lock);
    return status;
}
