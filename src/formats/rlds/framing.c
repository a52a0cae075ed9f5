#include "formats/rlds/framing.h"

#include <inttypes.h>

#include <isa-l/crc.h>

#include "core/error.h"
#include "io/endian.h"
#include "io/foreign.h"

uint32_t rbc__crc32c(const void *data, uint64_t bytes) {
    const uint8_t *at = data;
    uint32_t crc = UINT32_MAX; /* ISA-L leaves the inversions before and after to its caller */
    while (bytes > 0) {
        const int part = bytes > (1u << 30) ? 1 << 30 : (int)bytes;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, part, crc);
        at += part;
        bytes -= (uint64_t)part;
    }
    return ~crc;
}

uint32_t rbc__crc32c_masked(const void *data, uint64_t bytes) {
    const uint32_t crc = rbc__crc32c(data, bytes);
    return ((crc >> 15) | (crc << 17)) + UINT32_C(0xa282ead8);
}

rbc_status rbc__frame_header(rbc__source *source, uint64_t offset, rbc__scratch *scratch,
                             rbc__frame *out, rbc_error *err) {
    const char *path = rbc__source_path(source);
    const uint64_t left = rbc__source_bytes(source) - offset;
    if (left < RBC__TFRECORD_HEADER_BYTES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": the file ends inside a record's header, of which "
                         "%" PRIu64 " of %d bytes are there",
                         path, offset, left, RBC__TFRECORD_HEADER_BYTES);
    }
    const uint8_t *header;
    RBC__TRY(rbc__source_view(source, offset, RBC__TFRECORD_HEADER_BYTES, scratch, &header, err));
    const uint32_t stored = rbc__load_u32(header + 8);
    const uint32_t computed = rbc__crc32c_masked(header, 8);
    const uint64_t bytes = rbc__load_u64(header);
    RBC__TRY(rbc__source_check(source, err));
    if (stored != computed) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": the CRC of a record's length is %08" PRIx32
                         " in the file, %08" PRIx32 " was computed",
                         path, offset, stored, computed);
    }
    const uint64_t room = left - RBC__TFRECORD_HEADER_BYTES;
    if (room < RBC__TFRECORD_FOOTER_BYTES || bytes > room - RBC__TFRECORD_FOOTER_BYTES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": a record of %" PRIu64 " bytes is cut short: the "
                         "file ends at %" PRIu64,
                         path, offset, bytes, offset + left);
    }
    out->offset = offset + RBC__TFRECORD_HEADER_BYTES;
    out->bytes = bytes;
    out->next = out->offset + bytes + RBC__TFRECORD_FOOTER_BYTES;
    return RBC_OK;
}

rbc_status rbc__frame_first(rbc__source *source, rbc__scratch *scratch, rbc__frame *out,
                            rbc_error *err) {
    const uint64_t bytes = rbc__source_bytes(source);
    uint8_t beginning[RBC__FOREIGN_PEEK_BYTES];
    const uint64_t peek = bytes < sizeof beginning ? bytes : sizeof beginning;
    char what[256];
    const rbc_status status = rbc__frame_header(source, 0, scratch, out, err);
    if (status != RBC_ERROR_FORMAT) {
        return status;
    }
    RBC__TRY(rbc__source_read(source, 0, peek, beginning, err));
    if (peek >= RBC__TFRECORD_HEADER_BYTES &&
        rbc__load_u32(beginning + 8) == rbc__crc32c_masked(beginning, 8)) {
        return status; /* a record, but cut short */
    }
    if (rbc__foreign_describe(beginning, (size_t)peek, true, what, sizeof what)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: the file %s", rbc__source_path(source), what);
    }
    return status;
}

rbc_status rbc__frame_packed(rbc__source *source, rbc__whole *whole, rbc_error *err) {
    const uint64_t bytes = rbc__source_bytes(source);
    uint8_t beginning[RBC__TFRECORD_HEADER_BYTES];
    const uint64_t peek = bytes < sizeof beginning ? bytes : sizeof beginning;
    *whole = RBC__WHOLE_PLAIN;
    RBC__TRY(rbc__source_read(source, 0, peek, beginning, err));
    if (peek == sizeof beginning &&
        rbc__load_u32(beginning + 8) != rbc__crc32c_masked(beginning, 8)) {
        *whole = rbc__whole_of(beginning, sizeof beginning);
    }
    return RBC_OK;
}

rbc_status rbc__frame_payload(rbc__source *source, const rbc__frame *frame, rbc__scratch *scratch,
                              const uint8_t **payload, rbc_error *err) {
    const uint64_t bytes = frame->bytes;
    RBC__TRY(rbc__source_view(source, frame->offset, bytes + RBC__TFRECORD_FOOTER_BYTES, scratch,
                              payload, err));
    const uint32_t stored = rbc__load_u32(*payload + bytes);
    const uint32_t computed = rbc__crc32c_masked(*payload, bytes);
    RBC__TRY(rbc__source_check(source, err));
    if (stored != computed) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": the CRC of a record of %" PRIu64 " bytes is "
                         "%08" PRIx32 " in the file, %08" PRIx32 " was computed",
                         rbc__source_path(source), frame->offset, bytes, stored, computed);
    }
    return RBC_OK;
}

void rbc__frame_make_header(uint64_t payload_bytes, uint8_t out[RBC__TFRECORD_HEADER_BYTES]) {
    rbc__store_u64(out, payload_bytes);
    rbc__store_u32(out + 8, rbc__crc32c_masked(out, 8));
}

void rbc__frame_make_footer(const void *payload, uint64_t bytes,
                            uint8_t out[RBC__TFRECORD_FOOTER_BYTES]) {
    rbc__store_u32(out, rbc__crc32c_masked(payload, bytes));
}
