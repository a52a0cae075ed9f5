/* Files that were unpacked into a folder which a user named.
 *
 * Beside each lies a note, "<file>.unpacked", of the size and time of change of the packed file and
 * of its own: only a file with a note that fits is taken for one, and only such a one is replaced.
 * A file appears under its name when it is whole. */
#ifndef RBC_IO_UNPACKED_H
#define RBC_IO_UNPACKED_H

#include <stdbool.h>

#include "io/source.h"
#include "io/whole.h"

/* More unpacked bytes for one packed than this are refused, behind the first 64 MiB: no episodes
 * are so alike. */
#define RBC__UNPACK_MAX_RATIO 256
/* Left free on the disk. */
#define RBC__UNPACK_RESERVE_BYTES (INT64_C(64) << 20)

typedef struct rbc__unpack_folder rbc__unpack_folder;

/* "<folder>/<name>/<version>", made where it is not there (of `folder` the last part alone); what
 * was left there by a process that died is removed. Nothing below `folder` is reached through a
 * link. An empty version has no folder. */
rbc_status rbc__unpack_folder_open(const char *folder, const char *name, const char *version,
                                   rbc__unpack_folder **out, rbc_error *err);
void rbc__unpack_folder_close(rbc__unpack_folder **folder);
const char *rbc__unpack_folder_path(const rbc__unpack_folder *folder);
rbc_status rbc__unpack_folder_free_bytes(const rbc__unpack_folder *folder, int64_t *bytes,
                                         rbc_error *err);

/* Where the file that is called `name` in its dataset lies unpacked; malloc'ed. */
rbc_status rbc__unpacked_path(const rbc__unpack_folder *folder, const char *name, char **out,
                              rbc_error *err);

/* Whether the file at `path` is what was unpacked of a file of that size and time of change
 * (`any_time`: of that size); else an error says what is the matter with it. */
rbc_status rbc__unpacked_look(const char *path, const rbc__file_identity *packed, bool any_time,
                              rbc__file_identity *out, rbc_error *err);

/* Unpacks a file to the path that rbc__unpacked_path() gives. `go_on` (not NULL) hears how many
 * packed bytes have been gone through, and returns false to end with CANCELLED. FORMAT, IO where
 * the disk is too small. Any thread, for different names. */
rbc_status rbc__unpacked_make(const rbc__unpack_folder *folder, const char *name,
                              rbc__source *packed, rbc__whole whole,
                              bool (*go_on)(void *user, uint64_t packed_bytes), void *user,
                              rbc_error *err);

#endif
