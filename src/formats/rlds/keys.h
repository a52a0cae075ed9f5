/* From a key in the record to the id (layout.h) of what it names. */
#ifndef RBC_FORMATS_RLDS_KEYS_H
#define RBC_FORMATS_RLDS_KEYS_H

#include "formats/rlds/features.h"

typedef struct rbc__key_slot {
    const char *key; /* NULL: free */
    uint32_t bytes;
    uint32_t id;
} rbc__key_slot;

/* An open-addressed hash table; constant after its creation. */
typedef struct rbc__keys {
    rbc__key_slot *slots;
    uint32_t mask;
    char *text; /* keys that are longer than their leaf's */
} rbc__keys;

/* Borrows the keys of `leaves`. `out` is empty after a failure. */
rbc_status rbc__keys_create(const rbc__leaves *leaves, rbc__keys *out, rbc_error *err);
void rbc__keys_free(rbc__keys *keys);

/* False when no leaf has that key. */
bool rbc__keys_find(const rbc__keys *keys, const char *key, uint64_t bytes, uint32_t *id);

#endif
