/* Parameters that may be those of an older library: structs that begin with struct_size. */
#ifndef RBC_CORE_PARAMS_H
#define RBC_CORE_PARAMS_H

#include <stddef.h>

#include <robocache/robocache.h>

/* Copies the fields that the caller of an older library has over those of `known`, which holds the
 * defaults. `name` is for messages. INVALID_ARGUMENT: NULL, or a struct_size that is none. */
rbc_status rbc__params_read(const void *given, void *known, size_t known_bytes, const char *name,
                            rbc_error *err);

#endif
