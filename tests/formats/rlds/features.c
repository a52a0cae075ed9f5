/* features.json to leaves. */
#include <stdlib.h>
#include <string.h>

#include "formats/rlds/features.h"
#include "helpers.h"

static rbc_status parse(const char *text, rbc__leaves *leaves, rbc_error *err) {
    return rbc__features_parse(text, strlen(text), "features.json", leaves, err);
}

static void parse_good(const char *steps, const char *others, rbc__leaves *leaves) {
    rbc_error err;
    char *text = features_json(steps, others);
    if (parse(text, leaves, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    free(text);
}

static const rbc__leaf *leaf_of(const rbc__leaves *leaves, const char *key) {
    for (int32_t i = 0; i < leaves->count; ++i) {
        if (strcmp(leaves->items[i].key, key) == 0) {
            return &leaves->items[i];
        }
    }
    fail_msg("there is no feature '%s'", key);
    return NULL;
}

static void leaves_have_shape_dtype_and_storage(void **state) {
    (void)state;
    rbc__leaves leaves;
    parse_good(
        TENSOR("action", "float32", "\"7\"") ", " TENSOR("is_last", "bool", "") ", " TENSOR(
            "wide", "float64",
            "\"2\", \"3\"") ", " TEXT("lang") ", " IMAGE("img") ", " ZLIB_TENSOR("zip", "float16",
                                                                                 ""),
        "\"episode_metadata\": {\"featuresDict\": {\"features\": {" TEXT("path") "}}}", &leaves);
    assert_int_equal(leaves.count, 7);
    assert_int_equal(leaves.num_streams, 6);
    const rbc__leaf *leaf = leaf_of(&leaves, "steps/action");
    assert_string_equal(leaf->name, "action");
    assert_true(leaf->in_steps && leaf->kind == RBC_STREAM_NUMERIC && leaf->dtype == RBC__F32);
    assert_true(leaf->list == RBC__LIST_FLOAT && leaf->ndim == 1 && leaf->elements == 7);
    leaf = leaf_of(&leaves, "steps/is_last");
    assert_true(leaf->dtype == RBC__BOOL && leaf->list == RBC__LIST_INT64 && leaf->ndim == 0 &&
                leaf->elements == 1);
    leaf = leaf_of(&leaves, "steps/wide");
    assert_true(leaf->dtype == RBC__F64 && leaf->list == RBC__LIST_FLOAT && leaf->elements == 6);
    leaf = leaf_of(&leaves, "steps/lang");
    assert_true(leaf->kind == RBC_STREAM_TEXT && leaf->list == RBC__LIST_BYTES);
    leaf = leaf_of(&leaves, "steps/img");
    assert_true(leaf->kind == RBC_STREAM_IMAGE && leaf->ndim == 3 && leaf->shape[2] == 3);
    assert_string_equal(leaf->encoding, "png");
    assert_false(leaf->is_zlib);
    leaf = leaf_of(&leaves, "steps/zip");
    assert_true(leaf->is_zlib && leaf->storage == RBC__STORED_BYTES);
    assert_true(leaf->list == RBC__LIST_BYTES && leaf->dtype == RBC__F16);
    leaf = leaf_of(&leaves, "episode_metadata/path");
    assert_string_equal(leaf->name, "path");
    assert_false(leaf->in_steps);
    rbc__leaves_free(&leaves);
}

static void sequences_in_steps_are_ragged_or_an_axis(void **state) {
    (void)state;
    rbc__leaves leaves;
    parse_good(
        SEQUENCE(
            "cloud",
            "\"tensor\": {\"shape\": {\"dimensions\": [\"3\"]}, \"dtype\": "
            "\"float32\"}",
            "-1") ", " SEQUENCE("fixed",
                                "\"tensor\": {\"shape\": {\"dimensions\": [\"3\"]}, \"dtype\": "
                                "\"float32\"}",
                                "5") ", " SEQUENCE("deep",
                                                   "\"sequence\": {\"feature\": {\"tensor\": "
                                                   "{\"shape\": {}, "
                                                   "\"dtype\": \"int64\"}}}",
                                                   "-1"),
        "", &leaves);
    const rbc__leaf *leaf = leaf_of(&leaves, "steps/cloud");
    assert_true(rbc__leaf_is_ragged(leaf) && leaf->ndim == 1 && leaf->elements == 3);
    leaf = leaf_of(&leaves, "steps/fixed");
    assert_true(!rbc__leaf_is_ragged(leaf) && leaf->ndim == 2 && leaf->shape[0] == 5 &&
                leaf->elements == 15);
    leaf = leaf_of(&leaves, "steps/deep");
    assert_contains(leaf->unsupported, "nested");
    rbc__leaves_free(&leaves);
}

static void what_cannot_be_read_is_listed_with_its_reason(void **state) {
    (void)state;
    rbc__leaves leaves;
    parse_good(TENSOR("c", "complex64", "") ", " TENSOR(
                   "any", "float32", "\"-1\", \"2\"") ", \"v\": {\"video\": {}}"
                                                      ", \"z\": {\"tensor\": {\"dtype\": "
                                                      "\"float32\", \"encoding\": \"lzma\"}}"
                                                      ", \"huge\": {\"tensor\": {\"dtype\": "
                                                      "\"float32\", \"shape\": {\"dimensions\": "
                                                      "[\"4611686018427387904\", \"4\"]}}}"
                                                      ", \"f\": {\"image\": {\"dtype\": "
                                                      "\"float32\", \"encodingFormat\": \"png\"}}",
               "", &leaves);
    assert_int_equal(leaves.num_streams, 6);
    for (int32_t i = 0; i < leaves.count; ++i) {
        assert_non_null(leaves.items[i].unsupported);
    }
    rbc__leaves_free(&leaves);
}

static void mistakes_name_the_file_and_the_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
        rbc_status status;
    } cases[] = {
        {"", "features.json: the file is empty: download", RBC_ERROR_FORMAT},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
         "features.json: the file is a Git LFS pointer to 9 bytes", RBC_ERROR_FORMAT},
        {"<html></html>", "features.json: the file is an HTML page", RBC_ERROR_FORMAT},
        {"not found", "features.json: byte", RBC_ERROR_FORMAT},
        {"{\"featuresDict\": ", "line 1", RBC_ERROR_FORMAT},
        {"[1]", "wanted a JSON object", RBC_ERROR_FORMAT},
        {"{\"type\": \"x\"}", "featuresDict", RBC_ERROR_UNSUPPORTED},
        {"{\"featuresDict\": {\"features\": 7}}", "no object", RBC_ERROR_FORMAT},
        {"{\"featuresDict\": {\"features\": {\"a\": 7}}}", "feature 'a'", RBC_ERROR_FORMAT},
        {"{\"featuresDict\": {\"features\": {\"a\": {\"tensor\": {}}}}}", "feature 'a'",
         RBC_ERROR_FORMAT},
        {"{\"featuresDict\": {\"features\": {\"a\": {\"tensor\": {\"dtype\": \"float32\", "
         "\"shape\": {\"dimensions\": [\"seven\"]}}}}}}",
         "feature 'a'", RBC_ERROR_FORMAT},
        {"{\"featuresDict\": {\"features\": {\"a\": {\"tensor\": {\"dtype\": \"float32\", "
         "\"shape\": {\"dimensions\": [\"-7\"]}}}}}}",
         "feature 'a'", RBC_ERROR_FORMAT},
        {"{\"featuresDict\": {\"features\": {\"a/b\": {\"text\": {}}, \"a\": {\"featuresDict\": "
         "{\"features\": {\"b\": {\"text\": {}}}}}}}}",
         "'a/b' is declared twice", RBC_ERROR_FORMAT},
        {"{\"featuresDict\": {\"features\": {\"\xff\": 1}}}", "features.json", RBC_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__leaves leaves;
        rbc_error err;
        assert_int_equal(parse(cases[i].text, &leaves, &err), cases[i].status);
        assert_contains(err.message, "features.json");
        assert_contains(err.message, cases[i].part);
        assert_int_equal(leaves.count, 0);
    }
}

static void nesting_without_end_is_refused(void **state) {
    (void)state;
    rbc__bytes text = {0};
    for (int i = 0; i < 500; ++i) {
        const char open[] = "{\"featuresDict\": {\"features\": {\"a\": ";
        rbc__bytes_append(&text, open, strlen(open));
    }
    rbc__bytes_append(&text, "{}", 2);
    for (int i = 0; i < 500; ++i) {
        rbc__bytes_append(&text, "}}}", 3);
    }
    rbc__leaves leaves;
    rbc_error err;
    assert_int_equal(
        rbc__features_parse((const char *)text.data, text.size, "features.json", &leaves, &err),
        RBC_ERROR_FORMAT);
    assert_contains(err.message, "too deep");
    rbc__bytes_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_have_shape_dtype_and_storage),
        cmocka_unit_test(sequences_in_steps_are_ragged_or_an_axis),
        cmocka_unit_test(what_cannot_be_read_is_listed_with_its_reason),
        cmocka_unit_test(mistakes_name_the_file_and_the_place),
        cmocka_unit_test(nesting_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
