/* The table of parts: which are as they were indexed, and which have to be indexed anew. */
#ifndef RBC_CATALOG_PARTS_H
#define RBC_CATALOG_PARTS_H

#include "catalog/catalog.h"
#include "catalog/database.h"
#include "catalog/index_run.h"
#include "io/source.h"

/* Looks at every part's file as it lies on the disk: malloc'ed array of schema->num_parts,
 * `bytes` -1 where there is none. IO where that cannot be told; CANCELLED when `watch` says so. */
rbc_status rbc__parts_look(const char *root, const rbc__schema *schema, rbc__watch *watch,
                           rbc__file_identity **out, rbc_error *err);

/* Whether the catalog is complete and holds just these parts, unchanged; if so fills in the parts
 * and totals of `catalog`. A part whose unpacked file is gone or changed is not current with
 * `may_unpack`, else NOT_FOUND. */
rbc_status rbc__parts_load(sqlite3 *db, const char *root, const rbc__schema *schema,
                           const rbc__file_identity *found, bool may_unpack, rbc__catalog *catalog,
                           bool *current, rbc_error *err);
/* What the first part told when it was indexed, malloc'ed; NULL where it told nothing, its file is
 * not the one that was indexed, or the catalog is of another format. */
rbc_status rbc__parts_told(sqlite3 *db, const char *format, const char *root, char **told,
                           rbc_error *err);

void rbc__parts_free(rbc__catalog *catalog);

/* Drops what the catalog holds of parts that are gone or changed and lists, in the dataset's order,
 * those that have to be indexed: `pending` is malloc'ed. `done` says what is there already. One
 * transaction. CANCELLED when `watch` says so. */
rbc_status rbc__parts_sync(sqlite3 *db, const char *root, const rbc__schema *schema,
                           const rbc__file_identity *found, rbc__watch *watch,
                           rbc__pending_part **pending, int64_t *num_pending, rbc_progress *done,
                           rbc_error *err);

/* When every part is indexed: numbers the episodes, forgets tasks that no episode has any more,
 * indexes the words of the others, counts the files, and marks the catalog complete. One transaction. */
rbc_status rbc__parts_finish(sqlite3 *db, const rbc__schema *schema, rbc_error *err);

#endif
