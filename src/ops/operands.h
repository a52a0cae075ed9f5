/* The tensors of one call, checked together. */
#ifndef RBC_OPS_OPERANDS_H
#define RBC_OPS_OPERANDS_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"

#define RBC__MAX_OPERANDS 16

/* Zero-initialise. */
typedef struct rbc__operands {
    struct {
        const DLTensor *tensor;
        const char *name;
        bool is_output;
    } items[RBC__MAX_OPERANDS];
    int32_t count;
} rbc__operands;

/* Checks a tensor and takes it in; `dtype` may be NULL. The name is borrowed. */
rbc_status rbc__operands_input(rbc__operands *operands, const DLTensor *tensor, const char *name,
                               rbc__dtype *dtype, rbc_error *err);

/* The same for an output, which must be contiguous and of the dtype and shape wanted. */
rbc_status rbc__operands_output(rbc__operands *operands, const DLTensor *tensor, const char *name,
                                rbc__dtype wanted, int32_t ndim, const int64_t *shape,
                                rbc_error *err);

/* Scratch memory: bytes, contiguous, aligned; NULL is allowed where nothing is needed. */
rbc_status rbc__operands_workspace(rbc__operands *operands, const DLTensor *tensor,
                                   uint64_t wanted_bytes, rbc_error *err);

/* All on one device, outputs apart from each other and from inputs. */
rbc_status rbc__operands_finish(const rbc__operands *operands, DLDevice *device, rbc_error *err);

#endif
