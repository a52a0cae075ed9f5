/* Tables of integers: whatever goes in comes out, in as many bytes as it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/int_table.h"

static int64_t value_of(const void *source, int64_t row, int32_t column) {
    return ((const int64_t *)source)[row * RBC__INT_TABLE_MAX_COLUMNS + column];
}

/* Encodes the first columns of `values` [num_rows, RBC__INT_TABLE_MAX_COLUMNS], decodes bytes of the
 * very size and compares; returns the bytes of a row. */
static int32_t check(const int64_t *values, int64_t num_rows, int32_t num_columns) {
    rbc__bytes encoded = {0};
    rbc__int_table_encode(value_of, values, num_rows, num_columns, &encoded);
    assert_int_equal(rbc__bytes_check(&encoded, NULL), RBC_OK);
    uint8_t *bytes = malloc(encoded.size);
    assert_non_null(bytes);
    memcpy(bytes, encoded.data, encoded.size);
    uint64_t at = 0;
    rbc__int_table table;
    assert_true(rbc__int_table_decode(bytes, encoded.size, &at, num_rows, num_columns, &table));
    assert_int_equal(at, encoded.size);
    for (int64_t row = 0; row < num_rows; ++row) {
        for (int32_t column = 0; column < num_columns; ++column) {
            const int64_t wanted = value_of(values, row, column);
            if (wanted != RBC__INT_TABLE_ANY) {
                assert_int_equal(rbc__int_table_get(&table, row, column), wanted);
            }
        }
    }
    const int32_t row_bytes = table.row_bytes;
    for (uint64_t end = 0; end < encoded.size; ++end) {
        at = 0;
        assert_false(rbc__int_table_decode(bytes, end, &at, num_rows, num_columns, &table));
        assert_true(at <= end);
    }
    free(bytes);
    rbc__bytes_free(&encoded);
    return row_bytes;
}

static void columns_take_what_they_need(void **unused) {
    (void)unused;
    const int64_t low = INT64_MIN + 1;
    const int64_t high = INT64_MAX;
    const int64_t any = RBC__INT_TABLE_ANY;
    const struct {
        int64_t rows[4];
        int32_t bytes;
    } cases[] = {
        {{5, 5, 5, 5}, 0},
        {{any, any, any, any}, 0},
        {{0, 100, 200, 300}, 0},
        {{300, 200, 100, 0}, 0},
        {{0, 3, 5, 8}, 1},
        {{0, 0, 0, 255}, 1},
        {{0, 1000, 0, 1000}, 2},
        {{low, high, low, high}, 8},
        {{high, low, high, low}, 8},
        {{low, low / 2, 0, high / 2}, 8},
        {{high, high - 1, high - 2, high - 3}, 0},
        {{low, low, low, low}, 0},
        {{any, 7, any, 9}, 0},
        {{7, any, any, 7}, 0},
        {{any, any, low, any}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        int64_t values[4 * RBC__INT_TABLE_MAX_COLUMNS] = {0};
        for (int64_t row = 0; row < 4; ++row) {
            values[row * RBC__INT_TABLE_MAX_COLUMNS] = cases[i].rows[row];
        }
        assert_int_equal(check(values, 4, 1), cases[i].bytes);
    }
    assert_int_equal(check(NULL, 0, 3), 0);
}

static void any_integers_come_back(void **unused) {
    (void)unused;
    enum { ROWS = 50 };
    static int64_t values[ROWS * RBC__INT_TABLE_MAX_COLUMNS];
    uint64_t number = 1;
    for (int trial = 0; trial < 3000; ++trial) {
        const int64_t rows = 1 + trial % ROWS;
        for (int64_t row = 0; row < rows; ++row) {
            for (int32_t column = 0; column < RBC__INT_TABLE_MAX_COLUMNS; ++column) {
                number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                values[row * RBC__INT_TABLE_MAX_COLUMNS + column] =
                    (int64_t)number >> (trial * 7 + column * 13) % 64;
            }
        }
        check(values, rows, 1 + trial % RBC__INT_TABLE_MAX_COLUMNS);
    }
}

static void damage_is_refused(void **unused) {
    (void)unused;
    const struct {
        const char *bytes;
        uint64_t size;
        int64_t num_rows;
        bool ok;
    } cases[] = {
        {"\0\0\1ab", 5, 2, true},
        {"\0\0\1ab", 5, 3, false},
        {"\0\0\1ab", 5, -1, false},
        {"\0\0\x09"
         "ab",
         5, 0, false},
        {"\0\0\0", 3, INT64_MAX, true},
        {"\0\0\3", 3, INT64_MAX / 2, false},
        {"\0\0\x08", 3, INT64_MAX, false},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0", 11, 0, false},
        {"\x80\0\0", 3, 0, false},
        {"", 0, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        uint64_t at = 0;
        rbc__int_table table;
        assert_int_equal(rbc__int_table_decode((const uint8_t *)cases[i].bytes, cases[i].size, &at,
                                               cases[i].num_rows, 1, &table),
                         cases[i].ok);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_take_what_they_need),
        cmocka_unit_test(any_integers_come_back),
        cmocka_unit_test(damage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
