#define _GNU_SOURCE

#include "statistics/count.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "statistics/result.h"

/* Samples of more elements have a channel a position along their last axis. */
#define MAX_ELEMENTS 4096

/* More channels have no quantiles: each takes megabytes. */
#define MAX_RANKED 128

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
}

rbc_status rbc__counted_init(rbc__counted *out, int32_t stream, const rbc__stream_schema *schema,
                             int32_t ndim, const int64_t *shape, rbc_error *err) {
    *out = (rbc__counted){.stream = stream, .schema = schema};
    int64_t elements = 1;
    for (int32_t i = 0; i < ndim; ++i) {
        if (shape[i] < 0 || !rbc__mul_size(elements, shape[i], &elements)) {
            char text[256];
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "statistics of stream '%s': numbers of undeclared shape %s",
                             schema->name, rbc__format_shape(text, sizeof text, ndim, shape));
        }
    }
    if (!rbc__mul_size(elements, rbc__dtype_bytes(schema->dtype), &out->sample_bytes)) {
        return out_of_memory(err);
    }
    if (elements > MAX_ELEMENTS || schema->kind == RBC_STREAM_IMAGE) {
        const bool has_last = ndim > 0 && shape[ndim - 1] <= MAX_ELEMENTS;
        shape += has_last ? ndim - 1 : ndim;
        ndim = has_last ? 1 : 0;
        elements = has_last ? shape[0] : 1;
    }
    const bool is_ranked = elements <= MAX_RANKED;
    RBC__TRY(rbc__statistics_create(schema->name, schema->dtype, ndim, shape, is_ranked,
                                    &out->result, err));
    out->result->is_image = schema->kind == RBC_STREAM_IMAGE;
    out->channels = calloc((size_t)elements + 1, sizeof *out->channels);
    if (out->channels == NULL) {
        return out_of_memory(err);
    }
    for (int64_t c = 0; c < elements; ++c) {
        RBC__TRY(rbc__channel_init(&out->channels[c], schema->dtype, is_ranked, err));
    }
    return RBC_OK;
}

void rbc__counted_free(rbc__counted *counted) {
    for (int64_t c = 0; counted->channels != NULL && c < counted->result->num_channels; ++c) {
        rbc__channel_free(&counted->channels[c]);
    }
    free(counted->channels);
    rbc_statistics_destroy(&counted->result);
    *counted = (rbc__counted){0};
}

rbc_status rbc__counting_reserve(rbc__counting *counting, rbc_error *err) {
    counting->filled = calloc((size_t)RBC__ROUND_SLOTS * (size_t)counting->num_streams + 1,
                              sizeof *counting->filled);
    return counting->filled != NULL ? RBC_OK : out_of_memory(err);
}

void rbc__counting_free(rbc__counting *counting) {
    const int64_t count = (int64_t)RBC__ROUND_SLOTS * counting->num_streams;
    for (int64_t i = 0; counting->filled != NULL && i < count; ++i) {
        rbc__scratch_free(&counting->filled[i].data);
    }
    free(counting->filled);
    counting->filled = NULL;
}

/* ---- a part is a channel ---- */

typedef struct adding {
    rbc__counting *counting;
    int64_t num_slots;
    atomic_bool has_failed; /* for want of memory, which is all that adding can fail for */
} adding;

static void add_channel(void *job, int64_t index) {
    adding *a = job;
    const rbc__counting *counting = a->counting;
    int32_t s = 0;
    while (index >= counting->streams[s].result->num_channels) {
        index -= counting->streams[s++].result->num_channels;
    }
    const rbc__counted *counted = &counting->streams[s];
    const int64_t bytes = rbc__dtype_bytes(counted->schema->dtype);
    for (int64_t i = 0; i < a->num_slots; ++i) {
        const rbc__filled *filled = &counting->filled[i * counting->num_streams + s];
        if (filled->num_rows > 0 &&
            rbc__channel_add(&counted->channels[index], counted->schema->dtype,
                             filled->data.data + index * bytes,
                             counted->result->num_channels * bytes, filled->num_rows,
                             NULL) != RBC_OK) {
            atomic_store(&a->has_failed, true);
        }
    }
}

rbc_status rbc__counting_add(rbc__counting *counting, int64_t num_slots, rbc_error *err) {
    adding a = {.counting = counting, .num_slots = num_slots};
    int64_t num_channels = 0;
    for (int32_t s = 0; s < counting->num_streams; ++s) {
        num_channels += counting->streams[s].result->num_channels;
    }
    rbc__pool_run(counting->pool, num_channels, add_channel, &a);
    return atomic_load(&a.has_failed) ? out_of_memory(err) : RBC_OK;
}

typedef struct finishing {
    rbc__counted *counted;
    atomic_bool has_failed;
} finishing;

static void finish_channel(void *job, int64_t index) {
    finishing *f = job;
    const rbc__counted *counted = f->counted;
    rbc__channel *channel = &counted->channels[index];
    rbc__statistics_channel *out = &counted->result->channels[index];
    out->moments = channel->moments;
    if (channel->ranks != NULL &&
        rbc__ranks_list(channel->ranks, rbc__channel_value_of(counted->schema->dtype), &out->ranked,
                        NULL) != RBC_OK) {
        atomic_store(&f->has_failed, true);
    }
    rbc__channel_free(channel);
}

rbc_status rbc__counted_finish(rbc__counted *counted, rbc__pool *pool, rbc_error *err) {
    finishing f = {.counted = counted};
    rbc__pool_run(pool, counted->result->num_channels, finish_channel, &f);
    return atomic_load(&f.has_failed) ? out_of_memory(err) : RBC_OK;
}

/* ---- */

rbc_status rbc__counting_report(const rbc__counting *counting, rbc_error *err) {
    return counting->report != NULL && counting->report(counting->progress, counting->user) != 0
               ? rbc__fail(err, RBC_ERROR_CANCELLED, "statistics: cancelled")
               : RBC_OK;
}

rbc_status rbc__counting_skip(rbc__counting *counting, int64_t id, const rbc_error *problem,
                              rbc_error *err) {
    if (counting->on_error == RBC_ON_ERROR_RAISE || rbc__is_shortage(problem)) {
        (void)rbc__pass_on(problem, err);
        return rbc__fail_within(err, problem->status, "episode %lld", (long long)id);
    }
    for (int32_t s = 0; s < counting->num_streams; ++s) {
        rbc_statistics *result = counting->streams[s].result;
        ++result->num_skipped;
        if (result->problem == NULL) {
            result->problem = strdup(problem->message);
        }
    }
    return RBC_OK;
}
