/* Blobs that are files of a folder.
 *
 * A file is opened when it is first read from. Its identity is then held to the one that is expected
 * of it, or remembered, and each time that it is read from or opened again it must be the same file,
 * unchanged. How many descriptors there are is io/descriptor.h's business. */
#ifndef RBC_STORE_FILE_STORE_H
#define RBC_STORE_FILE_STORE_H

#include "io/source.h"
#include "store/store.h"

typedef struct rbc__named_file {
    char *path;                         /* malloc'ed by who fills it in */
    const rbc__file_identity *expected; /* NULL: none is */
    int64_t bytes;                      /* expected, -1: any */
} rbc__named_file;

typedef struct rbc__file_store_params {
    /* Where a blob lies; any thread. */
    rbc_status (*find)(void *user, int64_t blob, rbc__named_file *out, rbc_error *err);
    void *user;
} rbc__file_store_params;

rbc_status rbc__file_store_create(const rbc__file_store_params *params, rbc__store **out,
                                  rbc_error *err);

#endif
