/* Column files: numbers that were copied while indexing, beside the catalog.
 *
 * A part has one file at most, in the folder "<catalog>.columns", named by the digest of what it
 * holds and its size, so that it is never written again nor means anything else. */
#ifndef RBC_CATALOG_COLUMNS_H
#define RBC_CATALOG_COLUMNS_H

#include <robocache/robocache.h>

#include "io/bytes.h"

typedef struct rbc__column_file {
    int64_t bytes; /* 0: there is none */
    int64_t digest;
} rbc__column_file;

/* Path of the file for the catalog at `catalog_path`; malloc'ed. */
rbc_status rbc__columns_path(const char *catalog_path, const rbc__column_file *file, char **out,
                             rbc_error *err);

/* Writes the file, unless it is there: under a name in `folder`, which nobody else can write to,
 * first. */
rbc_status rbc__columns_write(const char *catalog_path, const char *folder, const rbc__bytes *data,
                              rbc__column_file *out, rbc_error *err);

#endif
