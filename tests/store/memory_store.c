#include "memory_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

static const memory_blob *find_blob(const memory_store *store, int64_t blob) {
    for (size_t i = 0; i < store->num_blobs; ++i) {
        if (store->blobs[i].blob == blob) {
            return &store->blobs[i];
        }
    }
    return NULL;
}

static rbc_status read_one(const memory_store *store, const rbc__read *read, rbc_error *err) {
    const memory_blob *blob = find_blob(store, read->blob);
    if (blob == NULL) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "there is no blob %" PRId64, read->blob);
    }
    const uint64_t end = read->offset + read->bytes;
    if (read->offset > blob->bytes || read->bytes > blob->bytes - read->offset) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: byte %" PRIu64 ": %" PRIu64 " bytes wanted, it ends at %" PRIu64,
                         blob->name, read->offset, read->bytes, blob->bytes);
    }
    if (store->bad_status != RBC_OK && store->bad_blob == read->blob &&
        read->offset < store->bad_end && end > store->bad_begin) {
        return rbc__fail(err, store->bad_status, "%s: byte %" PRIu64 ": a bad place", blob->name,
                         store->bad_begin);
    }
    if (read->bytes > 0) {
        memcpy(read->dst, (const uint8_t *)blob->data + read->offset, (size_t)read->bytes);
    }
    return RBC_OK;
}

static void read_memory(rbc__store *base, rbc__read *reads, size_t count,
                        const atomic_bool *cancel) {
    memory_store *store = (memory_store *)base;
    rbc_error err;
    ++store->num_calls;
    for (size_t i = 0; i < count; ++i) {
        if (store->num_reads < (int)(sizeof store->seen / sizeof store->seen[0])) {
            store->seen[store->num_reads] = reads[i];
        }
        ++store->num_reads;
        reads[i].status = cancel != NULL && atomic_load(cancel)
                              ? rbc__fail(&err, RBC_ERROR_CANCELLED, "reading was stopped")
                              : read_one(store, &reads[i], &err);
        if (reads[i].status != RBC_OK) {
            rbc__read_fail(&reads[i], &err);
        }
    }
}

static const char *name_memory(rbc__store *base, int64_t blob, char *buffer, size_t bytes) {
    const memory_blob *found = find_blob((memory_store *)base, blob);
    (void)snprintf(buffer, bytes, "%s", found != NULL ? found->name : "no blob");
    return buffer;
}

static void destroy_memory(rbc__store *base) {
    (void)base;
}

void memory_store_init(memory_store *store, const memory_blob *blobs, size_t num_blobs) {
    static const rbc__store_ops ops = {
        .read = read_memory, .name = name_memory, .destroy = destroy_memory};
    *store = (memory_store){.base = {.ops = &ops}, .blobs = blobs, .num_blobs = num_blobs};
}
