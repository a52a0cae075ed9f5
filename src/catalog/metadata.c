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

rbc_status rbc__metadata_unpack(const uint8_t *packed, size_t packed_bytes, uint8_t **group,
                                uint64_t *bytes, rbc_error *err) {
    const rbc__packing zlib = {1, {{RBC__PACKING_ZLIB, 0}}};
    rbc__unpacker *unpacker;
    uint64_t at = 0;
    *group = NULL;
    if (!rbc__varint_read(packed, packed_bytes, &at, bytes) || *bytes > MAX_GROUP_SIZE) {
        return damaged(err);
    }
    packed += at;
    packed_bytes -= (size_t)at;
    RBC__TRY(rbc__packing_check_growth(&zlib, packed_bytes, (size_t)*bytes, err));
    RBC__TRY(rbc__unpacker_create(&unpacker, err));
    uint8_t *texts = malloc((size_t)*bytes + 1);
    rbc_status status =
        texts != NULL
            ? rbc__unpack(unpacker, &zlib, packed, packed_bytes, texts, (size_t)*bytes, err)
            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the metadata of an episode");
    rbc__unpacker_destroy(&unpacker);
    if (status != RBC_OK) {
        free(texts);
        return status == RBC_ERROR_FORMAT ? damaged(err) : status;
    }
    *group = texts;
    return RBC_OK;
}

rbc_status rbc__metadata_find(const uint8_t *group, uint64_t bytes, int64_t index,
                              const char **json, size_t *json_bytes, rbc_error *err) {
    uint64_t at = 0;
    uint64_t length = 0;
    for (int64_t i = 0; i <= index; ++i) {
        at += length;
        if (!rbc__varint_read(group, bytes, &at, &length) || length > bytes - at) {
            return damaged(err);
        }
    }
    *json = length > 0 ? (const char *)group + at : "{}";
    *json_bytes = length > 0 ? (size_t)length : 2;
    return RBC_OK;
}
