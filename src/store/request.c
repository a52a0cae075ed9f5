#include "store/request.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
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
    rbc__timeline_init(&request->own_timeline);
    request->timeline = &request->own_timeline;
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
        if (block->claim != 0) { /* nobody will read it for those who wait */
            rbc__block_fail(cache, block->pin, block->claim, NULL);
        }
        rbc__block_unpin(cache, block->pin);
        free(block->error);
    }
    for (size_t i = 0; i < request->groups.count; ++i) {
        rbc__wanted_group *group = rbc__request_group(request, i);
        if (group->pin != NULL) {
            rbc__block_unpin(cache, group->pin);
        }
        free(group->error);
    }
    for (size_t i = 0; i < request->objects.count; ++i) {
        rbc__block_unpin(cache, ((rbc__cached_block **)request->objects.items)[i]);
    }
    for (size_t i = 0; i < request->ranges.count; ++i) {
        free(rbc__request_range(request, i)->error);
    }
    for (size_t i = 0; i < request->made_samples.count; ++i) {
        free(((uint8_t **)request->made_samples.items)[i]);
    }
    request->made_samples.count = 0;
    request->ranges.count = request->blocks.count = request->wants.count = 0;
    request->groups.count = request->sources.count = 0;
    request->failures.count = request->objects.count = request->reads.count = 0;
    request->order.count = 0;
    request->arena_used = 0;
    request->is_planned = request->has_lost_failures = false;
    request->cancel = NULL;
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
    free(closing->groups.items);
    free(closing->sources.items);
    free(closing->wants.items);
    free(closing->failures.items);
    free(closing->objects.items);
    free(closing->reads.items);
    free(closing->order.items);
    free(closing->made_samples.items);
    rbc__scratch_free(&closing->arena);
    rbc__scratch_free(&closing->unpacked);
    rbc__scratch_free(&closing->gathered);
    free(closing);
}

void rbc__request_cancel_by(rbc__request *request, const atomic_bool *cancel) {
    request->cancel = cancel;
}

void rbc__request_for(rbc__request *request, int32_t tag, int32_t rank) {
    request->tag = tag;
    request->rank = rank;
}

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
    if (failure == NULL) {
        request->has_lost_failures = true;
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

/* A failure that could not be noted may be anybody's. */
const rbc_error *rbc__request_failure(const rbc__request *request, int32_t tag, int32_t *rank) {
    static const rbc_error lost = {.status = RBC_ERROR_OUT_OF_MEMORY,
                                   .message = "no memory for what went wrong"};
    const rbc__failure *failure = find_failure(request, tag);
    if (failure != NULL || request->has_lost_failures) {
        *rank = failure != NULL ? failure->rank : INT32_MIN;
    }
    return failure != NULL ? &failure->error : request->has_lost_failures ? &lost : NULL;
}

size_t rbc__request_num_failures(const rbc__request *request) {
    return request->failures.count + request->has_lost_failures;
}

rbc__request_stats rbc__request_take_stats(rbc__request *request) {
    const rbc__request_stats stats = request->stats;
    request->stats = (rbc__request_stats){0};
    return stats;
}

rbc__timeline *rbc__request_timeline(rbc__request *request) {
    return request->timeline;
}

void rbc__request_share_timeline(rbc__request *request, rbc__timeline *timeline) {
    request->timeline = timeline;
}
