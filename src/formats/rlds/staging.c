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
    char *folder; /* NULL once published */
    char *parent;
    char *destination;
    bool is_replacing;
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
    if (stat(staging->destination, &info) == 0) {
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
    if (closing->folder) {
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
    for (struct dirent *entry; status == RBC_OK && (entry = readdir(listing));) {
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
        if (status == RBC_OK && lstat(from, &about) == 0 && !S_ISDIR(about.st_mode) &&
            !is_among(linked, num_linked, about.st_ino)) {
            status = link_file(from, to, err);
        }
        free(from);
        free(to);
    }
    closedir(listing);
    return status;
}

/* ---- the end ------------------------------------------------------------------------------------
 */

/* What is left of the replaced dataset is renewed, or linked to what the new one holds. Folders,
 * and files that came in the meantime, move over. */
static void clear_replaced(const rbc__staging *staging) {
    const int to = open(staging->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = opendir(staging->folder);
    const int from = listing ? dirfd(listing) : -1;
    for (struct dirent *entry; from >= 0 && (entry = readdir(listing));) {
        const char *name = entry->d_name;
        struct stat info;
        if (is_dots(name) || fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (is_renewed(name) || (!S_ISDIR(info.st_mode) && info.st_nlink > 1)) {
            (void)unlinkat(from, name, 0);
        } else {
            (void)renameat2(from, name, to, name, RENAME_NOREPLACE);
        }
    }
    if (listing) {
        closedir(listing);
    }
    if (to >= 0) {
        close(to);
    }
    (void)rmdir(staging->folder);
}

static rbc_status replace(const rbc__staging *staging, rbc_error *err) {
    struct stat info;
    if (stat(staging->destination, &info) != 0 || info.st_dev != staging->replaced_device ||
        info.st_ino != staging->replaced_inode) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: was replaced while episodes were added to it; nothing was changed",
                         staging->destination);
    }
    if (renameat2(AT_FDCWD, staging->folder, AT_FDCWD, staging->destination, RENAME_EXCHANGE) !=
        0) {
        return rbc__fail_errno(err, errno, "%s: cannot be exchanged with %s", staging->destination,
                               staging->folder);
    }
    clear_replaced(staging);
    return RBC_OK;
}

rbc_status rbc__staging_publish(rbc__staging *staging, rbc_error *err) {
    RBC__TRY(flush_folder(staging->folder, err));
    if (staging->is_replacing) {
        RBC__TRY(replace(staging, err));
    } else if (rename(staging->folder, staging->destination) != 0) {
        return rbc__fail_errno(err, errno, "%s: cannot be renamed to %s", staging->folder,
                               staging->destination);
    }
    free(staging->folder);
    staging->folder = NULL;
    return flush_folder(staging->parent, err);
}
