#define _GNU_SOURCE

#include "catalog/columns.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "io/write.h"

static rbc_status join(const char *left, const char *right, char **out, rbc_error *err) {
    if (asprintf(out, "%s%s", left, right) < 0) {
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", left);
    }
    return RBC_OK;
}

rbc_status rbc__columns_path(const char *catalog_path, const rbc__column_file *file, char **out,
                             rbc_error *err) {
    char name[64];
    (void)snprintf(name, sizeof name, ".columns/%016" PRIx64 "-%" PRId64, (uint64_t)file->digest,
                   file->bytes);
    return join(catalog_path, name, out, err);
}

static rbc_status write_draft(const char *draft, const rbc__bytes *data, rbc_error *err) {
    if (unlink(draft) != 0 && errno != ENOENT) {
        return rbc__fail_errno(err, errno, "'%s' cannot be removed", draft);
    }
    const int to = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    const bool written = to >= 0 && rbc__write_all(to, data->data, data->size) && fsync(to) == 0;
    const int failed = errno;
    if (to >= 0) {
        close(to);
    }
    return written ? RBC_OK
                   : rbc__fail_errno(err, failed, "column file '%s' cannot be written", draft);
}

static rbc_status put_into_place(const char *catalog_path, const char *draft, const char *path,
                                 rbc_error *err) {
    char *folder;
    RBC__TRY(join(catalog_path, ".columns", &folder, err));
    const bool made = mkdir(folder, 0777) == 0 || errno == EEXIST;
    const int failed = errno;
    const rbc_status status =
        made ? RBC_OK : rbc__fail_errno(err, failed, "folder '%s' cannot be made", folder);
    free(folder);
    RBC__TRY(status);
    return rename(draft, path) == 0
               ? RBC_OK
               : rbc__fail_errno(err, errno, "column file '%s' cannot be put into its place", path);
}

rbc_status rbc__columns_write(const char *catalog_path, const char *folder, const rbc__bytes *data,
                              rbc__column_file *out, rbc_error *err) {
    char *draft = NULL;
    char *path = NULL;
    struct stat info;
    *out = (rbc__column_file){.bytes = (int64_t)data->size};
    if (data->size == 0) {
        return RBC_OK;
    }
    out->digest = (int64_t)crc64_ecma_refl(0, data->data, data->size);
    rbc_status status = rbc__columns_path(catalog_path, out, &path, err);
    if (status == RBC_OK && stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size == out->bytes) {
        free(path);
        return RBC_OK;
    }
    if (status == RBC_OK) {
        status = join(folder, "/column", &draft, err);
    }
    if (status == RBC_OK) {
        status = write_draft(draft, data, err);
    }
    if (status == RBC_OK) {
        status = put_into_place(catalog_path, draft, path, err);
    }
    free(draft);
    free(path);
    return status;
}
