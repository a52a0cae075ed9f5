/* Launches as executable CUDA graphs. Where one was made for launches of the same kernels and
 * shapes, setting its parameters and launching it costs the host half of one launch through the
 * driver's launch functions, and no more for several. */
#ifndef RBC_CUDA_GRAPH_H
#define RBC_CUDA_GRAPH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cuda/runtime/driver.h"

typedef struct rbc__cuda_graph rbc__cuda_graph;
typedef struct rbc__cuda_launches rbc__cuda_launches;
typedef struct rbc__cuda_queue rbc__cuda_queue;

enum { RBC__CUDA_GRAPHS = 32, RBC__CUDA_SEEN = 64 };

/* The graphs of one device. Zero is empty. */
typedef struct rbc__cuda_graphs {
    atomic_flag busy;
    bool is_off;        /* the driver refused one */
    CUstream capturing; /* a stream of its own */
    uint64_t clock;     /* of calls */
    rbc__cuda_graph *kept[RBC__CUDA_GRAPHS];
    uint64_t seen[RBC__CUDA_SEEN]; /* what was launched lately without a graph */
} rbc__cuda_graphs;

/* Launches what the queue holds as a graph and returns true, or does nothing and returns false:
 * where these launches are seen for the first time, while the stream is captured, while another
 * thread is here. One graph does not run beside itself, so each stream has its own. */
bool rbc__cuda_graphs_launch(const rbc__cuda_queue *queue);

/* A graph for `launches` alone. NULL where the driver makes none, or another thread is here. */
rbc__cuda_graph *rbc__cuda_graph_create(const rbc__cuda_queue *queue,
                                        const rbc__cuda_launches *launches);
void rbc__cuda_graph_destroy(const rbc__cuda_driver *driver, rbc__cuda_graph **graph);

bool rbc__cuda_is_captured(const rbc__cuda_queue *queue);

/* Launches it on the queue's stream, which is not captured, with the parameters it has. False where
 * the driver refuses. */
bool rbc__cuda_graph_launch(const rbc__cuda_graph *graph, const rbc__cuda_queue *queue);

#endif
