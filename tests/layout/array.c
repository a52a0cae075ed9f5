/* Arrays: encoded, decoded and gathered against index arithmetic element by element. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "damage.h"
#include "layout/array_copy.h"

enum { BLOBS = 1000, PACKINGS = 4 };

static uint64_t state = 1;

static uint64_t any_number(void) {
    return xorshift_number(&state) >> 16;
}

static int64_t up_to(int64_t most) {
    return xorshift_up_to(&state, most);
}

/* ---- an array by index arithmetic ---- */

/* Byte `i` of the element with that number in C order. */
static uint8_t byte_of(int64_t element, int64_t i) {
    const uint64_t mixed = ((uint64_t)element * 16 + (uint64_t)i) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint8_t)(mixed >> 56);
}

static int64_t product(const int64_t *extents, int32_t begin, int32_t end) {
    int64_t result = 1;
    for (int32_t i = begin; i < end; ++i) {
        result *= extents[i];
    }
    return result;
}

/* Coordinates of number `index` where the last of `axes` goes fastest. */
static void unravel(int64_t index, const int64_t *extents, const uint8_t *axes, int32_t ndim,
                    int64_t *at) {
    for (int32_t i = ndim - 1; i >= 0; --i) {
        const int32_t axis = axes != NULL ? axes[i] : i;
        at[axis] = index % extents[axis];
        index /= extents[axis];
    }
}

static void grid_of(const rbc__array_description *array, int64_t *grid) {
    for (int32_t i = 0; i < array->ndim; ++i) {
        grid[i] = (array->shape[i] + array->chunk_shape[i] - 1) / array->chunk_shape[i];
    }
}

/* Number in the array of element `index` of a chunk, or -1 past the array's edge. */
static int64_t element_in_chunk(const rbc__array_description *array, int64_t chunk, int64_t index) {
    int64_t grid[RBC__ARRAY_MAX_DIMS];
    int64_t at[RBC__ARRAY_MAX_DIMS];
    int64_t within[RBC__ARRAY_MAX_DIMS];
    grid_of(array, grid);
    unravel(chunk, grid, NULL, array->ndim, at);
    unravel(index, array->chunk_shape, array->order, array->ndim, within);
    int64_t element = 0;
    for (int32_t i = 0; i < array->ndim; ++i) {
        const int64_t coordinate = at[i] * array->chunk_shape[i] + within[i];
        if (coordinate >= array->shape[i]) {
            return -1;
        }
        element = element * array->shape[i] + coordinate;
    }
    return element;
}

/* What a chunk holds unpacked; malloc'ed to its very size, so that the sanitizers see its end. */
static uint8_t *make_chunk(const rbc__array_description *array, int64_t chunk) {
    const int64_t elements = product(array->chunk_shape, 0, array->ndim);
    uint8_t *bytes = malloc((size_t)(elements * array->element_bytes));
    assert_non_null(bytes);
    for (int64_t index = 0; index < elements; ++index) {
        const int64_t element = element_in_chunk(array, chunk, index);
        for (int64_t i = 0; i < array->element_bytes; ++i) {
            bytes[index * array->element_bytes + i] = element < 0 ? 0xEE : byte_of(element, i);
        }
    }
    return bytes;
}

static int64_t chunk_of_element(const rbc__array_description *array, int64_t element) {
    int64_t grid[RBC__ARRAY_MAX_DIMS];
    int64_t at[RBC__ARRAY_MAX_DIMS];
    grid_of(array, grid);
    unravel(element, array->shape, NULL, array->ndim, at);
    int64_t chunk = 0;
    for (int32_t i = 0; i < array->ndim; ++i) {
        chunk = chunk * grid[i] + at[i] / array->chunk_shape[i];
    }
    return chunk;
}

static uint8_t wanted_byte(const rbc__array_description *array, int64_t element, int64_t i) {
    if (array->chunks[chunk_of_element(array, element)].bytes != 0) {
        return byte_of(element, i);
    }
    return array->fill != NULL ? ((const uint8_t *)array->fill)[i] : 0;
}

/* ---- encoded and back ---- */

static void encode(const rbc__array_description *description, rbc__bytes *out) {
    rbc_error err;
    if (rbc__array_encode(description, out, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
}

static void decode(const rbc__bytes *bytes, rbc__array *out) {
    rbc_error err;
    if (rbc__array_decode(bytes->data, bytes->size, PACKINGS, BLOBS, out, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
}

static void check_chunks(const rbc__array_description *description, const rbc__array *array) {
    assert_int_equal(array->num_chunks, description->num_chunks);
    for (int64_t i = 0; i < array->num_chunks; ++i) {
        const rbc__array_chunk *wanted = &description->chunks[i];
        rbc__array_chunk found;
        assert_int_equal(rbc__array_chunk_at(array, i, &found, NULL), RBC_OK);
        assert_int_equal(found.bytes, wanted->bytes);
        if (wanted->bytes != 0) {
            assert_int_equal(found.blob, wanted->blob);
            assert_int_equal(found.skipped, wanted->skipped);
            assert_int_equal(found.offset, wanted->offset);
        }
    }
}

/* Gathers rows and compares each byte; what lies around the rows must stay. */
static void check_rows(const rbc__array_description *description, const rbc__array *array,
                       uint8_t *const *chunks, int64_t first, int64_t count) {
    const int64_t row_elements = product(description->shape, 1, description->ndim);
    const int64_t row_bytes = row_elements * description->element_bytes;
    assert_int_equal(array->row_bytes, row_bytes);
    uint8_t *rows = malloc((size_t)(count * row_bytes + 1));
    assert_non_null(rows);
    memset(rows, 0x55, (size_t)(count * row_bytes + 1));
    int64_t begin;
    int64_t end;
    rbc__array_cover(array, first, count, &begin, &end);
    assert_true(begin >= 0 && end <= array->num_chunks && begin <= end);
    for (int64_t element = first * row_elements; element < (first + count) * row_elements;
         ++element) {
        const int64_t chunk = chunk_of_element(description, element);
        assert_true(chunk >= begin && chunk < end);
    }
    for (int64_t i = begin; i < end; ++i) {
        const rbc__array_piece piece = rbc__array_piece_of(array, i, first, count);
        assert_true(piece.count > 0 && piece.first >= first &&
                    piece.first + piece.count <= first + count);
        assert_true(piece.offset >= 0 && piece.bytes > 0 &&
                    piece.bytes <= array->chunk_bytes - piece.offset);
        if (description->chunks[i].bytes == 0) {
            rbc__array_fill(array, i, first, count, rows);
            continue;
        }
        uint8_t *bytes = malloc((size_t)piece.bytes);
        assert_non_null(bytes);
        memcpy(bytes, chunks[i] + piece.offset, (size_t)piece.bytes);
        rbc__array_copy(array, i, first, count, bytes, rows);
        if (array->is_plain) {
            assert_int_equal(piece.bytes, piece.count * row_bytes);
            assert_memory_equal(rows + (piece.first - first) * row_bytes, bytes,
                                (size_t)piece.bytes);
        }
        free(bytes);
    }
    for (int64_t i = 0; i < count * row_bytes; ++i) {
        const int64_t element = first * row_elements + i / description->element_bytes;
        assert_int_equal(rows[i],
                         wanted_byte(description, element, i % description->element_bytes));
    }
    assert_int_equal(rows[count * row_bytes], 0x55);
    free(rows);
}

static void random_order(int32_t ndim, uint8_t *order) {
    for (int32_t i = 0; i < ndim; ++i) {
        const int64_t other = up_to(i);
        order[i] = (uint8_t)i;
        order[i] = order[other];
        order[other] = (uint8_t)i;
    }
}

static void check_random_array(void) {
    static const int64_t most[RBC__ARRAY_MAX_DIMS + 1] = {0, 60, 24, 9, 6, 4, 3, 3, 2};
    uint8_t order[RBC__ARRAY_MAX_DIMS];
    uint8_t fill[16];
    rbc__array_description description = {.ndim = 1 + (int32_t)up_to(7)};
    for (int32_t i = 0; i < description.ndim; ++i) {
        description.shape[i] = up_to(99) < 3 ? 0 : 1 + up_to(most[description.ndim] - 1);
        description.chunk_shape[i] =
            up_to(2) == 0 ? description.shape[i] + (description.shape[i] == 0) + (up_to(9) == 0)
                          : 1 + up_to(most[description.ndim] - 1);
    }
    description.element_bytes = 1 + up_to(15);
    description.packing = (uint32_t)up_to(PACKINGS - 1);
    if (up_to(2) == 0) {
        random_order(description.ndim, order);
        description.order = order;
    }
    if (up_to(1) == 0) {
        for (size_t i = 0; i < sizeof fill; ++i) {
            fill[i] = (uint8_t)any_number();
        }
        description.fill = fill;
    }
    assert_int_equal(rbc__array_num_chunks(&description, &description.num_chunks, NULL), RBC_OK);
    int64_t grid[RBC__ARRAY_MAX_DIMS];
    grid_of(&description, grid);
    assert_int_equal(description.num_chunks, product(grid, 0, description.ndim));
    const size_t num_chunks = (size_t)description.num_chunks;
    rbc__array_chunk *stored = calloc(num_chunks + 1, sizeof *stored);
    uint8_t **chunks = calloc(num_chunks + 1, sizeof *chunks);
    assert_true(stored != NULL && chunks != NULL);
    const int64_t absent = up_to(3) == 0 ? up_to(9) : -1;
    for (size_t i = 0; i < num_chunks; ++i) {
        chunks[i] = make_chunk(&description, (int64_t)i);
        if (up_to(9) > absent) {
            stored[i] = (rbc__array_chunk){(uint32_t)up_to(BLOBS - 1),
                                           up_to(1) == 0 ? 0 : (uint32_t)any_number(),
                                           up_to(INT64_C(1) << up_to(40)), 1 + up_to(100000)};
        }
    }
    description.chunks = stored;
    rbc__bytes encoded = {0};
    rbc__array array;
    encode(&description, &encoded);
    decode(&encoded, &array);
    assert_int_equal(array.packing, description.packing);
    check_chunks(&description, &array);
    const int64_t rows = description.shape[0];
    check_rows(&description, &array, chunks, 0, rows);
    check_rows(&description, &array, chunks, rows, 0);
    for (int i = 0; i < 6 && rows > 0; ++i) {
        const int64_t first = up_to(rows - 1);
        check_rows(&description, &array, chunks, first, up_to(rows - first));
        check_rows(&description, &array, chunks, first, 1);
    }
    for (int64_t row = 0; row < rows; row += description.chunk_shape[0]) { /* borders of chunks */
        const int64_t rest = rows - row;
        check_rows(&description, &array, chunks, row,
                   rest < description.chunk_shape[0] ? rest : description.chunk_shape[0]);
        check_rows(&description, &array, chunks, row - (row > 0), rest < 1 ? rest : 1 + (row > 0));
    }
    for (size_t i = 0; i < num_chunks; ++i) {
        free(chunks[i]);
    }
    free(chunks);
    free(stored);
    rbc__bytes_free(&encoded);
}

static void rows_are_those_of_index_arithmetic(void **unused) {
    (void)unused;
    for (int i = 0; i < 1500; ++i) {
        check_random_array();
    }
}

/* ---- what is stored, and how large it is ---- */

/* Chunks one behind the other in one blob, whose sizes vary by `spread`. */
static rbc__array_chunk *make_stored(int64_t num_chunks, int64_t bytes, int64_t spread) {
    rbc__array_chunk *stored = calloc((size_t)num_chunks, sizeof *stored);
    assert_non_null(stored);
    int64_t offset = 2048;
    for (int64_t i = 0; i < num_chunks; ++i) {
        stored[i] = (rbc__array_chunk){3, 0, offset, bytes + up_to(spread)};
        offset += stored[i].bytes;
    }
    return stored;
}

static size_t encoded_bytes(rbc__array_description *description) {
    rbc__bytes encoded = {0};
    rbc__array array;
    encode(description, &encoded);
    decode(&encoded, &array);
    check_chunks(description, &array);
    const size_t size = encoded.size;
    rbc__bytes_free(&encoded);
    return size;
}

static void h5py_row_touches_48_chunks(void **unused) {
    (void)unused;
    rbc__array_description images = {.ndim = 4,
                                     .shape = {500, 84, 84, 3},
                                     .chunk_shape = {63, 21, 21, 1},
                                     .element_bytes = 1,
                                     .num_chunks = 8 * 48};
    rbc__array_chunk *stored = make_stored(images.num_chunks, 20000, 8000);
    images.chunks = stored;
    rbc__bytes encoded = {0};
    rbc__array array;
    encode(&images, &encoded);
    decode(&encoded, &array);
    int64_t begin;
    int64_t end;
    rbc__array_cover(&array, 125, 1, &begin, &end);
    assert_int_equal(begin, 48);
    assert_int_equal(end, 96);
    rbc__array_cover(&array, 125, 2, &begin, &end);
    assert_int_equal(begin, 48);
    assert_int_equal(end, 144);
    const rbc__array_piece piece = rbc__array_piece_of(&array, 143, 125, 2);
    assert_int_equal(piece.first, 126);
    assert_int_equal(piece.count, 1);
    assert_int_equal(piece.offset, 0);
    assert_int_equal(piece.bytes, 441);
    assert_false(array.is_plain);
    assert_true(encoded.size <= 6 * (size_t)images.num_chunks);
    rbc__bytes_free(&encoded);
    free(stored);
}

static void a_million_chunks_take_six_bytes_each(void **unused) {
    (void)unused;
    enum { CHUNKS = 1000000 };
    rbc__array_description images = {.ndim = 1,
                                     .shape = {CHUNKS},
                                     .chunk_shape = {1},
                                     .element_bytes = 30000,
                                     .num_chunks = CHUNKS};
    rbc__array_chunk *stored = make_stored(CHUNKS, 20000, 8000);
    images.chunks = stored;
    assert_true(encoded_bytes(&images) <= (size_t)6 * CHUNKS);
    free(stored);
}

static void even_chunks_take_no_bytes(void **unused) {
    (void)unused;
    enum { CHUNKS = 1000 };
    rbc__array_description even = {
        .ndim = 2, .shape = {CHUNKS, 7}, .chunk_shape = {1, 7}, .element_bytes = 4};
    even.num_chunks = CHUNKS;
    rbc__array_chunk *stored = make_stored(CHUNKS, 28, 0);
    even.chunks = stored;
    assert_true(encoded_bytes(&even) < 32);
    for (uint32_t i = 0; i < CHUNKS; ++i) { /* a file each */
        stored[i] = (rbc__array_chunk){i, 0, 0, 28};
    }
    assert_true(encoded_bytes(&even) < 32);
    even.chunks = NULL;
    rbc__bytes encoded = {0};
    rbc__array array;
    rbc__array_chunk chunk;
    encode(&even, &encoded);
    decode(&encoded, &array);
    assert_true(encoded.size < 32);
    assert_int_equal(rbc__array_chunk_at(&array, CHUNKS - 1, &chunk, NULL), RBC_OK);
    assert_int_equal(chunk.bytes, 0);
    rbc__bytes_free(&encoded);
    free(stored);
}

static void whole_array_is_one_plain_chunk(void **unused) {
    (void)unused;
    rbc__array_chunk chunk = {0, 0, 4096, 500 * 28};
    rbc__array_description whole = {.ndim = 2,
                                    .shape = {500, 7},
                                    .chunk_shape = {500, 7},
                                    .element_bytes = 4,
                                    .chunks = &chunk,
                                    .num_chunks = 1};
    rbc__bytes encoded = {0};
    rbc__array array;
    encode(&whole, &encoded);
    decode(&encoded, &array);
    assert_true(array.is_plain);
    const rbc__array_piece piece = rbc__array_piece_of(&array, 0, 499, 1);
    assert_int_equal(piece.offset, 499 * 28);
    assert_int_equal(piece.bytes, 28);
    rbc__bytes_free(&encoded);
}

/* ---- what cannot be ---- */

static void descriptions_that_cannot_be_are_refused(void **unused) {
    (void)unused;
    static const uint8_t twice[2] = {1, 1};
    static const uint8_t past[2] = {0, 2};
    static const rbc__array_chunk negative = {0, 0, -1, 4};
    static const rbc__array_chunk far = {0, 0, INT64_MAX, 4};
    static const rbc__array_chunk good = {0, 0, INT64_MAX - 4, 4};
    const int64_t huge = INT64_C(1) << 62;
    const struct {
        rbc__array_description array;
        const char *wanted; /* in the message; NULL: it can be */
    } cases[] = {
        {{.ndim = 0, .element_bytes = 1}, "found 0 axes"},
        {{.ndim = 9, .element_bytes = 1}, "found 9 axes"},
        {{.ndim = 1, .shape = {4}, .chunk_shape = {4}}, "0 bytes an element"},
        {{.ndim = 1, .shape = {-1}, .chunk_shape = {4}, .element_bytes = 1}, "out of range"},
        {{.ndim = 1, .shape = {4}, .chunk_shape = {0}, .element_bytes = 1}, "out of range"},
        {{.ndim = 1, .shape = {huge}, .chunk_shape = {1}, .element_bytes = 2}, "past int64"},
        {{.ndim = 1, .shape = {1}, .chunk_shape = {huge}, .element_bytes = 2}, "past int64"},
        {{.ndim = 2, .shape = {huge, 2}, .chunk_shape = {1, 1}, .element_bytes = 1}, "past int64"},
        {{.ndim = 3, .shape = {huge, 2, 0}, .chunk_shape = {1, 1, 1}, .element_bytes = 1},
         "past int64"},
        {{.ndim = 2, .shape = {1, 1}, .chunk_shape = {1, 1}, .order = twice, .element_bytes = 1},
         "no permutation"},
        {{.ndim = 2, .shape = {1, 1}, .chunk_shape = {1, 1}, .order = past, .element_bytes = 1},
         "no permutation"},
        {{.ndim = 1, .shape = {4}, .chunk_shape = {4}, .element_bytes = 1, .chunks = &good},
         "found 0 chunks, wanted 1"},
        {{.ndim = 1,
          .shape = {4},
          .chunk_shape = {4},
          .element_bytes = 1,
          .chunks = &negative,
          .num_chunks = 1},
         "chunk 0 of an array: found 4 bytes from byte -1"},
        {{.ndim = 1,
          .shape = {4},
          .chunk_shape = {4},
          .element_bytes = 1,
          .chunks = &far,
          .num_chunks = 1},
         "within int64"},
        {{.ndim = 1,
          .shape = {4},
          .chunk_shape = {4},
          .element_bytes = 1,
          .chunks = &good,
          .num_chunks = 1},
         NULL},
        {{.ndim = 1, .shape = {INT64_MAX}, .chunk_shape = {1}, .element_bytes = 1}, NULL},
        {{.ndim = 2, .shape = {huge, 0}, .chunk_shape = {1, 1}, .element_bytes = 1}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes encoded = {0};
        rbc_error err = {0};
        const rbc_status status = rbc__array_encode(&cases[i].array, &encoded, &err);
        if (cases[i].wanted == NULL) {
            rbc__array array;
            assert_int_equal(status, RBC_OK);
            decode(&encoded, &array);
        } else if (status != RBC_ERROR_INVALID_ARGUMENT ||
                   strstr(err.message, cases[i].wanted) == NULL) {
            fail_msg("case %zu: status %d, '%s', wanted '%s'", i, (int)status, err.message,
                     cases[i].wanted);
        }
        rbc__bytes_free(&encoded);
    }
}

static void sizes_near_int64_are_exact(void **unused) {
    (void)unused;
    const int64_t rows = INT64_MAX / 3;
    rbc__array_description far = {
        .ndim = 2, .shape = {rows, 3}, .chunk_shape = {1000, 2}, .element_bytes = 1};
    rbc__bytes encoded = {0};
    rbc__array array;
    encode(&far, &encoded);
    decode(&encoded, &array);
    assert_int_equal(array.num_chunks, (rows + 999) / 1000 * 2);
    int64_t begin;
    int64_t end;
    rbc__array_cover(&array, rows - 1, 1, &begin, &end);
    assert_int_equal(begin, array.num_chunks - 2);
    assert_int_equal(end, array.num_chunks);
    uint8_t row[4] = {9, 9, 9, 9};
    rbc__array_fill(&array, begin + 1, rows - 1, 1, row);
    assert_memory_equal(row, ((uint8_t[]){9, 9, 0, 9}), 4);
    rbc__array_cover(&array, 0, rows, &begin, &end);
    assert_int_equal(begin, 0);
    assert_int_equal(end, array.num_chunks);
    rbc__bytes_free(&encoded);
}

/* ---- damage ---- */

/* All that may be asked of an array that was decoded; the sanitizers see what is out of bounds. */
static void walk(const rbc__array *array) {
    enum { MOST = 4096 };
    for (int64_t i = 0; i < array->num_chunks && i < 64; ++i) {
        rbc__array_chunk chunk;
        rbc_error err;
        const rbc_status status = rbc__array_chunk_at(array, i, &chunk, &err);
        assert_true(status == RBC_OK || status == RBC_ERROR_FORMAT);
        if (status == RBC_OK && chunk.bytes != 0) {
            assert_true(chunk.blob < array->num_blobs && chunk.offset >= 0 && chunk.bytes > 0 &&
                        chunk.bytes <= INT64_MAX - chunk.offset);
        }
    }
    if (array->shape[0] == 0 || array->row_bytes > MOST || array->chunk_bytes > MOST) {
        return;
    }
    int64_t begin;
    int64_t end;
    const int64_t last = array->shape[0] - 1;
    rbc__array_cover(array, last, 1, &begin, &end);
    uint8_t *row = malloc((size_t)array->row_bytes + 1);
    assert_non_null(row);
    for (int64_t i = begin; i < end; ++i) {
        const rbc__array_piece piece = rbc__array_piece_of(array, i, last, 1);
        uint8_t *bytes = calloc(1, (size_t)piece.bytes);
        assert_non_null(bytes);
        rbc__array_copy(array, i, last, 1, bytes, row);
        rbc__array_fill(array, i, last, 1, row);
        free(bytes);
    }
    free(row);
}

static rbc_status try(const uint8_t *bytes, size_t size) {
    rbc__array array;
    rbc_error err;
    const rbc_status status = rbc__array_decode(bytes, size, PACKINGS, BLOBS, &array, &err);
    if (status == RBC_OK) {
        walk(&array);
    }
    return status;
}

static void damaged_arrays_are_refused_or_stay_within(void **unused) {
    (void)unused;
    static const uint8_t order[3] = {2, 0, 1};
    rbc__array_description description = {.ndim = 3,
                                          .shape = {10, 4, 3},
                                          .chunk_shape = {4, 3, 1},
                                          .order = order,
                                          .element_bytes = 2,
                                          .fill = "\x01\x02",
                                          .packing = 3,
                                          .num_chunks = 18};
    rbc__array_chunk *stored = make_stored(18, 20, 9);
    stored[7] = (rbc__array_chunk){0};
    stored[9].skipped = 5;
    description.chunks = stored;
    rbc__bytes encoded = {0};
    encode(&description, &encoded);
    rbc__array array;
    damage_all(try, &encoded, &state);
    assert_int_equal(rbc__array_decode(encoded.data, encoded.size, 3, BLOBS, &array, NULL),
                     RBC_ERROR_FORMAT);
    rbc_error err;
    rbc__array_chunk chunk;
    assert_int_equal(rbc__array_decode(encoded.data, encoded.size, PACKINGS, 3, &array, &err),
                     RBC_OK);
    assert_int_equal(rbc__array_chunk_at(&array, 0, &chunk, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "of blob 3 on, wanted them within int64 and one of 3"));
    rbc__bytes_free(&encoded);
    free(stored);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_index_arithmetic),
        cmocka_unit_test(h5py_row_touches_48_chunks),
        cmocka_unit_test(a_million_chunks_take_six_bytes_each),
        cmocka_unit_test(even_chunks_take_no_bytes),
        cmocka_unit_test(whole_array_is_one_plain_chunk),
        cmocka_unit_test(descriptions_that_cannot_be_are_refused),
        cmocka_unit_test(sizes_near_int64_are_exact),
        cmocka_unit_test(damaged_arrays_are_refused_or_stay_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
