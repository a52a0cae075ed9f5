/* The file in which a catalog is made before it takes its place. */
#ifndef RBC_CATALOG_PARTIAL_H
#define RBC_CATALOG_PARTIAL_H

#include "catalog/database.h"
#include "io/reader.h"

/* "<path>.partial"; malloc'ed. */
rbc_status rbc__partial_path(const char *path, char **out, rbc_error *err);

/* Opens `partial` for writing, with tables for these streams: what a call that was cut off left, or
 * else a copy of the catalog `base`, or else a new one. With `base` NULL it is a new one in any
 * case. A left one that is damaged or does not fit is thrown away. Call it under the lock. */
rbc_status rbc__partial_open(const char *partial, const char *base, const char *format,
                             const rbc__schema *schema, sqlite3 **out, rbc_error *err);

/* Puts what `db`, a complete catalog in `partial`, holds into its place at `path`, in one step, and
 * removes the partial file. Written out afresh, its bytes depend on what it holds alone, not on how
 * often making it was cut off. Closes `db`, also on failure. */
rbc_status rbc__partial_finish(sqlite3 **db, const char *partial, const char *path, rbc_error *err);

#endif
