/* Layouts, written and parsed, against lists of where each sample lies; and what is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "codec/ros_image.h"
#include "layout/layout.h"

enum { NUM_STREAMS = 4, NUM_IDS = 2 * NUM_STREAMS, MAX_SAMPLES = 600, MAX_RUNS = 24 };

static const rbc__layout_stream streams[NUM_STREAMS] = {
    {28, RBC__ENCODING_PLAIN, RBC__F32},
    {0, RBC__ENCODING_TEXT, RBC__U8},
    {1, RBC__ENCODING_VARINT, RBC__I64},
    {0, RBC__ENCODING_IMAGE, RBC__U8},
};

static uint64_t seed = 1;

static uint64_t up_to(uint64_t most) {
    return (xorshift_number(&seed) >> 16) % (most + 1);
}

static rbc__layout_stream stream_of(uint32_t id) {
    return id < NUM_STREAMS ? streams[id] : (rbc__layout_stream){8, RBC__ENCODING_PLAIN, RBC__I64};
}

/* ---- a layout as lists ---- */

typedef struct sample {
    uint64_t offset, bytes; /* in the container; arrays, tracks: the row or frame */
    rbc__run run;           /* of which container, number, encoding, dtype and packing count */
} sample;

typedef struct model {
    uint64_t num_steps, origin;
    sample samples[NUM_IDS][MAX_SAMPLES];
    uint64_t counts[NUM_IDS];
    rbc__block blocks[8];
    uint32_t num_blocks;
    rbc__bytes tables[MAX_RUNS];
    int num_tables;
} model;

/* Samples one behind the other, or anyhow, from `offset` on; the run's table and extent. */
static void make_table(model *made, rbc__run *run, sample *out, uint64_t room) {
    rbc__bytes *table = &made->tables[made->num_tables++];
    uint64_t at = 0;
    run->width = (uint8_t)(rbc__layout_width(room) + up_to(1));
    for (uint64_t i = 0; i < run->count; ++i) {
        const uint64_t most = (room - at) / (run->count - i + 1);
        uint64_t bytes = up_to(most < 20000 ? most : 20000);
        if (run->form == RBC__FORM_FRAMED) {
            bytes = bytes > 4 ? bytes - 4 : 0;
            at += 1 + rbc__varint_size(bytes);
        } else if (run->form == RBC__FORM_SPANS) {
            at = up_to(room - bytes);
            rbc__bytes_fixed(table, at, run->width);
            rbc__bytes_fixed(table, bytes, run->width);
        }
        out[i] = (sample){run->offset + at, bytes, *run};
        if (run->form != RBC__FORM_SPANS) {
            at += bytes;
            rbc__bytes_fixed(table, at, run->width);
        }
        at = run->form == RBC__FORM_SPANS ? 0 : at;
    }
    run->table = table->data;
}

static void make_even(model *made, rbc__run *run, sample *out, uint64_t room) {
    const uint64_t usual = stream_of(run->id).sample_bytes;
    const uint64_t most = room / run->count;
    run->sample_bytes = usual > 0 && usual <= most && up_to(1) ? usual : up_to(most);
    run->stride = run->sample_bytes + (up_to(2) == 0 ? up_to(most - run->sample_bytes) : 0);
    for (uint64_t i = 0; i < run->count; ++i) {
        out[i] = (sample){run->offset + i * run->stride, run->sample_bytes, *run};
    }
    if (run->container == RBC__IN_LAYOUT) {
        rbc__bytes *bytes = &made->tables[made->num_tables++];
        for (uint64_t i = 0; i < run->count * run->stride + 1; ++i) {
            rbc__bytes_byte(bytes, (uint8_t)up_to(255));
        }
        run->table = bytes->data;
    }
}

static void add_random_run(model *made, rbc__layout_writer *writer) {
    static const uint64_t rooms[] = {100, 5000, 1 << 20};
    const uint32_t id = (uint32_t)up_to(NUM_IDS - 1);
    const rbc__layout_stream stream = stream_of(id);
    uint64_t room = rooms[up_to(2)];
    rbc__run run = {.id = id,
                    .container = (uint8_t)up_to(RBC__NUM_CONTAINERS - 1),
                    .encoding = stream.encoding,
                    .dtype = stream.dtype,
                    .packing = (uint8_t)(up_to(3) == 0 ? 1 + up_to(1) : 0),
                    .count = up_to(2) == 0 ? made->num_steps : up_to(20)};
    run.count = run.count > 0 && up_to(9) > 0 ? run.count : 1;
    if (made->counts[id] + run.count > MAX_SAMPLES) {
        return;
    }
    if (up_to(4) == 0) {
        run.encoding = (uint8_t)up_to(RBC__NUM_ENCODINGS - 1);
        run.dtype =
            (uint8_t)up_to((run.encoding == RBC__ENCODING_ROS ? (unsigned)RBC__ROS_NUM_ORDERS
                                                              : (unsigned)RBC__NUM_DTYPES) -
                           1);
    }
    sample *out = &made->samples[id][made->counts[id]];
    if (run.container == RBC__IN_BLOB) {
        run.number = (uint32_t)(up_to(1) ? 0 : up_to(1) ? up_to(9) : INT32_MAX);
        run.offset = up_to(1) ? made->origin + up_to(5000) : up_to(INT64_MAX / 2);
    } else if (run.container == RBC__IN_BLOCK) {
        run.number = (uint32_t)up_to(made->num_blocks - 1);
        room = made->blocks[run.number].unpacked_bytes;
        run.offset = up_to(room / 2);
        room -= run.offset;
    } else if (run.container != RBC__IN_LAYOUT) {
        run.number = (uint32_t)up_to(3);
        run.offset = up_to(100000);
        for (uint64_t i = 0; i < run.count; ++i) {
            out[i] = (sample){run.offset + i, 0, run};
        }
    } else {
        room = 100;
    }
    if (run.container <= RBC__IN_BLOCK && up_to(1)) {
        run.form = (uint8_t)(1 + up_to(2));
        make_table(made, &run, out, room);
    } else if (run.container != RBC__IN_ARRAY && run.container != RBC__IN_TRACK) {
        make_even(made, &run, out, room);
    }
    made->counts[id] += run.count;
    rbc__layout_add_run(writer, &run);
}

static const rbc__packing packings[2] = {{1, {{RBC__PACKING_ZLIB, 0}}},
                                         {2, {{RBC__PACKING_SHUFFLE, 4}, {RBC__PACKING_ZSTD, 0}}}};

static void make_layout(model *made, rbc__layout_writer *writer, rbc__bytes *out) {
    *made = (model){.num_steps = 1 + up_to(30), .origin = up_to(1 << 30)};
    rbc__layout_begin(writer, made->num_steps, made->origin);
    for (uint8_t i = 0; i < 2; ++i) {
        assert_int_equal(rbc__layout_add_packing(writer, &packings[i]), i);
    }
    made->num_blocks = 1 + (uint32_t)up_to(7);
    for (uint32_t i = 0; i < made->num_blocks; ++i) {
        made->blocks[i] = (rbc__block){.blob = (uint32_t)up_to(3),
                                       .packing = (uint8_t)up_to(1),
                                       .offset = up_to(1 << 20),
                                       .packed_bytes = up_to(5000),
                                       .unpacked_bytes = 1 + up_to(1 << 16)};
        assert_int_equal(rbc__layout_add_block(writer, &made->blocks[i]), i);
    }
    for (uint64_t i = up_to(MAX_RUNS); i > 0; --i) {
        add_random_run(made, writer);
    }
    assert_int_equal(rbc__layout_end(writer, out, NULL), RBC_OK);
}

static void free_model(model *made) {
    for (int i = 0; i < made->num_tables; ++i) {
        rbc__bytes_free(&made->tables[i]);
    }
}

/* ---- comparing ---- */

static rbc_status parse(const uint8_t *data, size_t bytes, uint64_t origin, rbc__layout **out,
                        rbc_error *err) {
    /* of the very size, so that the sanitizers see its end; and gone once it is parsed */
    uint8_t *copy = malloc(bytes + 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    const rbc_status status =
        rbc__layout_parse(streams, NUM_STREAMS, copy, bytes, origin, "shard-7", out, err);
    memset(copy, 0xEE, bytes);
    free(copy);
    return status;
}

static void check_sample(const rbc__layout *layout, uint32_t id, uint64_t number,
                         const sample *wanted) {
    const rbc__run *run = rbc__layout_find(layout, id, number);
    uint64_t offset;
    uint64_t bytes;
    assert_int_equal(run->id, id);
    assert_true(number >= run->first && number - run->first < run->count);
    assert_int_equal(run->container, wanted->run.container);
    assert_int_equal(run->form, wanted->run.form);
    assert_int_equal(run->number, wanted->run.number);
    assert_int_equal(run->encoding, wanted->run.encoding);
    assert_int_equal(run->dtype, wanted->run.dtype);
    assert_int_equal(run->packing, wanted->run.packing);
    if (run->container == RBC__IN_ARRAY || run->container == RBC__IN_TRACK) {
        assert_int_equal(run->offset + (number - run->first), wanted->offset);
        return;
    }
    assert_true(rbc__run_sample(run, number, &offset, &bytes));
    assert_int_equal(offset, wanted->offset);
    assert_int_equal(bytes, wanted->bytes);
}

static void random_layouts(void **state) {
    (void)state;
    rbc__layout_writer writer = {.streams = streams, .num_streams = NUM_STREAMS};
    model *made = malloc(sizeof *made);
    assert_non_null(made);
    for (int round = 0; round < 2000; ++round) {
        rbc__bytes encoded = {0};
        rbc__layout *layout;
        rbc_error err;
        make_layout(made, &writer, &encoded);
        if (parse(encoded.data, encoded.size, made->origin, &layout, &err) != RBC_OK) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(layout->num_steps, made->num_steps);
        assert_int_equal(layout->num_blocks, made->num_blocks);
        for (uint32_t i = 0; i < made->num_blocks; ++i) {
            assert_int_equal(layout->blocks[i].blob, made->blocks[i].blob);
            assert_int_equal(layout->blocks[i].packing, made->blocks[i].packing);
            assert_int_equal(layout->blocks[i].offset, made->blocks[i].offset);
            assert_int_equal(layout->blocks[i].packed_bytes, made->blocks[i].packed_bytes);
            assert_int_equal(layout->blocks[i].unpacked_bytes, made->blocks[i].unpacked_bytes);
        }
        assert_int_equal(layout->num_packings, 2);
        assert_int_equal(layout->packings[1].num_steps, 2);
        assert_int_equal(layout->packings[1].steps[0].parameter, 4);
        for (uint32_t id = 0; id < NUM_IDS; ++id) {
            assert_int_equal(rbc__layout_num_samples(layout, id), made->counts[id]);
            for (uint64_t i = 0; i < made->counts[id]; ++i) {
                check_sample(layout, id, i, &made->samples[id][i]);
            }
        }
        free(layout);
        free_model(made);
        rbc__bytes_free(&encoded);
    }
    free(made);
    rbc__layout_writer_free(&writer);
}

/* ---- damage ---- */

/* Whatever was parsed: samples lie within their runs, those within blocks, tables within. */
static void check_consistent(const rbc__layout *layout) {
    for (uint32_t id = 0; id < NUM_IDS; ++id) {
        uint64_t samples = 0;
        for (uint32_t i = layout->first_run[id]; i < layout->first_run[id + 1]; ++i) {
            const rbc__run *run = &layout->runs[i];
            assert_int_equal(run->id, id);
            assert_int_equal(run->first, samples);
            samples += run->count;
            assert_true(run->bytes <= INT64_MAX && run->offset <= INT64_MAX - run->bytes);
            assert_true(run->container != RBC__IN_BLOCK ||
                        run->offset + run->bytes <= layout->blocks[run->number].unpacked_bytes);
            for (uint64_t k = 0; k < run->count && k < 40; ++k) {
                uint64_t offset;
                uint64_t bytes;
                if (run->container != RBC__IN_ARRAY && run->container != RBC__IN_TRACK &&
                    rbc__run_sample(run, run->first + k, &offset, &bytes)) {
                    assert_true(offset >= run->offset && bytes <= run->bytes &&
                                offset - run->offset <= run->bytes - bytes);
                }
            }
        }
        assert_int_equal(rbc__layout_num_samples(layout, id), samples);
    }
}

static void cuts_and_changed_bytes(void **state) {
    (void)state;
    rbc__layout_writer writer = {.streams = streams, .num_streams = NUM_STREAMS};
    model *made = malloc(sizeof *made);
    assert_non_null(made);
    int parsed = 0;
    for (int round = 0; round < 12; ++round) {
        rbc__bytes encoded = {0};
        rbc__layout *layout;
        rbc_error err;
        make_layout(made, &writer, &encoded);
        for (size_t bytes = 0; bytes < encoded.size; ++bytes) {
            assert_int_equal(parse(encoded.data, bytes, made->origin, &layout, &err),
                             RBC_ERROR_FORMAT);
            assert_null(layout);
            assert_int_equal(strncmp(err.message, "shard-7: ", 9), 0);
        }
        rbc__bytes_byte(&encoded, 0); /* one byte too many */
        assert_int_equal(parse(encoded.data, encoded.size, made->origin, &layout, &err),
                         RBC_ERROR_FORMAT);
        --encoded.size;
        const size_t head = encoded.size < 300 ? encoded.size : 300;
        for (size_t i = 0; i < head * 8; ++i) {
            encoded.data[i / 8] ^= (uint8_t)(1 << i % 8);
            if (parse(encoded.data, encoded.size, made->origin, &layout, &err) == RBC_OK) {
                check_consistent(layout);
                ++parsed;
                free(layout);
            } else {
                assert_int_equal(err.status, RBC_ERROR_FORMAT);
            }
            encoded.data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        free_model(made);
        rbc__bytes_free(&encoded);
    }
    assert_true(parsed > 1000);
    free(made);
    rbc__layout_writer_free(&writer);
}

/* Made by hand: a case for each thing that a layout may not say. */
static void what_a_layout_may_not_say(void **state) {
    (void)state;
#define CASE(text, is_good) {(const uint8_t *)(text), sizeof(text) - 1, is_good}
    static const struct {
        const uint8_t *bytes;
        size_t num_bytes;
        bool is_good;
    } cases[] = {
        CASE("\x02\x03\x00", true),  /* no run */
        CASE("\x01\x03\x00", false), /* another version */
        CASE("\x03\x03\x00", false),
        CASE("\x02\x03\x01\x00\x00\x00", true),                  /* three even samples of id 0 */
        CASE("\x02\x03\x01\x07\x00\x00", true),                  /* the row lengths of stream 3 */
        CASE("\x02\x03\x01\x08\x00\x00", false),                 /* there are no more ids */
        CASE("\x02\x03\x01\x00\x14\x00", false),                 /* nor containers */
        CASE("\x02\x03\x01\x00\x09\x00\x01\x01\x02\x03", false), /* no table is of an array */
        CASE("\x02\x03\x01\x00\x80\x10\x00", false),             /* a flag that is not known */
        CASE("\x02\x03\x01\x00\x80\x01\x00\x0b\x00", false),     /* nor an encoding */
        CASE("\x02\x03\x01\x00\x80\x01\x00\x09\x19", true),      /* big-endian RGBA */
        CASE("\x02\x03\x01\x00\x80\x01\x00\x09\x11", false),     /* bytes have no order */
        CASE("\x02\x03\x01\x00\x80\x01\x00\x09\x0a", false),     /* nor pixels */
        CASE("\x02\x03\x01\x00\x80\x01\x00\x00\x0d", false),     /* nor a dtype */
        CASE("\x02\x03\x01\x00\x80\x02\x00\x01", false),         /* there is no packing */
        CASE("\x02\x03\x01\x00\x04\x00", false),                 /* nor block */
        CASE("\x02\x03\x01\x01\x01\x00\x01\x01\x02\x03", true),  /* ends: 1, 2, 3 */
        CASE("\x02\x03\x01\x01\x01\x00\x00\x01\x02\x03", false), /* numbers of no bytes */
        CASE("\x02\x03\x01\x01\x01\x00\x09\x01\x02\x03", false), /* or of nine */
        CASE("\x02\x00\x01\x01\x01\x00\x01", false),             /* a table of nothing */
        CASE("\x02\x03\x01\x00\x00\xd1\x0f", false),             /* before the file begins: -1001 */
        CASE("\x02\x03\x01\x00\x00\xcf\x0f", true),              /* where it does: -1000 */
        CASE("\x82\x03\x01\x01\x01\x01\x02\x00\x00\x00\x00\x05\x54\x00\x04\x00", true),
        CASE("\x82\x03\x01\x01\x01\x01\x02\x00\x00\x00\x00\x05\x53\x00\x04\x00", false),
        /* the same, of which the run is one byte longer than the block */
        CASE("\x82\x03\x01\x01\x01\x01\x02\x00\x00\x01\x00\x05\x54\x00\x04\x00", false),
        CASE("\x82\x03\x01\x01\x01\x01\x63\x00\x00\x00\x00\x05\x54\x00\x04\x00", false),
    };
#undef CASE
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__layout *layout;
        const rbc_status status = parse(cases[i].bytes, cases[i].num_bytes, 1000, &layout, NULL);
        if ((status == RBC_OK) != cases[i].is_good) {
            fail_msg("case %zu: status %d", i, (int)status);
        }
        free(layout);
    }
    /* where there is no stream there is no run */
    rbc__layout *layout;
    assert_int_equal(
        rbc__layout_parse(NULL, 0, cases[0].bytes, cases[0].num_bytes, 0, "x", &layout, NULL),
        RBC_OK);
    free(layout);
    assert_int_equal(
        rbc__layout_parse(NULL, 0, cases[3].bytes, cases[3].num_bytes, 0, "x", &layout, NULL),
        RBC_ERROR_FORMAT);
}

/* Runs that stand in the layout and have no bytes are as short as can be. */
static void many_runs_of_few_bytes(void **state) {
    (void)state;
    rbc__layout_writer writer = {.streams = streams, .num_streams = NUM_STREAMS};
    rbc__bytes encoded = {0};
    rbc__layout *layout;
    rbc_error err;
    rbc__layout_begin(&writer, 5, 0);
    for (int i = 0; i < 100; ++i) {
        const rbc__run run = {.id = 1,
                              .container = RBC__IN_LAYOUT,
                              .encoding = RBC__ENCODING_TEXT,
                              .dtype = RBC__U8,
                              .count = 5};
        rbc__layout_add_run(&writer, &run);
    }
    assert_int_equal(rbc__layout_end(&writer, &encoded, NULL), RBC_OK);
    if (parse(encoded.data, encoded.size, 0, &layout, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(rbc__layout_num_samples(layout, 1), 500);
    free(layout);
    rbc__bytes_free(&encoded);
    rbc__layout_writer_free(&writer);
}

/* ---- single forms ---- */

static rbc__layout *one_run(rbc__run run, uint64_t num_steps) {
    rbc__layout_writer writer = {.streams = streams, .num_streams = NUM_STREAMS};
    rbc__bytes encoded = {0};
    rbc__layout *layout;
    rbc_error err;
    rbc__layout_begin(&writer, num_steps, 0);
    rbc__layout_add_run(&writer, &run);
    /* a run that follows begins where this one ends */
    run.id = 7;
    run.container = RBC__IN_BLOB;
    run.form = RBC__FORM_EVEN;
    run.encoding = RBC__ENCODING_PLAIN;
    run.dtype = RBC__I64;
    run.offset = 123456;
    run.sample_bytes = run.stride = 8;
    run.count = num_steps;
    rbc__layout_add_run(&writer, &run);
    assert_int_equal(rbc__layout_end(&writer, &encoded, NULL), RBC_OK);
    if (parse(encoded.data, encoded.size, 0, &layout, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    const rbc__run *last = rbc__layout_find(layout, 7, 0);
    assert_int_equal(last->offset, 123456);
    rbc__bytes_free(&encoded);
    rbc__layout_writer_free(&writer);
    return layout;
}

/* A tag and a size stand before each sample: the size that it has says how long they are. */
static void framed_samples_of_any_size(void **state) {
    (void)state;
    static const uint64_t sizes[] = {0,     1,     126,   127,     128,     129,       16382,
                                     16383, 16384, 16385, 2097151, 2097152, 268435455, 268435456};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    rbc__bytes table = {0};
    uint64_t offsets[COUNT];
    uint64_t at = 0;
    for (int i = 0; i < COUNT; ++i) {
        offsets[i] = 77 + at + 1 + rbc__varint_size(sizes[i]);
        at += 1 + rbc__varint_size(sizes[i]) + sizes[i];
        rbc__bytes_fixed(&table, at, 5);
    }
    rbc__layout *layout = one_run((rbc__run){.id = 1,
                                             .form = RBC__FORM_FRAMED,
                                             .width = 5,
                                             .encoding = RBC__ENCODING_TEXT,
                                             .dtype = RBC__U8,
                                             .count = COUNT,
                                             .offset = 77,
                                             .table = table.data},
                                  COUNT);
    for (uint64_t i = 0; i < COUNT; ++i) {
        uint64_t offset;
        uint64_t bytes;
        assert_true(rbc__run_sample(rbc__layout_find(layout, 1, i), i, &offset, &bytes));
        assert_int_equal(offset, offsets[i]);
        assert_int_equal(bytes, sizes[i]);
    }
    free(layout);
    /* sizes that no sample gives, and ends that go back */
    static const uint8_t bad[][3] = {{0, 0, 0}, {1, 1, 1}, {130, 130, 130}, {5, 4, 9}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        layout = one_run((rbc__run){.id = 1,
                                    .form = RBC__FORM_FRAMED,
                                    .width = 1,
                                    .encoding = RBC__ENCODING_TEXT,
                                    .dtype = RBC__U8,
                                    .count = 3,
                                    .table = bad[i]},
                         3);
        uint64_t offset;
        uint64_t bytes;
        assert_false(rbc__run_sample(rbc__layout_find(layout, 1, 1), i == 3, &offset, &bytes));
        free(layout);
    }
    rbc__bytes_free(&table);
}

/* The last of the spans need not be the one that reaches furthest. */
static void spans_in_any_order(void **state) {
    (void)state;
    static const uint8_t spans[] = {200, 50, 0, 10, 10, 0, 240, 9, 100, 100};
    rbc__layout *layout = one_run((rbc__run){.id = 3,
                                             .form = RBC__FORM_SPANS,
                                             .width = 1,
                                             .encoding = RBC__ENCODING_IMAGE,
                                             .dtype = RBC__U8,
                                             .count = 5,
                                             .offset = 1000,
                                             .table = spans},
                                  5);
    for (uint64_t i = 0; i < 5; ++i) {
        const rbc__run *run = rbc__layout_find(layout, 3, i);
        uint64_t offset;
        uint64_t bytes;
        assert_int_equal(run->bytes, 250);
        assert_true(rbc__run_sample(run, i, &offset, &bytes));
        assert_int_equal(offset, 1000 + spans[2 * i]);
        assert_int_equal(bytes, spans[2 * i + 1]);
    }
    free(layout);
}

static void numbers_have_the_width_that_they_need(void **state) {
    (void)state;
    for (unsigned width = 1; width <= 8; ++width) {
        const uint64_t least = width > 1 ? UINT64_C(1) << (8 * (width - 1)) : 0;
        const uint64_t most = width < 8 ? (UINT64_C(1) << (8 * width)) - 1 : UINT64_MAX;
        assert_int_equal(rbc__layout_width(least), width);
        assert_int_equal(rbc__layout_width(most), width);
    }
}

/* What is as the schema says takes no bytes: a stream behind the other is three. */
static void usual_layouts_are_small(void **state) {
    (void)state;
    rbc__layout_writer writer = {.streams = streams, .num_streams = NUM_STREAMS};
    rbc__bytes encoded = {0};
    const uint64_t origin = UINT64_C(1) << 40;
    rbc__layout_begin(&writer, 100, origin);
    uint64_t at = origin + 30;
    for (uint32_t id = 0; id < NUM_STREAMS; id += 2) {
        const uint64_t bytes = streams[id].sample_bytes;
        const rbc__run run = {.id = id,
                              .encoding = streams[id].encoding,
                              .dtype = streams[id].dtype,
                              .count = 100,
                              .offset = at,
                              .sample_bytes = bytes};
        rbc__layout_add_run(&writer, &run);
        at += 100 * bytes + 30;
    }
    assert_int_equal(rbc__layout_end(&writer, &encoded, NULL), RBC_OK);
    assert_int_equal(encoded.size, 3 + 2 * 3);
    rbc__bytes_free(&encoded);
    rbc__layout_writer_free(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_layouts),
        cmocka_unit_test(cuts_and_changed_bytes),
        cmocka_unit_test(what_a_layout_may_not_say),
        cmocka_unit_test(many_runs_of_few_bytes),
        cmocka_unit_test(framed_samples_of_any_size),
        cmocka_unit_test(spans_in_any_order),
        cmocka_unit_test(numbers_have_the_width_that_they_need),
        cmocka_unit_test(usual_layouts_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
