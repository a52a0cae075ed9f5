/* Shards that are cut off, changed, no shards, or change while they are read. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/rlds/framing.h"
#include "shard.h"

static void a_flipped_bit_anywhere_is_found(void **state) {
    (void)state;
    rbc__bytes file = {0};
    put_good(&file);
    const size_t one = file.size;
    put_good(&file);
    for (size_t i = 0; i < one; ++i) {
        caught found = {0};
        file.data[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(index_bytes(STEPS, &file, 2, &found, NULL), RBC_OK);
        assert_int_equal(found.damaged_records[0], 0);
        assert_contains(found.damaged[0].message, "shard-7: byte ");
        /* Behind a damaged length no record can be found any more. */
        assert_int_equal(found.num_episodes, i < RBC__TFRECORD_HEADER_BYTES ? 0 : 1);
        assert_contains(found.damaged[0].message, "CRC");
        release(&found);
        file.data[i] ^= (uint8_t)(1 << i % 8);
    }
    rbc__bytes_free(&file);
}

static void a_file_cut_anywhere_is_found(void **state) {
    (void)state;
    rbc__bytes file = {0};
    put_good(&file);
    const size_t one = file.size;
    put_good(&file);
    for (size_t bytes = 0; bytes < 2 * one; ++bytes) {
        caught found = {0};
        file.size = bytes;
        assert_int_equal(index_bytes(STEPS, &file, 2, &found, NULL), RBC_OK);
        assert_int_equal(found.num_episodes, bytes / one);
        assert_int_equal(found.num_damaged, 1);
        assert_contains(found.damaged[0].message, bytes % one ? "shard-7: byte " : "dataset_info");
        release(&found);
    }
    rbc__bytes_free(&file);
}

static void a_length_near_the_end_of_numbers(void **state) {
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 3, UINT64_MAX - 15, INT64_MAX,
                                       1000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; ++i) {
        rbc__bytes file = {0};
        uint8_t header[RBC__TFRECORD_HEADER_BYTES];
        caught found = {0};
        char part[64];
        put_good(&file);
        const size_t offset = file.size;
        rbc__frame_make_header(lengths[i], header);
        rbc__bytes_append(&file, header, sizeof header);
        rbc__bytes_append(&file, "payload", 7);
        assert_int_equal(index_bytes(STEPS, &file, -1, &found, NULL), RBC_OK);
        assert_int_equal(found.num_episodes, 1);
        assert_int_equal(found.num_damaged, 1);
        (void)snprintf(part, sizeof part, "shard-7: byte %zu: a record of %llu bytes is cut short",
                       offset, (unsigned long long)lengths[i]);
        assert_contains(found.damaged[0].message, part);
        release(&found);
        rbc__bytes_free(&file);
    }
}

static void an_empty_shard_and_a_wrong_count(void **state) {
    (void)state;
    rbc__bytes file = {0};
    caught found = {0};
    assert_int_equal(index_bytes(STEPS, &file, 0, &found, NULL), RBC_OK);
    assert_int_equal(found.num_damaged, 0);
    assert_int_equal(index_bytes(STEPS, &file, -1, &found, NULL), RBC_OK);
    assert_int_equal(index_bytes(STEPS, &file, 5, &found, NULL), RBC_OK);
    assert_int_equal(found.num_damaged, 2);
    assert_contains(found.damaged[0].message, "shard-7: the file is empty: download");
    assert_contains(found.damaged[1].message,
                    "shard-7: byte 0: the file ends after 0 records, dataset_info.json wants 5: "
                    "download the file again");
    release(&found);
    put_good(&file);
    assert_int_equal(index_bytes(STEPS, &file, 0, &found, NULL), RBC_OK);
    assert_int_equal(found.num_episodes, 1);
    assert_contains(found.damaged[0].message, "after 1 records");
    release(&found);
    rbc__bytes_free(&file);
}

/* What lies in the place of a shard where a download or a clone went wrong. */
static void files_that_are_no_shards_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t num_bytes;
        const char *what;
    } cases[] = {
#define CASE(bytes, what) {bytes, sizeof(bytes) - 1, what}
        CASE("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 104857600\n",
             "shard-7: the file is a Git LFS pointer to 104857600 bytes, not the data: run 'git "
             "lfs pull' in the clone"),
        CASE("version https://git-lfs.github.com/spec/v1\n",
             "is a Git LFS pointer, not the data: run"),
        CASE("/annex/objects/SHA256E-s7--ab\n", "is a git-annex pointer"),
        CASE("<!DOCTYPE html>\n<html><body>404</body></html>",
             "shard-7: the file is an HTML page, most likely a server's error message: download "
             "the file again"),
        CASE("\xef\xbb\xbf \r\n\t<HTML lang='en'>", "is an HTML page"),
        CASE("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML document"),
        CASE("Entry not found", "is text that begins 'Entry not found': download"),
        CASE("{\"error\": \"Invalid\"}\n\n", "is text that begins '{\"error\": \"Invalid\"}': "),
        CASE("\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02\x03\x04",
             "is compressed with gzip: unpack it with 'gunzip'"),
        CASE("\x1f\x8b", "is compressed with gzip"),
        CASE("\x28\xb5\x2f\xfd\x04\x00\x01\x02\x03\x04\x05\x06", "with zstd"),
        CASE("PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0", "is a zip archive"),
        CASE("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "begins with zeros"),
        CASE("\x80\x02\x7d\x71\x00\x81\x82\x83\x84\x85\x86\x87", "byte 0: the CRC of a record"),
        CASE("\x80\x02\x7d", "byte 0: the file ends inside a record's header"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes file = {0};
        caught found = {0};
        rbc__bytes_append(&file, cases[i].bytes, cases[i].num_bytes);
        assert_int_equal(index_bytes(STEPS, &file, -1, &found, NULL), RBC_OK);
        assert_int_equal(found.num_damaged, 1);
        assert_contains(found.damaged[0].message, cases[i].what);
        release(&found);
        rbc__bytes_free(&file);
    }
}

/* A record whose length begins as a gzip file does, cut short, is a record cut short. */
static void a_record_cut_short_is_not_taken_for_another_file(void **state) {
    (void)state;
    rbc__bytes file = {0};
    caught found = {0};
    uint8_t header[RBC__TFRECORD_HEADER_BYTES];
    rbc__frame_make_header(0x8b1f, header);
    rbc__bytes_append(&file, header, sizeof header);
    assert_int_equal(index_bytes(STEPS, &file, -1, &found, NULL), RBC_OK);
    assert_contains(found.damaged[0].message, "a record of 35615 bytes is cut short");
    release(&found);
    rbc__bytes_free(&file);
}

static void indexing_can_be_stopped(void **state) {
    (void)state;
    rbc__bytes file = {0};
    caught found = {.cancel = true};
    rbc_error err;
    put_good(&file);
    assert_int_equal(index_bytes(STEPS, &file, -1, &found, &err), RBC_ERROR_CANCELLED);
    assert_contains(err.message, "shard-7");
    assert_int_equal(found.progress, file.size);
    release(&found);
    rbc__bytes_free(&file);
}

/* A shard that has become shorter behind an open dataset. */
static void a_shard_that_shrinks_while_open(void **state) {
    (void)state;
    char folder[64];
    char path[128];
    rbc__bytes file = {0};
    dataset data;
    make_folder(folder);
    char *json = features_json(STEPS, "");
    put_good(&file);
    put_good(&file);
    write_dataset(folder, json, &file);
    open_dataset(&data, folder);
    parsed_episode *first = parsed_of(&data, 0);
    parsed_episode *second = parsed_of(&data, 1);
    (void)snprintf(path, sizeof path, "%s/toy/1.0.0/toy-train.tfrecord-00000-of-00001", folder);
    const int32_t x = stream_of(&data, "x");
    float read[2 * T];
    rbc_error err;
    assert_int_equal(parsed_read(second, x, 0, T, read, &err), RBC_OK);
    assert_int_equal(truncate(path, (off_t)file.size / 2), 0);
    if (parsed_read(first, x, 0, T, read, &err) != RBC_OK) {
        assert_int_equal(err.status, RBC_ERROR_IO); /* its bytes are there, the file is another */
        assert_contains(err.message, path);
    }
    assert_int_equal(parsed_read(second, x, 0, T, read, &err), RBC_ERROR_IO);
    assert_contains(err.message, path);
    assert_contains(err.message, ": byte ");
    parsed_close(&first);
    parsed_close(&second);
    /* Opened again, it is seen to be another file. */
    rbc__store_destroy(&data.store);
    open_store(&data);
    first = parsed_of(&data, 0);
    assert_int_equal(parsed_read(first, x, 0, T, read, &err), RBC_ERROR_IO);
    assert_contains(err.message, path);
    assert_contains(err.message, "written to or replaced");
    parsed_close(&first);
    close_dataset(&data);
    free(json);
    rbc__bytes_free(&file);
    remove_folder(folder);
}

/* Cuts the file that is being indexed behind its first record. */
typedef struct cutting {
    caught found;
    const char *path;
} cutting;

static rbc_status cut_file(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    cutting *state = user;
    (void)err;
    state->found.num_episodes += entry->record >= 0;
    assert_int_equal(truncate(state->path, (off_t)(entry->offset + entry->bytes)), 0);
    return RBC_OK;
}

static rbc_status no_damage(void *user, int64_t record, const rbc_error *problem, rbc_error *err) {
    (void)user;
    (void)err;
    fail_msg("record %d: %s", (int)record, problem->message);
    return RBC_ERROR_INTERNAL;
}

static int no_progress(void *user, uint64_t bytes_done) {
    (void)user;
    (void)bytes_done;
    return 0;
}

static void a_shard_that_shrinks_while_it_is_indexed(void **state) {
    (void)state;
    char folder[64];
    char path[128];
    rbc__bytes file = {0};
    rbc__reader *reader;
    rbc_error err;
    make_folder(folder);
    char *json = features_json(STEPS, "");
    while (file.size < (1u << 20)) {
        put_good(&file);
    }
    write_dataset(folder, json, &file);
    (void)snprintf(path, sizeof path, "%s/toy/1.0.0/toy-train.tfrecord-00000-of-00001", folder);
    cutting user = {.path = path};
    const rbc__index_sink sink = {
        .episode = cut_file, .damaged = no_damage, .progress = no_progress, .user = &user};
    assert_int_equal(rbc__rlds_format.open(&rbc__rlds_format, folder, NULL, &reader, &err), RBC_OK);
    assert_int_equal(rbc__rlds_format.index_part(reader, 0, &sink, &err), RBC_ERROR_IO);
    assert_contains(err.message, path);
    assert_contains(err.message, ": byte ");
    assert_true(user.found.num_episodes >= 1);
    rbc__rlds_format.close(&reader);
    free(json);
    rbc__bytes_free(&file);
    remove_folder(folder);
}

/* Pipes in the places of files are refused, not waited for. */
static void pipes_in_a_dataset(void **state) {
    (void)state;
    static const char *const places[] = {"toy-train.tfrecord-00000-of-00001", "features.json",
                                         "dataset_info.json"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
        char folder[64];
        char path[128];
        rbc__bytes file = {0};
        rbc_dataset *opened = NULL;
        rbc_error err;
        make_folder(folder);
        char *json = features_json(STEPS, "");
        put_good(&file);
        write_dataset(folder, json, &file);
        (void)snprintf(path, sizeof path, "%s/toy/1.0.0/%s", folder, places[i]);
        (void)unlink(path);
        assert_int_equal(mkfifo(path, 0666), 0);
        assert_int_equal(rbc_dataset_open(folder, NULL, &opened, &err), RBC_ERROR_IO);
        assert_contains(err.message, places[i]);
        assert_contains(err.message, "not a regular file");
        free(json);
        rbc__bytes_free(&file);
        remove_folder(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_anywhere_is_found),
        cmocka_unit_test(a_file_cut_anywhere_is_found),
        cmocka_unit_test(a_length_near_the_end_of_numbers),
        cmocka_unit_test(an_empty_shard_and_a_wrong_count),
        cmocka_unit_test(files_that_are_no_shards_are_named),
        cmocka_unit_test(a_record_cut_short_is_not_taken_for_another_file),
        cmocka_unit_test(indexing_can_be_stopped),
        cmocka_unit_test(a_shard_that_shrinks_while_open),
        cmocka_unit_test(a_shard_that_shrinks_while_it_is_indexed),
        cmocka_unit_test(pipes_in_a_dataset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
