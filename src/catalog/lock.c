#define _GNU_SOURCE

#include "catalog/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"

#define POLL_NS 20000000L

static bool means_blocked(int error) {
    return error == EACCES || error == EPERM || error == EROFS;
}

/* The holder removes the file when it is done: a lock on a removed file locks nothing. */
static bool is_still_there(int fd, const char *path) {
    struct stat ours;
    struct stat there;
    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

/* Nothing is ever written to the file: that another user made it, or left it, does not matter. */
static rbc_status open_file(const char *path, int *out, bool *blocked, rbc_error *err) {
    const int flags = O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat info;
    int fd = open(path, O_RDWR | flags, 0666);
    if (fd < 0 && errno == EACCES) {
        fd = open(path, O_RDONLY | (flags & ~O_CREAT));
        if (fd < 0 && errno == ENOENT) { /* it may not be made, rather than be written */
            errno = EACCES;
        }
    }
    const bool looked = fd >= 0 && fstat(fd, &info) == 0;
    if (looked && S_ISREG(info.st_mode)) {
        *out = fd;
        return RBC_OK;
    }
    const int failed = errno;
    if (fd >= 0 && !looked) {
        close(fd);
        return rbc__fail_errno(err, failed, "lock file '%s' of the catalog cannot be looked at",
                               path);
    }
    *blocked = true;
    if (fd >= 0 || failed == ELOOP || failed == ENXIO || failed == EISDIR) {
        if (fd >= 0) {
            close(fd);
        }
        return rbc__fail(err, RBC_ERROR_IO,
                         "'%s' is in the way of the lock file of the catalog: it is no file; "
                         "remove it",
                         path);
    }
    *blocked = means_blocked(failed);
    return rbc__fail_errno(err, failed, "lock file '%s' of the catalog cannot be made", path);
}

static rbc_status wait_for(rbc__catalog_lock *lock, rbc__watch *watch, bool *blocked,
                           rbc_error *err) {
    for (;;) {
        RBC__TRY(open_file(lock->path, &lock->fd, blocked, err));
        if (flock(lock->fd, LOCK_EX | LOCK_NB) == 0) {
            if (is_still_there(lock->fd, lock->path)) {
                return RBC_OK;
            }
        } else if (errno != EWOULDBLOCK && errno != EINTR) {
            const int error = errno;
            close(lock->fd);
            return rbc__fail_errno(err, error, "lock file '%s' of the catalog cannot be locked",
                                   lock->path);
        } else {
            nanosleep(&(struct timespec){0, POLL_NS}, NULL);
        }
        close(lock->fd);
        if (rbc__watch_stop(watch)) {
            return rbc__fail(err, RBC_ERROR_CANCELLED,
                             "cancelled while waiting for another process to index (it holds "
                             "'%s')",
                             lock->path);
        }
    }
}

rbc_status rbc__catalog_lock_acquire(const char *path, rbc__watch *watch, rbc__catalog_lock *out,
                                     bool *blocked, rbc_error *err) {
    *blocked = false;
    if (access(path, F_OK) == 0 && access(path, W_OK) != 0) {
        *blocked = means_blocked(errno);
        return rbc__fail_errno(err, errno, "catalog '%s' is to be written and cannot be", path);
    }
    if (asprintf(&out->path, "%s.lock", path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory", path);
    }
    const rbc_status status = wait_for(out, watch, blocked, err);
    if (status != RBC_OK) {
        free(out->path);
        out->path = NULL;
    }
    return status;
}

void rbc__catalog_lock_release(rbc__catalog_lock *lock) {
    unlink(lock->path); /* before the lock goes: nobody can have taken it on this file */
    close(lock->fd);
    free(lock->path);
    lock->path = NULL;
}
