/* Damaged input: each case is an error that names the file and the byte, and what was found there.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/rlds/framing.h"
#include "formats/rlds/rlds.h"
#include "helpers.h"
#include "memory_store.h"

#define STEPS TENSOR("x", "float32", "\"2\"") ", " TENSOR("n", "int64", "") ", " TEXT("lang")

enum { T = 3 };

/* A reader over `steps` without files. */
static rbc__rlds *make_reader(const char *steps) {
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

static rbc_status index_bytes(const char *steps, const rbc__bytes *file, int64_t num_records,
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

static void put_good_features(rbc__bytes *features) {
    const float x[2 * T] = {1, 2, 3, 4, 5, 6};
    const int64_t n[T] = {1, 200, 3};
    const char *const lang[T] = {"", "pick", "place"};
    put_floats(features, "steps/x", x, 2 * T);
    put_ints(features, "steps/n", n, T);
    put_strings(features, "steps/lang", lang, T);
}

static void put_good(rbc__bytes *file) {
    rbc__bytes features = {0};
    put_good_features(&features);
    put_record(file, &features);
}

/* One damaged record among good ones: it is reported, the others are found. */
static void expect_damaged(const char *steps, rbc__bytes *features, const char *part) {
    rbc__bytes file = {0};
    caught found = {0};
    rbc_error err;
    char place[64];
    put_good(&file);
    const size_t offset = put_record(&file, features);
    put_good(&file);
    assert_int_equal(index_bytes(steps, &file, 3, &found, &err), RBC_OK);
    assert_int_equal(found.num_damaged, 1);
    assert_int_equal(found.damaged_records[0], 1);
    assert_int_equal(found.damaged[0].status, RBC_ERROR_FORMAT);
    assert_contains(found.damaged[0].message, part);
    assert_int_equal(found.num_episodes, 2);
    assert_int_equal(found.episodes[1].record, 2);
    const char *message = found.damaged[0].message;
    assert_int_equal(strncmp(message, "shard-7: byte ", 14), 0);
    const unsigned long long byte = strtoull(message + 14, NULL, 10);
    (void)snprintf(place, sizeof place, "byte %llu", byte);
    assert_true(byte >= offset && byte < file.size - 100);
    release(&found);
    /* The same, when the caller wants the first error. */
    found.raise = true;
    assert_int_equal(index_bytes(steps, &file, 3, &found, &err), RBC_ERROR_FORMAT);
    assert_contains(err.message, part);
    assert_int_equal(found.num_episodes, 1);
    release(&found);
    rbc__bytes_free(&file);
}

static void a_missing_feature(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_floats(&features, "steps/x", (const float[]){1, 2}, 2);
    put_ints(&features, "steps/n", (const int64_t[]){1}, 1);
    expect_damaged(STEPS, &features, "no feature 'steps/lang'");
    put_ints(&features, "other", (const int64_t[]){1}, 1);
    expect_damaged(STEPS, &features, "none of the 3 streams");
}

static void a_feature_of_another_kind(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_good_features(&features);
    put_ints(&features, "steps/x", (const int64_t[]){1, 2, 3, 4, 5, 6}, 6);
    expect_damaged(STEPS, &features, "'x' is stored as int64_list, features.json wants float_list");
    put_good_features(&features);
    put_strings(&features, "steps/n", (const char *const[]){"1", "2", "3"}, 3);
    expect_damaged(STEPS, &features, "'n' is stored as bytes_list, features.json wants int64_list");
    put_good_features(&features);
    put_floats(&features, "steps/lang", (const float[]){1, 2, 3}, 3);
    expect_damaged(STEPS, &features, "'lang' is stored as float_list");
}

static void a_feature_of_another_length(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_good_features(&features);
    put_floats(&features, "steps/x", (const float[]){1, 2, 3, 4, 5}, 5);
    expect_damaged(STEPS, &features, "'x' has 5 values, features.json wants 2 a sample");
    put_good_features(&features);
    put_floats(&features, "steps/x", (const float[]){1, 2, 3, 4}, 4);
    expect_damaged(STEPS, &features, "'x' has 2 steps");
    put_good_features(&features);
    put_strings(&features, "steps/lang", (const char *const[]){"a"}, 1);
    expect_damaged(STEPS, &features, "but stream 'lang' has 1");
}

static void a_value_of_a_wrong_wire_type(void **state) {
    (void)state;
    static const struct {
        unsigned kind, tag;
        const char *key, *part;
    } cases[] = {
        {2, 1 << 3 | 0, "steps/x", "float_list has wire type varint"},
        {2, 1 << 3 | 1, "steps/x", "float_list has wire type fixed64"},
        {3, 1 << 3 | 5, "steps/n", "int64_list has wire type fixed32"},
        {1, 1 << 3 | 0, "steps/lang", "bytes_list has wire type varint"},
        {1, 1 << 3 | 3, "steps/lang", "wire type start group"},
        {1, 1 << 3 | 7, "steps/lang", "wire type 7"},
        {2, 0, "steps/x", "no protobuf tag"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes features = {0};
        rbc__bytes list = {0};
        rbc__bytes_byte(&list, (uint8_t)cases[i].tag);
        rbc__bytes_append(&list, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
        put_good_features(&features);
        put_feature(&features, cases[i].key, cases[i].kind, &list);
        expect_damaged(STEPS, &features, cases[i].part);
        rbc__bytes_free(&list);
    }
    rbc__bytes features = {0};
    rbc__bytes_append(&features, "\x0a\x04\x08\x01\x10\x01", 6); /* key and value as varints */
    expect_damaged(STEPS, &features, "the key of a feature has wire type varint");
}

/* Lengths that reach past their message, up to those that wrap around when they are added. */
static void lengths_past_the_end(void **state) {
    (void)state;
    static const uint64_t lengths[] = {1u << 20, UINT32_MAX, INT64_MAX, UINT64_MAX - 20,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; ++i) {
        for (int level = 0; level < 3; ++level) {
            rbc__bytes features = {0};
            rbc__bytes list = {0};
            char part[64];
            (void)snprintf(part, sizeof part, "has %llu bytes, but only",
                           (unsigned long long)lengths[i]);
            put_good_features(&features);
            if (level == 0) { /* an entry of the map */
                rbc__bytes_byte(&features, 1 << 3 | 2);
                rbc__bytes_varint(&features, lengths[i]);
            } else {
                rbc__bytes_byte(&list, 1 << 3 | 2);
                rbc__bytes_varint(&list, lengths[i]);
                rbc__bytes_append(&list, "1234", 4);
                put_feature(&features, level == 1 ? "steps/x" : "steps/lang", level == 1 ? 2 : 1,
                            &list);
            }
            expect_damaged(STEPS, &features, part);
            rbc__bytes_free(&list);
        }
    }
}

static void varints_and_floats_cut_short(void **state) {
    (void)state;
    rbc__bytes features = {0};
    rbc__bytes list = {0};
    put_good_features(&features);
    put_len(&list, 1, "\x01\x02\x80", 3);
    put_feature(&features, "steps/n", 3, &list);
    expect_damaged(STEPS, &features, "a varint is cut short");
    list.size = 0;
    put_good_features(&features);
    put_len(&list, 1, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01\x01", 14);
    put_feature(&features, "steps/n", 3, &list);
    expect_damaged(STEPS, &features, "longer than 10 bytes");
    list.size = 0;
    put_good_features(&features);
    put_len(&list, 1, "1234567", 7);
    put_feature(&features, "steps/x", 2, &list);
    expect_damaged(STEPS, &features, "packed floats have 7 bytes");
    rbc__bytes_free(&list);
}

static void text_that_is_not_utf8(void **state) {
    (void)state;
    rbc__bytes features = {0};
    put_good_features(&features);
    put_strings(&features, "steps/language_instruction", (const char *const[]){"pick", "up", "it"},
                3);
    const char *const bad[T] = {"", "pick \xff up", "it"};
    put_strings(&features, "steps/lang", bad, T);
    expect_damaged(STEPS, &features, "the text of 'lang' is not UTF-8");
}

static void rows_that_do_not_add_up(void **state) {
    (void)state;
    const char steps[] = STEPS ", " SEQUENCE(
        "cloud", "\"tensor\": {\"shape\": {\"dimensions\": [\"3\"]}, \"dtype\": \"float32\"}",
        "-1");
    static const struct {
        int64_t rows[T];
        size_t values;
        const char *part;
    } cases[] = {
        {{1, 1, 1}, 6, "have 3 samples together, but 2 are there"},
        {{1, -1, 2}, 6, "row of length -1"},
        {{INT64_MAX, INT64_MAX, 4}, 6, "row of length"},
        {{1, 1, 0}, 7, "has 7 values"},
    };
    const float values[9] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes file = {0};
        rbc__bytes features = {0};
        caught found = {0};
        put_good_features(&features);
        put_floats(&features, "steps/cloud/ragged_flat_values", values, cases[i].values);
        put_ints(&features, "steps/cloud/ragged_row_lengths_0", cases[i].rows, T);
        put_record(&file, &features);
        assert_int_equal(index_bytes(steps, &file, 1, &found, NULL), RBC_OK);
        assert_int_equal(found.num_damaged, 1);
        assert_contains(found.damaged[0].message, "shard-7: byte ");
        assert_contains(found.damaged[0].message, cases[i].part);
        release(&found);
        rbc__bytes_free(&file);
    }
}

/* ---- files -------------------------------------------------------------------------------------
 */

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

/* ---- layouts and what is read by them -----------------------------------------------------------
 */

/* The episodes of a file in memory. */
typedef struct in_memory {
    rbc__rlds *reader;
    rbc__bytes file;
    caught found;
    memory_blob blob;
    memory_store store;
} in_memory;

/* Takes `file`. */
static void index_in_memory(in_memory *out, const char *steps, rbc__bytes *file) {
    rbc_error err;
    *out = (in_memory){.reader = make_reader(steps), .file = *file};
    *file = (rbc__bytes){0};
    if (index_bytes(steps, &out->file, -1, &out->found, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(out->found.num_damaged, 0);
    out->blob = (memory_blob){rbc__blob_id(0, 0), "shard-7", out->file.data, out->file.size};
    memory_store_init(&out->store, &out->blob, 1);
}

static void free_in_memory(in_memory *closing) {
    release(&closing->found);
    rbc__bytes_free(&closing->file);
    rbc__rlds_destroy(&closing->reader);
}

static rbc_status parse_in_memory(in_memory *from, const rbc__episode_entry *entry,
                                  parsed_episode **out, rbc_error *err) {
    return parse_episode(&from->reader->schema, &from->store.base, entry, out, err);
}

/* Any change of a layout, the catalog's own data, is an error or harmless, never a crash. */
static void a_damaged_layout(void **state) {
    (void)state;
    rbc__bytes file = {0};
    in_memory data;
    put_good(&file);
    index_in_memory(&data, STEPS, &file);
    rbc__episode_entry entry = data.found.episodes[0];
    uint8_t *layout = malloc(entry.layout_bytes);
    assert_non_null(layout);
    int opened = 0;
    int refused = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < entry.layout_bytes * 256; ++i) {
        parsed_episode *episode;
        rbc_error err;
        memcpy(layout, data.found.episodes[0].layout, entry.layout_bytes);
        layout[i / 256] = (uint8_t)i;
        entry.layout = layout;
        if (parse_in_memory(&data, &entry, &episode, &err) != RBC_OK) {
            assert_null(episode);
            assert_int_equal(err.status, RBC_ERROR_FORMAT);
            assert_contains(err.message, "shard-7: ");
            ++refused;
            continue;
        }
        ++opened;
        for (int32_t stream = 0; stream < 3; ++stream) {
            uint8_t values[64];
            rbc__sample found;
            int64_t count;
            (void)parsed_count(episode, stream, &count, NULL, NULL);
            (void)parsed_read(episode, stream, 1, 2, values, NULL);
            if (parsed_locate(episode, stream, 1, &found, NULL) == RBC_OK) {
                assert_true(found.offset <= data.file.size);
                for (uint64_t k = 0; k < found.num_bytes; ++k) {
                    sum += found.bytes[k]; /* every byte is there */
                }
            }
        }
        parsed_close(&episode);
    }
    assert_true(opened > 0 && refused > 0 && sum > 0);
    free(layout);
    free_in_memory(&data);
}

/* A layout speaks of streams by their numbers: one with more than there are is refused. */
static void a_layout_of_other_features(void **state) {
    (void)state;
    rbc__bytes file = {0};
    in_memory data;
    parsed_episode *episode;
    rbc_error err;
    put_good(&file);
    index_in_memory(&data, STEPS, &file);
    rbc__rlds *other = make_reader(TENSOR("x", "float64", "\"2\""));
    assert_int_equal(
        parse_episode(&other->schema, &data.store.base, &data.found.episodes[0], &episode, &err),
        RBC_ERROR_FORMAT);
    assert_contains(err.message, "shard-7: byte ");
    assert_contains(err.message, "the entry is damaged");
    assert_null(episode);
    free_in_memory(&data);
    rbc__rlds_destroy(&other);
}

static void values_that_their_dtype_cannot_hold(void **state) {
    (void)state;
    rbc__bytes file = {0};
    rbc__bytes features = {0};
    in_memory data;
    parsed_episode *episode;
    rbc_error err;
    uint8_t read[3];
    put_ints(&features, "steps/n", (const int64_t[]){150, 300, 200}, 3);
    put_record(&file, &features);
    index_in_memory(&data, TENSOR("n", "uint8", ""), &file);
    assert_int_equal(parse_in_memory(&data, &data.found.episodes[0], &episode, &err), RBC_OK);
    assert_int_equal(parsed_read(episode, 0, 0, 1, read, &err), RBC_OK);
    assert_int_equal(parsed_read(episode, 0, 0, 3, read, &err), RBC_ERROR_FORMAT);
    assert_contains(err.message, "shard-7: byte ");
    assert_contains(err.message, "stream 'n'");
    assert_contains(err.message, "300");
    parsed_close(&episode);
    free_in_memory(&data);
}

/* Entries packed with zlib are unpacked when they are read, and their damage found then. */
static void a_damaged_zlib_entry(void **state) {
    (void)state;
    const float values[T][2] = {{1, 2}, {3, 4}, {5, 6}};
    rbc__bytes file = {0};
    rbc__bytes features = {0};
    rbc__bytes list = {0};
    in_memory data;
    parsed_episode *episode;
    rbc_error err;
    size_t last_bytes = 0; /* of the last entry */
    for (int i = 0; i < T; ++i) {
        last_bytes = put_zlib(&list, values[i], sizeof values[i]);
    }
    put_feature(&features, "steps/x", 1, &list);
    put_record(&file, &features);
    const size_t end = file.size - RBC__TFRECORD_FOOTER_BYTES; /* of that entry too */
    index_in_memory(&data, ZLIB_TENSOR("x", "float32", "\"2\""), &file);
    assert_int_equal(parse_in_memory(&data, &data.found.episodes[0], &episode, &err), RBC_OK);
    float read[T][2];
    assert_int_equal(parsed_read(episode, 0, 0, T, read, &err), RBC_OK);
    assert_memory_equal(read, values, sizeof values);
    data.file.data[end - 1] ^= 1; /* its checksum */
    assert_int_equal(parsed_read(episode, 0, 0, T - 1, read, &err), RBC_OK);
    assert_int_equal(parsed_read(episode, 0, 0, T, read, &err), RBC_ERROR_FORMAT);
    char part[64];
    (void)snprintf(part, sizeof part, "shard-7: byte %zu: ", end - last_bytes);
    assert_contains(err.message, part);
    assert_contains(err.message, "stream 'x' of record 0");
    assert_contains(err.message, "zlib");
    parsed_close(&episode);
    free_in_memory(&data);
    rbc__bytes_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_feature),
        cmocka_unit_test(a_feature_of_another_kind),
        cmocka_unit_test(a_feature_of_another_length),
        cmocka_unit_test(a_value_of_a_wrong_wire_type),
        cmocka_unit_test(lengths_past_the_end),
        cmocka_unit_test(varints_and_floats_cut_short),
        cmocka_unit_test(text_that_is_not_utf8),
        cmocka_unit_test(rows_that_do_not_add_up),
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
        cmocka_unit_test(a_damaged_layout),
        cmocka_unit_test(a_layout_of_other_features),
        cmocka_unit_test(values_that_their_dtype_cannot_hold),
        cmocka_unit_test(a_damaged_zlib_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
