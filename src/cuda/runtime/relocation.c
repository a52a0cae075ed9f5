#include "cuda/runtime/relocation.h"

#include <string.h>

static bool same_launch(const rbc__cuda_step *a, const rbc__cuda_step *b) {
    return a->kernel == b->kernel && a->shape.blocks == b->shape.blocks &&
           a->shape.blocks_y == b->shape.blocks_y && a->shape.threads == b->shape.threads &&
           a->shape.shared_bytes == b->shape.shared_bytes && a->begin == b->begin &&
           a->bytes == b->bytes;
}

static uint64_t word_at(const unsigned char *parameters, uint32_t at) {
    uint64_t word;
    memcpy(&word, parameters + at, sizeof word);
    return word;
}

static int32_t tensor_moved_by(uint64_t distance, int32_t num_tensors) {
    for (int32_t i = 0; i < num_tensors; ++i) {
        if (rbc__cuda_distance(i) == distance) {
            return i;
        }
    }
    return -1;
}

static bool find_places(const rbc__cuda_batch *batch, const rbc__cuda_batch *moved, int32_t step,
                        const uint64_t *addresses, int32_t num_tensors, rbc__cuda_relocation *out) {
    const uint32_t begin = batch->steps[step].begin;
    const uint32_t end = begin + batch->steps[step].bytes;
    uint32_t at = begin;
    for (; at + sizeof(uint64_t) <= end; at += (uint32_t)sizeof(uint64_t)) {
        const uint64_t word = word_at(batch->parameters, at);
        const uint64_t distance = word_at(moved->parameters, at) - word;
        if (distance == 0) {
            continue;
        }
        const int32_t tensor = tensor_moved_by(distance, num_tensors);
        if (tensor < 0 || out->count == RBC__CUDA_PLACES) {
            return false;
        }
        out->places[out->count++] = (rbc__cuda_place){
            .at = at, .step = step, .tensor = tensor, .offset = word - addresses[tensor]};
    }
    return memcmp(batch->parameters + at, moved->parameters + at, end - at) == 0;
}

bool rbc__cuda_relocation_find(const rbc__cuda_batch *batch, const rbc__cuda_batch *moved,
                               const uint64_t *addresses, int32_t num_tensors,
                               rbc__cuda_relocation *out) {
    out->count = 0;
    bool ok = batch->count == moved->count;
    for (int32_t i = 0; ok && i < batch->count; ++i) {
        ok = same_launch(&batch->steps[i], &moved->steps[i]) &&
             find_places(batch, moved, i, addresses, num_tensors, out);
    }
    return ok;
}

/* Writes the addresses into the parameters of a graph. False: what the graph holds is unknown. */
static bool set_addresses(const rbc__cuda_relocation *relocation, const uint64_t *addresses,
                          const rbc__cuda_queue *queue, rbc__cuda_graph *graph) {
    unsigned char *held = rbc__cuda_graph_held(graph);
    bool ok = true;
    for (int32_t i = 0; ok && i < relocation->count;) {
        const int32_t step = relocation->places[i].step;
        bool changed = false;
        for (; i < relocation->count && relocation->places[i].step == step; ++i) {
            const rbc__cuda_place *place = &relocation->places[i];
            const uint64_t address = addresses[place->tensor] + place->offset;
            changed = changed || word_at(held, place->at) != address;
            memcpy(held + place->at, &address, sizeof address);
        }
        ok = !changed || rbc__cuda_graph_update(graph, queue, step);
    }
    return ok;
}

static bool launch(const rbc__cuda_relocation *relocation, rbc__cuda_recording *recording,
                   const uint64_t *addresses, const rbc__cuda_queue *queue) {
    if (rbc__cuda_is_captured(queue)) {
        return false;
    }
    if (recording->graph == NULL) {
        recording->graph = rbc__cuda_graph_create(queue, recording->batch);
    }
    if (recording->graph == NULL) {
        return false;
    }
    if (!set_addresses(relocation, addresses, queue, recording->graph)) {
        rbc__cuda_graph_destroy(queue->driver, &recording->graph);
        return false;
    }
    return rbc__cuda_graph_launch(recording->graph, queue);
}

rbc_status rbc__cuda_relocation_launch(const rbc__cuda_relocation *relocation,
                                       rbc__cuda_recording *recording, const uint64_t *addresses,
                                       void *stream, bool *launched, rbc_error *err) {
    rbc__cuda_queue queue;
    *launched = false;
    if (atomic_flag_test_and_set_explicit(&recording->busy, memory_order_acquire)) {
        return RBC_OK;
    }
    rbc_status status = rbc__cuda_enter(recording->device_id, stream, &queue, err);
    if (status == RBC_OK) {
        *launched = launch(relocation, recording, addresses, &queue);
        status = rbc__cuda_leave(&queue, RBC_OK);
    }
    atomic_flag_clear_explicit(&recording->busy, memory_order_release);
    return status;
}
