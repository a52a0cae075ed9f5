#define _GNU_SOURCE

#include "catalog/held.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VFS_NAME    "robocache-held"
#define SECTOR_SIZE 4096

/* ---- a file that SQLite reads by a descriptor ---------------------------------------------------
 */

typedef struct held_database {
    sqlite3_file base;
    int fd; /* borrowed */
} held_database;

static int leave(sqlite3_file *file) {
    (void)file;
    return SQLITE_OK;
}

static int read_at(sqlite3_file *file, void *to, int bytes, sqlite3_int64 offset) {
    const held_database *database = (const held_database *)file;
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
    if (fstat(((const held_database *)file)->fd, &info) != 0) {
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

/* ---- SQLite's own VFS, but for databases that are held ------------------------------------------
 */

static sqlite3_vfs held_vfs;
static sqlite3_vfs *system_vfs;
static _Thread_local const rbc__held_file *to_open; /* by the call under way */

static int open_held(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    if (to_open == NULL || (flags & SQLITE_OPEN_MAIN_DB) == 0) {
        return system_vfs->xOpen(vfs, name, file, flags, out);
    }
    *(held_database *)file = (held_database){.base.pMethods = &methods, .fd = to_open->fd};
    if (out != NULL) {
        *out = SQLITE_OPEN_READONLY;
    }
    return SQLITE_OK;
}

static void register_vfs(void) {
    system_vfs = sqlite3_vfs_find(NULL);
    if (system_vfs != NULL) {
        held_vfs = *system_vfs;
        held_vfs.zName = VFS_NAME;
        held_vfs.pNext = NULL;
        held_vfs.xOpen = open_held;
        if (held_vfs.szOsFile < (int)sizeof(held_database)) {
            held_vfs.szOsFile = (int)sizeof(held_database);
        }
        (void)sqlite3_vfs_register(&held_vfs, 0); /* else opening says that there is none */
    }
}

int rbc__held_connect(const rbc__held_file *file, const char *uri, int flags, sqlite3 **out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_vfs);
    to_open = file;
    const int code = sqlite3_open_v2(uri, out, flags, VFS_NAME);
    to_open = NULL;
    return code;
}

/* ---- the file ----------------------------------------------------------------------------------- */

void rbc__held_open(const char *path, const rbc__file_identity *identity, rbc__held_file *out) {
    struct stat info;
    *out = (rbc__held_file)RBC__HELD_NONE;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &info) == 0) {
        const rbc__file_identity found = rbc__file_identity_of(&info);
        if (rbc__file_identity_equal(&found, identity)) {
            out->fd = fd;
            return;
        }
    }
    close(fd);
}

void rbc__held_close(rbc__held_file *file) {
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}
