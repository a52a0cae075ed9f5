/* Fuzzes features.json (first byte 'f') and dataset_info.json ('i'), and the schema made of them.
 */
#include <stdlib.h>
#include <string.h>

#include "io/tfrecord/dataset_info.h"
#include "io/tfrecord/rlds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_features(const char *text, size_t size) {
    rbc__leaves leaves;
    rbc__rlds *reader;
    rbc_error err;
    if (rbc__features_parse(text, size, "features.json", &leaves, &err) != RBC_OK) {
        if (strncmp(err.message, "features.json: ", 15) != 0) {
            abort();
        }
        return;
    }
    if (rbc__rlds_create("fuzz", &leaves, &reader, &err) != RBC_OK) {
        abort();
    }
    for (int32_t i = 0; i < reader->leaves.count; i++) {
        uint32_t id;
        const rbc__leaf *leaf = &reader->leaves.items[i];
        if (!leaf->unsupported && !rbc__leaf_is_ragged(leaf) &&
            (!rbc__keys_find(&reader->keys, leaf->key, strlen(leaf->key), &id) ||
             id != (uint32_t)i)) {
            abort();
        }
    }
    rbc__rlds_destroy(&reader);
}

static void parse_info(const char *text, size_t size) {
    rbc__dataset_info info;
    rbc_error err;
    if (rbc__dataset_info_parse(text, size, "dataset_info.json", &info, &err) != RBC_OK) {
        if (strncmp(err.message, "dataset_info.json: ", 19) != 0) {
            abort();
        }
        return;
    }
    for (int64_t i = 0; i < info.num_splits; i++) {
        char *name;
        const rbc__split_shards *split = &info.splits[i];
        if (rbc__shard_name(split->filepath_template, "toy", split->name, 3, split->num_shards,
                            "dataset_info.json", &name, &err) == RBC_OK) {
            if (name[0] == '/' || strstr(name, "..")) {
                abort();
            }
            free(name);
        }
    }
    rbc__dataset_info_free(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == 'f') {
        parse_features((const char *)data + 1, size - 1);
    } else if (size > 0 && data[0] == 'i') {
        parse_info((const char *)data + 1, size - 1);
    }
    return 0;
}
