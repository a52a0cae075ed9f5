/* Grids that are made on the device that batches are on. */
#ifndef RBC_LOADER_DEVICE_VOXELS_H
#define RBC_LOADER_DEVICE_VOXELS_H

#include "loader/maker.h"

/* Makes those jobs whose status is RBC_OK, whose `out` is on the device, and `dropped` on the host. The
 * pipe, which has been entered, is waited for. OUT_OF_MEMORY, DEVICE: nothing is made of some. */
rbc_status rbc__device_voxelize(const rbc__backend *device, int32_t device_id, rbc__pipe *pipe,
                                rbc_context *context, const rbc__voxel_job *jobs, int64_t count,
                                rbc_error *err);

#endif
