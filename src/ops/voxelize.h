/* Dense voxelizations of what is no tensor. */
#ifndef RBC_OPS_VOXELIZE_H
#define RBC_OPS_VOXELIZE_H

#include "backend.h"

/* Checks parameters of any struct_size and fills in what of the job is theirs; of its cloud batch,
 * dtypes, num_points and num_features are read. INVALID_ARGUMENT. */
rbc_status rbc__voxelize_read(const rbc_voxelize_params *given, rbc__voxelize_job *job,
                              rbc_error *err);

#endif
