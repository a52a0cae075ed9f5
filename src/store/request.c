#include "store/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "layout/array_copy.h"
#include "layout/npy.h"
#include "layout/values.h"
#include "store/wants.h"

void *rbc__list_add(rbc__list_of *list, size_t item_bytes) {
    if (list->count == list->room) {
        const size_t room = list->room > 0 ? 2 * list->room : 64;
        void *grown = realloc(list->items, room * item_bytes);
        if (grown == NULL) {
            return NULL;
        }
        list->items = grown;
        list->room = room;
    }
    uint8_t *item = (uint8_t *)list->items + list->count++ * item_bytes;
    memset(item, 0, item_bytes);
    return item;
}

rbc_status rbc__request_create(const rbc__request_params *params, rbc__request **out,
                               rbc_error *err) {
    rbc__request *request = calloc(1, sizeof *request);
    *out = NULL;
    if (request == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a request");
    }
    request->params = *params;
    const rbc_status status = rbc__unpacker_create(&request->unpacker, err);
    if (status != RBC_OK) {
        free(request);
        return status;
    }
    *out = request;
    return RBC_OK;
}

void rbc__request_begin(rbc__request *request) {
    rbc__block_cache *cache = request->params.cache;
    for (size_t i = 0; i < request->blocks.count; ++i) {
        rbc__wanted_block *block = rbc__request_block(request, i);
        if (block->is_claimed) { /* nobody will read it for those who wait */
            rbc__block_fail(cache, block->pin, NULL);
        }
        rbc__block_unpin(cache, block->pin);
        free(block->error);
    }
    for (size_t i = 0; i < request->objects.count; ++i) {
        rbc__block_unpin(cache, ((rbc__cached_block **)request->objects.items)[i]);
    }
    for (size_t i = 0; i < request->ranges.count; ++i) {
        free(rbc__request_range(request, i)->error);
    }
    for (size_t i = 0; i < request->unpacked_samples.count; ++i) {
        free(((uint8_t **)request->unpacked_samples.items)[i]);
    }
    request->unpacked_samples.count = 0;
    request->ranges.count = request->blocks.count = request->wants.count = 0;
    request->failures.count = request->objects.count = request->reads.count = 0;
    request->order.count = 0;
    request->arena_used = 0;
    request->is_planned = false;
    request->tag = request->rank = 0;
}

void rbc__request_destroy(rbc__request **request) {
    rbc__request *closing = *request;
    *request = NULL;
    if (closing == NULL) {
        return;
    }
    rbc__request_begin(closing);
    rbc__unpacker_destroy(&closing->unpacker);
    free(closing->ranges.items);
    free(closing->blocks.items);
    free(closing->wants.items);
    free(closing->failures.items);
    free(closing->objects.items);
    free(closing->reads.items);
    free(closing->order.items);
    free(closing->unpacked_samples.items);
    rbc__scratch_free(&closing->arena);
    rbc__scratch_free(&closing->unpacked);
    rbc__scratch_free(&closing->gathered);
    free(closing);
}

void rbc__request_for(rbc__request *request, int32_t tag, int32_t rank) {
    request->tag = tag;
    request->rank = rank;
}

/* ---- failures -----------------------------------------------------------------------------------
 */

static rbc__failure *find_failure(const rbc__request *request, int32_t tag) {
    rbc__failure *failures = request->failures.items;
    for (size_t i = 0; i < request->failures.count; ++i) {
        if (failures[i].tag == tag) {
            return &failures[i];
        }
    }
    return NULL;
}

void rbc__request_fail(rbc__request *request, const rbc__want *want, const rbc_error *problem) {
    rbc__failure *failure = find_failure(request, want->tag);
    if (failure != NULL && failure->rank <= want->rank) {
        return;
    }
    failure = failure != NULL ? failure : rbc__list_add(&request->failures, sizeof *failure);
    if (failure == NULL) { /* the failure of another stands for this one */
        return;
    }
    failure->tag = want->tag;
    failure->rank = want->rank;
    if (problem != NULL) {
        failure->error = *problem;
    } else {
        rbc__fail(&failure->error, RBC_ERROR_OUT_OF_MEMORY, "no memory for what went wrong");
    }
}

const rbc_error *rbc__request_failure(const rbc__request *request, int32_t tag, int32_t *rank) {
    const rbc__failure *failure = find_failure(request, tag);
    if (failure != NULL) {
        *rank = failure->rank;
    }
    return failure != NULL ? &failure->error : NULL;
}

size_t rbc__request_num_failures(const rbc__request *request) {
    return request->failures.count;
}

static rbc_status fail_want(const rbc__request *request, const rbc__want *want, rbc_error *err,
                            const char *problem) {
    char name[1024];
    rbc__store *store = request->params.store;
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64 ": %s",
                     store->ops->name(store, want->blob, name, sizeof name), want->blob_offset,
                     request->params.schema->streams[want->stream].name, want->record, problem);
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static int compare_ranges(const void *a, const void *b) {
    const rbc__range *left = *(rbc__range *const *)a;
    const rbc__range *right = *(rbc__range *const *)b;
    if (left->blob != right->blob) {
        return left->blob < right->blob ? -1 : 1;
    }
    return (left->offset > right->offset) - (left->offset < right->offset);
}

/* Ranges in the order of blobs and offsets. */
static bool sort_ranges(rbc__request *request) {
    bool is_sorted = true;
    for (size_t i = 0; i < request->ranges.count; ++i) {
        rbc__range **item = rbc__list_add(&request->order, sizeof(rbc__range *));
        if (item == NULL) {
            return false;
        }
        *item = rbc__request_range(request, i);
        is_sorted = is_sorted && (i == 0 || compare_ranges(item - 1, item) <= 0);
    }
    if (!is_sorted) {
        qsort(request->order.items, request->order.count, sizeof(rbc__range *), compare_ranges);
    }
    return true;
}

static rbc__read *add_read(rbc__request *request, const rbc__range *range) {
    rbc__read *read = rbc__list_add(&request->reads, sizeof *read);
    if (read != NULL) {
        read->blob = range->blob;
        read->offset = range->offset;
        read->bytes = range->bytes;
        read->dst = range->direct;
    }
    return read;
}

/* Joins neighbours with little between them; `dst` of a read in the arena is set when that is
 * allocated, as the arena's begin. */
static bool plan_reads(rbc__request *request) {
    if (request->is_planned) {
        return true;
    }
    request->is_planned = true;
    if (!sort_ranges(request)) {
        return false;
    }
    rbc__range **order = request->order.items;
    rbc__read *open = NULL;
    uint64_t wanted = 0;
    for (size_t i = 0; i < request->order.count; ++i) {
        rbc__range *range = order[i];
        if (range->direct != NULL) {
            open = NULL;
            if (add_read(request, range) == NULL) {
                return false;
            }
            continue;
        }
        const uint64_t end = range->offset + range->bytes;
        const uint64_t open_end = open != NULL ? open->offset + open->bytes : 0;
        const uint64_t more = end > open_end && open != NULL
                                  ? end - (range->offset > open_end ? range->offset : open_end)
                                  : 0;
        if (open != NULL && open->blob == range->blob &&
            (end <= open_end || end - open->offset <= wanted + more + (wanted + more) / 4)) {
            wanted += more;
            request->arena_used += end > open_end ? (size_t)(end - open_end) : 0;
            open->bytes = end > open_end ? end - open->offset : open->bytes;
        } else {
            open = add_read(request, range);
            if (open == NULL) {
                return false;
            }
            wanted = range->bytes;
            request->arena_used += (size_t)range->bytes;
        }
        range->at = request->arena_used - (size_t)(open->offset + open->bytes - range->offset);
    }
    return true;
}

static void place_reads(rbc__request *request) {
    rbc__read *reads = request->reads.items;
    size_t at = 0;
    for (size_t i = 0; i < request->reads.count; ++i) {
        if (reads[i].dst == NULL) {
            reads[i].dst = request->arena.data + at;
            at += (size_t)reads[i].bytes;
        }
    }
}

void rbc__request_announce(rbc__request *request) {
    const rbc__store_ops *ops = request->params.store->ops;
    if (ops->announce != NULL && plan_reads(request)) {
        ops->announce(request->params.store, request->reads.items, request->reads.count);
    }
}

int64_t rbc__request_bytes(rbc__request *request) {
    return plan_reads(request) ? (int64_t)request->arena_used : 0;
}

static void fail_ranges(rbc__request *request, const rbc_error *problem) {
    for (size_t i = 0; i < request->ranges.count; ++i) {
        rbc__range *range = rbc__request_range(request, i);
        rbc__read read = {0};
        rbc__read_fail(&read, problem);
        range->status = read.status;
        range->error = read.error;
    }
}

static bool covers(const rbc__read *read, const rbc__range *range) {
    return read->blob == range->blob && read->offset <= range->offset &&
           range->offset + range->bytes <= read->offset + read->bytes &&
           (range->direct == NULL || read->dst == range->direct);
}

/* What failed for ranges together is read again for each, so that each has its own failure. */
static void settle_ranges(rbc__request *request, const atomic_bool *cancel) {
    rbc__store *store = request->params.store;
    rbc__range **order = request->order.items;
    rbc__read *reads = request->reads.items;
    size_t next = 0;
    for (size_t i = 0; i < request->reads.count; ++i) {
        const size_t first = next;
        while (next < request->order.count && covers(&reads[i], order[next]) &&
               (next == first || reads[i].dst != order[first]->direct)) {
            ++next;
        }
        for (size_t k = first; k < next && reads[i].status != RBC_OK; ++k) {
            rbc__range *range = order[k];
            if (next - first > 1 && reads[i].status != RBC_ERROR_CANCELLED) {
                rbc__read one = {.blob = range->blob,
                                 .offset = range->offset,
                                 .bytes = range->bytes,
                                 .dst = request->arena.data + range->at};
                store->ops->read(store, &one, 1, cancel);
                range->status = one.status;
                range->error = one.error;
            } else {
                range->status = reads[i].status;
                range->error = reads[i].error;
                reads[i].error = NULL;
            }
        }
        free(reads[i].error);
        reads[i].error = NULL;
    }
}

/* The packed bytes are handed in, for whoever comes first to unpack. */
static void hand_in_blocks(rbc__request *request) {
    for (size_t i = 0; i < request->blocks.count; ++i) {
        rbc__wanted_block *block = rbc__request_block(request, i);
        if (!block->is_claimed) {
            continue;
        }
        const rbc__range *range = rbc__request_range(request, block->range);
        uint8_t *packed =
            range->status == RBC_OK ? malloc(range->bytes > 0 ? (size_t)range->bytes : 1) : NULL;
        if (packed != NULL) {
            memcpy(packed, request->arena.data + range->at, (size_t)range->bytes);
            rbc__block_hand_in(request->params.cache, block->pin, packed, (size_t)range->bytes);
        } else {
            rbc__block_fail(request->params.cache, block->pin, range->error);
            block->status = range->status != RBC_OK ? range->status : RBC_ERROR_OUT_OF_MEMORY;
            if (range->error != NULL) {
                block->error = malloc(sizeof *block->error);
                if (block->error != NULL) {
                    *block->error = *range->error;
                }
            }
        }
        block->is_claimed = false;
    }
}

static void read_planned(rbc__request *request, const atomic_bool *cancel) {
    rbc__store *store = request->params.store;
    place_reads(request);
    rbc__read *reads = request->reads.items;
    const int64_t begin = rbc__now_ns();
    store->ops->read(store, reads, request->reads.count, cancel);
    request->stats.read_ns += rbc__now_ns() - begin;
    bool all_good = true;
    for (size_t i = 0; i < request->reads.count; ++i) {
        all_good = all_good && reads[i].status == RBC_OK;
        request->stats.bytes_read += (int64_t)reads[i].bytes;
    }
    request->stats.num_reads += (int64_t)request->reads.count;
    if (!all_good) {
        settle_ranges(request, cancel);
    }
}

void rbc__request_read(rbc__request *request, const atomic_bool *cancel) {
    rbc_error problem;
    if (request->ranges.count == 0) {
        return;
    }
    if (!plan_reads(request)) {
        rbc__fail(&problem, RBC_ERROR_OUT_OF_MEMORY, "no memory for what is to be read");
        fail_ranges(request, &problem);
    } else if (rbc__scratch_reserve(&request->arena, request->arena_used, &problem) != RBC_OK) {
        fail_ranges(request, &problem);
    } else {
        read_planned(request, cancel);
    }
    if (request->params.is_split) { /* whatever has failed: others may wait for a block */
        hand_in_blocks(request);
    }
}

/* ---- unpacking ----------------------------------------------------------------------------------
 */

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
    rbc_status status = block->track == NULL
                            ? rbc__packing_check_growth(&block->packing, bytes, *out_bytes, err)
                            : RBC_OK;
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
    status = block->track != NULL ? rbc__wanted_frames(block, packed, *out, err)
                                  : rbc__unpack(u->request->unpacker, &block->packing, packed,
                                                bytes, *out, *out_bytes, err);
    if (status != RBC_OK) {
        free(*out);
        return rbc__fail_within(err, status, "%s: byte %" PRIu64,
                                store->ops->name(store, block->blob, name, sizeof name),
                                block->offset);
    }
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
    block->is_claimed = false;
    if (unpack_block(&u, packed, packed_bytes, &data, &bytes, &problem) != RBC_OK) {
        rbc__block_fail(request->params.cache, block->pin, &problem);
        block_failed(block, &problem);
        return;
    }
    rbc__block_publish(request->params.cache, block->pin, data, bytes);
    block->data = data;
    block->bytes = bytes;
}

/* Somebody else's reading failed: reads it alone. */
static void read_alone(rbc__request *request, rbc__wanted_block *block, const atomic_bool *cancel) {
    rbc__store *store = request->params.store;
    rbc_error problem;
    uint8_t *packed = malloc(block->packed_bytes > 0 ? (size_t)block->packed_bytes : 1);
    rbc__read one = {
        .blob = block->blob, .offset = block->offset, .bytes = block->packed_bytes, .dst = packed};
    if (packed == NULL) {
        rbc__fail(&problem, RBC_ERROR_OUT_OF_MEMORY, "no memory for a block");
        rbc__read_fail(&one, &problem);
    } else {
        store->ops->read(store, &one, 1, cancel);
    }
    if (one.status == RBC_OK) {
        publish(request, block, packed, (size_t)block->packed_bytes);
    } else {
        rbc__block_fail(request->params.cache, block->pin, one.error);
        block->is_claimed = false;
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
        if (rbc__block_get(cache, block->pin, unpack_block, &u, cancel, &block->data, &block->bytes,
                           &again, &problem) != RBC_OK) {
            block_failed(block, &problem);
        } else if (again && rbc__block_claim(cache, block->pin)) {
            read_alone(request, block, cancel);
            again = false;
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

static void unpack_blocks(rbc__request *request, const atomic_bool *cancel) {
    for (size_t i = 0; i < request->blocks.count; ++i) {
        rbc__wanted_block *block = rbc__request_block(request, i);
        if (!block->is_claimed) {
            continue;
        }
        const rbc__range *range = rbc__request_range(request, block->range);
        if (range->status == RBC_OK) {
            publish(request, block, request->arena.data + range->at, (size_t)range->bytes);
            continue;
        }
        rbc__block_fail(request->params.cache, block->pin, range->error);
        block->is_claimed = false;
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

/* ---- numbers ------------------------------------------------------------------------------------
 */

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
                          want->encoding != RBC__ENCODING_VARINT;
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

static rbc_status convert_sample(rbc__request *request, const rbc__want *want, const uint8_t *src,
                                 uint8_t *dst, rbc_error *err) {
    uint64_t bytes = want->bytes;
    rbc__encoding encoding = (rbc__encoding)want->encoding;
    if (want->packing != NULL) {
        RBC__TRY(unpack_sample(request, want, &src, &bytes, err));
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

/* A block that failed, of which the message says where it lies: whose it is goes behind that. */
static rbc_status fail_block(const rbc__request *request, const rbc__want *want,
                             const rbc__wanted_block *block, rbc_error *err) {
    char name[1024];
    char where[1100];
    rbc__store *store = request->params.store;
    if (block->error == NULL) {
        return rbc__fail(err, block->status, "reading a block failed");
    }
    const int length =
        snprintf(where, sizeof where, "%s: byte %" PRIu64 ": ",
                 store->ops->name(store, block->blob, name, sizeof name), block->offset);
    if (block->status != RBC_ERROR_FORMAT ||
        strncmp(block->error->message, where, (size_t)length) != 0) {
        return rbc__pass_on(block->error, err);
    }
    return rbc__fail(err, RBC_ERROR_FORMAT, "%sstream '%s' of record %" PRId64 ": %s", where,
                     request->params.schema->streams[want->stream].name, want->record,
                     block->error->message + length);
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
    const uint8_t *found = want->data;
    uint64_t bytes = 0;
    RBC__TRY(unpack_sample(request, want, &found, &bytes, err));
    uint8_t **kept = rbc__list_add(&request->unpacked_samples, sizeof(uint8_t *));
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
    if (request->blocks.count > 0) {
        const int64_t begin = rbc__now_ns();
        unpack_blocks(request, cancel);
        request->stats.unpack_ns += rbc__now_ns() - begin;
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
}

void rbc__request_get(const rbc__request *request, uint32_t want_index, rbc__sample *out) {
    const rbc__want *want = rbc__request_want(request, want_index);
    *out = (rbc__sample){.bytes = want->data,
                         .num_bytes = want->bytes,
                         .blob = want->blob,
                         .offset = want->blob_offset};
}

rbc__request_stats rbc__request_take_stats(rbc__request *request) {
    const rbc__request_stats stats = request->stats;
    request->stats = (rbc__request_stats){0};
    return stats;
}
