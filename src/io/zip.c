/* Format: PKWARE's APPNOTE.TXT. */
#include "io/zip.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "io/foreign.h"

#define END_SIGNATURE     0x06054b50U
#define END_BYTES         22U
#define LOCATOR_SIGNATURE 0x07064b50U
#define LOCATOR_BYTES     20U
#define END64_SIGNATURE   0x06064b50U
#define END64_BYTES       56U
#define ENTRY_SIGNATURE   0x02014b50U
#define ENTRY_BYTES       46U
#define HEADER_SIGNATURE  0x04034b50U
#define HEADER_BYTES      30U
#define MAX_COMMENT       65535U

/* Holds the end and the directory of an archive of a few members. */
#define FIRST_READ    4096U
#define MAX_DIRECTORY (UINT64_C(1) << 32)

#define FLAG_ENCRYPTED 1U
#define EXTRA_ZIP64    1U

void rbc__zip_free(rbc__zip *zip) {
    rbc__scratch_free(&zip->memory);
    *zip = (rbc__zip){0};
}

/* The last `bytes` of the file, in the memory. */
static rbc_status read_tail(rbc__source *source, uint64_t bytes, rbc__zip *zip, rbc_error *err) {
    RBC__TRY(rbc__scratch_reserve(&zip->memory, (size_t)bytes, err));
    return rbc__source_read(source, rbc__source_bytes(source) - bytes, bytes, zip->memory.data,
                            err);
}

/* The end record is the last whose comment reaches just to the end of the file. */
static bool find_end(const uint8_t *tail, uint64_t bytes, uint64_t *out) {
    for (uint64_t at = bytes < END_BYTES ? 0 : bytes - END_BYTES + 1; at-- > 0;) {
        if (rbc__load_u32(tail + at) == END_SIGNATURE &&
            rbc__load_u16(tail + at + 20) == bytes - at - END_BYTES) {
            *out = at;
            return true;
        }
    }
    return false;
}

static rbc_status fail_damaged(const rbc__source *source, uint64_t offset, const char *what,
                               rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte %" PRIu64 ": zip archive: %s",
                     rbc__source_path(source), offset, what);
}

/* Counts and offsets from the end record for archives beyond 4 GiB, where `end` points to one. */
static rbc_status read_end64(rbc__source *source, uint64_t end_offset, rbc__zip *zip,
                             rbc_error *err) {
    uint8_t locator[LOCATOR_BYTES];
    uint8_t end[END64_BYTES];
    if (end_offset < LOCATOR_BYTES) {
        return fail_damaged(source, end_offset, "the locator of its end record is cut off", err);
    }
    const uint64_t locator_offset = end_offset - LOCATOR_BYTES;
    RBC__TRY(rbc__source_read(source, locator_offset, sizeof locator, locator, err));
    const uint64_t offset = rbc__load_u64(locator + 8);
    if (rbc__load_u32(locator) != LOCATOR_SIGNATURE || offset > locator_offset ||
        locator_offset - offset < END64_BYTES) {
        return fail_damaged(source, locator_offset, "no locator of its zip64 end record", err);
    }
    RBC__TRY(rbc__source_read(source, offset, sizeof end, end, err));
    if (rbc__load_u32(end) != END64_SIGNATURE) {
        return fail_damaged(source, offset, "no zip64 end record", err);
    }
    if (rbc__load_u32(end + 16) != 0 || rbc__load_u32(end + 20) != 0) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%s: zip archive of several files",
                         rbc__source_path(source));
    }
    zip->num_members = rbc__load_u64(end + 32);
    zip->directory_bytes = rbc__load_u64(end + 40);
    zip->directory_offset = rbc__load_u64(end + 48);
    return RBC_OK;
}

static rbc_status read_end(rbc__source *source, const uint8_t *end, uint64_t end_offset,
                           rbc__zip *zip, rbc_error *err) {
    const uint16_t disk = rbc__load_u16(end + 4);
    zip->num_members = rbc__load_u16(end + 10);
    zip->directory_bytes = rbc__load_u32(end + 12);
    zip->directory_offset = rbc__load_u32(end + 16);
    if (zip->num_members == UINT16_MAX || zip->directory_bytes == UINT32_MAX ||
        zip->directory_offset == UINT32_MAX || disk == UINT16_MAX) {
        RBC__TRY(read_end64(source, end_offset, zip, err));
    } else if (disk != 0 || rbc__load_u16(end + 6) != 0) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%s: zip archive of several files",
                         rbc__source_path(source));
    }
    if (zip->directory_offset > end_offset ||
        zip->directory_bytes > end_offset - zip->directory_offset ||
        zip->num_members > zip->directory_bytes / ENTRY_BYTES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": zip archive: found a directory of %" PRIu64
                         " members in %" PRIu64 " bytes at %" PRIu64 ", wanted one that fits "
                         "before it",
                         rbc__source_path(source), end_offset, zip->num_members,
                         zip->directory_bytes, zip->directory_offset);
    }
    if (zip->directory_bytes > MAX_DIRECTORY) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "%s: zip archive: found a directory of %" PRIu64 " bytes, at most %" PRIu64
                         " are supported",
                         rbc__source_path(source), zip->directory_bytes, MAX_DIRECTORY);
    }
    return RBC_OK;
}

/* FORMAT, of a file without an end record: what it is, where that is known. */
static rbc_status refuse_file(rbc__source *source, rbc_error *err) {
    uint8_t begin[RBC__FOREIGN_PEEK_BYTES];
    char what[RBC_ERROR_MESSAGE_BYTES / 2];
    const uint64_t file_bytes = rbc__source_bytes(source);
    const uint64_t peek = file_bytes < sizeof begin ? file_bytes : sizeof begin;
    RBC__TRY(rbc__source_read(source, 0, peek, begin, err));
    const bool is_archive = peek >= 4 && memcmp(begin, "PK\x03\x04", 4) == 0;
    if (!is_archive && rbc__foreign_describe(begin, (size_t)peek, true, what, sizeof what)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte 0: no zip archive: it %s",
                         rbc__source_path(source), what);
    }
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: no zip archive, or one that is cut off: its %" PRIu64
                     " bytes have no end record",
                     rbc__source_path(source), file_bytes);
}

rbc_status rbc__zip_read(rbc__source *source, rbc__zip *zip, rbc_error *err) {
    const uint64_t file_bytes = rbc__source_bytes(source);
    const uint64_t reads[] = {FIRST_READ, MAX_COMMENT + END_BYTES};
    uint64_t tail_bytes = 0;
    uint64_t end = 0;
    bool is_found = false;
    for (int i = 0; i < 2 && !is_found && tail_bytes < file_bytes; ++i) {
        tail_bytes = reads[i] < file_bytes ? reads[i] : file_bytes;
        RBC__TRY(read_tail(source, tail_bytes, zip, err));
        is_found = find_end(zip->memory.data, tail_bytes, &end);
    }
    if (!is_found) {
        return refuse_file(source, err);
    }
    const uint64_t tail_offset = file_bytes - tail_bytes;
    RBC__TRY(read_end(source, zip->memory.data + end, tail_offset + end, zip, err));
    if (zip->directory_offset >= tail_offset) {
        zip->directory = zip->memory.data + (zip->directory_offset - tail_offset);
        return RBC_OK;
    }
    RBC__TRY(rbc__scratch_reserve(&zip->memory, (size_t)zip->directory_bytes, err));
    zip->directory = zip->memory.data;
    return rbc__source_read(source, zip->directory_offset, zip->directory_bytes, zip->memory.data,
                            err);
}

/* Takes those of the three numbers that are beyond 32 bits from the extra field. */
static bool read_extra64(const uint8_t *extra, uint64_t bytes, rbc__zip_member *member) {
    uint64_t *const wanted[] = {&member->unpacked_bytes, &member->packed_bytes,
                                &member->header_offset};
    bool is_wanted = false;
    for (int i = 0; i < 3; ++i) {
        is_wanted = is_wanted || *wanted[i] == UINT32_MAX;
    }
    while (is_wanted && bytes >= 4) {
        const uint64_t length = rbc__load_u16(extra + 2);
        if (length > bytes - 4) {
            return false;
        }
        if (rbc__load_u16(extra) == EXTRA_ZIP64) {
            uint64_t at = 0;
            for (int i = 0; i < 3; ++i) {
                if (*wanted[i] != UINT32_MAX) {
                    continue;
                }
                if (length - at < 8) {
                    return false;
                }
                *wanted[i] = rbc__load_u64(extra + 4 + at);
                at += 8;
            }
            return true;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return !is_wanted;
}

bool rbc__zip_next(const rbc__zip *zip, const rbc__source *source, uint64_t *at,
                   rbc__zip_member *out, rbc_status *status, rbc_error *err) {
    *status = RBC_OK;
    if (*at == zip->directory_bytes) {
        return false;
    }
    const uint8_t *entry = zip->directory + *at;
    const uint64_t left = zip->directory_bytes - *at;
    const uint64_t offset = zip->directory_offset + *at;
    const uint64_t name_bytes = left < ENTRY_BYTES ? 0 : rbc__load_u16(entry + 28);
    const uint64_t extra_bytes = left < ENTRY_BYTES ? 0 : rbc__load_u16(entry + 30);
    const uint64_t comment_bytes = left < ENTRY_BYTES ? 0 : rbc__load_u16(entry + 32);
    const uint64_t entry_bytes = ENTRY_BYTES + name_bytes + extra_bytes + comment_bytes;
    if (left < entry_bytes || rbc__load_u32(entry) != ENTRY_SIGNATURE) {
        *status = fail_damaged(source, offset, "no entry of its directory, or one cut off", err);
        return false;
    }
    *out = (rbc__zip_member){
        .name = (const char *)entry + ENTRY_BYTES,
        .name_bytes = name_bytes,
        .method = rbc__load_u16(entry + 10),
        .crc32 = rbc__load_u32(entry + 16),
        .packed_bytes = rbc__load_u32(entry + 20),
        .unpacked_bytes = rbc__load_u32(entry + 24),
        .header_offset = rbc__load_u32(entry + 42),
    };
    if ((rbc__load_u16(entry + 8) & FLAG_ENCRYPTED) != 0) {
        *status = rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                            "%s: byte %" PRIu64 ": zip archive: member '%.*s' is encrypted",
                            rbc__source_path(source), offset, (int)out->name_bytes, out->name);
        return false;
    }
    if (!read_extra64(entry + ENTRY_BYTES + name_bytes, extra_bytes, out)) {
        *status = fail_damaged(source, offset, "the zip64 field of an entry is damaged", err);
        return false;
    }
    if (out->header_offset > zip->directory_offset ||
        zip->directory_offset - out->header_offset < HEADER_BYTES ||
        out->packed_bytes > zip->directory_offset - out->header_offset - HEADER_BYTES) {
        *status = rbc__fail(err, RBC_ERROR_FORMAT,
                            "%s: byte %" PRIu64 ": zip archive: member '%.*s': found %" PRIu64
                            " bytes at %" PRIu64 ", wanted them before the directory at %" PRIu64,
                            rbc__source_path(source), offset, (int)out->name_bytes, out->name,
                            out->packed_bytes, out->header_offset, zip->directory_offset);
        return false;
    }
    *at += entry_bytes;
    return true;
}

rbc_status rbc__zip_locate(rbc__source *source, const rbc__zip *zip, const rbc__zip_member *member,
                           uint64_t *offset, rbc_error *err) {
    uint8_t header[HEADER_BYTES];
    RBC__TRY(rbc__source_read(source, member->header_offset, sizeof header, header, err));
    *offset = member->header_offset + HEADER_BYTES + rbc__load_u16(header + 26) +
              rbc__load_u16(header + 28);
    if (rbc__load_u32(header) != HEADER_SIGNATURE || *offset > zip->directory_offset ||
        member->packed_bytes > zip->directory_offset - *offset) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": zip archive: member '%.*s': its header is damaged",
                         rbc__source_path(source), member->header_offset, (int)member->name_bytes,
                         member->name);
    }
    return RBC_OK;
}
