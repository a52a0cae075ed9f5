/* From the bytes that a request has read and unpacked to samples and numbers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "layout/array_copy.h"
#include "layout/npy.h"
#include "layout/values.h"
#include "store/wants.h"

static rbc_status fail_want(const rbc__request *request, const rbc__want *want, rbc_error *err,
                            const char *problem) {
    char name[1024];
    rbc__store *store = request->params.store;
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64 ": %s",
                     store->ops->name(store, want->blob, name, sizeof name), want->blob_offset,
                     request->params.schema->streams[want->stream].name, want->record, problem);
}

static rbc_status fail_values(const rbc__request *request, const rbc__want *want,
                              rbc__values_result result, int64_t misfit, rbc_error *err) {
    char problem[96];
    if (result == RBC__VALUES_DAMAGED) {
        return fail_want(request, want, err,
                         want->encoding == RBC__ENCODING_VARINT
                             ? "its values are not where they were"
                             : "a sample does not have its size");
    }
    (void)snprintf(problem, sizeof problem, "it holds %" PRId64 ", which is no %s", misfit,
                   rbc__dtype_name((rbc__dtype)(want->map != NULL ? want->stored : want->dtype)));
    return fail_want(request, want, err, problem);
}

/* `err` says what is wrong with the bytes: of which sample they are goes before it. */
static rbc_status fail_in_want(const rbc__request *request, const rbc__want *want,
                               rbc_status status, rbc_error *err) {
    char name[1024];
    rbc__store *store = request->params.store;
    return rbc__fail_within(err, status, "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64,
                            store->ops->name(store, want->blob, name, sizeof name),
                            want->blob_offset, request->params.schema->streams[want->stream].name,
                            want->record);
}

/* One sample that is packed by itself. */
static rbc_status unpack_sample(rbc__request *request, const rbc__want *want, const uint8_t **data,
                                uint64_t *bytes, rbc_error *err) {
    const bool is_known = want->kind == RBC__WANT_VALUES && want->encoding != RBC__ENCODING_NPY &&
                          want->encoding != RBC__ENCODING_VARINT &&
                          want->encoding != RBC__ENCODING_CLOUD;
    rbc_status status;
    if (is_known) {
        *bytes = want->elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)want->stored);
        status = rbc__packing_check_growth(want->packing, (size_t)want->bytes, (size_t)*bytes, err);
        if (status == RBC_OK) {
            status = rbc__scratch_reserve(&request->unpacked, (size_t)*bytes, err);
        }
        if (status == RBC_OK) {
            status = rbc__unpack(request->unpacker, want->packing, *data, (size_t)want->bytes,
                                 request->unpacked.data, (size_t)*bytes, err);
        }
        *data = request->unpacked.data;
    } else {
        rbc__unpacked found = {0};
        status = rbc__unpack_unsized(request->unpacker, want->packing, *data, (size_t)want->bytes,
                                     RBC__MAX_SAMPLE_BYTES, &found, err);
        *data = found.bytes;
        *bytes = found.num_bytes;
    }
    return status == RBC_OK ? RBC_OK : fail_in_want(request, want, status, err);
}

/* `count` numbers at `src`, stored so, to the stream's dtype. */
static rbc_status read_values(const rbc__request *request, const rbc__want *want,
                              rbc__encoding encoding, const uint8_t *src, uint64_t bytes,
                              uint64_t count, bool is_even, uint8_t *dst, rbc_error *err) {
    const rbc__dtype stored = (rbc__dtype)want->stored;
    const rbc__dtype dtype = (rbc__dtype)want->dtype;
    int64_t misfit = 0;
    const rbc__values_result result =
        want->map == NULL
            ? rbc__values_read(encoding, stored, src, bytes, count, is_even, dtype, dst, &misfit)
            : rbc__values_read_mapped(encoding, stored, src, bytes, count, is_even, want->map,
                                      dtype, dst, &misfit);
    return result == RBC__VALUES_OK ? RBC_OK : fail_values(request, want, result, misfit, err);
}

/* `count` records, `stride` apart, the last of `bytes`. */
static rbc_status read_points(const rbc__request *request, const rbc__want *want,
                              const uint8_t *src, uint64_t bytes, uint64_t stride, uint64_t count,
                              uint8_t *dst, rbc_error *err) {
    const rbc__fields *fields = &request->params.schema->streams[want->stream].fields;
    if (bytes < rbc__fields_extent(fields)) {
        return fail_want(request, want, err, "a record ends before its fields");
    }
    rbc__fields_read(fields, src, stride, count, want->map, (rbc__dtype)want->dtype, dst);
    return RBC_OK;
}

static rbc_status convert_sample(rbc__request *request, const rbc__want *want, const uint8_t *src,
                                 uint8_t *dst, rbc_error *err) {
    uint64_t bytes = want->bytes;
    rbc__encoding encoding = (rbc__encoding)want->encoding;
    if (want->packing != NULL) {
        RBC__TRY(unpack_sample(request, want, &src, &bytes, err));
    }
    if (encoding == RBC__ENCODING_CLOUD) {
        return read_points(request, want, src, bytes, bytes, 1, dst, err);
    }
    if (encoding == RBC__ENCODING_NPY) {
        const rbc__stream_schema *schema = &request->params.schema->streams[want->stream];
        rbc__npy npy;
        rbc_status status = rbc__npy_parse(src, bytes, &npy, err);
        if (status == RBC_OK) {
            status =
                rbc__npy_check(&npy, (rbc__dtype)want->stored, schema->ndim, schema->shape, err);
        }
        if (status != RBC_OK) {
            return fail_in_want(request, want, status, err);
        }
        encoding = npy.is_swapped ? RBC__ENCODING_SWAPPED : RBC__ENCODING_PLAIN;
        src += npy.offset;
        bytes = npy.bytes;
    }
    return read_values(request, want, encoding, src, bytes, want->elements,
                       want->is_even && want->packing == NULL, dst, err);
}

static rbc_status convert(rbc__request *request, const rbc__want *want, const uint8_t *src,
                          rbc_error *err) {
    const uint64_t out_bytes = want->elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)want->dtype);
    if (want->encoding == RBC__ENCODING_CLOUD && want->packing == NULL) {
        return read_points(request, want, src, want->bytes, want->stride, want->count, want->dst,
                           err);
    }
    if (want->stride == want->bytes && want->packing == NULL &&
        want->encoding != RBC__ENCODING_NPY) {
        return read_values(request, want, (rbc__encoding)want->encoding, src,
                           want->count * want->bytes, want->count * want->elements, want->is_even,
                           want->dst, err);
    }
    for (uint64_t i = 0; i < want->count; ++i) {
        RBC__TRY(
            convert_sample(request, want, src + i * want->stride, want->dst + i * out_bytes, err));
    }
    return RBC_OK;
}

/* Gathers rows of an array from its chunks. */
static rbc_status gather(rbc__request *request, const rbc__want *want, rbc_error *err) {
    const rbc__array *array = &want->array->array;
    const bool is_as_stored =
        want->stored == want->dtype && want->encoding != RBC__ENCODING_SWAPPED && want->map == NULL;
    uint8_t *rows = want->dst;
    if (!is_as_stored) {
        RBC__TRY(rbc__scratch_reserve(&request->gathered,
                                      (size_t)(want->count * (uint64_t)array->row_bytes), err));
        rows = request->gathered.data;
    }
    int64_t begin;
    int64_t end;
    uint32_t at = want->index;
    rbc__array_cover(array, want->first, (int64_t)want->count, &begin, &end);
    for (int64_t i = begin; i < end; ++i) {
        rbc__array_chunk chunk;
        RBC__TRY(rbc__array_chunk_at(array, i, &chunk, err));
        if (chunk.bytes == 0) {
            rbc__array_fill(array, i, want->first, (int64_t)want->count, rows);
            continue;
        }
        const rbc__array_piece piece =
            rbc__array_piece_of(array, i, want->first, (int64_t)want->count);
        rbc__array_copy(array, i, want->first, (int64_t)want->count,
                        rbc__request_block(request, at++)->data + piece.offset, rows);
    }
    if (is_as_stored) {
        return RBC_OK;
    }
    return read_values(request, want, (rbc__encoding)want->encoding, rows,
                       want->count * (uint64_t)array->row_bytes, want->count * want->elements, true,
                       want->dst, err);
}

/* ---- finishing ----------------------------------------------------------------------------------
 */

/* What is shared and failed, of which the message says where it lies: whose it is goes behind that. */
static rbc_status fail_shared(const rbc__request *request, const rbc__want *want, rbc_status status,
                              const rbc_error *problem, int64_t blob, uint64_t offset,
                              rbc_error *err) {
    char name[1024];
    char where[1100];
    rbc__store *store = request->params.store;
    if (problem == NULL) {
        return rbc__fail(err, status, "reading a block failed");
    }
    const int length = snprintf(where, sizeof where, "%s: byte %" PRIu64 ": ",
                                store->ops->name(store, blob, name, sizeof name), offset);
    if (status != RBC_ERROR_FORMAT || strncmp(problem->message, where, (size_t)length) != 0) {
        return rbc__pass_on(problem, err);
    }
    return rbc__fail(err, RBC_ERROR_FORMAT, "%sstream '%s' of record %" PRId64 ": %s", where,
                     request->params.schema->streams[want->stream].name, want->record,
                     problem->message + length);
}

static rbc_status fail_block(const rbc__request *request, const rbc__want *want,
                             const rbc__wanted_block *block, rbc_error *err) {
    return fail_shared(request, want, block->status, block->error, block->blob, block->offset, err);
}

/* A frame of a group that may have failed. */
static rbc_status finish_frame(const rbc__request *request, rbc__want *want, rbc_error *err) {
    const rbc__wanted_group *group = rbc__request_group(request, want->index);
    if (want->problem != NULL) {
        want->data = NULL;
        return fail_shared(request, want, want->problem->status, want->problem, group->blob,
                           group->offset, err);
    }
    if (group->status == RBC_OK) {
        if (group->pictures != NULL) {
            want->data =
                group->pictures + (want->offset - (uint64_t)group->first) * group->frame_bytes;
        }
        return RBC_OK;
    }
    want->data = NULL;
    for (size_t i = 0; i < group->num_sources && group->error == NULL; ++i) {
        const rbc__group_source *source =
            (const rbc__group_source *)request->sources.items + group->source + i;
        const rbc__wanted_block *block = rbc__request_block(request, source->block);
        if (block->status != RBC_OK) {
            return fail_block(request, want, block, err);
        }
    }
    return fail_shared(request, want, group->status, group->error, group->blob, group->offset, err);
}

static rbc_status finish_values(rbc__request *request, rbc__want *want, rbc_error *err) {
    if (want->source == RBC__FROM_LAYOUT) {
        return convert(request, want, want->data, err);
    }
    if (want->source == RBC__FROM_RANGE) {
        const rbc__range *range = rbc__request_range(request, want->index);
        if (range->status != RBC_OK) {
            return range->error != NULL ? rbc__pass_on(range->error, err)
                                        : rbc__fail(err, range->status, "reading failed");
        }
        return range->direct != NULL ? RBC_OK
                                     : convert(request, want, request->arena.data + range->at, err);
    }
    const uint32_t num_blocks = want->kind == RBC__WANT_ROWS ? want->num_blocks : 1;
    for (uint32_t i = 0; i < num_blocks; ++i) {
        const rbc__wanted_block *block = rbc__request_block(request, want->index + i);
        if (block->status != RBC_OK) {
            return fail_block(request, want, block, err);
        }
    }
    if (want->kind == RBC__WANT_ROWS) {
        return gather(request, want, err);
    }
    return convert(request, want, rbc__request_block(request, want->index)->data + want->offset,
                   err);
}

/* What the unpacker made of a sample is its own only until it unpacks the next. */
static rbc_status keep_unpacked(rbc__request *request, rbc__want *want, rbc_error *err) {
    if (request->timeline->stage != RBC_STAGE_UNPACK) { /* which the wants after it count to */
        rbc__timeline_enter(request->timeline, RBC_STAGE_UNPACK);
    }
    const uint8_t *found = want->data;
    uint64_t bytes = 0;
    RBC__TRY(unpack_sample(request, want, &found, &bytes, err));
    uint8_t **kept = rbc__list_add(&request->made_samples, sizeof(uint8_t *));
    if (kept != NULL) {
        *kept = malloc(bytes > 0 ? (size_t)bytes : 1);
    }
    if (kept == NULL || *kept == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                         "no memory for a sample of %" PRIu64 " bytes", bytes);
    }
    memcpy(*kept, found, (size_t)bytes);
    want->data = *kept;
    want->bytes = bytes;
    request->stats.bytes_unpacked += (int64_t)bytes;
    return RBC_OK;
}

/* From the number of a text to the text. */
static rbc_status find_text(const rbc__request *request, rbc__want *want, rbc_error *err) {
    int32_t number;
    if (want->data == NULL || want->bytes != sizeof number) {
        return fail_want(request, want, err, "the number of a text does not have its size");
    }
    memcpy(&number, want->data, sizeof number);
    want->data = NULL;
    want->bytes = 0;
    if (number == -1) {
        return RBC_OK;
    }
    if (number < 0 || (uint64_t)number >= want->strings->count ||
        !rbc__strings_get(want->strings, (uint64_t)number, &want->data, &want->bytes)) {
        return fail_want(request, want, err, "it holds the number of a text that is not there");
    }
    return RBC_OK;
}

static rbc_status finish_sample(rbc__request *request, rbc__want *want, rbc_error *err) {
    if (want->source == RBC__FROM_GROUP) {
        return finish_frame(request, want, err);
    }
    if (want->source == RBC__FROM_RANGE) {
        const rbc__range *range = rbc__request_range(request, want->index);
        if (range->status != RBC_OK) {
            return range->error != NULL ? rbc__pass_on(range->error, err)
                                        : rbc__fail(err, range->status, "reading failed");
        }
        want->data = request->arena.data + range->at;
    } else if (want->source == RBC__FROM_BLOCK) {
        const rbc__wanted_block *block = rbc__request_block(request, want->index);
        if (block->status != RBC_OK) {
            return fail_block(request, want, block, err);
        }
        want->data = block->data + want->offset;
    }
    if (want->packing != NULL && want->data != NULL && want->bytes > 0) {
        RBC__TRY(keep_unpacked(request, want, err));
    }
    return want->strings != NULL ? find_text(request, want, err) : RBC_OK;
}

void rbc__request_finish(rbc__request *request, const atomic_bool *cancel) {
    rbc_error problem;
    const int32_t before = request->timeline->stage;
    if (request->blocks.count > 0) {
        const int64_t begin = rbc__timeline_enter(request->timeline, RBC_STAGE_UNPACK);
        rbc__request_unpack(request, cancel);
        request->stats.unpack_ns += rbc__timeline_enter(request->timeline, before) - begin;
    }
    if (request->groups.count > 0) {
        const int64_t begin = rbc__timeline_enter(request->timeline, RBC_STAGE_DECODE);
        rbc__request_decode(request, cancel);
        request->stats.decode_ns += rbc__timeline_enter(request->timeline, before) - begin;
    }
    for (size_t i = 0; i < request->wants.count; ++i) {
        rbc__want *want = rbc__request_want(request, i);
        const rbc_status status = want->kind == RBC__WANT_SAMPLE
                                      ? finish_sample(request, want, &problem)
                                      : finish_values(request, want, &problem);
        if (status != RBC_OK) {
            rbc__request_fail(request, want, &problem);
        }
    }
    if (request->timeline->stage != before) {
        rbc__timeline_enter(request->timeline, before);
    }
}

void rbc__request_get(const rbc__request *request, uint32_t want_index, rbc__sample *out) {
    const rbc__want *want = rbc__request_want(request, want_index);
    *out = (rbc__sample){.bytes = want->data,
                         .num_bytes = want->bytes,
                         .blob = want->blob,
                         .offset = want->blob_offset,
                         .encoding = want->encoding,
                         .stored = want->stored};
}
