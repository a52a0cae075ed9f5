/* Fuzzes features.json and the schema made of it. */
#include "fuzz.h"

#include <string.h>

#include "formats/rlds/rlds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__leaves leaves;
    rbc__rlds *reader;
    rbc_error err;
    if (rbc__features_parse((const char *)data, size, "features.json", &leaves, &err) != RBC_OK) {
        fuzz_require(strncmp(err.message, "features.json: ", 15) == 0);
        return 0;
    }
    fuzz_require(rbc__rlds_create("fuzz", &leaves, &reader, &err) == RBC_OK);
    for (int32_t i = 0; i < reader->leaves.count; ++i) {
        uint32_t id;
        const rbc__leaf *leaf = &reader->leaves.items[i];
        fuzz_require(leaf->unsupported || rbc__leaf_is_ragged(leaf) ||
                     (rbc__keys_find(&reader->keys, leaf->key, strlen(leaf->key), &id) &&
                      id == (uint32_t)i));
    }
    rbc__rlds_destroy(&reader);
    return 0;
}
