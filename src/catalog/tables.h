/* The tables of a catalog.
 *
 *  meta       format, name and version of the dataset, totals (its files too), and whether it is complete
 *  streams    as the format declared them, with unit and value map (scale 1, offset 0: none); a
 *             catalog of other streams is made anew
 *  parts      one row a part, mostly a data file: its size, mtime and digest, whether it is indexed,
 *             its totals, the id of its first episode, and which column file it has
 *  episodes   one row an episode; key = part id * 2^32 + number within the part. Ids are not
 *             stored: id = first_id of the part + number within the part, so that a part that
 *             changes moves no other row
 *  layouts    where the samples of an episode lie (layout/layout.h); apart from episodes, so that
 *             an expression over a million episodes reads little
 *  metadata   JSON objects of up to 64 episodes that follow each other, fewer where they are
 *             large, compressed; key of the first (catalog/metadata.h)
 *  objects    of a part: kind 0 the names of the files that it points to besides its own
 *             (layout/blobs.h), else arrays, tracks and
 *             texts (layout/object.h)
 *  told       of a part: a JSON object that its format may be given when the dataset is opened again
 *  summaries  steps and stamps of a part's episodes, packed (catalog/summary.h)
 *  spans      the same of each stream of stamps: samples, first and last stamp
 *  tasks      texts, how many episodes have each, and task_words, their full-text index
 *  skipped    damaged records left out; record -1 stands for the rest of the part
 *  episode    a view of what users' expressions may name
 *
 * Parts are written whole, within a transaction, in the dataset's order; so a catalog that was cut
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

/* Whether format, version and streams are those of the catalog. FORMAT where it holds what is no unit, scale
 * or offset. */
rbc_status rbc__tables_match(sqlite3 *db, const char *format, const rbc__schema *schema,
                             bool *match, rbc_error *err);

/* INVALID_ARGUMENT, naming both, when the catalog says that it is of a dataset of another name or
 * version. */
rbc_status rbc__tables_check_dataset(sqlite3 *db, const rbc__schema *schema, rbc_error *err);

#endif
