/* metadata(id, 'KEY', ...) in users' expressions. Shared within src/catalog. */
#ifndef RBC_CATALOG_WHERE_METADATA_H
#define RBC_CATALOG_WHERE_METADATA_H

#include <sqlite3.h>

#include <robocache/robocache.h>

#include "catalog/catalog.h"

typedef struct rbc__where_metadata rbc__where_metadata;

/* Adds the function to `db`; it reads through `source`, another connection to the catalog. All
 * outlive it. */
rbc_status rbc__where_metadata_create(const rbc__catalog *catalog, sqlite3 *source, sqlite3 *db,
                                      rbc__where_metadata **out, rbc_error *err);
void rbc__where_metadata_destroy(rbc__where_metadata **metadata);

/* What came of the expression `where`, of which running it said `status`: the error of reading metadata
 * where that ended it, and INVALID_ARGUMENT that names a key which no episode had of those that were
 * looked at. */
rbc_status rbc__where_metadata_settle(const rbc__where_metadata *metadata, const char *where,
                                      rbc_status status, rbc_error *err);

#endif
