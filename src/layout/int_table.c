#include "layout/int_table.h"

static uint64_t zigzag(uint64_t value) {
    return value << 1 ^ (value >> 63 ? UINT64_MAX : 0);
}

static uint64_t zigzag_undo(uint64_t code) {
    return code >> 1 ^ (code & 1 ? UINT64_MAX : 0);
}

/* What remains of a value where rows go up by `step`. */
static int64_t remainder_of(int64_t value, uint64_t step, int64_t row) {
    return (int64_t)((uint64_t)value - step * (uint64_t)row);
}

static uint8_t width_of(uint64_t largest) {
    uint8_t width = 0;
    for (; largest > 0; largest >>= 8) {
        ++width;
    }
    return width;
}

/* Sets base and width of a column that goes up by `step`. */
static void fit(rbc__int_table_fn value, const void *source, int64_t num_rows, int32_t column,
                uint64_t step, struct rbc__int_column *out) {
    int64_t lowest = INT64_MAX;
    int64_t highest = INT64_MIN;
    for (int64_t row = 0; row < num_rows; ++row) {
        const int64_t here = value(source, row, column);
        if (here != RBC__INT_TABLE_ANY) {
            const int64_t rest = remainder_of(here, step, row);
            lowest = rest < lowest ? rest : lowest;
            highest = rest > highest ? rest : highest;
        }
    }
    *out = (struct rbc__int_column){.step = step};
    if (lowest <= highest) {
        out->base = (uint64_t)lowest;
        out->width = width_of((uint64_t)highest - (uint64_t)lowest);
    }
}

/* The slope from the first value to the last, to the nearest integer; 0 where it is none. */
static uint64_t slope_of(rbc__int_table_fn value, const void *source, int64_t num_rows,
                         int32_t column) {
    int64_t first = 0;
    int64_t last = num_rows - 1;
    while (first < last && value(source, first, column) == RBC__INT_TABLE_ANY) {
        ++first;
    }
    while (first < last && value(source, last, column) == RBC__INT_TABLE_ANY) {
        --last;
    }
    int64_t rise;
    if (first >= last ||
        __builtin_sub_overflow(value(source, last, column), value(source, first, column), &rise)) {
        return 0;
    }
    const int64_t rows = last - first;
    const int64_t whole = rise / rows;
    const int64_t rest = rise % rows;
    return (uint64_t)whole + (uint64_t)((rest > rows / 2) - (rest < -(rows / 2)));
}

void rbc__int_table_encode(rbc__int_table_fn value, const void *source, int64_t num_rows,
                           int32_t num_columns, rbc__bytes *out) {
    struct rbc__int_column columns[RBC__INT_TABLE_MAX_COLUMNS];
    for (int32_t i = 0; i < num_columns; ++i) {
        struct rbc__int_column sloped;
        fit(value, source, num_rows, i, 0, &columns[i]);
        fit(value, source, num_rows, i, slope_of(value, source, num_rows, i), &sloped);
        if (sloped.width < columns[i].width) {
            columns[i] = sloped;
        }
        rbc__bytes_varint(out, zigzag(columns[i].base));
        rbc__bytes_varint(out, zigzag(columns[i].step));
        rbc__bytes_byte(out, columns[i].width);
    }
    for (int64_t row = 0; row < num_rows && !out->failed; ++row) {
        for (int32_t i = 0; i < num_columns; ++i) {
            const int64_t here = value(source, row, i);
            const uint64_t rest = (uint64_t)remainder_of(here, columns[i].step, row);
            rbc__bytes_fixed(out, here == RBC__INT_TABLE_ANY ? 0 : rest - columns[i].base,
                             columns[i].width);
        }
    }
}

bool rbc__int_table_decode(const uint8_t *bytes, uint64_t end, uint64_t *at, int64_t num_rows,
                           int32_t num_columns, rbc__int_table *out) {
    *out = (rbc__int_table){.num_rows = num_rows, .num_columns = num_columns};
    for (int32_t i = 0; i < num_columns; ++i) {
        struct rbc__int_column *column = &out->columns[i];
        uint64_t base;
        uint64_t step;
        if (!rbc__varint_read(bytes, end, at, &base) || !rbc__varint_read(bytes, end, at, &step) ||
            *at >= end || bytes[*at] > 8) {
            return false;
        }
        column->base = zigzag_undo(base);
        column->step = zigzag_undo(step);
        column->at = (uint8_t)out->row_bytes;
        column->width = bytes[(*at)++];
        out->row_bytes += column->width;
    }
    uint64_t size;
    if (num_rows < 0 ||
        __builtin_mul_overflow((uint64_t)num_rows, (uint64_t)out->row_bytes, &size) ||
        size > end - *at) {
        return false;
    }
    out->rows = bytes + *at;
    out->end = bytes + end;
    *at += size;
    return true;
}
