/* Fuzzes dataset_info.json and the names of shards that it gives. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "formats/rlds/dataset_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__dataset_info info;
    rbc_error err;
    if (rbc__dataset_info_parse((const char *)data, size, "dataset_info.json", &info, &err) !=
        RBC_OK) {
        fuzz_require(strncmp(err.message, "dataset_info.json: ", 19) == 0);
        return 0;
    }
    for (int64_t i = 0; i < info.num_splits; ++i) {
        char *name;
        const rbc__split_shards *split = &info.splits[i];
        if (rbc__shard_name(split->filepath_template, "toy", split->name, 3, split->num_shards,
                            "dataset_info.json", &name, &err) == RBC_OK) {
            fuzz_require(name[0] != '/' && !strstr(name, ".."));
            free(name);
        }
    }
    rbc__dataset_info_free(&info);
    return 0;
}
