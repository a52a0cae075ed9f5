/* Where the bytes of a dataset's blobs come from: files, or whatever else answers reads.
 *
 * A blob of the dataset is named by its part and its number there (layout/layout.h): see
 * rbc__blob_id(). Interface of src/store. */
#ifndef RBC_STORE_STORE_H
#define RBC_STORE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <robocache/robocache.h>

static inline int64_t rbc__blob_id(int64_t part, uint32_t number) {
    return part << 31 | (int64_t)number;
}
static inline int64_t rbc__blob_part(int64_t blob) {
    return blob >> 31;
}
static inline uint32_t rbc__blob_number(int64_t blob) {
    return (uint32_t)(blob & 0x7fffffff);
}

/* A range of a blob that is wanted at `dst`. */
typedef struct rbc__read {
    int64_t blob;
    uint64_t offset, bytes;
    uint8_t *dst;
    rbc_status status; /* set by the store */
    rbc_error *error;  /* malloc'ed where it failed, for the caller to free; NULL: no memory */
} rbc__read;

typedef struct rbc__store rbc__store;

typedef struct rbc__store_ops {
    /* Reads all of them, those of one blob best together, and says of each how it went. Returns when
     * nothing of it goes on any more; soon after `*cancel` turns true, which a store that waits for
     * others looks at ten times a second: what is left is then CANCELLED. Any thread. */
    void (*read)(rbc__store *store, rbc__read *reads, size_t count, const atomic_bool *cancel);
    /* The path or address of a blob, for messages: always a string. */
    const char *(*name)(rbc__store *store, int64_t blob, char *buffer, size_t bytes);
    void (*destroy)(rbc__store *store);
} rbc__store_ops;

/* Begins what each kind of store adds to. */
struct rbc__store {
    const rbc__store_ops *ops;
    bool is_remote; /* a read waits, without need of a core */
};

/* Marks a read as failed with what `err` says. */
void rbc__read_fail(rbc__read *read, const rbc_error *err);

static inline void rbc__store_destroy(rbc__store **store) {
    if (*store != NULL) {
        (*store)->ops->destroy(*store);
        *store = NULL;
    }
}

#endif
