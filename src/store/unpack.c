/* Unpacking the blocks of a request, each by whoever comes first. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"
#include "store/wants.h"

typedef struct unpacking {
    rbc__request *request;
    const rbc__wanted_block *block;
} unpacking;

static rbc_status unpack_block(void *user, const uint8_t *packed, size_t bytes, uint8_t **out,
                               size_t *out_bytes, rbc_error *err) {
    const unpacking *u = user;
    const rbc__wanted_block *block = u->block;
    char name[1024];
    rbc__store *store = u->request->params.store;
    *out_bytes = (size_t)block->unpacked_bytes;
    rbc_status status = rbc__packing_check_growth(&block->packing, bytes, *out_bytes, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "%s: byte %" PRIu64,
                                store->ops->name(store, block->blob, name, sizeof name),
                                block->offset);
    }
    *out = malloc(*out_bytes > 0 ? *out_bytes : 1);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a block of %zu bytes",
                         *out_bytes);
    }
    status =
        rbc__unpack(u->request->unpacker, &block->packing, packed, bytes, *out, *out_bytes, err);
    if (status != RBC_OK) {
        free(*out);
        return rbc__fail_within(err, status, "%s: byte %" PRIu64,
                                store->ops->name(store, block->blob, name, sizeof name),
                                block->offset);
    }
    u->request->stats.bytes_unpacked += (int64_t)*out_bytes;
    return RBC_OK;
}

static void block_failed(rbc__wanted_block *block, const rbc_error *problem) {
    rbc__read read = {0};
    rbc__read_fail(&read, problem);
    block->status = read.status;
    block->error = read.error;
}

/* The caller has claimed it and read its packed bytes: unpacks them where they are. */
static void publish(rbc__request *request, rbc__wanted_block *block, const uint8_t *packed,
                    size_t packed_bytes) {
    rbc_error problem;
    unpacking u = {request, block};
    uint8_t *data = NULL;
    size_t bytes = 0;
    const uint32_t claim = block->claim;
    block->claim = 0;
    if (unpack_block(&u, packed, packed_bytes, &data, &bytes, &problem) != RBC_OK) {
        rbc__block_fail(request->params.cache, block->pin, claim, &problem);
        block_failed(block, &problem);
        return;
    }
    if (!rbc__block_publish(request->params.cache, block->pin, claim, data, bytes)) {
        free(data);
        rbc__fail(&problem, RBC_ERROR_CANCELLED, "reading a block was stopped");
        block_failed(block, &problem);
        return;
    }
    block->data = data;
    block->bytes = bytes;
}

/* Somebody else's reading failed: reads it alone. */
static void read_alone(rbc__request *request, rbc__wanted_block *block, const atomic_bool *cancel) {
    rbc_error problem;
    uint8_t *packed = malloc(block->packed_bytes > 0 ? (size_t)block->packed_bytes : 1);
    rbc__read one = {
        .blob = block->blob, .offset = block->offset, .bytes = block->packed_bytes, .dst = packed};
    if (packed == NULL) {
        rbc__fail(&problem, RBC_ERROR_OUT_OF_MEMORY, "no memory for a block");
        rbc__read_fail(&one, &problem);
    } else {
        rbc__timeline_enter(request->timeline, RBC_STAGE_READ);
        rbc__request_store_read(request, &one, 1, cancel);
        rbc__timeline_enter(request->timeline, RBC_STAGE_UNPACK);
    }
    if (one.status == RBC_OK) {
        publish(request, block, packed, (size_t)block->packed_bytes);
    } else {
        rbc__block_fail(request->params.cache, block->pin, block->claim, one.error);
        block->claim = 0;
        block->status = one.status;
        block->error = one.error;
    }
    free(packed);
}

static void await_block(rbc__request *request, rbc__wanted_block *block,
                        const atomic_bool *cancel) {
    rbc__block_cache *cache = request->params.cache;
    unpacking u = {request, block};
    rbc_error problem;
    bool again = true;
    while (again && block->status == RBC_OK) {
        if (rbc__block_get(cache, block->pin, unpack_block, &u, cancel, request->timeline,
                           &block->data, &block->bytes, &again, &problem) != RBC_OK) {
            block_failed(block, &problem);
        } else if (again) {
            block->claim = rbc__block_claim(cache, block->pin, cancel);
            if (block->claim != 0) {
                read_alone(request, block, cancel);
                again = false;
            }
        }
    }
    if (block->status == RBC_OK && block->bytes != block->unpacked_bytes) {
        char name[1024];
        rbc__store *store = request->params.store;
        rbc__fail(&problem, RBC_ERROR_FORMAT,
                  "%s: byte %" PRIu64 ": a block of %" PRIu64
                  " bytes has %zu in another entry of the catalog",
                  store->ops->name(store, block->blob, name, sizeof name), block->offset,
                  block->unpacked_bytes, block->bytes);
        block_failed(block, &problem);
    }
}

void rbc__request_unpack(rbc__request *request, const atomic_bool *cancel) {
    for (size_t i = 0; i < request->blocks.count; ++i) {
        rbc__wanted_block *block = rbc__request_block(request, i);
        if (block->claim == 0) {
            continue;
        }
        const rbc__range *range = rbc__request_range(request, block->range);
        if (range->status == RBC_OK) {
            publish(request, block, request->arena.data + range->at, (size_t)range->bytes);
            continue;
        }
        rbc__block_fail(request->params.cache, block->pin, block->claim, range->error);
        block->claim = 0;
        block->status = range->status;
        if (range->error != NULL) {
            block_failed(block, range->error);
        }
    }
    for (size_t i = 0; i < request->blocks.count; ++i) {
        rbc__wanted_block *block = rbc__request_block(request, i);
        if (block->status == RBC_OK && block->data == NULL) {
            await_block(request, block, cancel);
        }
    }
}
