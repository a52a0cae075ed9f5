/* The directory of a zip archive: where its members lie. Nothing is unpacked.
 *
 * Archives of any size (zip64), without members that are encrypted or lie in several files. What
 * the directory says is a stranger's: every range that is told lies within the archive. */
#ifndef RBC_IO_ZIP_H
#define RBC_IO_ZIP_H

#include "io/source.h"

#define RBC__ZIP_STORED   0
#define RBC__ZIP_DEFLATED 8

/* Zero-initialise, use for any number of archives, release with rbc__zip_free(). */
typedef struct rbc__zip {
    rbc__scratch memory;
    const uint8_t *directory; /* in the memory */
    uint64_t directory_bytes, directory_offset;
    uint64_t num_members;
} rbc__zip;

typedef struct rbc__zip_member {
    const char *name; /* not terminated; the archive's */
    size_t name_bytes;
    uint32_t method; /* RBC__ZIP_STORED, RBC__ZIP_DEFLATED or another */
    uint32_t crc32;  /* of the unpacked bytes */
    uint64_t packed_bytes, unpacked_bytes;
    uint64_t header_offset;
} rbc__zip_member;

/* Reads the directory, in one read where it is small. FORMAT when there is none, or it is damaged;
 * UNSUPPORTED when the archive is one of several files, or its directory is beyond 4 GiB. */
rbc_status rbc__zip_read(rbc__source *source, rbc__zip *zip, rbc_error *err);
void rbc__zip_free(rbc__zip *zip);

/* The member at *at, which begins at 0 and is moved behind it; false behind the last, or on failure,
 * which *status then says. */
bool rbc__zip_next(const rbc__zip *zip, const rbc__source *source, uint64_t *at,
                   rbc__zip_member *out, rbc_status *status, rbc_error *err);

/* Where the member's packed bytes begin: the header before them has a length of its own. */
rbc_status rbc__zip_locate(rbc__source *source, const rbc__zip *zip, const rbc__zip_member *member,
                           uint64_t *offset, rbc_error *err);

#endif
