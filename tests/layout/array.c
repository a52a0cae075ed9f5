/* Arrays: encoded, decoded and gathered against index arithmetic element by element. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/array_copy.h"

enum { BLOBS = 1000, PACKINGS = 4 };

static uint64_t state = 1;

static uint64_t any_number(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * UINT64_C(0x2545F4914F6CDD1D) >> 16;
}

static int64_t up_to(int64_t most) {
    return (int64_t)(any_number() % ((uint64_t)most + 1));
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

/* Number of the element at place `place` of a chunk, or -1 past the array's edge. */
static int64_t element_in_chunk(const rbc__array_description *array, int64_t chunk, int64_t place) {
    int64_t grid[RBC__ARRAY_MAX_DIMS];
    int64_t at[RBC__ARRAY_MAX_DIMS];
    int64_t within[RBC__ARRAY_MAX_DIMS];
    grid_of(array, grid);
    unravel(chunk, grid, NULL, array->ndim, at);
    unravel(place, array->chunk_shape, array->order, array->ndim, within);
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
    for (int64_t place = 0; place < elements; ++place) {
        const int64_t element = element_in_chunk(array, chunk, place);
        for (int64_t i = 0; i < array->element_bytes; ++i) {
            bytes[place * array->element_bytes + i] = element < 0 ? 0xEE : byte_of(element, i);
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
    rbc__array_chunk *places = calloc(num_chunks + 1, sizeof *places);
    uint8_t **chunks = calloc(num_chunks + 1, sizeof *chunks);
    assert_true(places != NULL && chunks != NULL);
    const int64_t absent = up_to(3) == 0 ? up_to(9) : -1;
    for (size_t i = 0; i < num_chunks; ++i) {
        chunks[i] = make_chunk(&description, (int64_t)i);
        if (up_to(9) > absent) {
            places[i] = (rbc__array_chunk){(uint32_t)up_to(BLOBS - 1),
                                           up_to(1) == 0 ? 0 : (uint32_t)any_number(),
                                           up_to(INT64_C(1) << up_to(40)), 1 + up_to(100000)};
        }
    }
    description.chunks = places;
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
    free(places);
    rbc__bytes_free(&encoded);
}

static void rows_are_those_of_index_arithmetic(void **unused) {
    (void)unused;
    for (int i = 0; i < 1500; ++i) {
        check_random_array();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_index_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
