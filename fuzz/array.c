/* Fuzzes the parser of arrays, which a catalog holds, its lookups, and the gathering of rows: every
 * byte of the rows comes from a chunk, and from within its piece. An input is a byte that chooses
 * the rows, then the array. */
#include "fuzz.h"

#include <string.h>

#include "layout/array_copy.h"

enum { NUM_PACKINGS = 4, NUM_BLOBS = 100, MAX_LOOKUPS = 32, MAX_BYTES = 2048 };

static void check_chunk(const rbc__array *array, int64_t index) {
    rbc__array_chunk chunk;
    if (rbc__array_chunk_at(array, index, &chunk, NULL) == RBC_OK && chunk.bytes != 0) {
        fuzz_require(chunk.blob < NUM_BLOBS && chunk.offset >= 0 && chunk.bytes > 0 &&
                     chunk.bytes <= INT64_MAX - chunk.offset);
    }
}

/* Rows all of whose chunks hold ones. */
static void gather(const rbc__array *array, int64_t first, int64_t count) {
    int64_t begin;
    int64_t end;
    rbc__array_cover(array, first, count, &begin, &end);
    fuzz_require(begin >= 0 && begin <= end && end <= array->num_chunks);
    if (array->row_bytes > MAX_BYTES / count || array->chunk_bytes > MAX_BYTES) {
        return;
    }
    const size_t bytes = (size_t)(count * array->row_bytes);
    uint8_t *rows = calloc(1, bytes + 1);
    uint8_t *filled = malloc(bytes + 1); /* looked at, so that the sanitizers see what was not */
    fuzz_require(rows != NULL && filled != NULL);
    for (int64_t i = begin; i < end; ++i) {
        const rbc__array_piece piece = rbc__array_piece_of(array, i, first, count);
        fuzz_require(piece.first >= first && piece.count > 0 &&
                     piece.count <= first + count - piece.first && piece.offset >= 0 &&
                     piece.bytes > 0 && piece.bytes <= array->chunk_bytes - piece.offset);
        uint8_t *ones = malloc((size_t)piece.bytes); /* its very size */
        fuzz_require(ones != NULL);
        memset(ones, 1, (size_t)piece.bytes);
        rbc__array_copy(array, i, first, count, ones, rows);
        rbc__array_fill(array, i, first, count, filled);
        free(ones);
    }
    for (size_t i = 0; i < bytes; ++i) {
        fuzz_require(rows[i] == 1);
    }
    fuzz_drain(filled, bytes);
    free(filled);
    free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    uint8_t *bytes = malloc(size); /* ends where the array does */
    fuzz_require(bytes != NULL);
    memcpy(bytes, data, size);
    rbc__array array;
    if (rbc__array_decode(bytes + 1, size - 1, NUM_PACKINGS, NUM_BLOBS, &array, NULL) == RBC_OK) {
        fuzz_require(array.packing < NUM_PACKINGS && array.row_bytes >= 0);
        for (int64_t i = 0; i < array.num_chunks && i < MAX_LOOKUPS; ++i) {
            check_chunk(&array, i);
            check_chunk(&array, array.num_chunks - 1 - i);
        }
        if (array.shape[0] > 0) {
            const int64_t first = array.shape[0] / 16 * (data[0] >> 4);
            const int64_t rest = array.shape[0] - first;
            gather(&array, first, 1 + (data[0] & 15) < rest ? 1 + (data[0] & 15) : rest);
            gather(&array, array.shape[0] - 1, 1);
        }
    }
    free(bytes);
    return 0;
}
