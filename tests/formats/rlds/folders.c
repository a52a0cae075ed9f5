/* Which folder and which files a path stands for. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers.h"

#define STEPS TENSOR("x", "float32", "")

static void make_shard(const char *folder, const char *name, float value) {
    rbc__bytes file = {0};
    rbc__bytes features = {0};
    put_floats(&features, "steps/x", &value, 1);
    put_record(&file, &features);
    write_file(folder, name, file.data, file.size);
    rbc__bytes_free(&file);
}

static rbc_status try_open(const char *path, rbc__reader **reader, rbc_error *err) {
    const rbc__format *ops;
    *reader = NULL;
    const rbc_status status = rbc__format_find(path, NULL, &ops, err);
    return status == RBC_OK ? ops->open(ops, path, NULL, reader, err) : status;
}

/* Opens `path` below `root` and hands the schema to the caller. */
static const rbc__schema *open_at(const char *root, const char *path, rbc__reader **reader) {
    char joined[256];
    rbc_error err;
    (void)snprintf(joined, sizeof joined, "%s/%s", root, path);
    if (try_open(joined, reader, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    return rbc__rlds_format.schema(*reader);
}

static void a_version_folder_is_found_from_above(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    char *features = features_json(STEPS, "");
    static const char *const versions[] = {"0.9.0", "0.10.0", "0.2.11"};
    for (size_t i = 0; i < 3; ++i) {
        char name[64];
        (void)snprintf(name, sizeof name, "data/toy/%s/features.json", versions[i]);
        write_text(folder, name, features);
        (void)snprintf(name, sizeof name, "data/toy/%s/toy-train.tfrecord-00000-of-00001",
                       versions[i]);
        make_shard(folder, name, (float)i);
    }
    static const char *const paths[] = {"data/toy/0.10.0", "data/toy", "data/toy/", "data", ""};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; ++i) {
        rbc__reader *reader;
        const rbc__schema *schema = open_at(folder, paths[i], &reader);
        assert_string_equal(schema->name, "toy");
        assert_string_equal(schema->version, "0.10.0");
        assert_int_equal(schema->num_parts, 1);
        assert_string_equal(schema->parts[0].split, "train");
        assert_int_equal(schema->parts[0].num_records, -1);
        rbc__rlds_format.close(&reader);
    }
    free(features);
    remove_folder(folder);
}

static void several_datasets_are_an_error_naming_them(void **state) {
    char folder[64];
    rbc__reader *reader;
    rbc_error err;
    (void)state;
    make_folder(folder);
    make_shard(folder, "one/1.0.0/one-train.tfrecord-00000-of-00001", 1);
    make_shard(folder, "two/1.0.0/two-train.tfrecord-00000-of-00001", 1);
    assert_int_equal(try_open(folder, &reader, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "one/1.0.0");
    assert_contains(err.message, "two/1.0.0");
    remove_folder(folder);
}

static void what_is_no_dataset_is_said_so(void **state) {
    char folder[64];
    char path[128];
    rbc__reader *reader;
    rbc_error err;
    (void)state;
    make_folder(folder);
    assert_int_equal(try_open(folder, &reader, &err), RBC_ERROR_UNSUPPORTED);
    assert_contains(err.message, folder);
    assert_contains(err.message, "features.json");
    (void)snprintf(path, sizeof path, "%s/missing", folder);
    assert_int_equal(try_open(path, &reader, &err), RBC_ERROR_NOT_FOUND);
    assert_contains(err.message, path);
    write_text(folder, "features.json", "{\"featuresDict\": {}}");
    assert_int_equal(try_open(folder, &reader, &err), RBC_ERROR_NOT_FOUND);
    assert_contains(err.message, "tfrecord");
    remove_folder(folder);
}

static void shards_follow_dataset_info(void **state) {
    char folder[64];
    rbc__reader *reader;
    (void)state;
    make_folder(folder);
    char *features = features_json(STEPS, "");
    write_text(folder, "features.json", features);
    write_text(folder, "dataset_info.json",
               "{\"name\": \"bridge\", \"version\": \"2.0.0\", \"splits\": [{\"name\": \"train\", "
               "\"shardLengths\": [\"1\", \"2\"]}, {\"name\": \"val\"}]}");
    make_shard(folder, "bridge-val.tfrecord-00000-of-00002", 1);
    make_shard(folder, "bridge-val.tfrecord-00001-of-00002", 1);
    make_shard(folder, "bridge-test.tfrecord-00000-of-00001", 1);
    const rbc__schema *schema = open_at(folder, "", &reader);
    assert_string_equal(schema->name, "bridge");
    assert_string_equal(schema->version, "2.0.0");
    assert_true(schema->control_rate_hz == 5);
    assert_int_equal(schema->num_parts, 4);
    assert_string_equal(schema->parts[1].path, "bridge-train.tfrecord-00001-of-00002");
    assert_int_equal(schema->parts[1].num_records, 2);
    assert_string_equal(schema->parts[3].path, "bridge-val.tfrecord-00001-of-00002");
    assert_string_equal(schema->parts[3].split, "val");
    assert_int_equal(schema->parts[3].num_records, -1);
    caught found = {0};
    rbc_error err;
    const rbc__index_sink sink = catch_all(&found);
    assert_int_equal(rbc__rlds_format.index_part(reader, 0, &sink, &err), RBC_ERROR_IO);
    assert_contains(err.message, "bridge-train.tfrecord-00000-of-00002");
    assert_int_equal(rbc__rlds_format.index_part(reader, 9, &sink, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    rbc__rlds_format.close(&reader);
    free(features);
    remove_folder(folder);
}

/* A store of files by content has links in the dataset's folder; one that leads nowhere is not
 * taken for a file that is not declared. */
static void metadata_behind_a_loose_link_is_missed(void **state) {
    char folder[64];
    char link[128];
    rbc__reader *reader;
    rbc_error err;
    (void)state;
    make_folder(folder);
    make_shard(folder, "toy-train.tfrecord-00000-of-00001", 1);
    (void)snprintf(link, sizeof link, "%s/features.json", folder);
    assert_int_equal(symlink("nowhere", link), 0);
    assert_int_equal(try_open(folder, &reader, &err), RBC_ERROR_IO);
    assert_contains(err.message, "features.json: cannot be opened");
    remove_folder(folder);
}

/* However few: all splits, or an error that says why. */
static void few_descriptors_lose_no_split(void **state) {
    char folder[64];
    int opened = 0;
    (void)state;
    make_folder(folder);
    char *json = features_json(STEPS, "");
    write_text(folder, "features.json", json);
    make_shard(folder, "train/a.tfrecord", 1);
    make_shard(folder, "val/a.tfrecord", 2);
    for (rlim_t limit = 3; limit < 12; ++limit) {
        const pid_t child = fork();
        if (child == 0) {
            const struct rlimit few = {limit, limit};
            rbc__reader *reader;
            rbc_error err;
            setrlimit(RLIMIT_NOFILE, &few);
            const rbc_status status = try_open(folder, &reader, &err);
            const bool is_told =
                status == RBC_ERROR_IO && strstr(err.message, "Too many open files") != NULL;
            _exit(status != RBC_OK                                  ? is_told ? 1 : 3
                  : rbc__rlds_format.schema(reader)->num_parts == 2 ? 0
                                                                    : 2);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        opened += WEXITSTATUS(status) == 0;
    }
    assert_in_range(opened, 1, 8);
    free(json);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_folder_is_found_from_above),
        cmocka_unit_test(several_datasets_are_an_error_naming_them),
        cmocka_unit_test(what_is_no_dataset_is_said_so),
        cmocka_unit_test(shards_follow_dataset_info),
        cmocka_unit_test(metadata_behind_a_loose_link_is_missed),
        cmocka_unit_test(few_descriptors_lose_no_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
