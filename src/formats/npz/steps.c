#include "formats/npz/steps.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/zip.h"
#include "layout/npy.h"
#include "packing/packing.h"

/* What a .npy header has at most, besides the values. */
#define MAX_HEADER_BYTES 65536U

static const char suffix[] = ".npy";

/* What a thread keeps from one file to the next. */
typedef struct reader {
    const rbc__npz_steps *steps;
    rbc__unpacker *unpacker;
    rbc__zip zip;
    rbc__scratch packed;
    char *path;
    size_t path_room;
    int32_t expected; /* the key that the next member is likely to be of */
    bool seen[RBC__NPZ_MAX_KEYS];
} reader;

static bool is_key(const rbc__npz_key *key, const rbc__zip_member *member) {
    const size_t length = strlen(key->name);
    return member->name_bytes == length + sizeof suffix - 1 &&
           memcmp(member->name, key->name, length) == 0 &&
           memcmp(member->name + length, suffix, sizeof suffix - 1) == 0;
}

/* The key that a member is of, -1 for none that is wanted. Archives mostly have one order. */
static int32_t find_key(reader *r, const rbc__zip_member *member) {
    for (int32_t i = 0; i < r->steps->num_keys; ++i) {
        const int32_t k = (r->expected + i) % r->steps->num_keys;
        if (is_key(&r->steps->keys[k], member)) {
            r->expected = (k + 1) % r->steps->num_keys;
            return k;
        }
    }
    return -1;
}

static void swap_bytes(uint8_t *values, int64_t count, int64_t width) {
    for (int64_t i = 0; i < count; ++i, values += width) {
        for (int64_t k = 0; k < width / 2; ++k) {
            const uint8_t byte = values[k];
            values[k] = values[width - 1 - k];
            values[width - 1 - k] = byte;
        }
    }
}

/* Copies the array of an unpacked member into row `step` of the key. */
static rbc_status copy_values(const rbc__npz_key *key, int64_t step, const uint8_t *data,
                              uint64_t bytes, rbc_error *err) {
    rbc__npy npy;
    RBC__TRY(rbc__npy_parse(data, bytes, &npy, err));
    RBC__TRY(rbc__npy_check(&npy, key->dtype, key->ndim, key->shape, err));
    uint8_t *row = key->values + (uint64_t)step * npy.bytes;
    if (npy.bytes > 0) {
        memcpy(row, data + npy.offset, npy.bytes);
    }
    if (npy.is_swapped) {
        const int64_t width = rbc__dtype_bytes(npy.dtype);
        swap_bytes(row, (int64_t)npy.bytes / width, width);
    }
    return RBC_OK;
}

static uint64_t sample_bytes(const rbc__npz_key *key) {
    uint64_t bytes = (uint64_t)rbc__dtype_bytes(key->dtype);
    for (int32_t i = 0; i < key->ndim; ++i) {
        bytes *= (uint64_t)key->shape[i]; /* of memory that the caller has */
    }
    return bytes;
}

static rbc_status copy_member(reader *r, rbc__source *source, const rbc__zip_member *member,
                              uint64_t offset, const rbc__npz_key *key, int64_t step,
                              rbc_error *err) {
    static const rbc__packing deflate = {1, {{RBC__PACKING_DEFLATE, 0}}};
    static const rbc__packing stored = {0};
    const uint64_t most = sample_bytes(key) + MAX_HEADER_BYTES;
    if (member->unpacked_bytes > most || member->packed_bytes > most + most / 4) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "found %" PRIu64 " bytes, %" PRIu64 " packed, wanted %" PRIu64
                         " and a header",
                         member->unpacked_bytes, member->packed_bytes, sample_bytes(key));
    }
    RBC__TRY(rbc__scratch_reserve(&r->packed, (size_t)member->packed_bytes + 1, err));
    RBC__TRY(rbc__source_read(source, offset, member->packed_bytes, r->packed.data, err));
    rbc__unpacked unpacked;
    RBC__TRY(rbc__unpack_unsized(r->unpacker, member->method == 0 ? &stored : &deflate,
                                 r->packed.data, (size_t)member->packed_bytes, (size_t)most,
                                 &unpacked, err));
    const uint32_t crc = libdeflate_crc32(0, unpacked.bytes, unpacked.num_bytes);
    if (unpacked.num_bytes != member->unpacked_bytes || crc != member->crc32) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "found %zu bytes of CRC %08x, wanted %" PRIu64 " of %08x",
                         unpacked.num_bytes, crc, member->unpacked_bytes, member->crc32);
    }
    return copy_values(key, step, unpacked.bytes, unpacked.num_bytes, err);
}

static rbc_status read_member(reader *r, rbc__source *source, const rbc__zip_member *member,
                              int64_t step, rbc_error *err) {
    const int32_t k = find_key(r, member);
    if (k < 0) {
        return RBC_OK;
    }
    const rbc__npz_key *key = &r->steps->keys[k];
    uint64_t offset;
    rbc_status status = RBC_OK;
    if (r->seen[k]) {
        status = rbc__fail(err, RBC_ERROR_FORMAT, "is there twice");
    } else if (member->method != RBC__ZIP_STORED && member->method != RBC__ZIP_DEFLATED) {
        status = rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                           "is packed by zip's method %u; stored and deflated are supported",
                           member->method);
    } else {
        RBC__TRY(rbc__zip_locate(source, &r->zip, member, &offset, err));
        r->seen[k] = true;
        if (key->values != NULL) {
            status = copy_member(r, source, member, offset, key, step, err);
        } else {
            key->offsets[step] = (int64_t)member->header_offset;
            key->bytes[step] = (int64_t)(offset - member->header_offset + member->packed_bytes);
        }
    }
    if (status == RBC_ERROR_FORMAT || status == RBC_ERROR_UNSUPPORTED) {
        return rbc__fail_within(err, status, "%s: byte %" PRIu64 ": member '%s.npy'", r->path,
                                member->header_offset, key->name);
    }
    return status;
}

static rbc_status read_archive(reader *r, rbc__source *source, int64_t step, rbc_error *err) {
    RBC__TRY(rbc__zip_read(source, &r->zip, err));
    memset(r->seen, 0, sizeof r->seen);
    r->expected = 0;
    uint64_t at = 0;
    rbc__zip_member member;
    rbc_status status;
    while (rbc__zip_next(&r->zip, source, &at, &member, &status, err)) {
        RBC__TRY(read_member(r, source, &member, step, err));
    }
    RBC__TRY(status);
    for (int32_t k = 0; k < r->steps->num_keys; ++k) {
        if (!r->seen[k]) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: found no member '%s.npy', which the first step has", r->path,
                             r->steps->keys[k].name);
        }
    }
    r->steps->file_bytes[step] = (int64_t)rbc__source_bytes(source);
    return RBC_OK;
}

static rbc_status read_step(reader *r, int64_t step, rbc_error *err) {
    const rbc__npz_steps *steps = r->steps;
    (void)snprintf(r->path, r->path_room, "%s%0*" PRId64 "%s", steps->begin, (int)steps->digits,
                   steps->first + step, steps->end);
    rbc__source *source;
    RBC__TRY(rbc__source_open(r->path, RBC__SOURCE_FILE, &source, err));
    const rbc_status status = read_archive(r, source, step, err);
    rbc__source_close(&source);
    return status;
}

rbc_status rbc__npz_read_steps(const rbc__npz_steps *steps, int64_t *num_done, rbc_error *err) {
    *num_done = 0;
    if (steps->num_keys < 1 || steps->num_keys > RBC__NPZ_MAX_KEYS || steps->digits < 0 ||
        steps->digits > RBC__NPZ_MAX_DIGITS || steps->first < 0 || steps->count < 0 ||
        steps->count > INT64_MAX - steps->first) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "steps: found %lld from %lld with %d digits and %d keys",
                         (long long)steps->count, (long long)steps->first, (int)steps->digits,
                         (int)steps->num_keys);
    }
    reader r = {.steps = steps};
    r.path_room = strlen(steps->begin) + strlen(steps->end) + 32;
    r.path = malloc(r.path_room);
    if (r.path == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a path of %zu bytes", r.path_room);
    }
    rbc_status status = rbc__unpacker_create(&r.unpacker, err);
    while (status == RBC_OK && *num_done < steps->count) {
        status = read_step(&r, *num_done, err);
        *num_done += status == RBC_OK;
    }
    rbc__unpacker_destroy(&r.unpacker);
    rbc__zip_free(&r.zip);
    rbc__scratch_free(&r.packed);
    free(r.path);
    return status;
}
