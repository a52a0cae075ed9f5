/* How many files a dataset has, and their bytes. */
#ifndef RBC_CATALOG_FILES_H
#define RBC_CATALOG_FILES_H

#include "catalog/database.h"
#include "formats/format.h"

/* Of all parts of a catalog that is being made: those that are files themselves, and those that they
 * point to, each counted once; 0 bytes where the format did not tell a size, and of a part that points to
 * more than 2^22 files, which are counted by their number alone. */
rbc_status rbc__files_count(sqlite3 *db, const rbc__schema *schema, int64_t *num_files,
                            int64_t *num_bytes, rbc_error *err);

#endif
