/* Points, features and lengths of the voxelizations, checked and turned into an rbc__cloud. */
#ifndef RBC_OPS_CLOUD_H
#define RBC_OPS_CLOUD_H

#include "backend.h"
#include "ops/operands.h"

/* `features` and `lengths` may be NULL. Lengths of host tensors are looked at and must be in [0,
 * N]. `has_batch` tells whether the points, and so the outputs, have a leading axis. */
rbc_status rbc__cloud_read(rbc__operands *operands, const DLTensor *points,
                           const DLTensor *features, const DLTensor *lengths, rbc__cloud *cloud,
                           bool *has_batch, rbc_error *err);

/* The same where a depth image stands for the points: features are [.., H, W, F]. */
rbc_status rbc__cloud_read_depth(rbc__operands *operands, const rbc__depth_source *depth,
                                 int64_t batch, bool has_batch, const DLTensor *features,
                                 rbc__cloud *cloud, rbc_error *err);

/* `depth`, `intrinsics` and `pose` (NULL allowed) of the depth functions. `intrinsics` NULL: only
 * the sizes are of interest. */
rbc_status rbc__depth_read(rbc__operands *operands, const DLTensor *depth,
                           const DLTensor *intrinsics, const DLTensor *pose,
                           const rbc_depth_params *params, rbc__depth_source *source,
                           int64_t *batch, bool *has_batch, rbc_error *err);

/* The part of that which is of `params` alone, of any struct_size. */
rbc_status rbc__depth_read_params(const rbc_depth_params *params, rbc__depth_source *source,
                                  rbc_error *err);

/* Each of `values` is finite once rounded to the type computed in, and positive where asked for. */
rbc_status rbc__cloud_check_numbers(const char *name, const double *values, int32_t count,
                                    bool is_f64, bool must_be_positive, rbc_error *err);

#endif
