#define _GNU_SOURCE

#include "formats/rlds/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "formats/rlds/files.h"

enum { MAX_ATTEMPTS = 1000 };

struct rbc__staging {
    char *folder; /* NULL: not made yet */
    char *parent;
    char *destination;
    bool is_replacing;
    bool is_in_place; /* and what it replaced, if anything, has the folder's name */
    dev_t replaced_device;
    ino_t replaced_inode; /* of the folder at `destination` */
};

/* ---- folders ------------------------------------------------------------------------------------
 */

static rbc_status make_folders(const char *path, rbc_error *err) {
    char *copy = strdup(path);
    if (copy == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s", path);
    }
    int failed = 0;
    for (char *at = copy + 1; failed == 0; ++at) {
        if (*at == '/' || *at == '\0') {
            const char kept = *at;
            *at = '\0';
            failed = mkdir(copy, 0777) == 0 || errno == EEXIST ? 0 : errno;
            *at = kept;
            if (kept == '\0') {
                break;
            }
        }
    }
    free(copy);
    return failed == 0 ? RBC_OK : rbc__fail_errno(err, failed, "%s: cannot be made", path);
}

static rbc_status make_own_folder(rbc__staging *staging, const char *version, rbc_error *err) {
    const size_t bytes = strlen(staging->parent) + strlen(version) + 48;
    staging->folder = malloc(bytes);
    if (staging->folder == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s", staging->destination);
    }
    for (int i = 0; i < MAX_ATTEMPTS; ++i) {
        (void)snprintf(staging->folder, bytes, "%s/.%s.incomplete-%d-%d", staging->parent, version,
                       (int)getpid(), i);
        if (mkdir(staging->folder, 0777) == 0) {
            return RBC_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    const rbc_status status = rbc__fail_errno(err, errno, "%s: cannot be made", staging->folder);
    free(staging->folder);
    staging->folder = NULL;
    return status;
}

static void remove_folder(const char *folder) {
    DIR *listing = opendir(folder);
    if (listing) {
        const int fd = dirfd(listing);
        for (struct dirent *entry; fd >= 0 && (entry = readdir(listing));) {
            (void)unlinkat(fd, entry->d_name, 0);
        }
        closedir(listing);
    }
    (void)rmdir(folder);
}

static rbc_status flush_folder(const char *folder, rbc_error *err) {
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    const int saved_errno = errno;
    if (fd >= 0) {
        close(fd);
    }
    return ok ? RBC_OK : rbc__fail_errno(err, saved_errno, "%s: cannot be flushed to disk", folder);
}

static rbc_status settle(rbc__staging *staging, const char *path, const char *name,
                         const char *version, bool may_replace, rbc_error *err) {
    struct stat info;
    RBC__TRY(rbc__join_path(path, name, &staging->parent, err));
    RBC__TRY(rbc__join_path(staging->parent, version, &staging->destination, err));
    if (stat(staging->destination, &info) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) {
            return rbc__fail_errno(err, errno, "%s: cannot be looked at", staging->destination);
        }
    } else {
        staging->is_replacing = true;
        staging->replaced_device = info.st_dev;
        staging->replaced_inode = info.st_ino;
        if (!may_replace) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: is there already; datasets are not overwritten (append adds to "
                             "one)",
                             staging->destination);
        }
    }
    RBC__TRY(make_folders(staging->parent, err));
    return make_own_folder(staging, version, err);
}

rbc_status rbc__staging_create(const char *path, const char *name, const char *version,
                               bool may_replace, rbc__staging **out, rbc_error *err) {
    *out = NULL;
    rbc__staging *staging = calloc(1, sizeof *staging);
    if (staging == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to write it", path);
    }
    const rbc_status status = settle(staging, path, name, version, may_replace, err);
    if (status != RBC_OK) {
        rbc__staging_destroy(&staging);
        return status;
    }
    *out = staging;
    return RBC_OK;
}

void rbc__staging_destroy(rbc__staging **staging) {
    rbc__staging *closing = *staging;
    *staging = NULL;
    if (closing == NULL) {
        return;
    }
    if (closing->folder != NULL && !closing->is_in_place) {
        remove_folder(closing->folder);
    }
    free(closing->folder);
    free(closing->parent);
    free(closing->destination);
    free(closing);
}

const char *rbc__staging_folder(const rbc__staging *staging) {
    return staging->folder;
}

const char *rbc__staging_destination(const rbc__staging *staging) {
    return staging->destination;
}

const char *rbc__staging_replaced(const rbc__staging *staging) {
    return staging->is_replacing ? staging->destination : NULL;
}

/* ---- a dataset that is replaced -----------------------------------------------------------------
 */

static rbc_status link_file(const char *from, const char *to, rbc_error *err) {
    return link(from, to) == 0
               ? RBC_OK
               : rbc__fail_errno(err, errno, "%s: cannot be linked as %s", from, to);
}

rbc_status rbc__staging_link(const rbc__staging *staging, const char *name, const char *to,
                             ino_t *inode, uint64_t *bytes, rbc_error *err) {
    char *from;
    struct stat file;
    struct stat entry; /* of a symbolic link itself */
    RBC__TRY(rbc__join_path(staging->destination, name, &from, err));
    rbc_status status = RBC_OK;
    if (stat(from, &file) != 0 || lstat(from, &entry) != 0) {
        status = rbc__fail_errno(err, errno, "%s: cannot be added to", from);
    } else {
        status = link_file(from, to, err);
    }
    free(from);
    RBC__TRY(status);
    *inode = entry.st_ino;
    *bytes = (uint64_t)file.st_size;
    return RBC_OK;
}

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Whether the file is written anew, or made anew by whoever needs it. */
static bool is_renewed(const char *name) {
    return strcmp(name, "features.json") == 0 || strcmp(name, "dataset_info.json") == 0 ||
           strcmp(name, "metadata.json") == 0 || strncmp(name, ".robocache", 10) == 0;
}

static bool is_among(const ino_t *inodes, int64_t count, ino_t inode) {
    for (int64_t i = 0; i < count; ++i) {
        if (inodes[i] == inode) {
            return true;
        }
    }
    return false;
}

rbc_status rbc__staging_link_others(const rbc__staging *staging, const ino_t *linked,
                                    int64_t num_linked, rbc_error *err) {
    DIR *listing = opendir(staging->destination);
    if (listing == NULL) {
        return rbc__fail_errno(err, errno, "%s: cannot be listed", staging->destination);
    }
    rbc_status status = RBC_OK;
    errno = 0;
    for (struct dirent *entry; status == RBC_OK && (entry = readdir(listing)); errno = 0) {
        char *from = NULL;
        char *to = NULL;
        struct stat about;
        if (is_dots(entry->d_name) || is_renewed(entry->d_name)) {
            continue;
        }
        status = rbc__join_path(staging->destination, entry->d_name, &from, err);
        if (status == RBC_OK) {
            status = rbc__join_path(staging->folder, entry->d_name, &to, err);
        }
        if (status == RBC_OK && lstat(from, &about) != 0) {
            status = rbc__fail_errno(err, errno, "%s: cannot be looked at", from);
        }
        if (status == RBC_OK && !S_ISDIR(about.st_mode) &&
            !is_among(linked, num_linked, about.st_ino)) {
            status = link_file(from, to, err);
        }
        free(from);
        free(to);
    }
    if (status == RBC_OK && errno != 0) {
        status = rbc__fail_errno(err, errno, "%s: cannot be listed", staging->destination);
    }
    closedir(listing);
    return status;
}

/* ---- the end ------------------------------------------------------------------------------------
 */

/* What is left of the replaced dataset is renewed, or linked to what the new one holds. Folders,
 * and files that came in the meantime, move over: `from` lists it, `to` is the new one. */
static rbc_status clear_replaced(const rbc__staging *staging, DIR *from, int to, rbc_error *err) {
    const int from_fd = dirfd(from);
    int failed = from_fd < 0 ? errno : 0;
    errno = 0;
    for (struct dirent *entry; from_fd >= 0 && (entry = readdir(from)) != NULL; errno = 0) {
        const char *name = entry->d_name;
        struct stat info;
        if (is_dots(name)) {
            continue;
        }
        const bool looked = fstatat(from_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
        if (looked && (is_renewed(name) || (!S_ISDIR(info.st_mode) && info.st_nlink > 1))) {
            (void)unlinkat(from_fd, name, 0);
        } else if (renameat2(from_fd, name, to, name, RENAME_NOREPLACE) != 0 && errno != EEXIST) {
            failed = errno;
        }
    }
    failed = errno != 0 ? errno : failed;
    (void)rmdir(staging->folder);
    return failed == 0 ? RBC_OK
                       : rbc__fail_errno(err, failed,
                                         "%s: the episodes are added, but other files of the "
                                         "dataset may still be in %s",
                                         staging->destination, staging->folder);
}

static rbc_status check_replaced(const rbc__staging *staging, rbc_error *err) {
    struct stat info = {0};
    if (stat(staging->destination, &info) != 0 && errno != ENOENT) {
        return rbc__fail_errno(err, errno, "%s: cannot be looked at any more",
                               staging->destination);
    }
    return info.st_dev == staging->replaced_device && info.st_ino == staging->replaced_inode
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_IO,
                           "%s: was replaced while episodes were added to it; nothing was changed",
                           staging->destination);
}

/* The folder takes its place, or leaves it again, in one step. */
static bool move(rbc__staging *staging, bool back) {
    const char *from = back ? staging->destination : staging->folder;
    const char *to = back ? staging->folder : staging->destination;
    const bool moved = staging->is_replacing
                           ? renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0
                           : rename(from, to) == 0;
    staging->is_in_place = staging->is_in_place != moved;
    return moved;
}

static rbc_status put_in_place(rbc__staging *staging, rbc_error *err) {
    if (!move(staging, false)) {
        return rbc__fail_errno(err, errno, "%s: cannot be %s %s", staging->folder,
                               staging->is_replacing ? "exchanged with" : "renamed to",
                               staging->destination);
    }
    const rbc_status status = flush_folder(staging->parent, err);
    return status == RBC_OK || move(staging, true)
               ? status
               : rbc__fail_within(err, status, "%s: is there, but may not outlive a power cut",
                                  staging->destination);
}

/* All that clearing needs is had before anything is changed. */
static rbc_status replace(rbc__staging *staging, rbc_error *err) {
    RBC__TRY(check_replaced(staging, err));
    const int to = open(staging->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *from = to >= 0 ? opendir(staging->destination) : NULL;
    const int failed = errno;
    rbc_status status = from != NULL
                            ? put_in_place(staging, err)
                            : rbc__fail_errno(err, failed, "%s: cannot be opened",
                                              to < 0 ? staging->folder : staging->destination);
    if (status == RBC_OK) {
        status = clear_replaced(staging, from, to, err);
    }
    if (from != NULL) {
        closedir(from);
    }
    if (to >= 0) {
        close(to);
    }
    return status;
}

rbc_status rbc__staging_publish(rbc__staging *staging, rbc_error *err) {
    RBC__TRY(flush_folder(staging->folder, err));
    return staging->is_replacing ? replace(staging, err) : put_in_place(staging, err);
}
