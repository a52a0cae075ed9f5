/* From samples to ranges and blocks. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "layout/array_copy.h"
#include "layout/values.h"
#include "store/wants.h"

/* Packed pictures of a group at most, with what lies between them. */
#define MAX_GROUP_BYTES (UINT64_C(1) << 30)

/* Samples with little between them are read as one range. */
static bool is_dense(uint64_t extent, uint64_t wanted) {
    return extent <= wanted + wanted / 4;
}

/* A stream, or the row lengths of one, in an episode. */
typedef struct located_stream {
    const rbc__parsed_episode *parsed;
    const rbc__stream_schema *schema;
    int32_t stream;
    uint32_t id;
    rbc__dtype dtype;
    const rbc__value_map *map;
    uint64_t elements;
} located_stream;

static const char *name_of(const rbc__request *request, int64_t blob, char *buffer, size_t bytes) {
    return request->params.store->ops->name(request->params.store, blob, buffer, bytes);
}

static rbc_status fail_stream(const rbc__request *request, const located_stream *s,
                              const rbc__run *run, rbc_error *err, const char *problem) {
    char path[1024];
    const bool is_blob = run->container == RBC__IN_BLOB;
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64 ": %s",
                     name_of(request, rbc__blob_id(s->parsed->part, is_blob ? run->number : 0),
                             path, sizeof path),
                     is_blob ? run->offset : 0, s->schema->name, s->parsed->record, problem);
}

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for what is to be read");
}

static rbc_status find_stream(const rbc__request *request, const rbc__parsed_episode *parsed,
                              int32_t stream, bool is_numeric, located_stream *out,
                              rbc_error *err) {
    const rbc__schema *schema = request->params.schema;
    if (stream < 0 || stream >= schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream %d: there are %d streams", stream,
                         schema->num_streams);
    }
    *out = (located_stream){.parsed = parsed,
                            .schema = &schema->streams[stream],
                            .stream = stream,
                            .id = (uint32_t)stream,
                            .dtype = schema->streams[stream].dtype,
                            .map = rbc__stream_map(&schema->streams[stream]),
                            .elements = 1};
    if (out->schema->unsupported) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s' cannot be read: %s",
                         out->schema->name, out->schema->unsupported);
    }
    if (rbc__stream_has_numbers(out->schema) != is_numeric) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         is_numeric ? "stream '%s' holds images or text, not numbers"
                                    : "stream '%s' holds numbers, not images or text",
                         out->schema->name);
    }
    for (int32_t i = 0; is_numeric && i < out->schema->ndim; ++i) {
        int64_t elements = 0;
        if (out->schema->shape[i] < 0 ||
            !rbc__mul_size((int64_t)out->elements, out->schema->shape[i], &elements)) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "stream '%s' cannot be read: an extent of its shape is not declared",
                             out->schema->name);
        }
        out->elements = (uint64_t)elements;
    }
    return RBC_OK;
}

static rbc_status check_samples(const located_stream *s, int64_t first, int64_t count,
                                rbc_error *err) {
    const uint64_t samples = rbc__layout_num_samples(s->parsed->layout, s->id);
    if (first < 0 || count < 0 || (uint64_t)first > samples ||
        (uint64_t)count > samples - (uint64_t)first) {
        int64_t end;
        if (__builtin_add_overflow(first, count, &end)) {
            end = count > 0 ? INT64_MAX : INT64_MIN;
        }
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "samples [%" PRId64 ", %" PRId64 ") of stream '%s': it has %" PRIu64,
                         first, end, s->schema->name, samples);
    }
    return RBC_OK;
}

/* ---- ranges and blocks --------------------------------------------------------------------------
 */

static rbc_status add_range(rbc__request *request, int64_t blob, uint64_t offset, uint64_t bytes,
                            uint8_t *direct, uint32_t *index, rbc_error *err) {
    rbc__range *range = rbc__list_add(&request->ranges, sizeof *range);
    if (range == NULL) {
        return out_of_memory(err);
    }
    *index = (uint32_t)request->ranges.count - 1;
    range->blob = blob;
    range->offset = offset;
    range->bytes = bytes;
    range->direct = direct;
    return RBC_OK;
}

static bool is_same_packing(const rbc__packing *a, const rbc__packing *b) {
    return a->num_steps == b->num_steps &&
           memcmp(a->steps, b->steps, a->num_steps * sizeof a->steps[0]) == 0;
}

/* A stranger's catalog may put blocks that are not the same at one byte. */
static bool is_same_block(const rbc__wanted_block *a, const rbc__wanted_block *b) {
    return a->key.blob == b->key.blob && a->key.offset == b->key.offset &&
           a->key.track == b->key.track && a->packed_bytes == b->packed_bytes &&
           a->unpacked_bytes == b->unpacked_bytes && is_same_packing(&a->packing, &b->packing);
}

/* Pins the block, and where nobody has read it wants its packed bytes. */
static rbc_status pin_block(rbc__request *request, rbc__wanted_block *block, rbc_error *err) {
    rbc__block_cache *cache = request->params.cache;
    RBC__TRY(rbc__block_pin(cache, &block->key, &block->pin, err));
    block->is_claimed = rbc__block_claim(cache, block->pin);
    if (!block->is_claimed) {
        return RBC_OK;
    }
    const rbc_status status = add_range(request, block->blob, block->offset, block->packed_bytes,
                                        NULL, &block->range, err);
    if (status != RBC_OK) {
        rbc__block_fail(cache, block->pin, NULL);
        rbc__block_unpin(cache, block->pin);
    }
    return status;
}

/* With `may_share` the block that was added last stands for one that is the same. */
static rbc_status add_block(rbc__request *request, const rbc__wanted_block *wanted, bool may_share,
                            uint32_t *index, rbc_error *err) {
    const size_t count = request->blocks.count;
    if (wanted->packed_bytes > RBC__MAX_PACKED_BYTES(wanted->unpacked_bytes)) {
        char path[1024];
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": a block of %" PRIu64 " bytes is packed in %" PRIu64
                         ", more than it can be",
                         name_of(request, wanted->key.blob, path, sizeof path), wanted->key.offset,
                         wanted->unpacked_bytes, wanted->packed_bytes);
    }
    if (may_share && count > 0 && is_same_block(rbc__request_block(request, count - 1), wanted)) {
        *index = (uint32_t)count - 1;
        return RBC_OK;
    }
    rbc__wanted_block *block = rbc__list_add(&request->blocks, sizeof *block);
    if (block == NULL) {
        return out_of_memory(err);
    }
    *block = *wanted;
    *index = (uint32_t)count;
    const rbc_status status = pin_block(request, block, err);
    if (status != RBC_OK) {
        --request->blocks.count;
    }
    return status;
}

static rbc_status add_layout_block(rbc__request *request, const located_stream *s,
                                   const rbc__run *run, uint32_t *index, rbc_error *err) {
    const rbc__layout *layout = s->parsed->layout;
    const rbc__block *block = &layout->blocks[run->number];
    const rbc__wanted_block wanted = {
        .key = {rbc__blob_id(s->parsed->part, block->blob), block->offset, 0},
        .packing = layout->packings[block->packing],
        .blob = rbc__blob_id(s->parsed->part, block->blob),
        .offset = block->offset,
        .packed_bytes = block->packed_bytes,
        .unpacked_bytes = block->unpacked_bytes};
    return add_block(request, &wanted, true, index, err);
}

static rbc__want *add_want(rbc__request *request, const located_stream *s, const rbc__run *run,
                           rbc__want_kind kind, rbc_error *err) {
    rbc__want *want = rbc__list_add(&request->wants, sizeof *want);
    if (want == NULL) {
        (void)out_of_memory(err);
        return NULL;
    }
    want->tag = request->tag;
    want->rank = request->rank;
    want->kind = (uint8_t)kind;
    want->encoding = run->encoding;
    want->stored = run->dtype;
    want->dtype = (uint8_t)s->dtype;
    want->is_even = run->form == RBC__FORM_EVEN;
    want->packing = run->packing > 0 ? &s->parsed->layout->packings[run->packing - 1] : NULL;
    want->map = s->map;
    want->elements = s->elements;
    want->stream = s->stream;
    want->record = s->parsed->record;
    want->blob = rbc__blob_id(s->parsed->part, run->container == RBC__IN_BLOB ? run->number : 0);
    return want;
}

/* ---- numbers ------------------------------------------------------------------------------------
 */

/* Whether the samples are stored as they are delivered. */
static bool is_as_stored(const located_stream *s, const rbc__run *run) {
    return (run->encoding == RBC__ENCODING_PLAIN || run->encoding == RBC__ENCODING_PIXELS) &&
           run->dtype == (uint8_t)s->dtype && run->packing == 0 && s->map == NULL;
}

/* Whether numbers stored as the run says can become the stream's. */
static bool can_be_read(const located_stream *s, const rbc__run *run) {
    const rbc__encoding encoding = (rbc__encoding)run->encoding;
    const rbc__dtype stored = (rbc__dtype)run->dtype;
    return s->map != NULL ? rbc__values_can_map(encoding, stored, s->dtype)
                          : rbc__values_can(encoding, stored, s->dtype);
}

/* `count` samples that lie `stride` apart from `offset` on in the run's container; `bytes` each. */
static rbc_status want_even(rbc__request *request, const located_stream *s, const rbc__run *run,
                            uint64_t sample, uint64_t offset, uint64_t bytes, uint64_t stride,
                            uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t extent = stride * (count - 1) + bytes;
    const uint64_t out_bytes = count * s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    const bool is_direct = run->container == RBC__IN_BLOB && is_as_stored(s, run) &&
                           stride == bytes && extent == out_bytes;
    rbc__want *want = add_want(request, s, run, RBC__WANT_VALUES, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    want->first = (int64_t)sample;
    want->bytes = bytes;
    want->stride = stride;
    want->count = count;
    want->dst = dst;
    want->blob_offset = run->container == RBC__IN_BLOB ? offset : 0;
    uint32_t index = 0;
    if (run->container == RBC__IN_LAYOUT) {
        want->source = RBC__FROM_LAYOUT;
        want->data = run->table + offset;
        return RBC_OK;
    }
    const size_t want_index = request->wants.count - 1;
    rbc_status status;
    if (run->container == RBC__IN_BLOCK) {
        want->source = RBC__FROM_BLOCK;
        want->offset = offset;
        want->blob_offset = s->parsed->layout->blocks[run->number].offset;
        want->blob = rbc__blob_id(s->parsed->part, s->parsed->layout->blocks[run->number].blob);
        status = add_layout_block(request, s, run, &index, err);
    } else {
        want->source = RBC__FROM_RANGE;
        status =
            add_range(request, want->blob, offset, extent, is_direct ? dst : NULL, &index, err);
    }
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    rbc__request_want(request, want_index)->index = index;
    return RBC_OK;
}

static rbc_status want_array(rbc__request *request, const located_stream *s, const rbc__run *run,
                             uint64_t sample, uint64_t first, uint64_t count, uint8_t *dst,
                             rbc_error *err);

/* Whether even samples, which are not packed, can be as large as the run says. */
static bool has_its_size(const located_stream *s, const rbc__run *run) {
    const uint64_t bytes = run->sample_bytes;
    if (run->encoding == RBC__ENCODING_NPY) {
        return bytes <= RBC__MAX_SAMPLE_BYTES;
    }
    if (run->encoding == RBC__ENCODING_VARINT) {
        return s->elements > 0 && bytes % s->elements == 0 && bytes / s->elements <= 10;
    }
    return bytes == s->elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)run->dtype);
}

/* Samples [first, first + count) of the stream, all of the run. */
static rbc_status want_run(rbc__request *request, const located_stream *s, const rbc__run *run,
                           uint64_t first, uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t out_bytes = s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    if (run->container == RBC__IN_ARRAY) {
        return want_array(request, s, run, first, run->offset + (first - run->first), count, dst,
                          err);
    }
    if (run->container == RBC__IN_TRACK || !can_be_read(s, run)) {
        return fail_stream(request, s, run, err, "its entry in the catalog is damaged");
    }
    const uint64_t base = run->container == RBC__IN_LAYOUT ? 0 : run->offset;
    if (run->form == RBC__FORM_EVEN) {
        const uint64_t offset = base + (first - run->first) * run->stride;
        if (run->packing == 0 && !has_its_size(s, run)) {
            return fail_stream(request, s, run, err, "a sample does not have its size");
        }
        if (run->packing == 0 &&
            is_dense(run->stride * (count - 1) + run->sample_bytes, run->sample_bytes * count)) {
            return want_even(request, s, run, first, offset, run->sample_bytes, run->stride, count,
                             dst, err);
        }
    }
    for (uint64_t i = 0; i < count; i++, dst += out_bytes) {
        uint64_t offset;
        uint64_t bytes;
        if (!rbc__run_sample(run, first + i, &offset, &bytes) || bytes > RBC__MAX_SAMPLE_BYTES) {
            return fail_stream(request, s, run, err, "its index is damaged");
        }
        offset -= run->container == RBC__IN_LAYOUT ? run->offset : 0;
        RBC__TRY(want_even(request, s, run, first + i, offset, bytes, bytes, 1, dst, err));
    }
    return RBC_OK;
}

static rbc_status want_values(rbc__request *request, const located_stream *s, uint64_t first,
                              uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t out_bytes = s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    if (s->elements == 0) {
        return RBC_OK;
    }
    while (count > 0) {
        const rbc__run *run = rbc__layout_find(s->parsed->layout, s->id, first);
        const uint64_t left = run->first + run->count - first;
        const uint64_t part = count < left ? count : left;
        RBC__TRY(want_run(request, s, run, first, part, dst, err));
        first += part;
        count -= part;
        dst += part * out_bytes;
    }
    return RBC_OK;
}

rbc_status rbc__request_values(rbc__request *request, const rbc__parsed_episode *parsed,
                               int32_t stream, int64_t first, int64_t count, void *dst,
                               rbc_error *err) {
    located_stream s;
    RBC__TRY(find_stream(request, parsed, stream, true, &s, err));
    RBC__TRY(check_samples(&s, first, count, err));
    return want_values(request, &s, (uint64_t)first, (uint64_t)count, dst, err);
}

rbc_status rbc__request_row_lengths(rbc__request *request, const rbc__parsed_episode *parsed,
                                    int32_t stream, void *dst, rbc_error *err) {
    located_stream s;
    const rbc__schema *schema = request->params.schema;
    if (stream < 0 || stream >= schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream %d: there are %d streams", stream,
                         schema->num_streams);
    }
    s = (located_stream){.parsed = parsed,
                         .schema = &schema->streams[stream],
                         .stream = stream,
                         .id = parsed->layout->num_streams + (uint32_t)stream,
                         .dtype = RBC__I64,
                         .elements = 1};
    RBC__TRY(check_samples(&s, 0, (int64_t)parsed->layout->num_steps, err));
    return want_values(request, &s, 0, parsed->layout->num_steps, dst, err);
}

/* ---- arrays -------------------------------------------------------------------------------------
 */

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

static rbc_status keep_pin(rbc__request *request, rbc__cached_block *pin, rbc_error *err) {
    rbc__cached_block **kept = rbc__list_add(&request->objects, sizeof(rbc__cached_block *));
    if (kept == NULL) {
        rbc__block_unpin(request->params.cache, pin);
        return out_of_memory(err);
    }
    *kept = pin;
    return RBC_OK;
}

static rbc_status pin_array(rbc__request *request, const located_stream *s, uint32_t number,
                            const rbc__array_object **out, rbc_error *err) {
    rbc__cached_block *pin;
    RBC__TRY(rbc__objects_array(request->params.objects, request->params.cache, s->parsed->part,
                                number, out, &pin, err));
    return keep_pin(request, pin, err);
}

/* The chunks that rows [first, first + count) touch, absent ones left out: blocks that follow each
 * other, of which the first may be the last of the want before. */
static rbc_status add_chunks(rbc__request *request, const located_stream *s,
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
        const rbc__wanted_block wanted = {.key = {blob, (uint64_t)chunk.offset, 0},
                                          .blob = blob,
                                          .offset = (uint64_t)chunk.offset,
                                          .packing =
                                              packing_of_chunk(&object->packing, chunk.skipped),
                                          .packed_bytes = (uint64_t)chunk.bytes,
                                          .unpacked_bytes = (uint64_t)array->chunk_bytes};
        RBC__TRY(add_block(request, &wanted, is_first, &index, err));
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
static rbc_status want_plain_rows(rbc__request *request, const located_stream *s,
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
            return fail_stream(request, s, run, err, "a chunk of it ends before its rows");
        }
        rows.number = chunk.blob;
        RBC__TRY(want_even(request, s, &rows, sample + before,
                           (uint64_t)(chunk.offset + piece.offset), row_bytes, row_bytes,
                           (uint64_t)piece.count, dst + before * row_bytes, err));
    }
    return RBC_OK;
}

static rbc_status want_array(rbc__request *request, const located_stream *s, const rbc__run *run,
                             uint64_t sample, uint64_t first, uint64_t count, uint8_t *dst,
                             rbc_error *err) {
    const rbc__array_object *object;
    RBC__TRY(pin_array(request, s, run->number, &object, err));
    const rbc__array *array = &object->array;
    const uint64_t stored = s->elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)run->dtype);
    if (!can_be_read(s, run) || run->encoding == RBC__ENCODING_VARINT ||
        run->encoding == RBC__ENCODING_NPY || first > (uint64_t)array->shape[0] ||
        count > (uint64_t)array->shape[0] - first || (uint64_t)array->row_bytes != stored) {
        return fail_stream(request, s, run, err, "its rows are not those of the array");
    }
    if (array->is_plain && object->packing.num_steps == 0 && is_as_stored(s, run)) {
        return want_plain_rows(request, s, run, array, sample, first, count, dst, err);
    }
    rbc__want *want = add_want(request, s, run, RBC__WANT_ROWS, err);
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

/* ---- frames -------------------------------------------------------------------------------------
 */

/* The packets of a group lie in one blob, with little else between them. */
static rbc_status cover_packets(const rbc__track *track, const rbc__track_group *group,
                                int64_t part, rbc__wanted_block *out, rbc_error *err) {
    int64_t begin = INT64_MAX;
    int64_t end = 0;
    for (int64_t i = 0; i < group->num_packets; ++i) {
        rbc__track_packet packet;
        RBC__TRY(rbc__track_packet_at(track, group->first_packet + i, &packet, err));
        if (packet.in_block || (i > 0 && rbc__blob_id(part, packet.number) != out->blob)) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "packet %" PRId64 " of a track lies in a block, or in another file "
                             "than others of its group",
                             group->first_packet + i);
        }
        out->blob = rbc__blob_id(part, packet.number);
        begin = packet.offset < begin ? packet.offset : begin;
        end = packet.offset + packet.bytes > end ? packet.offset + packet.bytes : end;
    }
    out->offset = (uint64_t)begin;
    out->packed_bytes = (uint64_t)(end - begin);
    return out->packed_bytes <= MAX_GROUP_BYTES
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_FORMAT,
                           "a group of pictures reaches over %" PRIu64 " bytes", out->packed_bytes);
}

/* Bytes of a picture as it is delivered. */
static bool frame_size(const rbc__stream_schema *schema, uint64_t *bytes) {
    int64_t size = rbc__dtype_bytes(schema->dtype);
    bool ok = schema->ndim == 3;
    for (int32_t i = 0; ok && i < 3; ++i) {
        ok = schema->shape[i] > 0 && rbc__mul_size(size, schema->shape[i], &size);
    }
    *bytes = (uint64_t)size;
    return ok;
}

static rbc_status want_frame(rbc__request *request, const located_stream *s, const rbc__run *run,
                             int64_t sample, uint32_t *want_index, rbc_error *err) {
    const rbc__track_object *object;
    rbc__cached_block *pin;
    rbc__track_frame frame;
    rbc__wanted_block wanted = {0};
    uint64_t frame_bytes;
    const uint64_t number = run->offset + ((uint64_t)sample - run->first);
    RBC__TRY(rbc__objects_track(request->params.objects, request->params.cache, s->parsed->part,
                                run->number, &object, &pin, err));
    RBC__TRY(keep_pin(request, pin, err));
    if (object->codec == NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "stream '%s' is video of codec '%s', which this build cannot decode",
                         s->schema->name, object->codec_name);
    }
    if (number >= (uint64_t)object->track.num_frames || !frame_size(s->schema, &frame_bytes)) {
        return fail_stream(request, s, run, err, "its frames are not those of the track");
    }
    RBC__TRY(rbc__track_frame_at(&object->track, (int64_t)number, &frame, err));
    RBC__TRY(rbc__track_group_at(&object->track, frame.group, &wanted.group, err));
    RBC__TRY(cover_packets(&object->track, &wanted.group, s->parsed->part, &wanted, err));
    wanted.key =
        (rbc__block_key){rbc__blob_id(s->parsed->part, 0), (uint64_t)frame.group, run->number + 1};
    wanted.track = object;
    if (frame_bytes > RBC__LAYOUT_MAX_BLOCK_BYTES / (uint64_t)wanted.group.num_frames) {
        return fail_stream(request, s, run, err, "a group of its pictures is too large");
    }
    wanted.unpacked_bytes = frame_bytes * (uint64_t)wanted.group.num_frames;
    rbc__want *want = add_want(request, s, run, RBC__WANT_SAMPLE, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    *want_index = (uint32_t)request->wants.count - 1;
    want->first = sample;
    want->count = 1;
    want->bytes = frame_bytes;
    want->source = RBC__FROM_BLOCK;
    want->offset = frame_bytes * (uint64_t)frame.position;
    want->blob = wanted.blob;
    want->blob_offset = wanted.offset;
    uint32_t index;
    const rbc_status status = add_block(request, &wanted, true, &index, err);
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    rbc__request_want(request, *want_index)->index = index;
    return RBC_OK;
}

/* ---- images and text ----------------------------------------------------------------------------
 */

rbc_status rbc__request_sample(rbc__request *request, const rbc__parsed_episode *parsed,
                               int32_t stream, int64_t sample, uint32_t *want_index,
                               rbc_error *err) {
    located_stream s;
    RBC__TRY(find_stream(request, parsed, stream, false, &s, err));
    RBC__TRY(check_samples(&s, sample, 1, err));
    const rbc__run *run = rbc__layout_find(parsed->layout, s.id, (uint64_t)sample);
    uint64_t offset;
    uint64_t bytes;
    if (run->container == RBC__IN_TRACK) {
        return want_frame(request, &s, run, sample, want_index, err);
    }
    if (run->container == RBC__IN_ARRAY) {
        return fail_stream(request, &s, run, err, "its samples are not bytes of their own");
    }
    if (!rbc__run_sample(run, (uint64_t)sample, &offset, &bytes) || bytes > RBC__MAX_SAMPLE_BYTES) {
        return fail_stream(request, &s, run, err, "its entry in the catalog is damaged");
    }
    const rbc__strings *strings = NULL;
    if (run->encoding == RBC__ENCODING_STRING) {
        rbc__cached_block *pin;
        if (bytes != sizeof(int32_t)) {
            return fail_stream(request, &s, run, err,
                               "the number of a text does not have its size");
        }
        RBC__TRY(rbc__objects_strings(request->params.objects, request->params.cache, parsed->part,
                                      &strings, &pin, err));
        RBC__TRY(keep_pin(request, pin, err));
    }
    rbc__want *want = add_want(request, &s, run, RBC__WANT_SAMPLE, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    *want_index = (uint32_t)request->wants.count - 1;
    want->first = sample;
    want->strings = strings;
    want->bytes = bytes;
    want->count = 1;
    want->blob_offset = offset;
    uint32_t index = 0;
    rbc_status status = RBC_OK;
    if (run->container == RBC__IN_LAYOUT) {
        want->data = run->table + offset;
        want->source = RBC__FROM_LAYOUT;
        want->blob_offset = 0;
    } else if (run->container == RBC__IN_BLOCK) {
        const rbc__block *block = &parsed->layout->blocks[run->number];
        want->source = RBC__FROM_BLOCK;
        want->offset = offset;
        want->blob = rbc__blob_id(parsed->part, block->blob);
        want->blob_offset = block->offset;
        status = add_layout_block(request, &s, run, &index, err);
    } else if (bytes > 0) {
        want->source = RBC__FROM_RANGE;
        status = add_range(request, want->blob, offset, bytes, NULL, &index, err);
    }
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    rbc__request_want(request, *want_index)->index = index;
    return RBC_OK;
}
