#define _GNU_SOURCE

#include "catalog/descriptor_vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VFS_NAME    "robocache-descriptor"
#define SECTOR_SIZE 4096

typedef struct open_file {
    sqlite3_file base;
    int fd; /* borrowed */
} open_file;

static int leave(sqlite3_file *file) {
    (void)file;
    return SQLITE_OK;
}

static int read_at(sqlite3_file *file, void *to, int bytes, sqlite3_int64 offset) {
    const open_file *database = (const open_file *)file;
    size_t done = 0;
    while (done < (size_t)bytes) {
        const ssize_t got = pread(database->fd, (char *)to + done, (size_t)bytes - done,
                                  (off_t)(offset + (sqlite3_int64)done));
        if (got < 0 && errno != EINTR) {
            return SQLITE_IOERR_READ;
        }
        if (got == 0) { /* SQLite wants zeros behind the end */
            memset((char *)to + done, 0, (size_t)bytes - done);
            return SQLITE_IOERR_SHORT_READ;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return SQLITE_OK;
}

static int refuse_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 offset) {
    (void)file, (void)from, (void)bytes, (void)offset;
    return SQLITE_READONLY;
}

static int refuse_truncate(sqlite3_file *file, sqlite3_int64 size) {
    (void)file, (void)size;
    return SQLITE_READONLY;
}

static int leave_as_is(sqlite3_file *file, int how) {
    (void)file, (void)how;
    return SQLITE_OK;
}

static int tell_size(sqlite3_file *file, sqlite3_int64 *out) {
    struct stat info;
    if (fstat(((const open_file *)file)->fd, &info) != 0) {
        return SQLITE_IOERR_FSTAT;
    }
    *out = info.st_size;
    return SQLITE_OK;
}

static int tell_no_lock(sqlite3_file *file, int *out) {
    (void)file;
    *out = 0;
    return SQLITE_OK;
}

static int know_no_control(sqlite3_file *file, int what, void *argument) {
    (void)file, (void)what, (void)argument;
    return SQLITE_NOTFOUND;
}

static int tell_sector_size(sqlite3_file *file) {
    (void)file;
    return SECTOR_SIZE;
}

static int tell_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_IMMUTABLE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = leave,
    .xRead = read_at,
    .xWrite = refuse_write,
    .xTruncate = refuse_truncate,
    .xSync = leave_as_is,
    .xFileSize = tell_size,
    .xLock = leave_as_is,
    .xUnlock = leave_as_is,
    .xCheckReservedLock = tell_no_lock,
    .xFileControl = know_no_control,
    .xSectorSize = tell_sector_size,
    .xDeviceCharacteristics = tell_characteristics,
};

static sqlite3_vfs vfs;
static const sqlite3_vfs *system_vfs;

static int open_by_descriptor(sqlite3_vfs *as, const char *name, sqlite3_file *file, int flags,
                              int *out) {
    const sqlite3_int64 fd =
        (flags & SQLITE_OPEN_MAIN_DB) != 0 ? sqlite3_uri_int64(name, "fd", -1) : -1;
    if (fd < 0) {
        return system_vfs->xOpen(as, name, file, flags, out);
    }
    *(open_file *)file = (open_file){.base.pMethods = &methods, .fd = (int)fd};
    if (out != NULL) {
        *out = SQLITE_OPEN_READONLY;
    }
    return SQLITE_OK;
}

static void register_vfs(void) {
    system_vfs = sqlite3_vfs_find(NULL);
    if (system_vfs != NULL) {
        vfs = *system_vfs;
        vfs.zName = VFS_NAME;
        vfs.pNext = NULL;
        vfs.xOpen = open_by_descriptor;
        if (vfs.szOsFile < (int)sizeof(open_file)) {
            vfs.szOsFile = (int)sizeof(open_file);
        }
        (void)sqlite3_vfs_register(&vfs, 0); /* else opening says that there is none */
    }
}

const char *rbc__descriptor_vfs(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_vfs);
    return VFS_NAME;
}
