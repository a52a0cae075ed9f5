/* Boxes of MP4 and QuickTime files that are in memory: a tree of byte ranges with types, and
 * messages that name file, box and byte. Shared within src/formats/mp4. */
#ifndef RBC_MP4_BOXES_H
#define RBC_MP4_BOXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <robocache/robocache.h>

#include "core/error.h"

#define RBC__BOX_TYPE(a, b, c, d)                                                                  \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

typedef struct rbc__box {
    const char *file;
    const uint8_t *data; /* behind its head; NULL: there is no such box */
    uint64_t bytes;
    uint64_t at; /* of `data` in the file */
    uint32_t type;
    char path[64]; /* "moov/trak/mdia" */
} rbc__box;

static inline uint16_t rbc__load_be16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}
static inline uint32_t rbc__load_be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static inline uint64_t rbc__load_be64(const uint8_t *at) {
    return (uint64_t)rbc__load_be32(at) << 32 | rbc__load_be32(at + 4);
}

/* The four characters of a type, those that cannot be printed as '?'. */
void rbc__box_type_name(uint32_t type, char name[5]);

/* FORMAT, "file: byte N: box path: ...": byte `at` of the box's content. Returns the status. */
rbc_status rbc__box_fail(const rbc__box *box, uint64_t at, rbc_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, UNSUPPORTED. */
rbc_status rbc__box_refuse(const rbc__box *box, uint64_t at, rbc_error *err, const char *format,
                           ...) __attribute__((format(printf, 4, 5)));

/* As in core/error.h. */
#ifdef __clang_analyzer__
#define rbc__box_fail(box, at, err, ...)                                                           \
    ((void)rbc__box_fail(box, at, err, __VA_ARGS__), RBC_ERROR_FORMAT)
#define rbc__box_refuse(box, at, err, ...)                                                         \
    ((void)rbc__box_refuse(box, at, err, __VA_ARGS__), RBC_ERROR_UNSUPPORTED)
#endif

/* The child box at `*cursor` of the parent's content, which goes behind it; `out->data` is NULL
 * behind the last one. FORMAT: it does not fit. */
rbc_status rbc__box_next(const rbc__box *parent, uint64_t *cursor, rbc__box *out, rbc_error *err);

/* The first child of a type; `out->data` is NULL where there is none. */
rbc_status rbc__box_find(const rbc__box *parent, uint32_t type, rbc__box *out, rbc_error *err);
/* FORMAT where there is none. */
rbc_status rbc__box_get(const rbc__box *parent, uint32_t type, rbc__box *out, rbc_error *err);

/* FORMAT where the content has fewer bytes. */
rbc_status rbc__box_need(const rbc__box *box, uint64_t bytes, rbc_error *err);
/* A table: u32 number of entries at byte `head` - 4, entries of `entry_bytes` each behind it.
 * FORMAT where the box ends before they do. */
rbc_status rbc__box_table(const rbc__box *box, uint64_t head, uint64_t entry_bytes,
                          uint32_t *num_entries, rbc_error *err);

#endif
