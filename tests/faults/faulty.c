#define _GNU_SOURCE

#include "faulty.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- which call fails ----------------------------------------------------------------------- */

/* What a call does, as far as it decides how it may fail. */
typedef enum deed { OPEN, READ, WRITE, LOOK, CHANGE, LOCK, MAP, LIST, THREAD, NUM_DEEDS } deed;

#define CUT_SHORT (-1)

/* errno of each; 0: it does not fail so. */
static const int codes[NUM_FAULT_KINDS][NUM_DEEDS] = {
    [FAULT_DISK] = {[OPEN] = EIO,
                    [READ] = EIO,
                    [WRITE] = EIO,
                    [LOOK] = EIO,
                    [CHANGE] = EIO,
                    [LOCK] = EIO,
                    [LIST] = EIO},
    [FAULT_LIMIT] = {[OPEN] = EMFILE,
                     [WRITE] = ENOSPC,
                     [CHANGE] = ENOSPC,
                     [LOCK] = ENOLCK,
                     [LOOK] = ENOMEM,
                     [MAP] = ENOMEM,
                     [THREAD] = EAGAIN},
    [FAULT_INTERRUPT] = {[OPEN] = EINTR, [READ] = EINTR, [WRITE] = EINTR, [LOCK] = EINTR},
    [FAULT_SHORT] = {[READ] = CUT_SHORT, [WRITE] = CUT_SHORT},
};

static atomic_bool is_on;
static int kind_of_fault;
static bool fault_stays;
static int64_t first_to_fail;
static char callers[256];
static atomic_int_fast64_t num_calls;
static atomic_int_fast64_t num_failed;
static _Atomic(const char *) first_failed;

const char *fault_name(int kind) {
    static const char *const names[] = {"memory", "disk", "limit", "interrupt", "short"};
    return kind >= 0 && kind < NUM_FAULT_KINDS ? names[kind] : NULL;
}

void faults_begin(int kind, int64_t nth, int stays, const char *only_from) {
    kind_of_fault = kind;
    fault_stays = stays != 0;
    first_to_fail = nth;
    (void)snprintf(callers, sizeof callers, "%s", only_from != NULL ? only_from : "");
    atomic_store(&num_calls, 0);
    atomic_store(&num_failed, 0);
    atomic_store(&first_failed, NULL);
    atomic_store(&is_on, true);
}

int64_t faults_end(const char **function) {
    atomic_store(&is_on, false);
    if (function != NULL) {
        *function = atomic_load(&first_failed);
    }
    return atomic_load(&num_failed);
}

int64_t faults_num_calls(void) {
    return atomic_load(&num_calls);
}

static bool is_the_one(const char *function) {
    const int64_t number = atomic_fetch_add(&num_calls, 1) + 1;
    if (number != first_to_fail && !(fault_stays && number > first_to_fail)) {
        return false;
    }
    if (atomic_fetch_add(&num_failed, 1) == 0) {
        atomic_store(&first_failed, function);
    }
    return true;
}

/* Whether a call fails: 0, an errno, or CUT_SHORT. */
static int fault_of(deed what, const char *function) {
    if (!atomic_load(&is_on) || kind_of_fault == FAULT_MEMORY) {
        return 0;
    }
    const int code = codes[kind_of_fault][what];
    return code != 0 && is_the_one(function) ? code : 0;
}

/* The system's own function of a name. */
static void *next_of(const char *name, _Atomic(void *) *kept) {
    void *found = atomic_load_explicit(kept, memory_order_relaxed);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        atomic_store_explicit(kept, found, memory_order_relaxed);
    }
    return found;
}

#define NEXT(name, ...)                                                                            \
    static _Atomic(void *) kept;                                                                   \
    __typeof(name) *next;                                                                          \
    void *found = next_of(#name, &kept);                                                           \
    memcpy(&next, &found, sizeof next)

/* ---- memory --------------------------------------------------------------------------------- */

static bool is_of_callers(const void *address) {
    Dl_info info;
    if (callers[0] == '\0') {
        return true;
    }
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        return false;
    }
    for (const char *word = callers; *word != '\0';) {
        const size_t length = strcspn(word, ",");
        if (memmem(info.dli_fname, strlen(info.dli_fname), word, length) != NULL) {
            return true;
        }
        word += length + (word[length] == ',');
    }
    return false;
}

static bool has_no_memory(const char *function, const void *caller) {
    if (!atomic_load(&is_on) || kind_of_fault != FAULT_MEMORY || !is_of_callers(caller) ||
        !is_the_one(function)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

#define NO_MEMORY(function) has_no_memory(function, __builtin_return_address(0))

#define DEFINE(name)                                                                               \
    extern __typeof(name) name __attribute__((alias("faulty_" #name), visibility("default")))

static void *faulty_malloc(size_t bytes) {
    NEXT(malloc);
    return NO_MEMORY("malloc") ? NULL : next(bytes);
}

static void *faulty_calloc(size_t count, size_t bytes) {
    NEXT(calloc);
    return NO_MEMORY("calloc") ? NULL : next(count, bytes);
}

static void *faulty_realloc(void *memory, size_t bytes) {
    NEXT(realloc);
    return NO_MEMORY("realloc") ? NULL : next(memory, bytes);
}

static void *faulty_aligned_alloc(size_t alignment, size_t bytes) {
    NEXT(aligned_alloc);
    return NO_MEMORY("aligned_alloc") ? NULL : next(alignment, bytes);
}

static int faulty_posix_memalign(void **out, size_t alignment, size_t bytes) {
    NEXT(posix_memalign);
    return NO_MEMORY("posix_memalign") ? ENOMEM : next(out, alignment, bytes);
}

DEFINE(malloc);
DEFINE(calloc);
DEFINE(realloc);
DEFINE(aligned_alloc);
DEFINE(posix_memalign);

/* ---- files ---------------------------------------------------------------------------------- */

/* Ends the function where its call fails. */
#define FAIL(what, function, result)                                                               \
    do {                                                                                           \
        const int code = fault_of(what, function);                                                 \
        if (code != 0) {                                                                           \
            errno = code;                                                                          \
            return result;                                                                         \
        }                                                                                          \
    } while (0)

#define PASS(what, type, name, failed, parameters, arguments)                                      \
    static type faulty_##name parameters {                                                         \
        NEXT(name);                                                                                \
        FAIL(what, #name, failed);                                                                 \
        return next arguments;                                                                     \
    }                                                                                              \
    DEFINE(name)

#define OPENING(name)                                                                              \
    static int faulty_##name(const char *path, int flags, ...) {                                   \
        NEXT(name);                                                                                \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                                              \
        FAIL(OPEN, #name, -1);                                                                     \
        return next(path, flags, mode);                                                            \
    }                                                                                              \
    DEFINE(name)
#define OPENING_AT(name)                                                                           \
    static int faulty_##name(int folder, const char *path, int flags, ...) {                       \
        NEXT(name);                                                                                \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                                              \
        FAIL(OPEN, #name, -1);                                                                     \
        return next(folder, path, flags, mode);                                                    \
    }                                                                                              \
    DEFINE(name)
OPENING(open);
OPENING(open64);
OPENING_AT(openat);
OPENING_AT(openat64);
PASS(OPEN, FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode));
PASS(OPEN, FILE *, fopen64, NULL, (const char *path, const char *mode), (path, mode));
PASS(OPEN, DIR *, opendir, NULL, (const char *path), (path));
PASS(OPEN, DIR *, fdopendir, NULL, (int fd), (fd));
PASS(LIST, struct dirent *, readdir, NULL, (DIR * folder), (folder));
PASS(LIST, struct dirent64 *, readdir64, NULL, (DIR * folder), (folder));

/* Bytes that a call moves, or less than 0 where it fails. Standard streams are the tests' own. */
static ssize_t share_of(deed what, const char *function, int fd, size_t bytes) {
    const int code = fd > 2 && bytes > 0 ? fault_of(what, function) : 0;
    if (code == CUT_SHORT) {
        return (ssize_t)(bytes + 1) / 2;
    }
    errno = code != 0 ? code : errno;
    return code != 0 ? -1 : (ssize_t)bytes;
}

#define MOVE(what, name, buffer_type)                                                              \
    static ssize_t faulty_##name(int fd, buffer_type buffer, size_t bytes) {                       \
        NEXT(name);                                                                                \
        const ssize_t share = share_of(what, #name, fd, bytes);                                    \
        return share < 0 ? -1 : next(fd, buffer, (size_t)share);                                   \
    }                                                                                              \
    DEFINE(name)
#define MOVE_AT(what, name, buffer_type)                                                           \
    static ssize_t faulty_##name(int fd, buffer_type buffer, size_t bytes, off_t offset) {         \
        NEXT(name);                                                                                \
        const ssize_t share = share_of(what, #name, fd, bytes);                                    \
        return share < 0 ? -1 : next(fd, buffer, (size_t)share, offset);                           \
    }                                                                                              \
    DEFINE(name)
MOVE(READ, read, void *);
MOVE(WRITE, write, const void *);
MOVE_AT(READ, pread, void *);
MOVE_AT(READ, pread64, void *);
MOVE_AT(WRITE, pwrite, const void *);
MOVE_AT(WRITE, pwrite64, const void *);

static ssize_t faulty_writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    const int code = count > 0 ? fault_of(WRITE, "writev") : 0;
    if (code == CUT_SHORT) {
        struct iovec some = parts[0];
        some.iov_len = (some.iov_len + 1) / 2;
        return next(fd, &some, 1);
    }
    errno = code != 0 ? code : errno;
    return code != 0 ? -1 : next(fd, parts, count);
}
DEFINE(writev);

PASS(LOOK, int, stat, -1, (const char *path, struct stat *out), (path, out));
PASS(LOOK, int, stat64, -1, (const char *path, struct stat64 *out), (path, out));
PASS(LOOK, int, lstat, -1, (const char *path, struct stat *out), (path, out));
PASS(LOOK, int, lstat64, -1, (const char *path, struct stat64 *out), (path, out));
PASS(LOOK, int, fstat, -1, (int fd, struct stat *out), (fd, out));
PASS(LOOK, int, fstat64, -1, (int fd, struct stat64 *out), (fd, out));
PASS(LOOK, int, fstatat, -1, (int folder, const char *path, struct stat *out, int flags),
     (folder, path, out, flags));
PASS(LOOK, int, access, -1, (const char *path, int mode), (path, mode));
PASS(LOOK, char *, realpath, NULL, (const char *path, char *out), (path, out));
/* What is written need not outlive the machine. */
#define SYNC(name)                                                                                 \
    static int faulty_##name(int fd) {                                                             \
        (void)fd;                                                                                  \
        FAIL(CHANGE, #name, -1);                                                                   \
        return 0;                                                                                  \
    }                                                                                              \
    DEFINE(name)
SYNC(fsync);
SYNC(fdatasync);
PASS(CHANGE, int, ftruncate, -1, (int fd, off_t bytes), (fd, bytes));
PASS(CHANGE, int, ftruncate64, -1, (int fd, off64_t bytes), (fd, bytes));
PASS(CHANGE, int, rename, -1, (const char *from, const char *to), (from, to));
PASS(CHANGE, int, renameat, -1, (int from_folder, const char *from, int to_folder, const char *to),
     (from_folder, from, to_folder, to));
PASS(CHANGE, int, renameat2, -1,
     (int from_folder, const char *from, int to_folder, const char *to, unsigned flags),
     (from_folder, from, to_folder, to, flags));
PASS(CHANGE, int, link, -1, (const char *from, const char *to), (from, to));
PASS(CHANGE, int, linkat, -1,
     (int from_folder, const char *from, int to_folder, const char *to, int flags),
     (from_folder, from, to_folder, to, flags));
PASS(CHANGE, int, symlink, -1, (const char *to, const char *path), (to, path));
PASS(CHANGE, int, mkdir, -1, (const char *path, mode_t mode), (path, mode));
PASS(CHANGE, int, mkdirat, -1, (int folder, const char *path, mode_t mode), (folder, path, mode));
PASS(CHANGE, char *, mkdtemp, NULL, (char *path), (path));
PASS(CHANGE, int, unlink, -1, (const char *path), (path));
PASS(CHANGE, int, unlinkat, -1, (int folder, const char *path, int flags), (folder, path, flags));
PASS(CHANGE, int, rmdir, -1, (const char *path), (path));
PASS(LOCK, int, flock, -1, (int fd, int how), (fd, how));
PASS(MAP, void *, mmap, MAP_FAILED,
     (void *at, size_t bytes, int protection, int flags, int fd, off_t offset),
     (at, bytes, protection, flags, fd, offset));
PASS(MAP, void *, mmap64, MAP_FAILED,
     (void *at, size_t bytes, int protection, int flags, int fd, off64_t offset),
     (at, bytes, protection, flags, fd, offset));

/* SQLite takes a lock that is refused for one of others, and waits a minute for it: once will do. */
#define CONTROL(name)                                                                              \
    static int faulty_##name(int fd, int command, ...) {                                           \
        NEXT(name);                                                                                \
        va_list rest;                                                                              \
        va_start(rest, command);                                                                   \
        void *argument = va_arg(rest, void *);                                                     \
        va_end(rest);                                                                              \
        if (!fault_stays && (command == F_SETLK || command == F_SETLKW)) {                         \
            FAIL(LOCK, #name, -1);                                                                 \
        }                                                                                          \
        return next(fd, command, argument);                                                        \
    }                                                                                              \
    DEFINE(name)
CONTROL(fcntl);
CONTROL(fcntl64);

/* ---- threads -------------------------------------------------------------------------------- */

static int faulty_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                 void *(*run)(void *), void *argument) {
    NEXT(pthread_create);
    const int code = fault_of(THREAD, "pthread_create");
    return code != 0 ? code : next(thread, attributes, run, argument);
}
DEFINE(pthread_create);
