/* Fuzzes the pages of a parquet column: whatever they hold, values lie within their pages or within
 * the column, and there is one for each row. An input is a byte that says how pages are packed and
 * which level a value has, one with the number of rows, and the column. */
#include "fuzz.h"

#include <string.h>

#include "formats/parquet/pages.h"

enum { ORIGIN = 1000 };

static void check_value(const rbc__parquet_value *value, const rbc__parquet_page *pages,
                        size_t num_pages, int64_t column_bytes) {
    fuzz_require(value->bytes >= 0 && value->offset >= 0);
    if (value->page < 0) {
        fuzz_require(value->bytes == 0 || (value->offset >= ORIGIN &&
                                           value->bytes <= ORIGIN + column_bytes - value->offset));
        return;
    }
    fuzz_require((size_t)value->page < num_pages);
    fuzz_require(value->bytes <= pages[value->page].unpacked_bytes - value->offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t kinds[] = {RBC__PACKING_SNAPPY, RBC__PACKING_GZIP, RBC__PACKING_ZSTD,
                                     RBC__PACKING_LZ4_BLOCK};
    if (size < 2) {
        return 0;
    }
    rbc__parquet_chunk chunk = {.offset = ORIGIN,
                                .bytes = (int64_t)size - 2,
                                .num_rows = data[1],
                                .max_definition = data[0] & 3};
    if ((data[0] & 4) != 0) {
        chunk.packing = (rbc__packing){1, {{kinds[data[0] >> 3 & 3], 0}}};
    }
    uint8_t *column = malloc(size - 1); /* ends where it does */
    fuzz_require(column != NULL);
    memcpy(column + 1, data + 2, size - 2);
    rbc__bytes pages = {0};
    rbc__bytes values = {0};
    if (rbc__parquet_find_values(&chunk, column + 1, &pages, &values, NULL) == RBC_OK) {
        const rbc__parquet_value *all = (const rbc__parquet_value *)(const void *)values.data;
        fuzz_require(values.size == (size_t)chunk.num_rows * sizeof *all);
        for (int64_t i = 0; i < chunk.num_rows; ++i) {
            check_value(&all[i], (const rbc__parquet_page *)(const void *)pages.data,
                        pages.size / sizeof(rbc__parquet_page), chunk.bytes);
        }
    }
    rbc__bytes_free(&pages);
    rbc__bytes_free(&values);
    free(column);
    return 0;
}
