/* Whether a file is the one that was indexed, where its time of change tells nothing: a catalog that
 * was made elsewhere is held to the size of each file and a digest of its first and last 4 KiB. */
#ifndef RBC_CATALOG_IDENTITY_H
#define RBC_CATALOG_IDENTITY_H

#include <robocache/robocache.h>

/* Of the file at `path` below `root`. IO. */
rbc_status rbc__identity_digest(const char *root, const char *path, int64_t *digest,
                                rbc_error *err);

/* Says of which folder on which machine a catalog was made: the same number for the same folder,
 * whatever it is called. 0 where that cannot be told. */
int64_t rbc__identity_of_folder(const char *root);

#endif
