#define _GNU_SOURCE

#include "store/file_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/fork.h"

/* Files that are kept ready; of others only their identity is. */
#define MAX_SOURCES 4096

typedef struct file_entry {
    int64_t blob; /* -1: free */
    rbc__source *source;
    int64_t num_users;
    uint64_t used_at;
    rbc__file_identity identity;
    bool is_known; /* identity is set */
} file_entry;

typedef struct file_store {
    rbc__store base;
    rbc__file_store_params params;
    pthread_mutex_t lock; /* of all below */
    file_entry *entries;  /* open addressing; [mask + 1] */
    uint64_t mask;
    uint64_t num_entries, num_sources;
    uint64_t now;
} file_store;

static uint64_t slot_of(const file_store *files, int64_t blob) {
    uint64_t slot = (uint64_t)blob * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    while (files->entries[slot & files->mask].blob >= 0 &&
           files->entries[slot & files->mask].blob != blob) {
        ++slot;
    }
    return slot & files->mask;
}

static bool grow(file_store *files) {
    file_entry *old = files->entries;
    const uint64_t old_room = old != NULL ? files->mask + 1 : 0;
    const uint64_t room = old_room > 0 ? 2 * old_room : 64;
    file_entry *entries = malloc(room * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < room; ++i) {
        entries[i] = (file_entry){.blob = -1};
    }
    files->entries = entries;
    files->mask = room - 1;
    for (uint64_t i = 0; i < old_room; ++i) {
        if (old[i].blob >= 0) {
            files->entries[slot_of(files, old[i].blob)] = old[i];
        }
    }
    free(old);
    return true;
}

/* Closes half of those that nobody uses, the ones not used lately. */
static void close_some(file_store *files) {
    const uint64_t before = files->now - MAX_SOURCES / 2;
    for (uint64_t i = 0; i <= files->mask; ++i) {
        file_entry *entry = &files->entries[i];
        if (entry->source != NULL && entry->num_users == 0 && entry->used_at < before) {
            rbc__source_close(&entry->source);
            --files->num_sources;
        }
    }
}

static rbc_status check_identity(const rbc__named_file *named, const file_entry *entry,
                                 const rbc__source *source, rbc_error *err) {
    const rbc__file_identity *found = rbc__source_identity(source);
    const rbc__file_identity *wanted = entry->is_known ? &entry->identity : named->expected;
    const int64_t bytes = wanted != NULL ? wanted->bytes : named->bytes;
    const bool is_same = wanted != NULL ? rbc__file_identity_equal(found, wanted)
                                        : named->bytes < 0 || named->bytes == found->bytes;
    if (is_same) {
        return RBC_OK;
    }
    return rbc__fail(err, RBC_ERROR_IO,
                     "'%s' has been written to or replaced since the dataset was %s (%lld bytes "
                     "then, %lld now); open the dataset again",
                     named->path, wanted != NULL ? "opened" : "indexed", (long long)bytes,
                     (long long)found->bytes);
}

static rbc_status open_source(file_store *files, file_entry *entry, rbc_error *err) {
    rbc__named_file named = {.bytes = -1};
    RBC__TRY(files->params.find(files->params.user, entry->blob, &named, err));
    rbc_status status = rbc__source_open(named.path, RBC__SOURCE_FILE, &entry->source, err);
    if (status == RBC_OK) {
        status = check_identity(&named, entry, entry->source, err);
        if (status != RBC_OK) {
            rbc__source_close(&entry->source);
        }
    }
    if (status == RBC_OK) {
        entry->identity = *rbc__source_identity(entry->source);
        entry->is_known = true;
        ++files->num_sources;
    }
    free(named.path);
    return status;
}

static rbc_status take(file_store *files, int64_t blob, rbc__source **out, rbc_error *err) {
    RBC__HOLD_FORKS();
    rbc_status status = RBC_OK;
    pthread_mutex_lock(&files->lock);
    if ((files->entries == NULL || 2 * (files->num_entries + 1) > files->mask + 1) &&
        !grow(files)) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for one file more");
    }
    if (status == RBC_OK && files->num_sources >= MAX_SOURCES) {
        close_some(files);
    }
    if (status == RBC_OK) {
        file_entry *entry = &files->entries[slot_of(files, blob)];
        if (entry->blob < 0) {
            entry->blob = blob;
            ++files->num_entries;
        }
        if (entry->source == NULL) {
            status = open_source(files, entry, err);
        }
        entry->num_users += status == RBC_OK;
        entry->used_at = ++files->now;
        *out = entry->source;
    }
    pthread_mutex_unlock(&files->lock);
    return status;
}

static void give(file_store *files, int64_t blob) {
    RBC__HOLD_FORKS();
    pthread_mutex_lock(&files->lock);
    --files->entries[slot_of(files, blob)].num_users;
    pthread_mutex_unlock(&files->lock);
}

/* Looked at after they have been read, once for all: what was written before is then not among their
 * bytes. */
static void check_unchanged(rbc__source *source, rbc__read *reads, size_t count) {
    rbc_error err;
    if (rbc__source_check_unchanged(source, &err) == RBC_OK) {
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        if (reads[i].status == RBC_OK) {
            rbc__read_fail(&reads[i], &err);
        }
    }
}

static void read_files(rbc__store *store, rbc__read *reads, size_t count,
                       const atomic_bool *cancel) {
    file_store *files = (file_store *)store;
    rbc_error err;
    for (size_t i = 0; i < count;) {
        const int64_t blob = reads[i].blob;
        const size_t first = i;
        rbc__source *source = NULL;
        const rbc_status status = take(files, blob, &source, &err);
        for (; i < count && reads[i].blob == blob; ++i) {
            rbc__read *read = &reads[i];
            read->status = status;
            if (status == RBC_OK && cancel != NULL &&
                atomic_load_explicit(cancel, memory_order_relaxed)) {
                read->status = rbc__fail(&err, RBC_ERROR_CANCELLED, "reading was stopped");
            } else if (status == RBC_OK) {
                read->status = rbc__source_read(source, read->offset, read->bytes, read->dst, &err);
            }
            if (read->status != RBC_OK) {
                rbc__read_fail(read, &err);
            }
        }
        if (status == RBC_OK) {
            check_unchanged(source, reads + first, i - first);
            give(files, blob);
        }
    }
}

static const char *name_file(rbc__store *store, int64_t blob, char *buffer, size_t bytes) {
    file_store *files = (file_store *)store;
    rbc__named_file named = {.bytes = -1};
    if (files->params.find(files->params.user, blob, &named, NULL) == RBC_OK) {
        snprintf(buffer, bytes, "%s", named.path);
    } else {
        snprintf(buffer, bytes, "file %u of part %lld", rbc__blob_number(blob),
                 (long long)rbc__blob_part(blob));
    }
    free(named.path);
    return buffer;
}

static void destroy_files(rbc__store *store) {
    file_store *files = (file_store *)store;
    for (uint64_t i = 0; files->entries != NULL && i <= files->mask; ++i) {
        rbc__source_close(&files->entries[i].source);
    }
    pthread_mutex_destroy(&files->lock);
    free(files->entries);
    free(files);
}

rbc_status rbc__file_store_create(const rbc__file_store_params *params, rbc__store **out,
                                  rbc_error *err) {
    static const rbc__store_ops ops = {read_files, name_file, destroy_files};
    file_store *files = calloc(1, sizeof *files);
    *out = NULL;
    if (files == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a dataset's files");
    }
    files->base.ops = &ops;
    files->params = *params;
    pthread_mutex_init(&files->lock, NULL);
    *out = &files->base;
    return RBC_OK;
}
