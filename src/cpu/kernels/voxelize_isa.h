/* Prototypes of the voxelization kernels of the ISA being compiled.
 * Shared within src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_VOXELIZE_ISA_H
#define RBC_CPU_KERNELS_VOXELIZE_ISA_H

#include "cpu/kernels/isa.h"
#include "cpu/kernels/voxelize.h"

void RBC__KERNEL(voxel_load)(const rbc__cloud *cloud, int64_t cloud_index, int64_t first, int64_t n,
                             rbc__voxel_range *range);
int64_t RBC__KERNEL(voxel_cells_f32)(const rbc__voxel_range *range, int64_t n,
                                     const rbc__voxel_map *map, int32_t *cells);
int64_t RBC__KERNEL(voxel_cells_f64)(const rbc__voxel_range *range, int64_t n,
                                     const rbc__voxel_map *map, int32_t *cells);
int64_t RBC__KERNEL(voxel_cells64_f32)(const rbc__voxel_range *range, int64_t n,
                                       const rbc__voxel_map *map, int64_t *cells);
int64_t RBC__KERNEL(voxel_cells64_f64)(const rbc__voxel_range *range, int64_t n,
                                       const rbc__voxel_map *map, int64_t *cells);
void RBC__KERNEL(voxel_bounds)(const rbc__voxel_range *range, int64_t n, bool is_f64, double *least,
                               double *greatest);
int64_t RBC__KERNEL(voxel_coordinates)(const rbc__voxel_range *range, int64_t n, bool is_f64,
                                       const rbc__coordinate_map *map, int32_t *xyz);

#endif
