#include "loader/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define MIN_CHUNK ((size_t)64 << 10)

struct rbc__arena_chunk {
    rbc__arena_chunk *next;
    size_t bytes;
    alignas(64) uint8_t data[];
};

static void add_chunk(rbc__arena *arena, size_t bytes) {
    rbc__arena_chunk *chunk = aligned_alloc(64, (sizeof *chunk + bytes + 63) / 64 * 64);
    if (chunk == NULL) {
        return;
    }
    chunk->next = arena->chunks;
    chunk->bytes = bytes;
    arena->chunks = chunk;
    arena->at = chunk->data;
    arena->end = chunk->data + bytes;
    arena->bytes += bytes;
}

void *rbc__arena_take(rbc__arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 4) {
        return NULL;
    }
    const size_t rounded = (bytes + 15) / 16 * 16 + (bytes == 0 ? 16 : 0);
    if (arena->chunks == NULL || (size_t)(arena->end - arena->at) < rounded) {
        const rbc__arena_chunk *before = arena->chunks;
        add_chunk(arena, rounded > MIN_CHUNK ? rounded : MIN_CHUNK);
        if (arena->chunks == before) {
            return NULL;
        }
    }
    uint8_t *taken = arena->at;
    arena->at += rounded;
    return taken;
}

void rbc__arena_reset(rbc__arena *arena) {
    if (arena->chunks == NULL) {
        return;
    }
    if (arena->chunks->next != NULL) { /* one chunk next time */
        const size_t bytes = arena->bytes;
        rbc__arena_free(arena);
        add_chunk(arena, bytes);
    }
    if (arena->chunks != NULL) {
        arena->at = arena->chunks->data;
    }
}

void rbc__arena_free(rbc__arena *arena) {
    while (arena->chunks != NULL) {
        rbc__arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    *arena = (rbc__arena){0};
}
