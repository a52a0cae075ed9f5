/* dataset_info.json, shard names and control rates. */
#include <stdlib.h>
#include <string.h>

#include "formats/rlds/control_rates.h"
#include "formats/rlds/dataset_info.h"
#include "helpers.h"

static rbc_status parse(const char *text, rbc__dataset_info *info, rbc_error *err) {
    return rbc__dataset_info_parse(text, strlen(text), "dataset_info.json", info, err);
}

static void splits_and_shards_are_told(void **state) {
    (void)state;
    rbc__dataset_info info;
    assert_int_equal(parse("{\"name\": \"toy\", \"version\": \"1.0.0\", \"fileFormat\": "
                           "\"tfrecord\", \"splits\": [{\"name\": \"train\", \"shardLengths\": "
                           "[\"12\", 3], \"numBytes\": \"99\", \"filepathTemplate\": "
                           "\"{SPLIT}-{SHARD_INDEX}.{FILEFORMAT}\"}, {\"name\": \"val\"}]}",
                           &info, NULL),
                     RBC_OK);
    assert_string_equal(info.name, "toy");
    assert_string_equal(info.version, "1.0.0");
    assert_int_equal(info.num_splits, 2);
    assert_int_equal(info.splits[0].num_shards, 2);
    assert_int_equal(info.splits[0].lengths[0], 12);
    assert_int_equal(info.splits[0].lengths[1], 3);
    assert_string_equal(info.splits[0].filepath_template, "{SPLIT}-{SHARD_INDEX}.{FILEFORMAT}");
    assert_int_equal(info.splits[1].num_shards, 0);
    rbc__dataset_info_free(&info);
}

static void templates_are_filled_in(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", "toy-train.tfrecord-00003-of-00012"},
        {"{SPLIT}/{SHARD_INDEX}_{NUM_SHARDS}", "train/00003_00012"},
        {"plain", "plain"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        char *name;
        assert_int_equal(
            rbc__shard_name(cases[i].text, "toy", "train", 3, 12, "dataset_info.json", &name, NULL),
            RBC_OK);
        assert_string_equal(name, cases[i].want);
        free(name);
    }
    static const char *const bad[] = {"{UNKNOWN}", "../{SPLIT}", "/etc/passwd", "", "a/../../b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        char *name;
        rbc_error err;
        assert_int_equal(
            rbc__shard_name(bad[i], "toy", "train", 0, 1, "dataset_info.json", &name, &err),
            RBC_ERROR_FORMAT);
        assert_contains(err.message, "dataset_info.json");
        assert_null(name);
    }
}

static void mistakes_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
        rbc_status status;
    } cases[] = {
        {"{", "dataset_info.json: byte", RBC_ERROR_FORMAT},
        {"{\"fileFormat\": \"riegeli\"}", "riegeli", RBC_ERROR_UNSUPPORTED},
        {"{\"splits\": [{}]}", "no name", RBC_ERROR_FORMAT},
        {"{\"splits\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}", "twice", RBC_ERROR_FORMAT},
        {"{\"splits\": [{\"name\": \"a\", \"shardLengths\": [\"x\"]}]}", "shardLengths",
         RBC_ERROR_FORMAT},
        {"{\"splits\": [{\"name\": \"a\", \"shardLengths\": [\"-1\"]}]}", "shardLengths",
         RBC_ERROR_FORMAT},
        {"{\"splits\": [{\"name\": \"a\", \"shardLengths\": [\"99999999999999999999\"]}]}",
         "shardLengths", RBC_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__dataset_info info;
        rbc_error err;
        assert_int_equal(parse(cases[i].text, &info, &err), cases[i].status);
        assert_contains(err.message, "dataset_info.json");
        assert_contains(err.message, cases[i].part);
        assert_null(info.splits);
    }
}

static void published_rates_are_known_and_others_are_not_guessed(void **state) {
    (void)state;
    assert_true(rbc__control_rate("bridge_dataset") == 5);
    assert_true(rbc__control_rate("fractal20220817_data") == 3);
    assert_true(rbc__control_rate("asu_table_top_converted_externally_to_rlds") == 12.5);
    assert_true(rbc__control_rate("droid") == 15);
    assert_true(rbc__control_rate("libero_spatial_no_noops") == 20);
    assert_true(rbc__control_rate("libero_90") == 20);
    assert_true(rbc__control_rate("my_own_data") == 0);
    assert_true(rbc__control_rate("") == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_and_shards_are_told),
        cmocka_unit_test(templates_are_filled_in),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(published_rates_are_known_and_others_are_not_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
