/* What a thread keeps from one block to the next: handles of libraries and scratch memory, as much
 * as the largest block needed. Nothing in it starts threads. */
#ifndef RBC_PACKING_UNPACKER_H
#define RBC_PACKING_UNPACKER_H

#include <stddef.h>

#include <robocache/robocache.h>

typedef struct rbc__unpacker rbc__unpacker;
rbc_status rbc__unpacker_create(rbc__unpacker **out, rbc_error *err);
void rbc__unpacker_destroy(rbc__unpacker **unpacker);

/* The scratch memory that it holds. Handles come besides: 0.2 MB, and 8.6 MB once an LZ4 frame of
 * blocks of 4 MB has come. */
size_t rbc__unpacker_bytes(const rbc__unpacker *unpacker);

#endif
