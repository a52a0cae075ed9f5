/* Samples that lie in blobs, of every form and encoding, as a request reads them. */
#include <stdio.h>

#include "fixture.h"

#include "io/endian.h"

static void samples_with_gaps_between_them(void **state) {
    fixture *f = *state;
    for (uint64_t stride = 12; stride <= 200; stride += 47) {
        float read[5][3];
        begin_layout(f, 6);
        add_even(f, FLOATS, 6, 300, 12, stride);
        end_layout(f);
        read_values(f, FLOATS, 1, 5, read);
        for (size_t i = 0; i < 5; ++i) {
            assert_memory_equal(read[i], f->blobs[0] + 300 + (i + 1) * stride, 12);
        }
    }
}

static void floats_are_widened(void **state) {
    fixture *f = *state;
    const float stored[3][2] = {{1.5f, -2}, {3e30f, 0.1f}, {-0.0f, 7}};
    double read[3][2];
    begin_layout(f, 3);
    add_even(f, DOUBLES, 3, put_bytes(f, 1001, stored, sizeof stored), 8, 8);
    end_layout(f);
    read_values(f, DOUBLES, 0, 3, read);
    for (int i = 0; i < 6; ++i) {
        assert_true(read[i / 2][i % 2] == (double)stored[i / 2][i % 2]);
    }
}

static void big_endian_numbers(void **state) {
    fixture *f = *state;
    int16_t read[3][2];
    for (uint64_t stride = 4; stride < 40; stride += 12) {
        begin_layout(f, 3);
        add_even(f, SWAPPED, 3, 801, 4, stride);
        end_layout(f);
        read_values(f, SWAPPED, 0, 3, read);
        for (size_t i = 0; i < 6; ++i) {
            const uint8_t *at = f->blobs[0] + 801 + i / 2 * stride + i % 2 * 2;
            assert_int_equal((uint16_t)read[i / 2][i % 2], at[0] << 8 | at[1]);
        }
    }
}

/* Of one size, and with a table of where each ends. */
static void varints_of_any_size(void **state) {
    fixture *f = *state;
    static const int64_t values[] = {5, 300, -1, 0, INT64_MAX, 127, 128};
    enum { COUNT = sizeof values / sizeof values[0] };
    rbc__bytes varints = {0};
    rbc__bytes table = {0};
    int64_t read[COUNT];
    for (int i = 0; i < COUNT; ++i) {
        rbc__bytes_varint(&varints, (uint64_t)values[i]);
        rbc__bytes_fixed(&table, varints.size, 2);
    }
    begin_layout(f, COUNT);
    const rbc__run run = {.id = INTEGERS,
                          .form = RBC__FORM_ENDS,
                          .width = 2,
                          .encoding = RBC__ENCODING_VARINT,
                          .dtype = RBC__I64,
                          .count = COUNT,
                          .offset = put_bytes(f, 77, varints.data, varints.size),
                          .table = table.data};
    rbc__layout_add_run(&f->writer, &run);
    const uint8_t small[COUNT][2] = {{0x85, 1}, {0xff, 1}, {0x80, 0}, {0x80, 2}, {0x81, 0}};
    add_even(f, SMALL, COUNT, put_bytes(f, 500, small, sizeof small), 2, 2);
    end_layout(f);
    read_values(f, INTEGERS, 0, COUNT, read);
    assert_memory_equal(read, values, sizeof values);
    read_values(f, INTEGERS, 2, 3, read);
    assert_memory_equal(read, values + 2, 3 * sizeof *values);
    uint8_t bytes[3];
    read_values(f, SMALL, 0, 3, bytes);
    assert_memory_equal(bytes, ((const uint8_t[]){133, 255, 0}), 3);
    /* what does not fit, and what is not where it was */
    rbc_error err = fail_values(f, SMALL, 2, 2, bytes);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 504: stream 'small' of record 7: it holds 256");
    f->blobs[0][501] = 0x80;
    err = fail_values(f, SMALL, 0, 1, bytes);
    assert_contains(err.message, "first.bin: byte 500: stream 'small' of record 7: its values are "
                                 "not where they were");
    rbc__bytes_free(&varints);
    rbc__bytes_free(&table);
}

static void ragged_streams_have_row_lengths(void **state) {
    fixture *f = *state;
    const int64_t lengths[4] = {2, 0, 3, 1};
    int64_t read[4];
    float values[6];
    rbc_error err;
    begin_layout(f, 4);
    add_even(f, RAGGED, 6, 4000, 4, 4);
    add_even(f, NUM_STREAMS + RAGGED, 4, put_bytes(f, 900, lengths, sizeof lengths), 8, 8);
    end_layout(f);
    assert_int_equal(rbc__request_row_lengths(f->request, &f->parsed, RAGGED, read, NULL), RBC_OK);
    assert_int_equal(rbc__request_values(f->request, &f->parsed, RAGGED, 0, 6, values, NULL),
                     RBC_OK);
    must_run(f);
    assert_memory_equal(read, lengths, sizeof lengths);
    assert_memory_equal(values, f->blobs[0] + 4000, sizeof values);
    assert_int_equal(rbc__request_row_lengths(f->request, &f->parsed, FLOATS, read, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "'floats': it has 0");
    assert_int_equal(rbc__request_row_lengths(f->request, &f->parsed, 99, read, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
}

/* Values and samples whose bytes stand in the layout need no reading. */
static void what_stands_in_the_layout(void **state) {
    fixture *f = *state;
    const float values[2][3] = {{1, 2, 3}, {4, 5, 6}};
    float read[2][3];
    uint32_t want;
    rbc__sample sample;
    begin_layout(f, 2);
    rbc__run run = {.id = FLOATS,
                    .container = RBC__IN_LAYOUT,
                    .dtype = RBC__F32,
                    .count = 2,
                    .sample_bytes = 12,
                    .table = (const uint8_t *)values};
    rbc__layout_add_run(&f->writer, &run);
    run = (rbc__run){.id = TEXT,
                     .container = RBC__IN_LAYOUT,
                     .encoding = RBC__ENCODING_TEXT,
                     .dtype = RBC__U8,
                     .count = 2,
                     .sample_bytes = 4,
                     .table = (const uint8_t *)"pickdrop"};
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    read_values(f, FLOATS, 0, 2, read);
    assert_memory_equal(read, values, sizeof values);
    read_values(f, FLOATS, 1, 1, read);
    assert_memory_equal(read, values[1], 12);
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 1, &want, NULL), RBC_OK);
    must_run(f);
    rbc__request_get(f->request, want, &sample);
    assert_int_equal(sample.num_bytes, 4);
    assert_memory_equal(sample.bytes, "drop", 4);
    assert_int_equal(f->store.num_reads, 0);
}

static size_t make_npy(uint8_t *out, const char *descr, const char *shape, const void *values,
                       size_t bytes) {
    char header[118] = "";
    const int length =
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                 descr, shape);
    assert_true(length > 0 && length < 117);
    memset(header + length, ' ', sizeof header - (size_t)length);
    header[117] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(out + 10, header, sizeof header);
    memcpy(out + 128, values, bytes);
    return 128 + bytes;
}

static void npy_samples(void **state) {
    fixture *f = *state;
    const double values[2][4] = {{1, 2, 3, 4}, {5, -6, 7e100, 8}};
    uint8_t swapped[32];
    double read[2][4];
    uint64_t spans[5][2];
    static const struct {
        const char *descr, *shape;
    } wrong[] = {{"<f4", "(2, 2)"}, {"<f8", "(4,)"}, {"|O", "(2, 2)"}};
    uint64_t at = 2000;
    for (size_t i = 0; i < 5; ++i) {
        uint8_t npy[256];
        for (size_t k = 0; k < 32; ++k) {
            swapped[k] = ((const uint8_t *)values[1])[k / 8 * 8 + 7 - k % 8];
        }
        const size_t bytes = make_npy(npy,
                                      i == 0   ? "<f8"
                                      : i == 1 ? ">f8"
                                               : wrong[i - 2].descr,
                                      i < 2 ? "(2, 2)" : wrong[i - 2].shape,
                                      i == 1 ? (const void *)swapped : values[0], 32);
        spans[i][0] = put_bytes(f, at, npy, bytes);
        spans[i][1] = bytes;
        at += bytes + 40;
    }
    begin_layout(f, 5);
    add_spans(f, NPY, spans, 5);
    end_layout(f);
    read_values(f, NPY, 0, 2, read);
    assert_memory_equal(read, values, sizeof values);
    static const struct {
        rbc_status status;
        const char *part;
    } problems[] = {{RBC_ERROR_FORMAT, "a .npy array of float32 [2, 2], wanted is float64 [2, 2]"},
                    {RBC_ERROR_FORMAT, "a .npy array of float64 [4], wanted is float64 [2, 2]"},
                    {RBC_ERROR_UNSUPPORTED, "a .npy array of dtype '|O'"}};
    for (int64_t i = 2; i < 5; ++i) {
        char part[160];
        const rbc_error err = fail_values(f, NPY, i, 1, read);
        (void)snprintf(part, sizeof part, "first.bin: byte %llu: stream 'npy' of record 7: %s",
                       (unsigned long long)spans[i][0], problems[i - 2].part);
        assert_int_equal(err.status, problems[i - 2].status);
        assert_string_equal(err.message, part);
    }
    f->blobs[0][spans[0][0]] = 'x';
    assert_int_equal(fail_values(f, NPY, 0, 1, read).status, RBC_ERROR_FORMAT);
}

/* Arrays of dtypes that cannot become the stream's, though each is what its run says. */
static void npy_samples_of_other_dtypes(void **state) {
    fixture *f = *state;
    static const struct {
        uint32_t id;
        rbc__dtype dtype;
        const char *descr, *shape;
    } cases[] = {
        {INTEGERS, RBC__F32, "<f4", "()"},
        {FLOATS, RBC__I16, "<i2", "(3,)"},
        {NPY, RBC__F16, "<f2", "(2, 2)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        static const uint8_t zeros[32];
        uint8_t npy[256];
        double read[4];
        const size_t bytes = make_npy(npy, cases[i].descr, cases[i].shape, zeros, 32);
        begin_layout(f, 1);
        const rbc__run run = {.id = cases[i].id,
                              .encoding = RBC__ENCODING_NPY,
                              .dtype = (uint8_t)cases[i].dtype,
                              .count = 1,
                              .offset = put_bytes(f, 64, npy, bytes),
                              .sample_bytes = bytes};
        rbc__layout_add_run(&f->writer, &run);
        end_layout(f);
        const rbc_error err = fail_values(f, (int32_t)cases[i].id, 0, 1, read);
        assert_int_equal(err.status, RBC_ERROR_FORMAT);
        assert_contains(err.message, "its entry in the catalog is damaged");
    }
}

/* Each sample packed by itself, of even and of uneven packed sizes. */
static void packed_samples(void **state) {
    fixture *f = *state;
    float values[4][3];
    uint64_t spans[4][2];
    float read[4][3];
    const rbc__packing zlib = one_step(RBC__PACKING_ZLIB);
    uint64_t at = 3000;
    rbc__bytes table = {0};
    for (size_t i = 0; i < 4; ++i) {
        size_t bytes;
        for (size_t k = 0; k < 3; ++k) {
            values[i][k] = i % 2 == 0 ? 0 : (float)(i * k) * 1.7f;
        }
        uint8_t *packed = zlib_pack(values[i], 12, &bytes);
        spans[i][0] = put_bytes(f, at, packed, bytes);
        spans[i][1] = bytes;
        at += bytes;
        rbc__bytes_fixed(&table, at - 3000, 1);
        free(packed);
    }
    begin_layout(f, 4);
    rbc__run run = {.id = FLOATS,
                    .form = RBC__FORM_ENDS,
                    .width = 1,
                    .dtype = RBC__F32,
                    .packing = (uint8_t)(1 + rbc__layout_add_packing(&f->writer, &zlib)),
                    .count = 4,
                    .offset = 3000,
                    .table = table.data};
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    read_values(f, FLOATS, 0, 4, read);
    assert_memory_equal(read, values, sizeof values);
    read_values(f, FLOATS, 3, 1, read);
    assert_memory_equal(read, values[3], 12);
    /* damage, of the bytes and of the size that they give */
    f->blobs[0][spans[1][0] + spans[1][1] - 1] ^= 1;
    char part[96];
    (void)snprintf(part, sizeof part,
                   "first.bin: byte %llu: stream 'floats' of record 7: packing step 1 of 1, zlib",
                   (unsigned long long)spans[1][0]);
    rbc_error err = fail_values(f, FLOATS, 0, 4, read);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, part);
    size_t bytes;
    uint8_t *more = zlib_pack("sixteen bytes...", 16, &bytes);
    begin_layout(f, 2);
    run = (rbc__run){.id = FLOATS,
                     .dtype = RBC__F32,
                     .packing = (uint8_t)(1 + rbc__layout_add_packing(&f->writer, &zlib)),
                     .count = 1,
                     .offset = put_bytes(f, 5000, more, bytes),
                     .sample_bytes = bytes};
    rbc__layout_add_run(&f->writer, &run);
    run.offset = 5100;
    run.sample_bytes = 0; /* nothing gives twelve bytes */
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    err = fail_values(f, FLOATS, 0, 1, read);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 5000: stream 'floats' of record 7: ");
    err = fail_values(f, FLOATS, 1, 1, read);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 5100: stream 'floats' of record 7: ");
    free(more);
    rbc__bytes_free(&table);
}

/* Texts that are packed by themselves, each there until the request begins anew; and a damaged one. */
static void packed_texts(void **state) {
    fixture *f = *state;
    const rbc__packing zlib = one_step(RBC__PACKING_ZLIB);
    static const char *const texts[3] = {"push the red block", "", "open the drawer"};
    uint32_t wants[3];
    rbc__sample sample;
    uint64_t at = 3000;
    rbc__bytes table = {0};
    for (size_t i = 0; i < 3; ++i) {
        size_t bytes;
        uint8_t *packed = zlib_pack(texts[i], strlen(texts[i]), &bytes);
        put_bytes(f, at, packed, bytes);
        at += bytes;
        rbc__bytes_fixed(&table, at - 3000, 1);
        free(packed);
    }
    begin_layout(f, 3);
    const rbc__run run = {.id = TEXT,
                          .form = RBC__FORM_ENDS,
                          .width = 1,
                          .encoding = RBC__ENCODING_TEXT,
                          .dtype = RBC__U8,
                          .packing = (uint8_t)(1 + rbc__layout_add_packing(&f->writer, &zlib)),
                          .count = 3,
                          .offset = 3000,
                          .table = table.data};
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    rbc__request_begin(f->request);
    for (int64_t i = 0; i < 3; ++i) {
        assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, i, &wants[i], NULL),
                         RBC_OK);
    }
    must_run(f);
    for (size_t i = 0; i < 3; ++i) {
        rbc__request_get(f->request, wants[i], &sample);
        assert_int_equal(sample.num_bytes, strlen(texts[i]));
        assert_memory_equal(sample.bytes, texts[i], strlen(texts[i]));
    }
    f->blobs[0][at - 1] ^= 1;
    rbc__request_begin(f->request);
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 2, &wants[2], NULL), RBC_OK);
    const rbc_error *problem = run_request(f);
    assert_non_null(problem);
    assert_int_equal(problem->status, RBC_ERROR_FORMAT);
    assert_contains(problem->message, "stream 'text' of record 7: packing step 1 of 1, zlib");
    rbc__bytes_free(&table);
}

/* What a damaged catalog gives more bytes than memory has fails alone: others have theirs. */
static void samples_without_end(void **state) {
    fixture *f = *state;
    double read[4];
    uint32_t want;
    rbc_error err;
    const rbc__packing none = {0};
    begin_layout(f, 2);
    add_even(f, TEXT, 1, 100, 5, 5);
    add_even(f, TEXT, 1, 200, UINT64_C(1) << 45, UINT64_C(1) << 45);
    add_even(f, NPY, 1, 200, UINT64_C(1) << 45, UINT64_C(1) << 45);
    const rbc__block block = {.packing = rbc__layout_add_packing(&f->writer, &none),
                              .offset = 300,
                              .packed_bytes = UINT64_C(1) << 45,
                              .unpacked_bytes = 24};
    const rbc__run run = {.id = FLOATS,
                          .container = RBC__IN_BLOCK,
                          .dtype = RBC__F32,
                          .number = rbc__layout_add_block(&f->writer, &block),
                          .count = 2,
                          .sample_bytes = 12};
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 1, &want, &err),
                     RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 200: stream 'text' of record 7: ");
    assert_int_equal(rbc__request_values(f->request, &f->parsed, NPY, 0, 1, read, &err),
                     RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 200: stream 'npy' of record 7: ");
    assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 0, 2, read, &err),
                     RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 300: a block of 24 bytes");
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 0, &want, NULL), RBC_OK);
    must_run(f);
    check_sample(f, want, 100, 5);
}

/* Layouts are a stranger's: what cannot be the stream's numbers is refused before it is read. */
static void layouts_that_do_not_fit_the_stream(void **state) {
    fixture *f = *state;
    float read[6];
    static const struct {
        uint32_t id;
        uint8_t encoding, dtype, container;
        uint64_t bytes;
    } cases[] = {
        {FLOATS, RBC__ENCODING_PLAIN, RBC__F32, RBC__IN_BLOB, 16}, /* another size */
        {FLOATS, RBC__ENCODING_PLAIN, RBC__F32, RBC__IN_BLOB, 0},
        {FLOATS, RBC__ENCODING_PLAIN, RBC__I64, RBC__IN_BLOB, 24}, /* no floats */
        {FLOATS, RBC__ENCODING_VARINT, RBC__F32, RBC__IN_BLOB, 12},
        {FLOATS, RBC__ENCODING_TEXT, RBC__F32, RBC__IN_BLOB, 12},
        {FLOATS, RBC__ENCODING_FRAME, RBC__F32, RBC__IN_TRACK, 0},
        {INTEGERS, RBC__ENCODING_VARINT, RBC__I64, RBC__IN_BLOB, 11}, /* no varint is so long */
        {FLOATS, RBC__ENCODING_PLAIN, RBC__F32, RBC__IN_ARRAY, 0},    /* no array 0 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        begin_layout(f, 2);
        const rbc__run run = {.id = cases[i].id,
                              .container = cases[i].container,
                              .encoding = cases[i].encoding,
                              .dtype = cases[i].dtype,
                              .count = 2,
                              .offset = 64,
                              .sample_bytes = cases[i].bytes};
        rbc__layout_add_run(&f->writer, &run);
        end_layout(f);
        const rbc_error err = fail_values(f, (int32_t)cases[i].id, 0, 2, read);
        assert_int_equal(err.status, RBC_ERROR_FORMAT);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)
    const struct CMUnitTest tests[] = {
        TEST(samples_with_gaps_between_them),
        TEST(floats_are_widened),
        TEST(big_endian_numbers),
        TEST(varints_of_any_size),
        TEST(ragged_streams_have_row_lengths),
        TEST(what_stands_in_the_layout),
        TEST(npy_samples),
        TEST(npy_samples_of_other_dtypes),
        TEST(packed_samples),
        TEST(packed_texts),
        TEST(samples_without_end),
        TEST(layouts_that_do_not_fit_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
