/* Memory that is given back all at once, in pieces that stay where they are. */
#ifndef RBC_LOADER_ARENA_H
#define RBC_LOADER_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct rbc__arena_chunk rbc__arena_chunk;

/* Zero-initialise; release with rbc__arena_free(). */
typedef struct rbc__arena {
    rbc__arena_chunk *chunks; /* the newest first */
    uint8_t *at, *end;        /* what is left of it */
    size_t bytes;             /* of all */
} rbc__arena;

/* NULL: no memory. Aligned for any number, and never NULL for 0 bytes. */
void *rbc__arena_take(rbc__arena *arena, size_t bytes);
/* Takes everything back, and keeps as much memory as was needed. */
void rbc__arena_reset(rbc__arena *arena);
void rbc__arena_free(rbc__arena *arena);

#endif
