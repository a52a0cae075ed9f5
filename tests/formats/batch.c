/* Episodes described by arrays: which runs they become. What is refused is in
 * tests/python/test_register_format_errors.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/batch.h"

static char image_name[] = "image";
static char state_name[] = "state";
static char stamp_name[] = "state_ns";

enum { IMAGE, STATE, STAMPS, NUM_STREAMS };

static rbc__stream_schema streams[NUM_STREAMS] = {
    [IMAGE] = {.name = image_name,
               .kind = RBC_STREAM_IMAGE,
               .dtype = RBC__U8,
               .ndim = 3,
               .shape = {-1, -1, -1},
               .times = -1,
               .stored = {0, RBC__ENCODING_IMAGE, RBC__U8}},
    [STATE] = {.name = state_name,
               .dtype = RBC__F32,
               .ndim = 1,
               .shape = {4},
               .times = STAMPS,
               .is_reference = true,
               .stored = {16, RBC__ENCODING_PLAIN, RBC__F32}},
    [STAMPS] = {.name = stamp_name,
                .dtype = RBC__I64,
                .times = -1,
                .stored = {8, RBC__ENCODING_PLAIN, RBC__I64}},
};
static const rbc__schema schema = {.streams = streams, .num_streams = NUM_STREAMS};

/* What a sink got. */
typedef struct found {
    rbc__layout *layouts[8];
    rbc__episode_entry entries[8];
    rbc__stamp_span spans[8];
    size_t layout_bytes;
    int64_t count;
    rbc__bytes column;
} found;

static rbc_status take_episode(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    found *f = user;
    const rbc__layout_stream stored[] = {streams[0].stored, streams[1].stored, streams[2].stored};
    assert_int_equal(entry->num_spans, 1);
    f->entries[f->count] = *entry;
    f->spans[f->count] = entry->spans[0];
    f->layout_bytes += entry->layout_bytes;
    return rbc__layout_parse(stored, NUM_STREAMS, entry->layout, entry->layout_bytes, 0, "test",
                             &f->layouts[f->count++], err);
}

static rbc_status take_column(void *user, const void *data, size_t bytes, uint64_t *offset,
                              rbc_error *err) {
    found *f = user;
    *offset = f->column.size;
    rbc__bytes_append(&f->column, data, bytes);
    return rbc__bytes_check(&f->column, err);
}

static void free_found(found *f) {
    for (int64_t i = 0; i < f->count; ++i) {
        free(f->layouts[i]);
    }
    rbc__bytes_free(&f->column);
}

#define STEPS 4

static const float state_values[2 * STEPS * 4] = {1, 2, 3};
static const int64_t stamp_values[2 * STEPS] = {5, 6, 7, 7, 9, 9, 10, 30};

/* Adds two episodes of STEPS steps whose images are those pieces. */
static rbc_status add(found *f, const int64_t *offset, const int64_t *bytes, rbc_error *err) {
    const rbc__index_sink sink = {.episode = take_episode, .column = take_column, .user = f};
    const int64_t steps = STEPS;
    const rbc__batch_source sources[] = {
        {.stream = IMAGE,
         .kind = RBC__BATCH_PIECES,
         .offset = {offset, 2 * STEPS},
         .bytes = {bytes, 2 * STEPS}},
        {.stream = STATE, .kind = RBC__BATCH_COLUMN, .values = state_values, .num_values = 8},
        {.stream = STAMPS, .kind = RBC__BATCH_COLUMN, .values = stamp_values, .num_values = 8},
    };
    const rbc__batch batch = {.num_episodes = 2,
                              .num_steps = {&steps, RBC__INTS_ALL},
                              .sources = sources,
                              .num_sources = 3};
    rbc__batch_writer *writer;
    *f = (found){.count = 0};
    assert_int_equal(rbc__batch_writer_create(&schema, 100000, &sink, &writer, err), RBC_OK);
    const rbc_status status = rbc__batch_add_episodes(writer, &batch, err);
    rbc__batch_writer_destroy(&writer);
    return status;
}

static void test_forms(void **state) {
    static const struct {
        int64_t offset[2 * STEPS], bytes[2 * STEPS];
        rbc__form form;
        uint32_t width;
    } cases[] = {
        {{0, 10, 20, 30, 0, 9, 18, 27}, {9, 9, 9, 9, 9, 9, 9, 9}, RBC__FORM_EVEN, 0},
        {{0, 10, 30, 60, 7, 8, 10, 13}, {10, 20, 30, 1, 1, 2, 3, 4}, RBC__FORM_ENDS, 1},
        {{9, 10, 10, 700, 0, 300, 700, 7}, {1, 0, 690, 1, 300, 400, 1, 1}, RBC__FORM_ENDS, 2},
        {{0, 11, 32, 63, 0, 11, 32, 63}, {10, 20, 30, 1, 10, 20, 30, 1}, RBC__FORM_SPANS, 1},
        {{60, 30, 10, 0, 900, 30, 10, 0}, {1, 30, 20, 10, 1, 30, 20, 10}, RBC__FORM_SPANS, 1},
        {{0, 0, 0, 0, 5, 5, 5, 5}, {9, 9, 9, 9, 9, 9, 9, 9}, RBC__FORM_SPANS, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        found f;
        rbc_error err;
        assert_int_equal(add(&f, cases[i].offset, cases[i].bytes, &err), RBC_OK);
        assert_int_equal(f.count, 2);
        for (uint64_t e = 0; e < 2; ++e) {
            const rbc__layout *layout = f.layouts[e];
            assert_int_equal(layout->num_runs, NUM_STREAMS);
            for (uint64_t step = 0; step < STEPS; ++step) {
                uint64_t offset;
                uint64_t bytes;
                const rbc__run *run = rbc__layout_find(layout, IMAGE, step);
                assert_true(rbc__run_sample(run, step, &offset, &bytes));
                assert_int_equal(offset, cases[i].offset[e * STEPS + step]);
                assert_int_equal(bytes, cases[i].bytes[e * STEPS + step]);
            }
        }
        const rbc__run *run = rbc__layout_find(f.layouts[0], IMAGE, 0);
        assert_int_equal(run->form, cases[i].form);
        assert_int_equal(run->width, cases[i].width);
        free_found(&f);
    }
}

static void test_columns_and_stamps(void **state) {
    const int64_t offset[2 * STEPS] = {0};
    const int64_t bytes[2 * STEPS] = {0};
    found f;
    rbc_error err;
    (void)state;
    assert_int_equal(add(&f, offset, bytes, &err), RBC_OK);
    for (uint64_t e = 0; e < 2; ++e) {
        uint64_t at;
        uint64_t size;
        const rbc__run *run = rbc__layout_find(f.layouts[e], STATE, 0);
        assert_int_equal(run->number, RBC__COLUMN_BLOB);
        assert_int_equal(run->count, STEPS);
        assert_true(rbc__run_sample(run, 0, &at, &size));
        assert_memory_equal(f.column.data + at, state_values + e * STEPS * 4, STEPS * 16);
        run = rbc__layout_find(f.layouts[e], STAMPS, 0);
        assert_true(rbc__run_sample(run, 0, &at, &size));
        assert_memory_equal(f.column.data + at, stamp_values + e * STEPS, STEPS * 8);
        assert_int_equal(f.spans[e].times, STAMPS);
        assert_int_equal(f.spans[e].num_samples, STEPS);
        assert_int_equal(f.spans[e].first_ns, stamp_values[e * STEPS]);
        assert_int_equal(f.spans[e].last_ns, stamp_values[e * STEPS + STEPS - 1]);
        assert_int_equal(f.entries[e].start_ns, f.spans[e].first_ns);
        assert_int_equal(f.entries[e].end_ns, f.spans[e].last_ns);
        assert_int_equal(f.entries[e].record, e);
        assert_int_equal(f.entries[e].offset, -1);
    }
    free_found(&f);
}

static void test_nothing_is_added_by_a_call_that_fails(void **state) {
    const int64_t offset[2 * STEPS] = {0, 0, 0, 0, 0, 0, 0, 99999};
    const int64_t bytes[2 * STEPS] = {1, 1, 1, 1, 1, 1, 1, 2};
    found f;
    rbc_error err;
    (void)state;
    assert_int_equal(add(&f, offset, bytes, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "stream 'image', episode 1: piece 7: offset and bytes: found 2 bytes from "
                        "byte 99999 on, wanted within 100000 bytes");
    assert_int_equal(f.count, 0);
    free_found(&f);
}

/* Runs of several sources that go on where the one before ends are one. */
static void test_runs_are_merged(void **state) {
    found f = {.count = 0};
    const rbc__index_sink sink = {.episode = take_episode, .column = take_column, .user = &f};
    const int64_t zero = 0;
    const int64_t steps = STEPS;
    const int64_t half = STEPS / 2;
    const int64_t image_bytes = 5;
    const int64_t offset[] = {32, 64};
    const int64_t stamps[] = {1, 2};
    const rbc__batch_source sources[] = {
        {.stream = IMAGE,
         .kind = RBC__BATCH_PIECES,
         .offset = {&zero, RBC__INTS_ALL},
         .bytes = {&image_bytes, RBC__INTS_ALL}},
        {.stream = STATE,
         .kind = RBC__BATCH_ROWS,
         .count = {&half, RBC__INTS_ALL},
         .offset = {&offset[0], RBC__INTS_ALL}},
        {.stream = STATE,
         .kind = RBC__BATCH_ROWS,
         .count = {&half, RBC__INTS_ALL},
         .offset = {&offset[1], RBC__INTS_ALL}},
        {.stream = STAMPS, .kind = RBC__BATCH_ROWS, .offset = {&zero, RBC__INTS_ALL}},
    };
    const rbc__batch_stamps spans = {
        STAMPS, {&stamps[0], RBC__INTS_ALL}, {&stamps[1], RBC__INTS_ALL}};
    const rbc__batch batch = {.num_episodes = 1,
                              .num_steps = {&steps, 1},
                              .sources = sources,
                              .num_sources = 4,
                              .stamps = &spans,
                              .num_stamps = 1};
    rbc__batch_writer *writer;
    rbc_error err;
    (void)state;
    assert_int_equal(rbc__batch_writer_create(&schema, 1000, &sink, &writer, &err), RBC_OK);
    assert_int_equal(rbc__batch_add_episodes(writer, &batch, &err), RBC_OK);
    rbc__batch_writer_destroy(&writer);
    assert_int_equal(f.layouts[0]->num_runs, NUM_STREAMS);
    const rbc__run *run = rbc__layout_find(f.layouts[0], STATE, 3);
    assert_int_equal(run->count, STEPS);
    assert_int_equal(run->offset, 32);
    free_found(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_columns_and_stamps),
        cmocka_unit_test(test_nothing_is_added_by_a_call_that_fails),
        cmocka_unit_test(test_runs_are_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
