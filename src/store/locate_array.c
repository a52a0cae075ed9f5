/* From rows of arrays to pieces of their chunks. */
#include "core/error.h"
#include "layout/array_copy.h"
#include "layout/values.h"
#include "store/locate.h"

/* What of the chain was done to a chunk. */
static rbc__packing packing_of_chunk(const rbc__packing *all, uint32_t skipped) {
    rbc__packing out = {0};
    for (uint32_t i = 0; i < all->num_steps; ++i) {
        if ((skipped >> i & 1) == 0) {
            out.steps[out.num_steps++] = all->steps[i];
        }
    }
    return out;
}

static rbc_status pin_array(rbc__request *request, const rbc__located_stream *s, uint32_t number,
                            const rbc__array_object **out, rbc_error *err) {
    rbc__cached_block *pin;
    RBC__TRY(rbc__objects_array(request->params.objects, request->params.cache, s->parsed->part,
                                number, out, &pin, err));
    return rbc__request_keep(request, pin, err);
}

/* The chunks that rows [first, first + count) touch, absent ones left out: blocks that follow each
 * other, of which the first may be the last of the want before. */
static rbc_status add_chunks(rbc__request *request, const rbc__located_stream *s,
                             const rbc__array_object *object, uint64_t first, uint64_t count,
                             rbc__want *want, rbc_error *err) {
    const rbc__array *array = &object->array;
    int64_t begin;
    int64_t end;
    rbc__array_cover(array, (int64_t)first, (int64_t)count, &begin, &end);
    for (int64_t i = begin; i < end; ++i) {
        rbc__array_chunk chunk;
        uint32_t index;
        const bool is_first = want->num_blocks == 0;
        RBC__TRY(rbc__array_chunk_at(array, i, &chunk, err));
        if (chunk.bytes == 0) {
            continue;
        }
        const int64_t blob = rbc__blob_id(s->parsed->part, chunk.blob);
        const rbc__wanted_block wanted = {
            .key = {blob, (uint64_t)chunk.offset, 0, RBC__KEY_BLOCK, request->params.store},
            .blob = blob,
            .offset = (uint64_t)chunk.offset,
            .packing = packing_of_chunk(&object->packing, chunk.skipped),
            .packed_bytes = (uint64_t)chunk.bytes,
            .unpacked_bytes = (uint64_t)array->chunk_bytes};
        RBC__TRY(rbc__request_add_block(request, &wanted, is_first, &index, err));
        if (is_first) {
            want->index = index;
            want->blob = wanted.blob;
            want->blob_offset = wanted.offset;
        }
        ++want->num_blocks;
    }
    return RBC_OK;
}

/* Rows of chunks that are not packed are read where they lie, to where they go. */
static rbc_status want_plain_rows(rbc__request *request, const rbc__located_stream *s,
                                  const rbc__run *run, const rbc__array *array, uint64_t sample,
                                  uint64_t first, uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t row_bytes = (uint64_t)array->row_bytes;
    rbc__run rows = *run;
    int64_t begin;
    int64_t end;
    rows.container = RBC__IN_BLOB;
    rbc__array_cover(array, (int64_t)first, (int64_t)count, &begin, &end);
    for (int64_t i = begin; i < end; ++i) {
        rbc__array_chunk chunk;
        RBC__TRY(rbc__array_chunk_at(array, i, &chunk, err));
        const rbc__array_piece piece =
            rbc__array_piece_of(array, i, (int64_t)first, (int64_t)count);
        const uint64_t before = (uint64_t)piece.first - first;
        if (chunk.bytes == 0) {
            rbc__array_fill(array, i, (int64_t)first, (int64_t)count, dst);
            continue;
        }
        if (piece.offset > chunk.bytes || piece.bytes > chunk.bytes - piece.offset) {
            return rbc__located_fail(request, s, run, err, "a chunk of it ends before its rows");
        }
        rows.number = chunk.blob;
        RBC__TRY(rbc__want_even(request, s, &rows, sample + before,
                                (uint64_t)(chunk.offset + piece.offset), row_bytes, row_bytes,
                                (uint64_t)piece.count, dst + before * row_bytes, err));
    }
    return RBC_OK;
}

rbc_status rbc__want_rows(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                          uint64_t sample, uint64_t first, uint64_t count, uint8_t *dst,
                          rbc_error *err) {
    const rbc__array_object *object;
    RBC__TRY(pin_array(request, s, run->number, &object, err));
    const rbc__array *array = &object->array;
    if (!rbc__located_can_be_read(s, run)) {
        return rbc__located_fail(request, s, run, err, "its rows are not those of the array");
    }
    const uint64_t stored = s->elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)run->dtype);
    if (run->encoding == RBC__ENCODING_VARINT || run->encoding == RBC__ENCODING_CLOUD ||
        run->encoding == RBC__ENCODING_NPY || first > (uint64_t)array->shape[0] ||
        count > (uint64_t)array->shape[0] - first || (uint64_t)array->row_bytes != stored) {
        return rbc__located_fail(request, s, run, err, "its rows are not those of the array");
    }
    if (array->is_plain && object->packing.num_steps == 0 && rbc__located_is_as_stored(s, run)) {
        return want_plain_rows(request, s, run, array, sample, first, count, dst, err);
    }
    rbc__want *want = rbc__located_add_want(request, s, run, RBC__WANT_ROWS, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    want->source = RBC__FROM_BLOCK;
    want->array = object;
    want->first = (int64_t)first;
    want->count = count;
    want->dst = dst;
    rbc__want filled = *want;
    const size_t index = request->wants.count - 1;
    const rbc_status status = add_chunks(request, s, object, first, count, &filled, err);
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    *rbc__request_want(request, index) = filled;
    return RBC_OK;
}
