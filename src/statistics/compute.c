#include <stdlib.h>

#include "core/cpu.h"
#include "core/error.h"
#include "core/params.h"
#include "statistics/count.h"
#include "statistics/kept.h"

#define MAX_THREADS 1024

/* What is asked of one stream. */
typedef struct asked {
    int32_t stream;
    const rbc__stream_schema *schema;
    bool is_image;
    rbc__statistics_key key;
} asked;

typedef struct computing {
    const rbc_selection *selection;
    rbc_statistics_params params;
    asked *asked;         /* [num_streams] */
    rbc_statistics **out; /* [num_streams]; those that are there already are not computed */
    rbc__pool *pool;
    rbc_statistics_progress progress;
} computing;

static rbc_status copy_params(const rbc_statistics_params *given, rbc_statistics_params *out,
                              rbc_error *err) {
    const rbc_statistics_params defaults = RBC_STATISTICS_PARAMS_INIT;
    *out = defaults;
    RBC__TRY(rbc__params_read(given, out, sizeof *out, "params", err));
    if (out->num_streams < 0 || (out->num_streams > 0 && out->streams == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_streams is %d, streams is %s",
                         out->num_streams, out->streams == NULL ? "NULL" : "set");
    }
    if (out->num_threads < 0 || out->num_threads > MAX_THREADS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_threads is %d; wanted 0 to %d",
                         out->num_threads, MAX_THREADS);
    }
    if (out->num_images < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_images is %lld; wanted at least 0",
                         (long long)out->num_images);
    }
    if (out->on_error != RBC_ON_ERROR_RAISE && out->on_error != RBC_ON_ERROR_SKIP) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "on_error is %d; wanted raise or skip",
                         (int)out->on_error);
    }
    out->num_threads = out->num_threads > 0 ? out->num_threads : rbc__num_cores();
    return RBC_OK;
}

static rbc_status ask(computing *c, int32_t index, rbc_error *err) {
    rbc_dataset *dataset = rbc_selection_dataset(c->selection);
    asked *a = &c->asked[index];
    RBC__TRY(rbc_dataset_find_stream(dataset, c->params.streams[index], &a->stream, err));
    a->schema = &rbc__dataset_schema(dataset)->streams[a->stream];
    a->is_image = a->schema->kind == RBC_STREAM_IMAGE;
    if (a->schema->unsupported != NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s' cannot be read: %s",
                         a->schema->name, a->schema->unsupported);
    }
    if (a->schema->kind == RBC_STREAM_TEXT) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "statistics: stream '%s' is text, not numbers",
                         a->schema->name);
    }
    if (a->is_image && c->params.num_images == 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "statistics: stream '%s' has images, of which as many are decoded as is "
                         "asked for: found 0 images, wanted more",
                         a->schema->name);
    }
    a->key =
        rbc__statistics_key_of(c->selection, a->stream, a->is_image ? c->params.num_images : 0);
    if (c->params.keep != 0) {
        c->out[index] = rbc__statistics_find(c->selection, &a->key);
    }
    return RBC_OK;
}

static void keep(const computing *c, int32_t index) {
    if (c->params.keep != 0 && c->out[index]->num_skipped == 0) {
        (void)rbc__statistics_keep(c->selection, &c->asked[index].key, c->out[index]);
    }
}

/* Hands what was counted over to stream `index`. */
static rbc_status finish(const computing *c, rbc__counted *counted, int32_t index, rbc_error *err) {
    RBC__TRY(rbc__counted_finish(counted, c->pool, err));
    c->out[index] = counted->result;
    keep(c, index);
    free(counted->channels);
    *counted = (rbc__counted){0};
    return RBC_OK;
}

static rbc__counting counting_of(computing *c, rbc__counted *streams, int32_t num_streams) {
    return (rbc__counting){.selection = c->selection,
                           .pool = c->pool,
                           .streams = streams,
                           .num_streams = num_streams,
                           .on_error = c->params.on_error,
                           .report = c->params.progress,
                           .user = c->params.user,
                           .progress = &c->progress};
}

static rbc_status compute_numbers(computing *c, rbc_error *err) {
    const int32_t num_asked = c->params.num_streams;
    rbc__counted *streams = calloc((size_t)num_asked + 1, sizeof *streams);
    if (streams == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
    }
    rbc_status status = RBC_OK;
    int32_t num_streams = 0;
    for (int32_t i = 0; i < num_asked && status == RBC_OK; ++i) {
        const rbc__stream_schema *schema = c->asked[i].schema;
        if (c->out[i] == NULL && !c->asked[i].is_image) {
            status = rbc__counted_init(&streams[num_streams++], c->asked[i].stream, schema,
                                       schema->ndim, schema->shape, err);
        }
    }
    if (status == RBC_OK && num_streams > 0) {
        rbc__counting counting = counting_of(c, streams, num_streams);
        status = rbc__count_numbers(&counting, err);
    }
    int32_t at = 0;
    for (int32_t i = 0; i < num_asked && status == RBC_OK; ++i) {
        if (c->out[i] == NULL && !c->asked[i].is_image) {
            status = finish(c, &streams[at++], i, err);
        }
    }
    for (int32_t i = 0; i < num_streams; ++i) {
        rbc__counted_free(&streams[i]);
    }
    free(streams);
    return status;
}

static rbc_status compute_images(computing *c, int32_t index, rbc_error *err) {
    rbc__counted counted = {0};
    rbc__counting counting = counting_of(c, &counted, 1);
    rbc_status status =
        rbc__count_images(&counting, c->asked[index].stream, c->params.num_images, err);
    if (status == RBC_OK) {
        status = finish(c, &counted, index, err);
    }
    rbc__counted_free(&counted);
    return status;
}

/* Adds what stream `index` has to be counted for. */
static void plan(computing *c, int32_t index) {
    rbc_statistics_progress *progress = &c->progress;
    if (c->asked[index].is_image) {
        const int64_t num_steps = rbc_selection_num_steps(c->selection);
        progress->images_total +=
            c->params.num_images < num_steps ? c->params.num_images : num_steps;
    } else {
        progress->episodes_total = rbc_selection_size(c->selection);
    }
}

static rbc_status compute(computing *c, rbc_error *err) {
    bool is_due = false;
    for (int32_t i = 0; i < c->params.num_streams; ++i) {
        RBC__TRY(ask(c, i, err));
        if (c->out[i] == NULL) {
            is_due = true;
            plan(c, i);
        }
    }
    if (!is_due) {
        return RBC_OK;
    }
    RBC__TRY(rbc__pool_create(c->params.num_threads, &c->pool, err));
    rbc_status status = compute_numbers(c, err);
    for (int32_t i = 0; i < c->params.num_streams && status == RBC_OK; ++i) {
        if (c->out[i] == NULL) {
            status = compute_images(c, i, err);
        }
    }
    rbc__pool_destroy(&c->pool);
    if (status == RBC_OK) {
        const rbc__counting counted = counting_of(c, NULL, 0);
        status = rbc__counting_report(&counted, err);
    }
    return status;
}

rbc_status rbc_statistics_compute(const rbc_selection *selection,
                                  const rbc_statistics_params *params, rbc_statistics **out,
                                  rbc_error *err) {
    computing c = {.selection = selection, .out = out};
    RBC__TRY(copy_params(params, &c.params, err));
    for (int32_t i = 0; i < c.params.num_streams; ++i) {
        out[i] = NULL;
    }
    c.asked = calloc((size_t)c.params.num_streams + 1, sizeof *c.asked);
    const rbc_status status =
        c.asked != NULL ? compute(&c, err)
                        : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
    free(c.asked);
    for (int32_t i = 0; i < c.params.num_streams && status != RBC_OK; ++i) {
        rbc_statistics_destroy(&out[i]);
    }
    return status;
}
