/* Parameters that may be those of an older library: structs that begin with struct_size. */
#ifndef RBC_CORE_PARAMS_H
#define RBC_CORE_PARAMS_H

#include <stddef.h>

#include <robocache/robocache.h>

/* Copies the fields that the caller of an older library has over those of `known`, which holds the
 * defaults. `name` is for messages. INVALID_ARGUMENT: NULL, or a struct_size that is none. */
rbc_status rbc__params_read(const void *given, void *known, size_t known_bytes, const char *name,
                            rbc_error *err);

/* The same for item `index` of an array, not NULL, of such structs, `name`, which lie apart what
 * the first one's struct_size says. INVALID_ARGUMENT: a struct_size that is none, or not that of
 * the first. */
rbc_status rbc__params_read_item(const void *array, int32_t index, void *known, size_t known_bytes,
                                 const char *name, rbc_error *err);

#endif
