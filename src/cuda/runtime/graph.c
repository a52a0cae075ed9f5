#include "cuda/runtime/graph.h"

#include <stdlib.h>
#include <string.h>

#include "cuda/runtime/launch.h"

enum { MIN_IDLE = 256 }; /* calls after which an unused graph gives way */

struct rbc__cuda_graph {
    CUgraph graph;
    CUgraphExec executable;
    CUstream cu_stream; /* that uses it */
    uint64_t digest, used;
    CUgraphNode nodes[RBC__CUDA_MAX_LAUNCHES];
    rbc__cuda_launches *launches; /* with the parameters it has; only as large as it must be */
};

/* ---- making one ---- */

static CUkernelNodeParams node_params(const rbc__cuda_launch_item *item, void **arguments) {
    return (CUkernelNodeParams){
        .function = item->function,
        .grid_x = (unsigned)item->shape.blocks,
        .grid_y = item->shape.blocks_y,
        .grid_z = 1,
        .block_x = item->shape.threads,
        .block_y = 1,
        .block_z = 1,
        .shared_bytes = item->shape.shared_bytes,
        .parameters = arguments,
    };
}

/* Captures the launches; the last node captured is what the stream then depends on. */
static bool capture(const rbc__cuda_queue *queue, CUstream cu_stream,
                    const rbc__cuda_launches *launches, rbc__cuda_graph *graph) {
    const rbc__cuda_driver *driver = queue->driver;
    if (driver->stream_begin_capture(cu_stream, RBC__CU_CAPTURE_MODE_RELAXED) != 0) {
        return false;
    }
    bool ok = true;
    for (int32_t i = 0; ok && i < launches->count; ++i) {
        int status = 0;
        uint64_t id = 0;
        CUgraph captured = NULL;
        const CUgraphNode *last = NULL;
        size_t count = 0;
        ok = rbc__cuda_submit(queue, cu_stream, launches, i, NULL) == RBC_OK &&
             driver->stream_get_capture_info(cu_stream, &status, &id, &captured, &last, &count) ==
                 0 &&
             count == 1;
        if (ok) {
            graph->nodes[i] = last[0];
        }
    }
    return driver->stream_end_capture(cu_stream, &graph->graph) == 0 && ok;
}

static rbc__cuda_launches *copy_launches(const rbc__cuda_launches *launches) {
    const size_t bytes = offsetof(rbc__cuda_launches, parameters) + launches->bytes;
    rbc__cuda_launches *copy = aligned_alloc(16, (bytes + 15) & ~(size_t)15);
    if (copy != NULL) {
        memcpy(copy, launches, bytes);
    }
    return copy;
}

static bool fill(const rbc__cuda_queue *queue, const rbc__cuda_launches *launches,
                 rbc__cuda_graph *graph) {
    const rbc__cuda_driver *driver = queue->driver;
    CUstream *capturing = &queue->device->graphs.capturing;
    graph->launches = copy_launches(launches);
    return graph->launches != NULL &&
           (*capturing != NULL ||
            driver->stream_create(capturing, RBC__CU_STREAM_NON_BLOCKING) == 0) &&
           capture(queue, *capturing, launches, graph) &&
           driver->graph_instantiate(&graph->executable, graph->graph, 0) == 0;
}

/* No graph is made on the device any more. */
static void turn_off(const rbc__cuda_queue *queue) {
    rbc__cuda_graphs *graphs = &queue->device->graphs;
    if (graphs->capturing != NULL && queue->driver->stream_destroy != NULL) {
        (void)queue->driver->stream_destroy(graphs->capturing);
        graphs->capturing = NULL;
    }
    graphs->is_off = true;
}

static rbc__cuda_graph *create(const rbc__cuda_queue *queue, const rbc__cuda_launches *launches) {
    rbc__cuda_graph *graph = calloc(1, sizeof *graph);
    if (graph == NULL) {
        return NULL;
    }
    /* Not part of any stream's work, so a capture on this thread need not see it. */
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)queue->driver->thread_exchange_stream_capture_mode(&mode);
    const bool ok = fill(queue, launches, graph);
    (void)queue->driver->thread_exchange_stream_capture_mode(&mode);
    if (!ok) {
        rbc__cuda_graph_destroy(queue->driver, &graph);
        turn_off(queue);
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
                                        const rbc__cuda_launches *launches) {
    rbc__cuda_graphs *graphs = &queue->device->graphs;
    if (!enter(graphs)) {
        return NULL;
    }
    rbc__cuda_graph *graph = graphs->is_off ? NULL : create(queue, launches);
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
    free((*graph)->launches);
    free(*graph);
    *graph = NULL;
}

/* ---- launching ---- */

bool rbc__cuda_is_captured(const rbc__cuda_queue *queue) {
    int status = RBC__CU_CAPTURE_STATUS_NONE;
    return queue->driver->stream_is_capturing(queue->cu_stream, &status) != 0 ||
           status != RBC__CU_CAPTURE_STATUS_NONE;
}

bool rbc__cuda_graph_launch(const rbc__cuda_graph *graph, const rbc__cuda_queue *queue) {
    return queue->driver->graph_launch(graph->executable, queue->cu_stream) == 0;
}

static uint64_t mix(uint64_t digest, uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return digest ^ digest >> 29;
}

static uint64_t digest_of(const rbc__cuda_queue *queue) {
    const rbc__cuda_launches *launches = &queue->launches;
    uint64_t digest = mix((uint64_t)launches->count, (uint64_t)(uintptr_t)queue->cu_stream);
    for (int32_t i = 0; i < launches->count; ++i) {
        const rbc__cuda_launch_item *item = &launches->items[i];
        digest = mix(digest, (uint64_t)(uintptr_t)item->function);
        digest = mix(digest, (uint64_t)item->shape.blocks << 20 ^ item->shape.blocks_y);
        digest = mix(digest, (uint64_t)item->shape.threads << 32 | item->shape.shared_bytes);
    }
    return digest | 1; /* 0: nothing seen */
}

static bool has_shapes_of(const rbc__cuda_graph *graph, const rbc__cuda_queue *queue) {
    const rbc__cuda_launches *launches = &queue->launches;
    if (graph->cu_stream != queue->cu_stream || graph->launches->count != launches->count) {
        return false;
    }
    for (int32_t i = 0; i < launches->count; ++i) {
        const rbc__cuda_launch_item *a = &graph->launches->items[i];
        const rbc__cuda_launch_item *b = &launches->items[i];
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
    const rbc__cuda_launches *launches = &queue->launches;
    for (int32_t i = 0; i < launches->count; ++i) {
        const rbc__cuda_launch_item *item = &launches->items[i];
        unsigned char *held = graph->launches->parameters + item->begin;
        if (memcmp(held, launches->parameters + item->begin, item->bytes) != 0) {
            memcpy(held, launches->parameters + item->begin, item->bytes);
            void *arguments[] = {held};
            const CUkernelNodeParams params = node_params(item, arguments);
            if (queue->driver->graph_exec_kernel_node_set_params(graph->executable, graph->nodes[i],
                                                                 &params) != 0) {
                return false;
            }
        }
    }
    return true;
}

static bool was_seen(rbc__cuda_graphs *graphs, uint64_t digest) {
    uint64_t *last = &graphs->seen[(digest >> 1) % RBC__CUDA_SEEN];
    const bool seen = *last == digest;
    *last = digest;
    return seen;
}

/* An empty slot, else that of the graph not used for longest, if that is long enough. */
static rbc__cuda_graph **find_slot(rbc__cuda_graphs *graphs) {
    rbc__cuda_graph **oldest = &graphs->kept[0];
    for (int i = 0; i < RBC__CUDA_GRAPHS; ++i) {
        rbc__cuda_graph **slot = &graphs->kept[i];
        if (*slot == NULL) {
            return slot;
        }
        oldest = (*slot)->used < (*oldest)->used ? slot : oldest;
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
    rbc__cuda_graph **slot = was_seen(graphs, digest) ? find_slot(graphs) : NULL;
    if (slot == NULL) {
        return NULL;
    }
    rbc__cuda_graph_destroy(queue->driver, slot);
    *slot = create(queue, &queue->launches);
    if (*slot == NULL) {
        return NULL;
    }
    (*slot)->digest = digest;
    (*slot)->cu_stream = queue->cu_stream;
    return slot;
}

static bool launch(rbc__cuda_graphs *graphs, const rbc__cuda_queue *queue) {
    ++graphs->clock;
    rbc__cuda_graph **graph = find_graph(graphs, queue);
    if (graph == NULL) {
        return false;
    }
    (*graph)->used = graphs->clock;
    if (!set_parameters(queue, *graph)) {
        rbc__cuda_graph_destroy(queue->driver, graph);
        return false;
    }
    return queue->driver->graph_launch((*graph)->executable, queue->cu_stream) == 0;
}

bool rbc__cuda_graphs_launch(const rbc__cuda_queue *queue) {
    rbc__cuda_graphs *graphs = &queue->device->graphs;
    if (rbc__cuda_is_captured(queue) || !enter(graphs)) {
        return false;
    }
    const bool launched = !graphs->is_off && launch(graphs, queue);
    leave(graphs);
    return launched;
}
