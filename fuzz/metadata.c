/* Fuzzes the metadata of episodes as a catalog holds it. The first byte of an input is twice the
 * number of an episode in its group, and one more where the rest is the group as it is compressed;
 * else the rest is the group, and is compressed here. */
#include "fuzz.h"

#include <string.h>

#include "catalog/metadata.h"

static void get(const uint8_t *packed, size_t bytes, int64_t index) {
    char *json;
    rbc_error err;
    if (rbc__metadata_get(packed, bytes, index, &json, &err) == RBC_OK) {
        fuzz_drain(json, strlen(json) + 1);
        fuzz_require(json[0] != '\0' || bytes > 0);
    } else {
        fuzz_require(json == NULL && err.status == RBC_ERROR_FORMAT);
    }
    free(json);
}

/* Texts that are put are those that are got. */
static void put_and_get(const uint8_t *data, size_t size) {
    rbc__bytes group = {0};
    rbc__bytes packed = {0};
    char texts[RBC__METADATA_GROUP][16];
    int64_t count = 0;
    for (size_t at = 0; at < size && count < RBC__METADATA_GROUP; ++count) {
        const size_t length = data[at] % 16 < size - at ? data[at] % 16 : size - at - 1;
        size_t k = 0;
        for (; k < length && data[at + 1 + k] != '\0'; ++k) {
            texts[count][k] = (char)data[at + 1 + k];
        }
        texts[count][k] = '\0';
        rbc__metadata_put(&group, k > 0 ? texts[count] : NULL);
        at += 1 + length;
    }
    fuzz_require(rbc__metadata_pack(&group, &packed, NULL) == RBC_OK);
    for (int64_t i = 0; i < count; ++i) {
        char *json;
        fuzz_require(rbc__metadata_get(packed.data, packed.size, i, &json, NULL) == RBC_OK);
        fuzz_require(strcmp(json, texts[i][0] != '\0' ? texts[i] : "{}") == 0);
        free(json);
    }
    get(packed.data, packed.size, count);
    rbc__bytes_free(&group);
    rbc__bytes_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const int64_t index = data[0] >> 1;
    if (data[0] & 1) {
        get(data + 1, size - 1, index);
        return 0;
    }
    const rbc__bytes group = {.data = (uint8_t *)(uintptr_t)(data + 1), .size = size - 1};
    rbc__bytes packed = {0};
    fuzz_require(rbc__metadata_pack(&group, &packed, NULL) == RBC_OK);
    get(packed.data, packed.size, index);
    rbc__bytes_free(&packed);
    if (size <= 64) {
        put_and_get(data + 1, size - 1);
    }
    return 0;
}
