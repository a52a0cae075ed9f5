#define _GNU_SOURCE

#include "catalog/identity.h"

#include <isa-l/crc64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "io/source.h"

#define END_BYTES 4096

rbc_status rbc__identity_digest(const char *root, const char *path, int64_t *digest,
                                rbc_error *err) {
    char *joined;
    uint8_t ends[2 * END_BYTES];
    rbc__source *source = NULL;
    *digest = 0;
    if (asprintf(&joined, "%s/%s", root, path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", root);
    }
    rbc_status status = rbc__source_open(joined, RBC__SOURCE_FILE, &source, err);
    free(joined);
    RBC__TRY(status);
    const uint64_t bytes = rbc__source_bytes(source);
    const uint64_t part = bytes < END_BYTES ? bytes : END_BYTES;
    status = rbc__source_read(source, 0, part, ends, err);
    if (status == RBC_OK) {
        status = rbc__source_read(source, bytes - part, part, ends + part, err);
    }
    rbc__source_close(&source);
    if (status == RBC_OK) {
        *digest = (int64_t)crc64_ecma_refl(bytes, ends, 2 * part);
    }
    return status;
}

int64_t rbc__identity_of_folder(const char *root) {
    struct stat info;
    struct {
        uint64_t device, inode;
        char host[256];
    } where = {0};
    if (stat(root, &info) != 0 || gethostname(where.host, sizeof where.host - 1) != 0) {
        return 0;
    }
    where.device = info.st_dev;
    where.inode = info.st_ino;
    return (int64_t)crc64_ecma_refl(0, (const uint8_t *)&where, sizeof where);
}
