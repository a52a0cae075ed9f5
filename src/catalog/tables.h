/* The tables of a catalog.
 *
 *  meta       what the whole was made from, its totals, and whether it is complete
 *  streams    as the format declared them; a catalog of other streams is made anew
 *  files      one row a data file: its size and mtime, whether it is indexed, its totals, and the
 * id of its first episode episodes   one row an episode; key = file id * 2^32 + number within the
 * file. Ids are not stored: id = first_id of the file + number within the file, so that a file that
 * changes moves no other row layouts    where the samples of an episode lie, in the format's
 * encoding; apart from episodes, so that an expression over a million episodes reads little
 *  summaries  steps and stamps of a file's episodes, packed (catalog/summary.h)
 *  tasks      texts, how many episodes have each, and task_words, their full-text index
 *  skipped    damaged records left out; record -1 stands for the rest of the file
 *  episode    a view of what users' expressions may name
 *
 * Files are written whole, within a transaction, in the dataset's order; so a catalog that was cut
 * off at any point and continued is the same as one made in one go. */
#ifndef RBC_CATALOG_TABLES_H
#define RBC_CATALOG_TABLES_H

#include "catalog/database.h"
#include "io/reader.h"

#define RBC__CATALOG_APPLICATION 0x52424331 /* "RBC1", in the header of the file */
#define RBC__CATALOG_VERSION     1

typedef enum rbc__catalog_state {
    RBC__CATALOG_EMPTY = 0,   /* no tables */
    RBC__CATALOG_CURRENT = 1, /* of this version */
    RBC__CATALOG_OLDER = 2,   /* ours, of an earlier version */
} rbc__catalog_state;

/* FORMAT when it is another program's file or was written by a later version. */
rbc_status rbc__tables_state(sqlite3 *db, rbc__catalog_state *out, rbc_error *err);

/* Makes the tables in an empty database, in one transaction, and fills in `streams`. */
rbc_status rbc__tables_create(sqlite3 *db, const char *format, const rbc__schema *schema,
                              rbc_error *err);

/* Whether format and streams are those of the catalog. */
rbc_status rbc__tables_match(sqlite3 *db, const char *format, const rbc__schema *schema,
                             bool *match, rbc_error *err);

#endif
