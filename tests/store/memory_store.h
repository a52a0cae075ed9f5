/* A store whose blobs are in memory. */
#ifndef RBC_TESTS_STORE_MEMORY_STORE_H
#define RBC_TESTS_STORE_MEMORY_STORE_H

#include "store/store.h"

typedef struct memory_blob {
    int64_t blob; /* rbc__blob_id() */
    const char *name;
    const void *data;
    uint64_t bytes;
} memory_blob;

/* Constant but for the counts: one thread at a time. */
typedef struct memory_store {
    rbc__store base;
    const memory_blob *blobs; /* [num_blobs] */
    size_t num_blobs;
    /* What touches [bad_begin, bad_end) of this blob fails with `bad_status`; OK: nothing does. */
    rbc_status bad_status;
    int64_t bad_blob;
    uint64_t bad_begin, bad_end;
    int num_calls, num_reads;
    rbc__read seen[64]; /* the first reads */
} memory_store;

/* `&store->base` is the store; destroying it does nothing. */
void memory_store_init(memory_store *store, const memory_blob *blobs, size_t num_blobs);

#endif
