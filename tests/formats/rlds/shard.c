#include "shard.h"

#include <stdlib.h>
#include <string.h>

rbc__rlds *make_reader(const char *steps) {
    rbc__leaves leaves;
    rbc__rlds *reader = NULL;
    rbc_error err;
    char *text = features_json(steps, "");
    if (rbc__features_parse(text, strlen(text), "features.json", &leaves, &err) != RBC_OK ||
        rbc__rlds_create("toy", &leaves, &reader, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    free(text);
    return reader;
}

rbc_status index_bytes(const char *steps, const rbc__bytes *file, int64_t num_records,
                       caught *found, rbc_error *err) {
    rbc__rlds *reader = make_reader(steps);
    rbc__source *source;
    const rbc__index_sink sink = catch_all(found);
    /* A copy of the exact size lets the sanitizers see the first byte read past the end. */
    uint8_t *copy = malloc(file->size > 0 ? file->size : 1);
    assert_non_null(copy);
    if (file->size > 0) {
        memcpy(copy, file->data, file->size);
    }
    assert_int_equal(rbc__source_from_memory(copy, file->size, "shard-7", &source, NULL), RBC_OK);
    const rbc_status status = rbc__rlds_index(reader, source, num_records, &sink, err);
    rbc__source_close(&source);
    rbc__rlds_destroy(&reader);
    free(copy);
    return status;
}

void put_good_features(rbc__bytes *features) {
    const float x[2 * T] = {1, 2, 3, 4, 5, 6};
    const int64_t n[T] = {1, 200, 3};
    const char *const lang[T] = {"", "pick", "place"};
    put_floats(features, "steps/x", x, 2 * T);
    put_ints(features, "steps/n", n, T);
    put_strings(features, "steps/lang", lang, T);
}

void put_good(rbc__bytes *file) {
    rbc__bytes features = {0};
    put_good_features(&features);
    put_record(file, &features);
}
