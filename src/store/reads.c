/* Reading what a request wants: ranges of blobs, neighbours joined, all at once. */
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "store/wants.h"

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
                rbc__request_store_read(request, &one, 1, cancel);
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
        if (block->claim == 0) {
            continue;
        }
        const rbc__range *range = rbc__request_range(request, block->range);
        uint8_t *packed =
            range->status == RBC_OK ? malloc(range->bytes > 0 ? (size_t)range->bytes : 1) : NULL;
        if (packed != NULL) {
            memcpy(packed, request->arena.data + range->at, (size_t)range->bytes);
            rbc__block_hand_in(request->params.cache, block->pin, block->claim, packed,
                               (size_t)range->bytes);
        } else {
            rbc__block_fail(request->params.cache, block->pin, block->claim, range->error);
            block->status = range->status != RBC_OK ? range->status : RBC_ERROR_OUT_OF_MEMORY;
            if (range->error != NULL) {
                block->error = malloc(sizeof *block->error);
                if (block->error != NULL) {
                    *block->error = *range->error;
                }
            }
        }
        block->claim = 0;
    }
}

static void read_planned(rbc__request *request, const atomic_bool *cancel) {
    place_reads(request);
    rbc__read *reads = request->reads.items;
    const int32_t before = request->timeline->stage;
    const int64_t begin = rbc__timeline_enter(request->timeline, RBC_STAGE_READ);
    rbc__request_store_read(request, reads, request->reads.count, cancel);
    request->stats.read_ns += rbc__timeline_enter(request->timeline, before) - begin;
    bool all_good = true;
    for (size_t i = 0; i < request->reads.count; ++i) {
        all_good = all_good && reads[i].status == RBC_OK;
        request->stats.bytes_read += (int64_t)reads[i].bytes;
    }
    request->stats.num_reads += (int64_t)request->reads.count;
    if (!all_good) {
        rbc__timeline_enter(request->timeline, RBC_STAGE_READ);
        settle_ranges(request, cancel);
        rbc__timeline_enter(request->timeline, before);
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
