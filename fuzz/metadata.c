/* Fuzzes the metadata of episodes as a catalog holds it. The first byte of an input is twice the
 * number of an episode in its group, and one more where the rest is the group as it is compressed;
 * else the rest is the group, and is wrapped here. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "catalog/metadata.h"

static void get(const uint8_t *packed, size_t bytes, int64_t index) {
    uint8_t *group;
    uint64_t group_bytes;
    const char *json;
    size_t json_bytes;
    rbc_error err;
    rbc_status status = rbc__metadata_unpack(packed, bytes, &group, &group_bytes, &err);
    if (status == RBC_OK) {
        status = rbc__metadata_find(group, group_bytes, index, &json, &json_bytes, &err);
    }
    if (status == RBC_OK) {
        fuzz_drain(json, json_bytes);
    } else {
        fuzz_require(err.status == RBC_ERROR_FORMAT);
    }
    free(group);
}

/* The group in one block that is stored, which is a stream of zlib as well. */
static void wrap(const uint8_t *group, uint16_t size, rbc__bytes *out) {
    uint32_t a = 1; /* of the Adler-32 */
    uint32_t b = 0;
    for (uint16_t i = 0; i < size; ++i) {
        a = (a + group[i]) % 65521;
        b = (b + a) % 65521;
    }
    rbc__bytes_varint(out, size);
    rbc__bytes_append(out, "\x78\x01\x01", 3);
    rbc__bytes_fixed(out, size, 2);
    rbc__bytes_fixed(out, (uint16_t)~size, 2);
    rbc__bytes_append(out, group, size);
    rbc__bytes_append(out, (const uint8_t[]){(uint8_t)(b >> 8), (uint8_t)b}, 2);
    rbc__bytes_append(out, (const uint8_t[]){(uint8_t)(a >> 8), (uint8_t)a}, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const int64_t index = data[0] >> 1;
    if (data[0] & 1) {
        get(data + 1, size - 1, index);
    } else if (size <= UINT16_MAX) {
        rbc__bytes packed = {0};
        wrap(data + 1, (uint16_t)(size - 1), &packed);
        get(packed.data, packed.size, index);
        rbc__bytes_free(&packed);
    }
    return 0;
}
