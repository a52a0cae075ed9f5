/* The names of the files that a part points to beside its own: many by one template.
 *
 * A template is a path relative to the dataset's folder, in which "{}" stands for the number of the
 * blob, and "{:07}" for the number filled with zeros to seven digits; "{{" and "}}" are braces. No
 * path leads out of the folder: absolute ones and those with ".." are refused.
 *
 * Encoded, a group after the other: length and bytes of the template, first number (signed), count,
 * u8 width of a size (0: sizes are not known), the sizes. */
#ifndef RBC_LAYOUT_BLOBS_H
#define RBC_LAYOUT_BLOBS_H

#include <stddef.h>

#include <robocache/robocache.h>

#include "io/bytes.h"

/* Blob 0 is the part's own file, and those of its groups follow. This one is its column file. */
#define RBC__COLUMN_BLOB UINT32_C(0x7fffffff)

typedef struct rbc__blob_group {
    const char *pattern;  /* the template */
    int64_t first, count; /* blob i of the group has number first + i in its name */
    const int64_t *sizes; /* [count], in bytes; NULL: not known */
} rbc__blob_group;

/* FORMAT when the pattern is none, or leads out of the folder. */
rbc_status rbc__blob_group_check(const rbc__blob_group *group, rbc_error *err);
/* Appends a checked group. */
void rbc__blob_group_encode(const rbc__blob_group *group, rbc__bytes *out);

/* Constant; may be shared by threads. */
typedef struct rbc__blobs rbc__blobs;

/* `name` begins messages. FORMAT. Released with free(). */
rbc_status rbc__blobs_parse(const uint8_t *encoded, size_t bytes, const char *name,
                            rbc__blobs **out, rbc_error *err);

/* How many there are, blob 0 left out. */
uint64_t rbc__blobs_count(const rbc__blobs *blobs);

/* Path of blob `number` >= 1, relative to the dataset's folder; malloc'ed. `*size` is -1 where it is
 * not known. FORMAT when there is no such blob. */
rbc_status rbc__blobs_path(const rbc__blobs *blobs, uint32_t number, char **path, int64_t *size,
                           rbc_error *err);

#endif
