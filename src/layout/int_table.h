/* Rows of a few integers in few bytes, read where they lie: what chunks, packets and frames are kept
 * in.
 *
 * A value is base + step * row + what the row adds to that, in as many bytes as the column needs, 0
 * to 8; so numbers that go up evenly take no bytes at all. Encoded: of each column zigzag varint
 * base, zigzag varint step, u8 width; then the rows, whose values are in the order of the columns.
 *
 * Sums are modulo 2^64, so that whatever the bytes are there is a value; what it may be is for the
 * caller to check. */
#ifndef RBC_LAYOUT_INT_TABLE_H
#define RBC_LAYOUT_INT_TABLE_H

#include "io/bytes.h"
#include "io/endian.h"

#define RBC__INT_TABLE_MAX_COLUMNS 4

typedef struct rbc__int_table {
    const uint8_t *rows, *end; /* in the encoded bytes */
    int64_t num_rows;
    int32_t num_columns, row_bytes;
    struct rbc__int_column {
        uint64_t base, step;
        uint8_t at, width; /* in a row */
    } columns[RBC__INT_TABLE_MAX_COLUMNS];
} rbc__int_table;

/* The value of a row and column; RBC__INT_TABLE_ANY where no one will ask. */
typedef int64_t (*rbc__int_table_fn)(const void *source, int64_t row, int32_t column);

#define RBC__INT_TABLE_ANY INT64_MIN

/* Appends a table; `value` is called several times for each. */
void rbc__int_table_encode(rbc__int_table_fn value, const void *source, int64_t num_rows,
                           int32_t num_columns, rbc__bytes *out);

/* Parses a table that begins at *at < end of `bytes`, which `out` points into, and steps over it.
 * False where it is cut short or a width is out of range. */
bool rbc__int_table_decode(const uint8_t *bytes, uint64_t end, uint64_t *at, int64_t num_rows,
                           int32_t num_columns, rbc__int_table *out);

/* `row` is within [0, num_rows). */
static inline int64_t rbc__int_table_get(const rbc__int_table *table, int64_t row, int32_t column) {
    const struct rbc__int_column *of = &table->columns[column];
    const uint8_t *at = table->rows + row * table->row_bytes + of->at;
    uint64_t added;
    if (table->end - at < 8) {
        added = rbc__load_uint(at, of->width);
    } else if (of->width == 8) {
        added = rbc__load_u64(at);
    } else {
        added = rbc__load_u64(at) & ((UINT64_C(1) << (8 * of->width)) - 1);
    }
    return (int64_t)(of->base + of->step * (uint64_t)row + added);
}

#endif
