/* Requests of what lies in blocks and in arrays: each block is read and unpacked once, arrays are
 * gathered as index arithmetic has it. */
#include "../random.h"
#include "fixture.h"

#include <stdio.h>

static uint64_t seed = 1;

static int64_t up_to(int64_t most) {
    return xorshift_up_to(&seed, most);
}

static rbc__block_cache_counts counts_of(fixture *f) {
    rbc__block_cache_counts counts;
    rbc__block_cache_count(f->cache, &counts);
    return counts;
}

/* ---- blocks -------------------------------------------------------------------------------------
 */

enum { NUM_VALUES = 40 };

static float values[NUM_VALUES][3];

/* A block of `values`, packed with zlib, at byte `at` of blob 0; its number. */
static uint32_t add_values_block(fixture *f, uint64_t at) {
    const rbc__packing zlib = one_step(RBC__PACKING_ZLIB);
    size_t bytes;
    for (int i = 0; i < NUM_VALUES * 3; ++i) {
        values[i / 3][i % 3] = (float)(i * i);
    }
    uint8_t *packed = zlib_pack(values, sizeof values, &bytes);
    const rbc__block block = {.packing = rbc__layout_add_packing(&f->writer, &zlib),
                              .offset = put_bytes(f, at, packed, bytes),
                              .packed_bytes = bytes,
                              .unpacked_bytes = sizeof values};
    free(packed);
    return rbc__layout_add_block(&f->writer, &block);
}

static void add_run_in_block(fixture *f, uint32_t id, uint32_t block, uint64_t count,
                             uint64_t offset) {
    const rbc__run run = {.id = id,
                          .container = RBC__IN_BLOCK,
                          .encoding = id == TEXT ? RBC__ENCODING_TEXT : RBC__ENCODING_PLAIN,
                          .dtype = id == TEXT ? RBC__U8 : RBC__F32,
                          .number = block,
                          .count = count,
                          .offset = offset,
                          .sample_bytes = id == DOUBLES ? 8 : 12};
    rbc__layout_add_run(&f->writer, &run);
}

/* Two streams and a text in one block, wanted in pieces, in one request and in the next. */
static void a_block_is_read_and_unpacked_once(void **state) {
    fixture *f = *state;
    float read[2][5][3];
    double wide[2];
    uint32_t want;
    begin_layout(f, 10);
    const uint32_t block = add_values_block(f, 600);
    add_run_in_block(f, FLOATS, block, 10, 24);
    add_run_in_block(f, DOUBLES, block, 10, 200);
    add_run_in_block(f, TEXT, block, 10, 360);
    end_layout(f);
    for (int round = 0; round < 2; ++round) {
        rbc__request_begin(f->request);
        assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 0, 5, read[0], NULL),
                         RBC_OK);
        assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 3, 5, read[1], NULL),
                         RBC_OK);
        assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 9, &want, NULL), RBC_OK);
        assert_int_equal(rbc__request_values(f->request, &f->parsed, DOUBLES, 1, 1, wide, NULL),
                         RBC_OK);
        must_run(f);
        assert_memory_equal(read[0], values[2], sizeof read[0]);
        assert_memory_equal(read[1], values[5], sizeof read[1]);
        assert_true(wide[0] == (double)((float *)values)[52]);
        assert_true(wide[1] == (double)((float *)values)[53]);
        rbc__sample sample;
        rbc__request_get(f->request, want, &sample);
        assert_int_equal(sample.num_bytes, 12);
        assert_int_equal(sample.offset, 600);
        assert_memory_equal(sample.bytes, (uint8_t *)values + 360 + 9 * 12, 12);
        assert_int_equal(f->store.num_reads, 1);
        assert_int_equal(counts_of(f).num_reads, 1);
        assert_int_equal(counts_of(f).num_unpacked, 1);
    }
}

static void blocks_of_varints(void **state) {
    fixture *f = *state;
    static const int64_t numbers[] = {1, 300, -5, 70000, 0, 12};
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    const rbc__packing varints = one_step(RBC__PACKING_VARINT);
    rbc__bytes packed = {0};
    int64_t read[COUNT];
    uint8_t small[COUNT];
    for (int i = 0; i < COUNT; ++i) {
        rbc__bytes_varint(&packed, (uint64_t)numbers[i]);
    }
    begin_layout(f, COUNT);
    const rbc__block block = {.packing = rbc__layout_add_packing(&f->writer, &varints),
                              .offset = put_bytes(f, 333, packed.data, packed.size),
                              .packed_bytes = packed.size,
                              .unpacked_bytes = sizeof numbers};
    rbc__run run = {.id = INTEGERS,
                    .container = RBC__IN_BLOCK,
                    .dtype = RBC__I64,
                    .number = rbc__layout_add_block(&f->writer, &block),
                    .count = COUNT,
                    .sample_bytes = 8};
    rbc__layout_add_run(&f->writer, &run);
    run.id = SMALL;
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    read_values(f, INTEGERS, 1, 4, read);
    assert_memory_equal(read, numbers + 1, 4 * sizeof *numbers);
    read_values(f, SMALL, 4, 2, small);
    assert_memory_equal(small, ((const uint8_t[]){0, 12}), 2);
    const rbc_error err = fail_values(f, SMALL, 1, 1, small);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, "first.bin: byte 333: stream 'small' of record 7: it holds 300");
    rbc__bytes_free(&packed);
}

/* Pixels that are stored as they are have no other order of bytes in a block. */
static void pixels_in_a_block(void **state) {
    fixture *f = *state;
    uint16_t pixels[2][6];
    uint16_t read[2][6];
    const rbc__packing none = {0};
    for (uint16_t i = 0; i < 12; ++i) {
        pixels[i / 6][i % 6] = (uint16_t)(i * 1000 + 1);
    }
    begin_layout(f, 2);
    const rbc__block block = {.packing = rbc__layout_add_packing(&f->writer, &none),
                              .offset = put_bytes(f, 111, pixels, sizeof pixels),
                              .packed_bytes = sizeof pixels,
                              .unpacked_bytes = sizeof pixels};
    const rbc__run run = {.id = PIXELS,
                          .container = RBC__IN_BLOCK,
                          .encoding = RBC__ENCODING_PIXELS,
                          .dtype = RBC__U16,
                          .number = rbc__layout_add_block(&f->writer, &block),
                          .count = 2,
                          .sample_bytes = 12};
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
    read_values(f, PIXELS, 0, 2, read);
    assert_memory_equal(read, pixels, sizeof pixels);
}

static void a_damaged_block_fails_all_who_want_it(void **state) {
    fixture *f = *state;
    float read[4][3];
    int32_t rank;
    begin_layout(f, 10);
    const uint32_t block = add_values_block(f, 600);
    add_run_in_block(f, FLOATS, block, 10, 0);
    add_run_in_block(f, TEXT, block, 10, 120);
    end_layout(f);
    f->blobs[0][610] ^= 0x55;
    for (int round = 0; round < 2; ++round) {
        uint32_t want;
        rbc__request_begin(f->request);
        rbc__request_for(f->request, 0, 0);
        assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 0, 4, read, NULL),
                         RBC_OK);
        rbc__request_for(f->request, 1, 0);
        assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 0, &want, NULL), RBC_OK);
        (void)run_request(f);
        for (int32_t tag = 0; tag < 2; ++tag) {
            const rbc_error *problem = rbc__request_failure(f->request, tag, &rank);
            assert_non_null(problem);
            assert_int_equal(problem->status, RBC_ERROR_FORMAT);
            assert_contains(problem->message,
                            tag == 0 ? "first.bin: byte 600: stream 'floats' of record 7: packing "
                                       "step 1 of 1, zlib"
                                     : "first.bin: byte 600: stream 'text' of record 7: packing "
                                       "step 1 of 1, zlib");
        }
        assert_int_equal(f->store.num_reads, 1); /* it stays damaged */
    }
}

/* What cannot be read now is read again the next time. */
static void a_block_that_cannot_be_read_is_read_again(void **state) {
    fixture *f = *state;
    float read[4][3];
    begin_layout(f, 10);
    add_run_in_block(f, FLOATS, add_values_block(f, 600), 10, 0);
    end_layout(f);
    f->store.bad_status = RBC_ERROR_IO;
    f->store.bad_begin = 600;
    f->store.bad_end = 601;
    const rbc_error err = fail_values(f, FLOATS, 0, 4, read);
    assert_int_equal(err.status, RBC_ERROR_IO);
    assert_contains(err.message, "first.bin: byte 600: ");
    f->store.bad_status = RBC_OK;
    read_values(f, FLOATS, 0, 4, read);
    assert_memory_equal(read, values, sizeof read);
}

/* Two blocks of a damaged layout in one place, of which one has more bytes than there are. */
static void blocks_that_contradict_each_other(void **state) {
    fixture *f = *state;
    uint8_t bytes[64] = {1, 2, 3};
    float read[5][3];
    const rbc__packing none = {0};
    for (int order = 0; order < 2; ++order) {
        const uint64_t at = put_bytes(f, 8000 + 100 * (uint64_t)order, bytes, sizeof bytes);
        begin_layout(f, 5);
        const uint8_t packing = rbc__layout_add_packing(&f->writer, &none);
        const rbc__block blocks[2] = {
            {.packing = packing, .offset = at, .packed_bytes = 24, .unpacked_bytes = 24},
            {.packing = packing, .offset = at, .packed_bytes = 60, .unpacked_bytes = 60}};
        rbc__layout_add_block(&f->writer, &blocks[order]);
        rbc__layout_add_block(&f->writer, &blocks[1 - order]);
        add_run_in_block(f, FLOATS, 0, order == 0 ? 2 : 3, 0);
        add_run_in_block(f, FLOATS, 1, order == 0 ? 3 : 2, order == 0 ? 24 : 0);
        end_layout(f);
        const rbc_error err = fail_values(f, FLOATS, 0, 5, read);
        assert_int_equal(err.status, RBC_ERROR_FORMAT);
        assert_contains(err.message, "first.bin: byte 8");
    }
}

/* With reading and finishing apart, blocks are there for others as soon as they are read, and a
 * request that ends before it has read gives them back. */
static void requests_that_are_split(void **state) {
    fixture *f = *state;
    const rbc__request_params params = {.store = &f->store.base,
                                        .cache = f->cache,
                                        .objects = &f->objects,
                                        .schema = &f->schema,
                                        .is_split = true};
    rbc__request *first;
    rbc__request *second;
    int32_t rank;
    float read[2][10][3];
    begin_layout(f, 10);
    add_run_in_block(f, FLOATS, add_values_block(f, 600), 10, 12);
    end_layout(f);
    assert_int_equal(rbc__request_create(&params, &first, NULL), RBC_OK);
    assert_int_equal(rbc__request_create(&params, &second, NULL), RBC_OK);
    assert_int_equal(rbc__request_values(first, &f->parsed, FLOATS, 0, 10, read[0], NULL), RBC_OK);
    rbc__request_begin(first);
    assert_int_equal(rbc__request_values(second, &f->parsed, FLOATS, 0, 10, read[1], NULL), RBC_OK);
    assert_int_equal(rbc__request_values(first, &f->parsed, FLOATS, 0, 10, read[0], NULL), RBC_OK);
    rbc__request_read(second, NULL);
    rbc__request_read(first, NULL); /* has nothing to read */
    rbc__request_finish(first, NULL);
    assert_null(rbc__request_failure(first, 0, &rank));
    assert_memory_equal(read[0], values[1], sizeof read[0]);
    rbc__request_finish(second, NULL);
    assert_null(rbc__request_failure(second, 0, &rank));
    assert_memory_equal(read[1], values[1], sizeof read[1]);
    assert_int_equal(f->store.num_reads, 1);
    assert_int_equal(counts_of(f).num_unpacked, 1);
    rbc__request_destroy(&first);
    rbc__request_destroy(&second);
}

/* ---- arrays -------------------------------------------------------------------------------------
 */

/* An array of elements that are their number in it, and its values by index arithmetic. */
typedef struct made_array {
    int64_t rows, columns;
    rbc__dtype dtype;
    bool is_swapped;
    bool is_sparse;  /* some chunks are absent */
    uint8_t *wanted; /* [rows, columns], as stored */
} made_array;

static void element_bytes(const made_array *array, int64_t number, uint8_t *out) {
    const size_t size = (size_t)rbc__dtype_bytes(array->dtype);
    uint8_t plain[8];
    if (array->dtype == RBC__F32) {
        const float value = (float)number * 0.5f;
        memcpy(plain, &value, 4);
    } else {
        memcpy(plain, &number, 8);
    }
    for (size_t i = 0; i < size; ++i) {
        out[i] = plain[array->is_swapped ? size - 1 - i : i];
    }
}

/* Adds the array in chunks [chunk_rows, chunk_columns], shuffled and packed with zlib, some with
 * steps left out, some absent. Returns its number. */
static uint32_t add_array(fixture *f, made_array *array, int64_t chunk_rows, int64_t chunk_columns,
                          uint64_t *at) {
    const size_t size = (size_t)rbc__dtype_bytes(array->dtype);
    const int64_t across = (array->columns + chunk_columns - 1) / chunk_columns;
    const int64_t num_chunks = (array->rows + chunk_rows - 1) / chunk_rows * across;
    const size_t chunk_bytes = (size_t)(chunk_rows * chunk_columns) * size;
    rbc__array_chunk *chunks = calloc((size_t)num_chunks, sizeof *chunks);
    uint8_t *chunk = malloc(chunk_bytes);
    array->wanted = calloc((size_t)(array->rows * array->columns), size);
    assert_true(chunks != NULL && chunk != NULL && array->wanted != NULL);
    for (int64_t i = 0; i < num_chunks; ++i) {
        if (array->is_sparse && up_to(5) == 0) {
            continue; /* absent: zeros */
        }
        memset(chunk, 0xEE, chunk_bytes);
        for (int64_t row = 0; row < chunk_rows; ++row) {
            for (int64_t column = 0; column < chunk_columns; ++column) {
                const int64_t x = i / across * chunk_rows + row;
                const int64_t y = i % across * chunk_columns + column;
                uint8_t *to = chunk + (size_t)(row * chunk_columns + column) * size;
                if (x < array->rows && y < array->columns) {
                    const int64_t number = x * array->columns + y;
                    element_bytes(array, number + 1, to);
                    memcpy(array->wanted + (size_t)number * size, to, size);
                }
            }
        }
        const uint32_t skipped = (uint32_t)up_to(1) == 0 ? 0 : 2;
        size_t bytes = chunk_bytes;
        uint8_t *shuffled = malloc(chunk_bytes);
        for (size_t k = 0; k < chunk_bytes; ++k) {
            shuffled[k % size * (chunk_bytes / size) + k / size] = chunk[k];
        }
        uint8_t *packed = skipped != 0 ? shuffled : zlib_pack(shuffled, chunk_bytes, &bytes);
        chunks[i] = (rbc__array_chunk){.skipped = skipped,
                                       .offset = (int64_t)put_bytes(f, *at, packed, bytes),
                                       .bytes = (int64_t)bytes};
        *at += bytes;
        free(packed != shuffled ? packed : NULL);
        free(shuffled);
    }
    const rbc__array_description description = {.ndim = 2,
                                                .shape = {array->rows, array->columns},
                                                .chunk_shape = {chunk_rows, chunk_columns},
                                                .element_bytes = (int64_t)size,
                                                .chunks = chunks,
                                                .num_chunks = num_chunks};
    const rbc__packing packing = {2,
                                  {{RBC__PACKING_SHUFFLE, (uint32_t)size}, {RBC__PACKING_ZLIB, 0}}};
    rbc__bytes encoded = {0};
    assert_int_equal(rbc__array_encode(&description, &encoded, NULL), RBC_OK);
    assert_true(f->num_arrays < MAX_ARRAYS);
    rbc__array_object_encode(&packing, encoded.data, encoded.size, &f->arrays[f->num_arrays]);
    rbc__bytes_free(&encoded);
    free(chunks);
    free(chunk);
    return f->num_arrays++;
}

static void add_run_in_array(fixture *f, uint32_t id, const made_array *array, uint32_t number,
                             uint64_t count, uint64_t offset) {
    const rbc__run run = {.id = id,
                          .container = RBC__IN_ARRAY,
                          .encoding =
                              array->is_swapped ? RBC__ENCODING_SWAPPED : RBC__ENCODING_PLAIN,
                          .dtype = (uint8_t)array->dtype,
                          .number = number,
                          .count = count,
                          .offset = offset};
    rbc__layout_add_run(&f->writer, &run);
}

/* Many ranges of rows, overlapping, of arrays of several shapes, in one request: none is given what
 * belongs to another, and no chunk is read twice. */
static void rows_are_gathered_from_chunks(void **state) {
    fixture *f = *state;
    for (int round = 0; round < 40; ++round) {
        enum { WANTS = 12, MOST = 12 };
        made_array floats = {
            .rows = 20 + up_to(20), .columns = 3, .dtype = RBC__F32, .is_sparse = true};
        made_array pairs = {
            .rows = 20 + up_to(20), .columns = 2, .dtype = RBC__I16, .is_swapped = true};
        uint64_t at = 64;
        f->store.num_reads = 0;
        rbc__request_begin(f->request);
        for (uint32_t i = 0; i < f->num_arrays; ++i) {
            rbc__bytes_free(&f->arrays[i]);
        }
        f->num_arrays = 0;
        rbc__block_cache_destroy(&f->cache);
        assert_int_equal(rbc__block_cache_create(1 << 24, &f->cache, NULL), RBC_OK);
        rbc__request_destroy(&f->request);
        const rbc__request_params params = {.store = &f->store.base,
                                            .cache = f->cache,
                                            .objects = &f->objects,
                                            .schema = &f->schema};
        assert_int_equal(rbc__request_create(&params, &f->request, NULL), RBC_OK);
        const uint32_t one = add_array(f, &floats, 1 + up_to(9), 1 + up_to(3), &at);
        const uint32_t two = add_array(f, &pairs, 1 + up_to(9), 1 + up_to(2), &at);
        const uint64_t steps = 16;
        begin_layout(f, steps);
        add_run_in_array(f, FLOATS, &floats, one, steps, 3);
        add_run_in_array(f, DOUBLES, &pairs, two, steps, 2); /* refused: no floats */
        add_run_in_array(f, SWAPPED, &pairs, two, steps, 2);
        end_layout(f);
        float rows[WANTS][MOST][3];
        int16_t small[WANTS][MOST][2];
        int64_t firsts[WANTS];
        int64_t numbers[WANTS];
        for (int i = 0; i < WANTS; ++i) {
            rbc_error err;
            firsts[i] = up_to(15);
            numbers[i] = 1 + up_to((16 - firsts[i] < MOST ? 16 - firsts[i] : MOST) - 1);
            const bool is_floats = up_to(1) == 0;
            void *dst = is_floats ? (void *)rows[i] : (void *)small[i];
            if (rbc__request_values(f->request, &f->parsed, is_floats ? FLOATS : SWAPPED, firsts[i],
                                    numbers[i], dst, &err) != RBC_OK) {
                fail_msg("%s", err.message);
            }
            numbers[i] = is_floats ? numbers[i] : -numbers[i];
        }
        rbc_error err;
        double wide[2];
        assert_int_equal(rbc__request_values(f->request, &f->parsed, DOUBLES, 0, 1, wide, &err),
                         RBC_ERROR_FORMAT);
        assert_contains(err.message, "not those of the array");
        must_run(f);
        for (int i = 0; i < WANTS; ++i) {
            const int64_t first = firsts[i];
            if (numbers[i] > 0) {
                assert_memory_equal(rows[i], floats.wanted + (size_t)(first + 3) * 12,
                                    (size_t)numbers[i] * 12);
                continue;
            }
            for (int64_t k = 0; k < -numbers[i] * 2; ++k) {
                const uint8_t *stored = pairs.wanted + (size_t)((first + 2) * 2 + k) * 2;
                assert_int_equal((uint16_t)small[i][k / 2][k % 2], stored[0] << 8 | stored[1]);
            }
        }
        const rbc__block_cache_counts counts = counts_of(f);
        assert_int_equal(counts.num_reads, counts.num_unpacked);
        free(floats.wanted);
        free(pairs.wanted);
    }
}

/* Of an array's chunks one is damaged: who has no rows of it has his rows. */
static void damaged_chunks_fail_their_rows(void **state) {
    fixture *f = *state;
    uint64_t at = 64;
    made_array floats = {.rows = 30, .columns = 3, .dtype = RBC__F32};
    const uint32_t number = add_array(f, &floats, 10, 3, &at);
    rbc__array_object object;
    rbc__array_chunk chunk = {0};
    assert_int_equal(
        rbc__array_object_decode(f->arrays[number].data, f->arrays[number].size, &object, NULL),
        RBC_OK);
    for (int64_t i = 0; i < 3; ++i) {
        assert_int_equal(rbc__array_chunk_at(&object.array, i, &chunk, NULL), RBC_OK);
        assert_true(chunk.bytes > 0);
    }
    f->store.bad_status = RBC_ERROR_IO;
    f->store.bad_begin = (uint64_t)chunk.offset;
    f->store.bad_end = (uint64_t)chunk.offset + 1;
    begin_layout(f, 30);
    add_run_in_array(f, FLOATS, &floats, number, 30, 0);
    end_layout(f);
    float read[3][10][3];
    int32_t rank;
    for (int32_t i = 0; i < 3; ++i) {
        rbc__request_for(f->request, i, 0);
        assert_int_equal(
            rbc__request_values(f->request, &f->parsed, FLOATS, 6 * i, 10, read[i], NULL), RBC_OK);
    }
    (void)run_request(f);
    assert_null(rbc__request_failure(f->request, 0, &rank));
    assert_null(rbc__request_failure(f->request, 1, &rank));
    const rbc_error *problem = rbc__request_failure(f->request, 2, &rank);
    assert_non_null(problem);
    char part[64];
    (void)snprintf(part, sizeof part, "first.bin: byte %lld: ", (long long)chunk.offset);
    assert_contains(problem->message, part);
    assert_memory_equal(read[0], floats.wanted, sizeof read[0]);
    assert_memory_equal(read[1], floats.wanted + 6 * 12, sizeof read[1]);
    free(floats.wanted);
}

static void runs_past_the_end_of_an_array(void **state) {
    fixture *f = *state;
    uint64_t at = 64;
    float read[20][3];
    made_array floats = {.rows = 10, .columns = 3, .dtype = RBC__F32};
    const uint32_t number = add_array(f, &floats, 4, 3, &at);
    begin_layout(f, 8);
    add_run_in_array(f, FLOATS, &floats, number, 8, 3);
    add_run_in_array(f, DOUBLES, &floats, 9, 8, 0);
    end_layout(f);
    read_values(f, FLOATS, 0, 7, read);
    assert_memory_equal(read, floats.wanted + 3 * 12, 7 * 12);
    rbc_error err = fail_values(f, FLOATS, 0, 8, read);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, "stream 'floats' of record 7: its rows are not those");
    err = fail_values(f, DOUBLES, 0, 1, read);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_contains(err.message, "there is no array 9");
    free(floats.wanted);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)
    const struct CMUnitTest tests[] = {
        TEST(a_block_is_read_and_unpacked_once),
        TEST(blocks_of_varints),
        TEST(pixels_in_a_block),
        TEST(a_damaged_block_fails_all_who_want_it),
        TEST(a_block_that_cannot_be_read_is_read_again),
        TEST(blocks_that_contradict_each_other),
        TEST(requests_that_are_split),
        TEST(rows_are_gathered_from_chunks),
        TEST(damaged_chunks_fail_their_rows),
        TEST(runs_past_the_end_of_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
