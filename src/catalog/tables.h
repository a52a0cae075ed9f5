/* The tables of a catalog.
 *
 *  meta       format, name and version of the dataset, totals, and whether it is complete
 *  streams    as the format declared them; a catalog of other streams is made anew
 *  files      one row a data file: its size and mtime, whether it is indexed, its totals, and the
 *             id of its first episode
 *  episodes   one row an episode; key = file id * 2^32 + number within the file. Ids are not
 *             stored: id = first_id of the file + number within the file, so that a file that
 *             changes moves no other row
 *  layouts    where the samples of an episode lie, in the format's encoding; apart from episodes,
 *             so that an expression over a million episodes reads little
 *  summaries  steps and stamps of a file's episodes, packed (catalog/summary.h)
 *  spans      the same of each stream of stamps: samples, first and last stamp
 *  tasks      texts, how many episodes have each, and task_words, their full-text index
 *  skipped    damaged records left out; record -1 stands for the rest of the file
 *  episode    a view of what users' expressions may name
 *
 * Files are written whole, within a transaction, in the dataset's order; so a catalog that was cut
 * off at any point and continued is the same as one made in one go. */
#ifndef RBC_CATALOG_TABLES_H
#define RBC_CATALOG_TABLES_H

#include "catalog/database.h"
#include "formats/format.h"

/* FORMAT when the schema is not, to the letter, that of rbc__tables_create(): a table, view,
 * trigger or index of somebody else, or a definition of another meaning. Nothing else of a file may
 * be read before. */
rbc_status rbc__tables_check(sqlite3 *db, rbc_error *err);

/* Makes the tables in an empty database, in one transaction, and fills in `meta` and `streams`. */
rbc_status rbc__tables_create(sqlite3 *db, const char *format, const rbc__schema *schema,
                              rbc_error *err);

/* Whether format and streams are those of the catalog. */
rbc_status rbc__tables_match(sqlite3 *db, const char *format, const rbc__schema *schema,
                             bool *match, rbc_error *err);

/* INVALID_ARGUMENT, naming both, when the catalog says that it is of a dataset of another name or
 * version. */
rbc_status rbc__tables_check_dataset(sqlite3 *db, const rbc__schema *schema, rbc_error *err);

#endif
