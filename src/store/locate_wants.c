/* What requests are made of: wants, the ranges and blocks that these lie in. */
#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "store/locate.h"

static const char *blob_name(const rbc__request *request, int64_t blob, char *buffer,
                             size_t bytes) {
    return request->params.store->ops->name(request->params.store, blob, buffer, bytes);
}

rbc_status rbc__located_fail(const rbc__request *request, const rbc__located_stream *s,
                             const rbc__run *run, rbc_error *err, const char *problem) {
    char path[1024];
    const bool is_blob = run->container == RBC__IN_BLOB;
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64 ": %s",
                     blob_name(request, rbc__blob_id(s->parsed->part, is_blob ? run->number : 0),
                               path, sizeof path),
                     is_blob ? run->offset : 0, s->schema->name, s->parsed->record, problem);
}

rbc_status rbc__located_no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for what is to be read");
}

rbc_status rbc__request_add_range(rbc__request *request, int64_t blob, uint64_t offset,
                                  uint64_t bytes, uint8_t *direct, uint32_t *index,
                                  rbc_error *err) {
    rbc__range *range = rbc__list_add(&request->ranges, sizeof *range);
    if (range == NULL) {
        return rbc__located_no_memory(err);
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
           a->key.track == b->key.track && a->key.kind == b->key.kind &&
           a->packed_bytes == b->packed_bytes && a->unpacked_bytes == b->unpacked_bytes &&
           is_same_packing(&a->packing, &b->packing);
}

/* Pins the block, and where nobody has read it wants its packed bytes. */
static rbc_status pin_block(rbc__request *request, rbc__wanted_block *block, rbc_error *err) {
    rbc__block_cache *cache = request->params.cache;
    RBC__TRY(rbc__block_pin(cache, &block->key, &block->pin, err));
    block->claim = rbc__block_claim(cache, block->pin, request->cancel);
    if (block->claim == 0) {
        return RBC_OK;
    }
    const rbc_status status = rbc__request_add_range(request, block->blob, block->offset,
                                                     block->packed_bytes, NULL, &block->range, err);
    if (status != RBC_OK) {
        rbc__block_fail(cache, block->pin, block->claim, NULL);
        rbc__block_unpin(cache, block->pin);
    }
    return status;
}

rbc_status rbc__request_add_block(rbc__request *request, const rbc__wanted_block *wanted,
                                  bool may_share, uint32_t *index, rbc_error *err) {
    const size_t count = request->blocks.count;
    if (wanted->packed_bytes > RBC__MAX_PACKED_BYTES(wanted->unpacked_bytes)) {
        char path[1024];
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 ": a block of %" PRIu64 " bytes is packed in %" PRIu64
                         ", more than it can be",
                         blob_name(request, wanted->key.blob, path, sizeof path),
                         wanted->key.offset, wanted->unpacked_bytes, wanted->packed_bytes);
    }
    if (may_share && count > 0 && is_same_block(rbc__request_block(request, count - 1), wanted)) {
        *index = (uint32_t)count - 1;
        return RBC_OK;
    }
    rbc__wanted_block *block = rbc__list_add(&request->blocks, sizeof *block);
    if (block == NULL) {
        return rbc__located_no_memory(err);
    }
    *block = *wanted;
    *index = (uint32_t)count;
    const rbc_status status = pin_block(request, block, err);
    if (status != RBC_OK) {
        --request->blocks.count;
    }
    return status;
}

rbc_status rbc__located_add_block(rbc__request *request, const rbc__located_stream *s,
                                  const rbc__run *run, uint32_t *index, rbc_error *err) {
    const rbc__layout *layout = s->parsed->layout;
    const rbc__block *block = &layout->blocks[run->number];
    const rbc__wanted_block wanted = {.key = {rbc__blob_id(s->parsed->part, block->blob),
                                              block->offset, 0, RBC__KEY_BLOCK,
                                              request->params.store},
                                      .packing = layout->packings[block->packing],
                                      .blob = rbc__blob_id(s->parsed->part, block->blob),
                                      .offset = block->offset,
                                      .packed_bytes = block->packed_bytes,
                                      .unpacked_bytes = block->unpacked_bytes};
    return rbc__request_add_block(request, &wanted, true, index, err);
}

rbc__want *rbc__located_add_want(rbc__request *request, const rbc__located_stream *s,
                                 const rbc__run *run, rbc__want_kind kind, rbc_error *err) {
    rbc__want *want = rbc__list_add(&request->wants, sizeof *want);
    if (want == NULL) {
        (void)rbc__located_no_memory(err);
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

rbc_status rbc__request_keep(rbc__request *request, rbc__cached_block *pin, rbc_error *err) {
    rbc__cached_block **kept = rbc__list_add(&request->objects, sizeof(rbc__cached_block *));
    if (kept == NULL) {
        rbc__block_unpin(request->params.cache, pin);
        return rbc__located_no_memory(err);
    }
    *kept = pin;
    return RBC_OK;
}
