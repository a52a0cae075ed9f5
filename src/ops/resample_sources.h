/* Sources of a program compiled against an older header, whose struct was shorter. */
#ifndef RBC_OPS_RESAMPLE_SOURCES_H
#define RBC_OPS_RESAMPLE_SOURCES_H

#include <robocache/robocache.h>

/* *out is `given` where its structs are those of this header. Shorter ones, all of the length that
 * the first one's struct_size says, are copied into *room, to be freed with free(), with what they
 * lack as RBC_RESAMPLE_SOURCE_INIT has it. NULL and counts below 1 are passed on. INVALID_ARGUMENT:
 * a struct_size of no use, or that differs from the first. OUT_OF_MEMORY. On failure *room
 * is NULL. */
rbc_status rbc__resample_sources_read(const rbc_resample_source *given, int32_t count,
                                      rbc_resample_source **room, const rbc_resample_source **out,
                                      rbc_error *err);

#endif
