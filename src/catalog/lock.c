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

#define POLL_NS 50000000L

static bool means_unwritable(int error) {
    return error == EACCES || error == EPERM || error == EROFS;
}

/* The holder removes the file when it is done: a lock on a removed file locks nothing. */
static bool is_still_there(int fd, const char *path) {
    struct stat ours;
    struct stat there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

static rbc_status wait_for(rbc__catalog_lock *lock, rbc_progress_fn progress, void *user,
                           bool *unwritable, rbc_error *err) {
    const rbc_progress nothing_yet = {0};
    for (;;) {
        lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (lock->fd < 0) {
            *unwritable = means_unwritable(errno);
            return rbc__fail_errno(err, errno, "lock file '%s' of the catalog cannot be made",
                                   lock->path);
        }
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
            if (progress != NULL && progress(&nothing_yet, user) != 0) {
                close(lock->fd);
                return rbc__fail(err, RBC_ERROR_CANCELLED,
                                 "cancelled while waiting for another process to index (it holds "
                                 "'%s')",
                                 lock->path);
            }
            nanosleep(&(struct timespec){0, POLL_NS}, NULL);
        }
        close(lock->fd);
    }
}

rbc_status rbc__catalog_lock_acquire(const char *path, rbc_progress_fn progress, void *user,
                                     rbc__catalog_lock *out, bool *unwritable, rbc_error *err) {
    *unwritable = false;
    if (access(path, F_OK) == 0 && access(path, W_OK) != 0) {
        *unwritable = means_unwritable(errno);
        return rbc__fail_errno(err, errno, "catalog '%s' has to be written and cannot be", path);
    }
    if (asprintf(&out->path, "%s.lock", path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog '%s': out of memory", path);
    }
    const rbc_status status = wait_for(out, progress, user, unwritable, err);
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
