/* A recording that is queued again with its tensors at other addresses. */
#ifndef RBC_CUDA_RELOCATION_H
#define RBC_CUDA_RELOCATION_H

#include "cuda/runtime/recording.h"

enum { RBC__CUDA_PLACES = 64, RBC__CUDA_RELOCATED_TENSORS = 32 };

/* Eight bytes of a launch's parameters that hold an address. */
typedef struct rbc__cuda_place {
    uint32_t at; /* in the batch's parameters */
    int32_t step;
    int32_t tensor;
    uint64_t offset; /* from where the tensor begins */
} rbc__cuda_place;

typedef struct rbc__cuda_relocation {
    int32_t count;
    rbc__cuda_place places[RBC__CUDA_PLACES];
} rbc__cuda_relocation;

/* How far tensor `index` lies from where it was in the second of two recordings that
 * rbc__cuda_relocation_find() compares: beyond any address, and no difference of two distances. */
static inline uint64_t rbc__cuda_distance(int32_t index) {
    return (2 * (uint64_t)index + 1) << 48;
}

/* Finds the places by comparing what an operation launches with what it launches where each tensor
 * i lies rbc__cuda_distance(i) further than addresses[i]. False where the two differ in anything
 * else, or in too many places. */
bool rbc__cuda_relocation_find(const rbc__cuda_batch *batch, const rbc__cuda_batch *moved,
                               const uint64_t *addresses, int32_t num_tensors,
                               rbc__cuda_relocation *out);

/* Queues a whole recording's launches on `stream`, which must be the same each time, with the
 * tensors at `addresses`. *launched is false where they must be queued otherwise: the stream is
 * captured, another thread is here, the driver makes no graph. DEVICE. */
rbc_status rbc__cuda_relocation_launch(const rbc__cuda_relocation *relocation,
                                       rbc__cuda_recording *recording, const uint64_t *addresses,
                                       void *stream, bool *launched, rbc_error *err);

#endif
