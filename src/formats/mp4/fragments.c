/* Fragmented files: each box moof says where samples lie behind those before. */
#include <inttypes.h>

#include "formats/mp4/tables.h"

enum {
    TFHD_BASE = 0x1,
    TFHD_DESCRIPTION = 0x2,
    TFHD_DURATION = 0x8,
    TFHD_BYTES = 0x10,
    TFHD_FLAGS = 0x20,
    TRUN_OFFSET = 0x1,
    TRUN_FIRST_FLAGS = 0x4,
    TRUN_DURATION = 0x100,
    TRUN_BYTES = 0x200,
    TRUN_FLAGS = 0x400,
    TRUN_SHIFT = 0x800,
};

#define SAMPLE_IS_NO_KEY UINT32_C(0x10000)

/* Takes the fields of a box one by one; `is_short` once it has ended before one. */
typedef struct fields {
    const rbc__box *box;
    uint64_t at;
    bool is_short;
} fields;

static uint64_t take(fields *f, unsigned bytes) {
    if (f->is_short || f->box->bytes - f->at < bytes) {
        f->is_short = true;
        return 0;
    }
    const uint8_t *at = f->box->data + f->at;
    f->at += bytes;
    return bytes == 8 ? rbc__load_be64(at) : rbc__load_be32(at);
}

static rbc_status check_fields(const fields *f, rbc_error *err) {
    return f->is_short
               ? rbc__box_fail(f->box, f->at, err, "it ends before what its flags say it has")
               : RBC_OK;
}

/* Of a box traf. */
typedef struct fragment {
    uint32_t duration, bytes, flags;
    uint64_t base; /* that offsets of runs begin at */
    uint64_t next; /* where the run before ended */
    int64_t dts;
} fragment;

static rbc_status read_run(rbc__mp4_builder *builder, fragment *traf, const rbc__box *trun,
                           rbc_error *err) {
    fields f = {.box = trun};
    const uint64_t head = take(&f, 4);
    const uint32_t flags = (uint32_t)head & 0xffffff;
    const uint32_t count = (uint32_t)take(&f, 4);
    uint64_t offset = traf->next;
    if ((flags & TRUN_OFFSET) != 0) {
        offset = traf->base + (uint64_t)(int64_t)(int32_t)take(&f, 4);
    }
    const uint32_t first_flags =
        (flags & TRUN_FIRST_FLAGS) != 0 ? (uint32_t)take(&f, 4) : traf->flags;
    RBC__TRY(check_fields(&f, err));
    const unsigned entry_bytes = 4 * (unsigned)__builtin_popcount(flags & 0xf00);
    const uint64_t room =
        entry_bytes > 0 ? (trun->bytes - f.at) / entry_bytes : builder->file_bytes;
    if (count > room) {
        return rbc__box_fail(trun, 4, err,
                             "found %" PRIu32 " samples, wanted at most %" PRIu64
                             ", for which there are bytes",
                             count, room);
    }
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t duration =
            (flags & TRUN_DURATION) != 0 ? (uint32_t)take(&f, 4) : traf->duration;
        const uint32_t bytes = (flags & TRUN_BYTES) != 0 ? (uint32_t)take(&f, 4) : traf->bytes;
        uint32_t its_flags = i == 0 ? first_flags : traf->flags;
        if ((flags & TRUN_FLAGS) != 0) {
            const uint32_t own = (uint32_t)take(&f, 4);
            its_flags = i == 0 && (flags & TRUN_FIRST_FLAGS) != 0 ? first_flags : own;
        }
        const int64_t shift = (flags & TRUN_SHIFT) != 0 ? (int32_t)take(&f, 4) : 0;
        int64_t pts;
        if (bytes == 0 && entry_bytes == 0) {
            return rbc__box_fail(trun, 4, err, "found %" PRIu32 " samples of 0 bytes", count);
        }
        if (__builtin_add_overflow(traf->dts, shift, &pts) || pts == INT64_MIN ||
            __builtin_add_overflow(traf->dts, (int64_t)duration, &traf->dts)) {
            return rbc__box_fail(trun, 0, err, "its samples are shown when no time is");
        }
        RBC__TRY(rbc__mp4_add_packet(builder, trun, offset, bytes, pts,
                                     (its_flags & SAMPLE_IS_NO_KEY) == 0, err));
        offset += bytes;
    }
    traf->next = offset;
    return RBC_OK;
}

static rbc_status read_head(const rbc__mp4_builder *builder, const rbc__box *tfhd, uint64_t moof_at,
                            fragment *out, bool *is_ours, rbc_error *err) {
    fields f = {.box = tfhd};
    const uint32_t flags = (uint32_t)take(&f, 4) & 0xffffff;
    *is_ours = (uint32_t)take(&f, 4) == builder->track_id;
    *out = (fragment){.base = (flags & TFHD_BASE) != 0 ? take(&f, 8) : moof_at};
    const uint32_t description =
        (flags & TFHD_DESCRIPTION) != 0 ? (uint32_t)take(&f, 4) : builder->description;
    out->duration = (flags & TFHD_DURATION) != 0 ? (uint32_t)take(&f, 4) : builder->duration;
    out->bytes = (flags & TFHD_BYTES) != 0 ? (uint32_t)take(&f, 4) : builder->bytes;
    out->flags = (flags & TFHD_FLAGS) != 0 ? (uint32_t)take(&f, 4) : builder->flags;
    out->next = out->base;
    out->dts = builder->next_dts;
    RBC__TRY(check_fields(&f, err));
    return *is_ours && description != 1
               ? rbc__box_refuse(tfhd, 0, err,
                                 "found sample description %" PRIu32 ", wanted the first for all",
                                 description)
               : RBC_OK;
}

static rbc_status read_track(rbc__mp4_builder *builder, const rbc__box *traf, uint64_t moof_at,
                             rbc_error *err) {
    rbc__box box;
    fragment its;
    bool is_ours;
    uint64_t cursor = 0;
    RBC__TRY(rbc__box_get(traf, RBC__BOX_TYPE('t', 'f', 'h', 'd'), &box, err));
    RBC__TRY(read_head(builder, &box, moof_at, &its, &is_ours, err));
    if (!is_ours) {
        return RBC_OK;
    }
    RBC__TRY(rbc__box_find(traf, RBC__BOX_TYPE('t', 'f', 'd', 't'), &box, err));
    if (box.data != NULL) {
        RBC__TRY(rbc__box_need(&box, 8, err));
        const bool is_long = box.data[0] == 1;
        RBC__TRY(rbc__box_need(&box, is_long ? 12 : 8, err));
        const uint64_t dts = is_long ? rbc__load_be64(box.data + 4) : rbc__load_be32(box.data + 4);
        if (dts > INT64_MAX / 2) {
            return rbc__box_fail(&box, 4, err, "found a time of %" PRIu64 ", wanted less than 2^62",
                                 dts);
        }
        its.dts = (int64_t)dts;
    }
    for (;;) {
        RBC__TRY(rbc__box_next(traf, &cursor, &box, err));
        if (box.data == NULL) {
            break;
        }
        if (box.type == RBC__BOX_TYPE('t', 'r', 'u', 'n')) {
            RBC__TRY(read_run(builder, &its, &box, err));
        }
    }
    builder->next_dts = its.dts;
    return RBC_OK;
}

rbc_status rbc__mp4_read_fragment(rbc__mp4_builder *builder, const rbc__box *moof, uint64_t moof_at,
                                  rbc_error *err) {
    rbc__box box;
    uint64_t cursor = 0;
    for (;;) {
        RBC__TRY(rbc__box_next(moof, &cursor, &box, err));
        if (box.data == NULL) {
            return RBC_OK;
        }
        if (box.type == RBC__BOX_TYPE('t', 'r', 'a', 'f')) {
            RBC__TRY(read_track(builder, &box, moof_at, err));
        }
    }
}
