/* Voxelization on the CPU.
 *
 * Dense grids are cut into tiles of consecutive cells, small enough for a core's cache. Threads
 * first deal the points out to the tiles, then each tile is cleared, reduced and written by one
 * thread, so that no two threads write to the same cell and memory is gone through in order.
 * Because the sums are of integers (see rbc_voxelize), neither the split nor the order shows in the
 * result. Shared within src/cpu. */
#ifndef RBC_CPU_VOXELIZE_H
#define RBC_CPU_VOXELIZE_H

#include "backend.h"
#include "cpu/kernels/voxelize.h"

rbc_status rbc__cpu_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                             void *cu_stream, rbc_error *err);
uint64_t rbc__cpu_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job);

rbc_status rbc__cpu_voxelize_sparse(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                    int32_t device_id, void *cu_stream, rbc_error *err);
uint64_t rbc__cpu_voxelize_sparse_workspace_bytes(rbc_context *context,
                                                  const rbc__voxelize_sparse_job *job);
rbc_status rbc__cpu_depth_to_points(rbc_context *context, const rbc__depth_job *job,
                                    int32_t device_id, void *cu_stream, rbc_error *err);

/* ---- Shared with sparse voxelization ---- */

const rbc__voxel_kernels *rbc__voxel_kernels_for(const rbc_context *context);

/* Number of points of a cloud, and its length where that is shorter. */
int64_t rbc__cloud_length(const rbc__cloud *cloud, int64_t cloud_index);

/* The least number of the type computed in that is not below the integer. */
double rbc__voxel_limit(int64_t cells, bool is_f64);

/* A part of a workspace: `bytes` from *used on, which moves on to the next multiple of 64. With a
 * NULL base this only counts. */
void *rbc__workspace_take(char *base, uint64_t *used, uint64_t bytes);

#endif
