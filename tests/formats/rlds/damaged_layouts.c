/* Layouts that the catalog does not have as they were, and samples that are found damaged when they are
 * read. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/rlds/framing.h"
#include "memory_store.h"
#include "shard.h"

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
        cmocka_unit_test(a_damaged_layout),
        cmocka_unit_test(a_layout_of_other_features),
        cmocka_unit_test(values_that_their_dtype_cannot_hold),
        cmocka_unit_test(a_damaged_zlib_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
