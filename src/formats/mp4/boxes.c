#include "formats/mp4/boxes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void rbc__box_type_name(uint32_t type, char name[5]) {
    for (int i = 0; i < 4; ++i) {
        const char c = (char)(type >> (24 - 8 * i) & 0xff);
        name[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    name[4] = '\0';
}

static rbc_status fail(const rbc__box *box, uint64_t at, rbc_error *err, rbc_status status,
                       const char *format, va_list arguments) {
    char problem[RBC_ERROR_MESSAGE_BYTES / 2];
    (void)vsnprintf(problem, sizeof problem, format, arguments);
    return rbc__fail(err, status, "%s: byte %" PRIu64 ": box %s: %s", box->file, box->at + at,
                     box->path, problem);
}

rbc_status(rbc__box_fail)(const rbc__box *box, uint64_t at, rbc_error *err, const char *format,
                          ...) {
    va_list arguments;
    va_start(arguments, format);
    const rbc_status status = fail(box, at, err, RBC_ERROR_FORMAT, format, arguments);
    va_end(arguments);
    return status;
}

rbc_status(rbc__box_refuse)(const rbc__box *box, uint64_t at, rbc_error *err, const char *format,
                            ...) {
    va_list arguments;
    va_start(arguments, format);
    const rbc_status status = fail(box, at, err, RBC_ERROR_UNSUPPORTED, format, arguments);
    va_end(arguments);
    return status;
}

static void set_path(const rbc__box *parent, rbc__box *box) {
    char name[5];
    rbc__box_type_name(box->type, name);
    const size_t length = strlen(parent->path);
    if (length + 6 <= sizeof box->path) {
        memcpy(box->path, parent->path, length);
        box->path[length] = '/';
        memcpy(box->path + length + 1, name, sizeof name);
    } else {
        memcpy(box->path, parent->path, length + 1);
    }
}

rbc_status rbc__box_next(const rbc__box *parent, uint64_t *cursor, rbc__box *out, rbc_error *err) {
    const uint64_t left = parent->bytes - *cursor;
    const uint8_t *head = parent->data + *cursor;
    uint64_t head_bytes = 8;
    *out = (rbc__box){.file = parent->file};
    /* QuickTime ends some lists with a u32 of 0. */
    if (left == 0 || (left == 4 && rbc__load_be32(head) == 0)) {
        return RBC_OK;
    }
    if (left < 8) {
        return rbc__box_fail(parent, *cursor, err,
                             "found %" PRIu64 " bytes, wanted the 8 that a box begins with", left);
    }
    uint64_t bytes = rbc__load_be32(head);
    if (bytes == 1 && left >= 16) {
        bytes = rbc__load_be64(head + 8);
        head_bytes = 16;
    } else if (bytes == 0) {
        bytes = left;
    }
    out->type = rbc__load_be32(head + 4);
    set_path(parent, out);
    out->at = parent->at + *cursor + head_bytes;
    if (bytes < head_bytes || bytes > left) {
        return rbc__box_fail(out, 0, err,
                             "found a size of %" PRIu64 " bytes, wanted %" PRIu64 " to %" PRIu64
                             ", which %s has left",
                             bytes, head_bytes, left, parent->path);
    }
    out->data = head + head_bytes;
    out->bytes = bytes - head_bytes;
    *cursor += bytes;
    return RBC_OK;
}

rbc_status rbc__box_find(const rbc__box *parent, uint32_t type, rbc__box *out, rbc_error *err) {
    uint64_t cursor = 0;
    do {
        RBC__TRY(rbc__box_next(parent, &cursor, out, err));
    } while (out->data != NULL && out->type != type);
    return RBC_OK;
}

rbc_status rbc__box_get(const rbc__box *parent, uint32_t type, rbc__box *out, rbc_error *err) {
    char name[5];
    RBC__TRY(rbc__box_find(parent, type, out, err));
    if (out->data == NULL) {
        rbc__box_type_name(type, name);
        return rbc__box_fail(parent, 0, err, "wanted a box %s in it", name);
    }
    return RBC_OK;
}

rbc_status rbc__box_need(const rbc__box *box, uint64_t bytes, rbc_error *err) {
    return box->bytes >= bytes
               ? RBC_OK
               : rbc__box_fail(box, 0, err, "found %" PRIu64 " bytes, wanted %" PRIu64, box->bytes,
                               bytes);
}

rbc_status rbc__box_table(const rbc__box *box, uint64_t head, uint64_t entry_bytes,
                          uint32_t *num_entries, rbc_error *err) {
    RBC__TRY(rbc__box_need(box, head, err));
    *num_entries = rbc__load_be32(box->data + head - 4);
    const uint64_t room = (box->bytes - head) / entry_bytes;
    return *num_entries <= room ? RBC_OK
                                : rbc__box_fail(box, head - 4, err,
                                                "found %" PRIu32 " entries, wanted at most %" PRIu64
                                                ", for which it has bytes",
                                                *num_entries, room);
}
