#define _GNU_SOURCE

#include "io/unpacked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/error.h"
#include "core/tensor.h"
#include "io/write.h"

#define NOTE_ENDING  ".unpacked"
#define DRAFT_ENDING ".unpacking"
#define NOTE_FORMAT  "robocache unpacked 1\npacked %lld %lld\nunpacked %lld %lld\n"
#define CHECK_BYTES  ((uint64_t)64 << 20)

struct rbc__unpack_folder {
    int fd;
    char *path;
};

/* ---- folders ------------------------------------------------------------------------------------
 */

/* A name that a dataset gave, as one that leads nowhere else; malloc'ed. */
static char *make_safe(const char *name) {
    char *safe = malloc(3 * strlen(name) + 1);
    char *end = safe;
    for (const char *at = name; safe != NULL && *at != '\0'; ++at) {
        if (*at == '/' || *at == '%' || (*at == '.' && at == name)) {
            end += sprintf(end, "%%%02X", (unsigned)*at);
        } else {
            *end++ = *at;
        }
    }
    if (safe != NULL) {
        *end = '\0';
    }
    return safe;
}

static rbc_status join(const char *left, const char *right, char **out, rbc_error *err) {
    if (asprintf(out, "%s/%s", left, right) < 0) {
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", left);
    }
    return RBC_OK;
}

static rbc_status enter(rbc__unpack_folder *folder, const char *name, rbc_error *err) {
    char *safe = make_safe(name);
    char *path = NULL;
    rbc_status status = safe != NULL ? join(folder->path, safe, &path, err)
                                     : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s'", name);
    if (status == RBC_OK) {
        int fd = -1;
        if (mkdirat(folder->fd, safe, 0777) == 0 || errno == EEXIST) {
            fd = openat(folder->fd, safe, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (fd < 0) {
            status = rbc__fail_errno(err, errno, "folder '%s' to unpack into cannot be had", path);
        } else {
            close(folder->fd);
            free(folder->path);
            folder->fd = fd;
            folder->path = path;
            path = NULL;
        }
    }
    free(safe);
    free(path);
    return status;
}

static bool ends_with(const char *text, const char *ending) {
    const size_t length = strlen(text);
    return length > strlen(ending) && strcmp(text + length - strlen(ending), ending) == 0;
}

/* Drafts that nobody holds a lock on: their process has died. */
static void remove_drafts(const rbc__unpack_folder *folder) {
    const int own = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = own >= 0 ? fdopendir(own) : NULL;
    if (listing == NULL) {
        if (own >= 0) {
            close(own);
        }
        return;
    }
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        struct stat info;
        if (entry->d_name[0] != '.' || !ends_with(entry->d_name, DRAFT_ENDING)) {
            continue;
        }
        const int fd = openat(folder->fd, entry->d_name,
                              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0) {
            if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                flock(fd, LOCK_EX | LOCK_NB) == 0) {
                (void)unlinkat(folder->fd, entry->d_name, 0);
            }
            close(fd);
        }
    }
    closedir(listing);
}

rbc_status rbc__unpack_folder_open(const char *folder, const char *name, const char *version,
                                   rbc__unpack_folder **out, rbc_error *err) {
    rbc__unpack_folder *opened = calloc(1, sizeof *opened);
    *out = NULL;
    if (opened == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", folder);
    }
    opened->fd = -1;
    if (mkdir(folder, 0777) == 0 || errno == EEXIST) {
        opened->path = realpath(folder, NULL);
    }
    if (opened->path != NULL) {
        opened->fd = open(opened->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    rbc_status status =
        opened->fd >= 0
            ? enter(opened, name, err)
            : rbc__fail_errno(err, errno, "folder '%s' to unpack into cannot be had", folder);
    if (status == RBC_OK && version[0] != '\0') {
        status = enter(opened, version, err);
    }
    if (status == RBC_OK) {
        remove_drafts(opened);
        *out = opened;
    } else {
        rbc__unpack_folder_close(&opened);
    }
    return status;
}

void rbc__unpack_folder_close(rbc__unpack_folder **folder) {
    if (*folder != NULL) {
        if ((*folder)->fd >= 0) {
            close((*folder)->fd);
        }
        free((*folder)->path);
        free(*folder);
        *folder = NULL;
    }
}

const char *rbc__unpack_folder_path(const rbc__unpack_folder *folder) {
    return folder->path;
}

rbc_status rbc__unpack_folder_free_bytes(const rbc__unpack_folder *folder, int64_t *bytes,
                                         rbc_error *err) {
    struct statvfs disk;
    int64_t free_bytes = 0;
    if (fstatvfs(folder->fd, &disk) != 0) {
        return rbc__fail_errno(err, errno, "'%s': its free space cannot be told", folder->path);
    }
    *bytes = rbc__mul_size((int64_t)disk.f_bavail, (int64_t)disk.f_frsize, &free_bytes) ? free_bytes
                                                                                        : INT64_MAX;
    return RBC_OK;
}

rbc_status rbc__unpacked_path(const rbc__unpack_folder *folder, const char *name, char **out,
                              rbc_error *err) {
    char *safe = make_safe(name);
    *out = NULL;
    const rbc_status status =
        safe != NULL ? join(folder->path, safe, out, err)
                     : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", name);
    free(safe);
    return status;
}

/* ---- notes --------------------------------------------------------------------------------------
 */

typedef struct note {
    long long packed_bytes, packed_ns, bytes, ns;
} note;

/* Up to `bytes` of a file; less than 0 with errno. */
static ssize_t read_up_to(int fd, char *to, size_t bytes) {
    size_t done = 0;
    ssize_t got = 1;
    while (done < bytes && got != 0) {
        got = read(fd, to + done, bytes - done);
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)done;
}

/* `*found` is false where there is none. */
static rbc_status read_note(const char *path, note *out, bool *found, rbc_error *err) {
    char text[256] = {0};
    struct stat info;
    char *name;
    *found = false;
    if (asprintf(&name, "%s" NOTE_ENDING, path) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", path);
    }
    const int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    free(name);
    const bool looked = fd >= 0 && fstat(fd, &info) == 0;
    const bool is_file = looked && S_ISREG(info.st_mode);
    const bool is_read = is_file && read_up_to(fd, text, sizeof text - 1) >= 0;
    const int failed = errno;
    if (fd >= 0) {
        close(fd);
    }
    if ((fd < 0 && failed != ENOENT && failed != ELOOP && failed != ENXIO && failed != EACCES) ||
        (fd >= 0 && !looked) || (is_file && !is_read)) {
        return rbc__fail_errno(err, failed, "'%s" NOTE_ENDING "' cannot be read", path);
    }
    *found =
        is_read && sscanf(text, "robocache unpacked 1 packed %20lld %20lld unpacked %20lld %20lld",
                          &out->packed_bytes, &out->packed_ns, &out->bytes, &out->ns) == 4;
    return RBC_OK;
}

rbc_status rbc__unpacked_look(const char *path, const rbc__file_identity *packed, bool any_time,
                              rbc__file_identity *out, rbc_error *err) {
    struct stat info;
    note found;
    if (lstat(path, &info) != 0) {
        return rbc__fail_errno(err, errno, "the unpacked file '%s' cannot be looked at", path);
    }
    *out = rbc__file_identity_of(&info);
    bool has_note = false;
    if (S_ISREG(info.st_mode)) {
        RBC__TRY(read_note(path, &found, &has_note, err));
    }
    if (!has_note) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                         "'%s' has no note beside it that says it was unpacked", path);
    }
    if (found.bytes != out->bytes || found.ns != out->mtime_ns) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                         "the unpacked file '%s' has been written to (%lld bytes, %lld were "
                         "unpacked)",
                         path, (long long)out->bytes, found.bytes);
    }
    if (found.packed_bytes != packed->bytes || (!any_time && found.packed_ns != packed->mtime_ns)) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                         "the unpacked file '%s' was made of another packed file (%lld bytes, now "
                         "%lld)",
                         path, found.packed_bytes, (long long)packed->bytes);
    }
    return RBC_OK;
}

/* ---- unpacking ----------------------------------------------------------------------------------
 */

typedef struct making {
    const rbc__unpack_folder *folder;
    rbc__source *packed;
    char *path; /* of the file to be */
    const char *name;
    char draft[NAME_MAX + 1]; /* in the folder */
    int fd;
    uint64_t bytes, checked;
    bool (*go_on)(void *user, uint64_t packed_bytes);
    void *user;
} making;

static rbc_status check_bounds(making *m, uint64_t packed, rbc_error *err) {
    int64_t free_bytes = 0;
    if (m->bytes > CHECK_BYTES && m->bytes / RBC__UNPACK_MAX_RATIO > packed) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %llu: %llu bytes are unpacked so far, more than %d times as "
                         "many; if it is to be trusted, unpack it yourself",
                         rbc__source_path(m->packed), (unsigned long long)packed,
                         (unsigned long long)m->bytes, RBC__UNPACK_MAX_RATIO);
    }
    if (m->bytes - m->checked < CHECK_BYTES) {
        return RBC_OK;
    }
    m->checked = m->bytes;
    RBC__TRY(rbc__unpack_folder_free_bytes(m->folder, &free_bytes, err));
    return free_bytes >= RBC__UNPACK_RESERVE_BYTES
               ? RBC_OK
               : rbc__fail_errno(err, ENOSPC,
                                 "%s: byte %llu: unpacking to '%s': %lld bytes are left free",
                                 rbc__source_path(m->packed), (unsigned long long)packed, m->path,
                                 (long long)free_bytes);
}

static rbc_status take(void *user, const uint8_t *data, size_t bytes, uint64_t packed,
                       rbc_error *err) {
    making *m = user;
    if (!m->go_on(m->user, packed)) {
        return rbc__fail(err, RBC_ERROR_CANCELLED, "%s: byte %llu: unpacking was stopped",
                         rbc__source_path(m->packed), (unsigned long long)packed);
    }
    if (!rbc__write_all(m->fd, data, bytes)) {
        return rbc__fail_errno(err, errno, "'%s' cannot be written", m->path);
    }
    m->bytes += bytes;
    return check_bounds(m, packed, err);
}

static void drop_draft(making *m) {
    if (m->fd >= 0) {
        (void)unlinkat(m->folder->fd, m->draft, 0);
        close(m->fd);
        m->fd = -1;
    }
}

/* A file of its own, locked for as long as it is open. */
static rbc_status begin_draft(making *m, rbc_error *err) {
    static atomic_uint number;
    struct stat info;
    do {
        (void)snprintf(m->draft, sizeof m->draft, ".%d-%u" DRAFT_ENDING, (int)getpid(),
                       atomic_fetch_add(&number, 1));
        m->fd = openat(m->folder->fd, m->draft, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       0666);
        if (m->fd < 0 && errno != EEXIST) {
            return rbc__fail_errno(err, errno, "'%s/%s' cannot be made", m->folder->path, m->draft);
        }
        if (m->fd >= 0) {
            (void)flock(m->fd, LOCK_EX); /* where there are no locks, nobody removes drafts */
            if (fstat(m->fd, &info) != 0) {
                const int failed = errno;
                drop_draft(m);
                return rbc__fail_errno(err, failed, "'%s/%s' cannot be looked at", m->folder->path,
                                       m->draft);
            }
            if (info.st_nlink == 0) { /* removed before it was locked */
                close(m->fd);
                m->fd = -1;
            }
        }
    } while (m->fd < 0);
    return RBC_OK;
}

static rbc_status publish(making *m, const char *name, rbc_error *err) {
    if (fsync(m->fd) != 0 || renameat(m->folder->fd, m->draft, m->folder->fd, name) != 0) {
        return rbc__fail_errno(err, errno, "'%s/%s' cannot be put into its place", m->folder->path,
                               name);
    }
    close(m->fd);
    m->fd = -1;
    return RBC_OK;
}

/* Before the file itself, so that none is ever there without. */
static rbc_status write_note(const making *file, const struct stat *info, rbc_error *err) {
    char name[NAME_MAX + 1];
    making m = {.folder = file->folder, .path = file->path, .fd = -1};
    if ((size_t)snprintf(name, sizeof name, "%s" NOTE_ENDING, file->name) >= sizeof name) {
        return rbc__fail_errno(err, ENAMETOOLONG, "'%s" NOTE_ENDING "' cannot be made", file->path);
    }
    const rbc__file_identity *packed = rbc__source_identity(file->packed);
    const rbc__file_identity made = rbc__file_identity_of(info);
    RBC__TRY(begin_draft(&m, err));
    rbc_status status =
        dprintf(m.fd, NOTE_FORMAT, (long long)packed->bytes, (long long)packed->mtime_ns,
                (long long)made.bytes, (long long)made.mtime_ns) > 0
            ? publish(&m, name, err)
            : rbc__fail_errno(err, errno, "'%s" NOTE_ENDING "' cannot be written", file->path);
    drop_draft(&m);
    return status;
}

/* What lies there already is replaced only where it was unpacked, too. */
static rbc_status check_place(const making *m, rbc_error *err) {
    struct stat info;
    note found;
    if (fstatat(m->folder->fd, m->name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? RBC_OK
                               : rbc__fail_errno(err, errno, "'%s' cannot be looked at", m->path);
    }
    bool has_note = false;
    if (S_ISREG(info.st_mode)) {
        RBC__TRY(read_note(m->path, &found, &has_note, err));
    }
    return has_note ? RBC_OK
                    : rbc__fail_errno(
                          err, EEXIST,
                          "'%s' is there and was not unpacked by this library; it is left as it "
                          "is: remove it, or name another folder",
                          m->path);
}

static rbc_status fill_draft(making *m, rbc__whole whole, rbc_error *err) {
    struct stat info;
    RBC__TRY(rbc__whole_unpack(m->packed, whole, take, m, err));
    RBC__TRY(rbc__source_check_unchanged(m->packed, err));
    if (fstat(m->fd, &info) != 0) {
        return rbc__fail_errno(err, errno, "'%s' cannot be looked at", m->path);
    }
    RBC__TRY(write_note(m, &info, err));
    return publish(m, m->name, err);
}

rbc_status rbc__unpacked_make(const rbc__unpack_folder *folder, const char *name,
                              rbc__source *packed, rbc__whole whole,
                              bool (*go_on)(void *user, uint64_t packed_bytes), void *user,
                              rbc_error *err) {
    making m = {.folder = folder, .packed = packed, .fd = -1, .go_on = go_on, .user = user};
    RBC__TRY(rbc__unpacked_path(folder, name, &m.path, err));
    m.name = strrchr(m.path, '/') + 1;
    rbc_status status = check_place(&m, err);
    if (status == RBC_OK) {
        status = begin_draft(&m, err);
    }
    if (status == RBC_OK) {
        status = fill_draft(&m, whole, err);
    }
    drop_draft(&m);
    free(m.path);
    return status;
}
