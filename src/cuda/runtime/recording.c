#include "cuda/runtime/recording.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static _Thread_local rbc__cuda_recording *of_thread;
static atomic_int
    num_recording; /* threads; mostly none, which is sooner seen than a thread's own */

void rbc__cuda_record_begin(rbc__cuda_recording *recording) {
    of_thread = recording;
    atomic_fetch_add_explicit(&num_recording, 1, memory_order_relaxed);
}

void rbc__cuda_record_end(void) {
    of_thread = NULL;
    atomic_fetch_sub_explicit(&num_recording, 1, memory_order_relaxed);
}

rbc__cuda_recording *rbc__cuda_recording_of_thread(void) {
    return atomic_load_explicit(&num_recording, memory_order_relaxed) > 0 ? of_thread : NULL;
}

rbc_status rbc__cuda_recording_keep(rbc__cuda_recording *recording, int32_t device_id,
                                    const rbc__cuda_batch *batch, rbc_error *err) {
    if (recording->batch != NULL) {
        recording->has_gaps = true;
        return RBC_OK;
    }
    recording->batch = malloc(sizeof *batch);
    if (recording->batch == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to keep %d launches",
                         (int)batch->count);
    }
    memcpy(recording->batch, batch, offsetof(rbc__cuda_batch, parameters) + batch->bytes);
    recording->device_id = device_id;
    return RBC_OK;
}

bool rbc__cuda_recording_is_whole(const rbc__cuda_recording *recording) {
    return recording->batch != NULL && !recording->has_gaps;
}

static bool launch_graph(rbc__cuda_recording *recording, const rbc__cuda_queue *queue) {
    if (rbc__cuda_is_captured(queue) ||
        atomic_flag_test_and_set_explicit(&recording->busy, memory_order_acquire)) {
        return false;
    }
    if (recording->graph == NULL) {
        recording->graph = rbc__cuda_graph_create(queue, recording->batch);
    }
    const bool launched =
        recording->graph != NULL && rbc__cuda_graph_launch(recording->graph, queue);
    atomic_flag_clear_explicit(&recording->busy, memory_order_release);
    return launched;
}

rbc_status rbc__cuda_replay(rbc__cuda_recording *recording, void *stream, rbc_error *err) {
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(recording->device_id, stream, &queue, err));
    const rbc_status status = launch_graph(recording, &queue)
                                  ? RBC_OK
                                  : rbc__cuda_submit_all(&queue, recording->batch, err);
    return rbc__cuda_leave(&queue, status);
}

void rbc__cuda_recording_free(rbc__cuda_recording *recording) {
    const rbc__cuda_driver *driver = NULL;
    if (recording->graph != NULL && rbc__cuda_driver_get(&driver, NULL) == RBC_OK) {
        rbc__cuda_graph_destroy(driver, &recording->graph);
    }
    free(recording->batch);
    recording->batch = NULL;
}
