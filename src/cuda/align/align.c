#include <string.h>

#include "core/error.h"
#include "cuda/align/align_params.h"
#include "cuda/common/arithmetic.h"
#include "cuda/ops.h"
#include "cuda/resample/resample_launch.h"
#include "cuda/runtime/pipe.h"
#include "cuda/runtime/staging.h"

enum { ALIGNMENT = 16 };

/* What is copied to the device: items | tiles | of each item what it points to. */
typedef struct layout {
    int64_t tiles, num_tiles;
    int64_t data, bytes;
} layout;

/* Memory that is being given out, on the host and as it will lie on the device. */
typedef struct memory {
    uint8_t *host, *device;
    int64_t used;
} memory;

static int64_t padded(int64_t bytes) {
    return rbc__round_up(bytes, ALIGNMENT);
}

/* ---- how much ---- */

static int64_t num_tiles(const rbc__align_item *item) {
    return rbc__divide_up(item->count, ALIGN_TILE);
}

/* Items of one window lie side by side and share what is the window's. */
static bool is_shared(const rbc__align_item *items, int64_t i) {
    if (i == 0) {
        return false;
    }
    const rbc__align_item *item = &items[i];
    const rbc__align_item *before = &items[i - 1];
    return before->source.runs == item->source.runs && before->scale == item->scale &&
           before->offset == item->offset;
}

static int64_t doubles_bytes(const rbc__align_item *item, const double *numbers) {
    return numbers == NULL ? 0 : padded(item->source.num_channels * (int64_t)sizeof *numbers);
}

static int64_t shared_bytes(const rbc__align_item *item) {
    return padded(item->source.num_runs * (int64_t)sizeof(resample_run)) +
           doubles_bytes(item, item->scale) + doubles_bytes(item, item->offset);
}

static int64_t own_bytes(const rbc__align_item *item) {
    const rbc__resample_source *source = &item->source;
    return padded(source->num_samples * (int64_t)sizeof(int64_t)) +
           padded(source->num_samples * source->sample_stride_bytes) +
           padded(item->num_targets * (int64_t)sizeof(int64_t)) +
           (item->nothing != NULL ? padded(item->count) : 0);
}

static layout measure(const rbc__align_items *list) {
    layout l = {.tiles = padded(list->count * (int64_t)sizeof(align_item))};
    int64_t data = 0;
    for (int64_t i = 0; i < list->count; ++i) {
        const rbc__align_item *item = &list->items[i];
        l.num_tiles += num_tiles(item);
        data += own_bytes(item) + (is_shared(list->items, i) ? 0 : shared_bytes(item));
    }
    l.data = l.tiles + padded(l.num_tiles * (int64_t)sizeof(align_tile));
    l.bytes = l.data + data;
    return l;
}

int64_t rbc__cuda_align_bytes(const rbc__align_items *list) {
    return measure(list).bytes;
}

/* ---- what ---- */

/* Puts bytes down, and returns where they will be on the device. */
static const void *put(memory *to, const void *from, int64_t bytes) {
    const void *there = to->device + to->used;
    if (bytes > 0) {
        memcpy(to->host + to->used, from, (size_t)bytes);
    }
    to->used += padded(bytes);
    return there;
}

static const resample_run *put_runs(memory *to, const rbc__resample_source *source) {
    resample_run *runs = (resample_run *)(void *)(to->host + to->used);
    const void *there = to->device + to->used;
    for (int32_t r = 0; r < source->num_runs; ++r) {
        runs[r] = (resample_run){.begin = (uint32_t)source->runs[r].begin,
                                 .end = (uint32_t)source->runs[r].end,
                                 .mode = (uint32_t)source->runs[r].mode};
    }
    to->used += padded(source->num_runs * (int64_t)sizeof *runs);
    return there;
}

static const double *put_doubles(memory *to, const rbc__align_item *item, const double *numbers) {
    return numbers == NULL ? NULL
                           : put(to, numbers, item->source.num_channels * (int64_t)sizeof *numbers);
}

static void put_shared(memory *to, const rbc__align_item *item, align_item *out) {
    out->runs = put_runs(to, &item->source);
    out->scale = put_doubles(to, item, item->scale);
    out->offset = put_doubles(to, item, item->offset);
}

static void put_own(memory *to, const rbc__align_item *item, align_item *out) {
    const rbc__resample_source *source = &item->source;
    out->source.times = put(to, source->times, source->num_samples * (int64_t)sizeof(int64_t));
    out->source.values = put(to, source->values, source->num_samples * source->sample_stride_bytes);
    out->targets = put(to, item->targets, item->num_targets * (int64_t)sizeof(int64_t));
    out->nothing = item->nothing != NULL ? put(to, item->nothing, item->count) : NULL;
}

static align_item item_of(const rbc__align_item *item) {
    const rbc__resample_source *source = &item->source;
    const int64_t tail = item->tail_bytes / rbc__dtype_bytes(item->dtype);
    return (align_item){
        .source = rbc__cuda_describe_source(item->stored, source, 0, 1),
        .num_targets = item->num_targets,
        .out = (char *)item->out,
        .out_stride = item->out_stride_bytes,
        .num_runs = (uint32_t)source->num_runs,
        .first = (uint32_t)item->first,
        .step = (uint32_t)item->step,
        .count = (uint32_t)item->count,
        .channels = (uint32_t)source->num_channels,
        .columns = (uint32_t)(source->num_channels + tail),
        .stored = rbc__cuda_value_of(item->stored),
        .dtype = rbc__cuda_value_of(item->dtype),
        .is_nan = item->is_nan,
    };
}

static void describe(const rbc__align_items *list, const layout *l, uint8_t *host) {
    align_item *items = (align_item *)(void *)host;
    align_tile *tile = (align_tile *)(void *)(host + l->tiles);
    memory to = {.host = host, .device = list->device, .used = l->data};
    for (int64_t i = 0; i < list->count; ++i) {
        const rbc__align_item *item = &list->items[i];
        items[i] = item_of(item);
        if (is_shared(list->items, i)) {
            items[i].runs = items[i - 1].runs;
            items[i].scale = items[i - 1].scale;
            items[i].offset = items[i - 1].offset;
        } else {
            put_shared(&to, item, &items[i]);
        }
        put_own(&to, item, &items[i]);
        for (int64_t first = 0; first < item->count; first += ALIGN_TILE) {
            *tile++ = (align_tile){.item = (uint32_t)i, .first = (uint32_t)first};
        }
    }
}

/* Queues a copy of what the kernel is told, which then lies `*there`. */
static rbc_status copy_description(rbc__cuda_queue *queue, const rbc__align_items *list,
                                   const layout *l, unsigned char **there, rbc_error *err) {
    rbc__cuda_staging *staging;
    unsigned char *host;
    RBC__TRY(rbc__cuda_staging_take(queue, (uint64_t)l->bytes, &staging, &host, err));
    describe(list, l, host);
    rbc__cuda_pipe_ops.mark(list->pipe, RBC_GPU_COPY);
    const rbc_status status =
        rbc__cuda_staging_copy(queue, staging, (uint64_t)l->bytes, list->device, there, err);
    const rbc_status given = rbc__cuda_staging_give(queue, staging, status == RBC_OK ? err : NULL);
    return status == RBC_OK ? given : status;
}

static rbc_status run(rbc__cuda_queue *queue, const rbc__align_items *list, const layout *l,
                      rbc_error *err) {
    unsigned char *there = NULL;
    RBC__TRY(copy_description(queue, list, l, &there, err));
    rbc__cuda_pipe_ops.mark(list->pipe, RBC_GPU_ALIGN);
    const align_launch launch = {
        .items = (const align_item *)(const void *)there,
        .tiles = (const align_tile *)(const void *)(there + l->tiles),
    };
    const rbc__cuda_shape shape = {.blocks = l->num_tiles, .blocks_y = 1, .threads = ALIGN_THREADS};
    return rbc__cuda_launch(queue, RBC__CUDA_align, shape, &launch, err);
}

rbc_status rbc__cuda_align(rbc_context *context, const rbc__align_items *list, int32_t device_id,
                           void *cu_stream, rbc_error *err) {
    (void)context;
    const layout l = measure(list);
    if (l.num_tiles == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    queue.pipe = list->pipe;
    return rbc__cuda_leave(&queue, run(&queue, list, &l, err));
}
