#define _GNU_SOURCE

#include "catalog/sources.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/fork.h"

typedef struct entry {
    rbc__source *source; /* NULL: not open */
    int64_t refs;
    /* neighbours among the open files without users, oldest first; -1: none */
    int64_t older, newer;
} entry;

struct rbc__sources {
    const char *root;
    const rbc__schema *schema;
    const rbc__catalog *catalog;
    pthread_mutex_t lock;
    entry *entries; /* [num_files] */
    int64_t num_open;
    int64_t oldest, newest; /* of the idle ones; -1: none */
};

rbc_status rbc__sources_create(const char *root, const rbc__schema *schema,
                               const rbc__catalog *catalog, rbc__sources **out, rbc_error *err) {
    rbc__sources *sources = calloc(1, sizeof *sources);
    *out = sources;
    if (sources != NULL) {
        sources->entries = calloc((size_t)schema->num_files + 1, sizeof *sources->entries);
    }
    if (sources == NULL || sources->entries == NULL) {
        free(sources);
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    sources->root = root;
    sources->schema = schema;
    sources->catalog = catalog;
    sources->oldest = sources->newest = -1;
    pthread_mutex_init(&sources->lock, NULL);
    return RBC_OK;
}

void rbc__sources_destroy(rbc__sources **sources) {
    if (*sources == NULL) {
        return;
    }
    for (int64_t i = 0; i < (*sources)->schema->num_files; ++i) {
        rbc__source_close(&(*sources)->entries[i].source);
    }
    pthread_mutex_destroy(&(*sources)->lock);
    free((*sources)->entries);
    free(*sources);
    *sources = NULL;
}

static void leave_idle(rbc__sources *sources, int64_t file) {
    const entry *left = &sources->entries[file];
    if (left->older >= 0) {
        sources->entries[left->older].newer = left->newer;
    } else {
        sources->oldest = left->newer;
    }
    if (left->newer >= 0) {
        sources->entries[left->newer].older = left->older;
    } else {
        sources->newest = left->older;
    }
}

static void join_idle(rbc__sources *sources, int64_t file) {
    entry *joined = &sources->entries[file];
    joined->older = sources->newest;
    joined->newer = -1;
    if (sources->newest >= 0) {
        sources->entries[sources->newest].newer = file;
    } else {
        sources->oldest = file;
    }
    sources->newest = file;
}

static void close_idle(rbc__sources *sources, int64_t limit) {
    while (sources->num_open > limit && sources->oldest >= 0) {
        const int64_t file = sources->oldest;
        leave_idle(sources, file);
        rbc__source_close(&sources->entries[file].source);
        --sources->num_open;
    }
}

static rbc_status open_file(rbc__sources *sources, int64_t file, rbc_error *err) {
    char *path;
    if (asprintf(&path, "%s/%s", sources->root, sources->schema->files[file].path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", sources->root);
    }
    close_idle(sources, RBC__SOURCES_OPEN - 1);
    entry *opened = &sources->entries[file];
    rbc_status status = rbc__source_open(path, RBC__SOURCE_FILE, &opened->source, err);
    if (status == RBC_OK && !rbc__file_identity_equal(rbc__source_identity(opened->source),
                                                      &sources->catalog->files[file].identity)) {
        status = rbc__fail(err, RBC_ERROR_IO,
                           "'%s' has been written to or replaced since the dataset was opened "
                           "(%lld bytes then, %llu now); open the dataset again",
                           path, (long long)sources->catalog->files[file].identity.bytes,
                           (unsigned long long)rbc__source_bytes(opened->source));
        rbc__source_close(&opened->source);
    }
    sources->num_open += status == RBC_OK;
    free(path);
    return status;
}

rbc_status rbc__sources_acquire(rbc__sources *sources, int64_t file, rbc__source **out,
                                rbc_error *err) {
    RBC__HOLD_FORKS();
    rbc_status status = RBC_OK;
    pthread_mutex_lock(&sources->lock);
    entry *wanted = &sources->entries[file];
    if (wanted->source == NULL) {
        status = open_file(sources, file, err);
    } else if (wanted->refs == 0) {
        leave_idle(sources, file);
    }
    *out = status == RBC_OK ? wanted->source : NULL;
    wanted->refs += status == RBC_OK;
    pthread_mutex_unlock(&sources->lock);
    return status;
}

void rbc__sources_release(rbc__sources *sources, int64_t file) {
    RBC__HOLD_FORKS();
    pthread_mutex_lock(&sources->lock);
    if (--sources->entries[file].refs == 0) {
        join_idle(sources, file);
        close_idle(sources, RBC__SOURCES_OPEN);
    }
    pthread_mutex_unlock(&sources->lock);
}

int64_t rbc__sources_num_open(rbc__sources *sources) {
    RBC__HOLD_FORKS();
    pthread_mutex_lock(&sources->lock);
    const int64_t num_open = sources->num_open;
    pthread_mutex_unlock(&sources->lock);
    return num_open;
}
