/* Where the blobs of a dataset lie as files: those that are parts, those that parts point to, and
 * column files. Shared within src/catalog. */
#ifndef RBC_CATALOG_BLOB_NAMES_H
#define RBC_CATALOG_BLOB_NAMES_H

#include "catalog/catalog.h"
#include "layout/blobs.h"
#include "store/file_store.h"

typedef struct rbc__blob_names rbc__blob_names;

/* Borrows the dataset, whose catalog and schema it reads from. */
rbc_status rbc__blob_names_create(rbc_dataset *dataset, rbc__blob_names **out, rbc_error *err);
void rbc__blob_names_destroy(rbc__blob_names **names);

/* The rbc__file_store_params.find of `user`, the names. */
rbc_status rbc__blob_names_find(void *user, int64_t blob, rbc__named_file *out, rbc_error *err);

/* How many blobs a part points to, its own file and its column file left out. */
rbc_status rbc__blob_names_count(rbc__blob_names *names, int64_t part, uint64_t *out,
                                 rbc_error *err);

/* Path of the episode's first blob, relative to the root: the part's own, else the first that it
 * points to; malloc'ed. */
rbc_status rbc__blob_names_first(rbc__blob_names *names, int64_t part, char **path, rbc_error *err);

#endif
