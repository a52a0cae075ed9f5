#include "cuda/runtime/capture.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static _Thread_local rbc__cuda_capture *of_thread;
static atomic_int
    num_capturing; /* threads; mostly none, which is sooner seen than a thread's own */

void rbc__cuda_capture_begin(rbc__cuda_capture *capture) {
    of_thread = capture;
    atomic_fetch_add_explicit(&num_capturing, 1, memory_order_relaxed);
}

void rbc__cuda_capture_end(void) {
    of_thread = NULL;
    atomic_fetch_sub_explicit(&num_capturing, 1, memory_order_relaxed);
}

rbc__cuda_capture *rbc__cuda_capture_of_thread(void) {
    return atomic_load_explicit(&num_capturing, memory_order_relaxed) > 0 ? of_thread : NULL;
}

rbc_status rbc__cuda_capture_keep(rbc__cuda_capture *capture, int32_t device_id,
                                  const rbc__cuda_launches *launches, rbc_error *err) {
    if (capture->launches != NULL) {
        capture->has_gaps = true;
        return RBC_OK;
    }
    capture->launches = malloc(sizeof *launches);
    if (capture->launches == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to keep %d launches",
                         (int)launches->count);
    }
    memcpy(capture->launches, launches, offsetof(rbc__cuda_launches, parameters) + launches->bytes);
    capture->device_id = device_id;
    return RBC_OK;
}

bool rbc__cuda_capture_is_whole(const rbc__cuda_capture *capture) {
    return capture->launches != NULL && !capture->has_gaps;
}

static bool launch_graph(rbc__cuda_capture *capture, const rbc__cuda_queue *queue) {
    if (rbc__cuda_is_captured(queue) ||
        atomic_flag_test_and_set_explicit(&capture->busy, memory_order_acquire)) {
        return false;
    }
    if (capture->graph == NULL) {
        capture->graph = rbc__cuda_graph_create(queue, capture->launches);
    }
    const bool launched = capture->graph != NULL && rbc__cuda_graph_launch(capture->graph, queue);
    atomic_flag_clear_explicit(&capture->busy, memory_order_release);
    return launched;
}

rbc_status rbc__cuda_replay(rbc__cuda_capture *capture, void *cu_stream, rbc_error *err) {
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(capture->device_id, cu_stream, &queue, err));
    const rbc_status status = launch_graph(capture, &queue)
                                  ? RBC_OK
                                  : rbc__cuda_submit_all(&queue, capture->launches, err);
    return rbc__cuda_leave(&queue, status);
}

void rbc__cuda_capture_free(rbc__cuda_capture *capture) {
    const rbc__cuda_driver *driver = NULL;
    if (capture->graph != NULL && rbc__cuda_driver_get(&driver, NULL) == RBC_OK) {
        rbc__cuda_graph_destroy(driver, &capture->graph);
    }
    free(capture->launches);
    capture->launches = NULL;
}
