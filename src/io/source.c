/* Linux: pread, mmap, madvise. */
#define _GNU_SOURCE

#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "io/descriptor.h"
#include "io/fault_guard.h"

enum { SOURCE_MEMORY = 2 };

#define RELEASE_STEP_BYTES (UINT64_C(8) << 20)

struct rbc__source {
    int kind;                   /* rbc__source_kind or SOURCE_MEMORY */
    int fd;                     /* of a mapping, else -1 */
    rbc__descriptor descriptor; /* of RBC__SOURCE_FILE */
    uint64_t bytes;
    const uint8_t *data; /* mapping or memory; NULL for an empty mapping */
    rbc__fault_guard *guard;
    uint64_t released; /* bytes of the mapping given up so far */
    rbc__file_identity identity;
    atomic_int_fast64_t looked_ns; /* when the file was last seen to be unchanged */
    char path[];
};

rbc__file_identity rbc__file_identity_of(const struct stat *info) {
    return (rbc__file_identity){
        .device = info->st_dev,
        .inode = info->st_ino,
        .bytes = info->st_size,
        .mtime_ns = info->st_mtim.tv_sec * INT64_C(1000000000) + info->st_mtim.tv_nsec,
    };
}

bool rbc__file_identity_equal(const rbc__file_identity *a, const rbc__file_identity *b) {
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->mtime_ns == b->mtime_ns;
}

/* A clock that ticks a few hundred times a second and costs next to nothing. */
static int64_t coarse_ns(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

rbc_status rbc__scratch_reserve(rbc__scratch *scratch, size_t bytes, rbc_error *err) {
    if (bytes <= scratch->bytes && scratch->data) {
        return RBC_OK;
    }
    size_t wanted = bytes < 4096 ? 4096 : bytes;
    if (wanted < scratch->bytes + scratch->bytes / 2) {
        wanted = scratch->bytes + scratch->bytes / 2;
    }
    uint8_t *data = malloc(wanted);
    if (data == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a scratch buffer of %zu bytes", wanted);
    }
    free(scratch->data);
    scratch->data = data;
    scratch->bytes = wanted;
    return RBC_OK;
}

void rbc__scratch_free(rbc__scratch *scratch) {
    free(scratch->data);
    *scratch = (rbc__scratch){0};
}

static rbc__source *new_source(const char *path, int kind, rbc_error *err) {
    const size_t length = strlen(path);
    rbc__source *source = calloc(1, sizeof *source + length + 1);
    if (source == NULL) {
        rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to open it", path);
        return NULL;
    }
    memcpy(source->path, path, length + 1);
    source->kind = kind;
    source->fd = -1;
    return source;
}

static rbc_status map_file(rbc__source *source, rbc_error *err) {
    if (source->bytes == 0) {
        return RBC_OK;
    }
    if (source->bytes > SIZE_MAX / 2) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%s: %" PRIu64 " bytes do not fit in memory",
                         source->path, source->bytes);
    }
    void *data = mmap(NULL, (size_t)source->bytes, PROT_READ, MAP_SHARED, source->fd, 0);
    if (data == MAP_FAILED) {
        return rbc__fail_errno(err, errno, "%s: mapping %" PRIu64 " bytes", source->path,
                               source->bytes);
    }
    source->data = data;
    (void)madvise(data, (size_t)source->bytes, MADV_SEQUENTIAL);
    return rbc__fault_guard_add(data, (size_t)source->bytes, &source->guard, err);
}

/* A file being opened, for the first time or again. */
typedef struct opening {
    rbc__source *source;
    bool is_again;
    rbc_status status;
    rbc_error *err;
} opening;

/* Opening alone may wait for a pipe's other end or wind a tape back, so that its type is looked at
 * first, and again behind O_NONBLOCK: somebody may have put another thing there in between.
 * -1 with errno and the opening's status. */
static int open_regular(void *user) {
    opening *o = user;
    rbc__source *source = o->source;
    struct stat info;
    int fd = -1;
    int error = 0;
    bool found = stat(source->path, &info) == 0;
    if (found && S_ISREG(info.st_mode)) {
        fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        found = fd >= 0 && fstat(fd, &info) == 0;
    }
    if (!found) {
        error = errno;
        o->status = rbc__fail_errno(o->err, error, "%s: cannot be opened", source->path);
    } else if (!S_ISREG(info.st_mode)) {
        error = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        o->status = rbc__fail_errno(o->err, error, "%s: is not a regular file", source->path);
    } else {
        const rbc__file_identity identity = rbc__file_identity_of(&info);
        o->status = RBC_OK;
        if (!o->is_again) {
            source->identity = identity;
            source->bytes = (uint64_t)info.st_size;
        } else if (!rbc__file_identity_equal(&identity, &source->identity)) {
            o->status = rbc__fail(o->err, RBC_ERROR_IO,
                                  "%s: has been written to or replaced since it was opened; open "
                                  "the dataset again",
                                  source->path);
        }
        atomic_store_explicit(&source->looked_ns, coarse_ns(), memory_order_relaxed);
    }
    if (o->status != RBC_OK && fd >= 0) {
        close(fd);
        fd = -1;
    }
    errno = error;
    return fd;
}

rbc_status rbc__source_open(const char *path, rbc__source_kind kind, rbc__source **out,
                            rbc_error *err) {
    *out = NULL;
    rbc__source *source = new_source(path, (int)kind, err);
    if (source == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    opening o = {.source = source, .err = err};
    if (kind == RBC__SOURCE_FILE) {
        if (rbc__descriptor_take(&source->descriptor, open_regular, &o) >= 0) {
            rbc__descriptor_give(&source->descriptor);
        }
    } else {
        source->fd = open_regular(&o);
        if (o.status == RBC_OK) {
            o.status = map_file(source, err);
        }
    }
    if (o.status != RBC_OK) {
        rbc__source_close(&source);
        return o.status;
    }
    *out = source;
    return RBC_OK;
}

rbc_status rbc__source_from_memory(const void *data, uint64_t bytes, const char *name,
                                   rbc__source **out, rbc_error *err) {
    *out = new_source(name, SOURCE_MEMORY, err);
    if (!*out) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    (*out)->data = data;
    (*out)->bytes = bytes;
    return RBC_OK;
}

void rbc__source_close(rbc__source **source) {
    rbc__source *closing = *source;
    *source = NULL;
    if (closing == NULL) {
        return;
    }
    rbc__fault_guard_remove(&closing->guard);
    if (closing->kind == RBC__SOURCE_MAP && closing->data) {
        munmap((void *)(uintptr_t)closing->data, (size_t)closing->bytes);
    }
    if (closing->fd >= 0) {
        close(closing->fd);
    }
    rbc__descriptor_close(&closing->descriptor);
    free(closing);
}

const char *rbc__source_path(const rbc__source *source) {
    return source->path;
}

uint64_t rbc__source_bytes(const rbc__source *source) {
    return source->bytes;
}

const rbc__file_identity *rbc__source_identity(const rbc__source *source) {
    return &source->identity;
}

static rbc_status check_range(const rbc__source *source, uint64_t offset, uint64_t bytes,
                              rbc_error *err) {
    if (offset > source->bytes || bytes > source->bytes - offset) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: byte %" PRIu64 ": %" PRIu64 " bytes wanted, but it ends at %" PRIu64,
                         source->path, offset, bytes, source->bytes);
    }
    return RBC_OK;
}

static rbc_status check_file(const rbc__source *source, int fd, rbc_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return rbc__fail_errno(err, errno, "%s: cannot be looked at any more", source->path);
    }
    if (info.st_size < source->identity.bytes) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: byte %lld: the file ends here, but had %lld bytes when it was opened",
                         source->path, (long long)info.st_size, (long long)source->identity.bytes);
    }
    const rbc__file_identity now = rbc__file_identity_of(&info);
    if (!rbc__file_identity_equal(&now, &source->identity)) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: has been written to since it was opened; open the dataset again",
                         source->path);
    }
    return RBC_OK;
}

/* After a read: what was written before is then known not to be among the bytes. */
static rbc_status look_again(rbc__source *source, int fd, rbc_error *err) {
    const int64_t now = coarse_ns();
    if (now - atomic_load_explicit(&source->looked_ns, memory_order_relaxed) <
        RBC__SOURCE_TRUST_NS) {
        return RBC_OK;
    }
    RBC__TRY(check_file(source, fd, err));
    atomic_store_explicit(&source->looked_ns, now, memory_order_relaxed);
    return RBC_OK;
}

static rbc_status read_all(rbc__source *source, int fd, uint64_t offset, uint64_t bytes,
                           uint8_t *dst, rbc_error *err) {
    uint64_t done = 0;
    while (done < bytes) {
        const uint64_t left = bytes - done;
        const size_t want = left > (UINT64_C(1) << 30) ? (size_t)1 << 30 : (size_t)left;
        const ssize_t got = pread(fd, dst + done, want, (off_t)(offset + done));
        if (got > 0) {
            done += (uint64_t)got;
        } else if (got == 0) {
            return rbc__fail(err, RBC_ERROR_IO,
                             "%s: byte %" PRIu64 ": the file ends here, but had %" PRIu64
                             " bytes when it was opened",
                             source->path, offset + done, source->bytes);
        } else if (errno != EINTR) {
            return rbc__fail_errno(err, errno, "%s: byte %" PRIu64 ": reading %" PRIu64 " bytes",
                                   source->path, offset + done, left);
        }
    }
    return look_again(source, fd, err);
}

/* Bytes from a file alone. */
static rbc_status read_file(rbc__source *source, uint64_t offset, uint64_t bytes, uint8_t *dst,
                            rbc_error *err) {
    opening o = {.source = source, .is_again = true, .err = err};
    const int fd = rbc__descriptor_take(&source->descriptor, open_regular, &o);
    if (fd < 0) {
        return o.status;
    }
    const rbc_status status = read_all(source, fd, offset, bytes, dst, err);
    rbc__descriptor_give(&source->descriptor);
    return status;
}

rbc_status rbc__source_read(rbc__source *source, uint64_t offset, uint64_t bytes, void *dst,
                            rbc_error *err) {
    RBC__TRY(check_range(source, offset, bytes, err));
    if (source->kind == RBC__SOURCE_FILE) {
        return read_file(source, offset, bytes, dst, err);
    }
    if (bytes > 0) {
        memcpy(dst, source->data + offset, (size_t)bytes);
    }
    return rbc__source_check(source, err);
}

rbc_status rbc__source_view(rbc__source *source, uint64_t offset, uint64_t bytes,
                            rbc__scratch *scratch, const uint8_t **out, rbc_error *err) {
    static const uint8_t nothing[1];
    *out = nothing;
    RBC__TRY(check_range(source, offset, bytes, err));
    if (bytes == 0) {
        return RBC_OK;
    }
    if (source->kind != RBC__SOURCE_FILE) {
        *out = source->data + offset;
        return RBC_OK;
    }
    RBC__TRY(rbc__scratch_reserve(scratch, (size_t)bytes, err));
    *out = scratch->data;
    return read_file(source, offset, bytes, scratch->data, err);
}

rbc_status rbc__source_check(const rbc__source *source, rbc_error *err) {
    size_t offset;
    if (source->guard && rbc__fault_guard_failed(source->guard, &offset)) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: byte %zu: cannot be read any more; the file had %" PRIu64
                         " bytes when it was opened (has it been truncated, or has the disk "
                         "failed?)",
                         source->path, offset, source->bytes);
    }
    return RBC_OK;
}

rbc_status rbc__source_check_unchanged(rbc__source *source, rbc_error *err) {
    if (source->kind != RBC__SOURCE_FILE) {
        return source->fd < 0 ? RBC_OK : check_file(source, source->fd, err);
    }
    opening o = {.source = source, .is_again = true, .err = err};
    const int fd = rbc__descriptor_take(&source->descriptor, open_regular, &o);
    if (fd < 0) {
        return o.status;
    }
    const rbc_status status = check_file(source, fd, err);
    rbc__descriptor_give(&source->descriptor);
    return status;
}

void rbc__source_release_before(rbc__source *source, uint64_t offset) {
    if (source->kind != RBC__SOURCE_MAP || source->data == NULL) {
        return;
    }
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = offset < source->bytes ? offset : source->bytes;
    end -= end % page;
    if (end < source->released || end - source->released < RELEASE_STEP_BYTES) {
        return;
    }
    (void)madvise((void *)((uintptr_t)source->data + (size_t)source->released),
                  (size_t)(end - source->released), MADV_DONTNEED);
    source->released = end;
}
