#define _POSIX_C_SOURCE 200809L

#include "catalog/metadata.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "packing/packing.h"

#define LEVEL          6
#define MAX_GROUP_SIZE (UINT64_C(256) << 20)

void rbc__metadata_put(rbc__bytes *group, const char *json) {
    const size_t bytes = json != NULL ? strlen(json) : 0;
    rbc__bytes_varint(group, bytes);
    rbc__bytes_append(group, json, bytes);
}

rbc_status rbc__metadata_pack(const rbc__bytes *group, rbc__bytes *out, rbc_error *err) {
    RBC__TRY(rbc__bytes_check(group, err));
    if (group->size > MAX_GROUP_SIZE) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "the metadata of %d episodes takes %zu bytes together; at most %" PRIu64
                         " can be kept",
                         RBC__METADATA_GROUP, group->size, MAX_GROUP_SIZE);
    }
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(LEVEL);
    const size_t bound = libdeflate_zlib_compress_bound(compressor, group->size);
    void *packed = compressor != NULL ? malloc(bound) : NULL;
    if (packed != NULL) {
        const size_t bytes =
            libdeflate_zlib_compress(compressor, group->data, group->size, packed, bound);
        rbc__bytes_varint(out, group->size);
        rbc__bytes_append(out, packed, bytes);
    }
    libdeflate_free_compressor(compressor);
    const rbc_status status =
        packed != NULL ? rbc__bytes_check(out, err)
                       : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    free(packed);
    return status;
}

static rbc_status damaged(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_FORMAT, "metadata of the episodes is damaged");
}

static rbc_status unpack(const uint8_t *packed, size_t bytes, uint8_t **out, uint64_t *out_bytes,
                         rbc_error *err) {
    const rbc__packing zlib = {1, {{RBC__PACKING_ZLIB, 0}}};
    rbc__unpacker *unpacker;
    uint64_t at = 0;
    *out = NULL;
    if (!rbc__varint_read(packed, bytes, &at, out_bytes) || *out_bytes > MAX_GROUP_SIZE) {
        return damaged(err);
    }
    RBC__TRY(rbc__packing_check_growth(&zlib, bytes - (size_t)at, (size_t)*out_bytes, err));
    *out = malloc((size_t)*out_bytes + 1);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the metadata of an episode");
    }
    RBC__TRY(rbc__unpacker_create(&unpacker, err));
    const rbc_status status = rbc__unpack(unpacker, &zlib, packed + at, bytes - (size_t)at, *out,
                                          (size_t)*out_bytes, err);
    rbc__unpacker_destroy(&unpacker);
    return status == RBC_ERROR_FORMAT ? damaged(err) : status;
}

rbc_status rbc__metadata_get(const uint8_t *packed, size_t bytes, int64_t index, char **json,
                             rbc_error *err) {
    uint8_t *group = NULL;
    uint64_t group_bytes = 0;
    uint64_t at = 0;
    uint64_t length = 0;
    *json = NULL;
    rbc_status status = unpack(packed, bytes, &group, &group_bytes, err);
    for (int64_t i = 0; status == RBC_OK && i <= index; ++i) {
        at += length;
        if (!rbc__varint_read(group, group_bytes, &at, &length) || length > group_bytes - at) {
            status = damaged(err);
        }
    }
    if (status == RBC_OK) {
        *json = length > 0 ? strndup((const char *)group + at, (size_t)length) : strdup("{}");
        status = *json != NULL ? RBC_OK
                               : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                                           "no memory for the metadata of an episode");
    }
    free(group);
    return status;
}
