#define _GNU_SOURCE

#include "catalog/header.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "io/endian.h"

enum { HEADER_BYTES = 100, VERSION_AT = 60, APPLICATION_AT = 68 };

static void be_foreign(const char *path, const char *what, rbc__catalog_header *out,
                       rbc_error *why) {
    out->kind = RBC__CATALOG_FOREIGN;
    rbc__fail(why, RBC_ERROR_FORMAT,
              "'%s' is %s, not a catalog, and is left as it is; give another catalog path", path,
              what);
}

static const char *name_type(mode_t mode) {
    return S_ISDIR(mode)                    ? "a folder"
           : S_ISFIFO(mode)                 ? "a pipe"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
           : S_ISSOCK(mode)                 ? "a socket"
                                            : "no regular file";
}

static uint32_t load_big(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void judge(const char *path, const uint8_t *header, ssize_t bytes, rbc__catalog_header *out,
                  rbc_error *why) {
    if (bytes == 0) {
        be_foreign(path, "an empty file", out, why);
    } else if (bytes < HEADER_BYTES || memcmp(header, "SQLite format 3", 16) != 0) {
        be_foreign(path, "no SQLite file", out, why);
    } else if (load_big(header + APPLICATION_AT) != RBC__CATALOG_APPLICATION) {
        be_foreign(path, "an SQLite file of another program", out, why);
    } else {
        const int32_t version = (int32_t)load_big(header + VERSION_AT);
        out->kind = version == RBC__CATALOG_VERSION  ? RBC__CATALOG_CURRENT
                    : version < RBC__CATALOG_VERSION ? RBC__CATALOG_OLDER
                                                     : RBC__CATALOG_LATER;
        if (out->kind == RBC__CATALOG_LATER) {
            rbc__fail(why, RBC_ERROR_FORMAT,
                      "catalog '%s' has version %d, this library knows versions up to %d; use a "
                      "newer library, another catalog path, or rebuild",
                      path, version, RBC__CATALOG_VERSION);
        } else if (out->kind == RBC__CATALOG_OLDER) {
            rbc__fail(why, RBC_ERROR_FORMAT,
                      "catalog '%s' is of version %d, this library's are of %d; it is made anew",
                      path, version, RBC__CATALOG_VERSION);
        }
    }
}

/* Fewer than asked for where the file ends; less than 0 with errno. */
static ssize_t read_first(int fd, uint8_t *to, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        const ssize_t got = pread(fd, to + done, bytes - done, (off_t)done);
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)done;
}

static rbc_status read_header(const char *path, int fd, rbc__catalog_header *out, rbc_error *why) {
    struct stat info;
    uint8_t header[HEADER_BYTES];
    const bool opened = fd >= 0 && fstat(fd, &info) == 0;
    const bool is_file = opened && S_ISREG(info.st_mode);
    const ssize_t bytes = is_file ? read_first(fd, header, sizeof header) : 0;
    const int failed = errno;
    if (fd < 0 && (failed == EACCES || failed == EPERM)) {
        out->kind = RBC__CATALOG_FOREIGN;
        rbc__fail(why, RBC_ERROR_IO,
                  "catalog '%s' cannot be read: permission denied; it is left as it is", path);
        return RBC_OK;
    }
    if (!opened || bytes < 0) {
        return rbc__fail_errno(why, failed, "catalog '%s' cannot be read", path);
    }
    if (!is_file) {
        be_foreign(path, name_type(info.st_mode), out, why);
        return RBC_OK;
    }
    judge(path, header, bytes, out, why);
    return RBC_OK;
}

rbc_status rbc__header_read(const char *path, rbc__catalog_header *out, int *fd, rbc_error *why) {
    if (fd != NULL) {
        *fd = -1;
    }
    *out = (rbc__catalog_header){.kind = RBC__CATALOG_ABSENT};
    struct stat info;
    if (lstat(path, &info) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? RBC_OK
                   : rbc__fail_errno(why, errno, "catalog '%s' cannot be looked at", path);
    }
    out->is_link = S_ISLNK(info.st_mode);
    if (out->is_link && stat(path, &info) != 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != EACCES) {
            return rbc__fail_errno(why, errno, "catalog '%s' cannot be looked at", path);
        }
        be_foreign(path, "a link that leads nowhere", out, why);
        return RBC_OK;
    }
    if (!S_ISREG(info.st_mode)) {
        be_foreign(path, name_type(info.st_mode), out, why);
        return RBC_OK;
    }
    const int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const rbc_status status = read_header(path, opened, out, why);
    if (status == RBC_OK && out->kind == RBC__CATALOG_CURRENT && fd != NULL) {
        *fd = opened;
    } else if (opened >= 0) {
        close(opened);
    }
    return status;
}
