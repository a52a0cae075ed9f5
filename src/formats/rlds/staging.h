/* The folder of a dataset that is being written: hidden beside its destination, where it is put in
 * one step; in exchange for the dataset that is there, where that is added to. */
#ifndef RBC_FORMATS_RLDS_STAGING_H
#define RBC_FORMATS_RLDS_STAGING_H

#include <stdbool.h>
#include <sys/types.h>

#include <robocache/robocache.h>

typedef struct rbc__staging rbc__staging;

/* Makes <path>/<name>/.<version>.incomplete-N, and the folders above. INVALID_ARGUMENT when
 * <path>/<name>/<version> exists, unless `may_replace`; IO. */
rbc_status rbc__staging_create(const char *path, const char *name, const char *version,
                               bool may_replace, rbc__staging **out, rbc_error *err);
/* Removes what has not been published. */
void rbc__staging_destroy(rbc__staging **staging);

const char *rbc__staging_folder(const rbc__staging *staging);
const char *rbc__staging_destination(const rbc__staging *staging);
/* The destination, or NULL where nothing is there. */
const char *rbc__staging_replaced(const rbc__staging *staging);

/* Makes `to` a link to the file `name` of the dataset that is replaced. `*inode` is the entry's,
 * `*bytes` the size of the file. IO. */
rbc_status rbc__staging_link(const rbc__staging *staging, const char *name, const char *to,
                             ino_t *inode, uint64_t *bytes, rbc_error *err);
/* Links all its other files but for metadata, which is written anew, and catalogs. */
rbc_status rbc__staging_link_others(const rbc__staging *staging, const ino_t *linked,
                                    int64_t num_linked, rbc_error *err);

/* Moves the folder to its destination. After an error nothing has been changed, unless the message says
 * so. IO, also when what is there has been replaced in the meantime. */
rbc_status rbc__staging_publish(rbc__staging *staging, rbc_error *err);

#endif
