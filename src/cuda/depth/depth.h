/* Depth images on CUDA, for the operations that take them. */
#ifndef RBC_CUDA_DEPTH_H
#define RBC_CUDA_DEPTH_H

#include "backend.h"
#include "cuda/runtime/launch.h"

/* Queues the points of `batch` images, as rbc__depth_job says; `lengths` NULL: each in its place.
 */
rbc_status rbc__cuda_depth_points(rbc__cuda_queue *queue, const rbc__depth_source *source,
                                  int64_t batch, float *points, int32_t *lengths, rbc_error *err);

#endif
