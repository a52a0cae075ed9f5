/* Bytes at an offset: a file read with pread, a mapped file, or memory.
 *
 * A source may be used from several threads. A file that shrinks or fails while open gives
 * RBC_ERROR_IO naming the file and offset, for mappings too: a fault inside a mapping is caught
 * (SIGBUS is answered by mapping zeros there, and the view is then reported as failed), and any
 * other SIGBUS goes on to the handler that was there before. A file that is written to while open
 * is RBC_ERROR_IO as well, at the latest RBC__SOURCE_TRUST_NS after the write. */
#ifndef RBC_IO_SOURCE_H
#define RBC_IO_SOURCE_H

#include <stdbool.h>

#include <robocache/robocache.h>

typedef struct rbc__source rbc__source;

/* How long a file is trusted to be what it was: looking costs as much as reading a sample. */
#define RBC__SOURCE_TRUST_NS 10000000

/* What says that a file is still the same one, with nothing written to it. */
typedef struct rbc__file_identity {
    uint64_t device, inode;
    int64_t bytes;
    int64_t mtime_ns;
} rbc__file_identity;

struct stat;
rbc__file_identity rbc__file_identity_of(const struct stat *info);
bool rbc__file_identity_equal(const rbc__file_identity *a, const rbc__file_identity *b);

typedef enum rbc__source_kind {
    RBC__SOURCE_FILE = 0, /* pread: memory bounded, one system call a read; for random access. Its
                             descriptor is closed and opened again as io/descriptor.h has it */
    RBC__SOURCE_MAP = 1,  /* mmap: no copy; for going through a file once */
} rbc__source_kind;

/* A growing scratch buffer of one thread; zero-initialise, release with rbc__scratch_free(). */
typedef struct rbc__scratch {
    uint8_t *data;
    size_t bytes;
} rbc__scratch;

rbc_status rbc__scratch_reserve(rbc__scratch *scratch, size_t bytes, rbc_error *err);
void rbc__scratch_free(rbc__scratch *scratch);

/* IO when it cannot be opened or is no regular file: a pipe or a device is not waited for, nor
 * touched. */
rbc_status rbc__source_open(const char *path, rbc__source_kind kind, rbc__source **out,
                            rbc_error *err);
/* Borrows `data`, which must outlive the source. `name` stands for the path in messages. */
rbc_status rbc__source_from_memory(const void *data, uint64_t bytes, const char *name,
                                   rbc__source **out, rbc_error *err);
void rbc__source_close(rbc__source **source);

const char *rbc__source_path(const rbc__source *source);
uint64_t rbc__source_bytes(const rbc__source *source); /* when it was opened */
/* As it was opened; zeros for memory. */
const rbc__file_identity *rbc__source_identity(const rbc__source *source);

/* Copies exactly [offset, offset + bytes) to `dst`. IO when it does not reach so far. */
rbc_status rbc__source_read(rbc__source *source, uint64_t offset, uint64_t bytes, void *dst,
                            rbc_error *err);

/* Points `out` at those bytes: into the mapping or memory, or into `scratch` after a read. Valid
 * until the next use of `scratch` or the source's close. For a mapping, call
 * rbc__source_check() after the bytes have been used: it fails if one of them could not be had. */
rbc_status rbc__source_view(rbc__source *source, uint64_t offset, uint64_t bytes,
                            rbc__scratch *scratch, const uint8_t **out, rbc_error *err);
rbc_status rbc__source_check(const rbc__source *source, rbc_error *err);

/* IO when the file has been written to since it was opened. What looks damaged may be that alone:
 * a mapping shows zeros between a new end and the end of its page. */
rbc_status rbc__source_check_unchanged(rbc__source *source, rbc_error *err);

/* A mapping may forget the pages of [0, offset): they have been used. */
void rbc__source_release_before(rbc__source *source, uint64_t offset);

#endif
