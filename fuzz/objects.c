/* Fuzzes the arrays of a catalog as they are loaded, packing and chunks: what rows need of a chunk
 * lies within it, and what a chunk has goes where the rows are. An input is an array object. */
#include "fuzz.h"

#include <string.h>

#include "layout/array_copy.h"
#include "layout/blobs.h"
#include "layout/object.h"

enum { MAX_ROWS_BYTES = 1 << 12, MAX_CHUNKS = 64 };

/* Gathers rows of chunks that are zeros; nothing else is written to. */
static void gather(const rbc__array *array, int64_t first, int64_t count) {
    int64_t begin;
    int64_t end;
    rbc__array_cover(array, first, count, &begin, &end);
    fuzz_require(begin >= 0 && begin <= end && end <= array->num_chunks);
    if (array->row_bytes == 0 || count > MAX_ROWS_BYTES / array->row_bytes ||
        array->chunk_bytes > MAX_ROWS_BYTES || end - begin > MAX_CHUNKS) {
        return;
    }
    uint8_t *rows = malloc((size_t)(count * array->row_bytes));
    fuzz_require(rows != NULL);
    for (int64_t i = begin; i < end; ++i) {
        rbc__array_chunk chunk;
        const rbc__array_piece piece = rbc__array_piece_of(array, i, first, count);
        fuzz_require(piece.count > 0 && piece.first >= first &&
                     piece.first + piece.count <= first + count);
        fuzz_require(piece.offset >= 0 && piece.bytes >= 0 &&
                     piece.bytes <= array->chunk_bytes - piece.offset);
        if (rbc__array_chunk_at(array, i, &chunk, NULL) != RBC_OK) {
            continue;
        }
        fuzz_require(chunk.bytes == 0 || (chunk.blob <= RBC__COLUMN_BLOB && chunk.offset >= 0 &&
                                          chunk.bytes <= INT64_MAX - chunk.offset));
        if (chunk.bytes == 0) {
            rbc__array_fill(array, i, first, count, rows);
            continue;
        }
        uint8_t *bytes = calloc(1, (size_t)piece.bytes + 1);
        fuzz_require(bytes != NULL);
        rbc__array_copy(array, i, first, count, bytes, rows);
        free(bytes);
    }
    free(rows);
}

static void use_array(const rbc__array_object *object) {
    const rbc__array *array = &object->array;
    fuzz_require(rbc__packing_check(&object->packing, NULL) == RBC_OK);
    fuzz_require(array->packing == 0 && array->ndim >= 1 && array->element_bytes >= 1);
    const int64_t rows = array->shape[0];
    for (int64_t first = 0; first < rows && first < 8; ++first) {
        gather(array, first, 1);
        gather(array, first, (rows - first + 1) / 2);
        gather(array, first, rows - first);
        gather(array, rows - 1 - first, first + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__array_object object;
    rbc_error err;
    uint8_t *bytes = malloc(size > 0 ? size : 1); /* its very size, as it is loaded */
    fuzz_require(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    if (rbc__array_object_decode(bytes, size, &object, &err) == RBC_OK) {
        use_array(&object);
    } else {
        fuzz_require(err.status == RBC_ERROR_FORMAT || err.status == RBC_ERROR_UNSUPPORTED);
    }
    free(bytes);
    return 0;
}
