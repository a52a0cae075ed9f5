#include "cuda/runtime/graph.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_IDLE = 256 }; /* launches after which an unused graph gives way */

struct rbc__cuda_graph {
    CUgraph graph;
    CUgraphExec executable;
    CUstream stream; /* that uses it */
    uint64_t digest, used;
    CUgraphNode nodes[RBC__CUDA_BATCH_LAUNCHES];
    rbc__cuda_batch *batch; /* with the parameters it has; only as large as it must be */
};

void *rbc__cuda_parameters(const rbc__cuda_batch *batch, const rbc__cuda_step *step) {
    union {
        const unsigned char *in;
        void *out;
    } parameters = {.in = batch->parameters + step->begin};
    return parameters.out;
}

/* ---- making one ----------------------------------------------------------------------------- */

static CUkernelNodeParams node_params(const rbc__cuda_step *step, void **arguments) {
    return (CUkernelNodeParams){
        .function = step->function,
        .grid_x = (unsigned)step->shape.blocks,
        .grid_y = step->shape.blocks_y,
        .grid_z = 1,
        .block_x = step->shape.threads,
        .block_y = 1,
        .block_z = 1,
        .shared_bytes = step->shape.shared_bytes,
        .parameters = arguments,
    };
}

/* Captures the launches; the last node captured is what the stream then depends on. */
static bool capture(const rbc__cuda_queue *queue, CUstream stream, const rbc__cuda_batch *batch,
                    rbc__cuda_graph *graph) {
    const rbc__cuda_driver *driver = queue->driver;
    if (driver->stream_begin_capture(stream, RBC__CU_CAPTURE_MODE_RELAXED) != 0) {
        return false;
    }
    bool ok = true;
    for (int32_t i = 0; ok && i < batch->count; ++i) {
        int status = 0;
        uint64_t id = 0;
        CUgraph captured = NULL;
        const CUgraphNode *last = NULL;
        size_t count = 0;
        ok = rbc__cuda_submit(driver, queue->device, stream, batch, i, NULL) == RBC_OK &&
             driver->stream_get_capture_info(stream, &status, &id, &captured, &last, &count) == 0 &&
             count == 1;
        if (ok) {
            graph->nodes[i] = last[0];
        }
    }
    return driver->stream_end_capture(stream, &graph->graph) == 0 && ok;
}

static rbc__cuda_batch *copy_batch(const rbc__cuda_batch *batch) {
    const size_t bytes = offsetof(rbc__cuda_batch, parameters) + batch->bytes;
    rbc__cuda_batch *copy = aligned_alloc(16, (bytes + 15) & ~(size_t)15);
    if (copy != NULL) {
        memcpy(copy, batch, bytes);
    }
    return copy;
}

static bool fill(const rbc__cuda_queue *queue, const rbc__cuda_batch *batch,
                 rbc__cuda_graph *graph) {
    const rbc__cuda_driver *driver = queue->driver;
    CUstream *stream = &queue->graphs->capture;
    graph->batch = copy_batch(batch);
    return graph->batch != NULL &&
           (*stream != NULL || driver->stream_create(stream, RBC__CU_STREAM_NON_BLOCKING) == 0) &&
           capture(queue, *stream, batch, graph) &&
           driver->graph_instantiate(&graph->executable, graph->graph, 0) == 0;
}

static rbc__cuda_graph *create(const rbc__cuda_queue *queue, const rbc__cuda_batch *batch) {
    rbc__cuda_graph *graph = calloc(1, sizeof *graph);
    if (graph == NULL) {
        return NULL;
    }
    /* Not part of any stream's work, so a capture on this thread need not see it. */
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)queue->driver->thread_exchange_stream_capture_mode(&mode);
    const bool ok = fill(queue, batch, graph);
    (void)queue->driver->thread_exchange_stream_capture_mode(&mode);
    if (!ok) {
        rbc__cuda_graph_destroy(queue->driver, &graph);
        queue->graphs->is_off = true;
    }
    return graph;
}

static bool enter(rbc__cuda_graphs *graphs) {
    return !atomic_flag_test_and_set_explicit(&graphs->busy, memory_order_acquire);
}

static void leave(rbc__cuda_graphs *graphs) {
    atomic_flag_clear_explicit(&graphs->busy, memory_order_release);
}

rbc__cuda_graph *rbc__cuda_graph_create(const rbc__cuda_queue *queue,
                                        const rbc__cuda_batch *batch) {
    rbc__cuda_graphs *graphs = queue->graphs;
    if (!enter(graphs)) {
        return NULL;
    }
    rbc__cuda_graph *graph = graphs->is_off ? NULL : create(queue, batch);
    leave(graphs);
    return graph;
}

void rbc__cuda_graph_destroy(const rbc__cuda_driver *driver, rbc__cuda_graph **graph) {
    if (*graph == NULL) {
        return;
    }
    /* As when it was made: freeing memory would end a capture on this thread or another. */
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    if ((*graph)->executable != NULL) {
        (void)driver->graph_exec_destroy((*graph)->executable);
    }
    if ((*graph)->graph != NULL) {
        (void)driver->graph_destroy((*graph)->graph);
    }
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    free((*graph)->batch);
    free(*graph);
    *graph = NULL;
}

/* ---- launching ------------------------------------------------------------------------------ */

bool rbc__cuda_is_captured(const rbc__cuda_queue *queue) {
    int status = RBC__CU_CAPTURE_STATUS_NONE;
    return queue->driver->stream_is_capturing(queue->stream, &status) != 0 ||
           status != RBC__CU_CAPTURE_STATUS_NONE;
}

bool rbc__cuda_graph_launch(const rbc__cuda_graph *graph, const rbc__cuda_queue *queue) {
    return queue->driver->graph_launch(graph->executable, queue->stream) == 0;
}

static uint64_t mix(uint64_t digest, uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return digest ^ digest >> 29;
}

static uint64_t digest_of(const rbc__cuda_queue *queue) {
    const rbc__cuda_batch *batch = &queue->batch;
    uint64_t digest = mix((uint64_t)batch->count, (uint64_t)(uintptr_t)queue->stream);
    for (int32_t i = 0; i < batch->count; ++i) {
        const rbc__cuda_step *step = &batch->steps[i];
        digest = mix(digest, (uint64_t)(uintptr_t)step->function);
        digest = mix(digest, (uint64_t)step->shape.blocks << 20 ^ step->shape.blocks_y);
        digest = mix(digest, (uint64_t)step->shape.threads << 32 | step->shape.shared_bytes);
    }
    return digest | 1; /* 0 is no sighting */
}

static bool has_shapes_of(const rbc__cuda_graph *graph, const rbc__cuda_queue *queue) {
    const rbc__cuda_batch *batch = &queue->batch;
    if (graph->stream != queue->stream || graph->batch->count != batch->count) {
        return false;
    }
    for (int32_t i = 0; i < batch->count; ++i) {
        const rbc__cuda_step *a = &graph->batch->steps[i];
        const rbc__cuda_step *b = &batch->steps[i];
        if (a->function != b->function || a->shape.blocks != b->shape.blocks ||
            a->shape.blocks_y != b->shape.blocks_y || a->shape.threads != b->shape.threads ||
            a->shape.shared_bytes != b->shape.shared_bytes || a->begin != b->begin ||
            a->bytes != b->bytes) {
            return false;
        }
    }
    return true;
}

/* False: what the graph holds is unknown. */
static bool set_parameters(const rbc__cuda_queue *queue, rbc__cuda_graph *graph) {
    const rbc__cuda_batch *batch = &queue->batch;
    for (int32_t i = 0; i < batch->count; ++i) {
        const rbc__cuda_step *step = &batch->steps[i];
        unsigned char *held = graph->batch->parameters + step->begin;
        if (memcmp(held, batch->parameters + step->begin, step->bytes) != 0) {
            memcpy(held, batch->parameters + step->begin, step->bytes);
            void *arguments[] = {held};
            const CUkernelNodeParams params = node_params(step, arguments);
            if (queue->driver->graph_exec_kernel_node_set_params(graph->executable, graph->nodes[i],
                                                                 &params) != 0) {
                return false;
            }
        }
    }
    return true;
}

static bool was_sighted(rbc__cuda_graphs *graphs, uint64_t digest) {
    uint64_t *slot = &graphs->sightings[(digest >> 1) % RBC__CUDA_SIGHTINGS];
    const bool seen = *slot == digest;
    *slot = digest;
    return seen;
}

/* An empty place, else that of the graph not used for longest, if that is long enough. */
static rbc__cuda_graph **find_place(rbc__cuda_graphs *graphs) {
    rbc__cuda_graph **oldest = &graphs->kept[0];
    for (int i = 0; i < RBC__CUDA_GRAPHS; ++i) {
        rbc__cuda_graph **place = &graphs->kept[i];
        if (*place == NULL) {
            return place;
        }
        oldest = (*place)->used < (*oldest)->used ? place : oldest;
    }
    return graphs->clock - (*oldest)->used >= MIN_IDLE ? oldest : NULL;
}

static rbc__cuda_graph **find_graph(rbc__cuda_graphs *graphs, const rbc__cuda_queue *queue) {
    const uint64_t digest = digest_of(queue);
    for (int i = 0; i < RBC__CUDA_GRAPHS; ++i) {
        rbc__cuda_graph *kept = graphs->kept[i];
        if (kept != NULL && kept->digest == digest && has_shapes_of(kept, queue)) {
            return &graphs->kept[i];
        }
    }
    rbc__cuda_graph **place = was_sighted(graphs, digest) ? find_place(graphs) : NULL;
    if (place == NULL) {
        return NULL;
    }
    rbc__cuda_graph_destroy(queue->driver, place);
    *place = create(queue, &queue->batch);
    if (*place == NULL) {
        return NULL;
    }
    (*place)->digest = digest;
    (*place)->stream = queue->stream;
    return place;
}

static bool launch(rbc__cuda_graphs *graphs, const rbc__cuda_queue *queue) {
    rbc__cuda_graph **graph = find_graph(graphs, queue);
    if (graph == NULL) {
        return false;
    }
    (*graph)->used = ++graphs->clock;
    if (!set_parameters(queue, *graph)) {
        rbc__cuda_graph_destroy(queue->driver, graph);
        return false;
    }
    return queue->driver->graph_launch((*graph)->executable, queue->stream) == 0;
}

bool rbc__cuda_graphs_launch(const rbc__cuda_queue *queue) {
    rbc__cuda_graphs *graphs = queue->graphs;
    if (rbc__cuda_is_captured(queue) || !enter(graphs)) {
        return false;
    }
    const bool launched = !graphs->is_off && launch(graphs, queue);
    leave(graphs);
    return launched;
}
