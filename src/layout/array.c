#include "layout/array.h"

#include <inttypes.h>

#include "core/error.h"
#include "core/tensor.h"

enum { VERSION = 1, NDIM_MASK = 0x0f, HAS_ORDER = 0x10, HAS_FILL = 0x20 };

enum { BLOB, OFFSET, BYTES, SKIPPED, NUM_COLUMNS };

/* ---- shape ---- */

/* What is wrong with the shape, or NULL; sets all that follows from it. */
static const char *set_shape(const int64_t *shape, const int64_t *chunk_shape, const uint8_t *order,
                             rbc__array *array) {
    const int32_t ndim = array->ndim;
    uint32_t seen = 0;
    int64_t elements = array->element_bytes;
    array->chunk_bytes = array->element_bytes;
    array->num_chunks = 1;
    if (array->element_bytes < 1) {
        return "an element has no bytes";
    }
    for (int32_t i = ndim - 1; i >= 0; --i) {
        const int32_t axis = order != NULL ? order[i] : i;
        if (axis >= ndim || (seen >> axis & 1) != 0) {
            return "the order of its axes is no permutation";
        }
        seen |= UINT32_C(1) << axis;
        if (shape[i] < 0 || chunk_shape[i] < 1 || chunk_shape[axis] < 1) {
            return "an extent is out of range";
        }
        array->shape[i] = shape[i];
        array->chunk_shape[i] = chunk_shape[i];
        array->grid[i] = shape[i] / chunk_shape[i] + (shape[i] % chunk_shape[i] != 0);
        array->stride[i] = elements;
        array->chunk_stride[axis] = array->chunk_bytes;
        if (!rbc__mul_size(elements, shape[i] > 0 ? shape[i] : 1, &elements) ||
            !rbc__mul_size(array->chunk_bytes, chunk_shape[axis], &array->chunk_bytes)) {
            return "its size is past int64";
        }
        array->num_chunks *= array->grid[i]; /* at most the elements */
        array->outermost = (uint8_t)axis;
    }
    array->row_bytes = array->element_bytes;
    array->chunks_per_row = 1;
    array->is_plain = true;
    for (int32_t i = 1; i < ndim; ++i) {
        array->row_bytes *= shape[i];
        array->chunks_per_row *= array->grid[i];
        array->is_plain = array->is_plain && chunk_shape[i] == shape[i];
    }
    for (int32_t i = 0; order != NULL && i < ndim; ++i) {
        array->is_plain = array->is_plain && order[i] == i;
    }
    return NULL;
}

static rbc_status check_shape(const rbc__array_description *array, rbc__array *out,
                              rbc_error *err) {
    if (array->ndim < 1 || array->ndim > RBC__ARRAY_MAX_DIMS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "an array: found %" PRId32 " axes, wanted 1 to %d", array->ndim,
                         RBC__ARRAY_MAX_DIMS);
    }
    *out = (rbc__array){.ndim = array->ndim, .element_bytes = array->element_bytes};
    const char *problem = set_shape(array->shape, array->chunk_shape, array->order, out);
    if (problem != NULL) {
        char shape[128];
        char chunk_shape[128];
        return rbc__fail(
            err, RBC_ERROR_INVALID_ARGUMENT,
            "an array of shape %s in chunks of %s, %" PRId64 " bytes an element: %s",
            rbc__format_shape(shape, sizeof shape, array->ndim, array->shape),
            rbc__format_shape(chunk_shape, sizeof chunk_shape, array->ndim, array->chunk_shape),
            array->element_bytes, problem);
    }
    return RBC_OK;
}

/* ---- writing ---- */

rbc_status rbc__array_num_chunks(const rbc__array_description *array, int64_t *num_chunks,
                                 rbc_error *err) {
    rbc__array shaped;
    RBC__TRY(check_shape(array, &shaped, err));
    *num_chunks = shaped.num_chunks;
    return RBC_OK;
}

static int64_t chunk_value(const void *source, int64_t row, int32_t column) {
    const rbc__array_chunk *chunk = (const rbc__array_chunk *)source + row;
    if (column == BYTES) {
        return chunk->bytes;
    }
    if (chunk->bytes == 0) {
        return RBC__INT_TABLE_ANY;
    }
    return column == BLOB ? chunk->blob : column == OFFSET ? chunk->offset : chunk->skipped;
}

static int64_t absent_value(const void *source, int64_t row, int32_t column) {
    (void)source;
    (void)row;
    return column == BYTES ? 0 : RBC__INT_TABLE_ANY;
}

static bool lies_in_int64(int64_t offset, int64_t bytes) {
    return offset >= 0 && bytes >= 0 && bytes <= INT64_MAX - offset;
}

static rbc_status check_chunks(const rbc__array_description *array, rbc_error *err) {
    for (int64_t i = 0; i < array->num_chunks; ++i) {
        const rbc__array_chunk *chunk = &array->chunks[i];
        if (!lies_in_int64(chunk->offset, chunk->bytes)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "chunk %" PRId64 " of an array: found %" PRId64
                             " bytes from byte %" PRId64 " on, wanted sizes within int64",
                             i, chunk->bytes, chunk->offset);
        }
    }
    return RBC_OK;
}

rbc_status rbc__array_encode(const rbc__array_description *array, rbc__bytes *out, rbc_error *err) {
    rbc__array shaped;
    RBC__TRY(check_shape(array, &shaped, err));
    if (array->chunks != NULL) {
        if (array->num_chunks != shaped.num_chunks) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "an array: found %" PRId64 " chunks, wanted %" PRId64,
                             array->num_chunks, shaped.num_chunks);
        }
        RBC__TRY(check_chunks(array, err));
    }
    rbc__bytes_byte(out, VERSION);
    rbc__bytes_byte(out, (uint8_t)((unsigned)array->ndim | (array->order != NULL ? HAS_ORDER : 0) |
                                   (array->fill != NULL ? HAS_FILL : 0)));
    rbc__bytes_varint(out, (uint64_t)array->element_bytes);
    rbc__bytes_varint(out, array->packing);
    for (int32_t i = 0; i < array->ndim; ++i) {
        rbc__bytes_varint(out, (uint64_t)array->shape[i]);
        rbc__bytes_varint(out, (uint64_t)array->chunk_shape[i]);
    }
    if (array->order != NULL) {
        rbc__bytes_append(out, array->order, (size_t)array->ndim);
    }
    if (array->fill != NULL) {
        rbc__bytes_append(out, array->fill, (size_t)array->element_bytes);
    }
    if (array->chunks != NULL) {
        rbc__int_table_encode(chunk_value, array->chunks, shaped.num_chunks, NUM_COLUMNS, out);
    } else {
        /* All rows are alike and take no bytes: one stands for them. */
        rbc__int_table_encode(absent_value, NULL, 1, NUM_COLUMNS, out);
    }
    return rbc__bytes_check(out, err);
}

/* ---- reading ---- */

static bool read_size(const uint8_t *bytes, uint64_t end, uint64_t *at, int64_t *out) {
    uint64_t value;
    if (!rbc__varint_read(bytes, end, at, &value) || value > INT64_MAX) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

/* Steps over `size` bytes, which begin at the result. */
static const uint8_t *read_bytes(const uint8_t *bytes, uint64_t end, uint64_t *at, int64_t size) {
    if ((uint64_t)size > end - *at) {
        return NULL;
    }
    const uint8_t *begin = bytes + *at;
    *at += (uint64_t)size;
    return begin;
}

/* False where it is damaged, by *at. */
static bool decode(const uint8_t *bytes, uint64_t end, uint64_t *at, uint32_t num_packings,
                   rbc__array *array) {
    int64_t packing;
    int64_t shape[RBC__ARRAY_MAX_DIMS];
    int64_t chunk_shape[RBC__ARRAY_MAX_DIMS];
    const uint8_t *order = NULL;
    if (end < 2 || bytes[0] != VERSION) {
        return false;
    }
    const unsigned flags = bytes[1];
    *at = 2;
    array->ndim = flags & NDIM_MASK;
    if (array->ndim < 1 || array->ndim > RBC__ARRAY_MAX_DIMS ||
        flags > (NDIM_MASK | HAS_ORDER | HAS_FILL) ||
        !read_size(bytes, end, at, &array->element_bytes) || !read_size(bytes, end, at, &packing) ||
        packing >= num_packings) {
        return false;
    }
    array->packing = (uint32_t)packing;
    for (int32_t i = 0; i < array->ndim; ++i) {
        if (!read_size(bytes, end, at, &shape[i]) || !read_size(bytes, end, at, &chunk_shape[i])) {
            return false;
        }
    }
    if ((flags & HAS_ORDER) != 0 && (order = read_bytes(bytes, end, at, array->ndim)) == NULL) {
        return false;
    }
    if (set_shape(shape, chunk_shape, order, array) != NULL) {
        return false;
    }
    if ((flags & HAS_FILL) != 0 &&
        (array->fill = read_bytes(bytes, end, at, array->element_bytes)) == NULL) {
        return false;
    }
    return rbc__int_table_decode(bytes, end, at, array->num_chunks, NUM_COLUMNS, &array->chunks) &&
           *at == end;
}

rbc_status rbc__array_decode(const uint8_t *bytes, size_t num_bytes, uint32_t num_packings,
                             uint32_t num_blobs, rbc__array *out, rbc_error *err) {
    uint64_t at = 0;
    *out = (rbc__array){.num_blobs = num_blobs};
    if (!decode(bytes, num_bytes, &at, num_packings, out)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "byte %" PRIu64 " of an array in the catalog: it is damaged", at);
    }
    return RBC_OK;
}

rbc_status rbc__array_chunk_at(const rbc__array *array, int64_t index, rbc__array_chunk *out,
                               rbc_error *err) {
    const int64_t bytes = rbc__int_table_get(&array->chunks, index, BYTES);
    if (bytes == 0) {
        *out = (rbc__array_chunk){0};
        return RBC_OK;
    }
    const int64_t blob = rbc__int_table_get(&array->chunks, index, BLOB);
    const int64_t offset = rbc__int_table_get(&array->chunks, index, OFFSET);
    const int64_t skipped = rbc__int_table_get(&array->chunks, index, SKIPPED);
    if (blob < 0 || blob >= array->num_blobs || skipped < 0 || skipped > UINT32_MAX ||
        !lies_in_int64(offset, bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "chunk %" PRId64 " of an array in the catalog: found %" PRId64
                         " bytes from byte %" PRId64 " of blob %" PRId64
                         " on, wanted them within int64 and one of %" PRIu32 " blobs",
                         index, bytes, offset, blob, array->num_blobs);
    }
    *out = (rbc__array_chunk){(uint32_t)blob, (uint32_t)skipped, offset, bytes};
    return RBC_OK;
}

void rbc__array_cover(const rbc__array *array, int64_t first, int64_t count, int64_t *begin,
                      int64_t *end) {
    *begin = 0;
    *end = 0;
    if (count > 0) {
        *begin = first / array->chunk_shape[0] * array->chunks_per_row;
        *end = ((first + count - 1) / array->chunk_shape[0] + 1) * array->chunks_per_row;
    }
}

rbc__array_piece rbc__array_piece_of(const rbc__array *array, int64_t index, int64_t first,
                                     int64_t count) {
    const int64_t begin = index / array->chunks_per_row * array->chunk_shape[0];
    const int64_t from = first > begin ? first : begin;
    int64_t rows = first + count - from;
    if (rows > array->chunk_shape[0] - (from - begin)) {
        rows = array->chunk_shape[0] - (from - begin);
    }
    rbc__array_piece piece = {from, rows, 0, array->chunk_bytes};
    if (array->outermost == 0) {
        piece.offset = (from - begin) * array->chunk_stride[0];
        piece.bytes = rows * array->chunk_stride[0];
    }
    return piece;
}
