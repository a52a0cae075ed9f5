#include "io/whole.h"

#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"

#define WINDOW_BYTES ((size_t)1 << 20)

rbc__whole rbc__whole_of(const uint8_t *bytes, size_t num_bytes) {
    if (num_bytes >= 4 && bytes[0] == 0x1f && bytes[1] == 0x8b && bytes[2] == 8 &&
        (bytes[3] & 0xe0) == 0) {
        return RBC__WHOLE_GZIP;
    }
    if (num_bytes >= 2 && bytes[0] == 0x78 &&
        (bytes[1] == 0x01 || bytes[1] == 0x5e || bytes[1] == 0x9c || bytes[1] == 0xda)) {
        return RBC__WHOLE_ZLIB;
    }
    return RBC__WHOLE_PLAIN;
}

const char *rbc__whole_name(rbc__whole whole) {
    return whole == RBC__WHOLE_GZIP ? "gzip" : whole == RBC__WHOLE_ZLIB ? "zlib" : "nothing";
}

rbc_status rbc__whole_size(rbc__source *source, rbc__whole whole, int64_t *bytes, rbc_error *err) {
    uint8_t end[4];
    const uint64_t packed = rbc__source_bytes(source);
    *bytes = 0;
    if (whole != RBC__WHOLE_GZIP || packed < 18) {
        return RBC_OK;
    }
    RBC__TRY(rbc__source_read(source, packed - sizeof end, sizeof end, end, err));
    *bytes = rbc__load_u32(end);
    return RBC_OK;
}

typedef struct unpacking {
    rbc__source *source;
    rbc__whole whole;
    uint64_t at; /* of the file, up to which it is in `in` */
    struct inflate_state state;
    uint8_t in[WINDOW_BYTES];
    uint8_t out[WINDOW_BYTES];
} unpacking;

static uint64_t position(const unpacking *u) {
    return u->at - u->state.avail_in;
}

static void begin_stream(unpacking *u) {
    isal_inflate_reset(&u->state);
    u->state.crc_flag = u->whole == RBC__WHOLE_GZIP ? ISAL_GZIP : ISAL_ZLIB;
}

static rbc_status fill(unpacking *u, rbc_error *err) {
    const uint64_t left = rbc__source_bytes(u->source) - u->at;
    const size_t bytes = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
    RBC__TRY(rbc__source_read(u->source, u->at, bytes, u->in, err));
    u->at += bytes;
    u->state.next_in = u->in;
    u->state.avail_in = (uint32_t)bytes;
    return RBC_OK;
}

static const char *problem_of(int code) {
    switch (code) {
    case ISAL_INVALID_BLOCK:
        return "a block of no known kind";
    case ISAL_INVALID_SYMBOL:
        return "a code that stands for nothing";
    case ISAL_INVALID_LOOKBACK:
        return "a reference to before its beginning";
    case ISAL_INVALID_WRAPPER:
        return "a header that is none";
    case ISAL_UNSUPPORTED_METHOD:
        return "a method of compression other than deflate";
    case ISAL_INCORRECT_CHECKSUM:
        return "bytes whose checksum or size is not the one that it says";
    case ISAL_NEED_DICT:
        return "a dictionary that is not in it";
    default:
        return "what cannot be unpacked";
    }
}

static rbc_status fail(const unpacking *u, const char *problem, rbc_error *err) {
    RBC__TRY(rbc__source_check_unchanged(u->source, err));
    return rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte %" PRIu64 ": the %s file has %s",
                     rbc__source_path(u->source), position(u), rbc__whole_name(u->whole), problem);
}

/* What follows a whole stream: zeros to the end of the file, or the next one. */
static rbc_status go_on(unpacking *u, bool *is_end, rbc_error *err) {
    while (u->whole == RBC__WHOLE_GZIP && u->state.avail_in > 0 && u->state.next_in[0] == 0) {
        ++u->state.next_in;
        if (--u->state.avail_in == 0 && u->at < rbc__source_bytes(u->source)) {
            RBC__TRY(fill(u, err));
        }
        *is_end = true; /* nothing but zeros may follow */
    }
    if (u->state.avail_in == 0) {
        *is_end = true;
        return RBC_OK;
    }
    const uint8_t *next = u->state.next_in;
    const bool is_gzip = next[0] == 0x1f && (u->state.avail_in == 1 || next[1] == 0x8b);
    if (*is_end || u->whole == RBC__WHOLE_ZLIB || !is_gzip) {
        return fail(u, "other bytes behind its end", err);
    }
    begin_stream(u);
    return RBC_OK;
}

static rbc_status unpack_window(unpacking *u, rbc__whole_take take, void *user, rbc_error *err) {
    u->state.next_out = u->out;
    u->state.avail_out = (uint32_t)WINDOW_BYTES;
    const int code = isal_inflate(&u->state);
    const size_t bytes = WINDOW_BYTES - u->state.avail_out;
    if (code < 0 || code == ISAL_NEED_DICT) {
        return fail(u, problem_of(code), err);
    }
    if (bytes > 0) {
        RBC__TRY(take(user, u->out, bytes, position(u), err));
    } else if (u->state.avail_in == 0 && u->at == rbc__source_bytes(u->source) &&
               u->state.block_state != ISAL_BLOCK_FINISH) {
        return fail(u, "no end: it is cut short", err);
    }
    return RBC_OK;
}

rbc_status rbc__whole_unpack(rbc__source *source, rbc__whole whole, rbc__whole_take take,
                             void *user, rbc_error *err) {
    unpacking *u = malloc(sizeof *u);
    if (u == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to unpack it",
                         rbc__source_path(source));
    }
    u->source = source;
    u->whole = whole;
    u->at = 0;
    isal_inflate_init(&u->state);
    u->state.avail_in = 0;
    begin_stream(u);
    bool is_end = false;
    rbc_status status = RBC_OK;
    while (status == RBC_OK && !is_end) {
        if (u->state.avail_in == 0 && u->at < rbc__source_bytes(source)) {
            status = fill(u, err);
        }
        if (status == RBC_OK && u->state.block_state == ISAL_BLOCK_FINISH) {
            status = go_on(u, &is_end, err);
        }
        if (status == RBC_OK && !is_end) {
            status = unpack_window(u, take, user, err);
        }
    }
    free(u);
    return status == RBC_END ? RBC_OK : status;
}
